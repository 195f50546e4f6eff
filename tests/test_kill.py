"""Builds, saves and exports killed at any moment: the old one or the new one is there, whole."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from killed_runs import made, write

from circuits import v1
from converters.sonata import from_sonata, to_sonata
from toolkit import Network
from toolkit.errors import InputError

# Longest time until the kill, s: some rounds of writing.
LATEST_S = {"save": 0.15, "export": 0.3, "build": 1.0}


@pytest.fixture(scope="module")
def writers() -> Iterator[subprocess.Popen[str]]:
    script = Path(__file__).with_name("killed_runs.py")
    path = os.pathsep.join(map(str, (script.parent, script.parent.parent)))
    process = subprocess.Popen(
        [sys.executable, str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )
    yield process
    process.kill()
    process.communicate()


def start(writers: subprocess.Popen[str], work: str, path: Path) -> int:
    """Number of a new process that writes to `path` until it is killed."""
    assert writers.stdin is not None and writers.stdout is not None
    writers.stdin.write(f"{work} {path}\n")
    writers.stdin.flush()
    return int(writers.stdout.readline())


def kill(writers: subprocess.Popen[str], number: int) -> None:
    assert writers.stdout is not None
    os.kill(number, signal.SIGKILL)
    assert writers.stdout.readline() == "ended\n"


def digest(work: str, path: Path) -> str:
    found = from_sonata(path) if work == "export" else Network.load(path)
    return found.digest()


def both(work: str) -> set[str]:
    """Digests of the two networks that are written in turn."""
    if work == "build":
        return {v1.column(200, seed=seed).digest() for seed in (1, 2)}
    return {made(turn).digest() for turn in (0, 1)}


@pytest.mark.parametrize("work", LATEST_S)
@pytest.mark.parametrize(
    "seeds",
    [
        pytest.param(range(2), id="2 times"),
        pytest.param(range(2, 24), id="22 more", marks=pytest.mark.slow),
    ],
)
def test_killed_at_any_moment(
    tmp_path: Path, writers: subprocess.Popen[str], work: str, seeds: range
) -> None:
    path, known = tmp_path / "net.h5", both(work)
    write(work, path, 0)
    left = []
    for seed in seeds:
        number = start(writers, work, path)
        time.sleep(np.random.default_rng(seed).uniform(0.005, LATEST_S[work]))
        kill(writers, number)
        assert digest(work, path) in known
        beside = sorted(item.name for item in tmp_path.iterdir())
        assert len(beside) <= 2, "the next run removes what a killed one left"
        left.append(len(beside) == 2)
    write(work, path, 1)
    assert digest(work, path) in known
    assert [item.name for item in tmp_path.iterdir()] == ["net.h5"]
    if len(seeds) > 10 and work != "build":
        assert sum(left) > 3, "no kill came while something was being written"


@pytest.mark.parametrize("work", ["save", "export"])
def test_what_another_run_is_writing_stays(
    tmp_path: Path, writers: subprocess.Popen[str], work: str
) -> None:
    """A run removes what killed ones left, and nothing of those that run: here two of them."""
    path, known = tmp_path / "net.h5", both(work)
    number = start(writers, work, path)
    try:
        for turn in range(12):
            write(work, path, turn % 2)
            if work == "save":  # a folder may change while it is read, which is an error
                assert digest(work, path) in known
    finally:
        kill(writers, number)
    assert digest(work, path) in known


def test_what_a_killed_run_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "net.h5"
    for name in (".net.h5.abcd1234.writing", ".net.h5.tmp.abcd1234.writing", ".net.h5.old"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "half").write_text("half")
    held = tmp_path / ".net.h5.held1234.writing"
    held.mkdir()
    lock = os.open(held, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        write("save", path, 0)
    finally:
        os.close(lock)
    assert sorted(item.name for item in tmp_path.iterdir()) == [
        ".net.h5.held1234.writing",  # of a run that lives
        ".net.h5.old",
        ".net.h5.tmp.abcd1234.writing",  # of another file
        "net.h5",
    ]


def test_a_folder_between_two_steps_comes_back(tmp_path: Path) -> None:
    """Where folders cannot change places in one step, a kill can come when none is there."""
    write("export", tmp_path / "net", 0)
    place = tmp_path / ".net.abcd1234.writing"
    place.mkdir()
    (tmp_path / "net").rename(place / "previous")
    with pytest.raises(InputError, match="overwrite=True"):
        to_sonata(made(1), tmp_path / "net")
    assert digest("export", tmp_path / "net") == made(0).digest()
    assert [item.name for item in tmp_path.iterdir()] == ["net"]
