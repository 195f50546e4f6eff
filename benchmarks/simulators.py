"""One column on Brian2 and on NEST: time per simulated second, time to start, memory. A table.

    python benchmarks/simulators.py [--sizes 3k,6k] [--engines brian2,nest1,nest2] [--out FILE.csv]

Each engine and size is measured in a process of its own, one after the other. The time of a
simulated second is the difference between a long and a short run, so that building and loading are
left out; spikes of the engines are compared by their digest. LGN at rest, background on: NEST is
given the toolkit's background spikes through a generator a neuron, which is most of its time.
"""

from __future__ import annotations

import argparse
import hashlib
import time
import warnings

from sizes import answer_one, in_a_process, named, peak_MB, show

SHORT_S, LONG_S = 0.25, 1.25
ROWS = {
    "size": "size",
    "engine": "engine",
    "synapses": "recurrent connections",
    "prepare_s": "make the simulation (Brian2: compile), s",
    "start_s": "start of a run (NEST: build), s",
    "run_s_per_s": "run, s per simulated s",
    "spikes": "spikes",
    "digest": "digest of the spikes",
    "peak_MB": "peak memory of the process, MB",
}


def measure(size: str, engine: str) -> dict[str, float | int | str]:
    from circuits import v1
    from converters import to_brian2, to_nest
    from toolkit import stimuli

    warnings.simplefilter("ignore")
    column = v1.column(named(size), seed=1, show_progress=False)
    lgn = v1.lgn(column)
    tick = time.perf_counter()
    if engine == "brian2":
        simulation = to_brian2(column, device="cpp_standalone")
    else:
        simulation = to_nest(column, threads=int(engine.removeprefix("nest")))
    out = {"engine": engine, "synapses": len(column.synapses)}
    out["prepare_s"] = time.perf_counter() - tick
    spent = {}
    for seconds in (SHORT_S, SHORT_S, LONG_S):  # the first warms caches up
        grey = lgn.respond(stimuli.grey(duration_ms=1000 * seconds))
        tick = time.perf_counter()
        recording = simulation.run(grey, seed=1, show_progress=False)
        spent[seconds] = time.perf_counter() - tick
    out["run_s_per_s"] = (spent[LONG_S] - spent[SHORT_S]) / (LONG_S - SHORT_S)
    out["start_s"] = spent[SHORT_S] - SHORT_S * out["run_s_per_s"]
    out["spikes"] = len(recording.spike_ids)
    sha = hashlib.sha256(recording.spike_times_ms.tobytes() + recording.spike_ids.tobytes())
    out["digest"] = sha.hexdigest()[:8]
    out["peak_MB"] = peak_MB()
    return out


def main() -> None:
    answer_one({"one": measure})
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="3k,6k")
    parser.add_argument("--engines", default="brian2,nest1,nest2")
    parser.add_argument("--out", help="write the table here as CSV, too")
    args = parser.parse_args()
    columns = [
        {"size": size} | in_a_process(__file__, "one", size, engine)
        for size in args.sizes.split(",")
        for engine in args.engines.split(",")
    ]
    show(ROWS, columns, args.out)


if __name__ == "__main__":
    main()
