"""Finding and making the interpreter that has allensdk, and saying what to do without one."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from circuits.allen.refresh import environment, find_interpreter, make_environment
from circuits.cli.refresh import refresh
from toolkit.errors import InputError, MissingDependency


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No interpreter is named, none is made."""
    monkeypatch.delenv("STRIATE_ALLENSDK_PYTHON", raising=False)
    monkeypatch.setenv("STRIATE_ALLENSDK_ENV", str(tmp_path / "environment"))
    running(monkeypatch)


def running(monkeypatch: pytest.MonkeyPatch, found: object = None) -> None:
    """Whether the running interpreter seems to have allensdk."""
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: found if name == "allensdk" else find(name)
    )


def stand_in(folder: Path, version: str | None) -> Path:
    """A program that says it has a version of allensdk, or none."""
    python = folder / "python"
    folder.mkdir(parents=True)
    python.write_text("#!/bin/sh\n" + (f"echo {version}\n" if version else "exit 1\n"))
    python.chmod(0o755)
    return python


def test_without_any_it_says_how_to_get_one() -> None:
    with pytest.raises(MissingDependency) as caught:
        find_interpreter()
    assert "`striate data refresh --make-environment`" in str(caught.value)
    assert "STRIATE_ALLENSDK_PYTHON" in str(caught.value)


def test_the_named_one_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = stand_in(tmp_path / "environment" / "bin", "2.16.0")
    assert find_interpreter() == (made, "2.16.0")
    named = stand_in(tmp_path / "named", "2.16.1")
    monkeypatch.setenv("STRIATE_ALLENSDK_PYTHON", str(named))
    assert find_interpreter() == (named, "2.16.1")
    given = stand_in(tmp_path / "given", "2.16.2")
    assert find_interpreter(given) == (given, "2.16.2")


@pytest.mark.parametrize("what", ["nothing", "empty", "text"])
def test_a_named_one_that_will_not_do_is_not_passed_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, what: str
) -> None:
    stand_in(tmp_path / "environment" / "bin", "2.16.2")
    named = tmp_path / "named" / "python"
    if what == "empty":
        stand_in(named.parent, None)
    elif what == "text":
        named.parent.mkdir()
        named.write_text("no program")
    with pytest.raises(MissingDependency, match=r"the interpreter given, .* has no allensdk"):
        find_interpreter(named)
    monkeypatch.setenv("STRIATE_ALLENSDK_PYTHON", str(named))
    with pytest.raises(MissingDependency, match=r"^STRIATE_ALLENSDK_PYTHON, .* has no allensdk"):
        find_interpreter()


def test_the_running_one_is_taken_if_it_has_allensdk(monkeypatch: pytest.MonkeyPatch) -> None:
    running(monkeypatch, found=object())
    monkeypatch.setattr(
        environment, "_allensdk_version", lambda p: "2.16.2" if p == Path(sys.executable) else None
    )
    assert find_interpreter() == (Path(sys.executable), "2.16.2")


def test_an_environment_is_made_once_and_an_interrupted_one_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder, ran = tmp_path / "environment", []

    def run(command: list[str], hint: str) -> None:
        ran.append(command)
        if "venv" in command:
            stand_in(folder / "bin", "2.16.2")
            (folder / "pyvenv.cfg").write_text("home = /usr/bin\n")

    monkeypatch.setattr(environment, "_run", run)
    assert make_environment() == folder / "bin" / "python"
    assert len(ran) == 2 and ran[1][-4:] == list(environment.REQUIREMENTS)
    assert make_environment() == folder / "bin" / "python" and len(ran) == 2
    (folder / environment._STAMP).unlink()
    assert make_environment() == folder / "bin" / "python" and len(ran) == 4
    monkeypatch.setattr(environment, "REQUIREMENTS", ("allensdk==3",))
    make_environment()
    assert ran[-1][-1] == "allensdk==3"


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "environment").mkdir()
    (tmp_path / "environment" / "thesis.tex").write_text("all of it")
    with pytest.raises(InputError, match="holds something else than a virtual environment"):
        make_environment()
    assert (tmp_path / "environment" / "thesis.tex").read_text() == "all of it"


def test_what_cannot_be_made_is_explained(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(environment, "_fitting_python", lambda: "/bin/false")
    with pytest.raises(MissingDependency, match=r"-m venv .* failed .* apt-get install"):
        make_environment()
    monkeypatch.undo()
    monkeypatch.setattr(environment, "PYTHONS", ("0.1",))
    monkeypatch.setattr(environment.shutil, "which", lambda name: None)
    with pytest.raises(MissingDependency, match=r"allensdk needs Python 0\.1"):
        make_environment(tmp_path / "other")


def test_the_command_uses_the_address_of_allensdk() -> None:
    from circuits.allen.refresh.database import ATTEMPTS, TIMEOUT_S, URL

    defaults = dict(zip(refresh.__annotations__, refresh.__defaults__ or (), strict=False))
    assert (defaults["url"], defaults["timeout_s"], defaults["attempts"]) == (
        URL, TIMEOUT_S, ATTEMPTS,
    )  # fmt: skip


def test_refreshing_does_not_import_allensdk(tmp_path: Path) -> None:
    """Even where it is installed: a package of that name would raise."""
    (tmp_path / "allensdk").mkdir()
    (tmp_path / "allensdk" / "__init__.py").write_text("raise RuntimeError('imported')")
    root = Path(__file__).resolve().parent.parent
    code = "import circuits.allen.refresh, circuits.cli.refresh"
    path = os.pathsep.join((str(tmp_path), str(root)))
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
