"""How much of what was measured can be explained at all, and how sure a number is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from toolkit.errors import InputError
from toolkit.metrics.agreement import log_rates
from toolkit.metrics.checks import finite
from toolkit.rng import stream


@dataclass(frozen=True)
class Ceiling:
    """The largest R2 that a noiseless, perfect model can expect.

    Attributes
    ----------
    value : mean over random halvings, at most 1; NaN when the means do not vary
    low, high : interval over the halvings (how far the choice of halves matters, nothing else)
    n_trials : trials whose mean was taken
    """

    value: float
    low: float
    high: float
    n_trials: int


def split_half_ceiling(
    trials: ArrayLike,
    *,
    axis: int = 0,
    log: bool = False,
    n_splits: int = 20,
    seed: int = 0,
    level: float = 0.95,
) -> Ceiling:
    """Reliability of the mean over trials, from random halves of the trials.

    With y = s + e the mean of T trials, s the true rates and e the noise of the mean, a model
    that knows s has R2 = 1 - var(e) / var(y) against y. Two half means y1, y2 of n1 + n2 = T
    trials share s, and their noises are independent with variances var(e) T / n1 and
    var(e) T / n2, so that

        mean((y1 - y2)^2) = var(e) T^2 / (n1 n2)
        ceiling = 1 - mean((y1 - y2)^2) (n1 n2 / T^2) / var(y)     (n1 n2 / T^2 = 1/4 for halves)

    with mean and variance over all other axes, as `r_squared` pools them.

    Parameters
    ----------
    trials : rates in Hz (or counts) of single trials, e.g. shape (trial, stimulus, neuron)
    axis : which axis holds the trials
    log : the ceiling of `log_rate_r_squared`; rates in Hz, of which half means are taken before
        the logarithm (first order in the noise: with few spikes a trial it is an estimate)
    n_splits : number of random halvings
    seed : of the stream that draws them
    level : of the interval over halvings

    Raises
    ------
    InputError : fewer than 2 trials, fewer than 2 means, NaN, `n_splits` below 1

    Source: Schoppe et al. 2016, Frontiers in Computational Neuroscience 10:10 (signal power).

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> truth = rng.normal(10, 3, 5000)         # variance 9; noise of 10 trials 20 / 10 = 2
    >>> trials = truth + rng.normal(0, np.sqrt(20), (10, 5000))
    >>> abs(split_half_ceiling(trials).value - 9 / 11) < 0.01
    True
    """
    y = np.moveaxis(finite("trials", np.atleast_1d(trials)), axis, 0)
    n_trials = len(y)
    y = y.reshape(n_trials, -1)
    if n_trials < 2 or y.shape[1] < 2:
        raise InputError(
            "a ceiling needs 2 or more trials of 2 or more neurons or stimuli, got "
            f"{n_trials} trials of {y.shape[1]}; axis={axis} holds the trials"
        )
    if n_splits < 1:
        raise InputError(f"n_splits must be 1 or more, got {n_splits}")
    tails = _tails(level)
    scale: Callable[[np.ndarray], np.ndarray] = log_rates if log else np.asarray
    mean = y.mean(axis=0)
    total = np.var(scale(mean)) if np.ptp(mean) > 0 else np.nan
    rng, n_first, values = stream(seed, "split halves"), n_trials // 2, []
    for _ in range(n_splits):
        order = rng.permutation(n_trials)
        first = y[order[:n_first]].mean(axis=0)
        second = y[order[n_first:]].mean(axis=0)
        noise = np.square(scale(first) - scale(second)).mean()
        values.append(1 - noise * (n_first * (n_trials - n_first) / n_trials**2) / total)
    low, high = np.quantile(values, tails)
    return Ceiling(float(np.mean(values)), float(low), float(high), n_trials)


def bootstrap_interval(
    values: ArrayLike,
    statistic: Callable[[np.ndarray], float],
    seed: int,
    *,
    n: int = 1000,
    level: float = 0.95,
) -> tuple[float, float]:
    """Percentile bootstrap interval of a statistic, (low, high).

    Draws the rows of `values` with replacement n times and takes the quantiles of the statistic.
    Pairs stay together when they are the columns of `values`.

    Parameters
    ----------
    values : samples first, shape (sample, ...)
    statistic : from resampled values to a number; NaN results are left out
    seed : of the stream that draws
    n : number of draws
    level : 0 to 1

    Raises
    ------
    InputError : no values, n below 1, level outside 0 to 1, a statistic that is always NaN

    Source: Efron and Tibshirani 1993, An Introduction to the Bootstrap.

    Examples
    --------
    >>> low, high = bootstrap_interval(np.arange(100.0), np.mean, seed=1)
    >>> low < 49.5 < high and 9 < high - low < 13
    True
    """
    samples, tails = np.asarray(values), _tails(level)
    if samples.ndim < 1 or len(samples) == 0:
        raise InputError(f"a bootstrap needs samples along the first axis, got {samples.shape}")
    if n < 1:
        raise InputError(f"n must be 1 or more draws, got {n}")
    rng = stream(seed, "bootstrap")
    drawn = np.array(
        [statistic(samples[rng.integers(len(samples), size=len(samples))]) for _ in range(n)],
        dtype=np.float64,
    )
    drawn = drawn[~np.isnan(drawn)]
    if not len(drawn):
        raise InputError("the statistic is NaN in every draw; leave out NaN values first")
    low, high = np.quantile(drawn, tails)
    return float(low), float(high)


def _tails(level: float) -> list[float]:
    if not 0 < level < 1:
        raise InputError(f"level must be between 0 and 1, such as 0.95, got {level}")
    return [(1 - level) / 2, (1 + level) / 2]
