"""Run the same column as spikes and as rates on the same LGN input."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import numpy as np
import torch

from circuits.compare.protocol import Protocol
from circuits.v1.lgn import lgn
from converters import to_brian2, to_rate
from converters.spiking import DEVICES, StandaloneSimulation
from toolkit.errors import InputError, unknown
from toolkit.network import Network, Synapses
from toolkit.recording import Recording
from toolkit.rng import stream
from toolkit.table import Table

RATE_FORM = "rate"
CONTROLS = {
    "no_recurrence": "recurrent weights zero",
    "shuffled": "targets and weights shuffled within class pairs",
}


@dataclass(frozen=True)
class Study:
    """What the comparison measured; rates in Hz.

    Attributes
    ----------
    network : the column
    protocol : what was shown
    seed : of the random input
    neurons : class, sign, layer depth of each neuron
    evoked_counts : spikes, (trial, direction, neuron)
    grey_counts : spikes, (trial, neuron)
    evoked_Hz, grey_Hz : rate form and controls by name: (direction, neuron) and (neuron,)
    psth_halves_Hz : spiking PSTHs of the even and the odd trials, (half, class, direction, bin),
        from the start of the sweep
    psth_rates_Hz : those of the rate form, (class, direction, bin)
    raster : spikes of the first sweep of the first trial
    seconds : wall time of each part
    """

    network: Network
    protocol: Protocol
    seed: int
    evoked_counts: np.ndarray
    grey_counts: np.ndarray
    evoked_Hz: dict[str, np.ndarray]
    grey_Hz: dict[str, np.ndarray]
    psth_halves_Hz: np.ndarray
    psth_rates_Hz: np.ndarray
    raster: Recording
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def neurons(self) -> Table:
        """The column's neurons."""
        return self.network.neurons

    @property
    def psth_spikes_Hz(self) -> np.ndarray:
        """Spiking PSTHs of all trials, (class, direction, bin)."""
        n = self.protocol.trials
        return np.average(self.psth_halves_Hz, axis=0, weights=[(n + 1) // 2, n // 2])

    @property
    def spiking_evoked_Hz(self) -> np.ndarray:
        """Trial mean of the evoked rates, (direction, neuron)."""
        return self.evoked_counts.mean(axis=0) * (1000 / self.protocol.evoked_ms)

    @property
    def spiking_grey_Hz(self) -> np.ndarray:
        """Trial mean of the spontaneous rates, (neuron,)."""
        return self.grey_counts.mean(axis=0) * (1000 / self.protocol.grey_ms)


def run_study(
    network: Network,
    protocol: Protocol | None = None,
    *,
    seed: int = 0,
    dynamics: str = "low_pass",
    dt_ms: float = 1.0,
    spiking_dt_ms: float = 0.25,
    device: str = "cpp_standalone",
    workers: int = 2,
    show_progress: bool | None = None,
) -> Study:
    """Run a column as a spiking network and as its rate network, and the controls of the latter.

    Parameters
    ----------
    network : a column of `circuits.v1`
    protocol : stimuli and durations
    seed : of all random input
    dynamics, dt_ms : of the rate network (`converters.to_rate`)
    spiking_dt_ms, device : of the spiking network (`converters.to_brian2`)
    workers : spiking simulations at a time (cpp_standalone)
    show_progress : by default on a terminal

    Raises
    ------
    InputError : an unknown device or dynamics, a time step that does not divide the PSTH's bins or
        is unstable, or a network without an LGN
    """
    protocol = protocol or Protocol()
    if device not in DEVICES:
        raise unknown("device", device, DEVICES)
    per_bin = protocol.bin_ms / dt_ms if dt_ms > 0 else 0.0
    if round(per_bin) < 1 or abs(per_bin - round(per_bin)) > 1e-9:
        raise InputError(
            f"dt_ms = {dt_ms:g} does not divide the PSTH's bins of {protocol.bin_ms:g} ms into "
            "whole steps; 0.5, 1, 2 and 5 ms do"
        )
    seconds: dict[str, float] = {}
    clock = _Clock(seconds)
    thalamus = lgn(network)
    sweeps = protocol.sweeps(thalamus)
    grey_Hz = thalamus.channels.resting_Hz
    clock.lap("LGN responses")

    # The rates first: what is refused of the options is refused before the long part.
    rates = to_rate(network, dynamics, dt_ms=dt_ms, spiking_dt_ms=spiking_dt_ms)
    clock.lap("build the rate network")
    at_rest = torch.from_numpy(grey_Hz[None].astype(np.float32))
    grey, evoked = {}, {}
    grey[RATE_FORM] = rates.fixed_point(at_rest)[0].numpy()
    clock.lap("rate network at rest")
    responses = rates.run_batch(sweeps, show_progress=show_progress)
    evoked[RATE_FORM] = _evoked(responses, protocol)
    psth_rates = _class_psth(responses, network, protocol)
    clock.lap("rate network, gratings")
    simulation = to_brian2(network, device, dt_ms=spiking_dt_ms)
    clock.lap("compile the spiking network")
    spiking = _Spiking(network, protocol)
    trial = protocol.trial(sweeps, grey_Hz)
    if isinstance(simulation, StandaloneSimulation):
        jobs = (simulation.job(trial, seed=_trial_seed(seed, k)) for k in range(protocol.trials))
        recordings = simulation.run_jobs(
            jobs,
            total_s=protocol.trials * trial.duration_ms / 1000,
            workers=workers,
            label="spiking",
            show_progress=show_progress,
        )
    else:
        recordings = (
            simulation.run(trial, seed=_trial_seed(seed, k), show_progress=show_progress)
            for k in range(protocol.trials)
        )
    for recording in recordings:
        spiking.add(recording)
    clock.lap("spiking simulation")

    for name, control in controls(network, seed).items():
        # Only mean rates are taken from the controls: twice the time step does for them.
        other = to_rate(control, dynamics, dt_ms=2 * dt_ms, transfer=rates.transfer)
        grey[name] = other.fixed_point(at_rest)[0].numpy()
        evoked[name] = _evoked(
            other.run_batch(sweeps, show_progress=show_progress, check_stability=False), protocol
        )
    clock.lap("controls")
    return Study(
        network=network,
        protocol=protocol,
        seed=seed,
        evoked_counts=np.stack(spiking.evoked),
        grey_counts=np.stack(spiking.grey),
        evoked_Hz=evoked,
        grey_Hz=grey,
        psth_halves_Hz=np.stack([np.mean(spiking.psths[half::2], axis=0) for half in (0, 1)]),
        psth_rates_Hz=psth_rates,
        raster=spiking.raster,  # type: ignore[arg-type]  # there are two trials or more
        seconds=seconds,
    )


def controls(network: Network, seed: int) -> dict[str, Network]:
    """The column without recurrent weights, and with them shuffled within each pair of classes.

    Shuffled: the synapses of a pair of classes keep their sources; their targets and weights are
    permuted independently, so that every class-to-class statistic stays and who talks to whom, and
    how strongly, is lost.
    """
    synapses = network.synapses
    silent = Synapses(
        synapses.pre,
        synapses.post,
        np.zeros(len(synapses), dtype=np.float32),
        synapses.delay_ms,
        synapses.receptor,
    )
    rng = stream(seed, "shuffled control")
    _, cls = np.unique(network.neurons["cell_class"], return_inverse=True)
    pair = cls[synapses.pre] * (cls.max() + 1) + cls[synapses.post]
    rows = np.argsort(pair, kind="stable")
    targets, weights = (rows[np.lexsort((rng.random(len(rows)), pair[rows]))] for _ in range(2))
    post, weight = synapses.post.copy(), synapses.weight.copy()
    post[rows], weight[rows] = synapses.post[targets], synapses.weight[weights]
    shuffled = Synapses.sort(synapses.pre, post, weight, synapses.delay_ms, synapses.receptor)
    return {
        "no_recurrence": network.replace(synapses=silent),
        "shuffled": network.replace(synapses=shuffled),
    }


class _Spiking:
    """Counts and PSTHs gathered trial by trial, so that of the spikes only a raster is kept."""

    def __init__(self, network: Network, protocol: Protocol):
        self.network, self.protocol = network, protocol
        self.evoked: list[np.ndarray] = []
        self.grey: list[np.ndarray] = []
        self.psths: list[np.ndarray] = []
        self.raster: Recording | None = None

    def add(self, recording: Recording) -> None:
        """Take in one trial."""
        protocol = self.protocol
        windows = [recording.counts(edges)[0] for edges in protocol.windows_ms()]
        self.evoked.append(np.stack(windows[:-1]))
        self.grey.append(windows[-1])
        per_bin = round(protocol.sweep_ms / protocol.bin_ms)
        edges = np.arange(protocol.n_directions * per_bin + 1) * protocol.bin_ms
        counts = class_mean(recording.counts(protocol.sweeps_start_ms + edges), self.network)
        self.psths.append(
            counts.reshape(-1, protocol.n_directions, per_bin) * (1000 / protocol.bin_ms)
        )
        if self.raster is None:
            assert recording.spike_times_ms is not None and recording.spike_ids is not None
            times = recording.spike_times_ms - protocol.sweeps_start_ms
            first = (times > 0) & (times <= protocol.sweep_ms)
            self.raster = Recording.spikes(
                times[first],
                recording.spike_ids[first],
                n=recording.n,
                dt_ms=recording.dt_ms,
                duration_ms=protocol.sweep_ms,
            )


def class_mean(values: np.ndarray, network: Network) -> np.ndarray:
    """Mean over the neurons of each class: (..., neuron) to (class, ...)."""
    cls = network.neurons["cell_class"]
    return np.stack([values[..., cls == name].mean(axis=-1) for name in network.classes])


def _class_psth(responses: list[Recording], network: Network, protocol: Protocol) -> np.ndarray:
    """Class-mean rates of the sweeps in PSTH bins, (class, direction, bin)."""
    psth = []
    for response in responses:
        assert response.rates_Hz is not None
        k = round(protocol.bin_ms / response.dt_ms)
        rates = response.rates_Hz[: len(response.rates_Hz) // k * k]
        psth.append(class_mean(rates.reshape(-1, k, response.n).mean(axis=1), network))
    return np.stack(psth, axis=1)


class _Clock:
    """Wall time of the parts of a study."""

    def __init__(self, seconds: dict[str, float]):
        self.seconds, self.last = seconds, time.perf_counter()

    def lap(self, name: str) -> None:
        """Note the time since the last lap."""
        now = time.perf_counter()
        self.seconds[name], self.last = now - self.last, now


def _trial_seed(seed: int, trial: int) -> int:
    """A seed of its own for each trial."""
    return int(stream(seed, "trial", trial).integers(2**31))


def _evoked(responses: list[Recording], protocol: Protocol) -> np.ndarray:
    start = protocol.before_ms + protocol.skip_ms
    return np.stack([each.mean_rates_Hz(start, protocol.sweep_ms) for each in responses])
