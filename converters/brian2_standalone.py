"""A Brian2 C++ program that is compiled once and run many times, several at a time.

Brian2's standalone device compiles sizes into the program, but reads values at the start. What
changes from run to run goes in through two doors: variables of the neuron group by Brian2's own
command-line arguments, input spikes and duration through a small binary file that code inserted
into ``main`` reads (``insert_code`` is Brian2's interface for that).
"""

from __future__ import annotations

import os
import queue
import re
import subprocess
import tempfile
import threading
import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from converters import cuda_system
from converters.brian2_model import Brian2Objects, build
from converters.brian2_poisson import PoissonTerm
from toolkit.errors import InputError, SimulationError
from toolkit.network import Network

RUN_FILE = "striate_run.bin"
# GCC gives up on vectorising the neurons' update when it would need more than ten alias checks; it
# needs up to a hundred for the twenty arrays of a part of it, once a step. Without them the update
# takes 2.5 times as long.
COMPILER_ARGS = ["--param", "vect-max-version-for-alias-checks=5000"]
# Turns that an OpenMP thread without work spins before it sleeps. A step has a dozen short loops:
# threads that sleep at once are woken all the time (2.6 s a simulated second of a 3k column, with
# this 0.08), and those that spin for long (OpenMP's default) stand in the way of other programs.
SPINS = "1000"
REPORTS = 50  # progress reports a run


@dataclass(frozen=True)
class Program:
    """A compiled simulation.

    Attributes
    ----------
    directory : where ``main`` is
    inputs : names of the spike inputs in the order of the run file
    n_sources : number of sources of each
    files : results file of each recorded array
    terms : Poisson inputs evaluated in the neurons' update
    n_voltage : number of neurons whose potential is recorded
    lag_steps : how many steps later than their own spikes are emitted
    dt_ms : time step
    compile_s : wall time of generating and compiling
    gpu_MB : memory that it takes of a GPU (derived); None for a program that runs on none
    """

    directory: Path
    inputs: tuple[str, ...]
    n_sources: Mapping[str, int]
    files: Mapping[str, str]
    terms: Sequence[PoissonTerm]
    n_voltage: int
    lag_steps: int
    dt_ms: float
    compile_s: float
    gpu_MB: float | None = None


@dataclass(frozen=True)
class Job:
    """One run: its length, its input spikes (steps, ids; sorted) and neuron variables to set."""

    n_steps: int
    spikes: Mapping[str, tuple[np.ndarray, np.ndarray]]
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class JobResult:
    """Spikes as Brian2 steps and ids; the recorded state, shape (time, recorded), or None."""

    n_steps: int
    steps: np.ndarray
    ids: np.ndarray
    state: np.ndarray | None


def compile_program(
    network: Network,
    dt_ms: float,
    directory: Path,
    external: Mapping[str, int],
    record_voltage: np.ndarray,
    threads: int = 1,
) -> Program:
    """Generate and compile the C++ program of `network` in `directory`, for OpenMP `threads`.

    Raises
    ------
    SimulationError : the compiler failed; the message has its first error and where the log is
    """
    import brian2 as b2
    from brian2.devices.device import get_device, reset_device

    start = time.perf_counter()
    directory.mkdir(parents=True, exist_ok=True)
    b2.set_device("cpp_standalone", directory=str(directory), build_on_run=False)
    try:
        device = get_device()  # b2.device is a proxy: attributes set on it are lost
        b2.prefs.devices.cpp_standalone.extra_make_args_unix = [f"-j{os.cpu_count() or 1}"]
        # Brian2 has one code for no threads and another for any number.
        b2.prefs.devices.cpp_standalone.openmp_threads = threads if threads > 1 else 0
        device.extra_compile_args = COMPILER_ARGS
        clock = b2.Clock(dt_ms * b2.ms, name="striate_clock")
        dummy = np.array([1]), np.array([0]), 1
        objects = build(network, clock, dt_ms, dict.fromkeys(external, dummy), True, record_voltage)
        names = {
            name: tuple(
                device.get_array_name(group.variables[v], access_data=False)
                for v in ("_timebins", "neuron_index", "_lastindex")
            )
            for name, group in objects.inputs.items()
        }
        device.insert_code("before_network_run", _read_run_file(names))
        # The duration is the run file's: Brian2 generates a run of length zero, we add the rest.
        device.insert_code("after_network_run", run_in_parts(objects.net.name, dt_ms))
        files = result_files(device, objects)
        arrays = {
            device.get_array_name(variable, access_data=False): files[name]
            for name, variable in recorded(objects).items()
        }
        device.insert_code("before_end", _write_results(arrays))
        objects.net.run(0 * b2.second)
        redirected = b2.prefs.logging.std_redirection
        b2.prefs.logging.std_redirection = False  # or Brian2 keeps the compiler's words from us
        try:
            with warnings.catch_warnings():  # of setuptools' private parts, which Brian2 uses
                warnings.simplefilter("ignore")
                quiet(device.build, directory=str(directory), compile=True, run=False)
        except Exception as error:
            raise compile_error(directory, error) from error
        finally:
            b2.prefs.logging.std_redirection = redirected
    finally:
        b2.device.reinit()
        reset_device()
    return Program(
        directory=directory,
        inputs=tuple(external),
        n_sources=dict(external),
        files=files,
        terms=objects.terms,
        n_voltage=len(record_voltage),
        lag_steps=objects.lag_steps,
        dt_ms=dt_ms,
        compile_s=time.perf_counter() - start,
    )


def _read_run_file(names: Mapping[str, tuple[str, str, str]]) -> str:
    """C++ that reads the number of steps, then for each input its count, steps and ids."""
    lines = [
        "int64_t striate_n_steps = 0;",
        f'std::ifstream striate_file(brian::results_dir + "{RUN_FILE}", std::ios::binary);',
        "striate_file.read((char*)&striate_n_steps, sizeof(int64_t));",
    ]
    for timebins, index, last in names.values():
        lines += [
            "{ int64_t n = 0; striate_file.read((char*)&n, sizeof(int64_t));",
            f"{timebins}.resize(n); {index}.resize(n);",
            f"striate_file.read((char*){timebins}.data(), n * sizeof(int32_t));",
            f"striate_file.read((char*){index}.data(), n * sizeof(int32_t));",
            f"{last}[0] = 0; }}",
        ]
    lines.append(
        'if (!striate_file) { std::cerr << "the run file is incomplete" << std::endl; return 3; }'
    )
    return "\n".join(lines)


def recorded(objects: Brian2Objects) -> dict[str, Any]:
    """The variables that a run records: ``t`` and ``i`` of spikes, the neurons' ``state``."""
    found = {name: objects.spikes.variables[name] for name in ("t", "i")}
    if objects.voltage is not None:
        found["state"] = objects.voltage.variables[objects.voltage.record_variables[0]]
    return found


def result_files(device: Any, objects: Brian2Objects) -> dict[str, str]:
    """The file of each recorded variable in the results folder."""
    return {name: Path(device.get_array_filename(v)).name for name, v in recorded(objects).items()}


def _write_results(files: Mapping[str, str]) -> str:
    """C++ that writes the recorded arrays and ends the program.

    Brian2 would write every array there is, all synapses with them: 2 GB for the whole of V1.
    """
    lines = ["{ using namespace brian;"]
    for array, name in files.items():
        lines.append(f'{{ std::ofstream file(results_dir + "{name}", std::ios::binary);')
        if array.startswith("_dynamic_array_voltage"):  # rows of a table
            lines += [
                f"for (int row = 0; row < {array}.n; row++)",
                f"    file.write((char*)&{array}(row, 0), {array}.m * sizeof({array}(0, 0)));",
            ]
        else:
            lines.append(f"file.write((char*){array}.data(), {array}.size() * sizeof({array}[0]));")
        lines += [
            "file.close();",
            f'if (!file) {{ std::cerr << "Error writing {name}" << std::endl; return 4; }} }}',
        ]
    return "\n".join([*lines, "std::cout << std::flush; _Exit(0); }"])


def run_in_parts(net: str, dt_ms: float) -> str:
    """C++ that runs the given steps in parts and reports after each (Brian2's own report asks the
    clock before every object of every step)."""
    return f"""
for (int64_t part = 0, done = 0; part < {REPORTS}; part++) {{
    const int64_t upto = striate_n_steps * (part + 1) / {REPORTS};
    if (upto > done) {net}.run((upto - done) * {dt_ms / 1000!r}, NULL, 10.0);
    done = upto;
    std::cout << "completed " << (part + 1.0) / {REPORTS} << std::endl << std::flush;
}}"""


def quiet(function: Any, **arguments: Any) -> None:
    """Call with the standard output and error of child processes kept in ``build.log``."""
    log = Path(arguments["directory"]) / "build.log"
    saved = os.dup(1), os.dup(2)
    with open(log, "w") as out:
        try:
            os.dup2(out.fileno(), 1)
            os.dup2(out.fileno(), 2)
            function(**arguments)
        finally:
            os.dup2(saved[0], 1)
            os.dup2(saved[1], 2)
            for descriptor in saved:
                os.close(descriptor)


def compile_error(directory: Path, error: Exception) -> SimulationError:
    """An error with the compiler's first one of ``build.log``, which is kept elsewhere."""
    log = directory / "build.log"
    text = log.read_text(errors="replace") if log.is_file() else ""
    first = next((line for line in text.splitlines() if re.search(r"\berror\b", line)), str(error))
    kept = Path(tempfile.mkstemp(prefix="striate_build_", suffix=".log")[1])
    kept.write_text(text)
    return SimulationError(f"compiling the simulation failed: {first.strip()} (log: {kept})")


def run_jobs(
    program: Program, jobs: Iterable[Job], workers: int, shown: Any
) -> Iterator[JobResult]:
    """Run jobs in separate processes, `workers` at a time; results in order.

    `shown` is a progress bar in simulated seconds. When the caller stops early, or on an error,
    the processes still running are ended.
    """
    if workers < 1:
        raise InputError(f"workers must be 1 or more, got {workers}")
    if program.gpu_MB is not None:
        cuda_system.need_card()
    running: set[subprocess.Popen] = set()
    ticks: queue.SimpleQueue[float] = queue.SimpleQueue()
    stop = threading.Event()

    def work(job: Job) -> JobResult:
        return _run_one(program, job, running, ticks, stop)

    pool = ThreadPoolExecutor(workers)
    # No more jobs than that are started ahead, so that results waiting to be read stay few.
    pending: list[Future[JobResult]] = []
    todo = iter(jobs)
    try:
        for job in todo:
            pending.append(pool.submit(work, job))
            if len(pending) > workers:
                break
        while pending:
            first = pending[0]
            while not first.done():
                _drain(ticks, shown)
                time.sleep(0.02)
            _drain(ticks, shown)
            yield pending.pop(0).result()
            following = next(todo, None)
            if following is not None:
                pending.append(pool.submit(work, following))
    finally:
        stop.set()
        for process in list(running):
            process.kill()
        pool.shutdown(wait=True, cancel_futures=True)


def _drain(ticks: queue.SimpleQueue[float], shown: Any) -> None:
    while not ticks.empty():
        shown.update(ticks.get())


def _run_one(
    program: Program,
    job: Job,
    running: set[subprocess.Popen],
    ticks: queue.SimpleQueue[float],
    stop: threading.Event,
) -> JobResult:
    with tempfile.TemporaryDirectory(prefix="run_", dir=program.directory) as folder:
        _write_run_file(Path(folder) / RUN_FILE, program, job)
        arguments = []
        for number, (name, value) in enumerate(job.values.items()):
            if np.ndim(value) == 0:
                arguments.append(f"neurons.{name}={value}")
            else:
                # By a path without capitals: brian2cuda takes values in small letters.
                file = Path(folder) / f"value_{number}.bin"
                kind = (
                    np.int32 if np.issubdtype(np.asarray(value).dtype, np.integer) else np.float64
                )
                np.ascontiguousarray(value, dtype=kind).tofile(file)
                arguments.append(f"neurons.{name}={file.relative_to(program.directory)}")
        dt_s = program.dt_ms / 1000
        process = subprocess.Popen(
            ["./main", "--results_dir", f"{folder}/", *arguments],
            cwd=program.directory,
            env={"GOMP_SPINCOUNT": SPINS, **os.environ},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        running.add(process)
        if stop.is_set():
            process.kill()
        done, other = 0.0, []
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("completed "):
                now = float(line.split()[1]) * job.n_steps * dt_s
                ticks.put(max(now - done, 0.0))
                done = max(now, done)
            else:
                other.append(line)
        code = process.wait()
        running.discard(process)
        if code != 0 or any(re.search("Error|ERROR|Cannot", line) for line in other):
            raise SimulationError(
                f"the compiled simulation ended with code {code}: {''.join(other).strip()[:500]}"
            )
        times = np.fromfile(Path(folder) / program.files["t"], dtype=np.float64)
        ids = np.fromfile(Path(folder) / program.files["i"], dtype=np.int32)
        state = None
        if program.n_voltage:
            stored = np.fromfile(Path(folder) / program.files["state"])
            state = stored.reshape(-1, program.n_voltage)
        return JobResult(job.n_steps, np.round(times / dt_s).astype(np.int64), ids, state)


def _write_run_file(path: Path, program: Program, job: Job) -> None:
    with open(path, "wb") as file:
        np.int64(job.n_steps + program.lag_steps).tofile(file)
        for name in program.inputs:
            steps, ids = job.spikes.get(name, (np.zeros(0, int), np.zeros(0, int)))
            if len(steps):
                busiest = int(np.bincount(steps).max())
                if busiest > program.n_sources[name]:
                    raise InputError(
                        f"input {name!r} has {busiest} spikes in one step, more than its "
                        f"{program.n_sources[name]} sources: use a smaller dt"
                    )
            np.int64(len(steps)).tofile(file)
            # Brian2 stamps the start of the step, we (like NEST) its end: one step earlier.
            (steps - 1).astype(np.int32).tofile(file)
            ids.astype(np.int32).tofile(file)
