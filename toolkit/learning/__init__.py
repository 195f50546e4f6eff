"""Rate networks whose weights are trained: the model, its weights, its readout, the training."""

from toolkit.learning.evaluation import answer, evaluate
from toolkit.learning.hebbian import HebbianWithinLayers
from toolkit.learning.losses import Penalties
from toolkit.learning.model import TrainableRates
from toolkit.learning.options import TrainingOptions
from toolkit.learning.pools import localized_pools
from toolkit.learning.training import fit
from toolkit.learning.weights import CONSTRAINTS, Weights
from toolkit.scan.curves import TableCurve

__all__ = [
    "CONSTRAINTS",
    "HebbianWithinLayers",
    "Penalties",
    "TableCurve",
    "TrainableRates",
    "TrainingOptions",
    "Weights",
    "answer",
    "evaluate",
    "fit",
    "localized_pools",
]
