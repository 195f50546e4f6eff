"""Models that others are compared with, on the same interface."""

from toolkit.retina.baselines.bottleneck import Bottleneck
from toolkit.retina.baselines.linear import GLM, LN
from toolkit.retina.baselines.maps import CNN, CRNN, TemporalCRNN

__all__ = ["CNN", "CRNN", "GLM", "LN", "Bottleneck", "TemporalCRNN"]
