"""What drives a `Network`, as NEST's ``spike_generator`` nodes that are filled part by part.

Spikes of several synapses or sources of one step are one spike with a multiplicity. A Poisson
input is drawn by the toolkit (`toolkit.rng.poisson_counts`), the same counts as in every backend.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from converters.grid import poisson_key
from toolkit.network import Input
from toolkit.rng import poisson_counts

NO_SPIKES = {"spike_times": np.zeros(0), "spike_multiplicities": np.zeros(0, dtype=np.int64)}


class Counts(Protocol):
    """Spikes of an input by source and step."""

    def between(self, first: int, last: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Source, step and number of the spikes in steps `first` to `last`, sorted by source."""


@dataclass(frozen=True)
class GivenCounts:
    """Of spikes known beforehand; `steps` ascend, and `ids` are the sources."""

    steps: np.ndarray
    ids: np.ndarray

    def between(self, first: int, last: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """See `Counts`."""
        rows = slice(*np.searchsorted(self.steps, [first, last + 1]))
        both, number = np.unique(
            np.stack([self.ids[rows], self.steps[rows]]), axis=1, return_counts=True
        )
        return both[0], both[1], number


@dataclass(frozen=True)
class PoissonCounts:
    """Of `n` sources that each expect `mean` spikes a step."""

    n: int
    mean: float
    key: int

    @classmethod
    def of(cls, source: Input, name: str, seed: int, dt_ms: float) -> PoissonCounts:
        """Of an input with a rate."""
        assert source.rate_Hz is not None
        return cls(source.n, source.rate_Hz * dt_ms / 1000, poisson_key(seed, name))

    def between(self, first: int, last: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """See `Counts`."""
        counts = poisson_counts(self.key, np.arange(self.n), np.arange(first, last + 1), self.mean)
        source, step = np.nonzero(counts.T)
        return source, step + first, counts[step, source]


def fill(generators: Any, counts: Counts, first: int, last: int, dt_ms: float) -> None:
    """Give the generators of an input, one a source, their spikes of steps `first` to `last`."""
    source, step, number = counts.between(first, last)
    times = step * dt_ms
    ends = np.searchsorted(source, np.arange(len(generators) + 1))
    generators.set(
        [
            {
                "spike_times": times[start:stop],
                "spike_multiplicities": number[start:stop].astype(np.int64),
            }
            if stop > start
            else NO_SPIKES
            for start, stop in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)
        ]
    )
