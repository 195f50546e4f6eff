"""Accuracies with their intervals, and the noise that takes half of them away."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from toolkit.errors import InputError
from toolkit.learning.evaluation import wilson_interval
from toolkit.rng import stream
from toolkit.table import Table

N_DRAWS = 1000  # of a bootstrap
LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A number and its 95 % interval.

    >>> print(Estimate(0.875, 0.81, 0.92))
    0.875 (0.810 to 0.920)
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"

    def columns(self, name: str) -> dict[str, float]:
        """For a row of a table: the value under its name, and the interval."""
        return {name: self.value, "low": self.low, "high": self.high}

    def percent(self) -> str:
        """The same in per cent, as `87.5 % (81.0 to 92.0)`."""
        return f"{100 * self.value:.1f} % ({100 * self.low:.1f} to {100 * self.high:.1f})"


def accuracy(right: np.ndarray) -> Estimate:
    """Share of right answers, bool (item,), with the Wilson interval.

    Raises `InputError` without items.

    >>> print(accuracy(np.array([True] * 90 + [False] * 10)))
    0.900 (0.826 to 0.945)
    """
    if not len(right):
        raise InputError("an accuracy needs items, got none")
    return Estimate(float(np.mean(right)), *wilson_interval(int(np.sum(right)), len(right)))


def tabulated(rows: Sequence[Mapping[str, object]]) -> Table:
    """A table of rows that have the same columns.

    >>> tabulated([{"task": "images", "accuracy": 0.9}, {"task": "change", "accuracy": 0.8}])
    Table(2 rows: task, accuracy)
    """
    return Table({name: [row[name] for row in rows] for name in rows[0]})


def half_gain(right: np.ndarray, amplitudes: np.ndarray, chance: float, seed: int) -> Estimate:
    """The amplitude of noise at which accuracy above chance has fallen to half.

    Accuracy is interpolated linearly between amplitudes and read where it first falls below
    half way from that without noise to chance. The interval is a bootstrap over items (which
    stay the same for all amplitudes).

    Parameters
    ----------
    right : bool (item, amplitude)
    amplitudes : rising, the first one 0
    chance : accuracy of guessing
    seed : of the bootstrap

    Returns
    -------
    infinite where it has not fallen that far at the largest amplitude; NaN where accuracy without
    noise is not above chance

    Raises
    ------
    InputError : amplitudes that do not rise from 0, arrays of other shapes

    >>> right = np.arange(100)[:, None] < np.array([100, 80, 60])  # 100, 80 and 60 %
    >>> round(half_gain(right, np.array([0.0, 0.1, 0.3]), 0.5, seed=1).value, 6)
    0.15
    """
    amplitudes = np.asarray(amplitudes, dtype=float)
    if right.ndim != 2 or right.shape[1] != len(amplitudes) or not len(right):
        raise InputError(f"answers must be (item, {len(amplitudes)} amplitudes): {right.shape}")
    if amplitudes[0] != 0 or (np.diff(amplitudes) <= 0).any():
        raise InputError(f"amplitudes must rise from 0, got {amplitudes.tolist()}")
    if not accuracy(right[:, 0]).low > chance:
        return Estimate(np.nan, np.nan, np.nan)
    n = len(right)
    counts = stream(seed, "half gain").multinomial(n, np.full(n, 1 / n), size=N_DRAWS)
    share = np.concatenate([right.mean(axis=0, keepdims=True), counts @ right / n])
    found = _half(share - chance, amplitudes)
    low, high = np.quantile(
        found[1:], [(1 - LEVEL) / 2, (1 + LEVEL) / 2], method="inverted_cdf"
    )  # a quantile that is one of the values: some may be infinite
    return Estimate(float(found[0]), float(low), float(high))


def _half(gain: np.ndarray, amplitudes: np.ndarray) -> np.ndarray:
    """Where each row of gains (draw, amplitude) first falls below half of its first one."""
    below = gain < gain[:, :1] / 2
    at = np.where(below.any(axis=1), below.argmax(axis=1), -1)
    rows = np.flatnonzero(at > 0)
    after = at[rows]
    upper, lower = gain[rows, after - 1], gain[rows, after]
    share = (upper - gain[rows, 0] / 2) / (upper - lower)
    found = np.where(at < 0, np.inf, 0.0)
    found[rows] = amplitudes[after - 1] + share * (amplitudes[after] - amplitudes[after - 1])
    return found


def half_gain_words(found: Estimate, largest: float, unit: str) -> str:
    """The result of `half_gain` in words, as `0.13 rheobases (0.12 to 0.15)`."""
    if np.isnan(found.value):
        return "undefined, as accuracy without noise is not above chance"
    if np.isinf(found.value):
        return f"above {largest:g} {unit}"
    high = f"{found.high:.3g}" if np.isfinite(found.high) else f"above {largest:g}"
    return f"{found.value:.3g} {unit} ({found.low:.3g} to {high})"
