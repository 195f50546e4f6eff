"""Fitting of encoding models: their interface, training, prediction, scores."""

from toolkit.retina.fitting.lengths import cc_by_length
from toolkit.retina.fitting.model import Batch, EncodingModel, Outputs
from toolkit.retina.fitting.options import Options
from toolkit.retina.fitting.prediction import Prediction, predict
from toolkit.retina.fitting.scoring import bits_per_spike, evaluate, score
from toolkit.retina.fitting.training import Fitted, fit

__all__ = [
    "Batch",
    "EncodingModel",
    "Fitted",
    "Options",
    "Outputs",
    "Prediction",
    "bits_per_spike",
    "cc_by_length",
    "evaluate",
    "fit",
    "predict",
    "score",
]
