"""Linear-nonlinear filters of the lateral geniculate nucleus: from a movie to rates in Hz.

A channel is a Gaussian in space and a kernel in time, rectified; some have a second subfield.
All parameters are passed in: which types of cells there are is the circuit's business.

Source: Billeh et al. 2020, Neuron 106:388 (filters as in bmtk's FilterNet); Durand et al. 2016,
Journal of Neuroscience 36:12144 (recordings behind them).
"""

from toolkit.lgn.channels import Channels, Subfields
from toolkit.lgn.filters import LGN
from toolkit.lgn.kernels import temporal_kernel

__all__ = ["LGN", "Channels", "Subfields", "temporal_kernel"]
