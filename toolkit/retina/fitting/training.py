"""Fitting of a model to windows of an experiment, resumed bit for bit."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from toolkit.errors import InputError, SimulationError
from toolkit.learning.checkpoints import load_checkpoint, save_checkpoint
from toolkit.progress import bar
from toolkit.retina.data import Split, Steps
from toolkit.retina.fitting.model import EncodingModel
from toolkit.retina.fitting.options import Options
from toolkit.retina.fitting.pieces import pieces, prepared
from toolkit.retina.fitting.prediction import piece_rates
from toolkit.retina.fitting.scoring import score

CHECKPOINT = "checkpoint.pt"


@dataclass
class Fitted:
    """A model with its best weights, and how it came to them.

    model : the one that was given
    history : of each look at the validation windows ``step``, ``seconds`` of training until then,
        ``loss`` of that step, ``cc`` on the validation windows
    best_step, best_cc : of the look whose weights the model has; CC is the mean over cells
    steps : of the optimiser that were made
    seconds : of training, those before a resumption among them
    stopped : what ended it: ``"steps"`` or ``"patience"``
    """

    model: EncodingModel
    history: list[dict[str, float]]
    best_step: int
    best_cc: float
    steps: int
    seconds: float
    stopped: str


def fit(
    model: EncodingModel,
    steps: Steps,
    split: Split,
    options: Options | None = None,
    *,
    folder: str | Path | None = None,
    show: bool | None = None,
) -> Fitted:
    """Fit on the training windows; keep the weights with the best CC on the validation windows.

    Those after the last step, of models without `EncodingModel.early_stopping`.

    Draws are functions of the seed and the number of the step, so a training that is killed goes
    on from its checkpoint bit for bit (CPU, the same number of threads).

    Parameters
    ----------
    model : changed in place
    steps, split : data; test windows are not looked at
    options : how; `Options` by default
    folder : where the checkpoint is; one that is there is gone on from
    show : progress bar, on a terminal by default

    Raises
    ------
    InputError : the checkpoint is of another model, data or options
    SimulationError : the loss or its gradient is not finite any more; the last checkpoint stays
    """
    o = options or Options()
    if not len(split.validation):
        raise InputError("the split has no validation windows, by which weights are chosen")
    path = Path(folder) / CHECKPOINT if folder is not None else None
    training = _Training(model, steps, split, o, path)
    saved = time.monotonic()
    with bar(o.steps, type(model).__name__, " steps", show) as progress:
        progress.update(training.at.step)
        while (stopped := training.ended()) is None:
            loss = training.step()
            progress.update(1)
            if training.at.step % o.look_every == 0 or training.at.step == o.steps:
                cc = training.look(loss)
                progress.set_postfix_str(f"loss {loss:.4f}, CC {cc:.3f}")
            if time.monotonic() - saved > o.checkpoint_s:
                training.save()
                saved = time.monotonic()
    training.save()
    at = training.at
    if at.best:
        model.load_state_dict(at.best)
    return Fitted(model, at.history, at.best_step, at.best_cc, at.step, at.seconds, stopped)


@dataclass
class _Progress:
    """What a checkpoint keeps beside weights and the optimiser's memory."""

    step: int = 0
    seconds: float = 0.0
    best_step: int = 0
    best_cc: float = -math.inf
    best: dict[str, torch.Tensor] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)


class _Training:
    """Model, data and optimiser, at a step."""

    def __init__(
        self, model: EncodingModel, steps: Steps, split: Split, options: Options, path: Path | None
    ) -> None:
        self.model, self.steps, self.options, self.path = model, steps, options, path
        self.rate = model.learning_rate if options.learning_rate is None else options.learning_rate
        self.optimiser = torch.optim.Adam(model.parameters(), lr=self.rate)
        self.mark = _mark(model, steps, split, options)
        self.at = self._restored()
        self.began = time.monotonic() - self.at.seconds
        run_in_ms = min(options.run_in_ms, model.memory_ms)
        self.data = pieces(steps, split.train, run_in_ms)
        self.held = pieces(steps, split.validation, run_in_ms)
        self.ready, self.shown, self.seen = prepared(model, steps, self.data.shown, self.held.shown)

    def _restored(self) -> _Progress:
        if self.path is None or not self.path.exists():
            return _Progress()
        kept = load_checkpoint(self.path, self.mark)
        self.model.load_state_dict(kept["model"])
        self.optimiser.load_state_dict(kept["optimiser"])
        return _Progress(**kept["progress"])

    def save(self) -> None:
        """Write the checkpoint, if there is a folder for it."""
        if self.path is not None:
            state = {
                "model": self.model.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "progress": dict(vars(self.at)),
            }
            save_checkpoint(self.path, state, self.mark)

    def ended(self) -> str | None:
        """By what, or None."""
        at, o = self.at, self.options
        if at.step >= o.steps:
            return "steps"
        waited = at.step - at.best_step >= o.patience * o.look_every
        if self.model.early_stopping and at.history and waited:
            return "patience"
        return None

    def step(self) -> float:
        """One step of the optimiser; gives the loss before it."""
        at, o = self.at, self.options
        share = at.step / o.steps
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate * 0.5 * (1 + math.cos(math.pi * share))
        generator = torch.Generator().manual_seed(o.seed * 1_000_003 + at.step)
        self.optimiser.zero_grad()
        features = self.model.encode(self.ready)[self.shown]
        loss = self.model.loss(features, self.data.batch, generator, share)
        self._check("loss", loss)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), o.clip)
        self._check("gradient's norm", norm)  # before the step, which would spoil the weights
        self.optimiser.step()
        at.step += 1
        at.seconds = time.monotonic() - self.began
        return loss.item()

    def _check(self, what: str, value: torch.Tensor) -> None:
        if not torch.isfinite(value):
            there = self.path is not None and self.path.exists()
            kept = f"{self.path} is as it was before. " if there else ""
            raise SimulationError(
                f"step {self.at.step}: the {what} is {value.item()}. {kept}"
                f"Try a learning rate below {self.rate:g}, from the start"
            )

    def look(self, loss: float) -> float:
        """CC on the validation windows; keeps the weights if it is the best one so far."""
        at = self.at
        cc = self._validation_cc()
        at.seconds = time.monotonic() - self.began
        at.history.append({"step": at.step, "seconds": at.seconds, "loss": loss, "cc": cc})
        if cc > at.best_cc or not self.model.early_stopping:
            at.best_cc, at.best_step = cc, at.step
            at.best = {k: v.clone() for k, v in self.model.state_dict().items()}
        return cc

    def _validation_cc(self) -> float:
        o, (mask, counts) = self.options, (self.held.batch.mask, self.held.batch.counts)
        rate = piece_rates(self.model, self.ready, self.seen, samples=o.samples, seed=o.seed)
        observed, predicted = (
            v[mask].numpy().reshape(len(mask), self.steps.n_bins, -1)
            for v in (counts.mean(dim=-1), rate)
        )
        return score(observed, predicted, self.steps.bin_ms)


def _mark(model: EncodingModel, steps: Steps, split: Split, options: Options) -> dict[str, Any]:
    """What tells this training from others."""
    return {
        "model": type(model).__name__,
        "settings": model.settings,
        "parameters": {n: list(p.shape) for n, p in model.named_parameters()},
        "experiment": steps.experiment.name,
        "bin_ms": float(steps.bin_ms),
        "train": split.train.tolist(),
        "validation": split.validation.tolist(),
        "options": {k: v for k, v in asdict(options).items() if k != "checkpoint_s"},
    }
