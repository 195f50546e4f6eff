"""How well the mean of the trials can be predicted at all, cell by cell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from toolkit.errors import InputError
from toolkit.metrics.agreement import psth_correlation
from toolkit.metrics.checks import not_negative, of_rank

ROUNDING = 1e-9  # of the signal's share; a single spike has none, but for rounding


@dataclass(frozen=True, eq=False)
class Ceiling:
    """Reliability of the mean over trials, (cell,); NaN for cells that it is not defined for.

    reliability : Spearman-Brown correlation of the means of odd and even trials
    largest_cc : correlation that the true rate would have with the mean of all trials
    silent : numbers of the cells without a spike
    """

    reliability: np.ndarray
    largest_cc: np.ndarray
    silent: np.ndarray


def ceiling(counts: ArrayLike) -> Ceiling:
    """The noise ceiling of every cell.

    Reliability, with r the correlation over time of the means of even and of odd trials:

        R = 2 r / (1 + r)

    It is the expected correlation with another mean of as many trials. A perfect model, which
    predicts the true rate, is noiseless, and has

        CC_max = sqrt(S / var(mean)),   S = (T var(mean) - mean of var(trial)) / (T - 1)

    S being the variance of the true rate (signal power), estimated from T trials.
    R is near CC_max^2. CC_max is NaN if S comes out as 0 or less: no signal above the noise.

    Parameters
    ----------
    counts : spikes of single trials, (step, cell, trial), e.g.
        ``steps.in_windows(steps.counts, fold.test).reshape(-1, n_cells, n_trials)``

    Raises
    ------
    InputError : another rank, fewer than 2 steps or trials, negative counts or NaN

    Source: Schoppe et al. 2016, Frontiers in Computational Neuroscience 10:10; Sahani and Linden
    2003, NIPS 15.

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> rate = rng.gamma(2.0, 0.1, (4000, 1))
    >>> counts = rng.poisson(rate[..., None], (4000, 1, 20))
    >>> true = np.corrcoef(rate[:, 0], counts[:, 0].mean(axis=-1))[0, 1]
    >>> bool(abs(ceiling(counts).largest_cc[0] - true) < 0.02)
    True
    """
    c = of_rank("counts", not_negative("counts", counts), 3)
    n_steps, _, n_trials = c.shape
    if n_steps < 2 or n_trials < 2:
        raise InputError(
            f"a ceiling needs 2 or more steps and trials, got {n_steps} steps, {n_trials} trials"
        )
    even, odd = c[..., ::2].mean(axis=-1), c[..., 1::2].mean(axis=-1)
    r = psth_correlation(even, odd)
    total = c.mean(axis=-1).var(axis=0)
    signal = (n_trials * total - c.var(axis=0).mean(axis=-1)) / (n_trials - 1)
    there = (total > 0) & (signal > ROUNDING * total)
    share = np.divide(signal, total, out=np.full(len(total), np.nan), where=there)
    with np.errstate(divide="ignore"):
        reliability = np.where(r > -1, 2 * r / (1 + r), np.nan)
    return Ceiling(
        reliability, np.sqrt(np.minimum(share, 1.0)), np.flatnonzero(c.sum(axis=(0, 2)) == 0)
    )
