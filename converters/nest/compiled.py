"""Neurons as one NESTML model, compiled for NEST (`converters.neuron_model`)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from converters import neuron_model
from converters.nest import module
from converters.slots import Slots
from toolkit.network import Network

# NESTML's solvers by ours: the same for "euler", an adaptive one of higher order for the others.
SOLVERS = {"euler": "forward-Euler", "rk2": "rk45", "rk4": "rk45"}


@dataclass(frozen=True)
class NestmlNeurons:
    """See the module.

    Attributes
    ----------
    name : of the model in NEST
    compiled : the module it is in
    """

    name: str
    compiled: Path

    @classmethod
    def of(cls, network: Network, slots: Slots) -> NestmlNeurons:
        """Compile the network's model, unless it is in the cache."""
        # NEST has models of some of our names.
        own = neuron_model.name(network, slots)
        name = f"{own}_striate"
        text = neuron_model.text(network, slots).replace(f"model {own}:", f"model {name}:")
        return cls(name, module.build(text, SOLVERS[neuron_model.method(network)]))

    def create(self, nest: Any, network: Network, slots: Slots) -> np.ndarray:
        """Make the nodes, and give the number in NEST of every neuron, shape (neuron,)."""
        nest.Install(str(self.compiled.with_suffix("")))
        values = neuron_model.values(network, slots)
        names, columns = list(values), [column.tolist() for column in values.values()]
        rows = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
        nodes = nest.Create(self.name, network.n, rows or None)
        return nodes[0].global_id + np.arange(network.n)

    def ports(self, nest: Any, network: Network, slots: Slots) -> np.ndarray:
        """NEST's number of the port of each slot: 0 where the model has one for all weights."""
        known = nest.GetDefaults(self.name).get("receptor_types") or {}
        return np.array(
            [known.get(port.upper(), 0) for port in neuron_model.ports(network, slots)],
            dtype=np.int64,
        )
