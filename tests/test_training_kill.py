"""Trainings in processes of their own: killed at any moment, and two for one network."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from small_trainings import SETUP, trained

from circuits.training import prepare
from toolkit.learning.training import CHECKPOINT

EARLIEST_S, LATEST_S = 0.05, 0.6  # until the kill; some steps and looks take as long


@pytest.fixture(scope="module")
def trainings() -> Iterator[subprocess.Popen[str]]:
    script = Path(__file__).with_name("small_trainings.py")
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


def test_two_processes_make_the_steps_of_one(tmp_path: Path) -> None:
    """Each has half of every batch; gradients, penalties and counts are of the whole of it."""
    script = Path(__file__).with_name("small_trainings.py")
    path = os.pathsep.join(map(str, (script.parent, script.parent.parent)))
    two, one = tmp_path / "two", tmp_path / "one"
    for folder in (one, two):
        folder.mkdir()
    done = subprocess.run(
        [sys.executable, str(script), str(two)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    alone = trained(prepare(SETUP), one)
    history, weights = state_of(two)["history"], weights_of(two)
    for row, right in zip(history, alone.history, strict=True):
        for name in ("step", "split", "items", "accuracy"):
            assert row[name] == right[name]
        for name in ("loss", "rate_E_Hz", "rate_I_Hz"):
            assert row[name] == pytest.approx(right[name], rel=1e-4)
    for name, value in weights_of(one).items():
        if not name.startswith("exp_avg"):
            away = (weights[name] - value).abs()
            assert float(away.double().mean()) < 1e-5, name


def ended(trainings: subprocess.Popen[str], folder: Path, steps: int, kill_s: float | None) -> int:
    """Exit code of a training that goes on in `folder`; minus 9 if it was killed in time."""
    assert trainings.stdin is not None and trainings.stdout is not None
    trainings.stdin.write(f"{folder} {steps}\n")
    trainings.stdin.flush()
    number = int(trainings.stdout.readline())
    if kill_s is not None:
        time.sleep(kill_s)
        os.kill(number, signal.SIGKILL)  # it is a zombie, at the least, until the answer is read
    return int(trainings.stdout.readline().split()[1])


def state_of(folder: Path) -> dict:
    """What the checkpoint in a folder holds."""
    content = (folder / CHECKPOINT).read_bytes()
    at = content.index(b"\n", content.index(b"\n") + 1) + 1
    (folder / "plain.pt").write_bytes(content[at:])
    return torch.load(folder / "plain.pt", weights_only=True)["state"]


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    """Weights, the best ones, and the optimiser's memory."""
    state = state_of(folder)
    best = {f"best {name}": value for name, value in state["best"][2].items()}
    moments = {
        f"{kind} {k}": value
        for k, of in state["optimiser"]["state"].items()
        for kind, value in of.items()
    }
    return {**state["weights"], **best, **moments}


@pytest.mark.parametrize(
    ("n_kills", "steps"),
    [
        pytest.param(2, 12, id="2 times"),
        pytest.param(20, 60, id="20 times", marks=pytest.mark.slow),
    ],
)
def test_killed_at_any_moment_it_ends_with_the_same_weights(
    tmp_path: Path, trainings: subprocess.Popen[str], n_kills: int, steps: int
) -> None:
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    for folder in (killed, whole):
        folder.mkdir()
    rng = np.random.default_rng(n_kills)
    codes = [
        ended(trainings, killed, steps, rng.uniform(EARLIEST_S, LATEST_S)) for _ in range(n_kills)
    ]
    assert codes.count(-signal.SIGKILL) > n_kills / 2, "most ended before they were killed"
    assert ended(trainings, killed, steps, None) == 0
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        trained(prepare(SETUP), whole, {"max_steps": steps})
    finally:
        torch.set_num_threads(before)
    left, right = weights_of(killed), weights_of(whole)
    assert left.keys() == right.keys()
    for name, value in right.items():
        assert torch.equal(left[name], value), name
    rest = [item.name for item in killed.iterdir() if item.name.startswith(".")]
    assert rest == []
