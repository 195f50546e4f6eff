"""Networks that a conversion is compared with: other recurrent weights, and one factor for all."""

from __future__ import annotations

import dataclasses

import numpy as np

from toolkit.errors import InputError
from toolkit.network import Network, Synapses
from toolkit.rng import stream


def without_recurrence(network: Network) -> Network:
    """W = 0: the same neurons, background and input, no recurrent synapses."""
    return network.replace(synapses=Synapses.none())


def shuffled(network: Network, seed: int) -> Network:
    """The charges of spikes permuted among the synapses of each presynaptic neuron.

    These are the columns of W: each neuron sends what it sent, to as many others, with its sign;
    which of its targets gets how much is random. Delays and receptors stay where they were.
    """
    old = network.synapses
    charge = charge_per_peak(network, old)
    moved, order = np.empty(len(old)), np.argsort(old.pre, kind="stable")
    drawn = stream(seed, "shuffled columns").random(len(old))
    moved[order] = (old.weight * charge)[np.lexsort((drawn, old.pre))]
    return network.replace(synapses=dataclasses.replace(old, weight=moved / charge))


def one_factor(network: Network, factor: float) -> Network:
    """The published conversion: weights in pA are those of the rate network times one number.

        J = lambda W,   lambda = factor / mean charge of a spike of 1 pA (weighted by J)

    instead of the charge of each synapse's own receptor. The factor 1 keeps the summed charge; it
    is searched on a grid. Weights of inputs are multiplied, too.

    Parameters
    ----------
    network : of `converters.to_spiking`
    factor : above 0

    Raises
    ------
    InputError : a factor of 0 or less

    Source: Kim, Li and Sejnowski 2019, PNAS 116:22811 (lambda).
    """
    if not 0 < factor < np.inf:
        raise InputError(f"a factor must be above 0, got {factor}")
    groups = [network.synapses, *(e.synapses for e in network.inputs.values() if e.rate_Hz is None)]
    sent = [np.abs(each.weight * charge_per_peak(network, each)).sum() for each in groups]
    mean = sum(sent) / sum(float(np.abs(each.weight).sum()) for each in groups)

    def scaled(synapses: Synapses) -> Synapses:
        charge = synapses.weight * charge_per_peak(network, synapses)
        return dataclasses.replace(synapses, weight=factor * charge / mean)

    inputs = {
        name: each
        if each.rate_Hz is not None
        else dataclasses.replace(each, synapses=scaled(each.synapses))
        for name, each in network.inputs.items()
    }
    return network.replace(synapses=scaled(network.synapses), inputs=inputs)


def charge_per_peak(network: Network, synapses: Synapses) -> np.ndarray:
    """Charge of a spike over the peak of its current, pC/pA, of each synapse."""
    known = np.array([each.charge_per_peak for each in network.receptors.values()]) / 1000
    return known[synapses.receptor]
