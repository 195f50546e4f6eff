"""Synapses of a `Network` in NEST, connected by arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from converters.grid import delay_steps
from converters.slots import Slots
from toolkit.network import Synapses

# Rows handed over at a time: NEST wants 40 bytes each, of which the network has 17.
ROWS = 4_000_000


def connect(
    nest: Any,
    synapses: Synapses,
    sources: np.ndarray,
    targets: np.ndarray,
    slots: Slots,
    dt_ms: float,
    what: str,
) -> None:
    """Connect nodes, with delays rounded to the grid by `converters.grid`.

    Parameters
    ----------
    nest : the module
    synapses : whose ``pre`` and ``post`` are positions in `sources` and `targets`
    sources, targets : numbers of nodes
    slots : port k of a neuron is its slot k - 1
    dt_ms : time step
    what : these synapses, for the warning about delays off the grid
    """
    steps = delay_steps(synapses.delay_ms, dt_ms, what)
    for first in range(0, len(synapses), ROWS):
        rows = slice(first, first + ROWS)
        pre, post = synapses.pre[rows], synapses.post[rows]
        nest.Connect(
            sources[pre],
            targets[post],
            "one_to_one",
            {
                "synapse_model": "static_synapse",
                "weight": synapses.weight[rows].astype(np.float64),
                "delay": steps[rows] * dt_ms,
                "receptor_type": slots.of_receptor[post, synapses.receptor[rows]].astype(np.int64)
                + 1,
            },
        )
