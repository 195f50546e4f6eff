"""Training a converted network through its spikes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from trained_column import small_column

from circuits.conversion import fine_tuning
from circuits.conversion.calibration import with_currents
from circuits.conversion.fine_tuning import fine_tune, rate_loss
from converters import to_spiking
from toolkit.errors import InputError

FEW = dict(items=2, dt_ms=1.0, show_progress=False)


def test_the_loss_is_that_of_expected_rates():
    """Whatever the noise of single trials."""
    draws = torch.Generator().manual_seed(1)
    expected, actual = torch.tensor([0.5, 4.0, 10.0]), torch.tensor([1.5, 3.0, 10.0])
    rate = actual.expand(4000, 5, 3)
    first, second = (torch.poisson(0.05 * rate, draws) / 0.05 for _ in range(2))
    found = rate_loss(first, second, expected.expand(4000, 5, 3))
    assert found.item() == pytest.approx((1.0 / 1.0 + 1.0 / 4.0 + 0.0) / 3, abs=0.1)


def test_currents_that_are_wrong_are_trained_away(monkeypatch):
    monkeypatch.setattr(fine_tuning, "HELD_OUT_ITEMS", 4)
    trained = small_column(lgn=True)
    right = to_spiking(trained.model, trained.network)
    wrong = with_currents(right, 4.0 * trained.network.neurons["g_nS"])
    found = fine_tune(trained, wrong, steps=6, look_every=3, learning_rate=0.03, **FEW)
    assert np.isnan(found.steps["held_out_error"]).tolist() == [False, True, True] * 2 + [False]
    looks = found.steps["held_out_error"][::3]
    assert looks[-1] == looks.min() < 0.8 * looks[0]
    away = (found.network.neurons["I_ext_pA"] - wrong.neurons["I_ext_pA"]) / wrong.neurons["g_nS"]
    assert np.median(away) < -1.0


def test_a_network_that_gets_worse_stays_as_it_was(monkeypatch):
    monkeypatch.setattr(fine_tuning, "HELD_OUT_ITEMS", 2)
    trained = small_column(lgn=True)
    network = to_spiking(trained.model, trained.network)
    found = fine_tune(trained, network, steps=1, learning_rate=1.0, **FEW)
    assert found.steps["held_out_error"][1] > found.steps["held_out_error"][0]
    np.testing.assert_array_equal(found.network.synapses.weight, network.synapses.weight)


def test_signs_stay_and_runs_are_the_same_again(monkeypatch):
    monkeypatch.setattr(fine_tuning, "HELD_OUT_ITEMS", 2)
    trained = small_column(lgn=True)
    right = to_spiking(trained.model, trained.network)
    network = with_currents(right, 4.0 * trained.network.neurons["g_nS"])
    how = dict(steps=2, learning_rate=0.03, **FEW)
    once, again = (fine_tune(trained, network, seed=3, **how).network for _ in range(2))
    assert once.digest() == again.digest()
    for old, new in (
        (network.synapses, once.synapses),
        (network.inputs["lgn"].synapses, once.inputs["lgn"].synapses),
    ):
        assert (np.sign(old.weight) == np.sign(new.weight)).all()
        assert 0 < np.abs(new.weight / old.weight - 1).max() < 0.1
    before, after = (each.inputs["background"].synapses.weight for each in (network, once))
    np.testing.assert_array_equal(before, after)
    other = fine_tune(trained, network, seed=4, **how)
    assert other.network.digest() != once.digest()


def test_bad_input():
    trained = small_column(lgn=True)
    with pytest.raises(InputError, match="one spiking neuron for each rate unit"):
        fine_tune(trained, to_spiking(trained.model, trained.network, replicas=2))
    network = to_spiking(trained.model, trained.network)
    with pytest.raises(InputError, match="steps, items and look_every must be 1 or more"):
        fine_tune(trained, network, steps=0)
