"""Analyses of a trained network; one file each.

A module ``circuits.analysis.<name>`` has ``NAME`` and ``analyse(trained, options)``, where
`trained` is a `circuits.training.Prepared` and the answer a `Result`. ``striate analyse`` runs
them.
"""

from circuits.analysis.result import NotApplicable, Options, Result, read_record, write

ANALYSES = {
    "weights": "log-normality of weights, mean weight of class pairs, before and after training",
    "rates": "firing rates of the classes while tasks are solved, beside recorded ones",
    "spectrum": "cross-validated PCA of responses to images, its exponent, stability in noise",
    "learning_curves": "how soon training converged, of this run and others",
    "robustness": "accuracy with noise currents inside the network",
    "rivals": "accuracy with noise on the images, beside a small ANN and SNN",
    "output_layers": "what can be read from each layer",
    "recurrency": "recurrent input, and what is left of accuracy and robustness without it",
    "cells": "simple and complex cells, selectivity, preferred orientation before and after",
}

__all__ = ["ANALYSES", "NotApplicable", "Options", "Result", "read_record", "write"]
