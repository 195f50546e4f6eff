"""The weights of a network as the rate form has them: sparse matrices of charge and variance."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

from converters.slots import Slots, pack_receptors
from toolkit.errors import InputError
from toolkit.network import Network, Synapses


@dataclass(frozen=True)
class Responses:
    """What one spike of weight 1 pA does, arrays of shape (slot, neuron).

    `charge` in pA/Hz (pC), `square` the integral of psp^2 in mV^2/Hz, `peak` of psp in mV; 0 where
    a neuron has no receptor in the slot.
    """

    charge: np.ndarray
    square: np.ndarray
    peak: np.ndarray

    @classmethod
    def of(cls, network: Network, slots: Slots) -> Responses:
        """The responses of every neuron through each of its slots."""
        C, g = network.neurons["C_m_pF"].astype(float), network.neurons["g_nS"].astype(float)
        # Neurons of one cell model respond alike: each pair of membrane and receptor is done once.
        membranes, membrane = np.unique(C + 1j * g, return_inverse=True)
        pairs, pair = np.unique(
            slots.receptor * np.int64(max(len(membranes), 1)) + membrane, return_inverse=True
        )
        known = np.zeros((3, len(pairs)))
        kind, row = np.divmod(pairs, max(len(membranes), 1))
        for k in np.unique(kind[kind >= 0]):
            receptor, mine = slots.kinds[k], kind == k
            C, g = membranes[row[mine]].real, membranes[row[mine]].imag
            known[:, mine] = (
                np.full(len(C), receptor.charge_per_peak / 1000),
                receptor.psp_square_integral(C, g) / 1000,
                receptor.psp_peak_mV(C, g),
            )
        return cls(*known[:, pair.reshape(slots.receptor.shape)])


@dataclass(frozen=True)
class Kinetics:
    """The synaptic currents of a rate network, arrays of shape (current x neuron,).

    The currents are those of `converters.slots`: one a slot, then the slow ones of double-alpha
    receptors.

    Attributes
    ----------
    tau_ms : time constant
    two_poles : whether it rises through a pole of its own, as an alpha current does
    share : of the charge that arrives in its slot
    slow_slots : the slots of the slow currents
    """

    tau_ms: np.ndarray
    two_poles: np.ndarray
    share: np.ndarray
    slow_slots: list[int]

    @classmethod
    def of(cls, slots: Slots, kernel: str | None) -> Kinetics:
        """Each receptor's own with `kernel` None; otherwise all ``"alpha"`` or ``"exponential"``.

        Both components of a double-alpha receptor rise by the same steps of the same spikes, so
        that a slot's charge needs no second set of synapses: each current gets its share.
        """
        currents = slots.currents
        tau_ms, peak, alpha = (
            np.stack([getattr(current, name) for current in currents])
            for name in ("tau_ms", "peak", "alpha")
        )
        slot = [current.slot for current in currents]
        charge = peak * tau_ms
        total = charge[: slots.n].copy()
        np.add.at(total, slot[slots.n :], charge[slots.n :])
        own = alpha & (peak > 0)
        two_poles = own if kernel is None else np.full(own.shape, kernel == "alpha")
        share = charge / np.where(total > 0, total, 1.0)[slot]
        return cls(tau_ms.ravel(), two_poles.ravel(), share.ravel(), slot[slots.n :])


def matrices_of(
    network: Network, slots: Slots, responses: Responses, synapses: Synapses, n_pre: int
) -> dict[str, torch.Tensor]:
    """W, U, V, Q and P of a set of synapses, by letter; see `converters.rates.RateNetwork`."""
    n = network.n
    post = synapses.post.astype(np.int64)
    slot = slots.of_receptor[synapses.post, synapses.receptor].astype(np.int64)
    weight = synapses.weight.astype(float)
    charge = weight * responses.charge[slot, post]
    amplitude = weight * np.sqrt(responses.square[slot, post])
    return {
        letter: _csr(sp.csr_matrix((values, (row, synapses.pre)), shape=(n_rows, n_pre)))
        for letter, values, row, n_rows in (
            ("W", charge, slot * n + post, slots.n * n),
            ("U", charge, post, n),
            ("V", amplitude**2, post, n),
            ("Q", amplitude, post, n),
            ("P", weight * responses.peak[slot, post], post, n),
        )
    }


def background_variance_mV2(network: Network) -> np.ndarray:
    """Variance of the free membrane that Poisson inputs make by Campbell's theorem, (neuron,).

    Raises
    ------
    InputError : neurons without such an input
    """
    slots = pack_receptors(network)
    square = Responses.of(network, slots).square
    total = np.zeros(network.n)
    for source in network.inputs.values():
        if source.rate_Hz is not None:
            post = source.synapses.post.astype(np.int64)
            slot = slots.of_receptor[post, source.synapses.receptor].astype(np.int64)
            each = source.synapses.weight.astype(float) ** 2 * square[slot, post]
            total += source.rate_Hz * np.bincount(post, weights=each, minlength=network.n)
    if not (total > 0).all():
        raise InputError(
            f"{int((total <= 0).sum())} neurons have no background, which recurrent noise is "
            "compared with"
        )
    return total


def mean_tau_ms(network: Network) -> np.ndarray:
    """Mean synaptic time constant of each neuron's recurrent input, by weight; 0 without any."""
    post, weight = network.synapses.post, np.abs(network.synapses.weight)
    known = np.array([receptor.mean_tau_ms for receptor in network.receptors.values()])
    tau = known[network.synapses.receptor]
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
