"""Spike times of allensdk's own GLIF simulator, in this process or as a program.

allensdk pins a NumPy that is too old for this project, so the usual way is another interpreter:
as a program this file reads a list of neurons as JSON, by our parameters or by configurations of
the Cell Types Database, and writes their spike times as JSON. It needs nothing of the project.
"""

from __future__ import annotations

import json
import math
import sys


def config_of(neuron: dict) -> dict:
    """A neuron of our parameters as a configuration of allensdk, with potentials above rest.

    GLIF level 3: linear forward Euler for the membrane, exponential after-spike currents that add
    up, reset of the potential to rest, as many steps cut out after a spike as t_ref has.
    """
    threshold_V = 1e-3 * (neuron["V_th_mV"] - neuron["E_L_mV"])
    return {
        "El": 0.0,
        "R_input": 1e9 / neuron["g_nS"],
        "C": 1e-12 * neuron["C_m_pF"],
        "asc_tau_array": [1e-3 / neuron[f"asc_decay_{k}_per_ms"] for k in (1, 2)],
        "asc_amp_array": [1e-12 * neuron[f"asc_amp_{k}_pA"] for k in (1, 2)],
        "t_ref_ms": neuron["t_ref_ms"],
        "th_inf": threshold_V,
        "th_adapt": None,
        "coeffs": {},
        "AScurrent_dynamics_method": {"name": "exp", "params": {}},
        "voltage_dynamics_method": {"name": "linear_forward_euler", "params": {}},
        "threshold_dynamics_method": {"name": "inf", "params": {}},
        "AScurrent_reset_method": {"name": "sum", "params": {"r": [1.0, 1.0]}},
        "voltage_reset_method": {"name": "zero", "params": {}},
        "threshold_reset_method": {"name": "inf", "params": {}},
        "init_voltage": 0.0,
        "init_threshold": threshold_V,
        "init_AScurrents": [0.0, 0.0],
    }


def spike_times_ms(
    config: dict, current_pA: float, dt_ms: float, duration_ms: float
) -> list[float]:
    """Spike times (at the end of the step, ms) under a constant current."""
    import numpy as np
    from allensdk.model.glif.glif_neuron import GlifNeuron

    config = dict(config)
    if "t_ref_ms" in config:
        config["spike_cut_length"] = math.ceil(config.pop("t_ref_ms") / dt_ms - 1e-9)
    for name in ("asc_tau_array", "asc_amp_array", "init_AScurrents"):
        config[name] = np.array(config[name])
    reset = config["AScurrent_reset_method"]
    config["AScurrent_reset_method"] = {**reset, "params": {"r": np.array(reset["params"]["r"])}}
    model = GlifNeuron.from_dict({**config, "dt": 1e-3 * dt_ms})
    stimulus = np.full(round(duration_ms / dt_ms), 1e-12 * current_pA)
    steps = np.array(model.run(stimulus)["spike_time_steps"])
    return ((steps + 1) * dt_ms).tolist()


def main() -> None:
    """JSON from standard input to standard output."""
    asked = json.load(sys.stdin)
    configs = asked.get("configs") or [config_of(neuron) for neuron in asked["neurons"]]
    answer = [
        spike_times_ms(config, current, dt_ms, asked["duration_ms"])
        for config, current in zip(configs, asked["currents_pA"])  # noqa: B905 (Python 3.8)
        for dt_ms in asked["dts_ms"]
    ]
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
