"""A small network that uses all that NEST's backend can do, and what drives it."""

from __future__ import annotations

import numpy as np
from small_networks import neurons

from toolkit import Input, Network, Receptor, Recording, Synapses

DT_MS = 0.25
N = 60


def spikes_of(recording: Recording) -> np.ndarray:
    assert recording.spike_times_ms is not None and recording.spike_ids is not None
    return np.stack([recording.spike_times_ms, recording.spike_ids])


def assert_same(ours: Recording, theirs: Recording, at_least: int) -> None:
    """The identical spikes, bit for bit, and enough of them."""
    assert np.array_equal(spikes_of(ours), spikes_of(theirs))
    assert spikes_of(ours).shape[1] >= at_least
    assert (ours.n, ours.dt_ms, ours.duration_ms) == (theirs.n, theirs.dt_ms, theirs.duration_ms)


def mixed_network(*, exponential: bool = False) -> Network:
    """60 neurons, every kind of receptor of `glif_psc` and every kind of input.

    Neurons differ in which receptors they have, hence in NEST's model and in their ports; some have
    none of a kind, and the last have no synapses at all. With `exponential`, neurons that would
    have double-alpha receptors have exponential ones.
    """
    rng = np.random.default_rng(3)
    receptors = {
        "e": Receptor(5.5),
        "i": Receptor(8.5),
        "e_double": Receptor(1.7, "double_alpha", 4.4, 0.6),
        "i_double": Receptor(1.4, "double_alpha", 6.2, 0.4),
    }
    if exponential:
        receptors |= {
            "e_double": Receptor(3.0, "exponential"),
            "i_double": Receptor(6.0, "exponential"),
        }
    connected = N - 4

    def wired(n_pre: int, n: int, size: float, kinds: np.ndarray | None = None) -> Synapses:
        pre, post = rng.integers(0, n_pre, n), rng.integers(0, connected, n)
        sign = np.ones(n) if kinds is None else np.where(kinds[pre] == 1, -1.5, 1.0)
        receptor = (sign < 0) + 2 * (post % 3 == 0)
        weight = size * sign * rng.lognormal(0, 0.4, n)
        return Synapses.sort(pre, post, weight, DT_MS * rng.integers(1, 12, n), receptor)

    inhibitory = (np.arange(N) % 4 == 3).astype(int)
    everyone = np.arange(connected)
    background = Synapses(
        everyone, everyone, rng.uniform(30, 60, connected), np.full(connected, 1.0),
        2 * (everyone % 3 == 0),
    )  # fmt: skip
    cells = neurons(
        N,
        g_nS=rng.uniform(4, 8, N),
        t_ref_ms=rng.uniform(0.7, 4, N).round(2),
        V_reset_mV=rng.uniform(-72, -66, N),
        V_init_mV=rng.uniform(-70, -52, N),
        I_ext_pA=np.where(np.arange(N) >= connected, 150.0, 0.0),
    )
    return Network(
        cells,
        wired(N, 900, 25.0, inhibitory),
        receptors,
        {
            "lgn": Input(12, wired(12, 200, 40.0)),
            "background": Input(connected, background, rate_Hz=5000.0),
            "shared": Input(7, wired(7, 100, 15.0), rate_Hz=400.0),
        },
    )


def waves() -> Recording:
    """Rates of its 12 LGN channels."""
    rates = 60 * (1 + np.sin(np.arange(400) / 40))[:, None] * np.linspace(0.1, 2, 12)
    return Recording.rates(rates, dt_ms=1.0)
