"""The command ``striate`` as a user runs it."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from circuits import allen, v1
from circuits.cli import BAD_INPUT, COMMANDS, INTERRUPTED, app, explained
from circuits.v1 import calibrate, transfer
from converters import transfer_tables
from toolkit import Network, Table
from toolkit.errors import InputError

ROOT = Path(__file__).resolve().parent.parent


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "120"})


def complaint(result: Result) -> str:
    """What was said on stderr of a command that failed as it should: one paragraph."""
    assert result.exit_code == BAD_INPUT, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    assert "\n\n" not in result.stderr.strip()
    return " ".join(result.stderr.split())


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("cli") / "column.h5"
    assert run("build", "300", "--seed", "4", "--out", out).exit_code == 0
    return out


# ---- the command itself ----------------------------------------------------------------------


def striate(*arguments: str, **options: Any) -> subprocess.CompletedProcess:
    code = "from circuits.cli import main; main()"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "120"} | options
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_help_lists_the_commands_and_imports_nothing_heavy() -> None:
    done = striate("--help", PYTHONPROFILEIMPORTTIME="1")
    assert done.returncode == 0
    for name in COMMANDS:
        assert name in done.stdout
    loaded = {line.rsplit("|", 1)[1].strip() for line in done.stderr.splitlines() if "|" in line}
    assert "typer" in loaded
    assert not loaded & {"torch", "brian2", "pandas", "scipy", "matplotlib", "h5py"}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_an_example(name: str) -> None:
    result = run(name, "--help")
    assert result.exit_code == 0
    assert f"Example: striate {name} " in " ".join(result.stdout.split())
    assert name in ("info", "doctor") or "--out" in result.stdout


def test_the_version() -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    result = run("--version")
    assert result.exit_code == 0
    assert result.stdout.strip() in (f"striate {declared}", "striate not installed")


def test_an_error_is_a_paragraph_and_with_debug_a_traceback(tmp_path: Path) -> None:
    missing = str(tmp_path / "none.h5")
    done = striate("info", missing)
    assert (done.returncode, done.stdout) == (BAD_INPUT, "")
    assert done.stderr.startswith("striate: there is no network file")
    assert "Traceback" not in done.stderr
    for arguments, options in ((("--debug",), {}), ((), {"STRIATE_DEBUG": "1"})):
        done = striate(*arguments, "info", missing, **options)
        assert done.returncode == BAD_INPUT
        assert "Traceback" in done.stderr
        assert "DataError" in done.stderr


def test_an_unknown_command_names_the_nearest() -> None:
    result = run("bulid", "3k")
    assert result.exit_code == 2
    assert "build" in result.stderr


def test_no_command_shows_the_help() -> None:
    assert "Commands" in run().output


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (InputError("no such thing"), BAD_INPUT, "striate: no such thing"),
        (PermissionError(13, "Permission denied", "x.h5"), BAD_INPUT, "Permission denied: 'x.h5'"),
        (KeyboardInterrupt(), INTERRUPTED, "striate: interrupted"),
    ],
)
def test_errors_become_exit_codes(
    capsys: pytest.CaptureFixture, error: BaseException, code: int, message: str
) -> None:
    def command() -> None:
        raise error

    with pytest.raises(Exception) as caught:
        explained(command)()
    assert caught.value.exit_code == code  # type: ignore[attr-defined]
    assert message in capsys.readouterr().err


def test_a_bug_is_not_hidden() -> None:
    def command() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        explained(command)()


# ---- build and info --------------------------------------------------------------------------


def test_build_saves_the_column_of_its_options(built: Path, tmp_path: Path) -> None:
    assert Network.load(built).digest() == v1.column(300, seed=4).digest()
    options = ("--selection", "random", "--compensation", "sqrt", "--lgn-layout", "image")
    result = run("build", "400", "--seed", "0", *options, "--out", tmp_path / "b.h5")
    assert result.exit_code == 0
    assert "400 neurons of 17 classes" in result.stdout
    expected = v1.column(400, seed=0, selection="random", compensation="sqrt", lgn_layout="image")
    assert Network.load(tmp_path / "b.h5").digest() == expected.digest()


def test_an_existing_file_is_kept_unless_forced(built: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.h5"
    out.write_text("mine")
    assert "exists: use another name, or --force" in complaint(run("build", "50", "--out", out))
    assert out.read_text() == "mine"
    assert run("build", "50", "--out", out, "--force").exit_code == 0
    assert Network.load(out).n == 50


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("3K",), "unknown size '3K'"),
        (("0",), "1 to 1,000,000"),
        (("50", "--selection", "dense"), "unknown selection 'dense'"),
        (("50", "--compensation", "half"), "unknown compensation 'half'"),
        (("50", "--lgn-layout", "image2"), "unknown LGN layout 'image2'"),
        (("50", "--seed", "-1"), "seed must be an integer from 0"),
    ],
)
def test_bad_values_write_nothing(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    assert message in complaint(run("build", *arguments, "--out", tmp_path / "x.h5"))
    assert list(tmp_path.iterdir()) == []


def test_bad_places_are_said_before_the_work(tmp_path: Path) -> None:
    for out, message in ((tmp_path, "is a folder"), (tmp_path / "no" / "x.h5", "does not exist")):
        for command in (("build", "nonsense"), ("calibrate", "nonsense"), ("tabulate",)):
            assert message in complaint(run(*command, "--out", out))


def test_info_tells_what_is_in_a_file(built: Path) -> None:
    result = run("info", built)
    assert result.exit_code == 0
    network = Network.load(built)
    for part in (
        "300 glif3 neurons, seed 4",
        network.digest(),
        "Billeh et al. 2020",
        "recurrent e2e",
        "background e2i",
        *network.classes,
    ):
        assert part in result.stdout
    rows = {
        line.split()[0]: line.split()[1:] for line in result.stdout.splitlines() if line.strip()
    }
    summary = network.summary()
    assert rows["e23"][:2] == ["E", str(summary["neurons"]["e23"])]
    assert float(rows["e23"][2]) == pytest.approx(summary["in_degree_E"]["e23"], rel=1e-3)
    pairs = [line for line in result.stdout.splitlines() if line.startswith("recurrent")]
    counted = sum(int(line.split()[2].replace(",", "")) for line in pairs)
    assert counted == len(network.synapses)


def test_info_of_a_damaged_file(built: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.h5"
    broken.write_bytes(built.read_bytes()[:5000])
    assert str(broken) in complaint(run("info", broken)).replace(" ", "")
    assert "there is no network file" in complaint(run("info", tmp_path / "none.h5"))


# ---- calibrate and tabulate ------------------------------------------------------------------


def test_calibrate_runs_the_columns_of_its_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    def instead(columns: list[Network], *, workers: int) -> Table:
        seen.update(seeds=[c.seed for c in columns], sizes={c.n for c in columns}, workers=workers)
        seen.update(selections={c.provenance["selection"] for c in columns})
        return Table(
            {
                "cell": ["a"],
                "cell_class": ["e4"],
                "lgn": [1],
                "weight_pA": [2.5],
                "neurons": [3],
                "rate_Hz": [np.nan],
            }
        )

    monkeypatch.setattr(calibrate, "calibrate", instead)
    out = tmp_path / "background.csv"
    arguments = ("calibrate", "60", "--seeds", "5, 7", "--selection", "random", "--workers", "1")
    result = run(*arguments, "--out", out)
    assert result.exit_code == 0, result.output
    assert seen == {"seeds": [5, 7], "sizes": {60}, "workers": 1, "selections": {"random"}}
    text = out.read_text()
    assert "# Made by: striate calibrate 60 --seeds 5,7 --selection random\n" in text
    assert text.splitlines()[-1].startswith("a,e4,1,2.5")
    assert "exists" in complaint(run(*arguments, "--out", out))


def test_sonata_and_back(built: Path, tmp_path: Path) -> None:
    folder, again = tmp_path / "sonata", tmp_path / "again.h5"
    assert run("export", built, "--out", folder).exit_code == 0
    assert "300 neurons" in run("export", folder, "--out", again).stdout
    assert Network.load(again).digest() == Network.load(built).digest()
    assert "digest" in run("info", folder).stdout
    assert "holds" in complaint(run("export", built, "--out", folder))
    assert run("export", built, "--out", folder, "--force").exit_code == 0
    assert "there is no" in complaint(run("export", tmp_path / "none.h5", "--out", again / "x"))
    assert "--force" in complaint(run("export", folder, "--out", again))


def test_info_draws_the_classes(built: Path, tmp_path: Path) -> None:
    out = tmp_path / "classes.png"
    assert "the class graph" in run("info", built, "--graph", out).stdout
    assert out.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("options", "neurons", "what"),
    [
        (("--radius-um", "40"), 522, {"size": "radius 40 um"}),
        (("200", "--data", "v1dd"), 200, {"weights": "random"}),
        (("200", "--lgn-layout", "field"), 200, {"lgn_layout": "field"}),
        (("200", "--scenario", "no_dale"), 200, {"size": "200"}),
    ],
)
def test_build_passes_its_options_on(
    tmp_path: Path, options: tuple[str, ...], neurons: int, what: dict
) -> None:
    out = tmp_path / "column.h5"
    assert run("build", *options, "--out", out).exit_code == 0
    network = Network.load(out)
    assert network.n == neurons
    assert {name: network.provenance[name] for name in what} == what
    assert network.dale is ("no_dale" not in options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "either a size (3k, 6k, core, full or a number of neurons) or radius_um"),
        (("3k", "--radius-um", "40"), "either a size"),
        (("200", "--data", "v2dd"), "unknown data 'v2dd'; accepted: billeh2020, v1dd"),
        (("200", "--scenario", "no_dali"), "Did you mean 'no_dale'"),
        (("200", "--data", "v1dd", "--compensation", "full"), "no compensation"),
    ],
)
def test_build_says_what_it_accepts(tmp_path: Path, options: tuple[str, ...], message: str) -> None:
    out = tmp_path / "column.h5"
    assert message in complaint(run("build", *options, "--out", out))
    assert not out.exists()


@pytest.mark.parametrize(("seeds", "message"), [("1,x", "whole numbers"), ("1,1", "twice")])
def test_bad_seeds(tmp_path: Path, seeds: str, message: str) -> None:
    out = tmp_path / "x.csv"
    assert message in complaint(run("calibrate", "60", "--seeds", seeds, "--out", out))


def test_the_cell_models_are_those_that_a_column_asks_for() -> None:
    """Whatever a column needs is found by the hash in a table of `striate tabulate`."""
    shipped = {cell.key(0.25) for cell in transfer.cells()}
    needed, model = transfer_tables.cells_of(v1.column(1500, seed=1))
    assert len(model) == 1500
    assert len(needed) > 60
    assert {cell.key(0.25) for cell in needed} <= shipped


def test_tabulate_writes_what_to_rate_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = (len(transfer_tables.MU_MV), len(transfer_tables.SIGMA_MV))
    made: list[int] = []

    def instead(cells: list, **_: Any) -> np.ndarray:
        made.append(len(cells))
        return np.stack([np.full(grid, float(k)) for k in range(len(cells))])

    monkeypatch.setattr(transfer, "tabulate", instead)
    monkeypatch.setattr(transfer_tables, "tabulate", instead)
    monkeypatch.setattr(transfer_tables, "SHIPPED", tmp_path)
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    assert ".npz" in complaint(run("tabulate", "--out", tmp_path / "transfer_allen.dat"))
    result = run("tabulate", "--out", tmp_path / "transfer_allen.npz")
    assert result.exit_code == 0, result.output
    distinct = {cell.key(0.25) for cell in transfer.cells()}
    assert made == [len(distinct)]
    cells = [transfer.cells()[k] for k in (0, 5)]
    tables = transfer_tables.find_or_make(cells, dt_ms=0.25)
    keys = list({cell.key(0.25): None for cell in transfer.cells()})
    expected = [keys.index(cell.key(0.25)) for cell in cells]
    np.testing.assert_allclose(tables[:, 0, 0], expected, rtol=1e-3)
    assert made == [len(distinct)], "found, not made again"


@pytest.mark.slow
def test_calibrate_meets_its_targets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Short stages on one column: every class near its recorded median, none silent."""
    short = functools.partial(calibrate.calibrate, stages=((10, 2.0, 0.25), (4, 4.0, 0.1)))
    monkeypatch.setattr(calibrate, "calibrate", short)
    out = tmp_path / "background.csv"
    assert run("calibrate", "3k", "--seeds", "1", "--out", out).exit_code == 0
    lines = [line.split(",") for line in out.read_text().splitlines() if not line.startswith("#")]
    column = {name: [line[k] for line in lines[1:]] for k, name in enumerate(lines[0])}
    neurons = np.array(column["neurons"], dtype=int)
    rate = np.array([float(value or 0) for value in column["rate_Hz"]])
    targets = allen.spontaneous_targets(allen.load())
    for name, target in zip(targets["cell_class"], targets["rate_Hz"], strict=True):
        mine = np.array(column["cell_class"]) == name
        mean = np.average(rate[mine], weights=neurons[mine])
        assert mean == pytest.approx(target, rel=0.5), name
