"""NESTML models in Brian2: `read` a model, write its `brian2_code`, make a `neuron_group` of it.

Synapse models: `synapse_code` and `synapses`. `shipped` gives the code of the models of
`toolkit.neurons` without a parser.
"""

from converters.nestml.brian2_code import Brian2Code, brian2_code
from converters.nestml.group import neuron_group
from converters.nestml.model import Model
from converters.nestml.read import read
from converters.nestml.synapse_code import SynapseCode, synapse_code
from converters.nestml.synapses import synapses

__all__ = [
    "Brian2Code",
    "Model",
    "SynapseCode",
    "brian2_code",
    "neuron_group",
    "read",
    "synapse_code",
    "synapses",
]
