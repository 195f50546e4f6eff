"""`trainable`: a `Network` as a rate network whose weights can be trained."""

from __future__ import annotations

import dataclasses
from functools import partial

import numpy as np
import torch

from converters.entries import Entries, trained_weights
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
    cells_per_channel: int = 1,
    max_psp_mV: float | None = None,
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
    cells_per_channel : K cells with independent spikes that a channel of the driven input stands
        for, each with 1/K of its weight: its noise has 1/K of the variance
    max_psp_mV : largest response to a spike, at its peak, that a synapse may have, in training and
        before; by default there is no limit
    backend : of the scan

    Raises
    ------
    InputError : unknown dynamics, noise or input; other driven inputs; double-alpha receptors; no
        cell for a channel; a largest response of 0

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
    if cells_per_channel < 1 or (max_psp_mV is not None and not max_psp_mV > 0):
        raise InputError(
            "cells_per_channel must be 1 or more and max_psp_mV above 0, got "
            f"{cells_per_channel} and {max_psp_mV}"
        )
    of_cells = _cells(network, source, cells_per_channel)
    rates = to_rate(of_cells, "equilibrium", noise=noise, kernel="exponential", transfer=transfer)
    n, channels = network.n, network.inputs[source].n
    mean = torch.full((1, channels), float(mean_input_Hz) * cells_per_channel)
    state = rates.at_steady_state({source: mean})
    _, sigma = rates.working_point(state.currents, state.variance * state.correlation)
    g, threshold = rates.g_nS.double().numpy(), rates.threshold_mV.double().numpy()
    curve_at = partial(TableCurve.at, rates.transfer, g_nS=g, threshold_mV=threshold)

    one_current = dynamics == "equilibrium"
    responses = Responses.of(network, slots)
    entries = Entries.of(network, source, slots, responses, one_current=one_current)
    weight, sign = trained_weights(network, source)
    n_slots, tau_s = slots.n, kinetics.tau_ms.reshape(slots.n, n)
    if one_current:
        n_slots, tau_s = 1, tau_s[:1]
    connections = Connections(
        entries.row, entries.col, n_neurons=n, n_slots=n_slots, n_channels=channels
    )
    cells = np.where(entries.col < n, 1, cells_per_channel)
    psp_mV = entries.peak / (entries.charge * cells)  # of a weight of 1 pA/Hz
    return TrainableRates(
        connections,
        weight[entries.synapse] * entries.charge,
        sign[entries.synapse],
        curve_at(sigma[0].numpy()),
        dynamics=dynamics,
        dt_ms=dt_ms,
        tau_s_ms=tau_s,
        tau_r_ms=np.broadcast_to(np.asarray(tau_r_ms, dtype=float), (n,)),
        constant_pA=rates.constant_pA.double().numpy(),
        variance_per_square=entries.square / entries.charge**2 / cells,
        pools=pools,
        constraint=constraint or ("log" if network.dale else "free"),
        largest=None if max_psp_mV is None else max_psp_mV / psp_mV,
        background_mV2=rates.constant_variance.double().numpy(),
        curve_at=curve_at,
        cells_per_channel=cells_per_channel,
        backend=backend,
    )


def _cells(network: Network, source: str, cells: int) -> Network:
    """The same with each channel's weights those of one of its cells."""
    driven = network.inputs[source]
    weight = driven.synapses.weight / np.float32(cells)
    synapses = dataclasses.replace(driven.synapses, weight=weight)
    return network.replace(
        inputs={**network.inputs, source: dataclasses.replace(driven, synapses=synapses)}
    )


def neuron_tau_s_ms(network: Network) -> np.ndarray:
    """Mean synaptic time constant of each neuron's recurrent input, by weight, ms, (neuron,).

    Neurons without any have the mean of the others.
    """
    tau = mean_tau_ms(network)
    if not tau.any():
        raise InputError("a network without recurrent synapses has no synaptic time constants")
    return np.where(tau > 0, tau, tau[tau > 0].mean())
