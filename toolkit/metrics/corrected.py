"""Agreement of trials with a prediction, with the noise of the trials taken out."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from toolkit.errors import InputError
from toolkit.metrics.agreement import LOG_FLOOR_HZ, log_rates
from toolkit.metrics.checks import alike, finite, not_negative, ratio
from toolkit.metrics.variability import mean_pair_correlation

LEAST_SIGNAL = 0.2  # share of the variance of trial means (our choice; see below)
DECADES_A_BIN, TOP_HZ = 0.25, 1000.0  # of rate histograms (our choice)


def noise_corrected_r_squared(
    trials: ArrayLike, predicted: ArrayLike, *, least_signal: float = LEAST_SIGNAL
) -> np.ndarray:
    """R2 of each neuron across stimuli that the trials would have without noise, (neuron,).

    With the mean y_s of T trials of stimulus s, the prediction f_s and v_s the variance of the
    trials of s (T - 1) over T, sums over S stimuli have the expectations

        sum (y - f)^2       = sum (mu - f)^2 + sum v
        sum (y - mean y)^2  = sum (mu - mean mu)^2 + (1 - 1/S) sum v

    of which the noise is subtracted: R2 = 1 - (SSE - V) / (SST - (1 - 1/S) V), V = sum v. Both
    differences are unbiased, their ratio nearly; it can be above 1 by chance.

    Parameters
    ----------
    trials : rates, Hz, (trial, stimulus, neuron), two or more trials
    predicted : rates, Hz, (stimulus, neuron)
    least_signal : neurons get NaN if stimuli make a smaller share of the variance of their trial
        means: the ratio is too noisy then. With 1,500 stimuli the standard error at a share of
        0.2 is about 0.2 for one neuron

    Raises
    ------
    InputError : fewer than 2 trials or stimuli, unequal shapes, NaN

    Source: Sahani and Linden 2003, NIPS 15 (signal power); Schoppe et al. 2016, Frontiers in
    Computational Neuroscience 10:10.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> truth = rng.normal(10, 2, (2000, 1))
    >>> trials = truth + rng.normal(0, 4, (4, 2000, 1))   # noise of the means as large as the truth
    >>> bool(abs(noise_corrected_r_squared(trials, truth)[0] - 1) < 0.1)
    True
    """
    error, signal, total = _sums(trials, predicted)
    return 1 - ratio(error, np.where(signal > least_signal * total, signal, 0.0))


def pooled_corrected_r_squared(trials: ArrayLike, predicted: ArrayLike) -> float:
    """The same with the sums taken over all neurons (around each neuron's own mean), too.

    >>> pooled_corrected_r_squared([[[1.0], [3.0]], [[1.0], [3.0]]], [[1.0], [4.0]])
    0.5
    """
    error, signal, _ = _sums(trials, predicted)
    whole = signal.sum()
    return float(1 - error.sum() / whole) if whole > 0 else float("nan")


def _sums(trials: ArrayLike, predicted: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Squares of errors and of signal without noise, and of trial means with it; (neuron,)."""
    y = finite("trials", trials)
    if y.ndim != 3 or len(y) < 2 or y.shape[1] < 2:
        raise InputError(
            "trials have shape (trial, stimulus, neuron) with 2 or more trials and stimuli, got "
            f"{y.shape}"
        )
    mean, f = alike("mean of trials", y.mean(axis=0), "predicted", predicted)
    noise = y.var(axis=0, ddof=1).sum(axis=0) / len(y)
    total = np.square(mean - mean.mean(axis=0)).sum(axis=0)
    error = np.square(mean - f).sum(axis=0) - noise
    return error, total - (1 - 1 / len(mean)) * noise, total


def rate_histogram_divergence(observed_Hz: ArrayLike, predicted_Hz: ArrayLike) -> float:
    """How far apart the distributions of rates over neurons are, in nats; 0 if they are the same.

        KL = sum_k p_k ln(p_k / q_k), p of `observed_Hz`, q of `predicted_Hz`

    of log10(rate + 0.1 Hz) in bins of a quarter of a decade up to 1000 Hz, half a neuron added to
    each bin. Noise in p makes it larger: by some (bins - 1) / 2n for n neurons.

    Parameters
    ----------
    observed_Hz, predicted_Hz : rates of any shape

    Raises
    ------
    InputError : no rates, negative rates, NaN

    Source: Kullback and Leibler 1951, Ann Math Stat 22:79.

    >>> rate_histogram_divergence([1.0, 5.0, 20.0], [1.0, 5.0, 20.0])
    0.0
    """
    edges = np.arange(np.log10(LOG_FLOOR_HZ), np.log10(TOP_HZ) + DECADES_A_BIN, DECADES_A_BIN)
    edges[0] -= 1e-9
    shares = []
    for rates in (observed_Hz, predicted_Hz):
        counts = np.histogram(np.minimum(log_rates(rates), edges[-1]), edges)[0] + 0.5
        shares.append(counts / counts.sum())
    p, q = shares
    return float((p * np.log(p / q)).sum())


def noise_correlation(counts: ArrayLike) -> float:
    """Mean correlation over trials of all pairs of neurons, what stimuli share taken out.

    The mean over trials is subtracted for each stimulus; then `pairwise_correlation`.

    Parameters
    ----------
    counts : spikes or rates, (trial, stimulus, neuron), two or more trials

    Raises
    ------
    InputError : another rank, fewer than 2 trials, negative values or NaN

    >>> counts = np.array([[[1, 2], [5, 1]], [[2, 3], [4, 0]]])
    >>> round(noise_correlation(counts), 9)
    1.0
    """
    n = not_negative("counts", counts)
    if n.ndim != 3 or len(n) < 2:
        raise InputError(
            f"counts have shape (trial, stimulus, neuron) with 2 or more trials, got {n.shape}"
        )
    return mean_pair_correlation((n - n.mean(axis=0)).reshape(-1, n.shape[2]))
