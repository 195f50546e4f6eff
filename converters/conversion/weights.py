"""`to_spiking`: the trained weights of a rate network as those of its spiking circuit."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch

from converters.conversion.replicas import replicated
from converters.entries import Entries
from converters.rate_weights import Responses
from converters.slots import pack_receptors
from toolkit.errors import InputError, unknown
from toolkit.learning import TrainableRates
from toolkit.network import Network, Synapses
from toolkit.neurons.models import MODELS

DELAYS = ("circuit", "dt")
TOLERANCE = 1e-3  # of responses to a spike; those of the model are in single precision
# A GLIF neuron held this far above threshold fires at tens of Hz; a lower F is not in Hz.
ABOVE_MV, LEAST_HZ = 60.0, 5.0


def to_spiking(
    model: TrainableRates,
    network: Network,
    *,
    replicas: int = 1,
    wiring: str = "all",
    inputs: str = "shared",
    delays: str = "circuit",
    cells_per_channel: int | None = None,
    weight_unit_pA_per_Hz: float | None = None,
) -> Network:
    """Give a circuit the weights that its rate network has learnt: `trainable` backwards.

    A rate weight W in pA/Hz is the charge of one spike in pC. The synapse gets the weight (peak
    current) whose spikes carry that charge,

        J = 1000 W / tau_s  (exponential current),   J = 1000 W / (e tau_s)  (alpha),

    in pA with tau_s of its receptor in ms. Mean currents are then those of the rate network,
    exactly. Recurrent synapses and those of the driven input change; neurons, receptors, delays and
    background stay. The answer of a pool needs no weights: it is a mean of rates.

    Parameters
    ----------
    model : trained, made of `network` by `converters.trainable.trainable`
    network : the circuit, before training; or one with the same synapses, receptors and membranes
        but another GLIF model (``"glif1"`` is the leaky integrate-and-fire neuron)
    replicas : M spiking neurons for each rate unit, each with a background of its own
    wiring : of M > 1. ``"all"``: every replica gets spikes of all replicas, through synapses of
        weight J / M. Recurrent noise has 1 / M of its variance; M^2 times the synapses.
        ``"one_to_one"``: M copies of the circuit, each with weights J; M times the synapses. Noise
        within a copy is that of M = 1, and only means over replicas have less of it (and rates that
        recurrent noise shifts stay shifted)
    inputs : of M > 1. ``"shared"``: all replicas get the same spikes of the driven input, with
        weights J; its noise stays, and is common to them. ``"replicated"``: each channel M times,
        too, in a row and wired as `wiring` says; what drives it must have ``np.repeat(rates, M,
        axis=1)``. With ``"one_to_one"`` that is M independent trials at once
    delays : of recurrent synapses: ``"circuit"``, its own, or ``"dt"``, the step of the rate
        network, by which its recurrent input is late. Those of the input stay
    cells_per_channel : K cells with independent Poisson spikes that a channel of the driven input
        stands for, by default those that the model was trained with. Its weights are J / K and what
        drives it must have K times the rates: the mean current is the same, its variance 1 / K.
        Composes with `replicas`
    weight_unit_pA_per_Hz : what a weight of 1 in the model is: I_0 / r_0 of a model whose currents
        are in units of I_0 pA and rates in units of r_0 Hz. By default the model is in pA and Hz,
        which is checked

    Returns
    -------
    Network, with replicas of a neuron in a row, the column ``replica_of`` (position in `network`;
    see `unit_means`), and what was done in ``provenance["to_spiking"]``

    Raises
    ------
    InputError : a model of another circuit, in normalised units, with weights that are not finite
        or against Dale's law; neurons with input ports of their own; unknown wiring or delays; no
        cell for a channel

    Time O(synapses), memory some 100 bytes a synapse of `network`.

    Examples
    --------
    >>> from circuits import v1
    >>> from converters.trainable import trainable
    >>> column = v1.column(300, seed=1)
    >>> spiking = to_spiking(trainable(column, [[0, 1]]), column)
    >>> bool(np.allclose(spiking.synapses.weight, column.synapses.weight, atol=0.01))
    True
    """
    if delays not in DELAYS:
        raise unknown("delays", delays, DELAYS)
    cells_per_channel = cells_of(model, cells_per_channel)
    source, entries = entries_of(model, network)
    unit = 1.0 if weight_unit_pA_per_Hz is None else float(weight_unit_pA_per_Hz)
    if not 0 < unit < np.inf:
        raise InputError(f"weight_unit_pA_per_Hz must be above 0 and finite, got {unit}")
    if weight_unit_pA_per_Hz is None:
        _refuse_other_units(model, network, entries)
    peak = np.empty(len(entries))
    peak[entries.synapse] = _weights_pA_per_Hz(model) * unit / entries.charge
    old, driven = network.synapses, network.inputs[source]
    recurrent = dataclasses.replace(old, weight=peak[: len(old)])
    if network.dale:
        _refuse_other_signs(recurrent, network)
    if delays == "dt":
        recurrent = dataclasses.replace(recurrent, delay_ms=np.full(len(old), model.dt_ms))
    into = dataclasses.replace(driven.synapses, weight=peak[len(old) :] / cells_per_channel)
    done = {
        "network": network.digest(),
        "dynamics": model.dynamics,
        "dt_ms": float(model.dt_ms),
        "replicas": int(replicas),
        "wiring": wiring,
        "inputs": inputs,
        "delays": delays,
        "cells_per_channel": cells_per_channel,
        "weight_unit_pA_per_Hz": unit,
    }
    converted = network.replace(
        synapses=recurrent,
        inputs={**network.inputs, source: dataclasses.replace(driven, synapses=into)},
        provenance={**network.provenance, "to_spiking": done},
    )
    return replicated(converted, replicas, wiring, inputs)


def cells_of(model: TrainableRates, cells_per_channel: int | None) -> int:
    """The number given, or that of the model.

    Raises
    ------
    InputError : it is not a whole number, 1 or more
    """
    cells = model.cells_per_channel if cells_per_channel is None else cells_per_channel
    if cells != int(cells) or cells < 1:
        raise InputError(f"cells_per_channel must be a whole number, 1 or more; got {cells}")
    return int(cells)


def entries_of(model: TrainableRates, network: Network) -> tuple[str, Entries]:
    """The driven input of a network, and which entry of a model stands for which synapse.

    Raises
    ------
    InputError : the model is of another network
    """
    if MODELS[network.model].ports:
        raise InputError(
            f"{network.model} neurons take spikes through ports of their own, so that the charge "
            "of a spike is not known; a GLIF network whose receptors have kernels is needed"
        )
    sources = [name for name, each in network.inputs.items() if each.rate_Hz is None]
    if len(sources) != 1:
        raise InputError(
            "a network with one driven input can be converted; this one has "
            + (", ".join(sources) or "none")
        )
    slots = pack_receptors(network)
    responses = Responses.of(network, slots)
    one_current = model.dynamics == "equilibrium"
    entries = Entries.of(network, sources[0], slots, responses, one_current=one_current)
    own = model.connections
    here = (
        f"{network.n:,} neurons, {network.inputs[sources[0]].n:,} channels of {sources[0]!r} and "
        f"{len(entries):,} trained synapses"
    )
    there = f"{own.n:,} neurons, {own.n_channels:,} channels and {len(own):,} trained synapses"
    if here.replace(f" of {sources[0]!r}", "") != there:
        raise InputError(f"the model is of another network: it has {there}; this one {here}")
    same = own.col.cpu().numpy() == entries.col
    same &= own.row.cpu().numpy() == entries.row
    if not same.all():
        raise InputError(
            f"the model is of another network: {int((~same).sum()):,} of its {len(own):,} synapses "
            "connect others than here; pass the network that it was made of"
        )
    return sources[0], entries


def _weights_pA_per_Hz(model: TrainableRates) -> np.ndarray:
    with torch.no_grad():
        weights: np.ndarray = model.weights().double().cpu().numpy()
    bad = ~np.isfinite(weights)
    if bad.any():
        raise InputError(
            f"{int(bad.sum()):,} of the {len(weights):,} weights are not finite: the training has "
            "diverged; take the weights of an earlier step"
        )
    return weights


def _refuse_other_units(model: TrainableRates, network: Network, entries: Entries) -> None:
    """Raise `InputError` if what a spike or a current does in the model is not what it does here.

    The variance by a weight of 1 has the unit of weights in it, F those of currents and rates.
    """
    ask = (
        "a model in units of its own needs weight_unit_pA_per_Hz = I_0 / r_0, the current and the "
        "rate that 1 stands for"
    )
    cells = np.where(entries.col < network.n, 1, model.cells_per_channel)
    here = entries.square / entries.charge**2 / cells
    there = model.variance_per_square.double().cpu().numpy()
    other = np.abs(there - here) > TOLERANCE * here
    if other.any():
        i = int(np.argmax(other))
        raise InputError(
            f"the model is of other membranes or receptors, or not in pA and Hz: a weight of 1 "
            f"makes a variance of {there[i]:.3g} in the model and of {here[i]:.3g} mV^2/Hz here "
            f"(entry {i}). Pass the network that it was made of; {ask}"
        )
    neurons = network.neurons
    current = neurons["g_nS"] * (neurons["V_th_mV"] - neurons["E_L_mV"] + ABOVE_MV)
    with torch.no_grad():
        held = torch.tensor(current, dtype=torch.float32, device=model.constant_pA.device)
        rates = model.curve.value_and_slope(held[:, None])[0]
    highest = float(rates.median()) if len(rates) else np.inf
    if highest < LEAST_HZ:
        raise InputError(
            f"the model seems to be in normalised units: {ABOVE_MV:g} mV above threshold its "
            f"neurons fire at {highest:.2g} Hz (median), where tens of Hz are expected; {ask}"
        )


def _refuse_other_signs(synapses: Synapses, network: Network) -> None:
    against = synapses.weight * network.neurons["sign"][synapses.pre] < 0
    if against.any():
        i = int(np.argmax(against))
        raise InputError(
            f"Dale's law: {int(against.sum()):,} of {len(synapses):,} trained synapses are against "
            f"the sign of their neuron (the first is synapse {i}, from neuron {synapses.pre[i]}). "
            "If they were trained freely, pass network.replace(dale=False); else train with the "
            "constraint 'log'"
        )
