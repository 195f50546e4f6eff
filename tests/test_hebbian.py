"""Hebbian learning within layers, and time constants of rates."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from rate_networks import two_kinds_of_cell

from converters.trainable import neuron_tau_s_ms
from toolkit.errors import DataError, InputError
from toolkit.learning import TableCurve, TrainableRates
from toolkit.learning.hebbian import RULES, HebbianWithinLayers
from toolkit.learning.time_constants import sampled_tau_r_ms, uniform_tau_r_ms
from toolkit.scan import Connections

N, CHANNELS = 12, 3
LAYER = np.repeat([0, 1], 6)
SIGN = np.where(np.arange(N) % 3 == 2, -1.0, 1.0)


def network(constraint="log", row=None, col=None, weights=None):
    """Two layers of six neurons, each third one inhibitory, all connected."""
    if row is None:
        pairs = [(i, j) for i in range(N) for j in range(N + CHANNELS) if i != j]
        row, col = np.array(pairs).T
    sign = np.append(SIGN, np.ones(CHANNELS))[col]
    if weights is None:
        weights = sign * np.random.default_rng(0).lognormal(0, 1, len(row))
    mu = np.arange(-30.0, 30.0)
    one = np.ones(N)
    curve = TableCurve(mu, np.tile(np.maximum(mu + 10, 0.0), (N, 1)), 5 * one, 10 * one)
    return TrainableRates(
        Connections(row, col, n_neurons=N, n_slots=1, n_channels=CHANNELS),
        weights,
        sign,
        curve,
        dynamics="low_pass",
        dt_ms=5.0,
        tau_s_ms=np.full((1, N), 5.0),
        tau_r_ms=3 * one,
        constant_pA=20 * one,
        variance_per_square=np.ones(len(row)),
        pools=np.array([[0, 6], [1, 7]]),
        constraint=constraint,
    )


def batch(seed=0, steps=20):
    rng = torch.Generator().manual_seed(seed)
    return 10 * torch.rand(5, steps, N, generator=rng) ** 2


def within(model):
    connections = model.connections
    recurrent = connections.col < N
    row, col = connections.row[recurrent].numpy(), connections.col[recurrent].numpy()
    return torch.from_numpy(LAYER[row] == LAYER[col]), row, col


def test_oja_finds_the_principal_component():
    """Of what a linear neuron receives: neuron 0 adds up neurons 1 to 5 by its weights."""
    model = network(row=np.zeros(5, int), col=np.array([1, 3, 4, 6, 7]), weights=np.ones(5))
    rule = HebbianWithinLayers(model, np.zeros(N), lr=0.05, last=None)
    rng = torch.Generator().manual_seed(1)
    mixing = torch.tensor([[1.0, 0.0], [2.0, 0.1], [1.0, 0.3], [3.0, 0.0], [0.0, 1.0]])
    x = torch.rand(1, 400, 2, generator=rng) ** 4 @ mixing.T
    x /= x.square().mean(1).sqrt()
    for _ in range(300):
        rates = torch.zeros(1, 400, N)
        rates[0, :, [1, 3, 4, 6, 7]] = x[0]
        rates[0, :, 0] = x[0] @ model.recurrent().detach()
        rule.update(rates)
    _, vectors = torch.linalg.eigh(x[0].T @ x[0])
    right = vectors[:, -1].abs()
    found = model.recurrent().detach()
    torch.testing.assert_close(found, 5 * right / right.sum(), rtol=2e-3, atol=0)
    assert float(found.max() / found.min()) > 1.1


def test_growth_is_proportional_to_the_initial_weight_and_to_what_fires_together():
    col = np.array([1, 3, 4])
    model = network(row=np.zeros(3, int), col=col, weights=np.array([1.0, 2.0, 1.0]))
    rule = HebbianWithinLayers(model, np.zeros(N), lr=0.1, last=None)
    rates = torch.zeros(1, 2, N)
    rates[0, 0, [0, 1, 3]] = 30.0  # with neuron 0
    rates[0, 1, 4] = 30.0  # without
    rule.update(rates)
    # In units of r.m.s. rates <y x> is 1 for the first two, 0 for the third.
    grown = torch.tensor([1.1, 2.2, 1.0])
    torch.testing.assert_close(model.recurrent().detach(), grown * 4 / 4.3, rtol=1e-4, atol=0)


def test_bcm_weakens_inputs_that_are_active_below_its_threshold():
    model = network(row=np.zeros(2, int), col=np.array([1, 3]), weights=np.ones(2))
    rule = HebbianWithinLayers(model, np.zeros(N), lr=0.1, rule="bcm", last=None)
    rates = torch.zeros(1, 2, N)
    rates[0, :, 0] = torch.tensor([30.0, 5.0])
    rates[0, 0, 1] = rates[0, 1, 3] = 20.0
    rule.update(rates)
    y = torch.tensor([30.0, 5.0]) / np.sqrt((900 + 25) / 2)
    grown = 1 + 0.1 * y * (y - 1) * np.sqrt(2) / 2
    assert grown[0] > 1 > grown[1]
    right = 2 * grown / grown.sum()
    torch.testing.assert_close(model.recurrent().detach(), right, rtol=1e-4, atol=0)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("constraint", ["log", "projected", "free"])
def test_signs_and_sums_stay_and_other_weights_too(rule, constraint):
    model = network(constraint)
    mine, row, col = within(model)
    before, inputs = model.recurrent().detach().clone(), model.from_inputs().detach().clone()
    hebbian = HebbianWithinLayers(model, LAYER, lr=0.3, rule=rule)
    for seed in range(20):
        hebbian.update([batch(seed), batch(seed + 100, steps=15)])
    after = model.recurrent().detach()
    assert torch.equal(after.sign(), before.sign())
    assert torch.equal(after[~mine], before[~mine]) and torch.equal(model.from_inputs(), inputs)
    assert len(hebbian) == int(mine.sum())
    # All but those that are the only ones of their sign.
    assert (torch.isclose(after, before)[mine].float().mean() < 0.4).item()
    for i in range(N):
        for sign in (-1, 1):
            rows = torch.from_numpy((row == i) & (SIGN[col] == sign)) & mine
            torch.testing.assert_close(after[rows].sum(), before[rows].sum(), rtol=1e-5, atol=0)


def test_weights_of_zero_stay_and_silent_neurons_change_nothing():
    row, col = np.array([0, 0, 1]), np.array([1, 3, 0])
    for constraint, weights in (("free", [0.0, 1.0, 0.0]), ("log", [1.0, 2.0, 3.0])):
        model = network(constraint, row, col, np.array(weights))
        rates = batch() if constraint == "free" else torch.zeros(1, 5, N)
        HebbianWithinLayers(model, LAYER, lr=0.5).update(rates)
        torch.testing.assert_close(model.recurrent().detach(), torch.tensor(weights))


def steps(model, rule, optimiser, seeds):
    for seed in seeds:
        rng = torch.Generator().manual_seed(seed)
        rates = model(20 * torch.rand(4, 12, CHANNELS, generator=rng))
        optimiser.zero_grad()
        rates[:, -1].square().mean().backward()
        rule.hide_gradients()
        optimiser.step()
        rule.update(rates)


def begun():
    model = network()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.01, eps=1e-11)
    return model, HebbianWithinLayers(model, LAYER, lr=0.01), optimiser


def test_adam_leaves_hidden_weights_alone_and_moves_all_others():
    model, rule, optimiser = begun()
    before = model.recurrent.trained.detach().clone()
    rule.update = lambda rates: None
    steps(model, rule, optimiser, range(5))
    moved = model.recurrent.trained.detach() != before
    assert torch.equal(moved, ~within(model)[0])


def test_training_is_repeatable_and_goes_on_bit_for_bit():
    model, rule, optimiser = begun()
    steps(model, rule, optimiser, range(6))
    again, second, other = begun()
    steps(again, second, other, range(3))
    third, resumed, last = begun()
    third.load_state_dict(again.state_dict())
    last.load_state_dict(other.state_dict())
    resumed.load_state_dict(second.state_dict())
    steps(third, resumed, last, range(3, 6))
    assert torch.equal(third.recurrent.trained, model.recurrent.trained)
    assert torch.equal(resumed.mean_square, rule.mean_square)


def test_only_the_last_steps_count():
    models = [network(), network()]
    for model, rates in zip(
        models, (batch(), torch.cat([50 * batch(1), batch()[:, -10:]], 1)), strict=True
    ):
        HebbianWithinLayers(model, LAYER, last=10).update(rates)
    assert torch.equal(models[0].recurrent.trained, models[1].recurrent.trained)


def test_bad_input():
    model = network()
    for message, layer, options in (
        ("unknown Hebbian rule 'ojas'", LAYER, {"rule": "ojas"}),
        ("a layer for each of 12 neurons", LAYER[:5], {}),
        ("lr must be above 0", LAYER, {"lr": 0.0}),
        ("last must be 1 or more", LAYER, {"last": 0}),
    ):
        with pytest.raises(InputError, match=message):
            HebbianWithinLayers(model, layer, **options)
    other = HebbianWithinLayers(model, np.zeros(N)).state_dict()
    with pytest.raises(DataError, match="for 132 connections does not fit one for 60"):
        HebbianWithinLayers(model, LAYER).load_state_dict(other)


def test_sampled_time_constants_follow_the_synapses_and_the_seed():
    tau_s = np.where(np.arange(20_000) % 5, 6.0, 3.0)
    tau = sampled_tau_r_ms(tau_s, 1, mean_ms=3.0, spread=0.4)
    assert tau.mean() == pytest.approx(3.0, rel=0.01)
    ratio = np.log(tau / tau_s)
    assert ratio.std() == pytest.approx(0.4, rel=0.02)
    assert abs(ratio[tau_s == 3].mean() - ratio[tau_s == 6].mean()) < 0.03
    assert np.array_equal(tau, sampled_tau_r_ms(tau_s, 1, mean_ms=3.0, spread=0.4))
    assert not np.array_equal(tau, sampled_tau_r_ms(tau_s, 2, mean_ms=3.0, spread=0.4))


def test_uniform_time_constants_are_two():
    network = two_kinds_of_cell("exponential")
    tau_s = neuron_tau_s_ms(network)
    # Neuron 0: 15 pA by 5.5 ms and 30 pA by 8 ms.
    assert tau_s[0] == pytest.approx((15 * 5.5 + 30 * 8) / 45)
    tau = uniform_tau_r_ms(tau_s, network.excitatory, mean_ms=3.0)
    assert len(set(tau.tolist())) == 2 and tau[0] == tau[1]
    assert tau.mean() == pytest.approx(3.0)


def test_bad_time_constants():
    for bad in (
        lambda: sampled_tau_r_ms(np.zeros(3), 1, mean_ms=3.0),
        lambda: sampled_tau_r_ms(np.ones(3), 1, mean_ms=3.0, spread=-1.0),
        lambda: sampled_tau_r_ms(np.ones((2, 3)), 1, mean_ms=3.0),
        lambda: uniform_tau_r_ms(np.ones(3), np.ones(2, bool), mean_ms=3.0),
    ):
        with pytest.raises(InputError):
            bad()
