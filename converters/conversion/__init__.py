"""From trained rates back to spikes: the weights, replicas of the neurons, checks beforehand."""

from converters.conversion.checks import ConversionCheck, check_conversion
from converters.conversion.replicas import INPUTS, WIRINGS, unit_means
from converters.conversion.weights import DELAYS, to_spiking

__all__ = [
    "DELAYS",
    "INPUTS",
    "WIRINGS",
    "ConversionCheck",
    "check_conversion",
    "to_spiking",
    "unit_means",
]
