"""One column on Brian2, NEST and BMTK's PointNet: time per simulated second, memory. A table.

    python benchmarks/simulators.py [--sizes 3k,6k,13000,core] [--drives constant,background]
        [--engines brian2,brian2x2,nest,nestx2,pointnet] [--out FILE.csv]

Each engine and size is measured in a process of its own, one after the other; ``x2`` is two
threads. The time of a simulated second is the difference between a long and a short run, so that
building and loading are left out. Spikes of the engines are compared by their digest.

Two drives, both with the LGN at rest as spikes. ``background``: the column's own, Poisson spikes of
1 kHz a neuron, drawn by the toolkit for every engine (PointNet would need them all in a file: left
out). ``constant``: its mean as a constant current instead, as a raised resting potential, which all
engines have; what is simulated is then the circuit and nothing else.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import tempfile
import threading
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from sizes import answer_one, in_a_process, named, peak_MB, show

SHORT_S, LONG_S = 0.25, 1.25
DT_MS = 0.25
# Of the background's mean current: the rest of what makes neurons fire is its fluctuations.
MEAN_FACTOR = 1.25
ENGINES = "brian2,brian2x2,nest,nestx2,pointnet"
ROWS = {
    "size": "size",
    "drive": "drive",
    "engine": "engine",
    "synapses": "recurrent connections",
    "prepare_s": "make the simulation (Brian2: compile), s",
    "start_s": "start of a run (NEST: build), s",
    "run_s_per_s": "run, s per simulated s",
    "rate_Hz": "mean rate, Hz",
    "spikes": "spikes",
    "digest": "digest of the spikes",
    "peak_MB": "peak memory, MB (Brian2: of its program)",
}


def circuit(size: str, drive: str) -> Any:
    """The column; without the background if it is to be constant."""
    from circuits import v1
    from toolkit.receptor import charge_pA_ms

    column = v1.column(named(size), seed=1, show_progress=False)
    if drive == "background":
        return column
    source = column.inputs["background"]
    receptors = list(column.receptors.values())
    synapses, cells = source.synapses, column.neurons
    current_pA = np.zeros(column.n)
    for k, receptor in enumerate(receptors):
        rows = synapses.receptor == k
        charge = charge_pA_ms(synapses.weight[rows].astype(float), receptor)
        np.add.at(current_pA, synapses.post[rows], charge * source.rate_Hz / 1000)
    # By cell model, as PointNet wants it: the mean of the neurons of one.
    _, model = np.unique(
        np.column_stack([cells[p] for p in ("C_m_pF", "g_nS", "E_L_mV", "V_th_mV")]),
        axis=0,
        return_inverse=True,
    )
    model = model.ravel()
    mean_pA = (np.bincount(model, current_pA) / np.bincount(model))[model]
    raised_mV = cells["E_L_mV"] + MEAN_FACTOR * mean_pA / cells["g_nS"]
    table = cells.replace(E_L_mV=raised_mV, V_init_mV=np.minimum(raised_mV, cells["V_th_mV"] - 1))
    return column.replace(neurons=table, inputs={"lgn": column.inputs["lgn"]})


def measure(size: str, drive: str, engine: str) -> dict[str, float | int | str]:
    from circuits import v1
    from toolkit import stimuli

    warnings.simplefilter("ignore")
    name, _, threads = engine.partition("x")
    column = circuit(size, drive)
    lgn = v1.lgn(column)
    spikes = {
        seconds: lgn.respond(stimuli.grey(duration_ms=1000 * seconds)).to_spikes(1)
        for seconds in (SHORT_S, LONG_S)
    }
    run = {"brian2": on_brian2, "nest": on_nest, "pointnet": on_pointnet}[name]
    found, steps, ids, peak = run(column, spikes, int(threads or 1))
    order = np.lexsort((ids, steps))
    sha = hashlib.sha256(steps[order].astype(np.int64).tobytes())
    sha.update(ids[order].astype(np.int64).tobytes())
    return {
        "engine": engine,
        "synapses": len(column.synapses),
        **found,
        "rate_Hz": len(ids) / LONG_S / column.n,
        "spikes": len(ids),
        "digest": sha.hexdigest()[:8],
        "peak_MB": peak,
    }


def on_brian2(column: Any, spikes: dict, threads: int) -> tuple[dict, Any, Any, float]:
    from converters import to_brian2

    tick = time.perf_counter()
    simulation = to_brian2(column, "cpp_standalone", dt_ms=DT_MS, threads=threads)
    prepare_s = time.perf_counter() - tick
    peak = PeakOfPrograms()
    simulation.run(spikes[SHORT_S], seed=1, show_progress=False)  # warms caches up
    spent = {}
    for seconds, drive in spikes.items():
        tick = time.perf_counter()
        recording = simulation.run(drive, seed=1, show_progress=False)
        spent[seconds] = time.perf_counter() - tick
    return _times(prepare_s, spent), *_rows(recording), peak.stop()


class PeakOfPrograms(threading.Thread):
    """Looks again and again how large the processes of this one are, till it is stopped."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.kB, self.running = 0, True
        self.start()

    def run(self) -> None:
        while self.running:
            for status in Path("/proc").glob("[0-9]*/status"):
                with contextlib.suppress(OSError):
                    found = dict(line.split(":", 1) for line in status.read_text().splitlines())
                    if int(found["PPid"]) == os.getpid():
                        self.kB = max(self.kB, int(found.get("VmHWM", "0").split()[0]))
            time.sleep(0.02)

    def stop(self) -> float:
        self.running = False
        self.join()
        return self.kB / 1024


def on_nest(column: Any, spikes: dict, threads: int) -> tuple[dict, Any, Any, float]:
    from converters import to_nest

    tick = time.perf_counter()
    simulation = to_nest(column, dt_ms=DT_MS, threads=threads)
    prepare_s = time.perf_counter() - tick
    spent = {}
    for seconds, drive in spikes.items():
        tick = time.perf_counter()
        recording = simulation.run(drive, seed=1, show_progress=False)
        spent[seconds] = time.perf_counter() - tick
    return _times(prepare_s, spent), *_rows(recording), peak_MB()


def on_pointnet(column: Any, spikes: dict, _threads: int) -> tuple[dict, Any, Any, float]:
    import h5py
    from bmtk.simulator import pointnet

    from converters.sonata import to_sonata, write_spikes

    folder = Path(tempfile.mkdtemp()) / "net"
    tick = time.perf_counter()
    # PointNet has one potential at the start for all neurons of a cell model.
    start = np.minimum(column.neurons["E_L_mV"], column.neurons["V_th_mV"] - 1)
    to_sonata(column.replace(neurons=column.neurons.replace(V_init_mV=start)), folder)
    (folder / "inputs").mkdir()
    write_spikes(spikes[LONG_S], folder / "inputs" / "lgn_spikes.h5", "lgn")
    config = json.loads((folder / "simulation_config.json").read_text())
    config["run"] = {"tstop": 1000 * LONG_S, "dt": DT_MS}
    config["output"]["output_dir"] = str(folder / "output")
    (folder / "run.json").write_text(json.dumps(config))
    prepare_s = time.perf_counter() - tick
    tick = time.perf_counter()
    loaded = pointnet.Config.from_json(str(folder / "run.json"))
    loaded.build_env()
    network = pointnet.PointNetwork.from_config(loaded)
    simulator = pointnet.PointSimulator.from_config(loaded, network)
    start_s = time.perf_counter() - tick
    tick = time.perf_counter()
    simulator.run()
    found = {"prepare_s": prepare_s, "start_s": start_s}
    found["run_s_per_s"] = (time.perf_counter() - tick) / LONG_S
    with h5py.File(folder / "output" / "spikes.h5") as file:
        fired = file["spikes/v1"]
        steps = np.round(fired["timestamps"][()] / DT_MS)
        return found, steps, fired["node_ids"][()], peak_MB()


def _times(prepare_s: float, spent: dict[float, float]) -> dict[str, float]:
    per_s = (spent[LONG_S] - spent[SHORT_S]) / (LONG_S - SHORT_S)
    return {
        "prepare_s": prepare_s,
        "start_s": spent[SHORT_S] - SHORT_S * per_s,
        "run_s_per_s": per_s,
    }


def _rows(recording: Any) -> tuple[Any, Any]:
    return np.round(recording.spike_times_ms / DT_MS), recording.spike_ids


def main() -> None:
    answer_one({"one": measure})
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="3k,6k,13000,core")
    parser.add_argument("--drives", default="constant,background")
    parser.add_argument("--engines", default=ENGINES)
    parser.add_argument("--out", help="write the table here as CSV, too")
    args = parser.parse_args()
    columns = []
    for size in args.sizes.split(","):
        for drive in args.drives.split(","):
            for engine in args.engines.split(","):
                if (drive, engine) != ("background", "pointnet"):
                    found = in_a_process(__file__, "one", size, drive, engine)
                    columns.append({"size": size, "drive": drive} | found)
                    print({k: columns[-1][k] for k in ("size", "drive", "engine", "run_s_per_s")})
    show(ROWS, columns, args.out)


if __name__ == "__main__":
    main()
