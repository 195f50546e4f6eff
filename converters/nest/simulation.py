"""`to_nest`: run a `Network` as spikes in NEST."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from converters.grid import drive, run_steps, spike_steps
from converters.nest import connections, inputs, kernel
from converters.nest.builtin import BuiltinNeurons
from converters.nest.compiled import NestmlNeurons
from converters.slots import Slots, pack_receptors
from converters.spiking import Inputs
from toolkit import progress
from toolkit.errors import InputError, unknown
from toolkit.network import Network
from toolkit.recording import Recording

MODELS = ("builtin", "nestml")
# Input is handed to NEST in parts: of this length, or less where there are many Poisson sources.
PART_MS, PART_COUNTS = 1000.0, 20_000_000
REPORT_MS = 50.0  # simulated time between steps of the progress bar


def to_nest(
    network: Network,
    model: str = "builtin",
    *,
    dt_ms: float = 0.25,
    threads: int = 1,
    record_voltage: Sequence[int] = (),
) -> NestSimulation:
    """Make a NEST simulation of `network`; its ``run`` gives a spike `Recording`.

    It fires the spikes of `to_brian2`, and takes the same arguments: the discrete update of
    `toolkit.neurons.glif3` is that of NEST's models, and random input is the toolkit's own.

    NEST holds one network in a process. ``run`` builds the network in an empty kernel and leaves an
    empty one behind; a network of yours in NEST is not touched, but refused.

    Parameters
    ----------
    network : the circuit
    model : ``"builtin"``: NEST's ``glif_psc`` and ``glif_psc_double_alpha``; ``"nestml"``: the
        models of `toolkit.neurons.glif`, compiled the first time (some ten seconds) and kept
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
    slots = pack_receptors(network)
    neurons: Neurons = BuiltinNeurons.of(network) if model == "builtin" else NestmlNeurons.of(slots)
    kernel.load()
    voltage = np.asarray(record_voltage, dtype=int)
    return NestSimulation(network, neurons, slots, dt_ms, threads, voltage)


class Neurons(Protocol):
    """How the neurons of a network are made in NEST."""

    def create(self, nest: Any, network: Network, slots: Slots) -> np.ndarray:
        """Make the nodes, and give the number in NEST of every neuron, shape (neuron,)."""


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
        network: Network,
        neurons: Neurons,
        slots: Slots,
        dt_ms: float,
        threads: int,
        record_voltage: np.ndarray,
    ):
        self.network, self.dt_ms, self.threads = network, dt_ms, threads
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
        with kernel.taken(self.dt_ms, self.threads) as nest:
            started = time.perf_counter()
            built = _Built(nest, self.network, self._neurons, self._slots, self.dt_ms)
            if len(self._record):
                built.record(self._record)
            self.build_s = time.perf_counter() - started
            started = time.perf_counter()
            built.run(counts, n_steps, show_progress)
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

    def _counts(
        self, given: Inputs, seed: int, duration_ms: float | None
    ) -> tuple[dict[str, inputs.Counts], int]:
        """Spikes of every input that is not silent, and the number of steps."""
        driving, driven_ms = drive(self.network, given, seed)
        n_steps = run_steps(duration_ms, driven_ms, self.dt_ms)
        counts: dict[str, inputs.Counts] = {}
        for name, source in self.network.inputs.items():
            if source.rate_Hz is not None:
                counts[name] = inputs.PoissonCounts.of(source, name, seed, self.dt_ms)
            elif name in driving:
                steps, ids = spike_steps(driving[name], self.dt_ms)
                counts[name] = inputs.GivenCounts(steps, ids)
        return counts, n_steps


class _Built:
    """The nodes and synapses of a network in NEST's kernel."""

    def __init__(self, nest: Any, network: Network, neurons: Neurons, slots: Slots, dt_ms: float):
        self._nest, self._dt_ms = nest, dt_ms
        self._number = neurons.create(nest, network, slots)
        self._generators = {}
        for name, source in network.inputs.items():
            generators = nest.Create("spike_generator", source.n)
            sources = generators[0].global_id + np.arange(source.n)
            what = f"input {name!r}"
            connections.connect(nest, source.synapses, sources, self._number, slots, dt_ms, what)
            self._generators[name] = generators
        connections.connect(
            nest, network.synapses, self._number, self._number, slots, dt_ms, "recurrent synapses"
        )
        self._recorder = nest.Create("spike_recorder", params={"time_in_steps": True})
        nest.Connect(nest.NodeCollection(np.sort(self._number)), self._recorder)
        self._voltmeter = None

    def record(self, neurons: np.ndarray) -> None:
        """Record the potentials of some neurons."""
        nest = self._nest
        self._recorded = self._number[neurons]
        self._voltmeter = nest.Create(
            "multimeter", params={"record_from": ["V_m"], "interval": self._dt_ms}
        )
        nest.Connect(self._voltmeter, nest.NodeCollection(np.unique(self._recorded)))

    def run(
        self, counts: dict[str, inputs.Counts], n_steps: int, show_progress: bool | None
    ) -> None:
        """Simulate `n_steps`, part by part."""
        dt_ms = self._dt_ms
        n_random = sum(c.n for c in counts.values() if isinstance(c, inputs.PoissonCounts))
        part = max(1, min(round(PART_MS / dt_ms), PART_COUNTS // max(n_random, 1)))
        report = max(1, round(REPORT_MS / dt_ms))
        with (
            progress.bar(n_steps * dt_ms / 1000, "NEST", " s", show_progress) as shown,
            self._nest.RunManager(),
        ):
            for first in range(1, n_steps + 1, part):
                last = min(first + part - 1, n_steps)
                for name, each in counts.items():
                    inputs.fill(self._generators[name], each, first, last, dt_ms)
                for step in range(first, last + 1, report):
                    length_ms = (min(step + report - 1, last) - step + 1) * dt_ms
                    self._nest.Run(length_ms)
                    shown.update(length_ms / 1000)
            if self._voltmeter is not None:
                # A potential is handed over in the next slice of time only.
                self._nest.Run(self._nest.max_delay)

    def spikes(self, n_steps: int) -> tuple[np.ndarray, np.ndarray]:
        """Steps and neurons of the spikes."""
        events = self._recorder.get("events")
        neuron = np.zeros(int(self._number.max()) + 1, dtype=np.int32)
        neuron[self._number] = np.arange(len(self._number))
        steps = np.asarray(events["times"], dtype=np.int64)
        inside = steps <= n_steps
        return steps[inside], neuron[events["senders"]][inside]

    def potentials(self, n_steps: int) -> np.ndarray:
        """Potentials of the recorded neurons, shape (time, recorded), mV."""
        assert self._voltmeter is not None
        events = self._voltmeter.get("events")
        step = np.round(np.asarray(events["times"]) / self._dt_ms).astype(np.int64) - 1
        each, place = np.unique(self._recorded, return_inverse=True)
        table = np.full((int(step.max(initial=0)) + 1, len(each)), np.nan)
        table[step, np.searchsorted(each, events["senders"])] = events["V_m"]
        return table[:n_steps, place]
