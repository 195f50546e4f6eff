"""Test items through the rate network and through spiking ones: what is kept of the responses."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from circuits.analysis.trials import presented, respond
from circuits.conversion.backends import Simulation
from circuits.training.setup import Prepared
from converters.conversion.replicas import COLUMN, unit_means
from toolkit.errors import InputError
from toolkit.learning import TrainableRates
from toolkit.recording import Recording
from toolkit.tasks import Batch, Batches

BIN_MS = 10.0  # of PSTHs; windows are whole numbers of bins
# Of grey before every item of a spiking run. Our choice: with 50, 200 and 800 ms excitatory cells
# of a 300-neuron column answer items at 10.1, 10.6 and 10.9 Hz (50 to 200 ms; measured).
PAUSE_MS = 200.0
ITEMS_A_RUN = 64  # simulated one after the other, of one replica


@dataclass(frozen=True)
class Shown:
    """Items as they are shown, and when answers are read.

    data : the tasks
    windows_ms : widths of the windows, rising; all begin where the task's own does
    items : of each task
    split : ``"test"``, or another

    Raises
    ------
    InputError : windows that are no rising multiples of 10 ms or end after the trial
    """

    data: Batches
    windows_ms: tuple[float, ...]
    items: int
    split: str = "test"

    def __post_init__(self) -> None:
        widths = np.asarray(self.windows_ms, dtype=float)
        whole = np.abs(widths / BIN_MS - np.round(widths / BIN_MS)) < 1e-9
        if not len(widths) or not whole.all() or not (np.diff(widths, prepend=0) > 0).all():
            raise InputError(
                f"windows are rising multiples of {BIN_MS:g} ms, got {list(self.windows_ms)}"
            )
        for task in self.data.tasks:
            start, stop = task.timing.response_ms
            if start + widths[-1] > stop + 1e-9:
                raise InputError(
                    f"a window of {widths[-1]:g} ms from {start:g} ms on ends after {stop:g} ms, "
                    f"where the items of {task.name} end"
                )

    def bins(self, task: int) -> list[slice]:
        """The bins of each window."""
        first = round(self.data.tasks[task].timing.response_ms[0] / BIN_MS)
        return [slice(first, first + round(width / BIN_MS)) for width in self.windows_ms]


def own_timing(trained: Prepared, items: int) -> Shown:
    """The items as in training: one window, the task's own."""
    start, stop = trained.data.tasks[0].timing.response_ms
    return Shown(trained.data, (stop - start,), items)


def stimulus_held(trained: Prepared, items: int, windows_ms: Sequence[float]) -> Shown:
    """The same items, the last stimulus of each staying on until the longest window ends."""
    return Shown(trained.data.held(max(windows_ms)), tuple(windows_ms), items)


@dataclass(frozen=True, eq=False)
class Responses:
    """Responses to the items of one task.

    targets : right answers, (item,)
    pools_Hz : mean rates of the output pools of all tasks, (trial, item, window, pool)
    rates_Hz : of the neurons in the longest window, (trial, item, neuron)
    psth_Hz : mean over the items from the start of a trial, 10 ms bins, (trial, bin, neuron)

    A rate network has one trial.
    """

    targets: np.ndarray
    pools_Hz: np.ndarray
    rates_Hz: np.ndarray
    psth_Hz: np.ndarray


class _Gathered:
    """Binned responses of one trial of each task, batch by batch."""

    def __init__(self, shown: Shown, pools: np.ndarray):
        self._shown, self._pools = shown, pools
        n_tasks = len(shown.data.tasks)
        self._parts: list[list[tuple[np.ndarray, ...]]] = [[] for _ in range(n_tasks)]

    def add(self, batch: Batch, binned_Hz: np.ndarray) -> None:
        """Responses (item, bin, neuron) to a batch."""
        for task in np.unique(batch.task.cpu().numpy()).tolist():
            rows = batch.task.cpu().numpy() == task
            own = binned_Hz[rows]
            windows = [own[:, bins].mean(axis=1) for bins in self._shown.bins(task)]
            pools = [rates[:, self._pools].mean(axis=2) for rates in windows]
            targets = batch.targets.cpu().numpy()[rows]
            part = (targets, np.stack(pools, axis=1), windows[-1], own.sum(axis=0)[None])
            self._parts[task].append(part)

    def responses(self) -> list[Responses]:
        """Of each task, one trial."""
        found = []
        for parts in self._parts:
            targets, pools, rates, psth = (list(each) for each in zip(*parts, strict=True))
            n = self._shown.items
            kept = np.concatenate(targets)[:n]
            mean = np.concatenate(psth).sum(axis=0) / sum(map(len, targets))
            found.append(
                Responses(
                    kept,
                    np.concatenate(pools)[None, :n].astype(np.float32),
                    np.concatenate(rates)[None, :n].astype(np.float32),
                    mean[None].astype(np.float32),
                )
            )
        return found


def together(trials: Sequence[list[Responses]]) -> list[Responses]:
    """Trials of the same items as one, by task."""
    return [
        Responses(
            each[0].targets,
            *(
                np.concatenate([getattr(one, name) for one in each])
                for name in ("pools_Hz", "rates_Hz", "psth_Hz")
            ),
        )
        for each in zip(*trials, strict=True)
    ]


def rate_responses(
    model: TrainableRates, shown: Shown, spikes: np.random.Generator | None = None
) -> list[Responses]:
    """Responses of the rate network, by task.

    With `spikes` its input channels are not the rates themselves but counts in each step of the
    spikes that their cells fire, Poisson: what a conversion without any error would answer from.
    """
    gathered = _Gathered(shown, model.pools.cpu().numpy())
    for batch in _batches(shown):
        if spikes is not None:
            batch = dataclasses.replace(
                batch,
                inputs=_counted(batch.inputs, model.cells_per_channel * model.dt_ms / 1000, spikes),
            )
        gathered.add(batch, in_bins(respond(model, batch).cpu().numpy(), model.dt_ms))
    return gathered.responses()


def _counted(rates_Hz: torch.Tensor, cells_s: float, spikes: np.random.Generator) -> torch.Tensor:
    steps_first = rates_Hz.transpose(0, 1).cpu().numpy()  # as they lie in memory
    counts = spikes.poisson(np.maximum(steps_first, 0) * cells_s).astype(np.float32)
    return torch.from_numpy(counts / np.float32(cells_s)).to(rates_Hz.device).transpose(0, 1)


def mean_inputs_Hz(shown: Shown) -> np.ndarray:
    """Mean rates of the input's channels over items in the longest windows, Hz, (channel,)."""
    total, n = np.zeros(1), 0
    per_bin = BIN_MS / shown.data.dt_ms
    for batch in _batches(shown):
        for item, task in zip(batch.inputs, batch.task.tolist(), strict=True):
            bins = shown.bins(task)[-1]
            window = item[round(bins.start * per_bin) : round(bins.stop * per_bin)]
            total, n = total + window.mean(0).double().cpu().numpy(), n + 1
    mean: np.ndarray = total / n
    return mean


def in_bins(rates_Hz: np.ndarray, dt_ms: float) -> np.ndarray:
    """Rates (item, step, neuron) as means in bins of 10 ms; a part of a bin is left out."""
    per_bin = round(BIN_MS / dt_ms)
    n_bins = rates_Hz.shape[1] // per_bin
    cut = rates_Hz[:, : n_bins * per_bin]
    binned: np.ndarray = cut.reshape(len(cut), n_bins, per_bin, -1).mean(axis=2)
    return binned


def spiking_responses(
    simulation: Simulation,
    shown: Shown,
    pools: np.ndarray,
    *,
    trial: int,
    seed: int = 0,
    **how: Any,
) -> list[Responses]:
    """One trial of every item through a compiled spiking network, by task.

    Parameters
    ----------
    simulation : of a network that `converters.to_spiking` made; of replicas the mean is taken
    shown : items and windows
    pools : neurons of the rate network's pools, (pool, member)
    trial : number of the trial: other input spikes and background
    seed : of the input spikes and the background
    how : what else `binned_responses` takes
    """
    n_replicas = simulation.network.n // (int(simulation.network.neurons[COLUMN][-1]) + 1)
    todo = [part for batch in _batches(shown) for part in _parts(batch, ITEMS_A_RUN // n_replicas)]
    inputs = [part.inputs.cpu().numpy() for part in todo]
    gathered = _Gathered(shown, pools)
    runs = binned_responses(simulation, inputs, shown.data.dt_ms, seed=seed * 1000 + trial, **how)
    for part, binned in zip(todo, runs, strict=True):
        gathered.add(part, binned)
    return gathered.responses()


def binned_responses(
    simulation: Simulation,
    inputs_Hz: Sequence[np.ndarray],
    dt_ms: float,
    *,
    seed: int,
    pause_ms: float = PAUSE_MS,
    workers: int = 1,
    label: str = "spikes",
    show_progress: bool | None = None,
) -> Iterator[np.ndarray]:
    """Responses of a spiking network to some items, (item, bin, unit) in Hz, a run at a time.

    Items are shown one after the other in long runs, a grey pause before each: the input of their
    first step. A rate network begins each item at rest; here what is left of the item before
    (after-spike currents last some 100 ms) has the pause, and the grey with which items begin, to
    fade.

    Parameters
    ----------
    simulation : of `circuits.conversion.backends`; its network has one driven input
    inputs_Hz : rates of the input's channels, (item, step, channel), of each run; of a network with
        several cells a channel, those of one cell
    dt_ms : of their steps
    seed : of all runs; their input spikes and background differ
    pause_ms : before each item, a multiple of 10
    workers : runs at a time
    label, show_progress : of the progress bar

    Raises
    ------
    InputError : a pause that is no multiple of 10 ms above 0
    """
    if pause_ms <= 0 or pause_ms % BIN_MS:
        raise InputError(f"a pause is a multiple of {BIN_MS:g} ms above 0, got {pause_ms:g}")
    network, n_pause = simulation.network, round(pause_ms / dt_ms)
    source = next(name for name, each in network.inputs.items() if each.rate_Hz is None)

    cells = network.provenance.get("to_spiking", {}).get("cells_per_channel", 1)

    def jobs() -> Iterator[Any]:
        for number, rates in enumerate(inputs_Hz):
            grey = np.repeat(rates[:, :1], n_pause, axis=1)
            train = np.concatenate([grey, rates], axis=1).reshape(-1, rates.shape[2])
            driving = {source: Recording.rates(cells * train, dt_ms=dt_ms)}
            yield simulation.job(driving, seed=seed * 1000 + number)

    total_s = sum(len(each) * (each.shape[1] + n_pause) for each in inputs_Hz) * dt_ms / 1000
    runs = simulation.run_jobs(
        jobs(), workers=workers, total_s=total_s, label=label, show_progress=show_progress
    )
    for rates, recording in zip(inputs_Hz, runs, strict=True):
        counts = _binned(recording, len(rates), rates.shape[1] * dt_ms, pause_ms)
        yield (unit_means(counts, network) * (1000 / BIN_MS)).astype(np.float32)


def _batches(shown: Shown) -> Iterator[Batch]:
    """Items in runs of equal length; of each task in the same order whatever the length."""
    return presented(shown.data, shown.items, shown.split)


def _parts(batch: Batch, size: int) -> Iterator[Batch]:
    size = max(1, size)
    for first in range(0, len(batch), size):
        rows = slice(first, first + size)
        yield Batch(batch.inputs[rows], batch.targets[rows], batch.response[rows], batch.task[rows])


def _binned(recording: Recording, n_items: int, item_ms: float, pause_ms: float) -> np.ndarray:
    """Spikes in bins from the start of each item, (item, bin, neuron)."""
    n_bins = int(item_ms / BIN_MS + 1e-9)
    starts = np.arange(n_items) * (item_ms + pause_ms) + pause_ms
    edges = (starts[:, None] + np.arange(n_bins + 1) * BIN_MS).ravel()
    counts = recording.counts(edges)  # the last bin of each but the last item is the pause
    whole = np.concatenate([counts, np.zeros_like(counts[:1])])
    return whole.reshape(n_items, n_bins + 1, -1)[:, :-1]


@torch.no_grad()
def accuracy_of_items(shown: Shown, task: int, responses: Responses) -> np.ndarray:
    """Whether items are answered right, in each window, bool (trial, item, window)."""
    trials, items, windows, _ = responses.pools_Hz.shape
    flat = torch.from_numpy(responses.pools_Hz.reshape(trials * items * windows, -1))
    evidence = shown.data.evidence_Hz(flat, torch.full((len(flat),), task))
    answers = evidence.argmax(dim=1).numpy().reshape(trials, items, windows)
    return answers == responses.targets[None, :, None]
