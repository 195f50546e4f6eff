"""Rates and spike trains that models predict: for whole sequences, and rates for pieces."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from toolkit.errors import InputError
from toolkit.retina.data import Steps
from toolkit.retina.fitting.model import EncodingModel
from toolkit.retina.fitting.pieces import prepared

_CHUNK = 1 << 22  # values of a prediction at a time
_STEPS = 500  # at a time


class Prediction(NamedTuple):
    """What a model expects over whole sequences.

    rates : float32 (sequence, step, cell), expected spikes a step
    spikes : uint8 (sequence, step, cell, sample), 0/1 trains: at most one spike a step
    """

    rates: np.ndarray
    spikes: np.ndarray


@torch.no_grad()
def predict(model: EncodingModel, steps: Steps, *, samples: int = 30, seed: int = 1) -> Prediction:
    """Run over whole sequences from their first step.

    Trains of models that do not draw their own are 0/1 draws with P = 1 - exp(-rate). Of a
    stochastic model the rate is the mean over samples of what it expects in each.

    Parameters
    ----------
    model : fitted, in steps of the same width
    steps : what is shown; its spikes are not looked at
    samples : trains of each cell, 1 or more
    seed : of all draws

    Raises
    ------
    InputError : fewer than one sample
    DataError : frames of another size than the model's fields lie in
    """
    if samples < 1:
        raise InputError(f"samples must be 1 or more, got {samples}")
    generator = torch.Generator().manual_seed(seed)
    shown = torch.from_numpy(steps.shown.astype(np.int64))
    ready, shown = prepared(model, steps, shown)
    features = model.encode(ready)
    n_cells = steps.experiment.n_cells
    rates = np.zeros((*shown.shape, n_cells), np.float32)
    spikes = np.zeros((*shown.shape, n_cells, samples), np.uint8)
    at_once = max(1, _CHUNK // (shown.shape[1] * n_cells * samples))
    for q in range(0, len(shown), at_once):
        here = shown[q : q + at_once]
        n, length = here.shape
        draws = samples if model.noise(1, 1, torch.Generator()) else 1
        state = model.start(n * draws)
        for t in range(0, length, _STEPS):
            part = here[:, t : t + _STEPS].repeat(draws, 1)
            noise = model.noise(len(part), part.shape[1], generator)
            output, state = model(features[part], state, noise)
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


@torch.no_grad()
def piece_rates(
    model: EncodingModel, ready: torch.Tensor, shown: torch.Tensor, *, samples: int, seed: int
) -> torch.Tensor:
    """Rates over pieces of sequences from no memory, mean over samples, (piece, step, cell).

    ready, shown : as `prepared` gives them
    """
    generator, parts = torch.Generator().manual_seed(seed), []
    features, n_steps = model.encode(ready), shown.shape[1]
    at_once = max(1, _CHUNK // (n_steps * samples * features[0].numel()))
    for here in torch.split(shown, at_once):
        many = here.repeat(samples, 1)
        noise = model.noise(len(many), n_steps, generator)
        output, _ = model(features[many], model.start(len(many)), noise)
        parts.append(output.rate.reshape(samples, *here.shape, -1).mean(dim=0))
    return torch.cat(parts)
