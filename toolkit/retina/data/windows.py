"""Where in a movie the windows of Onken et al. 2016 lie: inferred, for want of published times."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

LEAST_SHARED = 20  # spikes that two windows must share to be one window moved; our choice


def window_shifts(counts: ArrayLike) -> np.ndarray:
    """By how many bins each window is the one before it moved on, int (window,); 0 if it is not.

    Window k is window k - 1 moved by s bins if all spikes of all cells and trials that both can
    hold are the same: c[k, ..., :-s] = c[k - 1, ..., s:], with 20 spikes or more among them.

    Parameters
    ----------
    counts : spikes (window, cell, trial, bin), in the order of the file

    Examples
    --------
    >>> long = np.random.default_rng(1).poisson(0.1, (5, 30, 40))
    >>> window_shifts(np.stack([long[..., :30], long[..., 1:31], long[..., 4:34]])).tolist()
    [0, 1, 3]
    """
    c = np.asarray(counts)
    shifts = np.zeros(len(c), dtype=np.int64)
    for k in range(1, len(c)):
        for s in range(1, c.shape[-1]):
            before = c[k - 1, ..., s:]
            if before.sum() < LEAST_SHARED:
                break
            if np.array_equal(before, c[k, ..., :-s]):
                shifts[k] = s
                break
    return shifts


def in_runs(shifts: np.ndarray) -> np.ndarray:
    """Whether a window belongs to a run of one window moved on, its first one too; (window,).

    >>> in_runs(np.array([0, 0, 1, 3, 0])).tolist()
    [False, True, True, True, False]
    """
    moved = shifts > 0
    return moved | np.append(moved[1:], False)


def inferred_starts_ms(
    numbers: ArrayLike, shifts: ArrayLike, first_ms: float, apart_ms: float, bin_ms: float = 10
) -> np.ndarray:
    """When each window began, ms of the movie: **inferred**, see `toolkit.retina.data.load`.

    Windows follow each other at `apart_ms`; those of a run follow at their shifts, and the window
    after a run at `apart_ms` from the first of it.

    Parameters
    ----------
    numbers : of the windows in the file, rising, some of which may be left out; int (window,)
    shifts : bins from the window before, `window_shifts`
    first_ms, apart_ms : start of window 0, and from one window to the next
    bin_ms : of the shifts

    Examples
    --------
    >>> inferred_starts_ms([0, 1, 2, 3, 6], [0, 0, 1, 0, 0], 500, 800).tolist()
    [500.0, 1300.0, 1310.0, 2100.0, 4500.0]
    """
    shifts = np.asarray(shifts)
    places = np.asarray(numbers) - np.cumsum(shifts > 0)
    moved = np.cumsum(shifts)
    begins = np.maximum.accumulate(np.where(shifts == 0, moved, 0))  # moved before its run
    return float(first_ms) + apart_ms * places + bin_ms * (moved - begins)
