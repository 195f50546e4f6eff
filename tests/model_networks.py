"""A small recurrent network of any neuron model, with an external and a Poisson input."""

from __future__ import annotations

import numpy as np

from toolkit import Input, Network, Receptor, Recording, Synapses
from toolkit.neurons.models import MODELS
from toolkit.table import Table

N, N_SOURCES, DT_MS = 40, 12, 0.1
# Peaks of one spike of a model's weight 1 differ by what the weight is of; these make it fire.
GAIN = {
    "lif_psc_exp": 4.0,
    "lif_psc_alpha": 2.0,
    "lif_psc_delta": 0.03,
    "lif_cond_exp": 0.35,
    "adex_cond_exp": 2.0,
    "izhikevich": 0.05,
    "hh_psc_alpha": 8.0,
}


def receptors_of(model: str) -> dict[str, Receptor]:
    """Two receptors: excitatory and inhibitory, of different kernels where the model has any."""
    ports = MODELS[model].ports
    if ports:
        return {port: Receptor(0.0, "port") for port in ports}
    return {
        "fast": Receptor(1.7, "double_alpha", tau_slow_ms=4.4, amp_slow=0.6),
        "slow": Receptor(5.5, "exponential"),
    }


def network_of(model: str, seed: int = 1) -> Network:
    """40 neurons, 10 recurrent synapses each; parameters spread by a tenth of the default."""
    rng = np.random.default_rng(seed)
    sign = np.where(np.arange(N) % 4 == 3, -1, 1)
    columns = {
        "population": np.full(N, "p"),
        "cell_class": np.where(sign > 0, "e", "i"),
        "sign": sign.astype(np.int8),
    }
    for p in MODELS[model].parameters:
        default = GLIF3.get(p.name) if p.default is None else p.default
        if p.name == "C_m_pF" and default is not None:
            columns[p.name] = default * rng.uniform(0.9, 1.1, N)
        elif p.name in GLIF3 and default is not None:
            columns[p.name] = np.full(N, default)
    receptors = receptors_of(model)
    gain = GAIN.get(model, 1.0)

    def synapses(n_pre: int, pre_sign: np.ndarray, per_neuron: int, peak: float) -> Synapses:
        post = np.repeat(np.arange(N), per_neuron)
        pre = rng.integers(0, n_pre, len(post))
        weight = peak * gain * pre_sign[pre] * rng.uniform(0.5, 1.5, len(post))
        receptor = np.where(pre_sign[pre] > 0, 0, len(receptors) - 1)
        delay = np.round(rng.uniform(1.0, 3.0, len(post)), 1)
        return Synapses.sort(pre, post, weight, delay, receptor)

    excited = np.ones(N_SOURCES)
    return Network(
        Table(columns),
        synapses(N, sign, 10, 30.0),
        receptors,
        {
            "drive": Input(N_SOURCES, synapses(N_SOURCES, excited, 4, 150.0)),
            "background": Input(N, _one_to_one(gain * 60.0), rate_Hz=400.0),
        },
        model=model,
    )


def _one_to_one(weight: float) -> Synapses:
    each = np.arange(N)
    return Synapses(each, each, np.full(N, weight), np.full(N, 1.5), np.zeros(N))


def drive(seed: int = 2, duration_ms: float = 200.0) -> Recording:
    """Irregular spikes of the sources at 60 Hz."""
    rng = np.random.default_rng(seed)
    steps = np.flatnonzero(rng.random(N_SOURCES * round(duration_ms / DT_MS)) < 0.006)
    times, ids = np.divmod(steps, N_SOURCES)
    times_ms = (times + 1) * DT_MS
    return Recording.spikes(times_ms, ids, n=N_SOURCES, dt_ms=DT_MS, duration_ms=duration_ms)


GLIF3 = {
    **dict(
        C_m_pF=58.72, g_nS=9.43, E_L_mV=-78.85, V_th_mV=-51.68, V_reset_mV=-78.85, t_ref_ms=3.75
    ),
    **dict(asc_decay_1_per_ms=0.003, asc_decay_2_per_ms=0.1),
    **dict(asc_amp_1_pA=-9.18, asc_amp_2_pA=-198.94),
}
