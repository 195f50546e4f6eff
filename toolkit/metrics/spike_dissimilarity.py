"""Recorded and predicted spike trains as distributions: their discrepancy and their rhythm."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.signal import lfilter

from toolkit.errors import InputError, unknown
from toolkit.metrics.checks import not_negative, ratio

KERNELS = ("linear", "gaussian")
TAU_BINS = 3.0  # of the post-synaptic potential (our choice; 2 to 5 bins are usual)


def psp(spikes: ArrayLike, tau_bins: float = TAU_BINS) -> np.ndarray:
    """Post-synaptic potentials r_t = (1 - 1/tau) r_{t-1} + y_t / tau, (trial, bin, neuron).

    Parameters
    ----------
    spikes : counts, (trial, bin, neuron)
    tau_bins : time constant, bins

    Raises
    ------
    InputError : another rank, values that are negative or not finite, tau below 1 bin

    >>> psp([[[1], [0]]], tau_bins=2).ravel().tolist()
    [0.5, 0.25]
    """
    y = not_negative("spikes", spikes)
    if y.ndim != 3 or not 1 <= tau_bins < np.inf:
        raise InputError(
            f"spikes are (trial, bin, neuron) and tau_bins is 1 or more, got shape {y.shape} and "
            f"{tau_bins}"
        )
    filtered: np.ndarray = lfilter([1 / tau_bins], [1, 1 / tau_bins - 1], y, axis=1)
    return filtered


def spike_mmd(
    recorded: ArrayLike,
    predicted: ArrayLike,
    *,
    kernel: str = "linear",
    tau_bins: float = TAU_BINS,
    width: float = 1.0,
    unbiased: bool = True,
) -> np.ndarray:
    r"""Squared maximum mean discrepancy of recorded and predicted trials, (neuron,).

        MMD^2 = mean k(y, y') + mean k(f, f') - 2 mean k(y, f)

    with k = sum_t r^a_t r^b_t (linear) or exp(-|r^a - r^b|^2 / (2 width^2)) (Gaussian) of the
    potentials `psp`: sums over bins, so a longer recording has a larger one. The linear kernel sees
    mean filtered rates only. What TeCoS-LVM reports as dissimilarity is plainly a sum as well; its
    kernel and time constant are not known, so values are not comparable with it.

    Parameters
    ----------
    recorded, predicted : counts, (trial, bin, neuron); numbers of trials may differ
    kernel : ``"linear"`` or ``"gaussian"``
    tau_bins : of the potentials, bins
    width : of the Gaussian, in units of the potentials' distance (our choice)
    unbiased : leave out k of a trial with itself; may be negative

    Raises
    ------
    InputError : unequal bins or neurons, too few trials, an unknown kernel, a width of 0

    Source: Gretton et al. 2012, JMLR 13:723.

    >>> spike_mmd([[[1], [0]]], [[[0], [0]]], tau_bins=2, unbiased=False).tolist()
    [0.3125]
    """
    if kernel not in KERNELS:
        raise unknown("kernel", kernel, KERNELS)
    a, b = psp(recorded, tau_bins), psp(predicted, tau_bins)
    if a.shape[1:] != b.shape[1:] or not width > 0:
        raise InputError(
            "recorded and predicted need the same bins and neurons, and width is above 0; got "
            f"{a.shape}, {b.shape} and {width}"
        )
    if min(len(a), len(b)) < 1 + unbiased:
        raise InputError(f"{1 + unbiased} or more trials are needed, got {len(a)} and {len(b)}")

    def k(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        inner: np.ndarray = x.transpose(2, 0, 1) @ y.transpose(2, 1, 0)  # (neuron, trial, trial)
        if kernel == "linear":
            return inner
        xx, yy = (np.square(each).sum(axis=1).T for each in (x, y))
        away = xx[:, :, None] + yy[:, None] - 2 * inner
        return np.exp(-np.maximum(away, 0) / (2 * width**2))

    def within(x: np.ndarray) -> np.ndarray:
        values, n = k(x, x), len(x)
        if not unbiased:
            return np.asarray(values.mean(axis=(1, 2)))
        pairs = values.sum(axis=(1, 2)) - np.trace(values, axis1=1, axis2=2)
        return np.asarray(pairs / (n * (n - 1)))

    return within(a) + within(b) - 2 * k(a, b).mean(axis=(1, 2))


def autocorrelogram(spikes: ArrayLike, max_lag_bins: int) -> np.ndarray:
    """Pairs of spikes of a trial at lags of 1 to `max_lag_bins`, for each spike, (lag, neuron).

        A_l = sum over trials and t of y_t y_{t+l} / sum y

    Parameters
    ----------
    spikes : counts, (trial, bin, neuron)
    max_lag_bins : 1 to bins - 1

    Returns
    -------
    NaN for neurons without spikes

    Raises
    ------
    InputError : another rank, values that are negative or not finite, lags that do not fit

    >>> autocorrelogram([[[1], [1], [0]]], 2).ravel().tolist()
    [0.5, 0.0]
    """
    y = not_negative("spikes", spikes)
    if y.ndim != 3 or not 1 <= max_lag_bins < y.shape[1] or int(max_lag_bins) != max_lag_bins:
        raise InputError(
            "spikes are (trial, bin, neuron) and max_lag_bins is a whole number of 1 to bins - 1, "
            f"got shape {y.shape} and {max_lag_bins}"
        )
    pairs = [(y[:, lag:] * y[:, :-lag]).sum(axis=(0, 1)) for lag in range(1, max_lag_bins + 1)]
    total = y.sum(axis=(0, 1))
    return ratio(np.array(pairs), np.broadcast_to(total, (max_lag_bins, len(total))))


def autocorrelogram_distance(
    recorded: ArrayLike, predicted: ArrayLike, max_lag_bins: int
) -> np.ndarray:
    """Root mean square over lags of the difference of two `autocorrelogram`, (neuron,).

    NaN where either has no spikes. Normalisation and distance are our choice. Parameters and errors
    are those of `autocorrelogram`.

    >>> autocorrelogram_distance([[[1], [1]]], [[[1], [0]]], 1).tolist()
    [0.5]
    """
    a, b = (autocorrelogram(x, max_lag_bins) for x in (recorded, predicted))
    if a.shape != b.shape:
        raise InputError(f"recorded and predicted need the same neurons, got {a.shape}, {b.shape}")
    distance: np.ndarray = np.sqrt(np.square(a - b).mean(axis=0))
    return distance
