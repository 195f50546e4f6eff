"""Spike times of allensdk's own GLIF simulator, in this process or as a program.

allensdk pins a NumPy that is too old for this project, so the usual way is another interpreter:
as a program this file reads a list of neurons as JSON and writes their spike times as JSON. It
needs nothing of the project.
"""

from __future__ import annotations

import json
import math
import sys


def spike_times_ms(
    neuron: dict, current_pA: float, dt_ms: float, duration_ms: float
) -> list[float]:
    """Spike times (at the end of the step, ms) under a constant current; parameters in our units.

    GLIF level 3: linear forward Euler for the membrane, exponential after-spike currents that add
    up, reset of the potential to rest, as many steps cut out after a spike as t_ref has.
    """
    import numpy as np
    from allensdk.model.glif.glif_neuron import GlifNeuron

    decay = np.array([neuron[f"asc_decay_{k}_per_ms"] for k in (1, 2)])
    jump = np.array([neuron[f"asc_amp_{k}_pA"] for k in (1, 2)])
    threshold_V = 1e-3 * (neuron["V_th_mV"] - neuron["E_L_mV"])
    model = GlifNeuron.from_dict(
        {
            "El": 0.0,
            "dt": 1e-3 * dt_ms,
            "R_input": 1e9 / neuron["g_nS"],
            "C": 1e-12 * neuron["C_m_pF"],
            "asc_tau_array": 1e-3 / decay,
            "asc_amp_array": 1e-12 * jump,
            "spike_cut_length": math.ceil(neuron["t_ref_ms"] / dt_ms - 1e-9),
            "th_inf": threshold_V,
            "th_adapt": None,
            "coeffs": {},
            "AScurrent_dynamics_method": {"name": "exp", "params": {}},
            "voltage_dynamics_method": {"name": "linear_forward_euler", "params": {}},
            "threshold_dynamics_method": {"name": "inf", "params": {}},
            "AScurrent_reset_method": {"name": "sum", "params": {"r": np.array([1.0, 1.0])}},
            "voltage_reset_method": {"name": "zero", "params": {}},
            "threshold_reset_method": {"name": "inf", "params": {}},
            "init_voltage": 0.0,
            "init_threshold": threshold_V,
            "init_AScurrents": np.zeros(2),
        }
    )
    stimulus = np.full(round(duration_ms / dt_ms), 1e-12 * current_pA)
    steps = np.array(model.run(stimulus)["spike_time_steps"])
    return ((steps + 1) * dt_ms).tolist()


def main() -> None:
    """JSON from standard input to standard output."""
    asked = json.load(sys.stdin)
    answer = [
        spike_times_ms(neuron, current, dt_ms, asked["duration_ms"])
        for neuron, current in zip(asked["neurons"], asked["currents_pA"])  # noqa: B905 (Python 3.8)
        for dt_ms in asked["dts_ms"]
    ]
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
