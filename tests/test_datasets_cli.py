"""``striate data`` as a user runs it, without the internet."""

from __future__ import annotations

from pathlib import Path

import data_server
import pytest
from typer.testing import CliRunner, Result

from circuits.cli import BAD_INPUT, INTERRUPTED, app
from circuits.cli import data as command
from toolkit import datasets
from toolkit.datasets import registry

CONTENT = b"spikes" * 1000


def run(*arguments: str | Path, **env: str) -> Result:
    environment = {"COLUMNS": "200", "STRIATE_DATA": ""} | env
    return CliRunner().invoke(app, ["data", *map(str, arguments)], env=environment)


def words(result: Result) -> str:
    assert "Traceback" not in result.output
    return " ".join(result.output.split())


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A registry with one data set that nobody serves."""
    path = tmp_path / "registry.toml"
    data_server.write_registry(path, CONTENT, "http://127.0.0.1:9/toy.bin")
    monkeypatch.setattr(registry, "REGISTRY", path)
    return path


@pytest.mark.parametrize("name", ["fetch", "list", "verify"])
def test_every_command_has_an_example(name: str) -> None:
    result = run(name, "--help")
    assert result.exit_code == 0
    assert f"Example: striate data {name} " in words(result)
    assert "Example: striate data fetch" in words(run("--help"))


def test_fetch_list_and_verify(toy: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with data_server.serving() as server:
        data_server.write_registry(toy, CONTENT, server.add("toy.bin", CONTENT))
        fetched = run("fetch", "toy", "toy", "--folder", folder)
        assert fetched.exit_code == 0, fetched.output
        assert len(server.requests) == 1
    assert "SHA-256 right" in fetched.stdout
    assert f"note: The rest goes to {folder}/toy. Page: http://page" in words(fetched)

    listed = run("list", STRIATE_DATA=str(folder))
    assert listed.exit_code == 0
    for part in (f"data folder: {folder} ", "1 of 1 files there", "licence: L", "cite C"):
        assert part in words(listed) + " "

    right = run("verify", "--folder", folder)
    assert (right.exit_code, "1 files, all right" in right.stdout) == (0, True)
    (folder / "toy" / "toy.bin").write_bytes(CONTENT[:-1] + b"!")
    wrong = run("verify", "toy", "--folder", folder)
    assert wrong.exit_code == BAD_INPUT
    assert "WRONG" in wrong.stdout
    assert "not what was published; delete it" in words(wrong)
    (folder / "toy" / "toy.bin").write_bytes(CONTENT[:-1])
    assert "5,999 bytes instead of 6,000" in run("verify", "--folder", folder).stdout


def test_both_copies_of_a_file_are_verified(toy: Path, tmp_path: Path) -> None:
    for place, content in (("toy", CONTENT), ("elsewhere", b"other")):
        (tmp_path / place).mkdir()
        (tmp_path / place / "toy.bin").write_bytes(content)
    result = run("verify", "--folder", tmp_path)
    assert result.exit_code == BAD_INPUT
    assert f"right {tmp_path}/toy/toy.bin" in words(result)
    assert f"WRONG {tmp_path}/elsewhere/toy.bin" in words(result)


def test_nothing_there(toy: Path, tmp_path: Path) -> None:
    result = run("verify", "toy", "--folder", tmp_path / "none")
    assert result.exit_code == BAD_INPUT
    assert "there are no files of toy in the data folder" in words(result)
    assert "(does not exist yet)" in words(run("list", "--folder", tmp_path / "none"))
    assert not (tmp_path / "none").exists()


def test_offline_is_explained(toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    result = run("fetch", "all", "--folder", tmp_path / "data")
    assert result.exit_code == BAD_INPUT
    for part in ("no connection", "Without internet", f"put it at {tmp_path}/data/toy/toy.bin"):
        assert part in words(result)


@pytest.mark.parametrize("name", ["fetch", "verify"])
def test_an_unknown_name_stops_it_before_the_first_file(name: str) -> None:
    result = run(name, "mnist", "cifar")
    assert result.exit_code == BAD_INPUT
    assert "unknown data set 'cifar'; accepted: mnist, cifar10, onken2016, all." in words(result)
    assert "Did you mean 'cifar10'?" in words(result)


def test_an_interruption_is_not_called_a_loss(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(datasets, "fetch", interrupted)
    result = run("fetch", "toy", "--folder", tmp_path)
    assert result.exit_code == INTERRUPTED == command.INTERRUPTED
    assert "what came is kept" in words(result)
