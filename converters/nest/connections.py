"""Synapses of a network in NEST: those onto the neurons of this process, connected by arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from converters.grid import nearest_steps, warn_of_moved
from converters.nest.processes import is_here
from converters.slots import Slots
from toolkit.network import Network, Synapses
from toolkit.network_blocks import ROWS, NetworkFile
from toolkit.network_file import PARTS


@dataclass(frozen=True)
class Rows:
    """Some synapses as NEST takes them.

    Attributes
    ----------
    pre : position among the sources
    target : number of the node
    weight : pA
    delay_ms : on the grid
    port : of the target, NEST's ``receptor_type``
    """

    pre: np.ndarray
    target: np.ndarray
    weight: np.ndarray
    delay_ms: np.ndarray
    port: np.ndarray

    def connect(self, nest: Any, sources: np.ndarray) -> None:
        """Connect nodes; `sources` has the number of each row's."""
        nest.Connect(
            sources,
            self.target,
            "one_to_one",
            {
                "synapse_model": "static_synapse",
                "weight": self.weight,
                "delay": self.delay_ms,
                "receptor_type": self.port,
            },
        )


def blocks(network: Network | NetworkFile, name: str) -> Iterator[Synapses]:
    """Synapses of an input, or the recurrent ones under ``""``, some at a time.

    NEST wants 40 bytes of each to connect it, of which the network has 17.
    """
    if isinstance(network, NetworkFile):
        yield from network.synapses(name)
        return
    synapses = network.inputs[name].synapses if name else network.synapses
    for first in range(0, len(synapses), ROWS):
        rows = slice(first, first + ROWS)
        yield Synapses(*(getattr(synapses, part)[rows] for part in PARTS))


def rows_here(
    nest: Any,
    network: Network | NetworkFile,
    name: str,
    targets: np.ndarray,
    slots: Slots,
    ports: np.ndarray,
    dt_ms: float,
) -> Iterator[Rows]:
    """Synapses onto the neurons of this process, block by block.

    Parameters
    ----------
    nest : the module
    network, name : see `blocks`
    targets : number in NEST of every neuron of the network
    slots, ports : the slots of the receptors, and NEST's ``receptor_type`` of each slot
    dt_ms : time step; delays are rounded to it by `converters.grid`, with a warning
    """
    n = n_moved = 0
    worst_ms = 0.0
    for synapses in blocks(network, name):
        steps, moved_ms = nearest_steps(synapses.delay_ms, dt_ms)
        n, n_moved = n + len(steps), n_moved + int(np.count_nonzero(moved_ms))
        worst_ms = max(worst_ms, moved_ms.max(initial=0.0))
        here = is_here(targets[synapses.post], nest.num_processes, nest.Rank())
        post = synapses.post[here]
        yield Rows(
            pre=synapses.pre[here],
            target=targets[post],
            weight=synapses.weight[here].astype(np.float64),
            delay_ms=steps[here] * dt_ms,
            port=ports[slots.of_receptor[post, synapses.receptor[here]]],
        )
    if n_moved and nest.Rank() == 0:
        what = f"input {name!r}" if name else "recurrent synapses"
        warn_of_moved(what, n_moved, n, worst_ms, dt_ms)
