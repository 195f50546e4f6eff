"""The scenarios of the firing-rate V1: circuits without one of the column's features.

Each turns a `Network` into another one, which says so in its ``provenance["scenarios"]``; one can
follow another, in any order. The source ('A Firing-Rate Neural Network Model for the Primary Visual
Cortex', 2024) has: *uniform neurons*, one tau_s and tau_r for E and one for I
(`circuits.v1.uniform`); *random synapses*, a random tree of n - 1 synapses, then the remaining ones
at random, as many in all; *no Dale*, synapses of either sign. It trains all weights afterwards and
says nothing of weights, receptors and delays before that: what is done with them here is our
choice, made so that the circuits can be compared untrained too, and each function says it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from itertools import pairwise

import numpy as np

from circuits.v1.uniform import uniform_neurons
from toolkit.errors import InputError, unknown
from toolkit.network import Network, Synapses
from toolkit.provenance import transformed
from toolkit.random_graph import random_connected_pairs
from toolkit.rng import stream

SIGNS = ("mixed", "kept")
BLOCK = 2**22  # synapses that are permuted at a time; the result does not depend on it


def random_synapses(network: Network, *, seed: int) -> Network:
    """The same number of synapses between neurons drawn at random.

    As in the source: a random tree of n - 1 synapses connects all neurons (uniform among all
    labelled trees, each edge in a random direction), the rest are drawn uniformly among all other
    ordered pairs; no neuron connects to itself and no pair twice
    (`toolkit.random_graph.random_connected_pairs`). Inputs stay.

    Our choice: each new synapse takes weight, receptor and delay together from a synapse of the
    old network, drawn at random (with replacement) among those whose two ends have the same signs.
    So Dale's law holds, receptors fit their target, and the distribution of weights stays that of
    the data within E to E, E to I, I to E and I to I; layers, classes, distances and preferred
    angles no longer matter. How many synapses each of the four kinds has follows from the number of
    neurons: in the 3k column E to E rises from 63 to 71 % of all, and I to E falls from 20 to 13 %.

    Parameters
    ----------
    network : the circuit
    seed : of the graph and of the draw of weights

    Raises
    ------
    InputError : fewer synapses than a tree needs (n - 1), or more than there are pairs; neurons of
        a sign of which no synapse starts

    Time O(synapses log synapses), memory about 40 bytes a synapse beside the two networks.

    Examples
    --------
    >>> from circuits import v1
    >>> column = v1.column(300, seed=1)
    >>> len(random_synapses(column, seed=1).synapses) == len(column.synapses)
    True
    """
    old = network.synapses
    pre, post = random_connected_pairs(
        network.n, len(old), stream(seed, "random synapses", "pairs")
    )
    rng = stream(seed, "random synapses", "weights")
    excitatory = network.excitatory
    old_start, start = excitatory[old.pre], excitatory[pre]
    old_end, end = excitatory[old.post], excitatory[post]
    like = np.zeros(len(pre), dtype=np.uint32)  # the old synapse that each new one is like
    for from_e in (True, False):
        for to_e in (True, False):
            mine = (start == from_e) & (end == to_e)
            pool = np.flatnonzero((old_start == from_e) & (old_end == to_e)).astype(np.uint32)
            if not len(pool):  # in small networks: those of the same presynaptic sign
                pool = np.flatnonzero(old_start == from_e).astype(np.uint32)
            if mine.any() and not len(pool):
                raise InputError(
                    f"no synapse starts from an {'E' if from_e else 'I'} neuron of this network, "
                    "so there is no weight to give to random ones; leave these neurons out "
                    "(strip)"
                )
            if mine.any():
                like[mine] = pool[rng.integers(len(pool), size=int(mine.sum()), dtype=np.uint32)]
    carried = {
        field.name: getattr(old, field.name)[like]
        for field in dataclasses.fields(old)
        if field.name not in ("pre", "post")
    }
    facts = {"seed": int(seed), "synapses": len(old), "tree": network.n - 1}
    synapses = Synapses(pre=pre, post=post, **carried)
    return transformed(network, "random_synapses", facts, synapses=synapses)


def no_dale(network: Network, *, seed: int, signs: str = "mixed") -> Network:
    """Synapses whose sign is not that of their presynaptic neuron.

    In the source the constraint on signs during training is lifted; what the weights are before it
    is not said.

    Parameters
    ----------
    network : the circuit
    seed : of the permutation
    signs : ``"mixed"`` (our choice): the incoming weights of each neuron, with their receptors, are
        permuted among its presynaptic neurons. Every neuron receives the very same currents as
        before, but each presynaptic neuron excites some and inhibits others; receptors keep the
        sign that they had. Who connects to whom and the delays stay; that strong weights come from
        neurons of like tuning, and from classes that are strong in the data, is lost with the
        signs. Nothing balances E and I any more: untrained, the 3k column fires at 31 Hz instead
        of 3 at rest. ``"kept"``: the law is lifted and no weight changed, a start for training
        (the released code of Chen et al. 2022, Sci Adv 8:eabq7592, does so)

    Raises
    ------
    InputError : unknown `signs`

    Time O(synapses log in-degree), memory 9 bytes a synapse beside the two networks.

    Examples
    --------
    >>> from circuits import v1
    >>> mixed = no_dale(v1.column(300, seed=1), seed=1)
    >>> mixed.dale, (mixed.synapses.weight < 0)[mixed.excitatory[mixed.synapses.pre]].any()
    (False, np.True_)
    """
    if signs not in SIGNS:
        raise unknown("signs", signs, SIGNS)
    synapses = network.synapses
    if signs == "mixed":
        rng = stream(seed, "no Dale")
        weight, receptor = synapses.weight.copy(), synapses.receptor.copy()
        firsts = np.unique(np.searchsorted(synapses.post, synapses.post[::BLOCK]))
        for start, end in pairwise([*firsts.tolist(), len(synapses)]):
            # Each target's rows stay together, in random order.
            order = np.lexsort((rng.random(end - start), synapses.post[start:end]))
            weight[start:end] = synapses.weight[start:end][order]
            receptor[start:end] = synapses.receptor[start:end][order]
        synapses = dataclasses.replace(synapses, weight=weight, receptor=receptor)
    sign = network.neurons["sign"]
    against = int((synapses.weight * sign[synapses.pre] < 0).sum())
    facts = {"seed": int(seed), "signs": signs, "synapses_against_their_neuron": against}
    return transformed(network, "no_dale", facts, synapses=synapses, dale=False)


SCENARIOS: dict[str, Callable[[Network, int], Network]] = {
    "uniform_neurons": lambda network, seed: uniform_neurons(network),  # noqa: ARG005
    "random_synapses": lambda network, seed: random_synapses(network, seed=seed),
    "no_dale": lambda network, seed: no_dale(network, seed=seed),
}


def named(names: Iterable[str]) -> list[Callable[[Network, int], Network]]:
    """The scenarios of some names, with their defaults, as functions of a network and a seed.

    Raises
    ------
    InputError : an unknown name

    >>> [step] = named(["no_dale"])
    >>> from circuits import v1
    >>> step(v1.column(300, seed=1), 1).dale
    False
    """
    chosen = list(names)
    for name in chosen:
        if name not in SCENARIOS:
            raise unknown("scenario", name, SCENARIOS)
    return [SCENARIOS[name] for name in chosen]
