"""Fitting a model to windows of an experiment, predicting with it, scoring it."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from toolkit.errors import InputError, SimulationError
from toolkit.learning.checkpoints import load_checkpoint, save_checkpoint
from toolkit.metrics import psth_correlation
from toolkit.progress import bar
from toolkit.retina.data import Split, Steps, rebinned
from toolkit.retina.fitting.model import Batch, EncodingModel, run

CHECKPOINT = "checkpoint.pt"
SCORED_MS = 30.0  # bins of the correlation
_CHUNK = 1 << 22  # values of a prediction at a time


@dataclass(frozen=True)
class Options:
    """How a model is fitted.

    steps : of the optimiser, at most; every one sees all training windows
    learning_rate : of Adam, falling to 0 along a cosine; None: the model's own
    run_in_ms : of the movie before each window; with a window of 300 ms, pieces of 1 s
    look_every : steps between looks at the validation windows
    patience : looks without a better correlation before the end
    samples : drawn for a look
    clip : largest norm of the gradient
    checkpoint_s : seconds between checkpoints
    """

    steps: int = 300
    learning_rate: float | None = None
    run_in_ms: float = 700.0
    look_every: int = 20
    patience: int = 8
    samples: int = 8
    clip: float = 1.0
    seed: int = 1
    checkpoint_s: float = 30.0

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("look_every", 1), ("patience", 1), ("samples", 1)):
            if getattr(self, name) < least:
                raise InputError(f"{name} must be {least} or more, got {getattr(self, name)}")
        if (
            not (self.learning_rate is None or self.learning_rate > 0)
            or not self.run_in_ms >= 0
            or not self.clip > 0
        ):
            raise InputError("learning_rate and clip must be above 0, run_in_ms 0 or more")


class Pieces(NamedTuple):
    """Pieces of sequences, one a window: shown (piece, step), and what is known in them."""

    shown: torch.Tensor
    batch: Batch


def pieces(steps: Steps, windows: np.ndarray, run_in_ms: float) -> Pieces:
    """Each window with a run-in before it (less at the start of a sequence, more after it)."""
    before = round(run_in_ms / steps.bin_ms)
    first, length = steps.first[windows], before + steps.n_bins
    if length > steps.window.shape[1]:
        length = steps.window.shape[1]
    start = np.clip(first - before, 0, steps.window.shape[1] - length)
    at = start[:, None] + np.arange(length)
    sequence = steps.experiment.sequence[windows][:, None]
    counts = torch.from_numpy(steps.counts[sequence, at].astype(np.float32))
    mask = torch.from_numpy(steps.window[sequence, at] == np.asarray(windows)[:, None])
    return Pieces(torch.from_numpy(steps.shown[sequence, at].astype(np.int64)), Batch(counts, mask))


@dataclass
class Fitted:
    """A model with its best weights, and how it came to them."""

    model: EncodingModel
    history: list[dict[str, float]]
    best_step: int
    best_cc: float
    steps: int
    seconds: float
    stopped: str


@dataclass
class _Progress:
    step: int = 0
    seconds: float = 0.0
    best_step: int = 0
    best_cc: float = -math.inf
    best: dict[str, torch.Tensor] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)


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

    Draws are functions of the seed and the number of the step, so a training that is killed goes
    on from its checkpoint bit for bit (CPU, the same number of threads).

    Parameters
    ----------
    model : changed in place
    steps, split : data; test windows are not looked at
    folder : where the checkpoint is; one that is there is gone on from
    show : progress bar, on a terminal by default

    Raises
    ------
    InputError : the checkpoint is of another model, data or options
    SimulationError : the loss is not a number any more; the last checkpoint stays
    """
    o = options or Options()
    if not len(split.validation):
        raise InputError("the split has no validation windows, by which weights are chosen")
    base = o.learning_rate if o.learning_rate is not None else model.learning_rate
    optimiser = torch.optim.Adam(model.parameters(), lr=base)
    mark = {
        "model": type(model).__name__,
        "settings": model.settings,
        "parameters": {n: list(p.shape) for n, p in model.named_parameters()},
        "experiment": steps.experiment.name,
        "bin_ms": float(steps.bin_ms),
        "train": split.train.tolist(),
        "validation": split.validation.tolist(),
        "options": {k: v for k, v in asdict(o).items() if k != "checkpoint_s"},
    }
    at = _Progress()
    path = Path(folder) / CHECKPOINT if folder is not None else None
    if path is not None and path.exists():
        kept = load_checkpoint(path, mark)
        model.load_state_dict(kept["model"])
        optimiser.load_state_dict(kept["optimiser"])
        at = _Progress(**kept["progress"])
    data = pieces(steps, split.train, o.run_in_ms)
    held = pieces(steps, split.validation, o.run_in_ms)
    prepared, shown, seen = _prepared(model, steps, data.shown, held.shown)

    def save() -> None:
        if path is not None:
            save_checkpoint(
                path,
                {
                    "model": model.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "progress": dict(vars(at)),
                },
                mark,
            )

    stopped, saved, began = "steps", time.monotonic(), time.monotonic() - at.seconds
    with bar(o.steps, type(model).__name__, " steps", show) as progress:
        progress.update(at.step)
        while at.step < o.steps:
            if at.history and at.step - at.best_step >= o.patience * o.look_every:
                stopped = "patience"
                break
            rate = base * 0.5 * (1 + math.cos(math.pi * at.step / o.steps))
            for group in optimiser.param_groups:
                group["lr"] = rate
            generator = torch.Generator().manual_seed(o.seed * 1_000_003 + at.step)
            optimiser.zero_grad()
            loss = model.loss(
                model.encode(prepared)[shown], data.batch, generator, at.step / o.steps
            )
            if not torch.isfinite(loss):
                raise SimulationError(
                    f"step {at.step}: the loss is {loss.item()}. "
                    + (f"{path} is as it was before. " if path is not None else "")
                    + f"Try a learning rate below {base:g}"
                )
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), o.clip)
            optimiser.step()
            at.step += 1
            progress.update(1)
            if at.step % o.look_every == 0 or at.step == o.steps:
                cc = _look(model, prepared, seen, held, steps, o)
                at.history.append(
                    {
                        "step": at.step,
                        "seconds": time.monotonic() - began,
                        "loss": loss.item(),
                        "cc": cc,
                    }
                )
                if cc > at.best_cc:
                    at.best_cc, at.best_step = cc, at.step
                    at.best = {k: v.clone() for k, v in model.state_dict().items()}
                progress.set_postfix_str(f"loss {loss.item():.4f}, CC {cc:.3f}")
            at.seconds = time.monotonic() - began
            if time.monotonic() - saved > o.checkpoint_s:
                save()
                saved = time.monotonic()
    save()
    if at.best:
        model.load_state_dict(at.best)
    return Fitted(model, at.history, at.best_step, at.best_cc, at.step, at.seconds, stopped)


def _prepared(model: EncodingModel, steps: Steps, *shown: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Frames that pieces show, prepared, and the pieces' numbers among them."""
    frames, inverse = torch.unique(torch.cat([s.flatten() for s in shown]), return_inverse=True)
    parts = torch.split(inverse, [s.numel() for s in shown])
    prepared = model.prepare(steps.contrast[frames.numpy()])
    return (prepared, *(p.reshape(s.shape) for p, s in zip(parts, shown, strict=True)))


@torch.no_grad()
def _look(
    model: EncodingModel,
    prepared: torch.Tensor,
    shown: torch.Tensor,
    held: Pieces,
    steps: Steps,
    o: Options,
) -> float:
    n = len(shown)
    generator = torch.Generator().manual_seed(o.seed)
    many = shown.repeat(o.samples, 1)
    output, _ = run(
        model,
        model.encode(prepared),
        many,
        model.start(len(many)),
        model.noise(len(many), shown.shape[1], generator),
    )
    rate = output.rate.reshape(o.samples, n, *output.rate.shape[1:]).mean(dim=0)
    cells = rate.shape[-1]
    predicted = rate[held.batch.mask].numpy()
    observed = held.batch.counts.mean(dim=-1)[held.batch.mask].numpy()
    per_window = (n, steps.n_bins, cells)
    return score(observed.reshape(per_window), predicted.reshape(per_window), steps.bin_ms)


def score(observed: np.ndarray, predicted: np.ndarray, bin_ms: float) -> float:
    """Mean CC over cells that vary, in bins of 30 ms, of (window, step, cell) one after another.

    A cell whose prediction is constant counts as 0; one that never fired is left out.
    """
    cc = cell_scores(observed, predicted, bin_ms)
    return float(np.nanmean(cc)) if np.isfinite(cc).any() else 0.0


def cell_scores(observed: np.ndarray, predicted: np.ndarray, bin_ms: float) -> np.ndarray:
    """CC of each cell, NaN where the recording does not vary."""
    factor = max(1, round(SCORED_MS / bin_ms))
    if observed.shape[1] % factor:
        factor = 1
    y, yhat = (
        np.moveaxis(rebinned(np.moveaxis(v.astype(float), 1, -1), factor), -1, 1).reshape(
            -1, v.shape[-1]
        )
        for v in (observed, predicted)
    )
    cc = np.asarray(psth_correlation(y, yhat))
    return np.where(np.ptp(y, axis=0) > 0, np.nan_to_num(cc), np.nan)


class Prediction(NamedTuple):
    """Rates (sequence, step, cell), spikes a step; 0/1 trains (sequence, step, cell, sample)."""

    rates: np.ndarray
    spikes: np.ndarray


@torch.no_grad()
def predict(model: EncodingModel, steps: Steps, *, samples: int = 30, seed: int = 1) -> Prediction:
    """Run over whole sequences from their first step.

    Trains of models that do not draw their own are 0/1 draws with P = 1 - exp(-rate). Of a
    stochastic model the rate is the mean over samples of what it expects in each.

    Raises
    ------
    InputError : fewer than one sample
    DataError : frames of another size than the model's fields lie in
    """
    if samples < 1:
        raise InputError(f"samples must be 1 or more, got {samples}")
    generator = torch.Generator().manual_seed(seed)
    shown = torch.from_numpy(steps.shown.astype(np.int64))
    prepared, shown = _prepared(model, steps, shown)
    features = model.encode(prepared)
    n_cells = steps.experiment.n_cells
    rates = np.zeros((*shown.shape, n_cells), np.float32)
    spikes = np.zeros((*shown.shape, n_cells, samples), np.uint8)
    at_once = max(1, _CHUNK // (shown.shape[1] * n_cells * samples))
    for q in range(0, len(shown), at_once):
        here = shown[q : q + at_once]
        n, length = here.shape
        draws = samples if model.noise(1, 1, torch.Generator()) else 1
        state = model.start(n * draws)
        for t in range(0, length, 500):
            part = here[:, t : t + 500].repeat(draws, 1)
            noise = model.noise(len(part), part.shape[1], generator)
            output, state = run(model, features, part, state, noise)
            rate = output.rate.reshape(draws, n, -1, n_cells)
            drawn = (
                output.spikes.reshape(rate.shape)
                if output.spikes is not None
                else torch.rand(samples, *rate.shape[1:], generator=generator) < -torch.expm1(-rate)
            )
            where = np.s_[q : q + n, t : t + part.shape[1]]
            rates[where] = rate.mean(dim=0).numpy()
            spikes[where] = drawn.to(torch.uint8).permute(1, 2, 3, 0).numpy()
    return Prediction(rates, spikes)


def evaluate(prediction: Prediction, steps: Steps, windows: np.ndarray) -> dict[str, Any]:
    """CC of each cell and their mean, in bins of 30 ms, over windows one after another."""
    cc = cell_scores(steps.psth(windows), steps.in_windows(prediction.rates, windows), steps.bin_ms)
    return {"cc": float(np.nanmean(cc)), "cells": cc}
