"""GLIF3 in plain Python, one neuron, one step after the other: what the backends must do.

Written from the description of NEST's ``glif_psc`` and from no code of the toolkit: propagators
come from matrix exponentials, refractory steps from fractions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np
from scipy.linalg import expm


def refractory_steps(t_ref_ms: float, dt_ms: float) -> int:
    """ceil(t_ref / dt) of the decimal numbers as they are written."""
    return math.ceil(Fraction(str(float(t_ref_ms))) / Fraction(str(float(dt_ms))))


def alpha_step(C_m_pF: float, g_nS: float, tau_ms: float, dt_ms: float) -> np.ndarray:
    """exp(A dt) of d(y1, y2, U)/dt = A (y1, y2, U), the alpha current y2 and the membrane."""
    A = [[-1 / tau_ms, 0, 0], [1, -1 / tau_ms, 0], [0, 1 / C_m_pF, -g_nS / C_m_pF]]
    return expm(np.array(A) * dt_ms)


def run(
    cell: Mapping[str, float],
    arrivals_pA: np.ndarray,
    receptors: Sequence[tuple[float, str]],
    dt_ms: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Potentials at the ends of the steps (mV) and the steps (1, 2, ...) with a spike.

    `arrivals_pA`, shape (step, receptor), is the summed weight that arrives at the end of each
    step; `receptors` are pairs of time constant and kernel.
    """
    C, g, t_ref = cell["C_m_pF"], cell["g_nS"], cell["t_ref_ms"]
    decay = np.array([cell[f"asc_decay_{k}_per_ms"] for k in (1, 2)])
    jump = np.array([cell[f"asc_amp_{k}_pA"] for k in (1, 2)])
    threshold, reset = (cell[name] - cell["E_L_mV"] for name in ("V_th_mV", "V_reset_mV"))
    synapse = [alpha_step(C, g, tau, dt_ms) for tau, _ in receptors]
    leak, fade = math.exp(-dt_ms * g / C), np.exp(-decay * dt_ms)
    U = cell.get("V_init_mV", cell["E_L_mV"]) - cell["E_L_mV"]
    after = np.zeros(2)  # after-spike currents
    y = np.zeros((len(receptors), 2))  # the two variables of each synaptic current
    waiting, spikes, potentials = 0, [], []
    for step, arriving in enumerate(arrivals_pA, start=1):
        if waiting > 0:
            waiting -= 1
        else:
            mean = float(np.sum(after * (1 - fade) / (decay * dt_ms)))
            U = leak * U + (1 - leak) / g * (cell.get("I_ext_pA", 0.0) + mean)
            U += sum(synapse[r][2, :2] @ y[r] for r in range(len(receptors)))
            after = after * fade
            if threshold < U:
                spikes.append(step)
                waiting = refractory_steps(t_ref, dt_ms)
                after = jump + after * np.exp(-decay * t_ref)
                U = reset
        for r, (tau, kernel) in enumerate(receptors):
            y[r] = synapse[r][:2, :2] @ y[r]
            y[r] += arriving[r] * np.array([math.e / tau, 0] if kernel == "alpha" else [0, 1])
        potentials.append(U)
    return np.array(potentials) + cell["E_L_mV"], np.array(spikes, dtype=int)
