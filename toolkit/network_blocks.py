"""A network file whose synapses stay in the file, and are read a block at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from toolkit.errors import DataError
from toolkit.network import Network, Synapses
from toolkit.network_file import PARTS, checked_synapses, opened, read

ROWS = 500_000  # of a block: 9 MB, and some ten times that while NEST connects them


@dataclass(frozen=True)
class NetworkFile:
    """What `to_nest` takes in place of a network that is larger than a process should hold.

    Attributes
    ----------
    path : of a file of `Network.save`
    sample : its `Network`, with the first synapse of each neuron and receptor instead of all
    n_synapses : how many there are by input; recurrent ones under ``""``

    Examples
    --------
    >>> NetworkFile.open("v1.h5").sample.n                               # doctest: +SKIP
    230924
    """

    path: Path
    sample: Network
    n_synapses: dict[str, int]

    @classmethod
    def open(cls, path: str | Path) -> NetworkFile:
        """Check the whole file, in blocks.

        Raises
        ------
        DataError : as by `Network.load`
        """
        path = Path(path)
        n_synapses: dict[str, int] = {}
        with opened(path) as file:
            empty = read(file, path, lambda *_: Synapses.none())

            def sampled(group: h5py.Group, path: Path) -> Synapses:
                of_input = group.name.startswith("/inputs/")
                name = group.name.removeprefix("/inputs/") if of_input else ""
                blocks = list(_sampled(_blocks(group, path), empty, name))
                n_synapses[name] = sum(n for _, n in blocks)
                return _joined([block for block, _ in blocks])

            return cls(path, read(file, path, sampled), n_synapses)

    def synapses(self, name: str = "") -> Iterator[Synapses]:
        """Those of an input, or the recurrent ones, in blocks."""
        with opened(self.path) as file:
            yield from _blocks(file[f"inputs/{name}" if name else "synapses"], self.path)


def _blocks(group: h5py.Group, path: Path) -> Iterator[Synapses]:
    parts = {part: group.get(part) for part in PARTS}
    for part, item in parts.items():
        if not isinstance(item, h5py.Dataset) or item.ndim != 1:
            raise DataError(
                f"{path}: {group.name}/{part} is missing or no dataset of one dimension"
            )
    lengths = {len(item) for item in parts.values()}
    if len(lengths) > 1:
        raise DataError(f"{path}: the datasets of {group.name} have the lengths {sorted(lengths)}")
    before = -1, -1
    for first in range(0, lengths.pop(), ROWS):
        block = {part: item[first : first + ROWS] for part, item in parts.items()}
        synapses = checked_synapses(block, group, path)
        start = int(synapses.post[0]), int(synapses.pre[0])
        if start < before:
            raise DataError(f"{path}: {group.name} is not sorted by (post, pre) at row {first}")
        before = int(synapses.post[-1]), int(synapses.pre[-1])
        yield synapses


def _sampled(
    blocks: Iterator[Synapses], empty: Network, name: str
) -> Iterator[tuple[Synapses, int]]:
    """Of every block, checked by itself, the first synapse of each neuron and receptor."""
    n_receptors = len(empty.receptors)
    seen = np.zeros(empty.n * n_receptors, dtype=bool)
    for block in blocks:
        _check(empty, block, name)
        key = block.post * np.int64(n_receptors) + block.receptor
        new = np.flatnonzero(~seen[key])
        new = new[np.unique(key[new], return_index=True)[1]]
        new.sort()
        seen[key[new]] = True
        yield Synapses(*(getattr(block, part)[new] for part in PARTS)), len(block)


def _check(empty: Network, block: Synapses, name: str) -> None:
    """Raise what `Network` says about a block of its synapses."""
    if name:
        block.check_within(f"input {name!r}", empty.inputs[name].n, empty.n, len(empty.receptors))
    else:
        empty.replace(synapses=block)


def _joined(blocks: list[Synapses]) -> Synapses:
    if not blocks:
        return Synapses.none()
    return Synapses(*(np.concatenate([getattr(b, part) for b in blocks]) for part in PARTS))
