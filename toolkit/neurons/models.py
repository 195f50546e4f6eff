"""The neuron models that a `toolkit.network.Network` may have: parameters and input ports by name.

The dynamics of each are a NESTML file of `toolkit.neurons`. GLIF models have a port for every
receptor of the circuit, whose kinetics the circuit states. The others have ports of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from toolkit.neurons import adex, glif, glif3, hh, izhikevich, lif
from toolkit.neurons.schema import Parameter


@dataclass(frozen=True)
class NeuronModel:
    """A neuron model.

    Attributes
    ----------
    name : of a network's ``model``
    parameters : of its neurons
    ports : its own input ports and the sign of the weights that each takes, 0 for both; none if it
        has a port for every receptor of the circuit
    """

    name: str
    parameters: tuple[Parameter, ...]
    ports: Mapping[str, int] = field(default_factory=dict)

    @property
    def level(self) -> int:
        """Level of a GLIF model, 0 of another.

        >>> MODELS["glif3"].level
        3
        """
        return int(self.name.removeprefix("glif")) if self.name.startswith("glif") else 0


_START = Parameter(
    "V_init_mV",
    "mV",
    "potential at the start (that of the model if absent)",
    -1e3,
    1e3,
    float("nan"),
)
_PAIR = {"exc_spikes": 1, "inh_spikes": -1}
_PORTS = {"lif_psc_delta": {"spikes": 0}, "izhikevich": {"spikes": 0}}
MODELS = {
    model.name: model
    for model in (
        NeuronModel(glif3.NAME, glif3.PARAMETERS),
        *(
            NeuronModel(f"glif{level}", (*glif.cell_parameters(level), _START))
            for level in (1, 2, 4, 5)
        ),
        *(
            NeuronModel(name, (*parameters, _START), _PORTS.get(name, _PAIR))
            for each in (lif, adex, izhikevich, hh)
            for name, parameters in each.MODELS.items()
        ),
    )
}
