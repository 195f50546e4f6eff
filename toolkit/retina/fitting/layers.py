"""Parts that several models are made of: weights, starting rates, a rectified output."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from toolkit.retina.data import Steps


def normal_weights(*shape: int, generator: torch.Generator, scale: float = 1.0) -> nn.Parameter:
    """Normal ones of sd `scale` / sqrt(n), n being the inputs: the axis before the last."""
    return nn.Parameter(scale * torch.randn(shape, generator=generator) / shape[-2] ** 0.5)


class CellWeights(nn.Module):
    """Weights of each cell: those common to all cells, and its own deviations from them.

    Deviations start at 0 and cost their squares, so that cells with few spikes borrow from the
    others (partial pooling).

    start : (...), common weights before training
    n_cells : number of cells
    """

    def __init__(self, start: Tensor, n_cells: int) -> None:
        super().__init__()
        self.common = nn.Parameter(start.detach().clone())
        self.own = nn.Parameter(torch.zeros(n_cells, *start.shape))

    def forward(self) -> Tensor:
        """(cell, ...)."""
        return self.common + self.own

    def penalty(self) -> Tensor:
        """Sum of the squared deviations of a cell, mean over cells."""
        return self.own.square().flatten(1).sum(dim=1).mean()


def start_rates(steps: Steps, windows: np.ndarray | None) -> Tensor:
    """Mean counts a step of each cell in windows (None: all), at least one spike in all, (cell,).

    >>> from toolkit.retina.synthetic import synthetic_retina
    >>> steps = Steps(synthetic_retina(n_cells=2, n_trials=3, duration_s=3.0).experiment, 30)
    >>> bool((start_rates(steps, None) > 0).all())
    True
    """
    counts = steps.in_windows(steps.counts, windows)
    n = counts.shape[0] * counts.shape[1] * counts.shape[3]
    return torch.from_numpy((np.maximum(counts.sum(axis=(0, 1, 3)), 1) / n).astype("float32"))


class SoftplusRate(nn.Module):
    """``rate = ln(1 + exp(drive + baseline))``, spikes a step, of drives (..., cell).

    rates : (cell,), spikes a step that it gives to a drive of 0 before training
    """

    def __init__(self, rates: Tensor) -> None:
        super().__init__()
        self.baseline = nn.Parameter(rates.expm1().log())

    def rates(self, drive: Tensor) -> Tensor:
        """Rates of the same shape."""
        return nn.functional.softplus(drive + self.baseline)
