"""The weights of a network as the rate form has them: sparse matrices of charge and variance."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from toolkit.network import Network, Synapses
from toolkit.neurons import glif3


@dataclass(frozen=True)
class Responses:
    """What one spike of 1 pA peak does, arrays of shape (receptor, neuron).

    `charge` in pA/Hz (pC), `square` the integral of psp^2 in mV^2/Hz, `peak` of psp in mV.
    """

    charge: np.ndarray
    square: np.ndarray
    peak: np.ndarray

    @classmethod
    def of(cls, network: Network) -> Responses:
        """The responses of every neuron to every receptor of a network."""
        functions = {
            "alpha": (glif3.psp_square_integral, glif3.psp_peak_mV),
            "exponential": (glif3.exponential_psp_square_integral, glif3.exponential_psp_peak_mV),
        }
        C, g = network.neurons["C_m_pF"], network.neurons["g_nS"]
        charge, square, peak = [], [], []
        for receptor in network.receptors.values():
            integral, highest = functions[receptor.kernel]
            tau = np.array(receptor.tau_ms)
            charge.append(np.full(network.n, receptor.charge_per_peak / 1000))
            square.append(integral(C, g, tau) / 1000)
            peak.append(highest(C, g, tau))
        shape = (len(network.receptors), network.n)
        return cls(*(np.reshape(each, shape) for each in (charge, square, peak)))


def matrices_of(
    network: Network, responses: Responses, synapses: Synapses, n_pre: int
) -> dict[str, torch.Tensor]:
    """W, U, V, Q and P of a set of synapses, by letter; see `converters.rates.RateNetwork`."""
    n = network.n
    post, receptor = synapses.post.astype(np.int64), synapses.receptor.astype(np.int64)
    weight = synapses.weight.astype(float)
    charge = weight * responses.charge[receptor, post]
    amplitude = weight * np.sqrt(responses.square[receptor, post])
    return {
        letter: _csr(sp.csr_matrix((values, (row, synapses.pre)), shape=(n_rows, n_pre)))
        for letter, values, row, n_rows in (
            ("W", charge, receptor * n + post, len(network.receptors) * n),
            ("U", charge, post, n),
            ("V", amplitude**2, post, n),
            ("Q", amplitude, post, n),
            ("P", weight * responses.peak[receptor, post], post, n),
        )
    }


def mean_tau_ms(network: Network) -> np.ndarray:
    """Mean synaptic time constant of each neuron's recurrent input, by weight; 0 without any."""
    post, weight = network.synapses.post, np.abs(network.synapses.weight)
    tau = network.receptor_tau_ms()[network.synapses.receptor]
    total = np.bincount(post, weights=weight, minlength=network.n)
    summed = np.bincount(post, weights=weight * tau, minlength=network.n)
    return summed / np.maximum(total, 1e-12)


def _csr(matrix: Any) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support")
        return torch.sparse_csr_tensor(
            torch.from_numpy(matrix.indptr.astype(np.int32)),
            torch.from_numpy(matrix.indices.astype(np.int32)),
            torch.from_numpy(matrix.data.astype(np.float32)),
            size=matrix.shape,
            check_invariants=False,
        )


def tensor(values: np.ndarray) -> torch.Tensor:
    """Values as a float32 tensor of their own."""
    return torch.tensor(np.asarray(values), dtype=torch.float32)
