"""Which synaptic currents each neuron keeps: its receptors packed into few slots.

A circuit may name a hundred receptors, one for each pair of cell types; a neuron has synapses of
some of them, and some of those have the same kinetics. A *slot* holds one kind of receptor of each
neuron. All that arrives in a slot drives its one current, or both currents of a double-alpha
receptor. A slot of exponential currents is one in all neurons.

Of a neuron model with ports of its own, every port is a slot.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toolkit.network import Network
from toolkit.neurons.models import MODELS
from toolkit.receptor import Receptor


@dataclass(frozen=True)
class Current:
    """A synaptic current of every neuron; arrays of shape (neuron,).

    Attributes
    ----------
    name : the slot's number, with ``_slow`` for the slow component of double-alpha receptors
    slot : whose arrivals drive it
    peak : pA for a weight of 1 pA; 0 for a neuron that does not have this current
    tau_ms : time constant (1 where the peak is 0)
    alpha : whether it is an alpha current; an exponential one otherwise
    """

    name: str
    slot: int
    peak: np.ndarray
    tau_ms: np.ndarray
    alpha: np.ndarray


@dataclass(frozen=True)
class Slots:
    """Which receptor each neuron keeps in which slot.

    Attributes
    ----------
    of_receptor : shape (neuron, receptor), slot number or -1; int8
    receptor : shape (slot, neuron), position in `kinds` or -1; int16
    kinds : the receptors that differ, in the order of the network's
    currents : the first component of every slot in the order of slots, then the slow components;
        none of ports
    """

    of_receptor: np.ndarray
    receptor: np.ndarray
    kinds: list[Receptor]
    currents: list[Current]

    @property
    def n(self) -> int:
        """Number of slots."""
        return len(self.receptor)

    @property
    def kernels(self) -> tuple[str, ...]:
        """The kernel of each slot; alpha currents in a slot with double-alpha ones are such."""
        names = np.array([kind.kernel for kind in self.kinds] + [""])
        has = [set(names[slot].tolist()) for slot in self.receptor]
        order = ("port", "exponential", "double_alpha", "alpha")
        return tuple(next((k for k in order if k in kernels), "alpha") for kernels in has)


def pack_receptors(network: Network) -> Slots:
    """Give every neuron's receptors the lowest slots, in the order of the network's receptors.

    Receptors of equal kinetics share a slot.
    """
    receptors = list(network.receptors.values())
    if MODELS[network.model].ports:
        kinds, of_kind = receptors, np.zeros((network.n, 1), dtype=np.int8)
        every = np.arange(len(receptors), dtype=np.int16)
        return Slots(of_kind + every, np.repeat(every[:, None], network.n, axis=1), kinds, [])
    kinds = list(dict.fromkeys(receptors))
    kind_of = np.array([kinds.index(each) for each in receptors], dtype=np.int64)
    used = np.zeros((network.n, len(kinds)), dtype=bool)
    for synapses in (network.synapses, *(source.synapses for source in network.inputs.values())):
        used[synapses.post, kind_of[synapses.receptor]] = True
    exponential = np.array([kind.kernel == "exponential" for kind in kinds], dtype=bool)
    of_kind = np.full(used.shape, -1, dtype=np.int16)
    first = 0
    for family in (~exponential, exponential):
        slot = first + np.cumsum(used[:, family], axis=1, dtype=np.int16) - 1
        of_kind[:, family] = np.where(used[:, family], slot, -1)
        first = max(first, int(of_kind.max(initial=-1)) + 1)
    receptor = np.full((max(1, first), network.n), -1, dtype=np.int16)
    neuron, kind = np.nonzero(used)
    receptor[of_kind[neuron, kind], neuron] = kind
    return Slots(of_kind[:, kind_of], receptor, kinds, _currents(receptor, kinds))


def _currents(receptor: np.ndarray, kinds: list[Receptor]) -> list[Current]:
    alpha = np.array([each.kernel != "exponential" for each in kinds] + [True])[receptor]
    currents: list[Current] = []
    for component, suffix in enumerate(("", "_slow")):
        # The last entry is for neurons without a receptor in the slot.
        known = [each.components[component : component + 1] or ((0.0, 1.0),) for each in kinds]
        peak, tau_ms = np.array([each[0] for each in known] + [(0.0, 1.0)]).T[:, receptor]
        currents += [
            Current(f"{slot}{suffix}", slot, peak[slot], tau_ms[slot], alpha[slot])
            for slot in range(len(receptor))
            if component == 0 or peak[slot].any()
        ]
    return currents
