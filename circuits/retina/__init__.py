"""Models of the retina trained, evaluated and compared: run folders, tables, figures.

train_run(Setup(data="movie1_retina1", model="tecos"), Options(), Path("runs/x"), ...)
trained = load_model("runs/x/weights.npz")
print(by_cell(outcome(trained.prepared, trained.model)))
"""

from circuits.retina.scores import by_cell, outcome
from circuits.retina.setup import DATA, Prepared, Setup, prepare
from circuits.retina.training import train_run
from circuits.retina.weights import Trained, load_model, save_model

__all__ = [
    "DATA",
    "Prepared",
    "Setup",
    "Trained",
    "by_cell",
    "load_model",
    "outcome",
    "prepare",
    "save_model",
    "train_run",
]
