"""`to_nest`: run a `Network` as spikes in NEST."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from converters.grid import drive, run_steps, spike_steps
from converters.nest import devices, inputs, kernel
from converters.nest.builtin import BuiltinNeurons
from converters.nest.compiled import NestmlNeurons
from converters.nest.connections import Rows, rows_here
from converters.nest.processes import gathered, together
from converters.nest.recorder import NestRecorder, OwnRecorder
from converters.slots import Slots, pack_receptors
from converters.spiking import Inputs
from toolkit import progress
from toolkit.errors import InputError, MissingDependency, SimulationError, unknown
from toolkit.network import Network
from toolkit.network_blocks import NetworkFile
from toolkit.recording import Recording

MODELS = ("builtin", "nestml")
# Known spikes are handed to NEST in parts: of this length, or less where they are those of many
# Poisson sources.
PART_MS, PART_COUNTS = 1000.0, 20_000_000
REPORT_MS = 50.0  # simulated time between steps of the progress bar


def to_nest(
    network: Network | NetworkFile,
    model: str = "builtin",
    *,
    dt_ms: float = 0.25,
    threads: int = 1,
    record_voltage: Sequence[int] = (),
) -> NestSimulation:
    """Make a NEST simulation of `network`; its ``run`` gives a spike `Recording`.

    It fires the spikes of `to_brian2`, and takes the same arguments: both run the NESTML models of
    `toolkit.neurons`, GLIF3's is the discrete update of NEST's own, and random input is ours.

    NEST holds one network in a process. ``run`` builds the network in an empty kernel and leaves an
    empty one behind; a network of yours in NEST is not touched, but refused.

    Under ``mpirun``, on a NEST with MPI, each process has its part of the neurons and the synapses
    onto them, and ``run`` gives all spikes in each (docs/nest-mpi.md).

    Parameters
    ----------
    network : the circuit, or the file of one, of which the synapses are then read in blocks
    model : ``"builtin"``: NEST's ``glif_psc`` and ``glif_psc_double_alpha``, for GLIF3 neurons;
        ``"nestml"``: our NESTML model of the neurons, whichever it is, compiled the first time
        (some ten seconds) and kept
    dt_ms : time step, a multiple of 0.001 ms; 0.25 ms is that of the published V1 models
    threads : of NEST; any number gives the same spikes
    record_voltage : neurons whose membrane potential is recorded (``simulation.voltage_mV``)

    Raises
    ------
    InputError : unknown model, bad dt or number of threads, a receptor that NEST's model lacks
    MissingDependency : NEST, or for NESTML's models NESTML or a compiler, is not there

    Examples
    --------
    >>> from circuits import v1                                          # doctest: +SKIP
    >>> to_nest(v1.column("3k", seed=1), threads=2)                      # doctest: +SKIP
    """
    if model not in MODELS:
        raise unknown("NEST model", model, MODELS)
    if not 0 < dt_ms <= 5:
        raise InputError(f"dt_ms must be above 0 and at most 5 ms, got {dt_ms}")
    if threads < 1:
        raise InputError(f"threads must be 1 or more, got {threads}")
    head = network.sample if isinstance(network, NetworkFile) else network
    slots = pack_receptors(head)
    neurons: Neurons = (
        BuiltinNeurons.of(head, slots) if model == "builtin" else NestmlNeurons.of(head, slots)
    )
    kernel.load()
    voltage = np.asarray(record_voltage, dtype=int)
    return NestSimulation(network, neurons, slots, dt_ms, threads, voltage)


class Neurons(Protocol):
    """How the neurons of a network are made in NEST."""

    def create(self, nest: Any, network: Network, slots: Slots) -> np.ndarray:
        """Make the nodes, and give the number in NEST of every neuron, shape (neuron,)."""

    def ports(self, nest: Any, network: Network, slots: Slots) -> np.ndarray:
        """NEST's ``receptor_type`` of each slot."""


class NestSimulation:
    """A NEST simulation; made by `to_nest`.

    Attributes
    ----------
    voltage_mV : potentials of the recorded neurons at the ends of the steps, shape (time,
        recorded), of the last run; None if none are recorded
    build_s, run_s : wall time of the last run's making of nodes and synapses, and of the rest
    """

    def __init__(
        self,
        network: Network | NetworkFile,
        neurons: Neurons,
        slots: Slots,
        dt_ms: float,
        threads: int,
        record_voltage: np.ndarray,
    ):
        self.network = network.sample if isinstance(network, NetworkFile) else network
        self.dt_ms, self.threads = dt_ms, threads
        self._synapses_of, self._devices = network, _devices()
        self._neurons, self._slots, self._record = neurons, slots, record_voltage
        self.voltage_mV: np.ndarray | None = None
        self.build_s = self.run_s = 0.0

    def run(
        self,
        inputs: Inputs = None,
        *,
        seed: int = 0,
        duration_ms: float | None = None,
        show_progress: bool | None = None,
    ) -> Recording:
        """Simulate and record every spike.

        Parameters
        ----------
        inputs : spikes or rates of the external input(s); rates become Poisson spikes
        seed : of the random input
        duration_ms : by default that of the input
        show_progress : by default on a terminal
        """
        counts, n_steps = self._counts(inputs, seed, duration_ms)
        with kernel.taken(self.dt_ms, self.threads) as nest, together(nest):
            started = time.perf_counter()
            if self._devices is not None:
                nest.Install(str(self._devices.with_suffix("")))
            number = self._neurons.create(nest, self.network, self._slots)
            ports = self._neurons.ports(nest, self.network, self._slots)
            built = _Built(nest, number, self.dt_ms, self._devices is not None)
            for name in (*counts, ""):
                rows = rows_here(
                    nest, self._synapses_of, name, number, self._slots, ports, self.dt_ms
                )
                if not name:
                    built.connect(rows)
                else:
                    built.drive(rows, counts[name], self.network.inputs[name].n)
            built.record(self._record)
            self.build_s = time.perf_counter() - started
            started = time.perf_counter()
            built.run(n_steps, show_progress)
            self.run_s = time.perf_counter() - started
            steps, ids = built.spikes(n_steps)
            if len(self._record):
                self.voltage_mV = built.potentials(n_steps)
        return Recording.spikes(
            steps * self.dt_ms,
            ids,
            n=self.network.n,
            dt_ms=self.dt_ms,
            duration_ms=n_steps * self.dt_ms,
        )

    def job(
        self, inputs: Inputs = None, *, seed: int = 0, duration_ms: float | None = None
    ) -> dict[str, Any]:
        """A run to be done later by `run_jobs`; arguments as in `run`."""
        return {"inputs": inputs, "seed": seed, "duration_ms": duration_ms}

    def run_jobs(
        self,
        jobs: Iterable[Mapping[str, Any]],
        *,
        workers: int = 1,  # noqa: ARG002  a process has one NEST kernel, which has threads
        total_s: float,
        label: str = "NEST",
        show_progress: bool | None = None,
    ) -> Iterator[Recording]:
        """Run jobs one after the other and give their recordings.

        `workers` is what `StandaloneSimulation.run_jobs` takes: here there is one, and `threads`.
        `total_s` is the simulated time of all, for the progress bar.
        """
        with progress.bar(total_s, label, " s", show_progress) as shown:
            for number, job in enumerate(jobs):
                with warnings.catch_warnings():
                    if number:  # the network is built anew, with the same delays
                        warnings.filterwarnings("ignore", message=".*delays are not multiples")
                    recording = self.run(**job, show_progress=False)
                shown.update(recording.duration_ms / 1000)
                yield recording

    def _counts(
        self, given: Inputs, seed: int, duration_ms: float | None
    ) -> tuple[dict[str, inputs.Counts], int]:
        """Spikes of every input, and the number of steps."""
        driving, driven_ms = drive(self.network, given, seed)
        n_steps = run_steps(duration_ms, driven_ms, self.dt_ms)
        counts: dict[str, inputs.Counts] = {}
        for name, source in self.network.inputs.items():
            if source.rate_Hz is not None:
                counts[name] = inputs.PoissonCounts.of(source, name, seed, self.dt_ms)
            elif name in driving:
                counts[name] = inputs.GivenCounts(*spike_steps(driving[name], self.dt_ms))
            else:
                counts[name] = inputs.GivenCounts(np.zeros(0, np.int64), np.zeros(0, np.int64))
        return counts, n_steps


def _devices() -> Path | None:
    """The module of `converters.nest.devices`; NEST's own devices do without it, at more cost."""
    try:
        return devices.build()
    except (MissingDependency, SimulationError) as error:
        warnings.warn(
            f"Poisson input is drawn outside NEST, which takes several times as long, and spikes "
            f"are recorded with 31 kB more a neuron: {error}",
            stacklevel=3,
        )
        return None


class _Built:
    """The nodes and synapses of a network in NEST's kernel."""

    def __init__(self, nest: Any, number: np.ndarray, dt_ms: float, own_devices: bool):
        self._nest, self._number, self._dt_ms = nest, number, dt_ms
        self._own_devices = own_devices
        self._generators: list[inputs.Generators] = []
        self._n_random = 0
        self._voltmeter = None

    def connect(self, rows: Iterable[Rows]) -> None:
        """Connect neurons with each other."""
        for some in rows:
            some.connect(self._nest, self._number[some.pre])

    def drive(self, rows: Iterable[Rows], counts: inputs.Counts, n: int) -> None:
        """Connect the `n` sources of an input."""
        if isinstance(counts, inputs.PoissonCounts):
            if self._own_devices:
                inputs.connect_device(self._nest, rows, counts)
                return
            self._n_random += n
        self._generators.append(inputs.Generators.connected(self._nest, n, rows, counts))

    def record(self, neurons: np.ndarray) -> None:
        """Record all spikes, and the potentials of some neurons; after the synapses are made."""
        nest = self._nest
        recorder = OwnRecorder if self._own_devices else NestRecorder
        self._recorder: OwnRecorder | NestRecorder = recorder(nest, self._number)
        if not len(neurons):
            return
        self._recorded = self._number[neurons]
        self._voltmeter = nest.Create(
            "multimeter", params={"record_from": ["V_m"], "interval": self._dt_ms}
        )
        nest.Connect(self._voltmeter, nest.NodeCollection(np.unique(self._recorded)))

    def run(self, n_steps: int, show_progress: bool | None) -> None:
        """Simulate `n_steps`, part by part."""
        dt_ms = self._dt_ms
        part = max(1, min(round(PART_MS / dt_ms), PART_COUNTS // max(self._n_random, 1)))
        if self._nest.Rank() > 0:
            show_progress = False
        report = max(1, round(REPORT_MS / dt_ms))
        with (
            progress.bar(n_steps * dt_ms / 1000, "NEST", " s", show_progress) as shown,
            self._nest.RunManager(),
        ):
            for first in range(1, n_steps + 1, part):
                last = min(first + part - 1, n_steps)
                for generators in self._generators:
                    generators.fill(first, last, dt_ms)
                for step in range(first, last + 1, report):
                    length_ms = (min(step + report - 1, last) - step + 1) * dt_ms
                    self._nest.Run(length_ms)
                    shown.update(length_ms / 1000)
            # What is recorded is handed over in the next slice of time only.
            self._nest.Run(self._nest.max_delay)

    def spikes(self, n_steps: int) -> tuple[np.ndarray, np.ndarray]:
        """Steps and neurons of the spikes."""
        steps, neurons = self._recorder.spikes()
        inside = steps <= n_steps
        return steps[inside], neurons[inside]

    def potentials(self, n_steps: int) -> np.ndarray:
        """Potentials of the recorded neurons, shape (time, recorded), mV."""
        assert self._voltmeter is not None
        events = self._voltmeter.get("events")
        mine = np.stack([events["times"], events["senders"], events["V_m"]], axis=1)
        times_ms, senders, V_mV = gathered(self._nest, mine.astype(np.float64)).T
        step = np.round(times_ms / self._dt_ms).astype(np.int64) - 1
        each, place = np.unique(self._recorded, return_inverse=True)
        table = np.full((int(step.max(initial=0)) + 1, len(each)), np.nan)
        table[step, np.searchsorted(each, senders.astype(np.int64))] = V_mV
        return table[:n_steps, place]
