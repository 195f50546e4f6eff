"""Columns in NEST on several MPI processes: memory of each process, time. A table.

    python benchmarks/mpi.py [--sizes 3k,13k,core] [--processes 1,2] [--folder F] [--out FILE.csv]

Needs a NEST with MPI (docs/nest-mpi.md). Each column is built and saved in the folder, unless it is
there; the processes read it from its file, each the synapses onto its neurons. LGN at 5 Hz,
background on.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from sizes import Measured, named, peak_MB, show

SIMULATED_MS = 250.0
LGN_HZ = 5.0
ROWS = {
    "size": "size",
    "processes": "processes",
    "neurons": "neurons",
    "synapses": "synapses, inputs included",
    "empty_MB": "a process before the network, MB",
    "opened_MB": "peak of a process, file checked, MB",
    "built_MB": "resident memory of a process, network built, MB",
    "peak_MB": "peak memory of the largest process, MB",
    "open_s": "check the file, s",
    "build_s": "build, s",
    "run_s_per_s": "run, s per simulated s",
    "spikes": "spikes",
}


def resident_MB() -> float:
    """Memory of this process now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def measure(file: str) -> None:
    """One of the processes that ``mpirun`` starts; the first prints what was found in all."""
    from converters import to_nest
    from converters.nest import kernel, simulation
    from converters.nest.processes import gathered
    from toolkit import Recording
    from toolkit.network_blocks import NetworkFile

    warnings.simplefilter("ignore")
    nest = kernel.load()
    memory = [resident_MB()]
    tick = time.perf_counter()
    opened = NetworkFile.open(file)
    open_s = time.perf_counter() - tick
    memory.append(peak_MB())
    lgn = np.full((round(SIMULATED_MS), opened.sample.inputs["lgn"].n), LGN_HZ)
    column = to_nest(opened)
    real = simulation._Built.run

    def run(*arguments: object) -> None:
        memory.append(resident_MB())
        real(*arguments)  # type: ignore[arg-type]

    simulation._Built.run = run  # type: ignore[method-assign, assignment]
    recording = column.run(Recording.rates(lgn, dt_ms=1.0), seed=1, show_progress=False)
    memory.append(peak_MB())
    largest = gathered(nest, np.array([memory])).max(axis=0)
    if nest.Rank() == 0:
        answer = dict(zip(("empty_MB", "opened_MB", "built_MB", "peak_MB"), largest, strict=True))
        answer |= {"processes": nest.num_processes, "neurons": opened.sample.n}
        answer |= {"synapses": sum(opened.n_synapses.values()), "open_s": open_s}
        answer |= {"build_s": column.build_s, "spikes": len(recording.spike_ids)}
        answer |= {"run_s_per_s": column.run_s / SIMULATED_MS * 1000}
        print("\n" + json.dumps(answer), flush=True)


def saved(size: str, folder: Path) -> Path:
    """The file of a column."""
    from circuits import v1

    file = folder / f"{size}.h5"
    if not file.is_file():
        v1.column(named(size), seed=1, show_progress=False).save(file)
    return file


def on(processes: str, file: Path) -> Measured:
    """What that many processes measure."""
    command = ["mpirun", "-n", processes, sys.executable, __file__, "--one", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return json.loads(next(line for line in done.stdout.splitlines() if line.startswith("{")))


def main() -> None:
    if sys.argv[1:2] == ["--one"]:
        measure(sys.argv[2])
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="3k,13000,core")
    parser.add_argument("--processes", default="1,2")
    parser.add_argument("--folder", help="of the saved columns; a temporary one by default")
    parser.add_argument("--out", help="write the table here as CSV, too")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(args.folder or place)
        columns = [
            {"size": size} | on(processes, saved(size, folder))
            for size in args.sizes.split(",")
            for processes in args.processes.split(",")
        ]
    show(ROWS, columns, args.out)


if __name__ == "__main__":
    main()
