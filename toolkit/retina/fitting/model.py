"""What every encoding model offers: features of frames, steps with explicit state, a loss."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

State = tuple[Tensor, ...]
Noise = tuple[Tensor, ...]  # each (sequence, step, ...)


class Outputs(NamedTuple):
    """Of each step: expected spikes, and 0/1 trains if the model draws them itself.

    rate : (sequence, step, cell), spikes a step
    spikes : the same shape, or None
    """

    rate: Tensor
    spikes: Tensor | None = None


class Batch(NamedTuple):
    """Pieces of sequences that a loss is computed on.

    counts : (sequence, step, cell, trial), spikes; mask : (sequence, step), where they are known
    """

    counts: Tensor
    mask: Tensor


class EncodingModel(nn.Module, ABC):
    """Interface of the models: frames to expected spikes.

    A model runs as ``prepare`` (constant work on frames, once), ``encode`` (learned, once a
    frame), then ``forward`` over steps, which takes the state and gives the next one. Running in
    pieces, with the noise of each, equals running in one go.

    learning_rate : of Adam, where none is given
    memory_ms : how far back features matter; pieces to train on need no longer a run-in
    early_stopping : whether training ends, and weights are kept, by CC on the validation windows;
        else those after the last step are
    settings : name and options it was made with, by which checkpoints are told apart
    """

    learning_rate = 1e-2
    memory_ms = math.inf
    early_stopping = True

    def __init__(self) -> None:
        super().__init__()
        self.settings: dict[str, Any] = {}

    @abstractmethod
    def prepare(self, contrast: np.ndarray) -> Tensor:
        """Contrast (frame, y, x) as what `encode` takes; no parameters take part."""

    @abstractmethod
    def encode(self, prepared: Tensor) -> Tensor:
        """Features of every frame, (frame, ...)."""

    @abstractmethod
    def start(self, n: int) -> State:
        """State of n sequences before their first step."""

    def noise(self, n: int, n_steps: int, generator: torch.Generator) -> Noise:  # noqa: ARG002
        """What `forward` draws on for n sequences; empty unless the model is stochastic."""
        return ()

    @abstractmethod
    def forward(self, features: Tensor, state: State, noise: Noise = ()) -> tuple[Outputs, State]:
        """Outputs of the steps of features (sequence, step, ...), and the state after them."""

    def loss(
        self,
        features: Tensor,
        batch: Batch,
        generator: torch.Generator,  # noqa: ARG002
        progress: float,  # noqa: ARG002
    ) -> Tensor:
        """What training makes small; `progress` is the share of it done, for warm-ups."""
        output, _ = self(features, self.start(len(features)))
        return poisson_loss(output.rate, batch) + self.penalty()

    def penalty(self) -> Tensor:
        """What parameters cost by themselves."""
        return torch.zeros(())


def poisson_loss(rate: Tensor, batch: Batch) -> Tensor:
    """Negative log-likelihood of the counts' mean over trials, nats a step and cell in the mask.

    All trials have one rate, so the likelihood depends on their mean only (derived).
    """
    mean = batch.counts.mean(dim=-1)[batch.mask]
    rate = rate[batch.mask].clamp(min=1e-6)
    return (rate - mean * rate.log()).mean()
