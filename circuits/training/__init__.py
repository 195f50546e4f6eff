"""Training the firing-rate V1: which column learns what, how well, and its weight files.

ready = prepare(Setup(size="3k", scenario="default", seed=1))
train(ready, TrainingOptions(epochs=2), folder="runs/first")
print(accuracies(ready).to_pandas())
save_weights("weights.npz", ready)
"""

from circuits.training.run import accuracies, train
from circuits.training.setup import TRAINED_SCENARIOS, Prepared, Setup, prepare
from circuits.training.weight_files import (
    load_trained,
    round_weights,
    save_weights,
    shipped,
    start_from,
)
from toolkit.learning.losses import Penalties
from toolkit.learning.options import TrainingOptions

__all__ = [
    "TRAINED_SCENARIOS",
    "Penalties",
    "Prepared",
    "Setup",
    "TrainingOptions",
    "accuracies",
    "load_trained",
    "prepare",
    "round_weights",
    "save_weights",
    "shipped",
    "start_from",
    "train",
]
