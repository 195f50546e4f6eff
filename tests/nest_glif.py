"""Runs a circuit of GLIF3 neurons in NEST: ``python nest_glif.py CIRCUIT.npz SPIKES.npz``.

A program of its own, because NEST prints, keeps threads and is not everywhere; it knows nothing of
the toolkit. Neurons with double-alpha receptors are ``glif_psc_double_alpha``, the others
``glif_psc``; a synapse's receptor is the number of its port, the same for all neurons.

CIRCUIT.npz : ``dt_ms``, ``n_steps``; ``n_channels``; neurons' columns ``neurons_NAME`` and
    ``double`` (bool); receptors' ``tau_ms``, ``tau_slow_ms``, ``amp_slow`` (receptor); for
    ``recurrent_`` and ``drive_`` synapses ``pre post weight delay_ms receptor``; the drive's
    ``spike_step``, ``spike_channel``
SPIKES.npz : ``steps``, ``ids``
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

import numpy as np


def simulate(circuit: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Steps and ids of the spikes."""
    import nest

    nest.set_verbosity("M_ERROR")
    nest.ResetKernel()
    dt = float(circuit["dt_ms"])
    nest.resolution = dt
    cells = {
        name.removeprefix("neurons_"): circuit[name]
        for name in circuit
        if name.startswith("neurons_")
    }
    single = dict(tau_syn=circuit["tau_ms"].tolist())
    double = dict(
        tau_syn_fast=circuit["tau_ms"].tolist(),
        tau_syn_slow=circuit["tau_slow_ms"].tolist(),
        amp_slow=circuit["amp_slow"].tolist(),
    )
    nodes = nest.NodeCollection()
    for i, is_double in enumerate(circuit["double"]):
        cell = {name: float(values[i]) for name, values in cells.items()}
        nodes += nest.Create(
            "glif_psc_double_alpha" if is_double else "glif_psc",
            params=dict(
                C_m=cell["C_m_pF"],
                g=cell["g_nS"],
                E_L=cell["E_L_mV"],
                V_th=cell["V_th_mV"],
                V_reset=cell["V_reset_mV"],
                V_m=cell["V_init_mV"],
                t_ref=cell["t_ref_ms"],
                asc_init=[0.0, 0.0],
                asc_decay=[cell["asc_decay_1_per_ms"], cell["asc_decay_2_per_ms"]],
                asc_amps=[cell["asc_amp_1_pA"], cell["asc_amp_2_pA"]],
                asc_r=[1.0, 1.0],
                after_spike_currents=True,
                spike_dependent_threshold=False,
                adapting_threshold=False,
                **(double if is_double else single),
            ),
        )
    channels = nest.Create("spike_generator", int(circuit["n_channels"]))
    for channel in range(len(channels)):
        steps = circuit["spike_step"][circuit["spike_channel"] == channel]
        channels[channel].spike_times = np.round(np.sort(steps) * dt, 6).tolist()
    recorder = nest.Create("spike_recorder", params=dict(time_in_steps=True))
    for name, sources in (("recurrent", nodes), ("drive", channels)):
        first = sources[0].global_id
        # Rounded: multiples of dt in float32 are not quite.
        delay = np.round(circuit[f"{name}_delay_ms"].astype(float) / dt) * dt
        nest.Connect(
            circuit[f"{name}_pre"].astype(np.int64) + first,
            circuit[f"{name}_post"].astype(np.int64) + nodes[0].global_id,
            "one_to_one",
            dict(
                synapse_model="static_synapse",
                weight=circuit[f"{name}_weight"].astype(float),
                delay=delay,
                receptor_type=circuit[f"{name}_receptor"].astype(np.int64) + 1,
            ),
        )
    nest.Connect(nodes, recorder)
    nest.Simulate(int(circuit["n_steps"]) * dt)
    events = recorder.get("events")
    return events["times"], events["senders"] - nodes[0].global_id


if __name__ == "__main__":
    with np.load(sys.argv[1], allow_pickle=False) as stored:
        known = {name: stored[name] for name in stored.files}
    steps, ids = simulate(known)
    np.savez(sys.argv[2], steps=np.asarray(steps, dtype=np.int64), ids=ids)
