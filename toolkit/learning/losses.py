"""What training lowers: the cross-entropy of the answers, and what rates and noise cost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from toolkit.errors import InputError
from toolkit.learning.model import TrainableRates

GAIN_PER_HZ = 1.0  # where gains start: 1 Hz of evidence is a factor of e (our choice)
KAPPA_HZ = 2.0  # 0.002 spikes/ms; confirmed in the released code of Chen et al. 2022
CAP_HZ = 50.0  # our choice
NOISE_RATIO = 0.25  # of variances: recurrent noise of half the background's is free (our choice)


class Readout(torch.nn.Module):
    """Log-odds of the answers: evidence in Hz times a positive gain, one a task, that is trained.

        z = g evidence, g = exp(theta) 1/Hz

    The released code of Chen et al. 2022 multiplies rates by ``1 + softplus(theta)``. What a gain
    is for is the same here: rates of some Hz have to become probabilities, and the network should
    not have to double its rates to be surer. The exponential has no smallest value, so that no unit
    of rates is preferred, and steps are relative, as those of the weights. A positive gain changes
    no answer.

    >>> readout = Readout(2)
    >>> readout(torch.tensor([[10.0, 5.0]]), torch.tensor([1])).tolist()
    [[10.0, 5.0]]
    """

    def __init__(self, n_tasks: int, gain_per_Hz: float = GAIN_PER_HZ):
        super().__init__()
        start = torch.full((n_tasks,), math.log(gain_per_Hz))
        self.log_gain = torch.nn.Parameter(start)

    def forward(self, evidence_Hz: torch.Tensor, task: torch.Tensor) -> torch.Tensor:
        """Log-odds up to a constant, (item, answer), of evidence in Hz and task numbers (item,)."""
        return evidence_Hz * self.log_gain.exp()[task][:, None]

    def losses(
        self, evidence_Hz: torch.Tensor, targets: torch.Tensor, task: torch.Tensor
    ) -> torch.Tensor:
        """Cross-entropy of each item, nats, (item,)."""
        return cross_entropy(self(evidence_Hz, task), targets, reduction="none")


@dataclass(frozen=True)
class Penalties:
    """What mean rates and recurrent noise cost, in nats beside the mean cross-entropy.

    Attributes
    ----------
    rate_distribution : for 1 Hz of distance of mean rates from the target distribution
        (`rate_distribution_loss`)
    kappa_Hz : up to where that distance counts by its square
    rate_cap : for a mean rate of twice the cap (`rate_cap_loss`)
    cap_Hz : mean rates above it cost
    noise : for a recurrent variance one background's above what is free (`noise_loss`)
    noise_ratio : of the two variances, that is free
    input_noise : whether the variance that spikes of the inputs make is counted with the recurrent

    Raises
    ------
    InputError : a number below 0 or not finite, a kappa or cap of 0
    """

    rate_distribution: float = 0.02
    kappa_Hz: float = KAPPA_HZ
    rate_cap: float = 1.0
    cap_Hz: float = CAP_HZ
    noise: float = 0.05
    noise_ratio: float = NOISE_RATIO
    input_noise: bool = False

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 <= value < math.inf:
                raise InputError(f"{field.name} must be 0 or more and finite, got {value}")
        if not (self.kappa_Hz and self.cap_Hz):
            raise InputError("kappa_Hz and cap_Hz must be above 0")


def rate_distribution_loss(
    rates_Hz: torch.Tensor, targets_Hz: torch.Tensor, kappa_Hz: float = KAPPA_HZ
) -> torch.Tensor:
    r"""Distance of the neurons' rates from a target distribution, Hz.

        mean_i |q_i - [u_i < 0]| h(u_i),  u_i = target_i - sorted rate_i,  q_i = (i + 1/2) / n,
        h(u) = u^2 / (2 kappa) up to |u| = kappa, |u| - kappa / 2 beyond

    the Huber quantile loss of Dabney et al. 2018 (AAAI 32:2892), which the released code of Chen et
    al. 2022 applies to rates drawn from recorded ones. Which neuron has which rate is free.

    Parameters
    ----------
    rates_Hz : mean rates, (neuron,)
    targets_Hz : quantiles of the target at (i + 1/2) / n, rising, (neuron,)
    kappa_Hz : where the square ends

    >>> rate_distribution_loss(torch.tensor([6.0, 0.0]), torch.tensor([0.0, 2.0])).item()
    0.375
    """
    n = len(targets_Hz)
    level = (torch.arange(n, device=rates_Hz.device) + 0.5) / n
    away = targets_Hz - rates_Hz.sort().values
    size = away.abs()
    huber = torch.where(size <= kappa_Hz, size**2 / (2 * kappa_Hz), size - kappa_Hz / 2)
    return ((level - (away < 0).to(level.dtype)).abs() * huber).mean()


def rate_cap_loss(rates_Hz: torch.Tensor, cap_Hz: float = CAP_HZ) -> torch.Tensor:
    """Mean over neurons of relu(rate / cap - 1)^2.

    >>> rate_cap_loss(torch.tensor([100.0, 10.0])).item()
    0.5
    """
    return (rates_Hz / cap_Hz - 1).clamp(min=0).square().mean()


def noise_loss(
    variance_mV2: torch.Tensor, background_mV2: torch.Tensor, free: float = NOISE_RATIO
) -> torch.Tensor:
    """Mean over neurons of relu(sigma_rec^2 / sigma_bg^2 - free).

    How far the trained rates hold for spikes is set by that ratio: spikes make noise of their own,
    which a rate network does not have.

    >>> noise_loss(torch.tensor([1.0, 0.1]), torch.ones(2)).item()
    0.375
    """
    return (variance_mV2 / background_mV2 - free).clamp(min=0).mean()


def log_normal_quantiles(median_Hz: float, spread: float, n: int) -> np.ndarray:
    """Quantiles at (i + 1/2) / n of a log-normal distribution of rates, float32 (n,).

    Parameters
    ----------
    median_Hz : its median
    spread : standard deviation of the natural logarithm
    n : number of neurons

    >>> log_normal_quantiles(2.0, 0.5, 1)
    array([2.], dtype=float32)
    """
    from scipy.special import ndtri

    level = (np.arange(n) + 0.5) / n
    return (median_Hz * np.exp(spread * ndtri(level))).astype(np.float32)


class Targets(torch.nn.Module):
    """What the neurons of a network are held to.

    Parameters
    ----------
    cell_class : of each neuron, text (neuron,)
    rates_Hz : of each class, rates to come close to: median and spread of
        `log_normal_quantiles`; classes that are not named are left free
    background_mV2 : variance of the free membrane that the background makes, (neuron,); without
        it recurrent noise is free

    Raises
    ------
    InputError : a background of no variance
    """

    background: torch.Tensor | None

    def __init__(
        self,
        cell_class: np.ndarray,
        rates_Hz: Mapping[str, tuple[float, float]] | None = None,
        background_mV2: np.ndarray | None = None,
    ):
        super().__init__()
        self.n = len(cell_class)
        self._classes = []
        for name, (median_Hz, spread) in (rates_Hz or {}).items():
            rows = np.flatnonzero(cell_class == name)
            if len(rows):
                quantiles = log_normal_quantiles(median_Hz, spread, len(rows))
                self.register_buffer(f"rows_{name}", torch.from_numpy(rows), persistent=False)
                self.register_buffer(f"Hz_{name}", torch.from_numpy(quantiles), persistent=False)
                self._classes.append(name)
        variance = None
        if background_mV2 is not None:
            if not (np.asarray(background_mV2) > 0).all():
                raise InputError("every neuron's background needs a variance above 0")
            variance = torch.tensor(np.asarray(background_mV2), dtype=torch.float32)
        self.register_buffer("background", variance, persistent=False)

    def penalty(
        self,
        model: TrainableRates,
        rates_Hz: torch.Tensor,
        options: Penalties,
        inputs_Hz: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The sum of all that mean rates, Hz (neuron,), cost in a model, nats.

        Mean `inputs_Hz` (channel,) are for `Penalties.input_noise`.
        """
        total = options.rate_cap * rate_cap_loss(rates_Hz, options.cap_Hz)
        for name in self._classes:
            rows, quantiles = self.get_buffer(f"rows_{name}"), self.get_buffer(f"Hz_{name}")
            distance = rate_distribution_loss(rates_Hz[rows], quantiles, options.kappa_Hz)
            total = total + options.rate_distribution * distance * (len(rows) / self.n)
        if self.background is not None and options.noise > 0:
            variance = model.synaptic_variance(rates_Hz, inputs_Hz if options.input_noise else None)
            noise = noise_loss(variance, self.background, options.noise_ratio)
            total = total + options.noise * noise
        return total
