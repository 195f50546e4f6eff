"""A training step of TeCoS-LVM beside a plain loop over steps in PyTorch: time and memory.

    python benchmarks/retina_step.py [--variant spikes|noisy|rate] [--cells 38] [--repeats 5]

On a synthetic retina, pieces of 1 s in steps of 10 ms. The plain loop makes the features of each
step from its pixels inside the loop, and every unit of every step is a few nodes of the graph;
loss and gradient are the same, which is checked.
"""

from __future__ import annotations

import argparse
import time
from types import SimpleNamespace

import torch
from torch import Tensor, nn

from toolkit.retina.data import Steps, folds
from toolkit.retina.fitting.model import Outputs
from toolkit.retina.fitting.pieces import pieces
from toolkit.retina.models import make_model
from toolkit.retina.synthetic import synthetic_retina
from toolkit.retina.tecos.losses import divergence
from toolkit.retina.tecos.model import TeCoS
from toolkit.runs import peak_memory_MB


class Fire(torch.autograd.Function):
    """A spike with the surrogate slope."""

    @staticmethod
    def forward(ctx, u, uniform):
        ctx.save_for_backward(u)
        ctx.noisy = uniform is not None
        chance = torch.special.ndtr((u - 1) / 0.3) if ctx.noisy else (u >= 1).to(u.dtype)
        spikes = (uniform < chance).to(u.dtype) if ctx.noisy else chance.clone()
        return spikes, chance

    @staticmethod
    def backward(ctx, one, other):
        (u,) = ctx.saved_tensors
        slope = (
            torch.exp(-(((u - 1) / 0.3) ** 2) / 2) / (0.3 * (2 * torch.pi) ** 0.5)
            if ctx.noisy
            else torch.exp(-((u - 1) ** 2)) / torch.pi**0.5
        )
        return (one + other) * slope, None


def plain_loss(m: TeCoS, pixels: Tensor, shown: Tensor, batch, generator) -> Tensor:
    """The loss of `TeCoS.loss`, one step after another; `pixels` (frame, cell, pixel)."""
    n, n_steps = shown.shape
    s = 1 if m.variant == "rate" else m.draws
    many = shown.repeat(s, 1)
    eps, *uniforms = m.noise(s * n, n_steps, generator)
    *start, past = m.start(s * n)
    h, u_in, u_hidden, u_out = (v.transpose(0, 1) for v in start)
    w = SimpleNamespace(**{name: each() for name, each in m.weights.items()})
    lags = m.in_time.lags
    kernel = m.in_time.weight.T @ lags.basis  # (map, lag)
    g, rates, spikes, kl = m.units, [], [], []
    each = lambda x, w: torch.einsum("bcg,cgk->bck", x, w)  # noqa: E731
    for t in range(n_steps):
        noise = [v[:, t] for v in uniforms] or [None, None, None]
        past = torch.cat([past, m.maps.features(pixels[many[:, t]])[:, None]], 1)
        recent = torch.einsum("blcmp,ml->bcmp", past[:, -lags.n_lags :].flip(1), kernel)
        v = u_in / 2 + (recent * w.gain[..., None] + w.offset[..., None]).flatten(2)
        x, _ = Fire.apply(v, noise[1])
        u_in = v * (1 - x)
        now = each(x, w.x_to_q) + each(h, w.h_to_q)
        prior = each(h, w.h_to_p)
        kl.append(
            divergence(
                now[..., :g], 0.5 * now[..., g:] - 1.5, prior[..., :g], 0.5 * prior[..., g:] - 1.5
            )
        )
        z = now[..., :g] + (0.5 * now[..., g:] - 1.5).exp() * eps[:, t]
        v = u_hidden / 2 + each(torch.cat([z, h], -1), w.to_hidden) + w.hidden_bias
        hidden, _ = Fire.apply(v, noise[2])
        u_hidden = v * (1 - hidden)
        out = each(hidden, w.to_out)[..., 0] + m.bias[:, 0]
        if m.variant == "rate":
            rates.append(nn.functional.softplus(out))
        else:
            v = u_out / 2 + out
            o, p = Fire.apply(v, noise[0])
            u_out = v * (1 - o)
            rates.append(p)
            spikes.append(o)
        a = torch.sigmoid(w.leak)
        h = a * h + (1 - a) * torch.tanh(each(x, w.x_to_h) + each(z, w.z_to_h))
    outputs = Outputs(torch.stack(rates, 1), torch.stack(spikes, 1) if spikes else None)
    distance = m._distance(outputs, batch, s, generator)
    return distance + m.beta * torch.stack(kl).mean() * g + m.penalty()


def measured(loss, model: TeCoS, repeats: int) -> tuple[float, float, list[Tensor]]:
    """Best time in s, the loss, and its gradients."""
    times = []
    for _ in range(repeats):
        model.zero_grad()
        began = time.perf_counter()
        value = loss()
        value.backward()
        times.append(time.perf_counter() - began)
    return min(times), value.item(), [p.grad.clone() for p in model.parameters()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--variant", default="spikes", choices=("spikes", "noisy", "rate"))
    parser.add_argument("--cells", type=int, default=38)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    experiment = synthetic_retina(n_cells=args.cells, n_trials=10, duration_s=15.0).experiment
    steps, split = Steps(experiment, 10), folds(experiment, 5)[0]
    model = make_model("tecos", steps, split.train, variant=args.variant)
    shown, batch = pieces(steps, split.train, 700.0)
    pixels = model.prepare(steps.contrast)

    def draws() -> torch.Generator:
        return torch.Generator().manual_seed(1)

    ways = {
        "Striate": lambda: model.loss(model.encode(pixels)[shown], batch, draws(), 1.0),
        "plain loop": lambda: plain_loss(model, pixels, shown, batch, draws()),
    }
    found = {}
    for name, loss in ways.items():
        found[name] = measured(loss, model, args.repeats)
        peak = peak_memory_MB()["peak_memory_MB"]
        print(f"{name:>10}: {found[name][0]:.3f} s, loss {found[name][1]:.6f}, peak {peak:.0f} MB")
    one, other = found.values()
    away = max(
        ((a - b).norm() / b.norm().clamp(min=1e-12)).item()
        for a, b in zip(one[2], other[2], strict=True)
    )
    print(f"{other[0] / one[0]:.1f} times as fast; gradients differ by {away:.1e} at most")


if __name__ == "__main__":
    main()
