"""LN, and LNP with an after-spike filter (a GLM): Poisson counts of a filtered stimulus.

Chichilnisky 2001 (LN), Pillow et al. 2008 (after-spike filter). Rank of the filters in space and
time, their bases and penalties are our choice.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from toolkit.retina.data import Steps
from toolkit.retina.fitting.lags import MEMORY_MS, Lags
from toolkit.retina.fitting.layers import start_rates
from toolkit.retina.fitting.looking import Looking, SpatialFilters
from toolkit.retina.fitting.model import Batch, Noise, Outputs, State
from toolkit.retina.fitting.patches import cosines

HISTORY_MS = 80.0
MAX_LOG = 3.0  # exp(3) = 20 spikes a step; keeps a simulation with feedback finite


class LN(Looking):
    """``rate = exp(b + sum_l k_l (spatial . contrast_{t-l}))``, in spikes a step.

    Parameters
    ----------
    steps : data it is for
    windows : training windows, whose mean rates it starts at
    seed : without effect: it starts at the fields' outlines, and without filters in time
    smooth, anchor : weights of the spatial filters' roughness and distance from the outlines
    ridge : weight of the squares of the temporal weights

    Attributes
    ----------
    spatial : `SpatialFilters`, one of each cell
    temporal : (cell, cosine); `temporal_filters` in lags
    """

    memory_ms = MEMORY_MS

    def __init__(
        self,
        steps: Steps,
        windows: np.ndarray | None = None,
        *,
        seed: int = 1,
        smooth: float = 3e-3,
        anchor: float = 1.0,
        ridge: float = 0.3,
    ) -> None:
        super().__init__(steps)
        self.ridge = ridge
        self.spatial = SpatialFilters(self.half_width, 1, seed, smooth, anchor)
        self.lags = Lags(self.bin_ms)
        self.temporal = nn.Parameter(torch.zeros(self.n_cells, len(self.lags.basis)))
        self.baseline = nn.Parameter(start_rates(steps, windows).log())

    def encode(self, prepared: Tensor) -> Tensor:
        """Contrast seen by each cell, (frame, cell, 1)."""
        return self.spatial.features(prepared)

    def start(self, n: int) -> State:
        """Grey before."""
        return (self.lags.start(n, self.n_cells, 1),)

    def drive(self, features: Tensor, state: State) -> tuple[Tensor, State]:
        """Log rate without after-spike effects, (sequence, step, cell)."""
        seen, past = self.lags.projected(features, state[0])
        return torch.einsum("btcgk,ck->btc", seen, self.temporal) + self.baseline, (past,)

    def forward(self, features: Tensor, state: State, noise: Noise = ()) -> tuple[Outputs, State]:  # noqa: ARG002
        """Rates."""
        log_rate, state = self.drive(features, state)
        return Outputs(log_rate.clamp(max=MAX_LOG).exp()), state

    def penalty(self) -> Tensor:
        """Of space, and the squares of the temporal weights."""
        return self.spatial.penalty() + self.ridge * self.temporal.square().mean()

    def temporal_filters(self) -> Tensor:
        """(cell, lag), lag 0 being the same step."""
        return self.temporal.detach() @ self.lags.basis


class GLM(LN):
    """LN with a filter of the cell's own spikes before, fitted to recorded trials (all of them).

    Spikes before a window are unknown and taken as none, in the fit. A prediction draws spikes
    and feeds them back; 0/1 a step, with P = 1 - exp(-rate). Parameters are those of `LN`.
    """

    past: Tensor

    def __init__(self, steps: Steps, windows: np.ndarray | None = None, **options: Any) -> None:
        super().__init__(steps, windows, **options)
        n = max(1, round(HISTORY_MS / self.bin_ms))
        self.register_buffer("past", cosines(min(5, n), n))
        self.after = nn.Parameter(torch.zeros(self.n_cells, len(self.past)))

    def after_spike_filters(self) -> Tensor:
        """(cell, lag), lag 0 being the next step."""
        return (self.after @ self.past).detach()

    def start(self, n: int) -> State:
        """No spikes before."""
        return (*super().start(n), torch.zeros(n, self.past.shape[1], self.n_cells))

    def noise(self, n: int, n_steps: int, generator: torch.Generator) -> Noise:
        """Uniform numbers."""
        return (torch.rand(n, n_steps, self.n_cells, generator=generator),)

    def forward(self, features: Tensor, state: State, noise: Noise = ()) -> tuple[Outputs, State]:
        """Rates given the spikes drawn; without noise nothing fires."""
        log_rate, lags = self.drive(features, state[:1])
        kernel, past = (self.after @ self.past).T, state[1]
        p, spikes = torch.empty_like(log_rate), torch.zeros_like(log_rate)
        for t in range(log_rate.shape[1]):
            rate = (log_rate[:, t] + (past * kernel).sum(dim=1)).clamp(max=MAX_LOG).exp()
            p[:, t] = -torch.expm1(-rate)
            if noise:
                spikes[:, t] = (noise[0][:, t] < p[:, t]).to(p.dtype)
            past = torch.cat([spikes[:, t : t + 1], past[:, :-1]], dim=1)
        return Outputs(p, spikes), (*lags, past)

    def loss(
        self,
        features: Tensor,
        batch: Batch,
        generator: torch.Generator,  # noqa: ARG002
        progress: float,  # noqa: ARG002
    ) -> Tensor:
        """Poisson, each trial with its own past."""
        log_rate, _ = self.drive(features, self.start(len(features))[:1])
        counts = batch.counts * batch.mask[:, :, None, None]
        n, length = counts.shape[1], self.past.shape[1]
        before = nn.functional.pad(counts, (0, 0, 0, 0, length, 0))
        seen = torch.stack([before[:, length - 1 - i : length - 1 - i + n] for i in range(length)])
        known = batch.mask
        seen = torch.einsum("lkcr,cl->kcr", seen[:, known], self.after @ self.past)
        log_trial = (log_rate[known][..., None] + seen).clamp(max=MAX_LOG)
        return (log_trial.exp() - counts[known] * log_trial).mean() + self.penalty()
