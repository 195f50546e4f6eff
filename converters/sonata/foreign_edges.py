"""Edge populations of SONATA files, of any program."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from converters.sonata.config import Config, Types, number, read_types
from converters.sonata.hdf5 import Hdf5File, Hdf5Reader
from converters.sonata.nodes import whole_numbers
from toolkit.errors import DataError

USED = ("nsyns", "syn_weight", "delay", "receptor_type")  # attributes that make a synapse


@dataclass(frozen=True)
class Edges:
    """A population of edges.

    Attributes
    ----------
    population, path : its name and file
    source, target : names of the populations of nodes that it connects
    source_id, target_id, type_id : shape (edge,)
    columns : numbers by edge, NaN where the edge's group has none; those of ``dynamics_params``
        under ``dynamics_params/NAME``
    lacking : by column, the edges whose group has none; columns that all have are not listed
    types : rows of the table of types by id
    parameters : contents of the types' files of parameters by type id
    """

    population: str
    path: Path
    source: str
    target: str
    source_id: np.ndarray
    target_id: np.ndarray
    type_id: np.ndarray
    columns: dict[str, np.ndarray]
    lacking: dict[str, np.ndarray]
    types: Types
    parameters: dict[int, dict[str, Any]]

    def values(self, name: str, default: float | None) -> np.ndarray:
        """An attribute by edge, from the edges, their types' files or their types.

        Raises
        ------
        DataError : an edge without one where there is no default, or one that is not finite
        """
        own = next((c for c in (name, f"dynamics_params/{name}") if c in self.columns), "")
        values = self.columns[own].copy() if own else np.empty(len(self.type_id))
        lacking = self.lacking.get(own, slice(0)) if own else slice(None)
        known, of_edge = np.unique(self.type_id[lacking], return_inverse=True)
        of_type = [self._of_type(int(type_id), name, default) for type_id in known]
        values[lacking] = np.array(of_type, dtype=np.float64)[of_edge]
        bad = ~np.isfinite(values)
        if bad.any():
            i = int(np.flatnonzero(bad)[0])
            raise DataError(f"{self.path}: {name} of edge {i} of {self.population} is {values[i]}")
        return values

    def _of_type(self, type_id: int, name: str, default: float | None) -> float:
        where = f"{self.path}: edge type {type_id}"
        found = self.parameters.get(type_id, {}).get(name)
        if found is None:
            found = number(self.types[type_id], name, where)
        if found is None:
            found = default
        if isinstance(found, bool) or not isinstance(found, int | float):
            raise DataError(f"{where} has no number {name!r}, nor have its edges")
        return float(found)


def read_edges(reader: Hdf5Reader, config: Config, *, parameters: bool = True) -> Iterator[Edges]:
    """All populations of edges of a circuit, one at a time.

    Some 100 bytes an edge while one is read. Without `parameters` the types' files of parameters
    are left aside.
    """
    for path, types_path in config.edges:
        types = read_types(types_path, "edge_type_id")
        file = reader.open(path)
        for name in file.names("/edges"):
            edges = _read_population(file, name, types)
            for type_id in map(int, np.unique(edges.type_id)):
                where = f"{types_path or path}: edge type {type_id}"
                if types_path is not None and type_id not in types:
                    raise DataError(f"{where} is missing, which edges of {path} have")
                row = types.setdefault(type_id, {})
                if parameters and "dynamics_params" in row:
                    edges.parameters[type_id] = config.parameters(
                        "synaptic_models_dir", row["dynamics_params"], where
                    )
            yield edges


def _read_population(file: Hdf5File, population: str, types: Types) -> Edges:
    where = f"/edges/{population}"
    (n, *_) = file.shape(f"{where}/source_node_id") or (0,)
    ends = []
    for name in ("source_node_id", "target_node_id"):
        end = file.attribute(f"{where}/{name}", "node_population")
        if not isinstance(end, str):
            raise DataError(f"{file.path}: node_population of {where}/{name} must be a name")
        ends.append(end)
    columns, lacking = _columns(file, where, n)
    return Edges(
        population,
        file.path,
        source=ends[0],
        target=ends[1],
        source_id=whole_numbers(file, f"{where}/source_node_id", n),
        target_id=whole_numbers(file, f"{where}/target_node_id", n),
        type_id=whole_numbers(file, f"{where}/edge_type_id", n),
        columns=columns,
        lacking=lacking,
        types=types,
        parameters={},
    )


def _columns(
    file: Hdf5File, where: str, n: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Numbers by edge, of all groups of edges, and the edges whose group has none."""
    group_id = whole_numbers(file, f"{where}/edge_group_id", n)
    group_index = whole_numbers(file, f"{where}/edge_group_index", n)
    columns: dict[str, np.ndarray] = {}
    lacking: dict[str, np.ndarray] = {}
    for group in np.unique(group_id):
        members = np.flatnonzero(group_id == group)
        base, rows = f"{where}/{group}", group_index[members]
        names = file.datasets(base)
        if f"{base}/dynamics_params" in file:
            names += [f"dynamics_params/{k}" for k in file.datasets(f"{base}/dynamics_params")]
        for name in names:
            shape = file.shape(f"{base}/{name}")
            if len(shape) != 1 or file.kind(f"{base}/{name}") not in "iuf":
                if name.removeprefix("dynamics_params/") not in USED:
                    continue
                raise DataError(f"{file.path}: {base}/{name} must be a number by edge")
            if rows.min() < 0 or rows.max() >= shape[0]:
                raise DataError(
                    f"{file.path}: {where}/edge_group_index points to row {rows.max()} of "
                    f"{base}/{name}, which has {shape[0]}"
                )
            column = columns.setdefault(name, np.full(n, np.nan))
            column[members] = file.read(f"{base}/{name}", shape[0], "iuf")[rows]
            lacking.setdefault(name, np.ones(n, dtype=bool))[members] = False
    return columns, {name: left for name, left in lacking.items() if left.any()}
