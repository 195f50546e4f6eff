"""IB-Disjoint and IB-GP: variational information bottlenecks over windows of the stimulus.

L = -E log p(y|z) + beta KL(q(z|x) || p(z)), with an independent standard normal prior (Disjoint;
reconstruction) or a Gaussian process over time (GP, after Rahmani et al. 2022; sizes, the kernel's
time constant, the local read-out and that cells share weights in part are our choice). Latents look
back `MEMORY_MS` and no further.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from toolkit.retina.data import Steps
from toolkit.retina.fitting.lags import MEMORY_MS, Lags
from toolkit.retina.fitting.layers import CellWeights, SoftplusRate, normal_weights, start_rates
from toolkit.retina.fitting.looking import Looking, SpatialFilters
from toolkit.retina.fitting.model import Batch, Noise, Outputs, State, poisson_loss

POOLING = 0.03  # weight of the squared differences of cells' weights; our choice
GP_MS, JITTER = 60.0, 0.1  # time constant of the prior, and share of white noise in it


class Bottleneck(Looking):
    """Stochastic encoder of lagged features at each cell, ReLU decoder, Poisson counts.

    Parameters
    ----------
    steps : data it is for
    windows : training windows, whose mean rates it starts at
    gp : whether the prior of a latent is correlated over the steps of a window
    seed : of the initial weights
    filters, latents, units : spatial filters, latents and decoder units of each cell
    beta : weight of the divergence, reached after a fifth of the training

    Features are (frame, cell, filter), latents (sequence, step, cell, latent).
    """

    memory_ms = MEMORY_MS

    def __init__(
        self,
        steps: Steps,
        windows: np.ndarray | None = None,
        *,
        gp: bool = False,
        seed: int = 1,
        filters: int = 2,
        latents: int = 4,
        units: int = 8,
        beta: float = 1e-4,
    ) -> None:
        super().__init__(steps)
        self.gp, self.beta, self.filters, self.latents = gp, beta, filters, latents
        self.spatial = SpatialFilters(self.half_width, filters, seed, smooth=3e-3, anchor=1.0)
        self.lags = Lags(self.bin_ms)
        draw = partial(normal_weights, generator=torch.Generator().manual_seed(seed + 1))
        start = {
            "to_q": draw(filters * len(self.lags.basis), 2 * latents, scale=0.5),
            "to_hidden": draw(latents, units),
            "offset": torch.full((units,), 0.1),
            "to_out": draw(units, 1, scale=0.1)[:, 0],
        }
        self.weights = nn.ModuleDict({k: CellWeights(v, self.n_cells) for k, v in start.items()})
        self.output = SoftplusRate(start_rates(steps, windows))

    def encode(self, prepared: Tensor) -> Tensor:
        """Contrast seen by each filter, (frame, cell, filter)."""
        return self.spatial.features(prepared)

    def start(self, n: int) -> State:
        """Grey before."""
        return (self.lags.start(n, self.n_cells, self.filters),)

    def penalty(self) -> Tensor:
        """Of the spatial filters, and of cells that differ from the others."""
        apart = [w.penalty() for w in self.weights.values() if isinstance(w, CellWeights)]
        return self.spatial.penalty() + POOLING * torch.stack(apart).sum()

    def noise(self, n: int, n_steps: int, generator: torch.Generator) -> Noise:
        """Of the latents."""
        return (torch.randn(n, n_steps, self.n_cells, self.latents, generator=generator),)

    def _posterior(self, features: Tensor, state: State) -> tuple[Tensor, Tensor, State]:
        seen, past = self.lags.projected(features, state[0])
        w = self.weights["to_q"]
        mu, log_sd = torch.einsum("btcj,cjk->btck", seen.flatten(3), w()).chunk(2, dim=-1)
        return mu, 0.5 * log_sd - 1.0, (past,)

    def _rate(self, z: Tensor) -> Tensor:
        w = {name: each() for name, each in self.weights.items()}
        hidden = (torch.einsum("btcj,cjk->btck", z, w["to_hidden"]) + w["offset"]).relu()
        return self.output.rates(torch.einsum("btcj,cj->btc", hidden, w["to_out"]))

    def forward(self, features: Tensor, state: State, noise: Noise = ()) -> tuple[Outputs, State]:
        """Rates; without noise at the mean of the latents."""
        mu, log_sd, state = self._posterior(features, state)
        z = mu + log_sd.exp() * noise[0] if noise else mu
        return Outputs(self._rate(z)), state

    def loss(
        self, features: Tensor, batch: Batch, generator: torch.Generator, progress: float
    ) -> Tensor:
        """Poisson, divergence, roughness."""
        mu, log_sd, _ = self._posterior(features, self.start(len(features)))
        noise = self.noise(mu.shape[0], mu.shape[1], generator)[0]
        rate = self._rate(mu + log_sd.exp() * noise)
        n = len(mu)
        mu, log_sd = (v[batch.mask].reshape(n, -1, *v.shape[2:]) for v in (mu, log_sd))
        kl = self._divergence(mu, log_sd)
        return poisson_loss(rate, batch) + self.beta * min(1, 5 * progress) * kl + self.penalty()

    def _divergence(self, mu: Tensor, log_sd: Tensor) -> Tensor:
        """Mean over windows, cells, latents and steps of KL(q || p)."""
        variance, n = (2 * log_sd).exp(), mu.shape[1]
        if not self.gp:
            return (0.5 * (variance + mu.square() - 1) - log_sd).mean()
        t = torch.arange(n) * self.bin_ms
        prior = (1 - JITTER) * torch.exp(-(((t[:, None] - t) / GP_MS) ** 2) / 2)
        prior = prior + JITTER * torch.eye(n)
        inverse = torch.linalg.inv(prior)
        flat = mu.transpose(1, 3).flatten(0, 2)
        distance = ((flat @ inverse) * flat).sum(dim=-1).mean()
        trace = (variance.mean(dim=(0, 2, 3)) * inverse.diagonal()).sum()
        logs = torch.logdet(prior) - 2 * log_sd.mean(dim=(0, 2, 3)).sum()
        return 0.5 * (trace + distance - n + logs) / n
