"""Spikes of all neurons, recorded in NEST and gathered from all processes."""

from __future__ import annotations

from typing import Any

import numpy as np

from converters.nest import devices
from converters.nest.processes import gathered, is_here


class OwnRecorder:
    """Records by `converters.nest.devices`: a node for each virtual process."""

    def __init__(self, nest: Any, number: np.ndarray):
        self._nest = nest
        n = nest.total_num_virtual_procs
        nodes = nest.Create(devices.RECORDER, n)
        first = nodes[0].global_id
        here = np.flatnonzero(is_here(number, nest.num_processes, nest.Rank()))
        mine = number[here]
        nest.Connect(
            mine,
            first + (mine - first) % n,  # of the same virtual process
            "one_to_one",
            {
                "synapse_model": "static_synapse",
                "weight": np.ones(len(mine)),
                "delay": np.full(len(mine), nest.min_delay),  # it bounds no one's
                "receptor_type": here,
            },
        )
        mine = is_here(first + np.arange(n), nest.num_processes, nest.Rank())
        self._nodes = [nodes[int(k)] for k in np.flatnonzero(mine)]

    def spikes(self) -> tuple[np.ndarray, np.ndarray]:
        """Steps and neurons."""
        parts = [
            np.array([node.get("steps"), node.get("ports")], dtype=np.int64).T
            for node in self._nodes
        ]
        steps, neurons = gathered(self._nest, np.concatenate(parts)).T
        return steps, neurons


class NestRecorder:
    """Records by NEST's ``spike_recorder``."""

    def __init__(self, nest: Any, number: np.ndarray):
        self._nest, self._number = nest, number
        self._node = nest.Create("spike_recorder", params={"time_in_steps": True})
        nest.Connect(nest.NodeCollection(np.sort(number)), self._node)

    def spikes(self) -> tuple[np.ndarray, np.ndarray]:
        """Steps and neurons."""
        events = self._node.get("events")
        mine = np.stack([events["times"], events["senders"]], axis=1).astype(np.int64)
        steps, senders = gathered(self._nest, mine).T
        neuron = np.zeros(int(self._number.max(initial=0)) + 1, dtype=np.int32)
        neuron[self._number] = np.arange(len(self._number))
        return steps, neuron[senders]
