"""How well predicted rates agree with observed ones."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from toolkit.metrics.checks import alike, not_negative, ratio

LOG_FLOOR_HZ = 0.1


def r_squared(observed: ArrayLike, predicted: ArrayLike) -> float:
    """Share of the variance of `observed` that `predicted` explains, over all elements.

        R2 = 1 - sum (observed - predicted)^2 / sum (observed - mean(observed))^2

    Not the squared correlation: offsets and gains count as errors, and a prediction worse than
    the mean is negative. Compare it with `split_half_ceiling`.

    Parameters
    ----------
    observed, predicted : rates, Hz, any one shape

    Returns
    -------
    at most 1; NaN when all observed values are equal

    Raises
    ------
    InputError : unequal shapes, no elements, NaN

    Examples
    --------
    >>> r_squared([1.0, 2.0, 3.0], [1.0, 2.0, 4.0])
    0.5
    """
    y, f = alike("observed", observed, "predicted", predicted)
    return float(_r_squared(y.ravel(), f.ravel()))


def log_rates(rates_Hz: ArrayLike) -> np.ndarray:
    """log10(rate + 0.1 Hz), the scale on which neurons of low and high rate count alike.

    >>> log_rates([0.0, 0.9, 9.9]).round(3).tolist()
    [-1.0, 0.0, 1.0]
    """
    return np.log10(not_negative("rates", rates_Hz) + LOG_FLOOR_HZ)


def log_rate_r_squared(observed: ArrayLike, predicted: ArrayLike) -> float:
    """`r_squared` of log10(rate + 0.1 Hz). Also raises `InputError` for negative rates.

    >>> round(log_rate_r_squared([0.0, 0.9, 9.9], [0.9, 0.9, 9.9]), 3)
    0.5
    """
    alike("observed", observed, "predicted", predicted)
    return r_squared(log_rates(observed), log_rates(predicted))


def slope(observed: ArrayLike, predicted: ArrayLike) -> float:
    """Slope of the least-squares line of `observed` on `predicted`; 1 is right.

        slope = cov(observed, predicted) / var(predicted)

    Below 1 the prediction is too widely spread. NaN when all predictions are equal. Arguments
    and errors as in `r_squared`.

    >>> slope([2.0, 4.0, 6.0], [1.0, 2.0, 3.0])
    2.0
    """
    y, f = alike("observed", observed, "predicted", predicted)
    away = f - f.mean()
    # np.ptp: equal values may leave a rounding error in their mean
    spread = np.square(away).sum() if np.ptp(f) > 0 else 0.0
    return float(ratio(np.asarray((away * (y - y.mean())).sum()), np.asarray(spread)))


def per_neuron_r_squared(observed: ArrayLike, predicted: ArrayLike) -> np.ndarray:
    """`r_squared` of every neuron across stimuli, shape (neuron,).

    Parameters
    ----------
    observed, predicted : rates, Hz, shape (stimulus, neuron)

    Returns
    -------
    NaN for neurons whose observed rate is the same for all stimuli; the usual summary is
    ``np.nanquantile(..., [0.25, 0.5, 0.75])``

    Raises
    ------
    InputError : unequal shapes, another rank, NaN

    Examples
    --------
    >>> per_neuron_r_squared([[1, 5], [2, 5], [3, 5]], [[1, 5], [2, 5], [4, 5]]).tolist()
    [0.5, nan]
    """
    return _r_squared(*alike("observed", observed, "predicted", predicted, rank=2))


def psth_correlation(psth_a: ArrayLike, psth_b: ArrayLike) -> np.ndarray:
    """Pearson correlation over time of every unit (neuron or class), shape (unit,).

    Parameters
    ----------
    psth_a, psth_b : rates in bins of time, shape (bin, unit), as from `psth`

    Returns
    -------
    -1 to 1; NaN for units that are constant in either

    Raises
    ------
    InputError : unequal shapes, another rank, NaN

    Examples
    --------
    >>> psth_correlation([[1, 0], [2, 0], [3, 1]], [[2, 1], [4, 1], [6, 0]]).round(9).tolist()
    [1.0, -1.0]
    """
    a, b = alike("psth_a", psth_a, "psth_b", psth_b, rank=2)
    a_away, b_away = a - a.mean(axis=0), b - b.mean(axis=0)
    varies = (np.ptp(a, axis=0) > 0) & (np.ptp(b, axis=0) > 0)
    size = np.sqrt(np.square(a_away).sum(axis=0) * np.square(b_away).sum(axis=0))
    return np.clip(ratio((a_away * b_away).sum(axis=0), np.where(varies, size, 0.0)), -1, 1)


def _r_squared(observed: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    varies = np.ptp(observed, axis=0) > 0  # equal values may leave a rounding error in their mean
    total = np.square(observed - observed.mean(axis=0)).sum(axis=0)
    return 1 - ratio(np.square(observed - predicted).sum(axis=0), np.where(varies, total, 0.0))
