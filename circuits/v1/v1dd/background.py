"""The background of a V1DD column: 100 Poisson sources shared by all neurons."""

from __future__ import annotations

import numpy as np

from circuits.allen.v1dd import V1DDTables
from toolkit.network import Input, Synapses
from toolkit.rng import stream

# Of the Allen Institute's biorealistic-v1-model (2026).
N_SOURCES = 100
RATE_HZ = 250.0
N_CONNECTIONS = 4  # of a neuron: 1 kHz in all
DELAY_MS = 1.0


def background_input(cell: np.ndarray, tables: V1DDTables, seed: int) -> Input:
    """Connect every neuron to 4 different ones of 100 sources of 250 Hz.

    The weights are those of the tables, by cell model. Confirmed in the source: they were fitted
    without recurrent synapses, with the LGN at rest, to 27 % of the recorded median rates. With
    the recurrent synapses, which the source then trains and these columns have as drawn, inhibition
    prevails and the rates of E are lower still.

    Parameters
    ----------
    cell : row of each neuron's cell model in ``tables.cells``
    """
    rng = stream(seed, "background sources")
    source = np.sort(rng.integers(N_SOURCES, size=(len(cell), N_CONNECTIONS)), axis=1)
    while len(again := np.flatnonzero((np.diff(source, axis=1) == 0).any(axis=1))):
        source[again] = np.sort(rng.integers(N_SOURCES, size=(len(again), N_CONNECTIONS)), axis=1)
    receptors = tables.kinetics["receptor"].tolist()
    receptor = np.array([receptors.index(f"exc_to_{t}") for t in tables.cells["synaptic_type"]])
    n = source.size
    synapses = Synapses(
        pre=source.ravel(),
        post=np.repeat(np.arange(len(cell)), N_CONNECTIONS),
        weight=np.repeat(tables.cells["background_weight_pA"][cell], N_CONNECTIONS),
        delay_ms=np.full(n, DELAY_MS),
        receptor=np.repeat(receptor[cell], N_CONNECTIONS),
    )
    return Input(n=N_SOURCES, synapses=synapses, rate_Hz=RATE_HZ)
