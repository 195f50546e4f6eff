"""Layers of leaky integrate-and-fire units over time, with surrogate gradients."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

TAU = 2.0  # steps; u_t = u_{t-1} / tau + I_t (confirmed in the authors' noisy-neuron code)
THRESHOLD = 1.0  # (confirmed there)
ALPHA = 1.0  # of the error-function surrogate (confirmed there)
SIGMA = 0.3  # of the noise; 0.2 to 0.4 there


class _Scan(torch.autograd.Function):
    """u_t = u_{t-1} / tau + I_t; o_t; u_t <- u_t (1 - o_t), in one node of the graph.

    Backward, with s_t = do_t/du_t (and dp_t/du_t) and a_t the adjoint of u_t before its reset:
    a_t = (go_t + gp_t) s_t + (a_{t+1} / tau) (1 - o_t - u_t s_t)      (derived)
    """

    @staticmethod
    def forward(
        ctx: Any, current: Tensor, u: Tensor, uniform: Tensor | None, sigma: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        membrane, spikes = torch.empty_like(current), torch.empty_like(current)
        chance = torch.empty_like(current) if uniform is not None else spikes
        for t in range(len(current)):
            v = membrane[t]
            torch.add(current[t], u, alpha=1 / TAU, out=v)
            if uniform is None:
                torch.ge(v, THRESHOLD, out=spikes[t])
            else:
                chance[t] = torch.special.ndtr((v - THRESHOLD) / sigma)
                torch.lt(uniform[t], chance[t], out=spikes[t])
            u = v * (1 - spikes[t])
        ctx.save_for_backward(membrane, spikes)
        ctx.sigma = None if uniform is None else sigma
        return spikes, chance.clone() if uniform is None else chance, u

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        u, o = ctx.saved_tensors
        away = u - THRESHOLD
        if ctx.sigma is None:
            slope = ALPHA / math.sqrt(math.pi) * torch.exp(-((ALPHA * away) ** 2))
        else:
            slope = torch.exp(-((away / ctx.sigma) ** 2) / 2) / (ctx.sigma * math.sqrt(2 * math.pi))
        out = (grads[0] + grads[1]) * slope
        keep = (1 - o - u * slope) / TAU
        for t in range(len(out) - 2, -1, -1):
            out[t].addcmul_(out[t + 1], keep[t])
        return out, None, None, None


def lif(
    current: Tensor, u: Tensor, uniform: Tensor | None = None, sigma: float = SIGMA
) -> tuple[Tensor, Tensor, Tensor]:
    """Spikes, their probability and the potential after the last step.

    Without `uniform`: o = 1 where u >= 1; the slope of the surrogate is that of the error
    function. With it, noisy units: o ~ Bernoulli(P), P = Phi((u - 1) / sigma), and the slope is the
    Gaussian density. Noise enters once, by the draw (the authors' code adds it to u as well).

    Parameters
    ----------
    current : (step, ...); u : (...), potential after the step before
    uniform : numbers in [0, 1), like `current`

    Examples
    --------
    >>> spikes, _, u = lif(torch.full((3, 1), 0.6), torch.zeros(1))
    >>> spikes.flatten().tolist(), round(u.item(), 4)     # 0.6, 0.9, 1.05: the third one fires
    ([0.0, 0.0, 1.0], 0.0)
    """
    found: tuple[Tensor, Tensor, Tensor] = _Scan.apply(current, u, uniform, sigma)
    return found[0], found[1], found[2].detach()
