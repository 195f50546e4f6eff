"""Compile NESTML synapses with a relay neuron for NEST, and print the weights that they send.

A program: folder with ``case.json``, where it leaves ``weights.npz``.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np


def compile_pairs(folder: Path, relay: str, models: dict[str, tuple[str, bool]]) -> Path:
    """A module with each synapse, paired with a relay of its own if it sees its spikes."""
    from pynestml.frontend.pynestml_frontend import generate_target

    from converters.nest import kernel, shim

    compiler = shutil.which("g++") or "g++"
    os.environ["CXX"] = compiler
    (folder / "relay_neuron.nestml").write_text(relay)
    for name, (text, _) in models.items():
        (folder / f"{name}.nestml").write_text(text)
    pairs = [
        dict(neuron="relay_neuron", synapses={name: {"post_ports": ["post_spikes"]}})
        for name, (_, plastic) in models.items()
        if plastic
    ]
    failed = generate_target(
        input_path=[str(path) for path in folder.glob("*.nestml")],
        target_platform="NEST",
        target_path=str(folder / "target"),
        install_path=str(folder / "installed"),
        module_name="synapses_module",
        logging_level="ERROR",
        codegen_opts=dict(
            nest_path=str(shim.prefix(kernel.load(), compiler, folder / "nest")),
            neuron_synapse_pairs=pairs,
            synapse_models=[name for name, (_, plastic) in models.items() if not plastic],
            weight_variable=dict.fromkeys(models, "w"),
        ),
    )
    if failed:
        raise RuntimeError("NESTML refuses the models")
    return folder / "installed" / "synapses_module"


def weights(nest, synapse: str, neuron: str, case: dict) -> np.ndarray:
    """What each presynaptic spike sends, shape (delay, spike)."""
    dt, found = case["dt_ms"], []
    nest.ResetKernel()
    nest.resolution = dt
    nest.Install(case["module"])
    source, silent = nest.Create("parrot_neuron", 2)
    targets = nest.Create(neuron, len(case["delays"]))
    # A step to the relay.
    for times, to_source in ((case["pre"], True), (case["post"], False)):
        generator = nest.Create(
            "spike_generator", {"spike_times": [round((t - 1) * dt, 1) for t in times]}
        )
        if to_source:
            nest.Connect(generator, source, syn_spec={"delay": dt})
        else:
            nest.Connect(generator, targets, syn_spec={"delay": dt, "weight": 1e6})
    recorder = nest.Create("spike_recorder")
    nest.Connect(targets, recorder)
    recorders = nest.Create("weight_recorder", len(case["delays"]))
    for k, (delay, target) in enumerate(zip(case["delays"], targets, strict=True)):
        nest.CopyModel(synapse, f"{synapse}_{k}", {"weight_recorder": recorders[k]})
        spec = {"synapse_model": f"{synapse}_{k}", "delay": delay * dt}
        spec |= case["given"].get(synapse.partition("__")[0], {})
        nest.Connect(source, target, syn_spec=spec)
        # NESTML 9 forgets postsynaptic spikes that all synapses have read, also where the trace
        # at the next one needs them. A synapse that never reads them keeps them.
        nest.Connect(silent, target, syn_spec={"synapse_model": synapse, "delay": delay * dt})
    nest.Simulate(case["n_steps"] * dt + 50)
    for each in recorders:
        events = each.get("events")
        order = np.argsort(events["times"], kind="stable")
        found.append(np.asarray(events["weights"])[order])
    events = recorder.get("events")
    own = np.round(events["times"][events["senders"] == targets[0].global_id] / dt)
    assert own.astype(int).tolist() == case["post"], (own[:5], case["post"][:5])
    return np.array(found)


if __name__ == "__main__":
    folder = Path(sys.argv[1]).resolve()
    case = json.loads((folder / "case.json").read_text())
    (folder / "built").mkdir()
    module = compile_pairs(folder / "built", case["relay"], case["models"])
    import nest

    case["module"] = str(module)
    found = {}
    for name, (_, plastic) in case["models"].items():
        pair = (f"{name}__with_relay_neuron", f"relay_neuron__with_{name}")
        found[name] = weights(nest, *(pair if plastic else (name, "relay_neuron")), case)
    np.savez(folder / "weights.npz", **found)
