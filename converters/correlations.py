r"""The variance that correlated presynaptic spikes add to a neuron's input.

Independent Poisson inputs give the free membrane the variance sum_s nu_s q_s^2 (Campbell), with
q_s^2 = w_s^2 integral(psp^2). But neurons that share LGN channels, or that drive each other, do not
fire independently: an LGN spike reaches a cortical neuron directly and, a few milliseconds later,
through the extra spikes it makes others fire. As in linear response (Hawkes; Pernice et al. 2011,
PLoS Comput Biol 7:e1002059) the spike trains are

    y = M (x + K_in z),     M = (1 - K)^-1

with independent fluctuations x of the neurons (variance r) and z of the input channels (variance
nu), and K the extra spikes of a neuron for a spike of another. A neuron's input then has the
amplitudes (Q M)_s instead of q_s. Single spikes can be large (4 mV for an LGN spike in L4), so that
K has no slope dF/dmu but a secant, our choice: with a the peak of the synapse's response and A its
area, for a response that falls exponentially and slowly,

    K = A S(a),     S(a) = (1/a) integral_0^a [F(mu + x) - F(mu)] / x dx   ->  dF/dmu for small a

and no more than one spike for a spike. What goes the indirect way is smeared in time by the
responding neurons; for exponential kernels of time constants T (the membrane's response) and tau
(theirs) all terms but the direct one are lowered by T / (T + tau).

The sums over sources are estimated with random signs (Hutchinson), so that no N x N matrix is made:
256 probes leave 1 % error in sigma. Work is 256 x (about a dozen sparse products).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from converters.rates import RateNetwork

RESPONSE_MS = 2.0  # tau above; our choice: from 2 to 10 ms R2 at rest changes by about 0.01
N_PROBES = 256
ITERATIONS, DAMPING = 12, 0.7  # of y = x + K y; converges for eigenvalues of K from -1.8 to 1
LOW_MV, HIGH_MV, STEP_MV = -20.0, 60.0, 0.5  # peaks for which secants are tabulated
LEAST_FACTOR = 0.2


@torch.no_grad()
def variance_factor(
    network: RateNetwork,
    rates: torch.Tensor,
    inputs: Mapping[str, torch.Tensor],
    mu_mV: torch.Tensor,
    sigma_mV: torch.Tensor,
) -> torch.Tensor:
    """By what factor correlations raise each neuron's synaptic variance, (batch, neuron).

    Parameters
    ----------
    network : the rate network
    rates : of the neurons, Hz, (batch, neuron)
    inputs : rates of the input channels, Hz, (batch, channel) each
    mu_mV, sigma_mV : the working point, (batch, neuron)
    """
    signs = torch.Generator().manual_seed(0)
    factors = []
    for b in range(len(rates)):
        secants = _secants(network, mu_mV[b], sigma_mV[b])
        own = _probes(rates[b], signs)
        driven: torch.Tensor | float = 0.0
        external: torch.Tensor | float = 0.0
        poisson = network.V @ rates[b, :, None]
        for name, channel_rates in inputs.items():
            z = _probes(channel_rates[b], signs)
            driven = driven + _extra_spikes(network, secants, f"_in_{name}") @ z
            external = external + getattr(network, f"Q_in_{name}") @ z
            poisson = poisson + getattr(network, f"V_in_{name}") @ channel_rates[b, :, None]
        K = _extra_spikes(network, secants)
        spikes = own
        for _ in range(ITERATIONS):
            spikes = spikes + DAMPING * (own + K @ spikes + driven - spikes)
        with_echo = (network.Q @ spikes + external).square().mean(1)
        direct = (network.Q @ own + external).square().mean(1)
        extra = network.indirect_share * (with_echo - direct) / poisson[:, 0].clamp(min=1e-6)
        factors.append((1 + extra).clamp(min=LEAST_FACTOR))
    return torch.stack(factors)


def _secants(network: RateNetwork, mu_mV: torch.Tensor, sigma_mV: torch.Tensor) -> torch.Tensor:
    """S(a) of every neuron for a = LOW_MV to HIGH_MV, Hz/mV, (a, neuron)."""
    zero = round(-LOW_MV / STEP_MV)
    n = round((HIGH_MV - LOW_MV) / STEP_MV) + 1
    a = ((torch.arange(n) - zero) * STEP_MV).to(mu_mV.dtype)[:, None]
    rates = network.transfer(mu_mV + a, sigma_mV.expand(n, -1))
    slope = (rates[zero + 1] - rates[zero - 1]) / (2 * STEP_MV)
    integrand = (rates - rates[zero]) / a
    integrand[zero] = slope
    integral = torch.zeros_like(integrand)
    integral[1:] = torch.cumulative_trapezoid(integrand, dx=STEP_MV, dim=0)
    secants = (integral - integral[zero]) / a
    secants[zero] = slope
    return secants


def _extra_spikes(network: RateNetwork, secants: torch.Tensor, which: str = "") -> torch.Tensor:
    """K of the recurrent synapses, or of the input whose suffix is given, sparse."""
    U, P = getattr(network, f"U{which}"), getattr(network, f"P{which}")
    post = torch.repeat_interleave(torch.arange(network.n), U.crow_indices().diff().long())
    place = ((P.values() - LOW_MV) / STEP_MV).clamp(0, len(secants) - 1.001)
    k = place.long()
    secant = torch.lerp(secants[k, post], secants[k + 1, post], place - k)
    values = (U.values() / network.g_nS[post] * secant).clamp(-1, 1)
    return torch.sparse_csr_tensor(
        U.crow_indices(), U.col_indices(), values, size=U.shape, check_invariants=False
    )


def _probes(rates: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Random signs times the square root of the rates, (source, probe)."""
    signs = torch.randint(0, 2, (len(rates), N_PROBES), generator=generator) * 2 - 1
    return signs.to(rates.dtype) * rates.clamp(min=0).sqrt()[:, None]
