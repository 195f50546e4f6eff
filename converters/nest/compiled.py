"""GLIF3 neurons as NESTML models, compiled for NEST.

One model for each kernel of receptors that the network has, with as many ports as its neurons need
(`toolkit.neurons.glif`). A neuron with alpha and double-alpha receptors has the double-alpha model,
in which an alpha current is one without a slow part.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from converters.nest import module
from converters.nest.kinds import Kinds, create_all
from converters.slots import Slots
from toolkit.errors import InputError
from toolkit.network import Network
from toolkit.neurons import glif

LEVEL = 3


@dataclass(frozen=True)
class NestmlNeurons:
    """See the module.

    Attributes
    ----------
    kernel : of each neuron
    n_ports : of every model
    modules : compiled, by kernel
    """

    kernel: np.ndarray
    n_ports: int
    modules: dict[str, Path]

    @classmethod
    def of(cls, slots: Slots) -> NestmlNeurons:
        """Compile what the network needs, unless it is in the cache.

        Raises
        ------
        InputError : a neuron with exponential and other receptors
        """
        kernel = _kernels(slots)
        n_ports = max(slots.n, 2)  # NESTML does not number a single port
        names = np.unique(kernel).tolist()
        return cls(kernel, n_ports, {name: module.build(_text(name, n_ports)) for name in names})

    def create(self, nest: Any, network: Network, slots: Slots) -> np.ndarray:
        """Make the nodes, and give the number in NEST of every neuron, shape (neuron,)."""
        for path in self.modules.values():
            nest.Install(str(path.with_suffix("")))
        names = {kernel: _name(kernel, self.n_ports) for kernel in self.modules}
        for name in names.values():
            expected = {f"SPIKES_{k}": k for k in range(1, self.n_ports + 1)}
            if dict(nest.GetDefaults(name)["receptor_types"]) != expected:
                raise RuntimeError(f"NESTML numbers the ports of {name} differently")
        model = np.array([names[kernel] for kernel in self.kernel.tolist()])
        return create_all(nest, network, slots, model, _parameters)


def _kernels(slots: Slots) -> np.ndarray:
    """The kernel of each neuron's model."""
    has = {
        kernel: np.array([kind.kernel == kernel for kind in slots.kinds] + [False])[
            slots.receptor
        ].any(axis=0)
        for kernel in glif.KERNELS
    }
    mixed = np.flatnonzero(has["exponential"] & (has["alpha"] | has["double_alpha"]))
    if len(mixed):
        raise InputError(
            f"neuron {mixed[0]} has exponential and alpha receptors ({len(mixed):,} neurons have), "
            "for which there is no NESTML model: use to_brian2"
        )
    kernel = np.where(has["double_alpha"], "double_alpha", "alpha")
    return np.where(has["exponential"], "exponential", kernel)


def _name(kernel: str, n_ports: int) -> str:
    # Of its own for every number of ports: a process can load models of one name only once.
    return f"glif{LEVEL}_psc_{kernel}_{n_ports}_ports"


def _text(kernel: str, n_ports: int) -> str:
    text = glif.nestml(LEVEL, kernel, n_ports)
    return text.replace(f"model glif{LEVEL}_psc_{kernel}:", f"model {_name(kernel, n_ports)}:")


def _parameters(kinds: Kinds) -> list[dict[str, Any]]:
    """Parameters of each neuron under NESTML's names; the state U is V - E_L."""
    named = {p.name: glif.nestml_name(p) for p in glif.parameters(LEVEL, "alpha")}
    of_kind, rest_mV = [], []
    for values, receptors in kinds.listed():
        given = {named[name]: value for name, value in values.items()}
        for k, receptor in enumerate(receptors, start=1):
            given[f"tau_syn_{k}"] = receptor.tau_ms
            if kinds.double:
                given[f"tau_slow_{k}"] = receptor.tau_slow_ms or receptor.tau_ms
                given[f"amp_slow_{k}"] = receptor.amp_slow or 0.0
        of_kind.append(given)
        rest_mV.append(values["E_L_mV"])
    U = kinds.start_mV - np.array(rest_mV)[kinds.of_neuron]
    return [
        {**of_kind[kind], "U": start}
        for kind, start in zip(kinds.of_neuron.tolist(), U.tolist(), strict=True)
    ]
