"""Striate's parts: networks, neuron models, rate dynamics, filters, stimuli, metrics, plots.

Nothing here knows of V1, of the Allen tables or of any file of a circuit: see `circuits`.
"""

DISTRIBUTION = "striate"

from toolkit.network import Input, Network, Receptor, Synapses  # noqa: E402
from toolkit.recording import Recording  # noqa: E402
from toolkit.table import Table  # noqa: E402

__all__ = ["Input", "Network", "Receptor", "Recording", "Synapses", "Table"]
