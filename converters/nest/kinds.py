"""Neurons that differ in nothing but the potential at the start share their parameters.

A column of many thousand neurons has some hundred kinds of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from converters.slots import Slots
from toolkit.network import Network
from toolkit.neurons import glif3
from toolkit.receptor import Receptor


@dataclass(frozen=True)
class Kinds:
    """Some neurons of a network by kind.

    Attributes
    ----------
    names : parameters
    values : of each kind, shape (kind, parameter)
    ports : of each kind, shape (kind, slot): position in `receptors`, or -1
    receptors : those of the network that differ
    of_neuron : the kind of each neuron
    start_mV : potential of each neuron at the start
    """

    names: list[str]
    values: np.ndarray
    ports: np.ndarray
    receptors: list[Receptor]
    of_neuron: np.ndarray
    start_mV: np.ndarray

    @classmethod
    def of(cls, network: Network, slots: Slots, members: np.ndarray) -> Kinds:
        """The kinds among `members`."""
        cells = network.neurons
        names = [p.name for p in glif3.PARAMETERS if p.name in cells and p.name != "V_init_mV"]
        columns = [cells[name][members].astype(float) for name in names]
        columns += [slot[members].astype(float) for slot in slots.receptor]
        kinds, of_neuron = np.unique(np.column_stack(columns), axis=0, return_inverse=True)
        start = cells["V_init_mV" if "V_init_mV" in cells else "E_L_mV"][members]
        n = len(names)
        return cls(
            names,
            kinds[:, :n],
            kinds[:, n:].astype(int),
            slots.kinds,
            of_neuron.ravel(),
            start.astype(float),
        )

    def listed(self) -> Iterator[tuple[dict[str, float], list[Receptor]]]:
        """Parameters and receptors, one a port, of each kind."""
        for values, ports in zip(self.values.tolist(), self.ports.tolist(), strict=True):
            receptors = [self.receptors[port] for port in ports if port >= 0]
            yield dict(zip(self.names, values, strict=True)), receptors


def create_all(
    nest: Any,
    network: Network,
    slots: Slots,
    model: np.ndarray,
    parameters: Callable[[Kinds], list[dict[str, Any]]],
) -> np.ndarray:
    """Make a node a neuron, and give their numbers in NEST, shape (neuron,).

    Parameters
    ----------
    nest, network, slots : the module, the network and its ports
    model : name of NEST's model of each neuron
    parameters : gives those of each neuron of one model
    """
    number = np.zeros(network.n, dtype=np.int64)
    for name in np.unique(model).tolist():
        members = np.flatnonzero(model == name)
        given = parameters(Kinds.of(network, slots, members))
        nodes = nest.Create(name, len(members), given)
        number[members] = nodes[0].global_id + np.arange(len(members))
    return number
