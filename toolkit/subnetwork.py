"""`subnetwork`: some of a network's neurons, with the synapses among them and their inputs."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from toolkit.errors import InputError
from toolkit.network import Input, Network, Synapses


def subnetwork(network: Network, keep: np.ndarray) -> Network:
    """The network of some neurons, in their old order.

    Synapses from or to the others are left out. Of the inputs, sources that a recording drives stay
    all, so that the same recording drives the part; Poisson sources go with the neurons they drove,
    if they drove those only. The sources left are numbered anew, so that with the same seed the
    Poisson spikes of a neuron are not those it had.

    Parameters
    ----------
    network : the circuit
    keep : boolean, shape (neuron,)

    Raises
    ------
    InputError : not such a mask, or no neuron in it

    Time and memory O(synapses).

    Examples
    --------
    >>> excitatory = subnetwork(network, network.excitatory)             # doctest: +SKIP
    """
    keep = checked_mask(network, keep)
    if not keep.any():
        raise InputError(f"the selection is empty: none of the {network.n:,} neurons is in it")
    synapses = network.synapses
    return network.replace(
        neurons=network.neurons.take(keep),
        synapses=_among(synapses, keep[synapses.pre] & keep[synapses.post], keep, keep),
        inputs={name: _input(source, keep) for name, source in network.inputs.items()},
    )


def checked_mask(network: Network, mask: Any) -> np.ndarray:
    """`mask` as an array, if it is boolean and has a value a neuron; `InputError` otherwise."""
    array = np.asarray(mask)
    if array.dtype != bool or array.shape != (network.n,):
        raise InputError(
            f"a mask of neurons is boolean and has shape ({network.n},), got {array.dtype} of "
            f"shape {array.shape}; for neuron numbers use np.isin(np.arange(network.n), numbers)"
        )
    return array


def _input(source: Input, keep: np.ndarray) -> Input:
    synapses = source.synapses
    mine = keep[synapses.post]
    stay = np.ones(source.n, dtype=bool)
    if source.rate_Hz is not None:
        stay[synapses.pre] = False
        stay[synapses.pre[mine]] = True
    return dataclasses.replace(
        source,
        n=int(stay.sum()),
        synapses=_among(synapses, mine, stay, keep),
        sources=None if source.sources is None else source.sources.take(stay),
    )


def _among(
    synapses: Synapses, rows: np.ndarray, keep_pre: np.ndarray, keep_post: np.ndarray
) -> Synapses:
    """The synapses of some rows, between neurons numbered anew (which keeps their order)."""
    new_pre, new_post = np.cumsum(keep_pre) - 1, np.cumsum(keep_post) - 1
    kept = {
        field.name: getattr(synapses, field.name)[rows] for field in dataclasses.fields(synapses)
    }
    return Synapses(**{**kept, "pre": new_pre[kept["pre"]], "post": new_post[kept["post"]]})
