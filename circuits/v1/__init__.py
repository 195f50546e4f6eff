"""Mouse V1: the column of Allen Institute cell classes, its LGN and its background.

``v1.column("3k", seed=1)`` builds a column, ``v1.lgn(column)`` the LGN that drives it;
``v1.no_dale(column, seed=1)`` and others make it into another circuit.
"""

from circuits.v1.column import DATA, SELECTIONS, column
from circuits.v1.lgn import lgn
from circuits.v1.neurons import SIZES
from circuits.v1.parts import layers, select, strip
from circuits.v1.scenarios import no_dale, random_synapses
from circuits.v1.uniform import uniform_neurons
from circuits.v1.v1dd import v1dd_column

__all__ = [
    "DATA",
    "SELECTIONS",
    "SIZES",
    "column",
    "layers",
    "lgn",
    "no_dale",
    "random_synapses",
    "select",
    "strip",
    "uniform_neurons",
    "v1dd_column",
]
