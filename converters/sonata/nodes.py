"""Node populations of SONATA files, of any program."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from converters.sonata.config import Config, Types, read_types
from converters.sonata.hdf5 import Hdf5File, Hdf5Reader
from toolkit.errors import DataError


@dataclass(frozen=True)
class Nodes:
    """A population.

    Attributes
    ----------
    population : its name
    path : of its file
    node_id, type_id : shape (node,)
    columns : attributes by node, shape (node,); those of ``dynamics_params`` under
        ``dynamics_params/NAME``. A number that only some groups of nodes have is NaN for the
        others, a text empty
    types : rows of the table of types by id, empty where there is no such table
    """

    population: str
    path: Path
    node_id: np.ndarray
    type_id: np.ndarray
    columns: dict[str, np.ndarray]
    types: Types = field(default_factory=dict)

    @property
    def n(self) -> int:
        """Number of nodes."""
        return len(self.node_id)

    def rows_of(self, ids: np.ndarray, what: str) -> np.ndarray:
        """Positions of node ids; a `DataError` starting with `what` for one that is not there."""
        if np.array_equal(self.node_id, np.arange(self.n)):
            bad = (ids < 0) | (ids >= self.n)
            rows = ids
        else:
            order = np.argsort(self.node_id, kind="stable")
            place = np.searchsorted(self.node_id[order], ids)
            rows = order[np.minimum(place, self.n - 1)] if self.n else np.zeros(len(ids), np.int64)
            bad = self.node_id[rows] != ids if self.n else np.ones(len(ids), dtype=bool)
        if bad.any():
            i = int(np.flatnonzero(bad)[0])
            raise DataError(
                f"{what} {ids[i]} is no node of {self.population!r}, which has {self.n} nodes"
            )
        return rows

    def by_type(self) -> tuple[np.ndarray, np.ndarray]:
        """The types that the nodes have, and the position of each node's type among them."""
        known, of_node = np.unique(self.type_id, return_inverse=True)
        return known, of_node

    def text(self, name: str) -> np.ndarray | None:
        """An attribute as text by node, empty where a node has none; None if no node has it."""
        if name in self.columns:
            return self.columns[name].astype(str)
        known, of_node = self.by_type()
        words = [self.types.get(int(k), {}).get(name, "") for k in known]
        return np.array(words, dtype=str)[of_node] if any(words) else None

    def attributes(self) -> dict[str, np.ndarray]:
        """All that is known of every node, from the nodes and from their types."""
        known, of_node = self.by_type()
        rows = [self.types.get(int(k), {}) for k in known]
        columns = {}
        for name in dict.fromkeys(name for row in rows for name in row):
            columns[name] = _typed([row.get(name, "") for row in rows])[of_node]
        return columns | self.columns


def _typed(words: list[str]) -> np.ndarray:
    """Numbers where all are, else text."""
    try:
        return np.array([float(word) for word in words])
    except ValueError:
        return np.array(words, dtype=str)


def read_populations(reader: Hdf5Reader, config: Config) -> Iterator[Nodes]:
    """All populations of a circuit with their types; every type of a node is there."""
    seen: set[str] = set()
    for path, types_path in config.nodes:
        types = read_types(types_path, "node_type_id")
        for nodes in read_nodes(reader, path, types):
            if nodes.population in seen:
                raise DataError(f"{path}: the population {nodes.population!r} is in two files")
            seen.add(nodes.population)
            for type_id in nodes.by_type()[0]:
                if types_path is not None and int(type_id) not in types:
                    raise DataError(
                        f"{types_path} lacks the node type {type_id}, which nodes of {path} have"
                    )
            yield nodes


def read_nodes(reader: Hdf5Reader, path: Path, types: Types) -> list[Nodes]:
    """All populations of a file of nodes."""
    file = reader.open(path)
    return [_read_population(file, name, types) for name in file.names("/nodes")]


def _read_population(file: Hdf5File, population: str, types: Types) -> Nodes:
    where = f"/nodes/{population}"
    (n, *_) = file.shape(f"{where}/node_type_id") or (0,)
    type_id = whole_numbers(file, f"{where}/node_type_id", n)
    node_id = np.arange(n)
    if f"{where}/node_id" in file:
        node_id = whole_numbers(file, f"{where}/node_id", n)
        if len(np.unique(node_id)) < n:
            raise DataError(f"{file.path}: {where}/node_id has an id twice")
    return Nodes(population, file.path, node_id, type_id, _attributes(file, where, n), types)


def whole_numbers(file: Hdf5File, name: str, n: int) -> np.ndarray:
    """A dataset of integers as int64."""
    values = file.read(name, n, "iu")
    if len(values) and values.max() > np.iinfo(np.int64).max:
        raise DataError(f"{file.path}: {name} has a number beyond 64 bits")
    return values.astype(np.int64)


def _attributes(file: Hdf5File, where: str, n: int) -> dict[str, np.ndarray]:
    """Columns of all groups of nodes, put together."""
    group_id = whole_numbers(file, f"{where}/node_group_id", n)
    group_index = whole_numbers(file, f"{where}/node_group_index", n)
    columns: dict[str, np.ndarray] = {}
    for group in np.unique(group_id):
        members = np.flatnonzero(group_id == group)
        base = f"{where}/{group}"
        names = file.datasets(base)
        if f"{base}/dynamics_params" in file:
            inner = file.datasets(f"{base}/dynamics_params")
            names += [f"dynamics_params/{name}" for name in inner]
        for name in names:
            shape = file.shape(f"{base}/{name}")
            if len(shape) != 1:
                continue  # vectors by node, e.g. positions of older files, are no part of a table
            values = file.read(f"{base}/{name}", shape[0], "biufU")
            rows = group_index[members]
            if rows.min() < 0 or rows.max() >= len(values):
                raise DataError(
                    f"{file.path}: {where}/node_group_index points to row {rows.max()} of "
                    f"{base}/{name}, which has {len(values)}"
                )
            if len(members) == n:
                columns[name] = values[rows]
                continue
            text = values.dtype.kind == "U"
            old = columns.get(name, np.full(n, "" if text else np.nan))
            if (old.dtype.kind == "U") != text:
                raise DataError(f"{file.path}: {where}/*/{name} is text in some groups only")
            kind = np.promote_types(old.dtype, values.dtype)
            columns[name] = old.astype(kind)
            columns[name][members] = values[rows]
    return columns
