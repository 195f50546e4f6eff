"""Batches of one task or of several at once, and how answers are read from output pools."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from toolkit.errors import InputError
from toolkit.lgn import LGN
from toolkit.stimuli.frames import Movie
from toolkit.tasks.inputs import PIXEL_INPUTS, LGNInput, MovieInput, PixelInput
from toolkit.tasks.task import Items, Task, check_split

_NEVER_HZ = -1e4  # the evidence for an answer that an item does not have; float16 holds it


@dataclass(frozen=True, eq=False)
class Batch:
    """Some items, those of a task together.

    inputs : Hz, float32 (item, step, channel); in memory steps come first, so that
        ``inputs[:, k]`` is contiguous
    targets : the right class of each item's own task, int64 (item,)
    response : the steps in which the answer is read, bool (item, step)
    task : the number of each item's task, int64 (item,)
    """

    inputs: torch.Tensor
    targets: torch.Tensor
    response: torch.Tensor
    task: torch.Tensor

    def __len__(self) -> int:
        return len(self.targets)

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on another device."""
        return replace(self, **{name: value.to(device) for name, value in vars(self).items()})


class Batches:
    """Inputs and right answers of one task, or of several for one network.

    Parameters
    ----------
    tasks : one, or some of equal duration, which then alternate: item i of an epoch is of task i
        modulo their number, and of each task an epoch has as many items as the smallest one. There
        is no cue (as in the released code): which task it is shows in what is shown and in the
        pools that are read
    lgn : filters (`toolkit.lgn.LGN`); or any function from a `Movie` to rates (step, channel) in
        Hz, which is asked for every item (slow); or None: pixels are the input (`PixelInput`)
    dt_ms : step of the network
    pixels : rows and columns of inputs without an LGN
    device : where inputs are made

    Validation and test items depend on the tasks alone, their
    order too; training items and their order on seed and epoch.

    Raises
    ------
    InputError : no task, unequal durations, times that are no whole numbers of steps

    Examples
    --------
    >>> from toolkit import tasks
    >>> data = Batches([tasks.fine_orientation(), tasks.image_classification("digits")])
    >>> batch = next(data.epoch("train", batch_size=8, seed=1))
    >>> batch.inputs.shape, batch.task.tolist()
    (torch.Size([8, 120, 832]), [0, 0, 0, 0, 1, 1, 1, 1])
    >>> data.n_items("train"), data.pools
    (2514, (slice(0, 1, None), slice(1, 11, None)))
    """

    def __init__(
        self,
        tasks: Task | Sequence[Task],
        lgn: LGN | Callable[[Movie], Any] | None = None,
        *,
        dt_ms: float = 5.0,
        pixels: tuple[int, int] = PIXEL_INPUTS,
        device: torch.device | str = "cpu",
    ):
        self.tasks: tuple[Task, ...] = tuple(tasks) if isinstance(tasks, Sequence) else (tasks,)
        if not self.tasks:
            raise InputError("at least one task is needed, got none")
        durations = {task.timing.duration_ms for task in self.tasks}
        if len(durations) > 1:
            raise InputError(
                f"tasks for one network must last equally long, got {sorted(durations)} ms; give "
                "them timings of one duration_ms"
            )
        self.dt_ms, self.device = dt_ms, torch.device(device)
        self._lgn, self._pixels = lgn, pixels
        self.n_steps = self.tasks[0].timing.n_steps(dt_ms)
        windows = np.stack([task.timing.response(dt_ms) for task in self.tasks])
        self._windows = torch.as_tensor(windows, device=self.device)
        self._inputs: list[LGNInput | PixelInput | MovieInput] = []
        for task in self.tasks:
            if lgn is None:
                self._inputs.append(PixelInput(task, dt_ms, pixels, self.device))
            elif isinstance(lgn, LGN):
                self._inputs.append(LGNInput(task, lgn, dt_ms, self.device))
            else:
                self._inputs.append(MovieInput(task, lgn, dt_ms))
        self.n_channels = self._inputs[0].n_channels

    def with_pauses(self, share: float) -> Batches:
        """The same items with only a share of the pauses between stimuli (`Timing.with_pauses`).

        A lesson: what has to be remembered has to be remembered for less long. Pauses are rounded
        to whole steps. It is the same object if there are no pauses to shorten.

        Raises
        ------
        InputError : a share that is not 0 to 1

        >>> from toolkit import tasks
        >>> data = Batches(tasks.visual_change("photographs"))
        >>> data.with_pauses(0.0).tasks[0].timing.onsets_ms
        (50.0, 150.0)
        """
        shorter = [self._shortened(task, share) for task in self.tasks]
        if all(a is b for a, b in zip(shorter, self.tasks, strict=True)):
            return self
        return self._of(shorter)

    def held(self, window_ms: float, *, singles_only: bool = False) -> Batches:
        """The same items, the last stimulus of each on until windows of another width end.

        All trials are as long as the longest (`Timing.held`). With `singles_only` tasks whose items
        are several stimuli stay as they are.

        >>> from toolkit import tasks
        >>> data = Batches([tasks.fine_orientation(), tasks.visual_change("photographs")])
        >>> [task.timing.duration_ms for task in data.held(200.0).tasks]
        [700.0, 700.0]
        """
        timings = [
            task.timing
            if singles_only and len(task.timing.onsets_ms) > 1
            else task.timing.held(window_ms)
            for task in self.tasks
        ]
        longest = max(timing.duration_ms for timing in timings)
        return self._of(
            replace(task, timing=replace(timing, duration_ms=longest))  # type: ignore[type-var]
            for task, timing in zip(self.tasks, timings, strict=True)
        )

    def _of(self, tasks: Iterable[Task]) -> Batches:
        return Batches(
            list(tasks), self._lgn, dt_ms=self.dt_ms, pixels=self._pixels, device=self.device
        )

    def _shortened(self, task: Task, share: float) -> Task:
        timing = task.timing
        pause = sum(np.diff(timing.onsets_ms) - timing.stimulus_ms)
        steps = round(share * pause / self.dt_ms)
        if share == 1 or not pause:
            return task
        return replace(task, timing=timing.with_pauses(steps * self.dt_ms / pause))  # type: ignore[type-var]

    @property
    def pools(self) -> tuple[slice, ...]:
        """The output pools of each task: one for a two-way task, else one a class."""
        sizes = [1 if t.threshold_Hz is not None else t.n_classes for t in self.tasks]
        ends = np.cumsum(sizes).tolist()
        return tuple(slice(end - n, end) for end, n in zip(ends, sizes, strict=True))

    @property
    def n_pools(self) -> int:
        """Number of output pools of all tasks."""
        return self.pools[-1].stop

    def n_items(self, split: str) -> int:
        """Items in an epoch of a split."""
        check_split(split)
        return len(self.tasks) * min(len(task.draw(split).targets) for task in self.tasks)

    def epoch(
        self,
        split: str,
        batch_size: int = 64,
        *,
        seed: int = 0,
        epoch: int = 0,
        first: int = 0,
        share: tuple[int, int] = (0, 1),
    ) -> Iterator[Batch]:
        """The batches of an epoch; the last one may be smaller.

        Parameters
        ----------
        split : ``"train"``, ``"validation"`` or ``"test"``
        batch_size : items
        seed, epoch : of the training items and their order; without effect on the other splits
        first : number of the batch to begin with, to go on where a run stopped; costs nothing
        share : (k, n): only part k (0 to n - 1) of n of every batch, for the k-th of n processes
            that make one step together. All get equally many batches: a last one with fewer
            items than processes is left out

        Raises
        ------
        InputError : an unknown split, numbers outside their range, fewer items in a batch than
            processes
        """
        check_split(split)
        k, n = share
        if not 0 <= k < n <= batch_size:
            raise InputError(
                "batch_size must be 1 or more, with an item for each process, and share (k, n) "
                f"with k below n; got batch_size={batch_size}, share={share}"
            )
        if first < 0:
            raise InputError(f"first must be 0 or more, got {first}")
        return self._batches(split, batch_size, seed, epoch, first, share)

    def _batches(
        self, split: str, size: int, seed: int, epoch: int, first: int, share: tuple[int, int]
    ) -> Iterator[Batch]:
        drawn = [task.draw(split, seed=seed, epoch=epoch) for task in self.tasks]
        total = len(drawn) * min(len(items.targets) for items in drawn)
        for start in range(first * size, total, size):
            places = np.arange(start, min(start + size, total))
            if len(places) >= share[1]:
                yield self._batch(drawn, np.array_split(places, share[1])[share[0]])

    def _batch(self, drawn: list[Items], places: np.ndarray) -> Batch:
        """The items at some places of an epoch: place i is item i // n of task i % n."""
        inputs, targets, numbers = [], [], []
        for number, (items, source) in enumerate(zip(drawn, self._inputs, strict=True)):
            rows = places[places % len(drawn) == number] // len(drawn)
            if len(rows):
                inputs.append(source.rates(items.what[rows]).to(self.device))
                targets.append(items.targets[rows])
                numbers.append(np.full(len(rows), number))
        task = torch.as_tensor(np.concatenate(numbers), device=self.device)
        rates = inputs[0] if len(inputs) == 1 else torch.cat(inputs, dim=1)
        return Batch(
            rates.transpose(0, 1),
            torch.as_tensor(np.concatenate(targets), device=self.device),
            self._windows[task],
            task,
        )

    def evidence_Hz(self, pool_rates_Hz: torch.Tensor, task: torch.Tensor) -> torch.Tensor:
        """How much speaks for each answer, Hz, shape (item, largest number of answers).

        Of a task with one pool a class these are the pools' rates. A two-way task has one pool:
        its rate speaks for yes (1), the fixed threshold of 10 Hz for no (0). The answer is the
        largest; times a gain and through a softmax these are probabilities. Answers that an item's
        task does not have stay at -10,000.

        Parameters
        ----------
        pool_rates_Hz : mean rates of all pools in each item's response window, (item, pool)
        task : `Batch.task`

        Raises
        ------
        InputError : another number of pools

        >>> from toolkit.tasks import fine_orientation
        >>> data = Batches(fine_orientation())
        >>> data.evidence_Hz(torch.tensor([[8.0], [14.0]]), torch.tensor([0, 0])).argmax(dim=1)
        tensor([0, 1])
        """
        if pool_rates_Hz.shape != (len(task), self.n_pools):
            raise InputError(
                f"rates of {self.n_pools} pools are needed for each of {len(task)} items, got "
                f"shape {tuple(pool_rates_Hz.shape)}"
            )
        most = max(each.n_classes for each in self.tasks)
        evidence = pool_rates_Hz.new_full((len(task), most), _NEVER_HZ)
        for number, (each, pools) in enumerate(zip(self.tasks, self.pools, strict=True)):
            rows = task == number
            found = pool_rates_Hz[rows, pools]
            if each.threshold_Hz is not None:
                found = torch.cat([torch.full_like(found, each.threshold_Hz), found], dim=1)
            evidence[rows, : each.n_classes] = found
        return evidence
