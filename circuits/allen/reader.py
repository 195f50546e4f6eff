"""Read one CSV file against its schema, naming file, line and column of whatever is wrong."""

from __future__ import annotations

import csv
import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from circuits.allen.schema import Column, File
from toolkit.errors import DataError, unknown
from toolkit.table import Table

MAX_LISTED = 25


class _Row:
    """The cells of one line, and where it stands."""

    def __init__(self, file: str, line: int, cells: Mapping[str, str]):
        self.file, self.line, self.cells = file, line, cells

    def error(self, column: str, problem: str) -> DataError:
        return DataError(f"{self.file}, line {self.line}, column {column!r}: {problem}")


def read(folder: Path, file: File, known: Mapping[str, Sequence[str]]) -> tuple[Table, np.ndarray]:
    """The table of ``folder / (file.name + ".csv")`` and the line number of each of its rows.

    Rows come in the order of the names they cover, if these are the key, else in that of the file.
    Lines that are empty or start with ``#`` are comments; line numbers count them too.

    Parameters
    ----------
    folder : holds the file
    file : what it must hold
    known : the names that a column with `Column.key_of` may take, by file

    Raises
    ------
    DataError : the file is missing or is not text, a column is missing, repeated or unknown, or a
        cell, row or combination of names is wrong, missing or repeated
    """
    name = f"{file.name}.csv"
    header, rows = _rows(folder / name, name)
    _check_header(name, header, file)
    names = {
        column.name: column.accepted or tuple(known.get(column.key_of, ()))
        for column in file.columns
    }
    columns = {
        column.name: [_value(row, column, names[column.name]) for row in rows]
        for column in file.columns
    }
    _check_keys(rows, file)
    _check_within_rows(rows, columns, file)
    _check_cover(name, columns, file, names)
    kinds = {column.name: column.kind for column in file.columns}
    table = Table({key: np.array(values, dtype=kinds[key]) for key, values in columns.items()})
    lines = np.array([row.line for row in rows], dtype=int)
    if file.covers == file.key:
        ranks = [_rank(columns[key], names[key]) for key in reversed(file.key)]
        order = np.lexsort(ranks)
        return table.take(order), lines[order]
    return table, lines


def _rows(path: Path, name: str) -> tuple[list[str], list[_Row]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError(f"{name} is missing in {path.parent}; the tables come as one set") from None
    except UnicodeDecodeError as problem:
        raise DataError(f"{name} is not UTF-8 text: byte {problem.start}") from None
    except OSError as problem:
        raise DataError(f"{name} in {path.parent} cannot be read: {problem.strerror}") from None
    header: list[str] = []
    rows: list[_Row] = []
    for number, line in enumerate(text.split("\n"), start=1):
        # a spreadsheet saves a comment that has a comma in quotes, and pads lines with commas
        if not line.strip(", ") or line.startswith(("#", '"#')):
            continue
        cells = [cell.strip() for cell in next(csv.reader([line]))]
        if not header:
            header = cells
        elif len(cells) != len(header):
            last = header[min(len(cells), len(header)) - 1]
            raise DataError(
                f"{name}, line {number}, column {last!r}: the row has {len(cells)} cells; "
                f"the header names {len(header)} columns"
            )
        else:
            rows.append(_Row(name, number, dict(zip(header, cells, strict=True))))
    if not header:
        raise DataError(f"{name} is empty; its first line after the comments names the columns")
    return header, rows


def _check_header(name: str, header: list[str], file: File) -> None:
    wanted = [column.name for column in file.columns]
    for column in wanted:
        if column not in header:
            raise DataError(
                f"{name}: column {column!r} is missing; the header has {', '.join(header)}"
            )
    for column in header:
        if column not in wanted:
            raise DataError(f"{name}: {unknown('column', column, wanted)}")
        if header.count(column) > 1:
            raise DataError(f"{name}: column {column!r} appears {header.count(column)} times")


def _value(row: _Row, column: Column, names: Sequence[str]) -> float | int | str | bool:
    """The value of a cell, or a `DataError` that says what is accepted."""
    text = row.cells[column.name]
    if not text:
        if not column.blank:
            raise row.error(column.name, f"the cell is empty; it needs {column.describe()}")
        return "" if column.kind is str else math.nan
    if names or column.key_of:
        if text not in names:
            raise row.error(column.name, _unknown_name(text, column, names))
        return int(text) if column.kind is int else text
    if column.kind is str:
        return text
    if column.kind is bool:
        if text not in ("yes", "no"):
            raise row.error(column.name, f"got {text!r}; it needs {column.describe()}")
        return text == "yes"
    try:
        # Python also reads "1_000", which no spreadsheet would mean as a number
        value = math.nan if "_" in text else column.kind(text)
    except ValueError:
        value = math.nan
    if not column.low <= value <= column.high:
        raise row.error(column.name, f"got {text!r}; it needs {column.describe()}")
    return value


def _unknown_name(text: str, column: Column, names: Sequence[str]) -> str:
    if len(names) <= MAX_LISTED:
        return str(unknown(column.meaning, text, names))
    return f"unknown {column.meaning} {text!r}; accepted: the {len(names)} of {column.key_of}.csv"


def _check_keys(rows: list[_Row], file: File) -> None:
    seen: dict[tuple[str, ...], int] = {}
    for row in rows:
        key = tuple(row.cells[name] for name in file.key)
        if key in seen:
            raise row.error(", ".join(file.key), f"{', '.join(key)} is already in line {seen[key]}")
        seen[key] = row.line


def _check_within_rows(rows: list[_Row], columns: Mapping[str, list], file: File) -> None:
    for group in file.together:
        for row in rows:
            blank = [name for name in group if not row.cells[name]]
            if blank and len(blank) < len(group):
                raise row.error(
                    blank[0],
                    f"the cell is empty; {group[0]} to {group[-1]} are all given or all empty",
                )
    for group in file.ascending:
        for left, right in itertools.pairwise(group):
            for row, a, b in zip(rows, columns[left], columns[right], strict=True):
                if a > b:
                    raise row.error(right, f"got {b:g}, which is below {left!r} ({a:g})")


def _check_cover(
    name: str, columns: Mapping[str, list], file: File, names: Mapping[str, Sequence[str]]
) -> None:
    if not file.covers:
        return
    there = set(zip(*(columns[key] for key in file.covers), strict=True))
    wanted = itertools.product(*(names[key] for key in file.covers))
    missing = [combination for combination in wanted if combination not in there]
    if missing:
        first = ", ".join(
            f"{key} {value!r}" for key, value in zip(file.covers, missing[0], strict=True)
        )
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise DataError(
            f"{name}, column {', '.join(map(repr, file.covers))}: no row with {first}{more}"
        )


def _rank(values: list, names: Sequence[str]) -> np.ndarray:
    position = {name: i for i, name in enumerate(names)}
    return np.array([position[value] for value in values], dtype=int)
