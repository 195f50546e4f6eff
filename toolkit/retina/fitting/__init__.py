"""Fitting of encoding models: their interface, training, prediction, scores."""

from toolkit.retina.fitting.model import Batch, EncodingModel, Outputs
from toolkit.retina.fitting.training import (
    Fitted,
    Options,
    Prediction,
    evaluate,
    fit,
    predict,
    score,
)

__all__ = [
    "Batch",
    "EncodingModel",
    "Fitted",
    "Options",
    "Outputs",
    "Prediction",
    "evaluate",
    "fit",
    "predict",
    "score",
]
