"""Rate networks whose weights are trained: the model, its weights and its readout."""

from toolkit.learning.model import TrainableRates
from toolkit.learning.pools import localized_pools
from toolkit.learning.weights import CONSTRAINTS, Weights
from toolkit.scan.curves import TableCurve

__all__ = ["CONSTRAINTS", "TableCurve", "TrainableRates", "Weights", "localized_pools"]
