"""LIF layers, the post-synaptic potential's distances, the latents' divergence."""

from __future__ import annotations

import math

import pytest
import torch

from toolkit.retina.tecos.losses import divergence, mmd, psp, single_trial
from toolkit.retina.tecos.neurons import ALPHA, TAU, THRESHOLD, lif


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(ctx, u):
        ctx.save_for_backward(u)
        return (u >= THRESHOLD).to(u.dtype)

    @staticmethod
    def backward(ctx, grad):
        (u,) = ctx.saved_tensors
        return grad * ALPHA / math.sqrt(math.pi) * torch.exp(-((ALPHA * (u - THRESHOLD)) ** 2))


def plain(current: torch.Tensor, u: torch.Tensor) -> torch.Tensor:
    spikes = []
    for now in current:
        u = u / TAU + now
        o = _Step.apply(u)
        u = u * (1 - o)
        spikes.append(o)
    return torch.stack(spikes)


def test_the_scan_equals_a_plain_loop() -> None:
    generator = torch.Generator().manual_seed(1)
    current = torch.rand(30, 5, 4, generator=generator, dtype=torch.float64).requires_grad_()
    weight = torch.randn(30, 5, 4, generator=generator, dtype=torch.float64)
    u = torch.rand(5, 4, generator=generator, dtype=torch.float64)
    one, other = lif(current, u)[0], plain(current, u)
    assert torch.equal(one, other)
    assert 0.1 < one.mean() < 0.9
    a, b = (torch.autograd.grad((s * weight).sum(), current)[0] for s in (one, other))
    torch.testing.assert_close(a, b)


def test_noisy_units_fire_with_their_probability() -> None:
    current = torch.full((1, 100_000), 0.9)
    uniform = torch.rand(current.shape, generator=torch.Generator().manual_seed(1))
    spikes, chance, _ = lif(current, torch.zeros(100_000), uniform, 0.2)
    expected = 0.5 * math.erfc(0.1 / 0.2 / math.sqrt(2))
    assert chance[0, 0].item() == pytest.approx(expected, rel=1e-5)
    assert spikes.mean().item() == pytest.approx(expected, abs=0.006)  # 4 standard errors


def test_the_gradient_of_a_probability_is_exact() -> None:
    current = torch.tensor([[0.8]], dtype=torch.float64, requires_grad=True)
    _, chance, _ = lif(current, torch.zeros(1, dtype=torch.float64), torch.ones(1, 1).double(), 0.3)
    chance.sum().backward()
    density = math.exp(-((0.2 / 0.3) ** 2) / 2) / (0.3 * math.sqrt(2 * math.pi))
    assert current.grad.item() == pytest.approx(density)


def test_psp_follows_its_recursion() -> None:
    y = torch.randint(0, 2, (2, 12, 3), generator=torch.Generator().manual_seed(1)).double()
    r, tau = torch.zeros(2, 3, dtype=torch.float64), 3.0
    for t, found in enumerate(psp(y, tau).unbind(1)):
        r = (1 - 1 / tau) * r + y[:, t] / tau
        torch.testing.assert_close(found, r)


def test_mmd_is_that_of_all_pairs() -> None:
    generator = torch.Generator().manual_seed(2)
    a = torch.randint(0, 2, (1, 8, 1, 4), generator=generator).double()
    b = torch.randint(0, 2, (1, 8, 1, 3), generator=generator).double()
    for width in (None, 0.5):

        def k(x, y, width=width):
            x, y = psp(x[:, :, None])[0, :, 0], psp(y[:, :, None])[0, :, 0]
            away = (x - y).square().sum()
            return (x * y).sum() if width is None else (-away / (2 * width**2)).exp()

        def mean(u, v, k=k):
            same = u is v
            pairs = [
                k(u[:, :, 0, i], v[:, :, 0, j])
                for i in range(u.shape[-1])
                for j in range(v.shape[-1])
                if not (same and i == j)
            ]
            return sum(pairs) / len(pairs)

        expected = mean(a, a) + mean(b, b) - 2 * mean(a, b)
        torch.testing.assert_close(mmd(a, b, width=width), expected)


def test_equal_trains_are_at_no_distance() -> None:
    y = torch.ones(1, 5, 2)
    assert single_trial(y, y) == 0
    assert single_trial(y, 0 * y) > 0


def test_divergence_is_torchs() -> None:
    mu_q, log_q, mu_p, log_p = torch.randn(4, 7, generator=torch.Generator().manual_seed(1))
    expected = torch.distributions.kl_divergence(
        torch.distributions.Normal(mu_q, log_q.exp()), torch.distributions.Normal(mu_p, log_p.exp())
    )
    torch.testing.assert_close(divergence(mu_q, log_q, mu_p, log_p), expected)
