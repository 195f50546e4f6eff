"""Calibration of converted networks, on spikes of rate networks with currents that are known."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from trained_column import small_column

from circuits.conversion import calibration
from circuits.conversion.calibration import (
    calibrate,
    current_at,
    rate_error,
    shrunken,
    slopes,
    with_currents,
)
from circuits.conversion.responses import rate_responses, stimulus_held
from circuits.conversion.time_constants import course_error, fit_tau_r, using
from circuits.training import Prepared
from converters import to_spiking
from toolkit.errors import InputError
from toolkit.network import Network
from toolkit.recording import Recording
from toolkit.scan import scan


class Biased:
    """Poisson spikes of the rate network with errors of its constant currents and its gains."""

    def __init__(
        self,
        trained: Prepared,
        start: Network,
        network: Network,
        error_pA: np.ndarray,
        error: np.ndarray | float = 1.0,
    ):
        self.trained, self.network = trained, network
        model, each = trained.model, network.n // trained.model.n
        added = network.neurons["I_ext_pA"][::each]
        self.constant_pA = model.constant_pA + torch.from_numpy(error_pA + added).float()
        gain = error * gains_between(start, network)[::each]
        row = model.connections.row.long() % model.n
        self.weights = model.weights().detach() * torch.from_numpy(gain).float()[row]

    def job(self, inputs: dict[str, Recording], *, seed: int) -> tuple[Recording, int]:
        return inputs["lgn"], seed

    @torch.no_grad()
    def run_jobs(self, jobs: Iterator[Any], **_: Any) -> Iterator[Recording]:
        model = self.trained.model
        for driving, seed in jobs:
            inputs = torch.from_numpy(np.array(driving.rates_Hz))[None]
            rates = scan(model.connections, model.system, self.weights, self.constant_pA, inputs)[0]
            many = np.repeat(rates.numpy(), self.network.n // model.n, axis=1)
            yield Recording.rates(many, dt_ms=model.dt_ms).to_spikes(seed)


def gains_between(before: Network, after: Network) -> np.ndarray:
    """What the weights of each neuron's synapses have been multiplied by."""
    gain = np.ones(before.n)
    for b, a in (
        (before.inputs["lgn"].synapses, after.inputs["lgn"].synapses),
        (before.synapses, after.synapses),
    ):
        there = b.weight != 0
        gain[b.post[there]] = a.weight[there] / b.weight[there]
    return gain


@pytest.fixture(scope="module")
def trained() -> Prepared:
    return small_column(lgn=True)


def error_of(trained: Prepared, per: str) -> np.ndarray:
    """Up to 8 mV of the free membrane, of each neuron or class."""
    rng = np.random.default_rng(1)
    if per == "neuron":
        size = rng.uniform(-8, 8, trained.model.n)
    else:
        classes, each = np.unique(trained.cell_class, return_inverse=True)
        size = rng.uniform(-8, 8, len(classes))[each]
    return size * trained.network.neurons["g_nS"]


@pytest.mark.parametrize(("per", "replicas"), [("neuron", 1), ("class", 1), ("neuron", 2)])
def test_errors_of_currents_are_found(
    trained: Prepared, monkeypatch: pytest.MonkeyPatch, per: str, replicas: int
):
    error = error_of(trained, per)
    network = to_spiking(trained.model, trained.network, replicas=replicas)
    monkeypatch.setattr(
        calibration, "simulation", lambda made, *_, **__: Biased(trained, network, made, error)
    )
    found = calibrate(trained, network, items=32, per=per, damping=0.8, show_progress=False)
    steps = found.steps
    assert steps["held_out_log_R2"].max() > steps["held_out_log_R2"][0] + 0.05
    assert steps["held_out_error"].min() < 0.9 * steps["held_out_error"][0]
    assert steps["kept"][int(steps["held_out_error"].argmin())]
    assert np.corrcoef(found.current_pA, -error)[0, 1] > 0.6
    added = found.network.neurons["I_ext_pA"]
    np.testing.assert_allclose(added, np.repeat(found.current_pA, replicas))
    each = gains_between(network, found.network)
    np.testing.assert_allclose(each, np.repeat(found.gain, replicas), rtol=1e-5)
    background = [name for name, one in network.inputs.items() if one.rate_Hz is not None]
    assert all(found.network.inputs[name] is network.inputs[name] for name in background)
    if per == "class":
        for name in np.unique(trained.cell_class):
            assert np.ptp(found.current_pA[trained.cell_class == name]) < 1e-9
            assert np.ptp(found.gain[trained.cell_class == name]) < 1e-9


def test_nothing_is_added_where_nothing_is_wrong(
    trained: Prepared, monkeypatch: pytest.MonkeyPatch
):
    nothing = np.zeros(trained.model.n)
    network = to_spiking(trained.model, trained.network)
    monkeypatch.setattr(
        calibration, "simulation", lambda made, *_, **__: Biased(trained, network, made, nothing)
    )
    found = calibrate(trained, network, items=16, per="class", max_steps=1, show_progress=False)
    mV = found.current_pA / trained.network.neurons["g_nS"]
    assert np.abs(mV).mean() < 0.5
    assert np.abs(np.log(found.gain)).mean() < 0.1
    assert len(found.steps.rows) <= 2


def test_errors_of_gains_are_found(trained: Prepared, monkeypatch: pytest.MonkeyPatch):
    classes, each = np.unique(trained.cell_class, return_inverse=True)
    error = np.random.default_rng(2).uniform(0.6, 1.6, len(classes))[each]
    nothing = np.zeros(trained.model.n)
    network = to_spiking(trained.model, trained.network)
    monkeypatch.setattr(
        calibration,
        "simulation",
        lambda made, *_, **__: Biased(trained, network, made, nothing, error),
    )
    found = calibrate(trained, network, items=32, per="class", show_progress=False)
    large = np.bincount(each)[each] >= 10
    assert np.corrcoef(np.log(found.gain[large]), -np.log(error[large]))[0, 1] > 0.6


def test_slopes_are_drawn_to_their_class_by_their_noise():
    rng = np.random.default_rng(3)
    truth = np.concatenate([np.full(300, 1.4), rng.normal(0.8, 0.3, 300)])
    names = np.repeat(["same", "varied"], 300)
    expected = rng.gamma(4, 5, (60, 600))
    found = truth * expected + rng.normal(0, 10, expected.shape)
    slope, variance = slopes(found, expected, np.full(60, 0.2))
    drawn = shrunken(slope, variance, names)
    assert np.square(drawn - truth).mean() < 0.8 * np.square(slope - truth).mean()
    assert np.ptp(drawn[:300]) < 0.3 * np.ptp(slope[:300])
    assert np.corrcoef(drawn[300:], truth[300:])[0, 1] > 0.8
    whole = shrunken(slope, variance, names, whole=True)
    np.testing.assert_allclose(whole[[0, 599]], [1.4, 0.8], atol=0.1)
    assert np.ptp(whole[:300]) == 0


def test_the_error_of_poisson_spikes_is_one_over_the_window():
    rng = np.random.default_rng(4)
    expected = rng.gamma(5, 4, (50, 400))
    assert rate_error(rng.poisson(expected * 0.2) / 0.2, expected) == pytest.approx(5, rel=0.05)
    assert rate_error(expected, expected) == 0


def test_the_inverse_of_f(trained: Prepared):
    curve = trained.model.curve
    current = np.full(trained.model.n, 150.0)
    held = torch.from_numpy(current).float()[:, None]
    rates = curve.value_and_slope(held)[0][:, 0].double().numpy()
    again = torch.from_numpy(current_at(curve, rates)).float()[:, None]
    found = curve.value_and_slope(again)[0][:, 0].double().numpy()
    np.testing.assert_allclose(found, rates, rtol=0.1, atol=0.01)  # steep ones between points
    assert np.median(np.abs(found - rates) / rates) < 1e-3
    assert np.median(np.abs(current_at(curve, rates) - current)) < 0.1
    assert np.isfinite(current_at(curve, np.zeros(len(rates)))).all()
    assert np.isfinite(current_at(curve, np.full(len(rates), 1e6))).all()


def test_currents_add_up(trained: Prepared):
    network = to_spiking(trained.model, trained.network)
    once = with_currents(network, np.ones(network.n))
    twice = with_currents(once, np.ones(network.n))
    assert (twice.neurons["I_ext_pA"] == 2).all()
    assert twice.neurons["cell_class"].tolist() == network.neurons["cell_class"].tolist()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"items": 4}, "4 items a task are too few: rates would be known to .* %"),
        ({"per": "layer"}, "unknown per 'layer'"),
        ({"damping": 0.0}, "damping is 0 to 1"),
    ],
)
def test_bad_input(trained: Prepared, given: dict[str, Any], message: str):
    network = to_spiking(trained.model, trained.network)
    with pytest.raises(InputError, match=message):
        calibrate(trained, network, **given)


def test_time_constants_of_classes_are_found(trained: Prepared):
    """Of one class they are 4 times as long, of another twice (their step is longer than they)."""
    model, classes = trained.model, trained.cell_class
    shown = stimulus_held(trained, 8, (200.0,))
    slow, slower = classes == "e6", classes == "e4"
    own = model.tau_r_ms.clone()
    truth = own.numpy() * np.where(slower, 4.0, np.where(slow, 2.0, 1.0))
    with using(model, truth):
        target = rate_responses(model, shown)
    assert torch.equal(model.tau_r_ms, own)
    found = fit_tau_r(trained, shown, target, show_progress=False)
    assert torch.equal(model.tau_r_ms, own)
    assert found.error[-1] < 0.3 * found.error[0]
    assert (np.diff(found.error) <= 0).all()
    factor = found.tau_r_ms / own.numpy()
    assert factor[slower][0] == pytest.approx(4, rel=0.3) and np.ptp(factor[slower]) < 1e-6
    assert factor[slow][0] == pytest.approx(2, rel=0.3)
    row = found.classes.where(cell_class="e4")
    assert row["after"][0] / row["before"][0] == pytest.approx(factor[slower][0], rel=1e-5)
    with pytest.raises(InputError, match="responses to 8 items of each task are needed"):
        fit_tau_r(trained, shown, target[:1])


def test_errors_of_courses_leave_out_their_level():
    course = np.array([[0.0, 2.0], [4.0, 2.0]])
    assert course_error(course + 5, course) == 0
    assert course_error(course, np.zeros((2, 2))) == pytest.approx((4 / 2 + 0) / 2)
