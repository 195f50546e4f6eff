"""Distances of spike trains through a post-synaptic potential, and the latents' divergence."""

from __future__ import annotations

import torch
from torch import Tensor

TAU_STEPS = 3.0  # of the post-synaptic potential; our choice (2 to 5 bins)


def psp(spikes: Tensor, tau: float = TAU_STEPS) -> Tensor:
    """r_t = (1 - 1/tau) r_{t-1} + y_t / tau over axis 1, r = 0 before (first-order synapse).

    >>> psp(torch.tensor([[1.0, 0.0]]), 2.0).tolist()
    [[0.5, 0.25]]
    """
    t = torch.arange(spikes.shape[1], dtype=spikes.dtype)
    lag = t[:, None] - t
    kernel = torch.where(lag >= 0, (1 - 1 / tau) ** lag.clamp(min=0) / tau, 0.0)
    return torch.einsum("ts,bs...->bt...", kernel, spikes)


def single_trial(recorded: Tensor, drawn: Tensor, tau: float = TAU_STEPS) -> Tensor:
    """``||r - rhat||^2`` of paired trains (window, step, cell), summed over steps, mean over rest.

    The form of a single trial; that the paper's has these weights is a reconstruction.
    """
    return (psp(recorded, tau) - psp(drawn, tau)).square().sum(dim=1).mean()


def mmd(
    recorded: Tensor, drawn: Tensor, tau: float = TAU_STEPS, width: float | None = None
) -> Tensor:
    """Unbiased squared MMD of trains (window, step, cell, trial), mean over windows and cells.

    The kernel of two trains is ``sum_t r^a_t r^b_t``, or with a `width`
    ``exp(-||r^a - r^b||^2 / (2 width^2))``. The linear one sees mean filtered rates only.

    With one trial, or one draw, its term of pairs is left out.
    """
    a, b = psp(recorded, tau), psp(drawn, tau)

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        inner = torch.einsum("wtci,wtcj->wcij", x, y)
        if width is None:
            return inner
        xx, yy = x.square().sum(dim=1)[..., None], y.square().sum(dim=1)[:, :, None]
        return torch.exp((2 * inner - xx - yy) / (2 * width**2))

    def within(x: Tensor) -> Tensor:
        n = x.shape[-1]
        k = kernel(x, x)
        pairs = k.sum(dim=(2, 3)) - k.diagonal(dim1=2, dim2=3).sum(dim=-1)
        return pairs / max(n * (n - 1), 1)

    return (within(a) + within(b) - 2 * kernel(a, b).mean(dim=(2, 3))).mean()


def divergence(mu_q: Tensor, log_q: Tensor, mu_p: Tensor, log_p: Tensor) -> Tensor:
    """KL(q || p) of diagonal Gaussians with logarithms of sd, elementwise."""
    return log_p - log_q + ((2 * log_q).exp() + (mu_q - mu_p) ** 2) / (2 * (2 * log_p).exp()) - 0.5
