"""Single neurons in NEST: ``python nest_neurons.py CASES.json RESULTS.npz``.

A program of its own, because NEST prints and keeps threads; it knows nothing of the toolkit. CASES
maps a name to ``model``, ``dt_ms``, ``n_steps``, ``neurons`` (a list of NEST parameters) and
``spikes`` (rows of step of arrival, neuron, weight, receptor). RESULTS has ``NAME_steps``,
``NAME_ids`` and ``NAME_V`` (step from 1 on, neuron).
"""

from __future__ import annotations

import json
import sys

import numpy as np


def simulate(case: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Steps and ids of spikes, and potentials."""
    import nest

    nest.set_verbosity("M_ERROR")
    nest.ResetKernel()
    dt = case["dt_ms"]
    nest.resolution = dt
    nodes = nest.NodeCollection()
    for parameters in case["neurons"]:
        nodes += nest.Create(case["model"], params=parameters)
    rows = np.array(case["spikes"])
    for neuron in range(len(nodes)):
        for receptor in np.unique(rows[:, 3]):
            own = rows[(rows[:, 1] == neuron) & (rows[:, 3] == receptor)]
            own = own[np.argsort(own[:, 0], kind="stable")]
            source = nest.Create(
                "spike_generator",
                params=dict(
                    spike_times=np.round((own[:, 0] - 1) * dt, 6).tolist(),
                    spike_weights=own[:, 2].tolist(),
                ),
            )
            nest.Connect(
                source,
                nodes[neuron],
                syn_spec=dict(weight=1.0, delay=dt, receptor_type=int(receptor)),
            )
    recorder = nest.Create("spike_recorder", params=dict(time_in_steps=True))
    meter = nest.Create("multimeter", params=dict(record_from=["V_m"], interval=dt))
    nest.Connect(nodes, recorder)
    nest.Connect(meter, nodes)
    nest.Simulate(case["n_steps"] * dt)
    spikes, analog = recorder.get("events"), meter.get("events")
    V = np.asarray(analog["V_m"])[np.lexsort((analog["senders"], analog["times"]))]
    first = nodes[0].global_id
    return spikes["times"], spikes["senders"] - first, V.reshape(-1, len(nodes))


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        cases = json.load(file)
    results = {}
    for name, case in cases.items():
        results |= dict(
            zip((f"{name}_{key}" for key in ("steps", "ids", "V")), simulate(case), strict=True)
        )
    np.savez(sys.argv[2], **results)
