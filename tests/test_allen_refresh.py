"""Refreshing the tables: comparison, cache and refusals, with answers in the database's form but
without allensdk; tests/test_allen_refresh_live.py asks through it."""

from __future__ import annotations

import ast
import csv
import datetime
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import allen_server
import numpy as np
import pytest
from typer.testing import CliRunner

from circuits import allen, v1
from circuits.allen.refresh import Unreachable, answers, refresh_tables, tables
from circuits.allen.schema import FILES, GLIF3
from circuits.allen.tables import DATA
from circuits.cli import app
from circuits.v1.background import has_lgn, weights
from toolkit import Network
from toolkit.errors import DataError, InputError

CELL = "475585413"  # i1Htr3a, the first of the tables
FILLED, WITHOUT = "324025371", "476451456"  # of the tables' cells without parameters


class Direct:
    """A database in this process, in place of `circuits.allen.refresh.database.Database`."""

    allensdk = "2.16.2"

    def __init__(self) -> None:
        self.known = allen_server.database()
        self.asked: list[str] = []
        self.before: Callable[[str], None] = lambda what: None

    def __enter__(self) -> Direct:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def cells(self) -> list[dict[str, Any]]:
        return self._answer("cells", [cell.detail for cell in self.known.values()])

    def ephys_features(self) -> list[dict[str, Any]]:
        rows = [cell.ephys_feature for cell in self.known.values() if cell.features]
        return self._answer("ephys_features", rows)

    def glif3(self, cell: str) -> dict[str, Any] | None:
        found = self.known.get(int(cell))
        config = found and found.config
        return self._answer(cell, config and {"model": int(cell) + 2, "config": config})

    def _answer(self, what: str, value: Any) -> Any:
        self.before(what)
        self.asked.append(what)
        return value


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Direct:
    direct = Direct()
    monkeypatch.setattr(tables, "Database", lambda *_, **__: direct)
    monkeypatch.setattr(tables, "find_interpreter", lambda python: (Path("python"), "2.16.2"))
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    return direct


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "tables"


def data_rows(file: Path) -> list[list[str]]:
    lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
    return list(csv.reader(lines))


# ---- the folder ------------------------------------------------------------------------------


def test_nothing_changes_where_the_database_has_not(database: Direct, out: Path) -> None:
    for extra in (FILLED, WITHOUT):
        del database.known[int(extra)]
    refreshed = refresh_tables(out, url="http://here")
    for file in FILES:
        if file.name == "cells":
            assert data_rows(out / "cells.csv") == data_rows(DATA / "cells.csv")
        else:
            name = f"{file.name}.csv"
            assert (out / name).read_bytes() == (DATA / name).read_bytes()
    assert set(refreshed.changes["kind"]) == {"missing"} and len(refreshed.changes.rows) == 7
    assert "111 cells of the tables: no parameter changed\nwithout parameters, as before: 476" in (
        refreshed.text()
    )
    assert (
        v1.column(200, seed=3, tables=allen.load(out)).digest() == v1.column(200, seed=3).digest()
    )


def test_what_changed_is_written_and_said(database: Direct, out: Path) -> None:
    known = database.known
    known[int(CELL)].config["C"] *= 1.1  # type: ignore[index]
    known[487661754].config["coeffs"]["th_inf"] *= 0.99  # type: ignore[index]
    known[327962063].config = None
    del known[478107198]
    refreshed = refresh_tables(out, url="http://here")
    old, new = allen.load().cells, allen.load(out).cells
    differs = {p.name: np.flatnonzero(old[p.name] != new[p.name]) for p in GLIF3}
    filled = old["cell"].tolist().index(FILLED)
    missing = np.flatnonzero(np.isnan(new["g_nS"]))
    for name, rows in differs.items():
        expected = {"C_m_pF": {0}, "V_th_mV": {2}}.get(name, set()) | {filled, *missing}
        assert set(rows) == expected, name
    assert new["C_m_pF"][0] == pytest.approx(1.1 * old["C_m_pF"][0], abs=1e-8)
    assert len(missing) == 6

    text = refreshed.text()
    for part in (
        "111 cells of the tables: 2 changed in 2 parameters",
        "filled in, without parameters before: 324025371 (e4Rorb)",
        "not in the database (the tables' values stay): 478107198 (i1Htr3a)",
        "without a GLIF3 model in the database (the tables' values stay): 327962063 (i23Htr3a)",
        "without parameters, as before: 476451456 (e4Nr5a1), ",
    ):
        assert part in text
    lines = [line.split() for line in text.splitlines()]
    assert [CELL, "i1Htr3a", "C_m_pF", "37.1108", "40.8219", "+10.00%"] in lines
    header, *written = data_rows(out / "changes.csv")
    first = dict(zip(header, written[0], strict=True))
    assert (first["cell"], first["kind"], first["parameter"]) == (CELL, "changed", "C_m_pF")
    assert float(first["relative_difference"]) == pytest.approx(0.1)
    assert [row[2] for row in written].count("filled in") == len(GLIF3)


def test_the_largest_changes_are_shown_first_and_the_rest_counted(
    database: Direct, out: Path
) -> None:
    for i, cell in enumerate(list(database.known.values())[:40]):
        assert cell.config
        cell.config["C"] *= 1 + 0.01 * (i + 1)
    text = refresh_tables(out, url="http://here").text()
    shown = [line.split()[-1] for line in text.splitlines() if "C_m_pF" in line]
    assert len(shown) == 30 and shown[0] == "+40.00%" and shown[-1] == "+11.00%"
    assert "and 10 more (changes.csv)" in text


def test_the_files_say_where_they_come_from(database: Direct, out: Path) -> None:
    refresh_tables(out, url="http://here/", cells=[CELL])
    today = datetime.datetime.now(datetime.UTC).date().isoformat()
    for name in ("cells", "changes", "cells_found"):
        heading = "".join(x[2:] for x in (out / f"{name}.csv").open() if x.startswith("#"))
        text = " ".join(heading.split())
        assert f"asked at http://here by allensdk 2.16.2, {today}" in text
        assert "\nsource: " in heading and "\nunit: " in heading
    assert f"parameters of 1 cells are as the database had them on {today}" in " ".join(
        (out / "cells.csv").read_text().replace("\n# ", " ").split()
    )
    manifest = json.loads((out / "manifest.json").read_text())
    assert (
        manifest["command"] == f"striate data refresh --cells {CELL} --url http://here --out {out}"
    )


def test_a_column_is_built_from_the_refreshed_tables(database: Direct, out: Path) -> None:
    for key in ("C", "th_inf"):
        database.known[487661754].config[key] *= 1.5  # type: ignore[index]
    refresh_tables(out, url="http://here")
    refreshed, bundled = allen.load(out), v1.column(3000, seed=1)
    column = v1.column(3000, seed=1, tables=refreshed)
    e23, old = (network.neurons["cell"] == "487661754" for network in (column, bundled))
    C_m_pF = bundled.neurons["C_m_pF"][old][0]
    assert column.neurons["C_m_pF"][e23] == pytest.approx(1.5 * C_m_pF)
    assert FILLED in column.neurons["cell"] and FILLED not in bundled.neurons["cell"]
    name = "neurons_resampled_for_missing_parameters"
    assert column.provenance[name] < bundled.provenance[name]
    background, before = (n.inputs["background"].synapses.weight for n in (column, bundled))
    assert background[e23] == pytest.approx(1.5 * before[old]), "follows rheobase"
    cells = refreshed.cells
    rheobase = cells["g_nS"] * (cells["V_th_mV"] - cells["E_L_mV"])
    of_class = (cells["cell_class"] == "e4") & ~np.isnan(allen.load().cells["g_nS"])
    ratio = rheobase[cells["cell"] == FILLED] / np.median(rheobase[of_class])
    filled = np.flatnonzero(column.neurons["cell"] == FILLED)
    driven = has_lgn(column.n, column.inputs["lgn"])[filled]
    shipped = np.array([weights("3k")[FILLED, int(lgn)] for lgn in driven])
    assert background[filled] == pytest.approx(float(ratio[0]) * shipped, rel=1e-4)


def test_the_command_builds_from_a_folder_of_tables(database: Direct, out: Path) -> None:
    database.known[487661754].config["C"] *= 1.5  # type: ignore[index]
    refresh_tables(out, url="http://here", cells=["487661754"])
    file = out.parent / "column.h5"
    words = ["build", "300", "--seed", "2", "--tables", str(out), "--out", str(file)]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    built = Network.load(file)
    assert built.digest() == v1.column(300, seed=2, tables=allen.load(out)).digest()
    assert built.digest() != v1.column(300, seed=2).digest()
    assert built.provenance["tables"] == str(out)
    missing = CliRunner().invoke(app, [*words, "--force", "--tables", str(out / "none")])
    assert missing.exit_code == 2 and "classes.csv is missing" in missing.stderr


def test_cells_of_a_line_are_found(database: Direct, out: Path) -> None:
    refreshed = refresh_tables(out, url="http://here", lines=["Scnn1a-Tg3-Cre"])
    found = refreshed.found
    assert found["cell"][-2:].tolist() == ["900000001", "900000002"], "V1, not VISl"
    of_tables = allen.load().cells.where(population="e4Scnn1a")["cell"].tolist()
    assert found["cell"][:-2].tolist() == of_tables
    assert set(found["population"]) == {"e4Scnn1a"}
    new, without = found.take(np.array([len(of_tables), len(of_tables) + 1])).to_pandas().T.items()
    assert new[1]["in_tables"] == "no" and new[1]["glif3_model"] == "900000003"
    assert new[1]["C_m_pF"] == allen.load().cells["C_m_pF"][4]
    assert new[1]["tau_ms"] == pytest.approx(new[1]["C_m_pF"] / new[1]["g_nS"])
    assert np.isnan(new[1]["f_i_slope_Hz_per_pA"]) and np.isnan(without[1]["C_m_pF"])
    assert without[1]["glif3_model"] == "" and without[1]["vrest_mV"] < -50
    assert "; 2 cells beside them (cells_found.csv)" in refreshed.text()
    assert data_rows(out / "cells_found.csv")[-1][:3] == ["900000002", "no", "e4Scnn1a"]


def test_only_the_cells_that_are_named_are_asked_for(database: Direct, out: Path) -> None:
    for cell in (int(CELL), 478107198, 487661754):
        database.known[cell].config["C"] *= 2  # type: ignore[index]
    refresh_tables(out, url="http://here", cells=["487661754", int(CELL), CELL], skip=[487661754])
    assert database.asked == ["ephys_features", "cells", CELL]
    ratio = allen.load(out).cells["C_m_pF"] / allen.load().cells["C_m_pF"]
    assert ratio[:3] == pytest.approx([2, 1, 1])


# ---- refusals --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"cells": ["12"]}, "unknown cell '12': it is neither in the tables nor among the 111"),
        ({"cells": ["e4"]}, "named by its specimen id, a whole number; got 'e4'"),
        ({"cells": ["-5"]}, "got '-5'"),
        ({"cells": ["900000005"]}, "cell 900000005 is of Homo Sapiens, not of Mus musculus"),
        (
            {"lines": ["Scnn1a"]},
            "unknown cre line 'Scnn1a'; .*'Scnn1a-Tg2-Cre' or 'Scnn1a-Tg3",
        ),
        ({"lines": ["pvalb-cre"]}, r"Did you mean 'Pvalb-IRES-Cre'\?"),
        ({"lines": [""]}, "unknown cre line ''; accepted: Cux2"),
        ({"skip": ["12"]}, "cell '12' is to be skipped, but would not be asked for"),
        ({"cells": [CELL], "skip": [CELL]}, "no cell is left to ask for"),
        ({"url": "ftp://there"}, "starts with http:// or https://, got 'ftp://there'"),
        ({"timeout_s": 0}, "timeout_s must be above 0"),
        ({"attempts": 0}, "attempts 1 or more"),
    ],
)
def test_bad_input_is_explained_and_writes_nothing(
    database: Direct, out: Path, options: dict[str, Any], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        refresh_tables(out, **{"url": "http://here", **options})
    assert not out.exists() and not [name for name in database.asked if name.isdigit()]


@pytest.mark.parametrize("content", ["mine.csv", "manifest.json"])
def test_what_is_there_is_left_alone(database: Direct, out: Path, content: str) -> None:
    if content == "mine.csv":
        out.mkdir()
        (out / content).write_text("1")
    else:
        refresh_tables(out, url="http://here", cells=[CELL])
        database.asked.clear()
    before = {file.name: file.read_bytes() for file in out.iterdir()}
    with pytest.raises(InputError, match=r"holds (other files|another run)"):
        refresh_tables(out, url="http://here")
    assert {file.name: file.read_bytes() for file in out.iterdir()} == before
    assert database.asked == []
    if content == "manifest.json":
        assert len(refresh_tables(out, url="http://here", force=True).found.rows) == 111


def test_a_broken_cell_stops_it_and_what_was_good_is_not_asked_again(
    database: Direct, out: Path
) -> None:
    config = database.known[487661754].config  # the third
    assert config
    good, config["C"] = config["C"], float("nan")
    with pytest.raises(DataError, match="cell 487661754: C is nan"):
        refresh_tables(out, url="http://here")
    assert list(out.parent.iterdir()) == [out.parent / "cache"]
    assert len(refresh_tables(out, url="http://here", skip=["487661754"]).found.rows) == 110
    config["C"] = good
    database.asked.clear()
    refreshed = refresh_tables(out, url="http://here", force=True)
    assert database.asked == ["487661754"]
    assert refreshed.answers.n_cached == 110


def test_tables_that_cannot_be_read_are_not_left_behind(
    database: Direct, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables.write, "cells_text", lambda answers: "cell,population\n")
    with pytest.raises(DataError, match=r"cells\.csv"):
        refresh_tables(out, url="http://here", cells=[CELL])
    assert not out.exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt(), Unreachable("no route to host")])
def test_an_interrupted_run_goes_on_where_it_ended(
    database: Direct, out: Path, error: BaseException
) -> None:
    fifth = allen.load().cells["cell"][4]

    def stop(what: str) -> None:
        if what == fifth:
            raise error

    database.before = stop
    with pytest.raises(type(error)) as caught:
        refresh_tables(out, url="http://here")
    assert list(out.parent.iterdir()) == [out.parent / "cache"]
    if isinstance(error, Unreachable):
        for part in ("no route to host", "has 4 of the 111 cells", "--offline"):
            assert part in str(caught.value)
        with pytest.raises(InputError, match=r"not everything is in .* 4 of the 111 cells"):
            refresh_tables(out, url="http://here", offline=True)
    database.before = lambda what: None
    assert refresh_tables(out, url="http://here").answers.n_cached == 4
    assert database.asked.count(CELL) == 1
    database.asked.clear()
    assert refresh_tables(out, url="http://here", force=True, offline=True).answers.n_cached == 111
    assert database.asked == []


def test_without_a_network_it_says_what_is_cached(database: Direct, out: Path) -> None:
    def stop(what: str) -> None:
        raise Unreachable("no route to host")

    database.before = stop
    with pytest.raises(Unreachable, match=r"no answer \(no route .* for 0 cells, but not the list"):
        refresh_tables(out, url="http://here")
    assert issubclass(Unreachable, ConnectionError)


def test_old_and_damaged_answers_are_asked_for_again(
    database: Direct, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = ["475585413", "478107198", "487661754", "341442651"]
    refresh_tables(out, url="http://here", cells=cells)
    folder = answers.Cache("http://here").folder
    (folder / "475585413.json").write_text('{"asked": "2026-')
    (folder / "478107198.json").write_text("[]")
    entry = json.loads((folder / "487661754.json").read_text())
    entry["answer"]["config"]["C"] = -1
    (folder / "487661754.json").write_text(json.dumps(entry))
    database.asked.clear()
    refresh_tables(out, url="http://here", cells=cells, force=True)
    assert database.asked == cells[:3]
    assert refresh_tables(out, url="http://other", cells=cells, force=True).answers.n_cached == 0
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=answers.MAX_AGE_H + 1)
    monkeypatch.setattr(answers, "_now", lambda: later)
    database.asked.clear()
    refresh_tables(out, url="http://here", cells=cells, force=True, offline=True)
    assert database.asked == []
    refresh_tables(out, url="http://here", cells=cells, force=True)
    assert database.asked == ["ephys_features", "cells", *cells]


# ---- the command -----------------------------------------------------------------------------


def test_the_command_says_what_changed(database: Direct, out: Path) -> None:
    database.known[int(CELL)].config["C"] *= 1.1  # type: ignore[index]
    words = ["data", "refresh", "--cells", f"{CELL}, 478107198", "--out", str(out)]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert "2 cells of the tables: 1 changed in 1 parameters" in result.stdout
    assert "asked at http://api.brain-map.org" in result.stdout
    assert f"striate build 3k --tables {out}" in result.stdout
    again = CliRunner().invoke(app, [*words, "--force", "--lines", "Cux2-CreERT2"])
    assert "2 of 6 cells from the cache" in again.stdout
    assert CliRunner().invoke(app, words).exit_code == 2


def test_the_command_explains_itself() -> None:
    result = CliRunner().invoke(app, ["data", "refresh", "--help"], env={"COLUMNS": "120"})
    assert "Example: striate data refresh " in result.stdout
    nothing = CliRunner().invoke(app, ["data", "refresh"])
    assert nothing.exit_code == 2 and "--out is needed" in nothing.stderr


# ---- keeping allensdk out of the way ---------------------------------------------------------


def test_only_the_program_that_asks_imports_allensdk() -> None:
    """And it imports nothing of the project, being run by another interpreter."""
    root = DATA.parent.parent.parent
    importers = {
        file.name: {
            name.split(".")[0]
            for node in ast.walk(ast.parse(file.read_text()))
            for name in (
                [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else []
            )
        }
        for package in ("toolkit", "converters", "circuits")
        for file in (root / package).rglob("*.py")
    }
    assert [name for name, names in importers.items() if "allensdk" in names] == ["ask.py"]
    assert not importers["ask.py"] & {"toolkit", "converters", "circuits", "numpy"}
