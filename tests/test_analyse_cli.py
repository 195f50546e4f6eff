"""``striate analyse`` as a user runs it, on a small network with weights of its own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from circuits.analysis import ANALYSES, Options, Result, read_record, write
from circuits.analysis.study import PAGE, chosen
from circuits.cli import main
from circuits.training import Setup, prepare, save_weights
from toolkit import plots
from toolkit.errors import DataError, InputError
from toolkit.table import Table

CURVES = "step,epoch,seconds,split,task,items,accuracy,loss\n" + "".join(
    f"{100 * k},{k},{k},validation,all,50,{0.2 * k},1.0\n" for k in range(4)
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `striate train` leaves it."""
    folder = tmp_path_factory.mktemp("run")
    ready = prepare(Setup(size=300, tasks=("images",), images="digits"))
    with torch.no_grad():
        generator = torch.Generator().manual_seed(1)
        kept = ready.model.recurrent.trained
        kept += 0.3 * torch.randn(kept.shape, generator=generator)
    save_weights(folder / "weights.npz", ready)
    (folder / "learning_curves.csv").write_text(CURVES)
    return folder


def striate(*arguments: object) -> int:
    try:
        main([str(each) for each in arguments])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def result_of(value: float = 1.0) -> Result:
    table = Table({"x": [value]})
    return Result("Title", {"numbers": table}, (f"It is {value}.",), lambda: plots.new_figure(2, 1))


def test_every_analysis_has_a_module_that_says_its_name() -> None:
    import importlib

    for name in ANALYSES:
        module = importlib.import_module(f"circuits.analysis.{name}")
        assert module.NAME == name and callable(module.analyse)


def test_a_result_is_written_whole_and_read_again(tmp_path: Path) -> None:
    assert read_record(tmp_path / "one") is None
    record = write(result_of(2.5), tmp_path / "one", {"items": 3})
    assert record == read_record(tmp_path / "one")
    assert (tmp_path / "one" / "numbers.csv").read_text() == "x\n2.5\n"
    assert "It is 2.5." in (tmp_path / "one" / "findings.txt").read_text()
    assert (tmp_path / "one" / "figure.png").read_bytes()[:4] == b"\x89PNG"
    write(result_of(3.5), tmp_path / "one")
    assert (tmp_path / "one" / "numbers.csv").read_text() == "x\n3.5\n"


def test_other_folders_and_broken_records_are_refused(tmp_path: Path) -> None:
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match="something other"):
        write(result_of(), tmp_path / "notes")
    with pytest.raises(DataError, match="no result"):
        read_record(tmp_path / "notes")
    write(result_of(), tmp_path / "one")
    (tmp_path / "one" / "numbers.csv").unlink()
    with pytest.raises(DataError, match="no whole result"):
        read_record(tmp_path / "one")


def test_a_figure_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fails() -> plots.Figure:
        raise RuntimeError("no figure")

    with pytest.raises(RuntimeError, match="no figure"):
        write(Result("Title", {}, (), fails), tmp_path / "one")
    assert list(tmp_path.iterdir()) == []


def test_names_are_checked_and_ordered() -> None:
    assert chosen([]) == list(ANALYSES)
    assert chosen(["spectrum", "weights"]) == ["weights", "spectrum"]
    with pytest.raises(InputError, match="Did you mean 'weights'"):
        chosen(["weight"])
    with pytest.raises(InputError, match="items"):
        Options(items=0)


def test_analyse_writes_tables_figures_and_a_page_and_keeps_what_is_there(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    only = "weights,rates,spectrum,learning_curves"
    common = ("analyse", run, "--out", out, "--items", 32)
    assert striate(*common, "--only", "weights") == 0
    written = (out / "weights" / "result.json").stat().st_mtime_ns
    assert striate(*common, "--only", only) == 0
    assert (out / "weights" / "result.json").stat().st_mtime_ns == written
    for name in only.split(","):
        record = read_record(out / name)
        assert record is not None and record["findings"] and record["about"]["items"] == 32
    text = (out / PAGE).read_text()
    assert text.count("data:image/png;base64,") == 4
    for name in ("Weights", "Firing rates", "Spectrum", "Learning curves"):
        assert f"<h2>{name}" in text
    assert "nan" not in " ".join(read_record(out / "spectrum")["findings"])  # type: ignore[index]
    assert str(out / PAGE) in capsys.readouterr().out.replace("\n", "")


def test_results_of_other_weights_are_not_mixed(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    write(result_of(), out.parent / "other")
    out.mkdir()
    write(result_of(), out / "weights", {"weights": "another"})
    common = ("analyse", run, "--out", out, "--items", 8, "--only", "weights")
    assert striate(*common) == 2
    assert "another network" in " ".join(capsys.readouterr().err.split())
    assert striate(*common, "--force") == 0
    record = json.loads((out / "weights" / "result.json").read_text())
    assert record["about"]["weights"] != "another"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--only", "wieghts"), "Did you mean 'weights'"),
        (("--with", "nowhere"), "is no folder"),
        (("--only", "weights", "--out", "FILE"), "is a file"),
    ],
)
def test_bad_options_are_explained(
    run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    message: str,
) -> None:
    file = tmp_path / "file"
    file.touch()
    given = [str(file) if each == "FILE" else each for each in arguments]
    assert striate("analyse", run, "--out", tmp_path / "out", *given) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_what_is_no_training_is_explained(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "runs" / "seed_1").mkdir(parents=True)
    (tmp_path / "runs" / "seed_1" / "weights.npz").write_bytes(b"x")
    assert striate("analyse", tmp_path / "runs", "--out", tmp_path / "out") == 2
    assert "seed_1" in capsys.readouterr().err
    # Curves need a folder: only weights were given.
    alone = ("analyse", run / "weights.npz", "--out", tmp_path / "out")
    assert striate(*alone, "--only", "learning_curves") == 2
    assert "only weights were given" in " ".join(capsys.readouterr().err.split())
