"""Correlation of predicted rates with the mean of the trials."""

from __future__ import annotations

from typing import Any

import numpy as np

from toolkit.metrics import psth_correlation
from toolkit.retina.data import Steps, rebinned
from toolkit.retina.fitting.prediction import Prediction

SCORED_MS = 30.0  # bins of the correlation


def score(observed: np.ndarray, predicted: np.ndarray, bin_ms: float) -> float:
    """Mean CC over cells that vary, in bins of 30 ms, of (window, step, cell) one after another.

    A cell whose prediction is constant counts as 0; one that never fired is left out.
    """
    cc = cell_scores(observed, predicted, bin_ms)
    return float(np.nanmean(cc)) if np.isfinite(cc).any() else 0.0


def cell_scores(observed: np.ndarray, predicted: np.ndarray, bin_ms: float) -> np.ndarray:
    """CC of each cell, NaN where the recording does not vary."""
    y, yhat = (in_scored_bins(v, bin_ms) for v in (observed, predicted))
    cc = np.asarray(psth_correlation(y, yhat))
    return np.where(np.ptp(y, axis=0) > 0, np.nan_to_num(cc), np.nan)


def in_scored_bins(values: np.ndarray, bin_ms: float) -> np.ndarray:
    """Spikes of (window, step, ...) in bins of 30 ms, windows one after another, (bin, ...).

    Steps that cannot be put together to 30 ms within a window stay as they are.

    >>> in_scored_bins(np.ones((2, 6, 1)), 10).ravel().tolist()
    [3.0, 3.0, 3.0, 3.0]
    """
    factor = max(1, round(SCORED_MS / bin_ms))
    if values.shape[1] % factor:
        factor = 1
    wide = rebinned(np.moveaxis(values.astype(float), 1, -1), factor)
    return np.moveaxis(wide, -1, 1).reshape(-1, *values.shape[2:])


def bits_per_spike(observed: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Log-likelihood of Poisson counts above that of a constant rate, bits a spike, (cell,).

        sum_t [ y_t log2(r_t / mean y) - (r_t - mean y) / ln 2 ] / sum_t y_t

    NaN for cells without spikes. Rates are taken as 1e-6 spikes a step at the least, as in
    training.

    Parameters
    ----------
    observed, predicted : mean counts of the trials and rates, spikes a step, (step, cell)

    Source: Williamson, Sahani and Pillow 2015, PLoS Computational Biology 11:e1004141.

    >>> bits_per_spike(np.array([[1.0], [3.0]]), np.array([[2.0], [2.0]])).tolist()
    [0.0]
    """
    y, r = np.asarray(observed, float), np.maximum(np.asarray(predicted, float), 1e-6)
    total, mean = y.sum(axis=0), y.mean(axis=0)
    gain = (y * np.log(r / np.where(mean > 0, mean, 1.0)) - (r - mean)).sum(axis=0)
    return np.divide(gain, total * np.log(2), out=np.full(len(total), np.nan), where=total > 0)


def evaluate(prediction: Prediction, steps: Steps, windows: np.ndarray) -> dict[str, Any]:
    """CC in bins of 30 ms, over the windows one after another.

    Parameters
    ----------
    prediction : of whole sequences, as `predict` gives it
    steps : that it was made for
    windows : numbers of those that are scored, such as ``fold.test``

    Returns
    -------
    ``cc``, mean over the cells whose recorded mean varies (0 for one whose prediction does not);
    ``cells``, that of each, float64 (cell,), NaN where the recording does not vary
    """
    cc = cell_scores(steps.psth(windows), steps.in_windows(prediction.rates, windows), steps.bin_ms)
    return {"cc": float(np.nanmean(cc)) if np.isfinite(cc).any() else 0.0, "cells": cc}
