"""Allen Institute tables of mouse V1: classes, connections, weights, cells, LGN, recorded rates.

`load`: the generation of Billeh et al. 2020 (Neuron 106:388-403): 17 classes, 230,924 neurons,
GLIF3 cells, alpha-shaped synapses. `load_v1dd`: the one after it (`circuits.allen.v1dd`). The
files are facts in a form of our own; ``NOTICE`` names their sources and the terms of use.

>>> from circuits import allen
>>> tables = allen.load()
>>> pair = tables.connections.where(pre="e4", post="e23")
>>> allen.peak_probability(pair["p_within_75um"], pair["sigma_um"]).round(4)
array([0.1725])
"""

from circuits.allen.rules import DEFAULT_LGN_TYPES, orientation_rule, peak_probability
from circuits.allen.tables import AllenTables, load
from circuits.allen.targets import evoked_targets, spontaneous_targets
from circuits.allen.v1dd import V1DDTables, load_v1dd

__all__ = [
    "DEFAULT_LGN_TYPES",
    "AllenTables",
    "V1DDTables",
    "evoked_targets",
    "load",
    "load_v1dd",
    "orientation_rule",
    "peak_probability",
    "spontaneous_targets",
]
