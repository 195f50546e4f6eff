"""`refresh_tables`: a folder of tables with the parameters that the database has now."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from circuits.allen.refresh import write
from circuits.allen.refresh.answers import Answers, gather
from circuits.allen.refresh.compare import compare, describe, found
from circuits.allen.refresh.database import ATTEMPTS, BACKOFF_S, TIMEOUT_S, URL, Database
from circuits.allen.refresh.environment import find_interpreter
from circuits.allen.schema import CELLS, FILES
from circuits.allen.tables import DATA, load
from toolkit.errors import InputError
from toolkit.files import write_text
from toolkit.runs import run_folder
from toolkit.table import Table


@dataclass(frozen=True)
class Refreshed:
    """What came of a refresh.

    Attributes
    ----------
    folder : of the tables
    answers : of the database
    changes, found : tables of `circuits.allen.refresh.compare`; also in the folder, as
        ``changes.csv`` and ``cells_found.csv``
    """

    folder: Path
    answers: Answers
    changes: Table
    found: Table

    def text(self) -> str:
        """What changed, in words."""
        return describe(self.changes, self.found)


def refresh_tables(
    out: str | Path,
    *,
    cells: Sequence[str | int] = (),
    lines: Sequence[str] = (),
    skip: Sequence[str | int] = (),
    url: str = URL,
    python: str | Path | None = None,
    offline: bool = False,
    timeout_s: float = TIMEOUT_S,
    attempts: int = ATTEMPTS,
    backoff_s: float = BACKOFF_S,
    force: bool = False,
    show_progress: bool | None = None,
) -> Refreshed:
    """Ask the Cell Types Database for GLIF3 models and write tables with what it has now.

    The folder gets all tables of `circuits.allen.load`: the bundled ones, with the parameters of
    the cells that were asked for in ``cells.csv``; counts and weights stay. Cells that the tables
    do not use are listed in ``cells_found.csv`` with the population that their line and layer
    stand for. The folder appears whole or not at all.

    Parameters
    ----------
    out : folder to make; ``circuits.allen.load(out)`` reads it
    cells : specimen ids; all of the bundled tables if neither `cells` nor `lines` are given
    lines : cre lines, such as ``"Scnn1a-Tg3-Cre"``, of which all cells in mouse V1 are asked for
    skip : specimen ids to leave out
    url : base address of the API
    python : interpreter that has allensdk (`circuits.allen.refresh.environment`)
    offline : take answers of earlier runs, however old
    timeout_s, attempts, backoff_s : of one answer; how often to ask for it; first pause between
    force : whether an earlier refresh at `out` is replaced

    Raises
    ------
    InputError : unknown cell or line; `out` holds something; offline and not everything is cached
    MissingDependency : no interpreter has allensdk
    Unreachable : the database gives no answer
    DataError : an answer is broken, or a parameter is missing, not finite or out of its range

    Takes about a second a cell; answers are kept for a day.
    """
    wanted = {"cells": [_cell_id(c) for c in cells], "skip": [_cell_id(c) for c in skip]}
    if not (timeout_s > 0 and attempts >= 1 and backoff_s >= 0):
        raise InputError(
            "timeout_s must be above 0, attempts 1 or more and backoff_s 0 or more; got "
            f"{timeout_s}, {attempts} and {backoff_s}"
        )
    if not url.startswith(("http://", "https://")):
        raise InputError(f"the address of the API starts with http:// or https://, got {url!r}")
    url = url.rstrip("/")
    connect: Callable[[], Database] | None = None
    parameters = {"url": url, **wanted, "lines": list(lines), "offline": offline}
    if not offline:
        interpreter, version = find_interpreter(python)
        parameters["allensdk"] = version

        def connect() -> Database:
            return Database(
                interpreter, url, timeout_s=timeout_s, attempts=attempts, backoff_s=backoff_s
            )

    bundled = load()
    with run_folder(
        out, _command(out, url, wanted, lines), parameters, seeds={}, force=force
    ) as folder:
        answers = gather(
            url,
            connect,
            bundled.cells["cell"].tolist(),
            lines=lines,
            show_progress=show_progress,
            **wanted,
        )
        changes, cells_found = compare(answers, bundled), found(answers, bundled)
        for file in FILES:
            if file is not CELLS:
                shutil.copyfile(DATA / f"{file.name}.csv", folder / f"{file.name}.csv")
        write_text(folder / "cells.csv", write.cells_text(answers))
        write_text(folder / "changes.csv", write.changes_text(answers, changes))
        write_text(folder / "cells_found.csv", write.found_text(answers, cells_found))
        load(folder)  # nothing is left behind that cannot be read
    return Refreshed(Path(out), answers, changes, cells_found)


def _cell_id(cell: str | int) -> str:
    text = str(cell).strip()
    if not (text.isascii() and text.isdigit()):
        raise InputError(f"a cell is named by its specimen id, a whole number; got {cell!r}")
    return str(int(text))


def _command(
    out: str | Path, url: str, wanted: Mapping[str, Sequence[str]], lines: Sequence[str]
) -> str:
    """What a user would type."""
    given = {
        "cells": ",".join(wanted["cells"]),
        "lines": ",".join(lines),
        "skip": ",".join(wanted["skip"]),
        "url": "" if url == URL else url,
        "out": str(out),
    }
    options = (f"--{name} {shlex.quote(value)}" for name, value in given.items() if value)
    return " ".join(("striate data refresh", *options))
