"""Converted networks on other simulators: the same spikes, so the same responses."""

from __future__ import annotations

import dataclasses
import importlib.util

import numpy as np
import pytest
from trained_column import small_column

from circuits.conversion import backends
from circuits.conversion.responses import own_timing, spiking_responses
from circuits.conversion.study import Options
from converters import to_spiking
from toolkit.errors import InputError

needs_nest = pytest.mark.skipif(
    importlib.util.find_spec("nest") is None,
    reason="needs nest-simulator: pip install 'striate[nest]'",
)


@needs_nest
@pytest.mark.parametrize("replicas", [1, 2])
def test_nest_responds_as_brian2(replicas: int):
    trained = small_column(lgn=True)
    network = to_spiking(trained.model, trained.network, replicas=replicas)
    shown = own_timing(trained, 3)
    pools = trained.model.pools.numpy()
    found = [
        spiking_responses(
            backends.simulation(network, name), shown, pools, trial=1, seed=4, workers=2,
            show_progress=False,
        )
        for name in ("brian2", "nest")
    ]  # fmt: skip
    for brian2, nest in zip(*found, strict=True):
        assert brian2.rates_Hz.sum() > 0
        for field in dataclasses.fields(brian2):
            np.testing.assert_array_equal(getattr(brian2, field.name), getattr(nest, field.name))


def test_unknown_backends_are_named():
    trained = small_column(lgn=True)
    with pytest.raises(InputError, match="unknown backend 'neuron'; accepted: brian2, nest, cuda"):
        backends.simulation(trained.network, "neuron")
    with pytest.raises(InputError, match="unknown backend 'brain2'"):
        Options(backend="brain2")
