"""Several spiking neurons for each unit of a rate network."""

from __future__ import annotations

import dataclasses

import numpy as np

from toolkit.errors import InputError, unknown
from toolkit.network import Input, Network, Synapses

WIRINGS = ("all", "one_to_one")
INPUTS = ("shared", "replicated")
COLUMN = "replica_of"


def replicated(network: Network, n_replicas: int, wiring: str, inputs: str) -> Network:
    """A network with each neuron `n_replicas` times, the replicas of a neuron in a row.

    Sources of the background are replicated with the neurons. See `converters.to_spiking` for
    `wiring` and `inputs`.

    Raises
    ------
    InputError : unknown wiring or inputs, a number of replicas that is not 1 or more
    """
    if wiring not in WIRINGS:
        raise unknown("wiring", wiring, WIRINGS)
    if inputs not in INPUTS:
        raise unknown("inputs", inputs, INPUTS)
    if n_replicas != int(n_replicas) or n_replicas < 1:
        raise InputError(f"replicas must be a whole number, 1 or more; got {n_replicas}")
    M = int(n_replicas)
    unit = np.repeat(np.arange(network.n, dtype=np.int32), M)
    if M == 1:
        return network.replace(neurons=network.neurons.replace(**{COLUMN: unit}))

    def several(source: Input) -> Input:
        if source.rate_Hz is None and inputs == "shared":
            alone = _copies(source.synapses, None, np.arange(M), M)
            return dataclasses.replace(source, synapses=alone)
        wired = "one_to_one" if source.rate_Hz is not None else wiring
        known = source.sources
        return dataclasses.replace(
            source,
            n=M * source.n,
            synapses=_wired(source.synapses, M, wired),
            sources=None if known is None else known.take(np.repeat(np.arange(source.n), M)),
        )

    return network.replace(
        neurons=network.neurons.take(unit).replace(**{COLUMN: unit}),
        synapses=_wired(network.synapses, M, wiring),
        inputs={name: several(source) for name, source in network.inputs.items()},
    )


def _wired(synapses: Synapses, M: int, wiring: str) -> Synapses:
    if wiring == "one_to_one":
        return _copies(synapses, np.arange(M), np.arange(M), M)
    onto, of = np.divmod(np.arange(M * M), M)
    return _copies(synapses, of, onto, M, share=1 / M)


def _copies(
    synapses: Synapses, of: np.ndarray | None, onto: np.ndarray, M: int, *, share: float = 1.0
) -> Synapses:
    """Copies of each synapse from and onto some replicas, (copy,) each.

    Without `of` the sources have no replicas.
    """
    pre, post = synapses.pre[:, None], synapses.post[:, None] * M + onto
    pre = np.broadcast_to(pre, post.shape) if of is None else pre * M + of
    weight, delay_ms, receptor = (
        np.repeat(values, len(onto))
        for values in (synapses.weight * np.float32(share), synapses.delay_ms, synapses.receptor)
    )
    return Synapses.sort(pre.ravel(), post.ravel(), weight, delay_ms, receptor)


def unit_means(values: np.ndarray, network: Network) -> np.ndarray:
    """Means over the replicas of each unit, (..., unit), of values (..., neuron).

    Raises
    ------
    InputError : a network that is not converted, values of another number of neurons

    Examples
    --------
    >>> unit_means(spiking.run(lgn, seed=1).mean_rates_Hz(), network)    # doctest: +SKIP
    """
    if COLUMN not in network.neurons:
        raise InputError(f"the neurons lack the column {COLUMN!r}: to_spiking makes it")
    values = np.asarray(values)
    if values.shape[-1:] != (network.n,):
        raise InputError(
            f"values of shape (..., {network.n:,}) are needed, a value a neuron; got {values.shape}"
        )
    unit = network.neurons[COLUMN]
    first = np.flatnonzero(np.diff(unit, prepend=-1))
    counts = np.diff(np.append(first, len(unit)))
    return np.add.reduceat(values, first, axis=-1) / counts
