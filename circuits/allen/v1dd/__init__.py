"""The second generation of Allen tables: mouse V1 by electron microscopy and slice recordings.

22 populations (17 classes, with L5 E split into IT, ET and NP), 203,816 neurons in a column of
radius 700 um, 201 GLIF3 cell models, log-normal numbers of synapses and weights, double-alpha
synaptic currents: the Allen Institute's biorealistic-v1-model (2026). Densities are those of the
MICrONS volume, connection probabilities those of the V1DD volume, potentials and kinetics those of
Campagnola et al. 2022, Science 375:eabj5861.

>>> from circuits import allen
>>> allen.load_v1dd().populations.where(cell_class="e5")["population"].tolist()
['e5IT', 'e5ET', 'e5NP']
"""

from circuits.allen.v1dd.tables import CORE_RADIUS_UM, FULL_RADIUS_UM, V1DDTables, load_v1dd

__all__ = ["CORE_RADIUS_UM", "FULL_RADIUS_UM", "V1DDTables", "load_v1dd"]
