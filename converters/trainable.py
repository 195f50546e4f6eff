"""`trainable`: a `Network` as a rate network whose weights can be trained."""

from __future__ import annotations

import numpy as np
import torch

from converters.rate_weights import Kinetics, Responses, mean_tau_ms
from converters.rates import NOISES, TAU_R_MS, to_rate
from converters.slots import pack_receptors
from toolkit.errors import InputError, unknown
from toolkit.learning import TableCurve, TrainableRates
from toolkit.network import Network
from toolkit.rate_dynamics import DYNAMICS
from toolkit.scan import Backend, Connections
from toolkit.transfer import Transfer

MEAN_INPUT_HZ = 5.0  # of an LGN channel when driven (design); sets the working point only


def trainable(
    network: Network,
    pools: np.ndarray,
    dynamics: str = "low_pass",
    *,
    dt_ms: float = 5.0,
    source: str = "lgn",
    tau_r_ms: np.ndarray | float = TAU_R_MS,
    constraint: str | None = None,
    noise: str = "independent",
    mean_input_Hz: float = MEAN_INPUT_HZ,
    transfer: Transfer | None = None,
    backend: Backend | None = None,
) -> TrainableRates:
    """Make the trainable rate network of the same circuit, in Hz, pA and ms.

    Weights start from those of the network. F is that of each neuron's cell model at the sigma
    which the untrained network has at its steady state under a mean input: F(mu) without noise
    fails at low rates, and with sigma following the weights an optimiser would use noise as a code.

    Parameters
    ----------
    network : the circuit, with one driven input
    pools : neurons whose mean rates are the answers, (pool, member)
        (`toolkit.learning.localized_pools`)
    dynamics, dt_ms : of `toolkit.rate_dynamics`
    source : name of the driven input; Poisson sources make part of mean and sigma
    tau_r_ms : of the rates, one number or one a neuron (`toolkit.learning.time_constants`)
    constraint : of recurrent weights (`toolkit.learning.Weights`): by default ``"log"``, or
        ``"free"`` for a network without Dale's law
    noise : what enters sigma, as in `converters.rates.to_rate`
    mean_input_Hz : rate of every channel at the working point
    transfer : F(mu, sigma), by default the tabulated one
    backend : of the scan

    Raises
    ------
    InputError : unknown dynamics, noise or input; other driven inputs; double-alpha receptors

    Synaptic currents are exponential, one a receptor and neuron; of ``"equilibrium"``, which has no
    synaptic time constant, one a neuron. A free weight that changes its sign stays in the current
    of its receptor, with that time constant. Neurons that are alike keep an F each, as sigma is
    that of their own inputs.
    """
    if dynamics not in DYNAMICS:
        raise unknown("dynamics", dynamics, DYNAMICS)
    if noise not in NOISES:
        raise unknown("noise", noise, NOISES)
    driven = [name for name, each in network.inputs.items() if each.rate_Hz is None]
    if source not in driven:
        raise unknown("input", source, driven)
    if len(driven) > 1:
        raise InputError(f"one driven input can be trained; this network has {', '.join(driven)}")
    slots = pack_receptors(network)
    kinetics = Kinetics.of(slots, "exponential")
    if kinetics.slow_slots:
        raise InputError("double-alpha receptors have two currents; the trained form has one")
    rates = to_rate(network, "equilibrium", noise=noise, kernel="exponential", transfer=transfer)
    n, channels = network.n, network.inputs[source].n
    state = rates.at_steady_state({source: torch.full((1, channels), float(mean_input_Hz))})
    _, sigma = rates.working_point(state.currents, state.variance * state.correlation)
    g, threshold = rates.g_nS.double().numpy(), rates.threshold_mV.double().numpy()
    curve = TableCurve.at(rates.transfer, sigma[0].numpy(), g, threshold)

    responses = Responses.of(network, slots)
    row, col, weight, sign = _entries(network, source, responses.charge, slots.of_receptor)
    charge = np.where(responses.charge > 0, responses.charge, 1.0)
    variance = (responses.square / charge**2).ravel()[row]
    n_slots, tau_s = slots.n, kinetics.tau_ms.reshape(slots.n, n)
    if dynamics == "equilibrium":
        row, n_slots, tau_s = row % n, 1, tau_s[:1]
    order = np.lexsort((col, row))
    connections = Connections(
        row[order], col[order], n_neurons=n, n_slots=n_slots, n_channels=channels
    )
    return TrainableRates(
        connections,
        weight[order],
        sign[order],
        curve,
        dynamics=dynamics,
        dt_ms=dt_ms,
        tau_s_ms=tau_s,
        tau_r_ms=np.broadcast_to(np.asarray(tau_r_ms, dtype=float), (n,)),
        constant_pA=rates.constant_pA.double().numpy(),
        variance_per_square=variance[order],
        pools=pools,
        constraint=constraint or ("log" if network.dale else "free"),
        backend=backend,
    )


def neuron_tau_s_ms(network: Network) -> np.ndarray:
    """Mean synaptic time constant of each neuron's recurrent input, by weight, ms, (neuron,).

    Neurons without any have the mean of the others.
    """
    tau = mean_tau_ms(network)
    if not tau.any():
        raise InputError("a network without recurrent synapses has no synaptic time constants")
    return np.where(tau > 0, tau, tau[tau > 0].mean())


def _entries(
    network: Network, source: str, charge: np.ndarray, slot_of: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Row, column, weight (pA/Hz) and sign of the recurrent synapses, then of the input's."""
    rows, cols, weights, signs = [], [], [], []
    for synapses, first in (
        (network.synapses, 0),
        (network.inputs[source].synapses, network.n),
    ):
        post = synapses.post.astype(np.int64)
        slot = slot_of[synapses.post, synapses.receptor].astype(np.int64)
        weight = synapses.weight * charge[slot, post]
        own = np.sign(weight)
        if first == 0 and network.dale:
            own = network.neurons["sign"][synapses.pre].astype(float)
        rows.append(slot * network.n + post)
        cols.append(synapses.pre.astype(np.int64) + first)
        weights.append(weight)
        signs.append(np.where(own == 0, 1.0, own))
    return tuple(np.concatenate(each) for each in (rows, cols, weights, signs))  # type: ignore
