"""What is expected of every neuron once its rates become spikes, from the trained rate network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.sparse as sp
import torch
from scipy.sparse.linalg import ArpackNoConvergence, eigs

from converters.entries import Entries
from converters.rate_weights import background_variance_mV2
from converters.transfer_tables import transfer_of
from toolkit.learning import TrainableRates
from toolkit.network import Network
from toolkit.transfer import Transfer

DENSE = 200  # neurons up to which all eigenvalues are computed


@dataclass(frozen=True)
class Predictions:
    """The working point of every neuron, arrays (neuron,).

    Attributes
    ----------
    rates_Hz : as given
    recurrent, driven, background : variance of the free membrane by Campbell's theorem, mV^2
    slope : of F at the mean current, Hz/pA
    sigma_F_mV : at which the model's F was taken; not a number where that is not known
    rate_F_Hz, rate_expected_Hz : F of the mean input at that sigma, and at the one expected
    psp : peak of the response to a spike of each synapse over the distance from rest to threshold,
        without sign, (entry,)
    """

    rates_Hz: np.ndarray
    recurrent: np.ndarray
    driven: np.ndarray
    background: np.ndarray
    slope: np.ndarray
    sigma_F_mV: np.ndarray
    rate_F_Hz: np.ndarray
    rate_expected_Hz: np.ndarray
    psp: np.ndarray

    @property
    def sigma_mV(self) -> np.ndarray:
        """Expected of the free membrane."""
        sigma: np.ndarray = np.sqrt(self.recurrent + self.driven + self.background)
        return sigma


def predict(
    model: TrainableRates,
    network: Network,
    entries: Entries,
    before_Hz: np.ndarray,
    replicas: int,
    cells_per_channel: int,
    transfer: Transfer | None,
) -> Predictions:
    """The predictions for mean rates `before_Hz` of all that is presynaptic, (neuron + channel,).

    Of `replicas`, wired all to all, and of the cells of a channel each has its share of the weight.
    """
    n, neurons = network.n, network.neurons
    post, recurrent, rates = entries.row % n, entries.col < n, before_Hz[entries.col]
    W = model.weights().detach().double().cpu().numpy()
    share = np.where(recurrent, 1 / replicas, 1 / cells_per_channel)
    variance = (W / entries.charge) ** 2 * entries.square * rates * share
    from_neurons = np.bincount(post[recurrent], weights=variance[recurrent], minlength=n)
    from_all = np.bincount(post, weights=variance, minlength=n)
    background = background_variance_mV2(network)

    constant = model.constant_pA.double().cpu().numpy()
    current = np.bincount(post, weights=W * rates, minlength=n) + constant
    held = torch.tensor(current, dtype=torch.float32, device=model.constant_pA.device)
    slope = model.curve.value_and_slope(held[:, None])[1][:, 0].double().cpu().numpy()
    threshold = neurons["V_th_mV"] - neurons["E_L_mV"]
    mu = torch.tensor(current / neurons["g_nS"] - threshold, dtype=torch.float32)
    F = transfer or transfer_of(network)

    def rate_at(sigma_mV: np.ndarray) -> np.ndarray:
        rates: np.ndarray = F(mu, torch.tensor(sigma_mV, dtype=torch.float32)).double().numpy()
        return rates

    unknown_Hz = np.full(n, np.nan)
    sigma_F = model.curve.sigma_mV
    return Predictions(
        before_Hz[:n],
        from_neurons,
        from_all - from_neurons,
        background,
        slope,
        unknown_Hz if sigma_F is None else sigma_F.astype(float),
        unknown_Hz if sigma_F is None else rate_at(sigma_F),
        rate_at(np.sqrt(from_all + background)),
        np.abs(W / entries.charge) * share * entries.peak / threshold[post],
    )


def leading_eigenvalues(
    model: TrainableRates, entries: Entries, slope: np.ndarray
) -> tuple[float, complex]:
    """Spectral radius of diag(F')W over neurons, and its eigenvalue of the largest real part.

    r = F(W r + ...) is linearised, with slopes in Hz/pA. A real part of 1 or more: the rates run
    away from the fixed point, whatever the time constants. A modulus of 1 or more by a negative or
    complex eigenvalue: with delays they may oscillate.
    """
    n = len(slope)
    W = model.weights().detach().double().cpu().numpy()
    mine = entries.col < n
    post = entries.row[mine] % n
    loop = sp.csr_matrix((slope[post] * W[mine], (post, entries.col[mine])), shape=(n, n))
    if n <= DENSE:
        every: np.ndarray = np.linalg.eigvals(loop.toarray()) if n else np.zeros(1)
        return float(np.abs(every).max()), complex(every[np.argmax(every.real)])
    start = np.random.default_rng(0).standard_normal(n)

    def largest(which: Literal["LM", "LR"]) -> np.ndarray:
        try:
            values: np.ndarray = eigs(
                loop, k=2, which=which, v0=start, tol=1e-3, return_eigenvectors=False
            )
        except ArpackNoConvergence as error:
            values = error.eigenvalues
        return values if len(values) else np.array([np.nan])

    by_real_part = largest("LR")
    return float(np.abs(largest("LM")).max()), complex(by_real_part[by_real_part.real.argmax()])
