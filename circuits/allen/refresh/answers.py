"""What the database says of the cells that are asked for, each answer kept until it is old.

Answers lie in the user's cache, one file a cell, written whole: a run that was interrupted, or
whose network went away, goes on where it ended.
"""

from __future__ import annotations

import datetime
import functools
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from operator import methodcaller
from typing import Any

from circuits.allen.refresh import convert
from circuits.allen.refresh.convert import Specimen
from circuits.allen.refresh.database import Database, Unreachable
from toolkit import progress
from toolkit.cache import cache_folder
from toolkit.errors import InputError
from toolkit.files import write_text

MOUSE = "Mus musculus"
MAX_AGE_H = 24.0  # of an answer that is not asked for again


@dataclass(frozen=True)
class Answers:
    """What the database says.

    Attributes
    ----------
    url, allensdk : who was asked, by which version (that of the oldest answer)
    specimens : all cells of the database, by specimen id
    models : of each cell asked for, in order: the id of its GLIF3 model and its parameters in the
        units of the tables; None where it has no such model
    oldest, newest : when the answers were given, UTC
    n_cached : how many cells needed no asking
    """

    url: str
    allensdk: str
    specimens: Mapping[str, Specimen]
    models: Mapping[str, tuple[int, Mapping[str, float]] | None]
    oldest: str
    newest: str
    n_cached: int


class Cache:
    """Answers of one address on the disk, by name.

    Parameters
    ----------
    url : base address of the API
    max_age_h : older ones count as not there; None for any age
    """

    def __init__(self, url: str, max_age_h: float | None = MAX_AGE_H):
        self.folder = cache_folder() / "cell_types" / re.sub(r"[^A-Za-z0-9.-]+", "_", url)
        self.max_age_h = max_age_h

    def read(self, name: str, check: Callable[[Any], Any]) -> tuple[dict[str, Any], Any] | None:
        """The entry and what `check` makes of its answer; None if there is no good one."""
        try:
            entry = json.loads((self.folder / f"{name}.json").read_text(encoding="utf-8"))
            age = _now() - datetime.datetime.fromisoformat(entry["asked"])
            if self.max_age_h is not None and age > datetime.timedelta(hours=self.max_age_h):
                return None
            entry["allensdk"]
            return entry, check(entry["answer"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, name: str, answer: Any, allensdk: str) -> dict[str, Any]:
        """Keep an answer; returns the entry."""
        self.folder.mkdir(parents=True, exist_ok=True)
        asked = _now().isoformat(timespec="seconds")
        entry = {"asked": asked, "allensdk": allensdk, "answer": answer}
        write_text(self.folder / f"{name}.json", json.dumps(entry))
        return entry


def gather(
    url: str,
    connect: Callable[[], Database] | None,
    known: Iterable[str],
    cells: Sequence[str] = (),
    lines: Sequence[str] = (),
    skip: Sequence[str] = (),
    show_progress: bool | None = None,
) -> Answers:
    """Ask for the GLIF3 models of cells, and for what is known of all cells.

    Parameters
    ----------
    url : base address of the API
    connect : opens the database; called only if something is not in the cache. None: offline,
        cached answers of any age are all there is
    known : specimen ids of the tables, which are asked for if neither `cells` nor `lines` are given
    cells, lines, skip : specimen ids; driver lines, of which all cells in mouse V1 are asked for;
        specimen ids to leave out

    Raises
    ------
    InputError : unknown cell or line
    Unreachable : no answer, and not everything in the cache
    DataError : an answer that cannot be right
    """
    cache = Cache(url, None if connect is None else MAX_AGE_H)
    entries: list[dict[str, Any]] = []
    wanted: list[str] = []
    models: dict[str, tuple[int, Mapping[str, float]] | None] = {}
    n_cached = 0
    with ExitStack() as stack:
        database: Database | None = None

        def answer(name: str, ask: Callable[[Database], Any], check: Callable[[Any], Any]) -> Any:
            """From the cache, or asked; checked before it is kept."""
            nonlocal database, n_cached
            hit = cache.read(name, check)
            if hit is not None:
                n_cached += name.isdigit()
                entries.append(hit[0])
                return hit[1]
            if connect is None:
                raise InputError(_what_is_cached("offline: not everything", cache, wanted))
            if database is None:
                database = stack.enter_context(connect())
            try:
                given = ask(database)
            except Unreachable as error:
                reason = f"the Cell Types Database gives no answer ({error}), and not everything"
                raise Unreachable(_what_is_cached(reason, cache, wanted)) from None
            checked = check(given)
            entries.append(cache.write(name, given, database.allensdk))
            return checked

        features = answer("ephys_features", methodcaller("ephys_features"), _checked_features)
        specimens = answer(
            "cells", methodcaller("cells"), lambda got: convert.specimens(got, features)
        )
        wanted += _wanted(specimens, list(known), cells, lines, skip)
        with progress.bar(len(wanted), "Cell Types Database", " cells", show_progress) as shown:
            for cell in wanted:
                models[cell] = answer(
                    cell, methodcaller("glif3", cell), functools.partial(_model, cell)
                )
                shown.update()
    asked = sorted(entry["asked"] for entry in entries)
    oldest = min(entries, key=lambda entry: entry["asked"])
    return Answers(url, oldest["allensdk"], specimens, models, asked[0], asked[-1], n_cached)


def _checked_features(records: Any) -> Any:
    convert.specimens([], records)
    return records


def _model(cell: str, answer: Any) -> tuple[int, Mapping[str, float]] | None:
    if answer is None:
        return None
    return answer["model"], convert.glif3(answer["config"], cell)


def _wanted(
    specimens: Mapping[str, Specimen],
    known: Sequence[str],
    cells: Sequence[str],
    lines: Sequence[str],
    skip: Sequence[str],
) -> list[str]:
    """Ids to ask for: without repetition, those of the tables first and in their order."""
    of_line: dict[str, list[str]] = {}
    for specimen in specimens.values():
        if specimen.species == MOUSE and specimen.area == "VISp":
            of_line.setdefault(specimen.line, []).append(specimen.cell)
    for cell in cells:
        if cell not in known and cell not in specimens:
            raise InputError(
                f"unknown cell {cell!r}: it is neither in the tables nor among the "
                f"{len(specimens):,} cells of the Cell Types Database; a specimen id is needed"
            )
        if cell in specimens and specimens[cell].species != MOUSE:
            raise InputError(f"cell {cell} is of {specimens[cell].species}, not of {MOUSE}")
    for line in lines:
        if line not in of_line:
            raise InputError(_unknown_line(line, sorted(filter(None, of_line))))
    chosen = {*cells, *(cell for line in lines for cell in of_line[line])}
    if not cells and not lines:
        chosen = set(known)
    for cell in skip:
        if cell not in chosen:
            raise InputError(f"cell {cell!r} is to be skipped, but would not be asked for")
    ordered = [*known, *sorted(chosen - set(known), key=int)]
    wanted = [cell for cell in ordered if cell in chosen and cell not in skip]
    if not wanted:
        raise InputError("no cell is left to ask for: all are to be skipped")
    return wanted


def _unknown_line(line: str, lines: list[str]) -> str:
    """What is accepted, with the lines that begin alike as likely meant."""
    stem = re.split("[-_;]", line.lower())[0]
    near = [name for name in lines if name.lower().startswith(stem[:4])]
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    return f"unknown cre line {line!r}; accepted: {', '.join(lines)}.{hint}"


def _what_is_cached(reason: str, cache: Cache, wanted: Sequence[str]) -> str:
    there = {file.stem for file in cache.folder.glob("*.json")}
    if not wanted:
        have = f"answers for {sum(name.isdigit() for name in there)} cells"
        have += "" if {"cells", "ephys_features"} <= there else ", but not the list of cells"
    else:
        have = f"{len(there & set(wanted))} of the {len(wanted)} cells"
    return (
        f"{reason} is in the cache. {cache.folder} has {have}. The next run goes on from there; "
        "--offline takes answers of any age"
    )


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
