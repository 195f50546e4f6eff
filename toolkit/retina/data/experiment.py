"""`Experiment`: the frames shown to a retina, and spikes of its cells in windows of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike

from toolkit.datasets import ReceptiveFields
from toolkit.errors import DataError, InputError

_ROUNDING_MS = 1e-6


@dataclass(frozen=True, eq=False)
class Experiment:
    """Frames shown to a retina and the responses of its cells; the arrays are read-only.

    Frames are shown in one or more sequences (a movie is one, each flashed image is one), and
    spikes are known in windows of the sequences.

    name : which experiment
    frames : uint8 (frame, y, x), 0 black to 255 white, row 0 at the top
    frame_ms : how long each place in `shown` lasts
    shown : int32 (sequence, place), the numbers of the frames in the order they are shown
    counts : uint8 (window, cell, trial, bin), spikes in bins of `bin_ms` from the window's start
    bin_ms : width of a bin
    sequence : int64 (window,), in which sequence a window lies
    start_ms : float64 (window,), when in the sequence it begins
    usable : bool (window,), False for windows that share spikes with others, which are never used
    fields : receptive fields in pixels of `frames` (`toolkit.datasets.ReceptiveFields`), or None
    source : what was read or made
    notes : what to say wherever the data are used, such as that times are inferred

    Raises
    ------
    InputError : shapes that do not fit each other, counts that are negative or not whole numbers
    DataError : windows outside their sequence (another frame rate?) or usable ones that overlap,
        receptive fields outside the frames (another pixel size?), no spikes at all
    """

    name: str
    frames: np.ndarray
    frame_ms: float
    shown: np.ndarray
    counts: np.ndarray
    bin_ms: float
    sequence: np.ndarray
    start_ms: np.ndarray
    usable: np.ndarray
    fields: ReceptiveFields | None = None
    source: str = ""
    notes: tuple[str, ...] = field(default=())

    def __post_init__(self) -> None:
        kinds = {
            "frames": (np.uint8, 3),
            "shown": (np.int32, 2),
            "counts": (np.uint8, 4),
            "sequence": (np.int64, 1),
            "start_ms": (np.float64, 1),
            "usable": (np.bool_, 1),
        }
        for name, (dtype, rank) in kinds.items():
            object.__setattr__(self, name, _array(name, getattr(self, name), dtype, rank))
        for name in ("frame_ms", "bin_ms"):
            if not 0 < getattr(self, name) < np.inf:
                raise InputError(f"{name} must be above 0 ms, got {getattr(self, name)}")
        _check(self)

    @property
    def n_cells(self) -> int:
        """Number of cells."""
        return self.counts.shape[1]

    @property
    def window_ms(self) -> float:
        """Length of a window."""
        return self.counts.shape[3] * self.bin_ms

    @property
    def duration_ms(self) -> float:
        """Length of a sequence."""
        return self.shown.shape[1] * self.frame_ms

    @property
    def ordered(self) -> np.ndarray:
        """Numbers of the usable windows by sequence and time."""
        order = np.lexsort((self.start_ms, self.sequence))
        return order[self.usable[order]]

    @property
    def silent(self) -> np.ndarray:
        """Numbers of the cells without a spike in any usable window; nothing can be fitted to them.

        ``experiment.only(np.setdiff1d(np.arange(experiment.n_cells), experiment.silent))`` leaves
        them out.
        """
        return np.flatnonzero(self.counts[self.usable].sum(axis=(0, 2, 3)) == 0)

    @property
    def rates_Hz(self) -> np.ndarray:
        """Mean rate of each cell in the usable windows, (cell,)."""
        return self.counts[self.usable].mean(axis=(0, 2, 3)) / (self.bin_ms / 1000)

    def only(self, cells: ArrayLike) -> Experiment:
        """The same with some of the cells, in the order given.

        Raises `InputError` for numbers that are no cells, or none.
        """
        chosen = np.atleast_1d(np.asarray(cells))
        if not chosen.size or chosen.dtype.kind not in "iu" or chosen.ndim != 1:
            raise InputError(f"cells are chosen by their numbers, got {cells!r}")
        if chosen.min() < 0 or chosen.max() >= self.n_cells:
            raise InputError(
                f"cells {chosen.min()} to {chosen.max()} are not within 0 to {self.n_cells - 1}"
            )
        fields = self.fields and ReceptiveFields(
            self.fields.centre[chosen], self.fields.half_width[chosen], self.fields.contour[chosen]
        )
        return replace(self, counts=self.counts[:, chosen], fields=fields)

    def __repr__(self) -> str:
        n_windows, n_cells, n_trials, n_bins = self.counts.shape
        return (
            f"Experiment({self.name}: {n_cells} cells, {n_trials} trials, {self.usable.sum()} of "
            f"{n_windows} windows of {n_bins} x {self.bin_ms:g} ms in {len(self.shown)} sequences "
            f"of {self.duration_ms / 1000:g} s; {self.source})"
        )


def rebinned(counts: np.ndarray, factor: int) -> np.ndarray:
    """Counts in bins `factor` times as wide, the last axis being the bins.

    Raises `InputError` unless the bins can be divided so.

    >>> rebinned(np.array([[0, 1, 2, 0, 0, 1]]), 3)
    array([[3, 1]])
    """
    n = counts.shape[-1]
    if factor < 1 or n % factor:
        raise InputError(f"{n} bins cannot be put together by {factor}s")
    wide = counts.reshape(*counts.shape[:-1], n // factor, factor).sum(axis=-1)
    return wide.astype(counts.dtype) if wide.max(initial=0) <= _largest(counts) else wide


def _largest(counts: np.ndarray) -> float:
    return np.iinfo(counts.dtype).max if counts.dtype.kind in "iu" else np.inf


def _array(name: str, values: ArrayLike, dtype: type, rank: int) -> np.ndarray:
    given = np.asarray(values)
    if given.ndim != rank or 0 in given.shape:
        raise InputError(f"{name} must have {rank} dimensions, none of them 0, got {given.shape}")
    if given.dtype == dtype and not given.flags.writeable:
        return given
    with np.errstate(invalid="ignore"):  # what does not fit is reported here
        array: np.ndarray = given.astype(dtype)
    if not np.array_equal(array, given):
        raise InputError(f"{name} holds values that are no {np.dtype(dtype).name}")
    array.flags.writeable = False
    return array


def _check(e: Experiment) -> None:
    n_windows = len(e.counts)
    for name in ("sequence", "start_ms", "usable"):
        if len(getattr(e, name)) != n_windows:
            raise InputError(f"{name} has {len(getattr(e, name))} values for {n_windows} windows")
    if e.shown.min() < 0 or e.shown.max() >= len(e.frames):
        raise InputError(f"shown frames {e.shown.min()} to {e.shown.max()} of {len(e.frames)}")
    if e.sequence.min() < 0 or e.sequence.max() >= len(e.shown):
        raise InputError(f"windows in sequences up to {e.sequence.max()} of {len(e.shown)}")
    if not e.usable.any():
        raise DataError(f"{e.name} has no usable window")
    ends = e.start_ms[e.usable] + e.window_ms
    if e.start_ms[e.usable].min() < 0 or ends.max() > e.duration_ms + _ROUNDING_MS:
        raise DataError(
            f"the windows of {e.name} lie from {e.start_ms.min():g} to {ends.max():g} ms, its "
            f"frames from 0 to {e.duration_ms:g}: is it another movie or frame rate "
            f"({1000 / e.frame_ms:g} Hz)?"
        )
    first, second = e.ordered[:-1], e.ordered[1:]
    early = e.start_ms[second] - e.start_ms[first] < e.window_ms - _ROUNDING_MS
    wrong = np.flatnonzero(early & (e.sequence[first] == e.sequence[second]))
    if wrong.size:
        raise DataError(
            f"windows {first[wrong[0]]} and {second[wrong[0]]} of {e.name} overlap: windows that "
            "share spikes are not usable"
        )
    if not e.counts[e.usable].any():
        raise DataError(f"no cell of {e.name} has a spike in a usable window")
    if e.fields is not None:
        _check_fields(e, e.fields)


def _check_fields(e: Experiment, fields: ReceptiveFields) -> None:
    size = np.array(e.frames.shape[1:])
    if len(fields.centre) != e.n_cells:
        raise InputError(f"{len(fields.centre)} receptive fields for {e.n_cells} cells")
    out = ((fields.centre < -0.5) | (fields.centre > size - 0.5)).any(axis=1)
    if out.any():
        cells = ", ".join(map(str, np.flatnonzero(out)[:5]))
        raise DataError(
            f"the receptive fields of {out.sum()} of {e.n_cells} cells of {e.name} ({cells}) lie "
            f"outside its frames of {size[0]} x {size[1]} pixels: if these are means of n x n "
            "pixels, give receptive_fields.averaged(n)"
        )
