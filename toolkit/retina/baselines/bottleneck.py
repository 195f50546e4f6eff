"""IB-Disjoint and IB-GP: variational information bottlenecks over windows of the stimulus.

L = -E log p(y|z) + beta KL(q(z|x) || p(z)), with an independent standard normal prior (Disjoint;
reconstruction) or a Gaussian process over time (GP, after Rahmani et al. 2022; sizes, the kernel's
time constant and the local read-out are our choice). Latents look back `MEMORY_MS` and no further.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from toolkit.retina.data import Steps
from toolkit.retina.fitting.lags import Lagged, start_rates
from toolkit.retina.fitting.model import Batch, Noise, Outputs, State, poisson_loss

GP_MS, JITTER = 60.0, 0.1  # time constant of the prior, and share of white noise in it


class Bottleneck(Lagged):
    """Stochastic encoder of lagged features at each cell, ReLU decoder, Poisson counts.

    gp : whether the prior of a latent is correlated over the steps of a window
    """

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
        super().__init__(steps, filters, seed, 3e-3, 1.0)
        self.gp, self.beta, self.latents = gp, beta, latents
        generator, n = torch.Generator().manual_seed(seed + 1), self.n_cells

        def weights(n_in: int, n_out: int, scale: float) -> nn.Parameter:
            w = torch.randn(n, n_in, n_out, generator=generator)
            return nn.Parameter(scale * w / n_in**0.5)

        self.to_q = weights(filters * len(self.basis), 2 * latents, 0.5)
        self.to_hidden, self.to_out = weights(latents, units, 1.0), weights(units, 1, 0.1)
        self.offset = nn.Parameter(torch.full((n, units), 0.1))
        self.baseline = nn.Parameter(start_rates(steps, windows).expm1().log())

    def noise(self, n: int, n_steps: int, generator: torch.Generator) -> Noise:
        """Of the latents."""
        return (torch.randn(n, n_steps, self.n_cells, self.latents, generator=generator),)

    def _posterior(self, features: Tensor, state: State) -> tuple[Tensor, Tensor, State]:
        seen, state = self.filtered(features, state)
        mu, log_sd = torch.einsum("btcj,cjk->btck", seen.flatten(3), self.to_q).chunk(2, dim=-1)
        return mu, 0.5 * log_sd - 1.0, state

    def _rate(self, z: Tensor) -> Tensor:
        hidden = (torch.einsum("btcj,cjk->btck", z, self.to_hidden) + self.offset).relu()
        drive = torch.einsum("btcj,cj->btc", hidden, self.to_out[..., 0])
        return nn.functional.softplus(drive + self.baseline)

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
