"""The files of a refresh as text, each with a heading that says where its numbers come from."""

from __future__ import annotations

import csv
import io
import math
import textwrap
from collections.abc import Sequence

from circuits.allen.refresh.answers import Answers
from circuits.allen.refresh.compare import is_same, rounded
from circuits.allen.refresh.convert import FEATURES
from circuits.allen.schema import GLIF3
from circuits.allen.tables import DATA
from toolkit.table import Table

WIDTH = 118  # of headings


def cells_text(answers: Answers) -> str:
    """``cells.csv``: the bundled lines, with the answers' parameters where there are any."""
    lines = (DATA / "cells.csv").read_text(encoding="utf-8").splitlines()
    lines = [line for line in lines if not line.startswith("#")]
    header, rows = lines[0].split(","), [line.split(",") for line in lines[1:]]
    fresh = 0
    for row in rows:
        model = answers.models.get(row[header.index("cell")])
        if model is None:
            continue
        fresh += 1
        for p in GLIF3:
            at, new = header.index(p.name), rounded(model[1][p.name])
            if not (row[at] and is_same(float(row[at]), new)):
                row[at] = _number(new)
    what = (
        f"The {len(rows)} GLIF3 cell models: how many neurons of the full column use each, its "
        "parameters, and the LGN weight. cell is the specimen id of the Allen Cell Types Database; "
        "blank: no parameters there. lgn_weight_pA: peak of the alpha-shaped current of one "
        f"synapse. The parameters of {fresh} cells are as the database had them on "
        f"{_dates(answers)}, the others are those that come with Striate; changes.csv says what "
        "differs."
    )
    source = (
        f"{_source(answers)}; choice of models, counts and weights: Billeh et al. 2020, Neuron "
        "106:388-403."
    )
    return _csv((what, source, "unit: pF, nS, mV, ms, 1/ms, pA."), header, rows)


def changes_text(answers: Answers, changes: Table) -> str:
    """``changes.csv``: the table of `circuits.allen.refresh.compare.compare`."""
    what = (
        "What differs from the tables that come with Striate. changed: another value. filled in: "
        "there was none. gone: the database does not list the cell; no model: it has no GLIF3 "
        "model of it; the old values stay. missing: no parameters, as before. "
        "relative_difference: (new - old) / abs(old)."
    )
    heading = (what, f"{_source(answers)}.", "unit: of old and new, in each row.")
    return _csv(heading, list(changes), _rows(changes))


def found_text(answers: Answers, cells: Table) -> str:
    """``cells_found.csv``: the table of `circuits.allen.refresh.compare.found`."""
    meanings = "; ".join(f"{c.name}: {c.meaning}" for c in FEATURES.values())
    what = (
        "The cells that were asked for, as the database has them: where they lie, their GLIF3 "
        "model and features. population: that of the tables, or the one that cells of this line "
        "and layer with a positive reporter are used for there (derived), or blank. Blank "
        f"numbers: not in the database. {meanings}."
    )
    unit = "unit: pF, nS, mV, ms, 1/ms, pA; those of the features are in their names."
    return _csv((what, f"{_source(answers)}.", unit), list(cells), _rows(cells))


def _source(answers: Answers) -> str:
    return (
        "source: Allen Cell Types Database, (c) Allen Institute for Brain Science, Teeter et al. "
        f"2018, Nat Commun 9:709; asked at {answers.url} by allensdk {answers.allensdk}, "
        f"{_dates(answers)}"
    )


def _dates(answers: Answers) -> str:
    first, last = answers.oldest[:10], answers.newest[:10]
    return first if first == last else f"{first} to {last}"


def _rows(table: Table) -> list[list[str]]:
    columns = [
        [_number(v) for v in column.tolist()] if column.dtype.kind == "f" else column.tolist()
        for column in table.values()
    ]
    return [list(row) for row in zip(*columns, strict=True)]


def _number(value: float) -> str:
    """As in the bundled tables: no trailing zeros; blank for NaN.

    >>> _number(3.5), _number(0.003), _number(-1417.51079572), _number(3.0), _number(math.nan)
    ('3.5', '0.003', '-1417.51079572', '3', '')
    """
    if math.isnan(value):
        return ""
    return str(int(value)) if value == int(value) else repr(value)


def _csv(heading: Sequence[str], header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    for paragraph in heading:
        text.writelines(f"# {line}\n" for line in textwrap.wrap(paragraph, WIDTH))
    writer = csv.writer(text, lineterminator="\n")
    writer.writerows([header, *rows])
    return text.getvalue()
