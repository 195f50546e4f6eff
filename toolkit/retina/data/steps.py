"""`Steps`: an experiment on a grid of time steps, on which models run and are scored."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from toolkit.errors import InputError
from toolkit.retina.data.experiment import Experiment, rebinned


class Steps:
    """An experiment in steps of `bin_ms` from the start of every sequence.

    Models are causal: they run over whole sequences, one frame a step, and are compared with
    spikes in the steps of usable windows only.

    A window begins at the step nearest to its start, b_k = floor(start_k / bin + 1/2), and holds
    the recorded bins unchanged. The clock of the frames is that of the window: step s is at
    t = start_k + bin (s - b_k), k being the window that s lies in or the next one, and shows the
    frame at t, floor(t / frame_ms). So bin j of window k has frame
    floor((start_k + bin j) / frame_ms) exactly, and the clock moves by less than a step once
    between two windows, after the first has ended.

    Parameters
    ----------
    experiment : of which
    bin_ms : width of a step: a whole number of the experiment's bins, of which a window holds a
        whole number (10 ms bins, 300 ms windows: 10, 20, 30, 50, 60, 100, 150, 300)

    Attributes
    ----------
    experiment, bin_ms : as given
    n_bins : steps in a window
    first : int64 (window,), first step of a window in its sequence; -1 for one that is not usable
    time_ms : float64 (sequence, step), start of the step in the sequence
    shown : int32 (sequence, step), number of the frame in ``experiment.frames``
    window : int32 (sequence, step), which window a step lies in; -1 for none
    counts : (sequence, step, cell, trial), spikes, uint8 (uint64 should they not fit); 0 outside
        windows, where nothing is known. Of the recordings ``np.minimum(counts, 1)`` has 5 to 12 %
        fewer spikes at 10 ms and 24 to 39 % fewer at 30 ms

    Raises
    ------
    InputError : a width that cannot be

    Examples
    --------
    >>> flashes = Experiment(
    ...     "demo", np.zeros((2, 4, 4)), 300.0, [[0, 1]], np.ones((1, 3, 5, 30)), 10,
    ...     [0], [300], [True]
    ... )
    >>> steps = Steps(flashes, 100)
    >>> steps.shown.tolist(), steps.mask().tolist()
    ([[0, 0, 0, 1, 1, 1]], [[False, False, False, True, True, True]])
    >>> steps.in_windows(steps.counts)[0, :, 0, 0].tolist()
    [10, 10, 10]
    """

    def __init__(self, experiment: Experiment, bin_ms: float = 30) -> None:
        e, n = experiment, experiment.counts.shape[3]
        factor = round(bin_ms / e.bin_ms) if 0 < bin_ms <= e.window_ms else 0
        if factor < 1 or abs(factor * e.bin_ms - bin_ms) > 1e-9 * bin_ms or n % factor:
            widths = ", ".join(f"{e.bin_ms * f:g}" for f in range(1, n + 1) if n % f == 0)
            raise InputError(f"steps of {bin_ms} ms cannot be; {e.name} can have {widths} ms")
        self.experiment, self.bin_ms, self.n_bins = e, factor * e.bin_ms, n // factor
        n_steps = int(e.duration_ms / self.bin_ms + 1e-9)
        begin = np.floor(e.start_ms / self.bin_ms + 0.5).astype(np.int64)
        begin = np.minimum(begin, n_steps - self.n_bins)
        self.first = _frozen(np.where(e.usable, begin, -1))
        self.time_ms = _frozen(self._clock(n_steps))
        place = np.floor(self.time_ms / e.frame_ms + 1e-9).astype(np.int64)
        place = np.clip(place, 0, e.shown.shape[1] - 1)
        self.shown = _frozen(np.take_along_axis(e.shown, place, axis=1))
        sequence, step = self._places(e.ordered)
        window = np.full(self.time_ms.shape, -1, dtype=np.int32)
        window[sequence, step] = e.ordered[:, None]
        self.window = _frozen(window)
        wide = rebinned(e.counts[e.ordered], factor)
        counts = np.zeros((*self.time_ms.shape, *e.counts.shape[1:3]), dtype=wide.dtype)
        counts[sequence, step] = wide.transpose(0, 3, 1, 2)
        self.counts = _frozen(counts)

    def _clock(self, n_steps: int) -> np.ndarray:
        e, steps = self.experiment, np.arange(n_steps)
        time = np.tile(steps * float(self.bin_ms), (len(e.shown), 1))
        for q in range(len(e.shown)):
            mine = e.ordered[e.sequence[e.ordered] == q]
            if len(mine):
                ends = self.first[mine] + self.n_bins
                k = mine[np.minimum(np.searchsorted(ends, steps, side="right"), len(mine) - 1)]
                time[q] = e.start_ms[k] + self.bin_ms * (steps - self.first[k])
        return time

    def _places(self, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Sequence (window, 1) and steps (window, bin) of windows."""
        sequence = self.experiment.sequence[windows][:, None]
        return sequence, self.first[windows][:, None] + np.arange(self.n_bins)

    def _chosen(self, windows: ArrayLike | None) -> np.ndarray:
        e = self.experiment
        chosen = e.ordered if windows is None else np.atleast_1d(np.asarray(windows))
        if chosen.dtype.kind not in "iu" or chosen.ndim != 1:
            raise InputError(f"windows are chosen by their numbers, got {windows!r}")
        if chosen.size and (chosen.min() < 0 or chosen.max() >= len(e.counts)):
            raise InputError(f"windows {chosen.min()} to {chosen.max()} of {len(e.counts)}")
        if not e.usable[chosen].all():
            bad = chosen[~e.usable[chosen]][0]
            raise InputError(
                f"window {bad} of {e.name} is not usable: it shares spikes with others"
            )
        return chosen

    @cached_property
    def contrast(self) -> np.ndarray:
        """All frames as float32 (frame, y, x): grey / 127.5 - 1, from -1 black to 1 white."""
        return _frozen(self.experiment.frames.astype(np.float32) / np.float32(127.5) - 1)

    def stimulus(self, sequence: int = 0, start: int = 0, stop: int | None = None) -> np.ndarray:
        """Contrast at the steps `start` to `stop` of a sequence, float32 (step, y, x)."""
        if not 0 <= sequence < len(self.shown):
            raise InputError(f"sequence {sequence} of {len(self.shown)}, which begin at 0")
        return self.contrast[self.shown[sequence, start:stop]]

    def mask(self, windows: ArrayLike | None = None) -> np.ndarray:
        """Which steps lie in the windows (None: all usable ones), bool (sequence, step).

        Raises `InputError` for a window that is not there or not usable.
        """
        mask = np.zeros(self.window.shape, dtype=bool)
        mask[self._places(self._chosen(windows))] = True
        return mask

    def in_windows(self, values: np.ndarray, windows: ArrayLike | None = None) -> np.ndarray:
        """Of values (sequence, step, ...) those in the windows, (window, bin, ...).

        With ``.reshape(-1, ...)`` all steps of the windows one after the other: what is scored.
        """
        if values.shape[:2] != self.window.shape:
            raise InputError(
                f"values must be of (sequence, step, ...) = {self.window.shape}, got {values.shape}"
            )
        return values[self._places(self._chosen(windows))]

    def psth(self, windows: ArrayLike | None = None) -> np.ndarray:
        """Mean of the trials in the windows, spikes a step, float64 (window, bin, cell)."""
        return self.in_windows(self.counts, windows).mean(axis=-1)

    def __repr__(self) -> str:
        n_sequences, n_steps = self.window.shape
        return f"Steps({n_sequences} x {n_steps} of {self.bin_ms:g} ms; {self.experiment!r})"


def _frozen(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array
