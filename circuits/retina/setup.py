"""`Setup`: which model is trained on which part of which recording."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

import numpy as np

from toolkit.errors import InputError, unknown
from toolkit.retina.data import EXPERIMENTS, Experiment, Split, Steps, folds, load
from toolkit.retina.fitting import EncodingModel
from toolkit.retina.models import MODELS, make_model
from toolkit.retina.synthetic import synthetic_retina
from toolkit.retina.tecos.model import LOSSES

SYNTHETIC = "synthetic"
DATA = (SYNTHETIC, *EXPERIMENTS)
TECOS = tuple(name for name in MODELS if name.startswith("tecos"))


@dataclass(frozen=True)
class Setup:
    """What tells one training from another, beside how long it takes.

    data : of `DATA`
    model : of `toolkit.retina.models.MODELS`
    fold : which of `folds` blocks of windows is tested on
    bin_ms : width of a step; scores are in bins of 30 ms whatever it is
    seed : of initial weights and of training
    spiking : of TeCoS models, whether hidden units fire (the ablation: they do not)
    loss : of TeCoS models; None for the model's own

    Raises
    ------
    InputError : unknown names, a fold that is not there, options that the model has not
    """

    data: str = SYNTHETIC
    model: str = "tecos"
    fold: int = 0
    folds: int = 5
    bin_ms: float = 10.0
    seed: int = 1
    spiking: bool = True
    loss: str | None = None

    def __post_init__(self) -> None:
        for what, name, accepted in (("data", self.data, DATA), ("model", self.model, MODELS)):
            if name not in accepted:
                raise unknown(what, name, accepted)
        if not 0 <= self.fold < self.folds:
            raise InputError(
                f"fold {self.fold} of {self.folds}: folds are counted from 0 to {self.folds - 1}"
            )
        if self.model not in TECOS and not (self.spiking and self.loss is None):
            raise InputError(
                f"the model {self.model!r} has no hidden units that fire or not, and one loss; "
                f"--no-spiking and --loss are for {', '.join(TECOS)}"
            )
        if self.loss is not None and self.loss not in LOSSES:
            raise unknown("loss", self.loss, LOSSES)

    @classmethod
    def of(cls, values: dict[str, Any]) -> Setup:
        """From plain values, as they are in files. Raises `InputError` for other names."""
        if set(values) != {field.name for field in fields(cls)}:
            raise InputError(f"these are not the values of a setup: {', '.join(map(str, values))}")
        return cls(**values)

    @property
    def options(self) -> dict[str, Any]:
        """Of the model, those that are not its defaults, and its seed."""
        found: dict[str, Any] = {"seed": self.seed}
        if not self.spiking:
            found["spiking"] = False
        if self.loss is not None:
            found["loss"] = self.loss
        return found

    @property
    def name(self) -> str:
        """Of the model and its loss, for tables.

        >>> Setup(model="tecos-noisy", loss="single").name
        'tecos-noisy, single'
        """
        return self.model if self.loss is None else f"{self.model}, {self.loss}"

    @property
    def hidden(self) -> str:
        """Of the hidden units: ``"spiking"``, ``"not spiking"``, or nothing of other models."""
        if self.model not in TECOS:
            return ""
        return "spiking" if self.spiking else "not spiking"


@dataclass(frozen=True, eq=False)
class Prepared:
    """The data of a setup: steps of the cells that have spikes, and windows by part.

    cells : their numbers in the recording; silent : those of the cells that are left out
    """

    setup: Setup
    steps: Steps
    split: Split
    cells: np.ndarray
    silent: np.ndarray

    def model(self) -> EncodingModel:
        """The model at its initial weights.

        Raises `InputError` for a recording without receptive fields.
        """
        return make_model(self.setup.model, self.steps, self.split.train, **self.setup.options)


def prepare(setup: Setup) -> Prepared:
    """Read or make the data of a setup.

    Raises
    ------
    InputError : a width of steps or number of folds that the recording does not allow
    DataError : files are not there, or damaged
    """
    whole = experiment(setup.data)
    cells = np.setdiff1d(np.arange(whole.n_cells), whole.silent)
    steps = Steps(whole.only(cells), setup.bin_ms)
    split = folds(steps.experiment, setup.folds)[setup.fold]
    return Prepared(setup, steps, split, cells, whole.silent)


def experiment(data: str) -> Experiment:
    """Of `DATA`, all cells."""
    return _synthetic() if data == SYNTHETIC else load(data)


@lru_cache(maxsize=1)
def _synthetic() -> Experiment:
    return synthetic_retina().experiment
