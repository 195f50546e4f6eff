"""What is new in answers of the database, against the bundled tables."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from circuits.allen.refresh.answers import Answers
from circuits.allen.refresh.convert import FEATURES, Specimen, features, population
from circuits.allen.schema import GLIF3
from circuits.allen.tables import AllenTables
from toolkit.table import Table

DECIMALS = 8  # to which the bundled tables are rounded: what differs by less is the same
MAX_SHOWN = 30


def rounded(value: float) -> float:
    """A parameter as the tables give it: 8 decimals, and 9 digits where that would be fewer.

    >>> rounded(37.110787331), rounded(1.23456789012e-5)
    (37.11078733, 1.23456789e-05)
    """
    return round(value, DECIMALS) if abs(value) >= 0.1 else float(f"{value:.9g}")


def compare(answers: Answers, tables: AllenTables) -> Table:
    """What is different, a row a cell and parameter.

    Returns
    -------
    Table with ``cell``, ``population``, ``kind``, ``parameter``, ``unit``, ``old``, ``new`` and
    ``relative_difference``, (new - old) / abs(old). Kinds: ``"changed"``; ``"filled in"``, the
    tables had no parameters; ``"gone"``, the database does not list the cell, and ``"no model"``,
    it lists the cell without a GLIF3 model: what the tables have stays, and parameter is "";
        ``"missing"``, neither tables nor database have parameters.
    """
    rows: list[tuple[str, str, str, str, str, float, float]] = []
    cells = tables.cells
    for row, cell in enumerate(cells["cell"].tolist()):
        if cell not in answers.models:
            continue
        where = (cell, str(cells["population"][row]))
        model = answers.models[cell]
        if model is None:
            kind = "no model" if cell in answers.specimens else "gone"
            if np.isnan(cells[GLIF3[0].name][row]):
                kind = "missing"
            rows.append((*where, kind, "", "", np.nan, np.nan))
            continue
        for p in GLIF3:
            old, new = float(cells[p.name][row]), rounded(model[1][p.name])
            if np.isnan(old):
                rows.append((*where, "filled in", p.name, p.unit, old, new))
            elif not is_same(old, new):
                rows.append((*where, "changed", p.name, p.unit, old, new))
    names = ("cell", "population", "kind", "parameter", "unit", "old", "new")
    kinds = (str, str, str, str, str, float, float)
    table = Table({name: np.array([r[i] for r in rows], kinds[i]) for i, name in enumerate(names)})
    size = np.where(table["old"] == 0, np.nan, np.abs(table["old"]))
    return table.replace(relative_difference=(table["new"] - table["old"]) / size)


def is_same(old: float, new: float) -> bool:
    """Whether two parameters agree to what the tables' rounding leaves.

    >>> is_same(37.11078733, 37.11078734), is_same(37.11078733, 37.11078735)
    (True, False)
    """
    return abs(new - old) <= 1.5 * 10.0**-DECIMALS


def found(answers: Answers, tables: AllenTables) -> Table:
    """The cells that were asked for as the database has them, with their ephys features.

    Returns
    -------
    Table with ``cell``, ``in_tables`` ("yes" or "no"), ``population`` (that of the tables, or the
    one that line and layer stand for, or ""), ``cre_line``, ``area``, ``layer``, ``reporter``,
    ``glif3_model`` (its id, or ""), the parameters of `GLIF3` and the features; NaN for none.
    """
    of_tables = dict(
        zip(tables.cells["cell"].tolist(), tables.cells["population"].tolist(), strict=True)
    )
    rows = [
        _found(cell, model, answers.specimens.get(cell), of_tables)
        for cell, model in answers.models.items()
    ]
    return Table({name: [row[name] for row in rows] for name in rows[0]} if rows else {})


def _found(
    cell: str,
    model: tuple[int, Mapping[str, float]] | None,
    specimen: Specimen | None,
    of_tables: Mapping[str, str],
) -> dict[str, str | float]:
    parameters = {} if model is None else model[1]
    measured = {} if specimen is None else features(specimen)
    stands_for = "" if specimen is None else population(specimen)
    return {
        "cell": cell,
        "in_tables": "yes" if cell in of_tables else "no",
        "population": of_tables.get(cell, stands_for),
        "cre_line": "" if specimen is None else specimen.line,
        "area": "" if specimen is None else specimen.area,
        "layer": "" if specimen is None else specimen.layer,
        "reporter": "" if specimen is None else specimen.reporter,
        "glif3_model": "" if model is None else str(model[0]),
        **{p.name: rounded(parameters[p.name]) if model else np.nan for p in GLIF3},
        **{column.name: measured.get(column.name, np.nan) for column in FEATURES.values()},
    }


def describe(changes: Table, cells: Table) -> str:
    """`compare` and `found` in words and a few lines of numbers."""
    lines = [_headline(changes, cells)]
    numbers = changes.take(changes["kind"] == "changed")
    order = np.argsort(-np.nan_to_num(np.abs(numbers["relative_difference"]), nan=np.inf))
    if len(order):
        lines.append(
            f"  {'cell':11}{'population':12}{'parameter':20}{'old':>12}{'new':>12}  change"
        )
    for row in order[:MAX_SHOWN]:
        values = {name: column[row] for name, column in numbers.items()}
        lines.append(
            f"  {values['cell']:11}{values['population']:12}{values['parameter']:20}"
            f"{values['old']:12.6g}{values['new']:12.6g}  {values['relative_difference']:+.2%}"
        )
    if len(order) > MAX_SHOWN:
        lines.append(f"  and {len(order) - MAX_SHOWN} more (changes.csv), none of them larger")
    for kind, words in (
        ("filled in", "filled in, without parameters before"),
        ("gone", "not in the database (the tables' values stay)"),
        ("no model", "without a GLIF3 model in the database (the tables' values stay)"),
        ("missing", "without parameters, as before"),
    ):
        mine = changes.where(kind=kind)
        names = dict(zip(mine["cell"].tolist(), mine["population"].tolist(), strict=True))
        if names:
            text = ", ".join(f"{cell} ({population})" for cell, population in names.items())
            lines.append(f"{words}: {text}")
    return "\n".join(lines)


def _headline(changes: Table, cells: Table) -> str:
    changed = changes.where(kind="changed")
    in_tables = int(np.sum(cells["in_tables"] == "yes"))
    text = f"{in_tables} cells of the tables: "
    if len(changed.rows):
        n = len(set(changed["cell"].tolist()))
        text += f"{n} changed in {len(changed.rows)} parameters"
    else:
        text += "no parameter changed"
    new = len(cells.rows) - in_tables
    return text + (f"; {new} cells beside them (cells_found.csv)" if new else "")
