"""Calibration of converted networks, on spikes of rate networks with currents that are known."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from trained_column import small_column

from circuits.conversion import calibration
from circuits.conversion.calibration import calibrate, current_at, with_currents
from circuits.training import Prepared
from converters import to_spiking
from toolkit.errors import InputError
from toolkit.network import Network
from toolkit.recording import Recording
from toolkit.scan import scan


class Biased:
    """Poisson spikes of the rate network with an error of its constant currents."""

    def __init__(self, trained: Prepared, network: Network, error_pA: np.ndarray):
        self.trained, self.network = trained, network
        added = network.neurons["I_ext_pA"][:: network.n // trained.model.n]
        self.constant_pA = trained.model.constant_pA + torch.from_numpy(error_pA + added).float()

    def job(self, inputs: dict[str, Recording], *, seed: int) -> tuple[Recording, int]:
        return inputs["lgn"], seed

    @torch.no_grad()
    def run_jobs(self, jobs: Iterator[Any], **_: Any) -> Iterator[Recording]:
        model = self.trained.model
        for driving, seed in jobs:
            inputs = torch.from_numpy(np.array(driving.rates_Hz))[None]
            rates = scan(
                model.connections, model.system, model.weights(), self.constant_pA, inputs
            )[0]
            many = np.repeat(rates.numpy(), self.network.n // model.n, axis=1)
            yield Recording.rates(many, dt_ms=model.dt_ms).to_spikes(seed)


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
    monkeypatch.setattr(
        calibration, "to_brian2", lambda network, device: Biased(trained, network, error)
    )
    network = to_spiking(trained.model, trained.network, replicas=replicas)
    found = calibrate(trained, network, items=16, per=per, damping=0.8, show_progress=False)
    steps = found.steps
    before, after = steps["held_out_log_R2"][0], steps["held_out_log_R2"].max()
    assert after > before + 0.05
    assert steps["kept"][int(steps["held_out_log_R2"].argmax())]
    assert np.corrcoef(found.current_pA, -error)[0, 1] > 0.6
    added = found.network.neurons["I_ext_pA"]
    np.testing.assert_allclose(added, np.repeat(found.current_pA, replicas))
    assert found.network.synapses is network.synapses
    if per == "class":
        for name in np.unique(trained.cell_class):
            assert np.ptp(found.current_pA[trained.cell_class == name]) < 1e-9


def test_nothing_is_added_where_nothing_is_wrong(
    trained: Prepared, monkeypatch: pytest.MonkeyPatch
):
    nothing = np.zeros(trained.model.n)
    monkeypatch.setattr(
        calibration, "to_brian2", lambda network, device: Biased(trained, network, nothing)
    )
    network = to_spiking(trained.model, trained.network)
    found = calibrate(trained, network, items=16, per="class", max_steps=1, show_progress=False)
    mV = found.current_pA / trained.network.neurons["g_nS"]
    assert np.abs(mV).mean() < 0.5
    assert len(found.steps.rows) <= 2


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
