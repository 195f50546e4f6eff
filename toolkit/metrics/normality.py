"""How near values are to a normal distribution: effect sizes first, a test second."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike

from toolkit.errors import InputError
from toolkit.metrics.checks import finite
from toolkit.rng import stream

MIN_VALUES = 5
N_NULL, N_NULL_VALUES = 5000, 200  # samples behind p, and values in each


@dataclass(frozen=True)
class Normality:
    """Distance of values from the normal distribution of their mean and standard deviation.

    Attributes
    ----------
    n, mean, sd : of the values
    skewness, excess_kurtosis : 0 for a normal distribution
    ks_distance : largest difference of the distribution functions
    p : of the Lilliefors test, not below 1/5001; with thousands of values it falls for
        differences that matter to nobody, so look at the others first
    """

    n: int
    mean: float
    sd: float
    skewness: float
    excess_kurtosis: float
    ks_distance: float
    p: float


def normality(values: ArrayLike) -> Normality:
    """Moments, Kolmogorov-Smirnov distance and Lilliefors test of values against a normal law.

    The parameters are those of the values, so that the usual KS distribution does not hold. p comes
    from 5000 normal samples of 200 values by way of Stephens' modified distance
    D (sqrt n - 0.01 + 0.85 / sqrt n), whose distribution is the same for all n from 5 on.
    All but n, mean and sd are NaN for fewer than 5 values or values that are all equal.

    Parameters
    ----------
    values : (sample,)

    Raises
    ------
    InputError : no values, NaN

    Sources: Lilliefors 1967, JASA 62:399-402; Stephens 1974, JASA 69:730-737.

    >>> found = normality(np.exp(np.random.default_rng(1).normal(size=300)))
    >>> found.p < 0.001, found.skewness > 2
    (True, True)
    """
    x = np.sort(finite("values", values).ravel())
    n, mean = len(x), float(x.mean())
    sd = float(x.std(ddof=1)) if n > 1 else 0.0
    if n < MIN_VALUES or sd <= 1e-9 * max(abs(mean), 1e-300):
        return Normality(n, mean, sd, np.nan, np.nan, np.nan, np.nan)
    z = (x - mean) / x.std()
    distance = float(_distance(x[None])[0])
    null = _null()
    beyond = len(null) - np.searchsorted(null, _modified(distance, n))
    return Normality(
        n,
        mean,
        sd,
        float((z**3).mean()),
        float((z**4).mean() - 3),
        distance,
        float((1 + beyond) / (1 + len(null))),
    )


def lognormality(values: ArrayLike) -> Normality:
    """`normality` of the natural logarithms.

    Raises
    ------
    InputError : values that are not above 0

    >>> round(lognormality([1.0, np.e, np.e**2]).mean, 6)
    1.0
    """
    x = finite("values", values)
    if x.min() <= 0:
        raise InputError(f"only values above 0 have logarithms, got {x.min():g}")
    return normality(np.log(x))


def _distance(x: np.ndarray) -> np.ndarray:
    """KS distance of each row, in ascending order, from the normal law of its mean and sd."""
    from scipy.special import ndtr

    n = x.shape[1]
    below = ndtr((x - x.mean(1, keepdims=True)) / x.std(1, ddof=1, keepdims=True))
    upper = (np.arange(1, n + 1) / n - below).max(axis=1)
    lower = (below - np.arange(n) / n).max(axis=1)
    return np.asarray(np.maximum(upper, lower))


def _modified(distance: np.ndarray | float, n: int) -> np.ndarray | float:
    return distance * (np.sqrt(n) - 0.01 + 0.85 / np.sqrt(n))


@cache
def _null() -> np.ndarray:
    """Modified distances of normal samples, ascending."""
    draws = stream(0, "Lilliefors").standard_normal((N_NULL, N_NULL_VALUES))
    return np.asarray(np.sort(_modified(_distance(np.sort(draws, axis=1)), N_NULL_VALUES)))
