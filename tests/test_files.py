"""Files and run folders that appear whole or not at all."""

from __future__ import annotations

import datetime
import json
import os
import stat
from pathlib import Path

import numpy as np
import pytest

from toolkit.errors import InputError
from toolkit.files import whole_file, write_text
from toolkit.runs import is_run, run_folder

# ---- files -----------------------------------------------------------------------------------


def test_a_file_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "note.txt"
    with whole_file(target) as aside:
        aside.write_text("half")
        assert not target.exists()
        assert aside.parent.parent == target.parent  # so that the move is one step
        aside.write_text("whole")
    assert target.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_an_error_leaves_the_old_file(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "note.txt"
    write_text(target, "old")
    with pytest.raises(error), whole_file(target) as aside:
        aside.write_text("half")
        raise error
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_text_is_utf8_and_replaced(tmp_path: Path) -> None:
    target = tmp_path / "note.txt"
    write_text(target, "a much longer text")
    write_text(target, "µm")
    assert target.read_bytes() == "µm".encode()


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_permissions_are_those_of_any_new_file(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        write_text(tmp_path / "note.txt", "x")
        with run_folder(tmp_path / "run", "test", {}):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "note.txt").stat().st_mode) == 0o666 & ~umask
    assert stat.S_IMODE((tmp_path / "run").stat().st_mode) == 0o777 & ~umask


def test_bad_places(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        write_text(tmp_path / "none" / "note.txt", "x")
    with pytest.raises(InputError, match="is a folder"):
        write_text(tmp_path, "x")
    assert list(tmp_path.iterdir()) == []


# ---- run folders -----------------------------------------------------------------------------


def make(path: Path, text: str = "1", force: bool = False) -> None:
    with run_folder(path, f"striate test {text}", {"seed": 1}, force=force) as folder:
        (folder / "result.csv").write_text(text)


def test_a_run_has_a_manifest(tmp_path: Path) -> None:
    out = tmp_path / "runs" / "first"
    parameters = {"size": "3k", "seed": np.int64(3), "out": out, "rates": np.arange(2.0)}
    with run_folder(out, "striate test", parameters) as folder:
        assert not out.exists()
        (folder / "figures").mkdir()
        (folder / "figures" / "a.svg").write_text("<svg/>")
    assert sorted(item.name for item in out.iterdir()) == ["figures", "manifest.json"]
    manifest = json.loads((out / "manifest.json").read_text())
    assert manifest["command"] == "striate test"
    assert manifest["parameters"] == {"size": "3k", "seed": 3, "out": str(out), "rates": [0, 1]}
    assert manifest["seeds"] == {"seed": 3}
    assert manifest["versions"]["numpy"] == np.__version__
    assert set(manifest["versions"]) >= {"striate", "torch", "brian2"}
    started, finished = (
        datetime.datetime.fromisoformat(manifest[name]) for name in ("started", "finished")
    )
    assert started <= finished
    assert 0 <= manifest["wall_s"] < 60
    assert 10 < manifest["peak_memory_MB"] < 1e6
    assert {"python", "platform"} <= set(manifest)
    assert is_run(out)
    assert list(out.parent.iterdir()) == [out]


def test_seeds_can_be_named(tmp_path: Path) -> None:
    with run_folder(tmp_path / "a", "test", {"seed": 1}, seeds={"trials": [1, 2]}):
        pass
    assert json.loads((tmp_path / "a" / "manifest.json").read_text())["seeds"] == {"trials": [1, 2]}


def test_an_empty_folder_may_be_used(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    make(tmp_path / "empty")
    assert is_run(tmp_path / "empty")


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    with pytest.raises(error), run_folder(tmp_path / "runs" / "a", "test", {}) as folder:
        (folder / "half.csv").write_text("x")
        raise error
    assert list(tmp_path.iterdir()) == []


def test_an_error_leaves_the_earlier_run(tmp_path: Path) -> None:
    make(tmp_path / "a", "old")
    with (
        pytest.raises(RuntimeError),
        run_folder(tmp_path / "a", "test", {}, force=True) as folder,
    ):
        (folder / "result.csv").write_text("new")
        raise RuntimeError
    assert (tmp_path / "a" / "result.csv").read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["a"]


def test_another_run_is_named_and_refused(tmp_path: Path) -> None:
    make(tmp_path / "a", "old")
    with pytest.raises(InputError, match=r"holds another run \('striate test old', 20.*--force"):
        make(tmp_path / "a", "new")
    assert (tmp_path / "a" / "result.csv").read_text() == "old"


def test_force_replaces_a_run_whole(tmp_path: Path) -> None:
    make(tmp_path / "a", "old")
    (tmp_path / "a" / "left over.csv").write_text("x")
    make(tmp_path / "a", "new", force=True)
    assert (tmp_path / "a" / "result.csv").read_text() == "new"
    assert sorted(item.name for item in (tmp_path / "a").iterdir()) == [
        "manifest.json",
        "result.csv",
    ]
    assert [item.name for item in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("manifest", [None, "{}", "not JSON", "[]"])
def test_what_is_no_run_is_never_replaced(
    tmp_path: Path, force: bool, manifest: str | None
) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    if manifest is not None:
        (tmp_path / "manifest.json").write_text(manifest)
    with pytest.raises(InputError, match=r"holds other files.*thesis\.txt"):
        make(tmp_path, force=force)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("x")
    with pytest.raises(InputError, match="is a file"):
        make(tmp_path / "a", force=True)


def test_what_came_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="other files"), run_folder(tmp_path / "a", "test", {}):
        (tmp_path / "a").mkdir()
        (tmp_path / "a" / "other.txt").write_text("x")
    assert [item.name for item in tmp_path.iterdir()] == ["a"]
    assert [item.name for item in (tmp_path / "a").iterdir()] == ["other.txt"]


@pytest.mark.parametrize("value", [object(), float("nan"), {1: {2, object()}}])
def test_a_bad_manifest_is_refused_before_the_work(tmp_path: Path, value: object) -> None:
    with (
        pytest.raises(InputError, match="plain values"),
        run_folder(tmp_path / "a", "t", {"x": value}),
    ):
        pytest.fail("the work was done")
    assert list(tmp_path.iterdir()) == []
