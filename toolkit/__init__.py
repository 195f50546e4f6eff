"""Striate's parts: networks, neuron models, rate dynamics, filters, stimuli, metrics, plots.

Nothing here knows of V1, of the Allen tables or of any file of a circuit: see `circuits`.
"""

from toolkit.network import Input, Network, Receptor, Synapses
from toolkit.recording import Recording
from toolkit.table import Table

__all__ = ["Input", "Network", "Receptor", "Recording", "Synapses", "Table"]
