"""TeCoS-LVM, TeCoS-LVM Noisy and TeCoS-LVM Rate (Ma, Jiang, Yan and Tang, NeurIPS 2023).

Confirmed in the sources: latents z_t, four operations a step (prior, encoder, decoder, update of a
hidden state), recorded spike trains as targets, three variants, spiking hidden units or not, LIF
and noisy LIF units. Reconstructed: the Gaussian forms below and the weight of the divergence. Our
choice: that everything is local to the receptive field of a cell (13 s of responses do not allow
dense layers), all sizes, the leaky form of the hidden state, the training, that cells share weights
in part (`CellWeights`; each with its own, movies were predicted worse than by LN), and that hidden
units x_t are driven by feature maps at 3 x 3 places around the field, through filters in time of
300 ms. Driven by single frames they stay on as long as a picture does, while recorded cells stop
after some 80 ms.

    prior      p(z_t | h_{t-1})      = N(mu_p, sigma_p^2)
    encoder    q(z_t | x_t, h_{t-1}) = N(mu_q, sigma_q^2),   x_t: hidden units driven by the frames
    decoder    LIF(W LIF(V [z_t, h_{t-1}]))
    hidden     h_t = a h_{t-1} + (1 - a) tanh(C z_t + D x_t)
"""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from toolkit.errors import InputError, unknown
from toolkit.retina.data import Steps
from toolkit.retina.fitting.layers import CellWeights, normal_weights, start_rates
from toolkit.retina.fitting.looking import Looking
from toolkit.retina.fitting.maps import KERNEL, PLACES, Maps, TimeFilters
from toolkit.retina.fitting.model import Batch, Noise, Outputs, State
from toolkit.retina.tecos.losses import divergence, mmd, single_trial
from toolkit.retina.tecos.neurons import SIGMA, lif

VARIANTS = ("spikes", "noisy", "rate")
LOSSES = ("distribution", "gaussian", "single", "bernoulli")
TIME_SPREAD = 0.2  # of the weights of filters in time at the start, relative
MAP_SD, MAP_SPREAD = 1.5, 0.5  # pixels, and relative: maps start as Gaussians that differ
SQUARES = 1e-3  # weight of the squares of what all cells share; that of the CNN


def biphasic(lag_ms: Tensor) -> Tensor:
    """Where filters in time start: 60 ms back, less half of what was 130 ms back (our choice)."""
    early, late = (((lag_ms - at) / sd).square() for at, sd in ((60, 35), (130, 60)))
    return torch.exp(-early) - 0.5 * torch.exp(-late)


def _blob() -> Tensor:
    """A Gaussian of norm 1, (y, x)."""
    away = torch.arange(KERNEL) - KERNEL // 2
    blob = torch.exp(-(away[:, None].square() + away.square()) / (2 * MAP_SD**2))
    return blob / blob.norm()


class TeCoS(Looking):
    """One of the three models.

    Parameters
    ----------
    steps : data it is for
    windows : training windows, whose mean rates it starts near
    variant : ``"spikes"`` (TeCoS-LVM), ``"noisy"`` or ``"rate"`` (squared error of rates)
    spiking : whether hidden units fire; ReLU units otherwise, the output stage being the same
    loss : ``"distribution"`` (MMD, linear kernel of the potentials), ``"gaussian"`` (the same
        with a Gaussian kernel), ``"single"`` (a trial drawn each time) or ``"bernoulli"`` (noisy)
    n_maps : feature maps; a cell has a hidden unit x_t for each of their 3 x 3 places
    units : latents and state variables of each cell; decoder units, too
    beta : weight of the divergence, reached after `warm_up` of the training
    draws : samples of each window in a training step
    seed : of the initial weights
    pooling : weight of the squared differences of a cell's weights from those common to all cells
    """

    learning_rate = 2e-2  # at 4e-2 noisy units may all fall silent, and movies are predicted worse
    early_stopping = False  # weights do not get worse, and few windows choose badly

    def __init__(
        self,
        steps: Steps,
        windows: np.ndarray | None = None,
        *,
        variant: str = "spikes",
        spiking: bool = True,
        loss: str | None = None,
        n_maps: int = 2,
        units: int = 4,
        beta: float = 1e-3,
        warm_up: float = 0.2,
        draws: int = 2,
        seed: int = 1,
        pooling: float = 0.03,
    ) -> None:
        super().__init__(steps)
        if variant not in VARIANTS:
            raise unknown("variant", variant, VARIANTS)
        self.kind = loss or ("bernoulli" if variant == "noisy" else "distribution")
        if self.kind not in LOSSES:
            raise unknown("loss", self.kind, LOSSES)
        if self.kind == "bernoulli" and variant != "noisy":
            raise InputError("a Bernoulli likelihood needs probabilities: variant='noisy'")
        self.variant, self.spiking, self.beta = variant, spiking, beta
        self.warm_up, self.draws, self.units, self.pooling = warm_up, draws, units, pooling
        n, g = self.n_cells, units
        self.n_maps = n_maps
        generator = torch.Generator().manual_seed(seed + 1)
        self.maps = Maps(n_maps, generator)
        self.in_time = TimeFilters(n_maps, self.bin_ms, generator)
        with torch.no_grad():
            for weight, like, spread in (
                (self.maps.weight, _blob(), MAP_SPREAD),
                (self.in_time.weight, self.in_time.lags.weights_of(biphasic)[:, None], TIME_SPREAD),
            ):
                drawn = torch.randn(weight.shape, generator=generator)
                weight.copy_(like * (1 + spread * drawn))
        draw = partial(normal_weights, generator=generator)
        n_seen = n_maps * PLACES
        tau = torch.logspace(math.log10(20.0), math.log10(300.0), g) / self.bin_ms
        start = {
            "gain": 0.5 * torch.tensor([1.0, -1.0]).repeat(n_maps)[:n_maps],  # ON and OFF
            "offset": torch.full((n_maps,), 0.4),
            "x_to_q": draw(n_seen, 2 * g),
            "h_to_q": draw(g, 2 * g, scale=0.3),
            "h_to_p": draw(g, 2 * g, scale=0.1),
            "z_to_h": draw(g, g),
            "x_to_h": draw(n_seen, g),
            "leak": (1 / tau.clamp(min=0.3)).expm1().log().neg(),
            "to_hidden": draw(2 * g, g),
            "hidden_bias": torch.full((g,), 0.5),
            "to_out": draw(g, 1, scale=0.3),
        }
        self.weights = nn.ModuleDict({k: CellWeights(v, n) for k, v in start.items()})
        rate = start_rates(steps, windows)
        if variant == "rate":
            bias = rate.expm1().log()
        else:
            bias = torch.special.ndtri(rate.clamp(max=0.9)) * SIGMA * 1.3 + 1.0
        self.bias = nn.Parameter(bias[:, None] / (1 if variant == "rate" else 2))

    def encode(self, prepared: Tensor) -> Tensor:
        """The maps around each cell, (frame, cell, map, place)."""
        return self.maps.features(prepared)

    def start(self, n: int) -> State:
        """No memory: h = 0, all potentials 0, grey before."""
        h = torch.zeros(self.n_cells, n, self.units)
        u_in = torch.zeros(self.n_cells, n, self.n_maps * PLACES)
        past = self.in_time.lags.start(n, self.n_cells, self.n_maps, PLACES)
        return (h, u_in, h, torch.zeros(self.n_cells, n), past)

    def penalty(self) -> Tensor:
        """Squares of what all cells share in seeing, and cells that differ from the others."""
        shared = self.maps.weight.square().sum() + self.in_time.weight.square().sum()
        apart = [w.penalty() for w in self.weights.values() if isinstance(w, CellWeights)]
        return SQUARES * shared + self.pooling * torch.stack(apart).sum()

    def noise(self, n: int, n_steps: int, generator: torch.Generator) -> Noise:
        """Of the latents; of noisy units, uniform numbers."""
        shape = (n, n_steps, self.n_cells, self.units)
        eps = torch.randn(shape, generator=generator)
        if self.variant != "noisy":
            return (eps,)
        layers = (self.n_maps * PLACES, self.units) if self.spiking else ()
        wide = [torch.rand((*shape[:3], width), generator=generator) for width in layers]
        return (eps, torch.rand(shape[:3], generator=generator), *wide)

    def _hidden(self, current: Tensor, u: Tensor, uniform: Tensor | None) -> tuple[Tensor, Tensor]:
        if not self.spiking:
            return current.relu(), u
        spikes, _, u = lif(current, u, uniform)
        return spikes, u

    def _run(self, features: Tensor, state: State, noise: Noise) -> tuple[Outputs, State, Tensor]:
        """Outputs, state, and the mean divergence of a cell's latents.

        The state may be of several draws of each sequence; the past is one of a sequence.
        """
        h, u_in, u_hidden, u_out, past = state
        w = {name: each() for name, each in self.weights.items()}
        seen, past = self.in_time.filtered(features, past)
        if not noise:
            noise = self.noise(h.shape[1], features.shape[1], torch.Generator().manual_seed(0))
        # Steps first, then cells: a step is one block of memory and a product a cell.
        eps, *others = (v.transpose(0, 1).transpose(1, 2).contiguous() for v in noise)
        out_noise, in_noise, hidden_noise = (*others, None, None, None)[:3]
        x = seen.permute(1, 3, 2, 0, 4)  # (step, cell, sequence, map, place)
        x = x * w["gain"][:, None, :, None] + w["offset"][:, None, :, None]
        x = x.flatten(3).repeat(1, 1, h.shape[1] // len(features), 1)
        x, u_in = self._hidden(x, u_in, in_noise)
        h_to_q, z_to_h, g = w["h_to_q"], w["z_to_h"], self.units
        to_q, to_h = x @ w["x_to_q"], x @ w["x_to_h"]
        a = torch.sigmoid(w["leak"])[:, None].expand_as(h).contiguous()
        states, latents, q = [], [], []
        for draw, from_x, drive in zip(eps.unbind(0), to_q.unbind(0), to_h.unbind(0), strict=True):
            states.append(h)
            now = torch.baddbmm(from_x, h, h_to_q)
            z = torch.addcmul(now[..., :g], (0.5 * now[..., g:] - 1.5).exp(), draw)
            h = torch.lerp(torch.baddbmm(drive, z, z_to_h).tanh(), h, a)
            q.append(now)
            latents.append(z)
        before, z = torch.stack(states), torch.stack(latents)
        mu_q, log_q = torch.stack(q).chunk(2, dim=-1)
        mu_p, log_p = (before @ w["h_to_p"]).chunk(2, dim=-1)
        # Both logarithms of sd have the same form, so that they start alike.
        kl = divergence(mu_q, 0.5 * log_q - 1.5, mu_p, 0.5 * log_p - 1.5)
        current = torch.cat([z, before], -1) @ w["to_hidden"] + w["hidden_bias"][:, None]
        hidden, u_hidden = self._hidden(current, u_hidden, hidden_noise)
        out = (hidden @ w["to_out"])[..., 0] + self.bias
        if self.variant == "rate":
            chance, spikes = nn.functional.softplus(out), None
        else:
            spikes, chance, u_out = lif(out, u_out, out_noise)
            spikes = spikes.permute(2, 0, 1)
        return (
            Outputs(chance.permute(2, 0, 1), spikes),
            (h, u_in, u_hidden, u_out, past),
            kl.mean() * g,
        )

    def forward(self, features: Tensor, state: State, noise: Noise = ()) -> tuple[Outputs, State]:
        """Rates and spikes; latents are drawn from the encoder, since the stimulus is known."""
        outputs, state, _ = self._run(features, state, noise)
        return outputs, state

    def loss(
        self, features: Tensor, batch: Batch, generator: torch.Generator, progress: float
    ) -> Tensor:
        """Distance of trains (or rates) in the mask, and the divergence with its warm-up."""
        n, n_steps = features.shape[:2]
        s = 1 if self.variant == "rate" else self.draws
        noise = self.noise(s * n, n_steps, generator)
        state = (*self.start(s * n)[:-1], self.start(n)[-1])
        outputs, _, kl = self._run(features, state, noise)
        beta = self.beta * min(1.0, progress / self.warm_up if self.warm_up else 1.0)
        return self._distance(outputs, batch, s, generator) + beta * kl + self.penalty()

    def _distance(self, outputs: Outputs, batch: Batch, s: int, g: torch.Generator) -> Tensor:
        n = len(batch.mask)

        def windows(v: Tensor) -> Tensor:  # the steps of each piece's window
            return v[batch.mask].reshape(n, -1, *v.shape[2:])

        counts = windows(batch.counts)
        if self.variant == "rate":
            return (windows(outputs.rate) - counts.mean(dim=-1)).square().sum(dim=1).mean()
        drawn = outputs.rate if self.kind == "bernoulli" else outputs.spikes
        assert drawn is not None
        drawn = torch.stack([windows(v) for v in drawn.chunk(s)], dim=-1)
        fired = counts.clamp(max=1)
        if self.kind == "bernoulli":
            p, y = drawn.clamp(1e-5, 1 - 1e-5), fired.mean(dim=-1, keepdim=True)
            return -(y * p.log() + (1 - y) * (1 - p).log()).mean()
        if self.kind == "single":
            trial = torch.randint(fired.shape[-1], (), generator=g)
            return single_trial(fired[..., trial], drawn[..., 0])
        return mmd(fired, drawn, width=0.5 if self.kind == "gaussian" else None)
