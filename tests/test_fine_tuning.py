"""Training a converted network through its spikes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from trained_column import small_column

from circuits.conversion.calibration import with_currents
from circuits.conversion.fine_tuning import fine_tune, rate_loss
from converters import to_spiking
from toolkit.errors import InputError

FEW = dict(items=2, show_progress=False)


def test_the_loss_is_that_of_expected_rates():
    """Whatever the noise of single trials."""
    draws = torch.Generator().manual_seed(1)
    expected, actual = torch.tensor([0.5, 4.0, 10.0]), torch.tensor([1.5, 3.0, 10.0])
    rate = actual.expand(4000, 5, 3)
    first, second = (torch.poisson(0.05 * rate, draws) / 0.05 for _ in range(2))
    found = rate_loss(first, second, expected.expand(4000, 5, 3))
    assert found.item() == pytest.approx((1.0 / 1.0 + 1.0 / 4.0 + 0.0) / 3, abs=0.1)


def test_currents_that_are_wrong_are_trained_away():
    trained = small_column(lgn=True)
    right = to_spiking(trained.model, trained.network)
    wrong = with_currents(right, 4.0 * trained.network.neurons["g_nS"])
    found = fine_tune(trained, wrong, steps=6, learning_rate=0.03, **FEW)
    error = found.steps["error"]
    assert error[-2:].mean() < 0.5 * error[:2].mean()
    away = (found.network.neurons["I_ext_pA"] - wrong.neurons["I_ext_pA"]) / wrong.neurons["g_nS"]
    assert np.median(away) < -1.0


def test_signs_stay_and_runs_are_the_same_again():
    trained = small_column(lgn=True)
    network = to_spiking(trained.model, trained.network)
    once, again = (fine_tune(trained, network, steps=2, seed=3, **FEW).network for _ in range(2))
    assert once.digest() == again.digest()
    for old, new in (
        (network.synapses, once.synapses),
        (network.inputs["lgn"].synapses, once.inputs["lgn"].synapses),
    ):
        assert (np.sign(old.weight) == np.sign(new.weight)).all()
        assert 0 < np.abs(new.weight / old.weight - 1).max() < 0.05
    before, after = (each.inputs["background"].synapses.weight for each in (network, once))
    np.testing.assert_array_equal(before, after)
    other = fine_tune(trained, network, steps=2, seed=4, **FEW)
    assert other.network.digest() != once.digest()


def test_bad_input():
    trained = small_column(lgn=True)
    with pytest.raises(InputError, match="one spiking neuron for each rate unit"):
        fine_tune(trained, to_spiking(trained.model, trained.network, replicas=2))
    network = to_spiking(trained.model, trained.network)
    with pytest.raises(InputError, match="steps and items must be 1 or more"):
        fine_tune(trained, network, steps=0)
