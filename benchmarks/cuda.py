"""brian2cuda beside the compiled C++ simulation: the same spikes? and time per simulated second.

    python benchmarks/cuda.py [--sizes 3k,6k,core,full] [--cpp 3k,6k,core] [--blocks 1]
                              [--out FILE.csv]

Needs an NVIDIA card. First the reference circuit of 3,000 neurons, whose 36,252 spikes NEST fires,
too: all have to be there, or the first that differs is shown with the potentials around it. Then
columns with LGN at rest and background. The time of a simulated second is the difference between a
long and a short run, so that loading is left out. ``--blocks`` tries brian2cuda's
``parallel_blocks``. Every figure is printed when it is there: a run cut short is not lost.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
from sizes import Measured, named, show

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))

SHORT_S, LONG_S = 0.25, 1.25
KNOWN = "f551eedcae3f3884b37617da42a7171612b1e2df75d831adb5956d222052e6e2"  # 36,252 spikes of NEST
ROWS = {
    "size": "size",
    "engine": "engine",
    "synapses": "recurrent connections",
    "compile_s": "generate and compile, s",
    "start_s": "start of a run, s",
    "run_s_per_s": "run, s per simulated s",
    "spikes": "spikes",
    "in_common": "spikes that cpp fires, too",
    "gpu_MB": "memory on the card, MB, largest seen",
    "derived_MB": "memory on the card, MB, derived",
}


class CardMemory(threading.Thread):
    """Looks again and again how much more of the card's memory is taken than before."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._done, self.before, self.most_MB = threading.Event(), self.used_MB(), 0.0
        self.start()

    @staticmethod
    def used_MB() -> float:
        command = ["nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits"]
        said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        return float(said.splitlines()[0]) * 1.048576

    def run(self) -> None:
        while not self._done.wait(0.2):
            self.most_MB = max(self.most_MB, self.used_MB() - self.before)

    def stop(self) -> float:
        self._done.set()
        self.join()
        return self.most_MB


def reference() -> None:
    """The reference circuit on both devices; says how many spikes are the same."""
    import reference_circuit as circuit

    from converters import to_brian2

    network, drive = circuit.make()
    rows = {}
    for device in ("cpp_standalone", "cuda_standalone"):
        simulation = to_brian2(network, device, dt_ms=circuit.DT_MS)
        tick = time.perf_counter()
        rows[device] = circuit.steps_and_ids(simulation.run(drive, show_progress=False))
        took_s = time.perf_counter() - tick
        same = "the known ones" if circuit.digest(rows[device]) == KNOWN else "NOT the known ones"
        say(
            f"reference circuit, {device}: {len(rows[device]):,} spikes, {same}; "
            f"compiled in {simulation.compile_s:.1f} s, run in {took_s:.2f} s"
        )
    sets = [set(map(tuple, each.tolist())) for each in rows.values()]
    different = sorted(sets[0] ^ sets[1])
    if not different:
        say(f"reference circuit: identical, {len(sets[0]):,} spikes")
        return
    step, neuron = different[0]
    who = "cpp_standalone" if (step, neuron) in sets[0] else "cuda_standalone"
    say(
        f"reference circuit: {len(sets[0] & sets[1]):,} of {len(sets[0]):,} spikes in common; the "
        f"first that differs is of neuron {neuron} at step {step}, of {who} only"
    )
    for device in rows:
        simulation = to_brian2(network, device, dt_ms=circuit.DT_MS, record_voltage=[neuron])
        simulation.run(drive, duration_ms=(step + 5) * circuit.DT_MS, show_progress=False)
        around = simulation.voltage_mV[max(step - 6, 0) : step + 2, 0]
        say(f"  {device}: its potential until then, mV: {', '.join(f'{v:.15g}' for v in around)}")


def measure(size: str, device: str) -> tuple[Measured, np.ndarray]:
    """One column on one device, and its spikes as rows of (step, neuron)."""
    from circuits import v1
    from converters import to_brian2
    from toolkit import stimuli

    column = v1.column(named(size), seed=1, show_progress=False)
    lgn = v1.lgn(column)
    drives = {
        seconds: lgn.respond(stimuli.grey(duration_ms=1000 * seconds)).to_spikes(1, "lgn")
        for seconds in (SHORT_S, LONG_S)
    }
    on_card = device == "cuda_standalone"
    simulation = to_brian2(column, device)
    memory = CardMemory() if on_card else None
    simulation.run(drives[SHORT_S], seed=1, show_progress=False)  # warms caches up
    spent = {}
    for seconds, drive in drives.items():
        tick = time.perf_counter()
        spikes = simulation.run(drive, seed=1, show_progress=False)
        spent[seconds] = time.perf_counter() - tick
    found: Measured = {
        "size": size,
        "engine": "cuda" if on_card else "cpp",
        "synapses": len(column.synapses),
        "compile_s": simulation.compile_s,
        "run_s_per_s": (spent[LONG_S] - spent[SHORT_S]) / (LONG_S - SHORT_S),
        "spikes": len(spikes.spike_ids),
    }
    found["start_s"] = spent[SHORT_S] - SHORT_S * float(found["run_s_per_s"])
    if memory:
        found["gpu_MB"] = memory.stop()
        found["derived_MB"] = simulation.program.gpu_MB
    steps = np.round(spikes.spike_times_ms / spikes.dt_ms).astype(np.int64)
    return found, np.stack([steps, spikes.spike_ids], axis=1)


def say(text: str) -> None:
    print(text, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="3k,6k,core,full", help="on the GPU; '' for none")
    parser.add_argument("--cpp", default="3k,6k,core", help="those to run in C++, too")
    parser.add_argument("--blocks", default="1", help="brian2cuda's parallel_blocks, e.g. 1,8")
    parser.add_argument("--no-reference", action="store_true", help="columns only")
    parser.add_argument("--out", help="a CSV file")
    options = parser.parse_args()

    from converters import brian2_cuda, cuda_system
    from toolkit.errors import MissingDependency, StriateError

    card = cuda_system.card()
    if card is None:
        say("no GPU here: nvidia-smi shows none. Nothing was run.")
        return
    try:
        cuda_system.need_tools()
    except MissingDependency as error:
        say(f"there is {card.name}, but: {error}. Nothing was run.")
        return
    say(f"{card.name}, {card.free_MB:,.0f} MiB free, driver {card.driver}, nvcc "
        f"{cuda_system.nvcc_version()}")  # fmt: skip
    warnings.simplefilter("ignore")
    if not options.no_reference:
        reference()
    columns: list[Measured] = []
    for size in filter(None, options.sizes.split(",")):
        known: set[tuple[int, ...]] | None = None
        if size in options.cpp.split(","):
            found, rows = measure(size, "cpp_standalone")
            known = set(map(tuple, rows.tolist()))
            columns.append(found)
            say(f"{found}")
        for blocks in options.blocks.split(","):
            brian2_cuda.PREFERENCES["devices.cuda_standalone.parallel_blocks"] = int(blocks)
            try:
                found, rows = measure(size, "cuda_standalone")
            except StriateError as error:  # the next size may do
                say(f"{size}, parallel_blocks {blocks}: {error}")
                continue
            found["engine"] = f"cuda, {blocks}"
            if known is not None:
                found["in_common"] = len(known & set(map(tuple, rows.tolist())))
            columns.append(found)
            say(f"{found}")
            show(ROWS, columns, options.out)


if __name__ == "__main__":
    main()
