"""`to_brian2`: run a `Network` as spikes in Brian2, interpreted or compiled."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np

from converters import brian2_cuda, brian2_model, brian2_standalone, neuron_model
from converters.brian2_poisson import is_one_to_one, operation
from converters.grid import drive, poisson_key, poisson_spikes, run_steps, spike_steps
from toolkit import progress
from toolkit.errors import InputError, MissingDependency, require, unknown
from toolkit.network import Network
from toolkit.recording import Recording

DEVICES = ("runtime", "cpp_standalone", "cuda_standalone")
# Neuron-steps above which compiling with Cython (some 30 s, once) pays for the runtime device.
CYTHON_FROM = 2e7

Inputs = Recording | Mapping[str, Recording] | None


@overload
def to_brian2(
    network: Network,
    device: Literal["runtime"] = "runtime",
    *,
    dt_ms: float = ...,
    threads: int = ...,
    record_voltage: Sequence[int] = ...,
    directory: str | Path | None = ...,
) -> RuntimeSimulation: ...
@overload
def to_brian2(
    network: Network,
    device: Literal["cpp_standalone", "cuda_standalone"],
    *,
    dt_ms: float = ...,
    threads: int = ...,
    record_voltage: Sequence[int] = ...,
    directory: str | Path | None = ...,
    compute_capability: float | None = ...,
) -> StandaloneSimulation: ...
@overload
def to_brian2(
    network: Network,
    device: str,
    *,
    dt_ms: float = ...,
    threads: int = ...,
    record_voltage: Sequence[int] = ...,
    directory: str | Path | None = ...,
    compute_capability: float | None = ...,
) -> RuntimeSimulation | StandaloneSimulation: ...
def to_brian2(
    network: Network,
    device: str = "runtime",
    *,
    dt_ms: float = 0.25,
    threads: int = 1,
    record_voltage: Sequence[int] = (),
    directory: str | Path | None = None,
    compute_capability: float | None = None,
) -> RuntimeSimulation | StandaloneSimulation:
    """Make a Brian2 simulation of `network`; its ``run`` gives a spike `Recording`.

    Every device fires the identical spikes: the NESTML model of the neurons (`toolkit.neurons`) and
    the toolkit's own random input are the definition, not the simulator.

    Parameters
    ----------
    network : the circuit
    device : ``"runtime"`` (NumPy for small runs, Cython for large ones), ``"cpp_standalone"``
        (compiled C++ once, some ten seconds; then any number of runs, several at a time) or
        ``"cuda_standalone"`` (the same on an NVIDIA GPU, see `converters.brian2_cuda`)
    dt_ms : time step; 0.25 ms is that of the published V1 models
    threads : of a compiled run (OpenMP); any number gives the same spikes. Several runs at a time
        (``run_jobs``) make better use of processors
    record_voltage : neurons whose membrane potential is recorded (``simulation.voltage_mV``)
    directory : where to build (compiled devices); a temporary folder by default
    compute_capability : of the card to compile for (cuda_standalone); by default that of the card
        that is here, 9.0 if none is

    Raises
    ------
    InputError : unknown device, bad dt or number of threads
    MissingDependency : Brian2, or the compiler of a compiled device, is not there

    Examples
    --------
    >>> from circuits import v1                                          # doctest: +SKIP
    >>> to_brian2(v1.column("3k", seed=1), device="cpp_standalone")      # doctest: +SKIP
    """
    if device not in DEVICES:
        raise unknown("device", device, DEVICES)
    if not 0 < dt_ms <= 5:
        raise InputError(f"dt_ms must be above 0 and at most 5 ms, got {dt_ms}")
    if compute_capability is not None and device != "cuda_standalone":
        raise InputError("compute_capability is of device='cuda_standalone'")
    if threads < 1 or (threads > 1 and device != "cpp_standalone"):
        raise InputError(
            "threads must be 1, or more with device='cpp_standalone'; got "
            f"{threads} with {device!r}"
        )
    require("brian2", "striate")
    voltage = np.asarray(record_voltage, dtype=int)
    if device == "runtime":
        return RuntimeSimulation(network, dt_ms, voltage)
    if device == "cuda_standalone":
        compiler = partial(brian2_cuda.compile_program, compute_capability=compute_capability)
        return StandaloneSimulation(network, dt_ms, voltage, directory, compiler)
    for tool in ("g++", "make"):
        if shutil.which(tool) is None:
            raise MissingDependency(
                f"device 'cpp_standalone' needs {tool}, which is not on the PATH; on Debian: "
                "apt-get install g++ make. Or use device='runtime'"
            )
    compiled = partial(brian2_standalone.compile_program, threads=threads)
    return StandaloneSimulation(network, dt_ms, voltage, directory, compiled)


def _input_spikes(
    network: Network, inputs: Inputs, seed: int, dt_ms: float, duration_ms: float | None
) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], int]:
    """Steps and ids of every input that arrives as spikes, and the number of steps."""
    driving, driven_ms = drive(network, inputs, seed)
    n_steps = run_steps(duration_ms, driven_ms, dt_ms)
    spikes = {name: spike_steps(recording, dt_ms) for name, recording in driving.items()}
    for name, source in network.inputs.items():
        if source.rate_Hz is not None and not is_one_to_one(source):
            spikes[name] = poisson_spikes(source, name, seed, dt_ms, n_steps)
    for name, (steps, ids) in spikes.items():
        order = np.lexsort((ids, steps))
        keep = order[steps[order] <= n_steps]
        spikes[name] = steps[keep], ids[keep]
    return spikes, n_steps


def _recording(
    network: Network, steps: np.ndarray, ids: np.ndarray, dt_ms: float, n_steps: int, lag: int
) -> Recording:
    """Spikes as a `Recording`; `steps` are Brian2's, which stamps the start of the step.

    `lag` is how many steps later than their own spikes are emitted.
    """
    own = steps + 1 - lag
    kept = own <= n_steps
    return Recording.spikes(
        own[kept] * dt_ms, ids[kept], n=network.n, dt_ms=dt_ms, duration_ms=n_steps * dt_ms
    )


def _potential_mV(network: Network, recorded: np.ndarray, state: np.ndarray) -> np.ndarray:
    """The membrane potential, shape (time, recorded), from the state of that shape."""
    return state + neuron_model.potential(network)[1][recorded]


class RuntimeSimulation:
    """A Brian2 simulation on the runtime device; made by `to_brian2`."""

    def __init__(self, network: Network, dt_ms: float, record_voltage: np.ndarray):
        self.network, self.dt_ms, self._record = network, dt_ms, record_voltage
        self.voltage_mV: np.ndarray | None = None
        self.objects: brian2_model.Brian2Objects | None = None

    def run(
        self,
        inputs: Inputs = None,
        *,
        seed: int = 0,
        duration_ms: float | None = None,
        target: str | None = None,
        show_progress: bool | None = None,
    ) -> Recording:
        """Simulate and record every spike.

        Parameters
        ----------
        inputs : spikes or rates of the external input(s); rates become Poisson spikes
        seed : of the random input
        duration_ms : by default that of the input
        target : Brian2's code generation target, ``"numpy"`` or ``"cython"``; by size if None
        show_progress : by default on a terminal
        """
        import brian2 as b2

        spikes, n_steps = _input_spikes(self.network, inputs, seed, self.dt_ms, duration_ms)
        if target is None:
            target = "cython" if self.network.n * n_steps > CYTHON_FROM else "numpy"
        sources = {
            name: _without_repeats(*s, self.network.inputs[name].n) for name, s in spikes.items()
        }
        b2.prefs.codegen.target = target
        clock = b2.Clock(self.dt_ms * b2.ms)
        objects = brian2_model.build(self.network, clock, self.dt_ms, sources, False, self._record)
        self.objects = objects
        for term in objects.terms:
            objects.net.add(operation(objects.neurons, clock, term, objects.ports, seed))
        with progress.bar(n_steps * self.dt_ms / 1000, "Brian2", " s", show_progress) as shown:

            def report(elapsed, completed, start, duration):  # noqa: ARG001  Brian2's call
                shown.update(completed * n_steps * self.dt_ms / 1000 - shown.n)

            duration = (n_steps + objects.lag_steps) * self.dt_ms * b2.ms
            objects.net.run(duration, report=report, report_period=0.5 * b2.second)
        if objects.voltage is not None:
            state = np.asarray(getattr(objects.voltage, objects.voltage.record_variables[0])).T
            self.voltage_mV = _potential_mV(self.network, self._record, state[:n_steps])
        steps = np.round(np.asarray(objects.spikes.t / b2.ms) / self.dt_ms).astype(np.int64)
        ids, lag = np.asarray(objects.spikes.i), objects.lag_steps
        return _recording(self.network, steps, ids, self.dt_ms, n_steps, lag)


def _without_repeats(
    steps: np.ndarray, ids: np.ndarray, n: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """Move the second, third, ... spike of a source in one step to copies of that source."""
    if len(steps) == 0:
        return steps, ids, 1
    same = np.concatenate([[False], (np.diff(steps) == 0) & (np.diff(ids) == 0)])
    starts = np.maximum.accumulate(np.where(same, 0, np.arange(len(same))))
    copy = np.arange(len(same)) - starts
    return steps, ids + copy * n, int(copy.max()) + 1


class StandaloneSimulation:
    """A compiled Brian2 simulation: compiled once, run any number of times; see `to_brian2`."""

    def __init__(
        self,
        network: Network,
        dt_ms: float,
        record_voltage: np.ndarray,
        directory: str | Path | None,
        compile_program: Callable[..., Any],
    ):
        self.network, self.dt_ms, self._record = network, dt_ms, record_voltage
        self.voltage_mV: np.ndarray | None = None
        self._temporary = None
        if directory is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="striate_")
            directory = self._temporary.name
        external = {
            name: source.n
            for name, source in network.inputs.items()
            if source.rate_Hz is None or not is_one_to_one(source)
        }
        self.program: brian2_standalone.Program = compile_program(
            network, dt_ms, Path(directory), external, record_voltage
        )

    @property
    def compile_s(self) -> float:
        """Wall time of code generation and compilation, s."""
        return self.program.compile_s

    def run(
        self,
        inputs: Inputs = None,
        *,
        seed: int = 0,
        duration_ms: float | None = None,
        values: Mapping[str, np.ndarray] | None = None,
        show_progress: bool | None = None,
    ) -> Recording:
        """Simulate and record every spike; arguments as in `RuntimeSimulation.run`.

        `values` replaces variables of the neuron group for this run, e.g. background weights
        (see `background_values`).
        """
        job = self.job(inputs, seed=seed, duration_ms=duration_ms, values=values)
        return next(self.run_jobs([job], workers=1, show_progress=show_progress))

    def job(
        self,
        inputs: Inputs = None,
        *,
        seed: int = 0,
        duration_ms: float | None = None,
        values: Mapping[str, np.ndarray] | None = None,
    ) -> brian2_standalone.Job:
        """A run to be done later by `run_jobs`; arguments as in `run`."""
        spikes, n_steps = _input_spikes(self.network, inputs, seed, self.dt_ms, duration_ms)
        settings: dict[str, Any] = dict(values or {})
        for p, term in enumerate(self.program.terms):
            key = poisson_key(seed, term.name)
            settings[f"key_hi_{p}"], settings[f"key_lo_{p}"] = key >> 31, key & (2**31 - 1)
        return brian2_standalone.Job(n_steps, spikes, settings)

    def run_jobs(
        self,
        jobs: Iterable[brian2_standalone.Job],
        *,
        workers: int = 2,
        total_s: float | None = None,
        label: str = "Brian2",
        show_progress: bool | None = None,
    ) -> Iterator[Recording]:
        """Run jobs, `workers` at a time, and give their recordings in order.

        `jobs` may be a generator: few are taken ahead. `total_s` is their simulated time, for the
        progress bar; by default that of the jobs, which are then all made first.
        """
        if total_s is None:
            jobs = list(jobs)
            total_s = sum(job.n_steps for job in jobs) * self.dt_ms / 1000
        with progress.bar(total_s, label, " s", show_progress) as shown:
            for result in brian2_standalone.run_jobs(self.program, jobs, workers, shown):
                steps, ids, n_steps = result.steps, result.ids, result.n_steps
                if result.state is not None:
                    state = result.state[:n_steps]
                    self.voltage_mV = _potential_mV(self.network, self._record, state)
                lag = self.program.lag_steps
                yield _recording(self.network, steps, ids, self.dt_ms, n_steps, lag)

    def background_values(self, name: str, weight: np.ndarray) -> dict[str, np.ndarray]:
        """The `values` of a run with other weights (pA, by neuron) for a one-to-one input."""
        for p, term in enumerate(self.program.terms):
            if term.name == name:
                return {
                    f"pw_{p}_{k}": np.where(term.slot == k, weight, 0.0) for k, _ in term.by_slot()
                }
        raise unknown("one-to-one Poisson input", name, [t.name for t in self.program.terms])
