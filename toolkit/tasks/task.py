"""What a task is: pictures on a canvas, their courses in time, the right answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from toolkit.errors import InputError, unknown
from toolkit.stimuli.frames import Movie, positive
from toolkit.tasks.canvas import Canvas
from toolkit.tasks.pictures import SPLITS
from toolkit.tasks.timing import Timing

THRESHOLD_HZ = 10.0  # of two-way answers (0.01 spikes/ms/neuron); confirmed in the released code
N_ITEMS = {"train": 54_000, "validation": 6_000, "test": 6_000}  # as of MNIST without a tenth


@dataclass(frozen=True, eq=False)
class Items:
    """What is shown, an item a row.

    targets : the right class, int64 (item,)
    what : numbers that tell the task what to show, float64 (item, number)
    """

    targets: np.ndarray
    what: np.ndarray


class Task(Protocol):
    """Stimuli that are sums of pictures from a fixed set, each part with a course in time.

        movie(t, y, x) = contrast sum_k course_k(t) sum_j coefficient_kj picture_j(y, x)

    Whatever is linear in the movie thus needs to look at every picture once only, however many
    items there are.
    """

    @property
    def name(self) -> str:
        """Of the task."""

    @property
    def n_classes(self) -> int:
        """Number of answers."""

    @property
    def threshold_Hz(self) -> float | None:
        """The fixed rate that the pool of a two-way task is compared with; None for other tasks."""

    @property
    def timing(self) -> Timing:
        """When stimuli are on and answers are read."""

    @property
    def canvas(self) -> Canvas:
        """Where things are shown."""

    @property
    def contrast(self) -> float:
        """Half the difference of white and black; up to 1 in a `Movie`, 2 in the released code."""

    @property
    def pixel_mean_Hz(self) -> float:
        """Mean of the inputs where pixels are the input (`PixelInput`)."""

    @property
    def pixel_sd_Hz(self) -> float:
        """Standard deviation of the same."""

    @property
    def source(self) -> str:
        """In words, where the stimuli come from."""

    def pictures(self, shape: tuple[int, int]) -> np.ndarray:
        """The set of pictures on the canvas cut into `shape` pixels, float32 (picture, y, x)."""

    def courses(self, dt_ms: float) -> np.ndarray:
        """What each part is multiplied with, float64 (part, step)."""

    def draw(self, split: str, *, seed: int = 0, epoch: int = 0) -> Items:
        """The items of an epoch. Those of validation and test never change."""

    def coefficients(self, what: np.ndarray) -> np.ndarray:
        """Coefficients of items, float32 (item, part, picture)."""


def movie(task: Task, what: np.ndarray, dt_ms: float = 5.0) -> Movie:
    """One item as it is shown: the trial from its start, in frames of dt.

    Parameters
    ----------
    task : one task
    what : a row of `Items.what`
    dt_ms : duration of a frame

    Raises
    ------
    InputError : times that are no whole number of frames; contrast above 1, which movies do not
        have

    >>> from toolkit.tasks import fine_orientation
    >>> task = fine_orientation()
    >>> movie(task, task.draw("test").what[0]).frames.shape
    (120, 60, 60)
    """
    seen = np.tensordot(task.coefficients(what[None])[0], task.pictures(task.canvas.shape), 1)
    frames = np.tensordot(task.contrast * task.courses(dt_ms).T, seen, 1).astype(np.float32)
    return Movie(frames, dt_ms, task.canvas.deg_per_px)


def check_task(contrast: float, timing: Timing, n_stimuli: int) -> None:
    """`InputError` unless the contrast is above 0 and the timing has that many stimuli."""
    positive("contrast", contrast)
    if len(timing.onsets_ms) != n_stimuli:
        raise InputError(
            f"this task shows {n_stimuli} stimuli in a trial, the timing has onsets at "
            f"{timing.onsets_ms} ms"
        )


def check_split(split: str) -> str:
    """The split, or `InputError` if it is none."""
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    return split


def check_counts(n_items: dict[str, int]) -> dict[str, int]:
    """Numbers of items by split, with the defaults of those not given.

    Raises
    ------
    InputError : another name, a number that is not a whole one of 2 or more
    """
    for split, n in n_items.items():
        check_split(split)
        if isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 2:
            raise InputError(f"n_items of {split} must be a whole number of 2 or more, got {n!r}")
    return {**N_ITEMS, **n_items}


def epoch_stream(task_seed: int, split: str, seed: int, epoch: int) -> tuple[int, str, int]:
    """Seed and name of the stream of a split: of the run in training, else of the task alone."""
    return (seed, split, epoch) if check_split(split) == "train" else (task_seed, split, 0)
