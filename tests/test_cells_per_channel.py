"""Channels of the driven input that stand for several cells."""

import numpy as np
import pytest

from circuits import v1
from converters.conversion import check_conversion, to_spiking
from converters.trainable import trainable
from toolkit.errors import InputError

CELLS = 21


@pytest.fixture(scope="module")
def column():
    return v1.column(300, seed=1)


@pytest.mark.parametrize("trained_with", [1, CELLS])
def test_a_channel_of_several_cells_has_their_share_of_the_weight(column, trained_with):
    model = trainable(column, [[0, 1]], cells_per_channel=trained_with)
    one, several = (to_spiking(model, column, cells_per_channel=K) for K in (1, CELLS))
    as_trained = to_spiking(model, column).provenance["to_spiking"]["cells_per_channel"]
    assert as_trained == trained_with
    np.testing.assert_array_equal(several.synapses.weight, one.synapses.weight)
    (name,) = (name for name, each in column.inputs.items() if each.rate_Hz is None)
    weight, whole = (each.inputs[name].synapses.weight for each in (several, one))
    np.testing.assert_allclose(CELLS * weight, whole, rtol=1e-6)
    assert several.provenance["to_spiking"]["cells_per_channel"] == CELLS


def test_the_check_expects_their_smaller_noise(column):
    model = trainable(column, [[0, 1]])
    n_channels = model.connections.n_channels
    rates = np.full(column.n, 3.0), np.full(n_channels, 8.0)
    one, several = (
        check_conversion(model, column, *rates, cells_per_channel=K).classes for K in (1, CELLS)
    )
    expected = one["sigma_input_mV"] / np.sqrt(CELLS)
    np.testing.assert_allclose(several["sigma_input_mV"], expected, rtol=1e-6)
    np.testing.assert_allclose(several["sigma_recurrent_mV"], one["sigma_recurrent_mV"])


@pytest.mark.parametrize("cells", [0, 1.5])
def test_parts_of_cells_are_refused(column, cells):
    with pytest.raises(InputError, match="cells_per_channel must be a whole number"):
        to_spiking(trainable(column, [[0, 1]]), column, cells_per_channel=cells)
