"""A small synthetic retina for tests of `striate retina`, and a training on it that is killed.

Run as a script, with a folder as its argument: trains there and writes a checkpoint every step.
"""

from __future__ import annotations

import dataclasses
import functools
import sys
from pathlib import Path

import numpy as np
import torch

from circuits.retina import Setup, setup, train_run
from toolkit.retina.data import Experiment
from toolkit.retina.fitting import Options
from toolkit.retina.synthetic import synthetic_retina

SETUP = Setup(model="tecos-noisy", bin_ms=30.0)
OPTIONS = Options(steps=24, look_every=4, checkpoint_s=0.0)


@functools.lru_cache(maxsize=1)
def retina() -> Experiment:
    """Four cells of which number 2 is silent."""
    whole = synthetic_retina(n_cells=4, n_trials=4, duration_s=9.0, seed=1).experiment
    counts = whole.counts.copy()
    counts[:, 2] = 0
    return dataclasses.replace(whole, counts=counts)


def train_to(out: Path, *, resume: bool = False) -> None:
    """The training, on one thread."""
    train_run(SETUP, OPTIONS, out, "train", {}, resume=resume, say=lambda text: None, show=False)


def weights_in(out: Path) -> dict[str, np.ndarray]:
    """All arrays of a run, and its learning curve without the seconds."""
    with np.load(out / "weights.npz") as file:
        found = {name: file[name] for name in file.files if name != "about"}
    curve = np.genfromtxt(out / "learning_curve.csv", delimiter=",", names=True)
    return {**found, "loss": curve["loss"], "cc": curve["cc"]}


if __name__ == "__main__":
    torch.set_num_threads(1)
    setup._synthetic = retina
    train_to(Path(sys.argv[1]), resume=True)
