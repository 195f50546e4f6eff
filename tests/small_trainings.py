"""Trainings of a column of 300 neurons that take a second, and a program that is killed in them.

Run as a script: a line ``FOLDER STEPS`` on its standard input starts a process that trains, or goes
on, in FOLDER. The answers are its number, and ``ended CODE`` when it has ended. Importing takes
longer than training, so all of them are forks of one process that has imported everything. With a
folder as its argument it trains there by two connected processes.
"""

from __future__ import annotations

import dataclasses
import os
import socket
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from circuits.training import Penalties, Prepared, Setup, TrainingOptions, prepare, train
from toolkit.learning.processes import together
from toolkit.scan import Backend

SETUP = Setup(size=300, seed=3, tasks=("images",), images="digits")
OPTIONS = TrainingOptions(
    max_steps=6,
    batch_size=8,
    evaluate_every=2,
    validation_items=8,
    warm_up_steps=2,
    checkpoint_s=0,
    penalties=Penalties(rate_distribution=0.1),  # so that they matter in a few steps
)


def fresh(prepared: Prepared) -> Prepared:
    """The same with the weights of before training."""
    with torch.no_grad():
        for name, parameter in prepared.model.named_parameters():
            parameter.copy_(prepared.start[name])
    if not np.array_equal(prepared.model.curve.sigma_mV, prepared.start_sigma_mV):
        prepared.model.set_sigma(torch.from_numpy(prepared.start_sigma_mV))
    return prepared


def trained(prepared: Prepared, folder: Path | None = None, how: dict[str, Any] | None = None):
    """`train` from the start, with some options changed, on a backend that is always there."""
    options = dataclasses.replace(OPTIONS, **(how or {}))
    return train(
        fresh(prepared),
        options,
        folder=folder,
        resume=True,
        backend=Backend(),
        show_progress=False,
    )


def pair(folder: Path) -> None:
    """The same training by two connected processes, as `torchrun` would start them."""
    torch.set_num_threads(1)
    prepared = fresh(prepare(SETUP))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port), WORLD_SIZE="2")
    rank = 0 if os.fork() else 1
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank))
    with together() as processes:
        train(prepared, OPTIONS, folder=folder, backend=Backend(), processes=processes)
    if rank:
        os._exit(0)
    raise SystemExit(os.waitstatus_to_exitcode(os.wait()[1]))


def answer(text: str) -> None:
    """A line on the standard output."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def serve() -> None:
    """Fork a training for every line, and wait for its end."""
    torch.set_num_threads(1)  # threads do not survive a fork
    prepared = prepare(SETUP)
    for line in sys.stdin:
        folder, steps = line.split()
        number = os.fork()
        if number == 0:
            trained(prepared, Path(folder), {"max_steps": int(steps)})
            os._exit(0)
        answer(f"{number}")
        _, status = os.waitpid(number, 0)
        answer(f"ended {os.waitstatus_to_exitcode(status)}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        pair(Path(sys.argv[1]))
    serve()
