"""Time and memory of the V1 column: building, spiking, rates. Prints a table.

    python benchmarks/column.py [--sizes 3k,6k] [--seconds 10] [--out FILE.csv]

Each size is measured in a process of its own, so that the peak memory is its own.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings

from sizes import answer_one, in_a_process, named, peak_MB, show

ROWS = {
    "size": "size",
    "build_s": "build the column, s",
    "build_first_s": "the same, first time in a process, s",
    "build_peak_MB": "peak memory after building, MB",
    "MB_network": "network itself, MB",
    "synapses": "recurrent connections",
    "compile_s": "generate and compile C++, s",
    "spiking_s_per_s": "spiking, s per simulated s (1 core)",
    "spikes_per_s": "spikes per simulated s",
    "rate_build_s": "build the rate network, s",
    "fixed_point_s": "fixed point, s",
    "stability_s": "stability check, s",
    "rate_step_ms": "rate step, batch 1, ms",
    "rate_step_8_ms": "rate step, batch 8, ms",
}


def measure(size: str, simulated_s: str) -> dict[str, float]:
    """Everything of one size."""
    seconds = float(simulated_s)
    start = time.perf_counter()
    from circuits import v1

    out: dict[str, float] = {}
    tick = time.perf_counter()
    v1.column(named(size), seed=1)
    out["build_first_s"] = time.perf_counter() - tick
    out["build_peak_MB"] = peak_MB()
    tick = time.perf_counter()
    column = v1.column(named(size), seed=2)
    out["build_s"] = time.perf_counter() - tick
    groups = [column.synapses, *(source.synapses for source in column.inputs.values())]
    parts = ("pre", "post", "weight", "delay_ms", "receptor")
    n_bytes = sum(getattr(group, part).nbytes for group in groups for part in parts)
    n_bytes += sum(values.nbytes for values in column.neurons.values())
    out["MB_network"] = n_bytes / 2**20
    out["synapses"] = len(column.synapses)

    import torch

    from converters import to_brian2, to_rate
    from converters.stability import spectral_radius
    from toolkit import stimuli

    warnings.simplefilter("ignore")
    simulation = to_brian2(column, "cpp_standalone")
    out["compile_s"] = simulation.compile_s
    lgn = v1.lgn(column)
    grating = lgn.respond(stimuli.drifting_grating(duration_ms=1000 * seconds))
    job = simulation.job(grating, seed=1)
    next(simulation.run_jobs([simulation.job(grating, seed=1, duration_ms=50.0)]))
    times = []
    for duration_job in (simulation.job(grating, seed=1, duration_ms=500.0), job):
        tick = time.perf_counter()
        recording = next(simulation.run_jobs([duration_job]))
        times.append(time.perf_counter() - tick)
    # The difference leaves out the start of the program (loading synapses).
    out["spiking_s_per_s"] = (times[1] - times[0]) / (seconds - 0.5)
    out["spikes_per_s"] = len(recording.spike_ids) / seconds

    tick = time.perf_counter()
    rates = to_rate(column)
    out["rate_build_s"] = time.perf_counter() - tick
    rest = torch.from_numpy(lgn.channels.resting_Hz[None].astype("float32"))
    tick = time.perf_counter()
    rates.fixed_point(rest)
    out["fixed_point_s"] = time.perf_counter() - tick
    tick = time.perf_counter()
    spectral_radius(rates, {"lgn": rest})
    out["stability_s"] = time.perf_counter() - tick
    for batch, name in ((1, "rate_step_ms"), (8, "rate_step_8_ms")):
        inputs = {"lgn": rest.repeat(batch, 1)}
        state = rates.at_steady_state(inputs)
        tick = time.perf_counter()
        with torch.no_grad():
            for _ in range(50):
                state = rates.step(state, *rates.drive(inputs))
        out[name] = (time.perf_counter() - tick) / 50 * 1000
    print(f"{size}: measured in {time.perf_counter() - start:.0f} s", file=sys.stderr)
    return out


def main() -> None:
    answer_one({"size": measure})
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="3k,6k")
    parser.add_argument("--seconds", default="10")
    parser.add_argument("--out", help="write the table here as CSV, too")
    args = parser.parse_args()
    columns = [
        {"size": size} | in_a_process(__file__, "size", size, args.seconds)
        for size in args.sizes.split(",")
    ]
    show(ROWS, columns, args.out)


if __name__ == "__main__":
    main()
