"""A random recurrent circuit whose every spike is known from NEST.

Made by fixed calls of ``numpy.random.default_rng``, so it needs no data file. NEST 3.10's
``glif_psc``, Brian2 and BMTK's PointNet fire the identical spikes on it. Weights are multiples of
1/64 pA, so that the sum of simultaneous arrivals is exact in any order; delays and input spikes are
on the grid of 0.1 ms.
"""

from __future__ import annotations

import hashlib

import numpy as np

from toolkit import Input, Network, Receptor, Recording, Synapses, Table

DT_MS = 0.1
INPUT_HZ = 20.0
EXCITATORY_FRACTION = 0.8
RECEPTORS = {
    "e2e": Receptor(5.5),
    "i2e": Receptor(8.5),
    "e2i": Receptor(2.8),
    "i2i": Receptor(5.8),
}
# Two excitatory and two inhibitory cell models.
CELL_MODELS = {
    "C_m_pF": (239.0, 180.0, 79.0, 110.0),
    "g_nS": (8.9, 9.5, 5.2, 7.0),
    "E_L_mV": (-78.0, -75.0, -72.0, -70.0),
    "V_th_mV": (-43.0, -47.0, -43.0, -45.0),
    "t_ref_ms": (3.1, 2.2, 1.8, 2.5),
    "asc_decay_1_per_ms": (0.003, 0.01, 0.1, 0.03),
    "asc_decay_2_per_ms": (0.1, 0.3, 0.3, 0.1),
    "asc_amp_1_pA": (-9.18, -6.6, -60.0, -4.0),
    "asc_amp_2_pA": (-198.9, -68.0, -150.0, -40.0),
}


def make(
    n: int = 3000,
    *,
    n_channels: int = 500,
    in_degree: int = 167,
    input_in_degree: int = 30,
    duration_ms: float = 1000.0,
    gain: float = 1.0,
    off_grid: bool = False,
    seed: int = 1,
) -> tuple[Network, Recording]:
    """The circuit and the spikes that drive it.

    With `off_grid` every neuron has a refractory period of its own, in hundredths of a millisecond:
    most are no multiple of the step of 0.1 ms.

    The order of the draws below is part of the definition.
    """
    rng = np.random.default_rng(seed)
    n_excitatory = int(n * EXCITATORY_FRACTION)
    excitatory = np.arange(n) < n_excitatory
    model = np.where(excitatory, rng.integers(0, 2, n), 2 + rng.integers(0, 2, n))

    pre = rng.integers(0, n, n * in_degree)
    post = np.repeat(np.arange(n), in_degree)
    other = pre != post
    pre, post = pre[other], post[other]
    from_e, to_e = excitatory[pre], excitatory[post]
    receptor = 2 * ~to_e + ~from_e
    size = rng.lognormal(0, 0.5, len(pre)) * np.where(from_e, 6.0, -24.0) * gain
    delay = np.round(rng.uniform(1.0, 3.0, len(pre)) * 10).astype(int)
    recurrent = Synapses.sort(pre, post, _dyadic(size), delay * DT_MS, receptor)

    channel = rng.integers(0, n_channels, n * input_in_degree)
    target = np.repeat(np.arange(n), input_in_degree)
    size = rng.lognormal(0, 0.3, len(channel)) * np.where(excitatory[target], 22.0, 16.0)
    delay = np.round(rng.uniform(1.0, 2.0, len(channel)) * 10).astype(int)
    receptor = np.where(excitatory[target], 0, 2)
    feedforward = Synapses.sort(channel, target, _dyadic(size), delay * DT_MS, receptor)

    n_steps = round(duration_ms / DT_MS)
    chance = INPUT_HZ * DT_MS * 1e-3
    step, source = np.nonzero(rng.random((n_steps, n_channels)) < chance)
    step, source = step[step >= 1], source[step >= 1]

    columns = {name: np.array(values)[model] for name, values in CELL_MODELS.items()}
    to_threshold = columns["V_th_mV"] - columns["E_L_mV"]
    start = columns["E_L_mV"] + rng.uniform(0, 1, n) * to_threshold * 0.9
    columns["V_init_mV"] = np.round(start * 1024) / 1024
    columns["V_reset_mV"] = columns["E_L_mV"]
    if off_grid:
        columns["t_ref_ms"] = np.round(np.random.default_rng(7).uniform(0.7, 5.0, n), 2)
    kind = np.where(excitatory, "e", "i")
    neurons = Table(
        dict(population=kind, cell_class=kind, sign=np.where(excitatory, 1, -1), **columns)
    )
    network = Network(neurons, recurrent, RECEPTORS, {"drive": Input(n_channels, feedforward)})
    drive = Recording.spikes(
        step * DT_MS, source, n=n_channels, dt_ms=DT_MS, duration_ms=duration_ms
    )
    return network, drive


def _dyadic(weight_pA: np.ndarray) -> np.ndarray:
    return np.round(weight_pA * 64) / 64


def steps_and_ids(spikes: Recording) -> np.ndarray:
    """Spikes as rows of (step, neuron) in ascending order."""
    assert spikes.spike_times_ms is not None and spikes.spike_ids is not None
    return in_order(np.round(spikes.spike_times_ms / DT_MS), spikes.spike_ids)


def in_order(steps: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Rows of (step, neuron) sorted by step, then neuron."""
    return np.stack([steps, ids], axis=1).astype("<i8")[np.lexsort((ids, steps))]


def digest(rows: np.ndarray) -> str:
    """SHA-256 of `steps_and_ids`."""
    return hashlib.sha256(np.ascontiguousarray(rows, dtype="<i8").tobytes()).hexdigest()
