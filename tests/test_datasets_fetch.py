"""Fetching data sets, from a local server that behaves badly in every way we know of."""

from __future__ import annotations

import errno
import gzip
import multiprocessing
import os
import shutil
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import data_server
import numpy as np
import pytest

from toolkit import datasets
from toolkit.datasets import registry
from toolkit.errors import DataError, InputError

FAST = {"attempts": 3, "timeout_s": (2.0, 0.2), "pause_s": 0.0, "progress": False}
CONTENT = np.random.default_rng(5).bytes(400_000)


@pytest.fixture
def server() -> Iterator[data_server.DataServer]:
    with data_server.serving() as running:
        yield running


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Make a registry of one data set, `toy`, of one file."""

    def register(*urls: str, content: bytes = CONTENT) -> None:
        data_server.write_registry(tmp_path / "registry.toml", content, *urls)
        monkeypatch.setattr(registry, "REGISTRY", tmp_path / "registry.toml")

    return register


def fetch(folder: Path, **options: Any) -> Path:
    (path,) = datasets.fetch("toy", folder, **FAST | options)
    return path


def leftovers(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.rglob("*") if p.is_file() and p.name != ".lock")


def test_a_file_comes_whole_and_only_once(
    server: data_server.DataServer, register: Callable, tmp_path: Path
) -> None:
    register(server.add("toy.bin", CONTENT))
    said: list[str] = []
    path = fetch(tmp_path / "data", say=said.append)
    assert path == tmp_path / "data" / "toy" / "toy.bin"
    assert path.read_bytes() == CONTENT
    assert leftovers(tmp_path / "data") == ["toy.bin"]
    assert path.stat().st_mode & 0o444 == 0o444 & ~_umask()
    assert fetch(tmp_path / "data", say=said.append) == path
    assert server.requests == [("toy.bin", None)]
    assert "SHA-256 right" in said[0]
    assert "there already" in said[1]


def _umask() -> int:
    value = os.umask(0)
    os.umask(value)
    return value


def test_a_file_under_its_other_name_is_taken_as_it_lies(
    register: Callable, tmp_path: Path
) -> None:
    register("http://127.0.0.1:9/never")
    there = tmp_path / "elsewhere" / "toy.bin"
    there.parent.mkdir()
    there.write_bytes(CONTENT)
    assert fetch(tmp_path) == there
    assert not (tmp_path / "toy").exists()


def test_a_damaged_file_is_replaced(
    server: data_server.DataServer, register: Callable, tmp_path: Path
) -> None:
    register(server.add("toy.bin", CONTENT))
    target = tmp_path / "toy" / "toy.bin"
    target.parent.mkdir()
    target.write_bytes(CONTENT[:-1] + b"!" if CONTENT[-1:] != b"!" else CONTENT[:-1] + b"?")
    assert fetch(tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize(
    "how",
    [
        {"drop_after": 100_000, "drops": 3},
        {"drop_after": 100_000, "drops": 2, "ignore_range": True},
        {"drop_after": 100_000, "drops": 2, "no_length": True},
        {"code": 503, "times": 2},
        {"code": 429, "times": 1},
        {"no_length": True},
        {"encoding": "gzip"},
        {"encoding": "x-gzip", "drop_after": 150_000, "drops": 1},
    ],
    ids=str,
)
def test_what_passes_is_survived(
    server: data_server.DataServer, register: Callable, tmp_path: Path, how: dict[str, Any]
) -> None:
    content = gzip.compress(CONTENT, 1) if "encoding" in how else CONTENT
    register(server.add("toy.bin", content, **how), content=content)
    assert fetch(tmp_path).read_bytes() == content
    assert leftovers(tmp_path / "toy") == ["toy.bin"]


def test_an_interrupted_download_is_continued_by_the_next_call(
    server: data_server.DataServer, register: Callable, tmp_path: Path
) -> None:
    register(server.add("toy.bin", CONTENT, drop_after=150_000, drops=1))
    with pytest.raises(DataError, match=r"147,456 bytes that came are kept"):
        fetch(tmp_path, attempts=0)
    assert leftovers(tmp_path) == [".toy.bin.part", "registry.toml"]
    assert fetch(tmp_path).read_bytes() == CONTENT
    assert server.requests == [("toy.bin", None), ("toy.bin", "bytes=147456-")]


@pytest.mark.parametrize("n", [10, 400_000, 400_001], ids=["start", "as long", "longer"])
def test_a_wrong_beginning_is_thrown_away(
    server: data_server.DataServer, register: Callable, tmp_path: Path, n: int
) -> None:
    register(server.add("toy.bin", CONTENT))
    part = tmp_path / "toy" / ".toy.bin.part"
    part.parent.mkdir()
    part.write_bytes(bytes(n))
    assert fetch(tmp_path).read_bytes() == CONTENT
    assert server.requests[-1] == ("toy.bin", None)


@pytest.mark.parametrize(
    ("how", "content", "words"),
    [
        ({}, CONTENT[:-1] + bytes([CONTENT[-1] ^ 1]), "content is wrong (SHA-256), it was removed"),
        ({}, CONTENT[:-1], "offers 399,999 bytes; the file has 400,000"),
        ({}, b"<html>log in first</html>", "offers 25 bytes"),
        ({"no_length": True}, CONTENT + b"more", "sends more than the 400,000 bytes"),
        ({"no_length": True}, CONTENT[:-1], "the file there is shorter"),
        ({"code": 404}, CONTENT, "HTTP 404 Not Found)"),
        ({"code": 403}, CONTENT, "HTTP 403 Forbidden)"),
        ({"code": 500}, CONTENT, "HTTP 500 Internal Server Error (3 attempts)"),
        ({"silence_s": 0.4}, CONTENT, "no answer in time (3 attempts)"),
        ({"trickle_s": 0.4, "ignore_range": True}, CONTENT, "no answer in time (3 attempts)"),
        ({"drop_after": 0}, CONTENT, "the connection broke off (3 attempts)"),
        ({"drop_after": 20_000, "wrong_range": True}, CONTENT, "another part of the file"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_pass_is_said_and_another_address_is_tried(
    server: data_server.DataServer,
    register: Callable,
    tmp_path: Path,
    how: dict[str, Any],
    content: bytes,
    words: str,
) -> None:
    bad = server.add("toy.bin", content, **how)
    register(bad)
    with pytest.raises(DataError) as caught:
        fetch(tmp_path)
    for part in (words, bad, "toy.bin of toy", str(tmp_path / "toy" / "toy.bin"), "STRIATE_DATA"):
        assert part in str(caught.value)
    assert not (tmp_path / "toy" / "toy.bin").exists()
    register(bad, server.add("mirror/toy.bin", CONTENT))
    assert fetch(tmp_path).read_bytes() == CONTENT
    assert leftovers(tmp_path / "toy") == ["toy.bin"]


def test_offline(register: Callable, tmp_path: Path) -> None:
    with socket.socket() as free:  # bound, not listening: connections are refused
        free.bind(("127.0.0.1", 0))
        register(f"http://127.0.0.1:{free.getsockname()[1]}/toy.bin")
        with pytest.raises(DataError, match=r"no connection \(3 attempts\).*put it at"):
            fetch(tmp_path)


def test_an_unknown_name_and_a_set_without_address(register: Callable, tmp_path: Path) -> None:
    register()
    with pytest.raises(DataError, match="has no address"):
        fetch(tmp_path)
    with pytest.raises(InputError, match=r"unknown data set 'toi'; accepted: toy"):
        datasets.fetch("toi", tmp_path)


def test_a_full_disk_is_known_before(
    server: data_server.DataServer,
    register: Callable,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    register(server.add("toy.bin", CONTENT))
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=100_000))
    with pytest.raises(DataError, match=r"needs 0.4 MB and the disk of .* has 0.1 MB left"):
        fetch(tmp_path)
    assert server.requests == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_fills_meanwhile(
    server: data_server.DataServer, register: Callable, tmp_path: Path
) -> None:
    register(server.add("toy.bin", CONTENT))
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy" / ".toy.bin.part").symlink_to("/dev/full")
    with pytest.raises(DataError, match=r"the disk of .* is full; make room and run it again"):
        fetch(tmp_path)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS])
def test_a_folder_that_cannot_be_written_to(
    register: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    register("http://127.0.0.1:9/toy.bin")  # nobody listens there

    def mkdir(*args: object, **kwargs: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(Path, "mkdir", mkdir)
    with pytest.raises(InputError, match=r"cannot write to the data folder .* \(.*\); name anoth"):
        fetch(tmp_path / "new")


def test_a_file_in_the_place_of_the_folder(register: Callable, tmp_path: Path) -> None:
    register("http://127.0.0.1:9/toy.bin")
    (tmp_path / "toy").write_text("in the way")
    with pytest.raises(InputError, match="cannot write to the data folder"):
        fetch(tmp_path)
    with pytest.raises(InputError, match="is a file; name a folder"):
        fetch(tmp_path / "toy")


def _child(folder: Path, registry_file: Path, queue: Any) -> None:
    registry.REGISTRY = registry_file
    said: list[str] = []
    path = fetch(folder, say=said.append, timeout_s=(2.0, 5.0))
    queue.put((path.read_bytes() == CONTENT, said))


def test_two_processes_at_once(
    server: data_server.DataServer, register: Callable, tmp_path: Path
) -> None:
    register(server.add("toy.bin", CONTENT, trickle_s=0.5))
    fork = multiprocessing.get_context("fork")
    queue = fork.Queue()
    arguments = (tmp_path / "data", tmp_path / "registry.toml", queue)
    children = [fork.Process(target=_child, args=arguments) for _ in range(2)]
    for child in children:
        child.start()
    results = [queue.get(timeout=60) for _ in children]
    for child in children:
        child.join()
    assert [right for right, _ in results] == [True, True]
    assert len(server.requests) == 1, "the second one took what the first had brought"
    lines = [line for _, said in results for line in said]
    for words in ("waiting", "there already", "fetched"):
        assert sum(words in line for line in lines) == 1, words
    assert leftovers(tmp_path / "data") == ["toy.bin"]


def test_a_killed_download_goes_on(
    server: data_server.DataServer, register: Callable, tmp_path: Path
) -> None:
    register(server.add("toy.bin", CONTENT, trickle_s=30.0))
    fork = multiprocessing.get_context("fork")
    child = fork.Process(
        target=_child, args=(tmp_path / "data", tmp_path / "registry.toml", fork.Queue())
    )
    child.start()
    part = tmp_path / "data" / "toy" / ".toy.bin.part"
    while not part.exists() or part.stat().st_size == 0:
        assert child.is_alive()
    child.kill()
    child.join()
    assert not (tmp_path / "data" / "toy" / "toy.bin").exists()
    server.behaviour["toy.bin"].trickle_s = 0.0
    assert fetch(tmp_path / "data").read_bytes() == CONTENT
    assert server.requests[-1][1] is not None, "continued, not begun anew"
