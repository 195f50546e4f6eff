"""Synapses as SONATA edges, written and read in blocks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from converters.sonata.hdf5 import BLOCK
from toolkit.network import Synapses

MAGIC, SONATA_VERSION = 0x0A7A, (0, 1)
CHUNK = 2**16
# Whole numbers are packed into as few bits as their chunk needs, 11 instead of 29 bytes a synapse
# for about the time that it saves on the disk. DEFLATE would make 4 of them, but libsonata's wheel
# cannot read it.
PACKED: dict[str, Any] = {"scaleoffset": 0}


def sonata_file(path: Path) -> h5py.File:
    """A new HDF5 file with the attributes that every SONATA file has."""
    file = h5py.File(path, "w")
    file.attrs["magic"] = np.uint32(MAGIC)
    file.attrs["version"] = np.array(SONATA_VERSION, dtype=np.uint32)
    return file


def dataset(
    group: h5py.Group,
    name: str,
    n: int,
    dtype: Any,
    *,
    width: int | None = None,
) -> h5py.Dataset:
    """A dataset of n rows to be filled."""
    shape = (n,) if width is None else (n, width)
    if n == 0 or np.dtype(dtype).kind == "f":
        return group.create_dataset(name, shape, dtype)
    return group.create_dataset(name, shape, dtype, chunks=(min(n, CHUNK), *shape[1:]), **PACKED)


def blocks(n: int) -> Iterator[slice]:
    """Rows 0 to n, BLOCK at a time."""
    for start in range(0, n, BLOCK):
        yield slice(start, min(start + BLOCK, n))


def write_edges(
    path: Path,
    population: str,
    source: tuple[str, int],
    target: tuple[str, int],
    synapses: Synapses,
    shown: Any,
) -> None:
    """Write the synapses between two populations of nodes as one file.

    Parameters
    ----------
    path, population : the file, and the name of the edges in it
    source, target : name and number of the nodes
    synapses : sorted by target; the type of an edge is the position of its receptor
    shown : progress bar, moved on by two a synapse
    """
    n = len(synapses)
    with sonata_file(path) as file:
        edges = file.create_group(f"edges/{population}")
        own = edges.create_group("0")
        columns = (
            (dataset(edges, "source_node_id", n, np.uint64), synapses.pre),
            (dataset(edges, "target_node_id", n, np.uint64), synapses.post),
            (dataset(edges, "edge_type_id", n, np.uint32), synapses.receptor),
            (dataset(own, "delay", n, np.float32), synapses.delay_ms),
            (dataset(own, "syn_weight", n, np.float32), synapses.weight),
        )
        edges["source_node_id"].attrs["node_population"] = source[0]
        edges["target_node_id"].attrs["node_population"] = target[0]
        own["delay"].attrs["units"], own["syn_weight"].attrs["units"] = "ms", "pA"
        group_id = dataset(edges, "edge_group_id", n, np.uint16)
        group_index = dataset(edges, "edge_group_index", n, np.uint64)
        for rows in blocks(n):
            for column, values in columns:
                column[rows] = values[rows]
            group_id[rows] = 0
            group_index[rows] = np.arange(rows.start, rows.stop)
            shown.update(rows.stop - rows.start)
        if n:
            _write_index(edges, "target_to_source", synapses.post, target[1], shown)
            _write_index(edges, "source_to_target", synapses.pre, source[1], shown)


def _starts(nodes: np.ndarray) -> Iterator[tuple[np.ndarray, int]]:
    """Block by block, where a run of edges of one node starts, and where the block ends."""
    for rows in blocks(len(nodes)):
        part = nodes[rows]
        first = np.concatenate([[True], part[1:] != part[:-1]])  # a block starts one, too
        yield np.flatnonzero(first) + rows.start, rows.stop


def _write_index(edges: h5py.Group, name: str, nodes: np.ndarray, n_nodes: int, shown: Any) -> None:
    """For every node the ranges of edges that are its own.

    ``range_to_edge_id`` lists the ranges (first edge, one after the last) node by node, and
    ``node_id_to_ranges`` which of them are a node's; a node without edges has an empty range of
    ranges. BMTK calls the second one ``node_id_to_range``: both names are there, for one dataset.
    """
    index = edges.create_group(f"indices/{name}")
    count = np.zeros(n_nodes, dtype=np.int64)
    for starts, _ in _starts(nodes):
        count += np.bincount(nodes[starts], minlength=n_nodes)
    after = np.cumsum(count)
    ranges = dataset(index, "node_id_to_ranges", n_nodes, np.int64, width=2)
    ranges[:] = np.stack([after - count, after], axis=1)
    index["node_id_to_range"] = ranges
    listed = dataset(index, "range_to_edge_id", int(after[-1]), np.int64, width=2)
    # As many nodes at a time as have two blocks of ranges together; a pass over the edges for each.
    low = done = 0
    while low < n_nodes:
        high = max(int(np.searchsorted(after, done + 2 * BLOCK, side="right")), low + 1)
        first, last = [], []
        for starts, end in _starts(nodes):
            keep = np.flatnonzero((nodes[starts] >= low) & (nodes[starts] < high))
            first.append(starts[keep])
            last.append(np.append(starts[1:], end)[keep])
        found = np.stack([np.concatenate(first), np.concatenate(last)], axis=1)
        listed[done : int(after[high - 1])] = found[np.argsort(nodes[found[:, 0]], kind="stable")]
        shown.update(int(len(nodes) / 2 * len(found) / int(after[-1])))
        low, done = high, int(after[high - 1])
