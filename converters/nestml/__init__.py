"""NESTML models in Brian2: `read` a model, write its `brian2_code`, make a `neuron_group` of it.

`shipped` gives the code of the models of `toolkit.neurons` without a parser.
"""

from converters.nestml.brian2_code import Brian2Code, brian2_code
from converters.nestml.group import neuron_group
from converters.nestml.model import Model
from converters.nestml.read import read

__all__ = ["Brian2Code", "Model", "brian2_code", "neuron_group", "read"]
