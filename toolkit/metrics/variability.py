"""Irregularity of spike trains and what neurons share."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from toolkit.errors import InputError
from toolkit.metrics.checks import not_negative, of_rank, ratio
from toolkit.recording import Recording


def fano_factor(counts: ArrayLike) -> np.ndarray:
    """Variance over mean of the spike counts of every neuron; 1 for a Poisson process.

        F = var(n) / mean(n), the variance with T - 1

    Parameters
    ----------
    counts : spikes, shape (trial or window, ...), usually (trial, neuron)

    Returns
    -------
    shape (...); NaN where there are no spikes

    Raises
    ------
    InputError : fewer than 2 trials, negative or NaN counts

    Examples
    --------
    >>> fano_factor([[1, 0], [3, 0]]).tolist()
    [1.0, nan]
    """
    n = _trials(counts)
    return ratio(n.var(axis=0, ddof=1), n.mean(axis=0))


def pairwise_correlation(counts: ArrayLike) -> float:
    """Mean correlation of the spike counts of all pairs of neurons.

    The N x N matrix is never made: with z the z-scored counts of the N neurons that vary,
    var(sum_i z_i) = N + sum over ordered pairs of r_ij, so that

        mean r = (var(sum_i z_i) - N) / (N (N - 1))

    Time and memory are those of the counts.

    Parameters
    ----------
    counts : spikes, shape (trial or window, neuron)

    Returns
    -------
    NaN when fewer than two neurons vary

    Raises
    ------
    InputError : another rank, fewer than 2 trials, negative or NaN counts

    Source: Renart et al. 2010, Science 327:587 (mean correlation of populations).

    Examples
    --------
    >>> round(pairwise_correlation([[0, 1, 5], [1, 3, 5], [2, 5, 5]]), 9)
    1.0
    """
    return mean_pair_correlation(of_rank("counts", _trials(counts), 2))


def mean_pair_correlation(values: np.ndarray) -> float:
    """The same of any values, (sample, neuron): see `pairwise_correlation`."""
    n = values[:, np.ptp(values, axis=0) > 0]
    if n.shape[1] < 2:
        return float("nan")
    z = (n - n.mean(axis=0)) / n.std(axis=0)
    return float((z.sum(axis=1).var() - n.shape[1]) / (n.shape[1] * (n.shape[1] - 1)))


def cv_isi(recording: Recording, *, min_spikes: int = 3) -> np.ndarray:
    """Coefficient of variation of the interspike intervals of every neuron.

        CV = std(intervals) / mean(intervals); 1 for a Poisson process, 0 for a clock

    Parameters
    ----------
    recording : spikes
    min_spikes : neurons with fewer get NaN, 3 or more

    Returns
    -------
    shape (neuron,)

    Raises
    ------
    InputError : a recording of rates, `min_spikes` below 3 (two intervals)

    Examples
    --------
    >>> clock = Recording.spikes([10, 20, 30], [0, 0, 0], n=2, dt_ms=1.0, duration_ms=40)
    >>> cv_isi(clock).tolist()
    [0.0, nan]
    """
    if recording.spike_times_ms is None or recording.spike_ids is None:
        raise InputError("cv_isi needs a recording of spikes; rates.to_spikes(seed) draws them")
    if min_spikes < 3:
        raise InputError(f"min_spikes must be 3 or more, got {min_spikes}")
    order = np.argsort(recording.spike_ids, kind="stable")  # times stay sorted within a neuron
    ids, times = recording.spike_ids[order], recording.spike_times_ms[order]
    same = ids[1:] == ids[:-1]
    owner, interval = ids[1:][same], np.diff(times)[same]
    n_intervals = np.bincount(owner, minlength=recording.n)
    enough = n_intervals >= min_spikes - 1
    divisor = np.where(enough, n_intervals, 1)
    mean = np.bincount(owner, weights=interval, minlength=recording.n) / divisor
    away = np.square(interval - mean[owner])
    std = np.sqrt(np.bincount(owner, weights=away, minlength=recording.n) / divisor)
    return ratio(std, np.where(enough, mean, 0.0))


def _trials(counts: ArrayLike) -> np.ndarray:
    n = not_negative("counts", counts)
    if n.ndim < 1 or len(n) < 2:
        raise InputError(f"counts need 2 or more trials along the first axis, got shape {n.shape}")
    return n
