"""The weights of a network as the rate form has them: sparse matrices of charge and variance."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from toolkit.network import Network, Synapses
from toolkit.neurons import glif3


def matrices_of(network: Network, synapses: Synapses, n_pre: int) -> dict[str, torch.Tensor]:
    """W, U, V and Q of a set of synapses, by letter; see `converters.rates.RateNetwork`."""
    receptors = list(network.receptors.values())
    charge = np.array([receptor.charge_per_peak for receptor in receptors]) / 1000
    neurons, n = network.neurons, network.n
    square = np.zeros((len(receptors), n))
    for k, each in enumerate(receptors):
        integral = (
            glif3.psp_square_integral
            if each.kernel == "alpha"
            else glif3.exponential_psp_square_integral
        )
        square[k] = integral(neurons["C_m_pF"], neurons["g_nS"], np.array(each.tau_ms)) / 1000
    post, receptor = synapses.post.astype(np.int64), synapses.receptor.astype(np.int64)
    weight = synapses.weight.astype(float)
    amplitude = weight * np.sqrt(square[receptor, post])
    return {
        letter: _csr(sp.csr_matrix((values, (row, synapses.pre)), shape=(n_rows, n_pre)))
        for letter, values, row, n_rows in (
            ("W", weight * charge[receptor], receptor * n + post, len(receptors) * n),
            ("U", weight * charge[receptor], post, n),
            ("V", amplitude**2, post, n),
            ("Q", amplitude, post, n),
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
