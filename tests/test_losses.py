"""What training lowers, against values computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from rate_networks import smooth, two_kinds_of_cell

from converters.trainable import trainable
from toolkit.errors import InputError
from toolkit.learning.losses import (
    Penalties,
    Readout,
    Targets,
    log_normal_quantiles,
    noise_loss,
    rate_cap_loss,
    rate_distribution_loss,
)


def test_cross_entropy_of_evidence_times_gain():
    readout = Readout(2, gain_per_Hz=0.5)
    with torch.no_grad():
        readout.log_gain[1] = math.log(0.1)
    evidence = torch.tensor([[4.0, 8.0, -1e4], [10.0, 20.0, 30.0]])
    losses = readout.losses(evidence, torch.tensor([1, 0]), torch.tensor([0, 1]))
    first = math.log(1 + math.exp(-2))  # the answer that task 0 does not have counts nothing
    second = math.log(1 + math.exp(1) + math.exp(2))
    assert losses.tolist() == pytest.approx([first, second], rel=1e-5)
    losses.sum().backward()
    # d/dtheta of softplus(-g d) = -g d sigmoid(-g d)
    slope = -2 / (1 + math.exp(2))
    assert float(readout.log_gain.grad[0]) == pytest.approx(slope, rel=1e-4)


@pytest.mark.parametrize(
    ("rates", "right"),
    [
        ([1.0, 2.0, 4.0], 0.0),  # the target itself, in any order
        ([4.0, 1.0, 2.0], 0.0),
        ([0.0, 2.0, 4.0], (1 / 6) * (1 / 4) / 3),  # 1 below, level 1/6, within kappa: 1 / (2 kappa)
        ([1.0, 2.0, 3.0], (5 / 6) * (1 / 4) / 3),
        ([1.0, 2.0, 9.0], (1 / 6) * (5 - 1) / 3),  # 5 above, beyond kappa: 5 - kappa / 2
    ],
)
def test_huber_quantile_loss(rates, right):
    target = torch.tensor([1.0, 2.0, 4.0])
    assert float(rate_distribution_loss(torch.tensor(rates), target, 2.0)) == pytest.approx(right)


def test_rates_of_the_target_distribution_are_a_minimum():
    quantiles = torch.from_numpy(log_normal_quantiles(3.0, 1.0, 200))
    rates = quantiles.clone().requires_grad_()
    rate_distribution_loss(rates, quantiles).backward()
    assert float(rates.grad.abs().max()) == 0
    rng = np.random.default_rng(0)
    drawn = torch.from_numpy(rng.lognormal(np.log(3.0), 1.0, 200).astype(np.float32))
    near = rate_distribution_loss(drawn, quantiles)
    assert 2 * near < rate_distribution_loss(2 * drawn, quantiles)


def test_quantiles_of_a_log_normal():
    quantiles = log_normal_quantiles(4.0, 0.5, 1001)
    assert quantiles[500] == pytest.approx(4.0)
    assert np.log(quantiles).std() == pytest.approx(0.5, rel=0.01)
    assert (np.diff(quantiles) > 0).all()


def test_cap_and_noise():
    assert float(rate_cap_loss(torch.tensor([75.0, 50.0, 0.0]), 50.0)) == pytest.approx(0.25 / 3)
    variance, background = torch.tensor([1.0, 0.2, 3.0]), torch.tensor([2.0, 1.0, 4.0])
    assert float(noise_loss(variance, background, 0.25)) == pytest.approx((0.25 + 0.5) / 3)


def test_penalties_add_up_and_reach_rates_and_weights():
    pools, classes = np.array([[0, 1]]), np.array(["e", "e", "i"])
    model = trainable(two_kinds_of_cell("exponential"), pools, transfer=smooth, noise="none")
    background = np.full(3, 0.01)
    targets = Targets(classes, {"e": (5.0, 0.5), "absent": (1.0, 1.0)}, background)
    rates = torch.tensor([80.0, 20.0, 10.0], requires_grad=True)
    options = Penalties(rate_distribution=0.3, rate_cap=2.0, noise=0.7, noise_ratio=0.5)
    found = targets.penalty(model, rates, options)
    quantiles = torch.from_numpy(log_normal_quantiles(5.0, 0.5, 2))
    right = (
        0.3 * (2 / 3) * rate_distribution_loss(rates[:2], quantiles)
        + 2.0 * rate_cap_loss(rates)
        + 0.7 * noise_loss(model.synaptic_variance(rates), torch.full((3,), 0.01), 0.5)
    )
    assert float(found.detach()) == pytest.approx(float(right.detach()))
    found.backward()
    assert (rates.grad != 0).all()
    assert (model.recurrent.trained.grad > 0).all()  # smaller weights, less noise
    assert model.from_inputs.trained.grad is None or not model.from_inputs.trained.grad.any()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"noise": -1.0}, "noise must be 0 or more"),
        ({"rate_cap": math.inf}, "rate_cap must be 0 or more and finite"),
        ({"kappa_Hz": 0.0}, "above 0"),
    ],
)
def test_bad_penalties(given, message):
    with pytest.raises(InputError, match=message):
        Penalties(**given)


def test_a_background_without_variance():
    with pytest.raises(InputError, match="variance above 0"):
        Targets(np.array(["e"]), {}, np.zeros(1))
