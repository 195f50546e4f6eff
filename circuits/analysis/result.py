"""`Result` of an analysis: tables, sentences and a figure, written as one folder or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from toolkit import plots
from toolkit.errors import DataError, InputError
from toolkit.files import whole_folder
from toolkit.table import Table

RECORD = "result.json"


@dataclass(frozen=True)
class Options:
    """What all analyses are told.

    Attributes
    ----------
    items : test items of each task; what needs more takes a stated multiple, up to all there are
    seed : of noise, bootstraps and permutations
    runs : folders of other trainings, for analyses that compare them

    Raises
    ------
    InputError : items below 1
    """

    items: int = 500
    seed: int = 0
    runs: tuple[Path, ...] = ()

    def __post_init__(self) -> None:
        if self.items < 1:
            raise InputError(f"items must be 1 or more, got {self.items}")


class NotApplicable(InputError):
    """An analysis that this network, or what is known of it, gives no ground for."""


@dataclass(frozen=True)
class Result:
    """What an analysis found.

    Attributes
    ----------
    title : heading, in a few words
    tables : by the name of their CSV file, without its ending; units are in the columns' names
    findings : plain sentences with numbers and intervals
    draw : makes the figure; called within `toolkit.plots.style`
    caption : what the figure shows
    """

    title: str
    tables: Mapping[str, Table]
    findings: tuple[str, ...]
    draw: Callable[[], Figure]
    caption: str = ""


def write(
    result: Result, folder: str | Path, about: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Write the tables, the figure and the sentences of a result into a folder of its own.

    ``<table>.csv``, ``figure.png``, ``findings.txt`` and ``result.json``. The folder appears whole
    or not at all; an earlier result there is replaced.

    Parameters
    ----------
    result : of an analysis
    folder : of this analysis alone; the one above it must exist
    about : plain JSON values for the record (what was analysed, how long it took)

    Returns
    -------
    what `read_record` gives for that folder

    Raises
    ------
    InputError : the folder holds something else

    >>> import tempfile
    >>> table = Table({"cell_class": ["e4"], "rate_Hz": [3.0]})
    >>> result = Result("Rates", {"rates": table}, ("3 Hz.",), lambda: plots.new_figure(2, 1))
    >>> folder = Path(tempfile.mkdtemp()) / "rates"
    >>> write(result, folder)["findings"]
    ['3 Hz.']
    >>> sorted(file.name for file in folder.iterdir())
    ['figure.png', 'findings.txt', 'rates.csv', 'result.json']
    """
    with plots.style():
        image = plots.png(result.draw())
    record = {
        "title": result.title,
        "findings": list(result.findings),
        "caption": result.caption,
        "tables": [f"{name}.csv" for name in result.tables],
        "about": dict(about or {}),
    }
    text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False)
    with whole_folder(folder, _check_replaceable) as place:
        for name, table in result.tables.items():
            frame = table.to_pandas()
            frame.to_csv(place / f"{name}.csv", index=False, float_format="%.6g")
        (place / "figure.png").write_bytes(image)
        lines = [result.title, "", *result.findings]
        (place / "findings.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (place / RECORD).write_text(text + "\n", encoding="utf-8")
    return record


def read_record(folder: str | Path) -> dict[str, Any] | None:
    """The record of a result in a folder: title, findings, caption, tables, about.

    None if the folder does not exist or is empty.

    Raises
    ------
    DataError : it holds something else, or a record that cannot be read
    """
    folder = Path(folder)
    if not folder.is_dir() or not any(folder.iterdir()):
        return None
    try:
        record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
        known = {"title", "findings", "caption", "tables", "about"} <= set(record)
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{folder} holds no result of an analysis: {error}") from error
    if not known or not all((folder / name).is_file() for name in record["tables"]):
        raise DataError(f"{folder} holds no whole result of an analysis; remove it")
    return dict(record)


def _check_replaceable(folder: Path) -> None:
    if not (folder / RECORD).is_file():
        raise InputError(f"{folder} holds something other than an analysis; use another folder")
