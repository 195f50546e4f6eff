"""Which entry of the trained rate form's sparse matrix stands for which synapse of a network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from converters.rate_weights import Responses
from converters.slots import Slots
from toolkit.network import Network


@dataclass(frozen=True)
class Entries:
    """The recurrent synapses of a network and those of one input, in the order of the rate form.

    The order is that of `toolkit.scan.Connections`, by row and column; two synapses of a pair
    through one receptor are two entries, in the order of the network. Arrays of shape (entry,).

    Attributes
    ----------
    row : slot x neuron; the neuron alone where all currents are one
    col : presynaptic neuron, or number of neurons + channel
    synapse : which synapse it is, counted through the recurrent ones and on through the input's
    charge : of a spike through a weight of 1 pA, pA/Hz (pC)
    square : integral of psp^2 for a weight of 1 pA, mV^2/Hz
    peak : of the psp for a weight of 1 pA, mV
    """

    row: np.ndarray
    col: np.ndarray
    synapse: np.ndarray
    charge: np.ndarray
    square: np.ndarray
    peak: np.ndarray

    @classmethod
    def of(
        cls, network: Network, source: str, slots: Slots, responses: Responses, *, one_current: bool
    ) -> Entries:
        """The entries of a network, whose input `source` is trained, too.

        `one_current` is for the dynamics ``"equilibrium"``. Time O(synapses log synapses), memory
        some 70 bytes a synapse.
        """
        groups = (network.synapses, network.inputs[source].synapses)
        post = np.concatenate([each.post for each in groups]).astype(np.int64)
        receptor = np.concatenate([each.receptor for each in groups])
        slot = slots.of_receptor[post, receptor].astype(np.int64)
        row = post if one_current else slot * network.n + post
        # Synapses are sorted by (post, pre), and channels come after neurons: within a row they are
        # in the order of columns already, which a stable sort keeps.
        order = np.argsort(row, kind="stable")
        col = np.concatenate([groups[0].pre, groups[1].pre + np.int64(network.n)])
        slot, post = slot[order], post[order]
        return cls(
            row[order],
            col[order],
            order,
            responses.charge[slot, post],
            responses.square[slot, post],
            responses.peak[slot, post],
        )

    def __len__(self) -> int:
        return len(self.row)


def trained_weights(network: Network, source: str) -> tuple[np.ndarray, np.ndarray]:
    """Weight (pA) and sign of the synapses that `Entries.synapse` counts, (synapse,).

    A recurrent synapse under Dale's law has the sign of its neuron, another that of its weight, or
    +1 if that is 0.
    """
    recurrent, driven = network.synapses.weight, network.inputs[source].synapses.weight
    weight = np.concatenate([recurrent, driven]).astype(float)
    sign = np.sign(weight)
    if network.dale:
        sign[: len(recurrent)] = network.neurons["sign"][network.synapses.pre]
    sign[sign == 0] = 1.0
    return weight, sign
