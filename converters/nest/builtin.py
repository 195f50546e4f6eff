"""GLIF3 neurons as NEST's built-in models, each with the ports it uses.

Neurons without a double-alpha receptor are ``glif_psc``, the others ``glif_psc_double_alpha``, both
with after-spike currents and a constant threshold.

These models have no parameter for a constant current I, and a generator's would come a step late. A
resting potential of E_L + I / g is the same equation: C dV/dt = -g (V - E_L) + I.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from converters.nest.kinds import Kinds, create_all
from converters.slots import Slots
from converters.sonata.models import to_nest as nest_parameters
from toolkit.errors import InputError
from toolkit.network import Network
from toolkit.neurons import glif3

SINGLE, DOUBLE = "glif_psc", "glif_psc_double_alpha"


@dataclass(frozen=True)
class BuiltinNeurons:
    """See the module; `of` checks that a network can have them."""

    @classmethod
    def of(cls, network: Network, slots: Slots) -> BuiltinNeurons:  # noqa: ARG003  as NestmlNeurons
        """Raises `InputError` for another neuron model, or for exponential currents."""
        if network.model != glif3.NAME:
            raise InputError(
                f"model='builtin' is for {glif3.NAME} neurons, these are {network.model}: use "
                "model='nestml'"
            )
        for name, receptor in network.receptors.items():
            if receptor.kernel == "exponential":
                raise InputError(
                    f"the network has the receptor {name!r} with an exponential current; NEST's "
                    f"{SINGLE} has alpha and double-alpha ones: use model='nestml'"
                )
        return cls()

    def create(self, nest: Any, network: Network, slots: Slots) -> np.ndarray:
        """Make the nodes, and give the number in NEST of every neuron, shape (neuron,)."""
        double = np.array([kind.kernel == "double_alpha" for kind in slots.kinds] + [False])
        model = np.where(double[slots.receptor].any(axis=0), DOUBLE, SINGLE)
        return create_all(nest, network, slots, model, _parameters)

    def ports(self, nest: Any, network: Network, slots: Slots) -> np.ndarray:  # noqa: ARG002
        """NEST's ``receptor_type`` of each slot: from 1."""
        return np.arange(slots.n, dtype=np.int64) + 1


def _parameters(kinds: Kinds) -> list[dict[str, Any]]:
    """NEST's parameters of each neuron."""
    of_kind = []
    for values, ports in kinds.listed():
        raised_mV = values["E_L_mV"] + values.pop("I_ext_pA", 0.0) / values["g_nS"]
        of_kind.append(nest_parameters(values | {"E_L_mV": raised_mV}, ports))
    return [
        {**of_kind[kind], "V_m": V_m}
        for kind, V_m in zip(kinds.of_neuron.tolist(), kinds.start_mV.tolist(), strict=True)
    ]
