"""What drives a `Network`: known spikes, or the toolkit's own Poisson counts.

Known spikes are handed part by part to ``spike_generator`` nodes, one a source; several in one step
are one with a multiplicity. A Poisson input is `toolkit.rng.poisson_counts`, as in every backend:
drawn inside NEST (`converters.nest.devices`), or by numpy, as known spikes, where that cannot be
compiled.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from converters.grid import poisson_key
from converters.nest import devices
from converters.nest.connections import Rows
from toolkit.network import Input
from toolkit.rng import poisson_counts, poisson_thresholds

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


@dataclass(frozen=True)
class Generators:
    """The ``spike_generator`` nodes of an input, one a source.

    Attributes
    ----------
    nodes : their `NodeCollection`
    used : which have a target in this process
    counts : their spikes
    """

    nodes: Any
    used: np.ndarray
    counts: Counts

    @classmethod
    def connected(cls, nest: Any, n: int, rows: Iterable[Rows], counts: Counts) -> Generators:
        """Make `n` of them, with their synapses."""
        nodes = nest.Create("spike_generator", n)
        used = np.zeros(n, dtype=bool)
        for some in rows:
            some.connect(nest, nodes[0].global_id + some.pre)
            used[some.pre] = True
        return cls(nodes, used, counts)

    def fill(self, first: int, last: int, dt_ms: float) -> None:
        """Give them their spikes of steps `first` to `last`."""
        source, step, number = self.counts.between(first, last)
        times = step * dt_ms
        ends = np.searchsorted(source, np.arange(len(self.used) + 1))
        self.nodes.set(
            [
                {
                    "spike_times": times[start:stop],
                    "spike_multiplicities": number[start:stop].astype(np.int64),
                }
                if stop > start and used
                else NO_SPIKES
                for start, stop, used in zip(
                    ends[:-1].tolist(), ends[1:].tolist(), self.used.tolist(), strict=True
                )
            ]
        )


def connect_device(nest: Any, rows: Iterable[Rows], counts: PoissonCounts) -> None:
    """Make the device of a Poisson input, with its synapses; it needs no more after that."""
    thresholds = poisson_thresholds(counts.mean).astype(np.int64)
    device = nest.Create(devices.POISSON, 1, {"key": counts.key, "thresholds": thresholds})
    sources, targets = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for some in rows:
        some.connect(nest, np.full(len(some.pre), device[0].global_id))
        sources.append(some.pre.astype(np.int64))
        targets.append(some.target)
    device.set(sources=np.concatenate(sources), targets=np.concatenate(targets))
