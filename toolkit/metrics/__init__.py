"""Metrics of spikes and rates.

Arrays have their samples first and neurons last: rates (stimulus, neuron) or (direction,
neuron), counts (trial or window, neuron), PSTHs (bin, neuron), trials (trial, ..., neuron). All
rates in Hz. A metric that is undefined, such as the tuning of a silent neuron, is NaN.
"""

from toolkit.metrics.agreement import (
    log_rate_r_squared,
    log_rates,
    per_neuron_r_squared,
    psth_correlation,
    r_squared,
    slope,
)
from toolkit.metrics.code_similarity import code_similarity
from toolkit.metrics.comparison import Comparison, compare, psth
from toolkit.metrics.corrected import (
    noise_corrected_r_squared,
    noise_correlation,
    pooled_corrected_r_squared,
    rate_histogram_divergence,
)
from toolkit.metrics.reliability import Ceiling, bootstrap_interval, split_half_ceiling
from toolkit.metrics.spike_dissimilarity import (
    autocorrelogram,
    autocorrelogram_distance,
    psp,
    spike_mmd,
)
from toolkit.metrics.spike_distances import (
    spike_distance,
    trains_from_bins,
    van_rossum,
    victor_purpura,
)
from toolkit.metrics.tuning import dsi, osi, preferred_direction
from toolkit.metrics.variability import cv_isi, fano_factor, pairwise_correlation

__all__ = [
    "Ceiling",
    "Comparison",
    "autocorrelogram",
    "autocorrelogram_distance",
    "bootstrap_interval",
    "code_similarity",
    "compare",
    "cv_isi",
    "dsi",
    "fano_factor",
    "log_rate_r_squared",
    "log_rates",
    "noise_corrected_r_squared",
    "noise_correlation",
    "osi",
    "pairwise_correlation",
    "per_neuron_r_squared",
    "pooled_corrected_r_squared",
    "preferred_direction",
    "psp",
    "psth",
    "psth_correlation",
    "r_squared",
    "rate_histogram_divergence",
    "slope",
    "spike_distance",
    "spike_mmd",
    "split_half_ceiling",
    "trains_from_bins",
    "van_rossum",
    "victor_purpura",
]
