"""Tables as SONATA holds them: what rows share in node types, the rest by node."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from converters.sonata.models import NEST_NAMES
from toolkit.errors import DataError, InputError
from toolkit.table import Table

MAX_TYPES = 10_000  # a column that would make more node types is stored by node
# SONATA's reserved and customary names, and the units that we note beside the values.
DATASETS = {
    **{axis + "_um": (axis, "um") for axis in "xyz"},
    "tuning_deg": ("tuning_angle", "degrees"),
    **{own: (f"dynamics_params/{n}", own.rsplit("_", 1)[1]) for own, n in NEST_NAMES.items()},
}
_JSON_TYPES: dict[str, set[type]] = {"U": {str}, "b": {bool}, "i": {int}, "u": {int}, "f": {float}}


@dataclass(frozen=True)
class Split:
    """A table by types.

    Attributes
    ----------
    type_of : position of every row's type, shape (row,)
    types : columns whose value is that of the row's type, shape (type,) each
    rows : the other columns, shape (row,) each
    """

    type_of: np.ndarray
    types: dict[str, np.ndarray]
    rows: dict[str, np.ndarray]

    @property
    def n_types(self) -> int:
        """Number of types."""
        return int(self.type_of.max(initial=-1)) + 1


def split(table: Table, by: Iterable[str], constant: Iterable[str] = ()) -> Split:
    """Make a type of every combination of values of the columns `by`.

    Parameters
    ----------
    table : what to split
    by : names of columns, in the order in which they join while there are at most MAX_TYPES types
    constant : more that go to the types if they are the same in each

    Raises
    ------
    InputError : a column that is neither text, truth values nor numbers of at most 64 bits
    """
    for name, values in table.items():
        if values.dtype.kind not in "biufU" or (
            values.dtype.kind != "U" and values.dtype.itemsize > 8
        ):
            raise InputError(
                f"the column {name!r} is of type {values.dtype}; SONATA files hold text, truth "
                "values and numbers of at most 64 bits"
            )
    limits = dict.fromkeys([name for name in by if name in table], MAX_TYPES)
    type_of, shared = np.zeros(len(table.rows), dtype=np.int64), []
    for name in (*limits, *(n for n in constant if n in table and n not in limits)):
        values = np.unique(_bits(table[name]), return_inverse=True)[1]
        pairs = type_of * (values.max(initial=0) + 1) + values
        _, first, finer = np.unique(pairs, return_index=True, return_inverse=True)
        if len(first) <= limits.get(name, type_of.max(initial=0) + 1):
            type_of = np.argsort(np.argsort(first))[finer]  # types in order of appearance
            shared.append(name)
    example = np.unique(type_of, return_index=True)[1]
    return Split(
        type_of,
        {name: table[name][example] for name in shared},
        {name: values for name, values in table.items() if name not in shared},
    )


def text_columns(table: Table) -> list[str]:
    """Names of the columns that hold text."""
    return [name for name, values in table.items() if values.dtype.kind == "U"]


def _bits(values: np.ndarray) -> np.ndarray:
    """Numbers by their bits, so that 0.0 and -0.0 differ."""
    values = np.ascontiguousarray(values)
    return values.view(f"u{values.dtype.itemsize}") if values.dtype.kind == "f" else values


def dataset_names(names: Iterable[str]) -> dict[str, str]:
    """A dataset for every column: ASCII, without repetition."""
    given: dict[str, str] = {}
    for name in names:
        wanted = DATASETS[name][0] if name in DATASETS else re.sub(r"[^A-Za-z0-9_]", "_", name)
        wanted = wanted or "column"
        number, free = 1, wanted
        while free in given.values() or free == "dynamics_params":
            number += 1
            free = f"{wanted}_{number}"
        given[name] = free
    return given


def described(table: Table, parts: Split) -> list[dict[str, Any]]:
    """What `joined` needs beside the datasets to make the table again, as JSON values."""
    names = dataset_names(parts.rows)
    columns: list[dict[str, Any]] = []
    for name, values in table.items():
        column: dict[str, Any] = {"name": name, "dtype": values.dtype.str}
        if name in parts.types:
            column["of_types"] = parts.types[name].tolist()
        else:
            column["dataset"] = names[name]
        columns.append(column)
    return columns


def joined(
    columns: list[dict[str, Any]],
    type_of: np.ndarray,
    rows: Mapping[str, np.ndarray],
    where: object,
) -> Table:
    """The table of `described`, from the types' positions and the datasets of the file `where`.

    Raises
    ------
    DataError : a type that there is not, values that are not of the type of their column
    """
    table = {}
    for column in columns:
        name, dtype = column["name"], np.dtype(column["dtype"])
        if "of_types" in column:
            listed = column["of_types"]
            if not all(type(value) in _JSON_TYPES[dtype.kind] for value in listed):
                raise DataError(
                    f"{where}: the description of the folder has values of {name!r} that are not "
                    f"of type {dtype}"
                )
            values = np.array(listed, dtype=dtype)
            if type_of.max(initial=-1) >= len(values):
                raise DataError(f"{where}: node type {type_of.max(initial=-1)} has no {name!r}")
            table[name] = values[type_of]
        else:
            values = rows[column["dataset"]]
            stored = np.dtype(np.int8) if dtype.kind == "b" else dtype
            if values.dtype.kind != stored.kind or (
                dtype.kind != "U" and values.dtype.itemsize != stored.itemsize
            ):
                raise DataError(
                    f"{where}: {column['dataset']}, the column {name!r}, has type "
                    f"{values.dtype}, {stored} is needed"
                )
            table[name] = values.astype(dtype)
        table[name].flags.writeable = False
    return Table(table)
