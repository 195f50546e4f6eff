"""Windows divided into training, validation and test without leakage."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toolkit.errors import InputError
from toolkit.retina.data.experiment import Experiment

VALIDATION = 0.1  # of the windows; our choice
GAP_MS = 300.0  # between windows of different parts; longer than after-spike effects; our choice


@dataclass(frozen=True, eq=False)
class Split:
    """Numbers of the windows to train on, to stop early on and to test on; int64 arrays."""

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray


def folds(
    experiment: Experiment,
    n: int = 5,
    *,
    validation: float = VALIDATION,
    gap_ms: float = GAP_MS,
) -> list[Split]:
    """The usable windows in n contiguous blocks, each of which is the test set once.

    Windows are taken in their order in the movie (or in that of the images). The windows that
    follow a test block, from the first on after the last, are for validation; the rest is for
    training. Windows that share spikes with others are in no part, and neither are windows nearer
    than `gap_ms` to one of a block that is tested, or validated, after them. So no spike, and no
    spike within `gap_ms` of it, is both trained and tested on.

    Parameters
    ----------
    experiment : of which
    n : number of blocks, 2 or more
    validation : share of the usable windows, 0 for none
    gap_ms : least time between windows of different parts, of one sequence

    Raises
    ------
    InputError : fewer than 2 blocks, more than the windows allow, a share that leaves no training

    Examples
    --------
    >>> apart = 600.0 * np.arange(10)     # windows of 300 ms at 0, 600, ... ms
    >>> movie = Experiment(
    ...     "demo", np.zeros((60, 4, 4)), 100.0, [np.arange(60)], np.ones((10, 1, 2, 30)), 10,
    ...     np.zeros(10), apart, np.full(10, True)
    ... )
    >>> for fold in folds(movie, 3, validation=0.2)[:2]:
    ...     print(fold.train, fold.validation, fold.test)
    [6 7 8 9] [4 5] [0 1 2 3]
    [0 1 2 3 9] [7 8] [4 5 6]
    """
    order = experiment.ordered
    if not 2 <= n <= len(order):
        raise InputError(f"{len(order)} windows can be 2 to {len(order)} blocks, not {n}")
    if not 0 <= validation < 1 or not gap_ms >= 0:
        raise InputError(
            f"validation is a share from 0 to 1 and gap_ms 0 or more, got {validation}, {gap_ms}"
        )
    n_validation = max(1, round(validation * len(order))) if validation else 0
    splits, stop = [], 0
    for block in np.array_split(order, n):
        stop += len(block)
        others = np.roll(order, -stop)[: len(order) - len(block)]
        others = others[~_near(experiment, others, block, gap_ms)]
        held, train = others[:n_validation], others[n_validation:]
        train = train[~_near(experiment, train, held, gap_ms)]
        if not len(train) or len(held) < n_validation:
            raise InputError(
                f"{len(order)} windows leave none to train on with {n} blocks, a share of "
                f"{validation:g} for validation and gaps of {gap_ms:g} ms"
            )
        splits.append(Split(np.sort(train), np.sort(held), block))
    return splits


def _near(e: Experiment, windows: np.ndarray, others: np.ndarray, gap_ms: float) -> np.ndarray:
    """Whether each window is of the sequence of another one and nearer to it than the gap."""
    if not len(others):
        return np.zeros(len(windows), dtype=bool)
    same = e.sequence[windows][:, None] == e.sequence[others]
    apart = np.abs(e.start_ms[windows][:, None] - e.start_ms[others]) - e.window_ms
    return (same & (apart < gap_ms - 1e-6)).any(axis=1)
