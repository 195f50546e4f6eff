"""Spikes with after-effects in discrete time: drawn, and their moments exactly.

In a bin of `dt` a cell fires once or not at all,

    P(y_t = 1 | past) = 1 - exp(-dt lambda_t),   ln lambda_t = g_t + sum_{l=1..L} h_l y_{t-l}

the chance of at least one event at the rate lambda_t. The past enters by the last L bins only, a
state of L bits: spikes are drawn by looking up the state's factor exp(sum h y), and the
distribution over the 2^L states follows from bin to bin without drawing.
"""

from __future__ import annotations

import numpy as np

from toolkit.errors import InputError

MAX_LAGS = 12  # 4,096 states


def _factors(after_spike: np.ndarray) -> np.ndarray:
    """exp(sum_l h_l y_{t-l}) in every state, (cell, state); bit l - 1 of a state is y_{t-l}."""
    h = np.asarray(after_spike, dtype=np.float64)
    if h.ndim != 2 or not 1 <= h.shape[1] <= MAX_LAGS or not np.isfinite(h).all():
        raise InputError(
            f"after-spike filters have shape (cell, lag), 1 to {MAX_LAGS} lags, finite; got "
            f"{h.shape}"
        )
    bits = np.arange(2 ** h.shape[1])[:, None] >> np.arange(h.shape[1]) & 1
    return np.exp(h @ bits.T)


def _hazard(log_rate: np.ndarray, after_spike: np.ndarray, dt_ms: float) -> np.ndarray:
    """dt exp(g), (bin, cell)."""
    g = np.asarray(log_rate, dtype=np.float64)
    if g.ndim != 2 or len(g) < 1 or g.shape[1] != len(after_spike) or not np.isfinite(g).all():
        raise InputError(
            f"log rates have shape (bin, cell), finite, for {len(after_spike)} cells; got {g.shape}"
        )
    if not 0 < dt_ms < np.inf:
        raise InputError(f"dt_ms must be above 0, got {dt_ms}")
    return np.exp(g) * (dt_ms / 1000)


def binary_counts(
    log_rate: np.ndarray,
    after_spike: np.ndarray,
    n_trials: int,
    rng: np.random.Generator,
    dt_ms: float = 10.0,
) -> np.ndarray:
    """Spikes of trials, each from a past without spikes; uint8 (bin, cell, trial), 0 or 1.

    Parameters
    ----------
    log_rate : g_t, natural logarithm of Hz, (bin, cell)
    after_spike : h_l, (cell, lag), the lag of one bin first
    n_trials : number of trials
    rng : generator; one uniform number a bin, cell and trial
    dt_ms : width of a bin

    Raises
    ------
    InputError : other shapes, no trials, values that are not finite

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> certain = binary_counts(np.full((4, 1), 50.0), np.array([[-100.0]]), 1, rng)
    >>> certain[:, 0, 0].tolist()  # but never two bins in a row
    [1, 0, 1, 0]
    """
    factors, hazard = _factors(after_spike), _hazard(log_rate, after_spike, dt_ms)
    if n_trials < 1:
        raise InputError(f"1 or more trials are needed, got {n_trials}")
    n_cells, n_states = factors.shape
    table, offset = factors.ravel(), (np.arange(n_cells) * n_states)[:, None]
    spikes = np.empty((len(hazard), n_cells, n_trials), dtype=np.uint8)
    state = np.zeros((n_cells, n_trials), dtype=np.int64)
    for t, now in enumerate(hazard[:, :, None]):
        # A uniform u below 1 - exp(-x) is an exponential number below x.
        fired = rng.standard_exponential(state.shape) < now * table[offset + state]
        spikes[t] = fired
        state = (state << 1 | fired) & (n_states - 1)
    return spikes


def exact_moments(
    log_rate: np.ndarray, after_spike: np.ndarray, factor: int = 1, dt_ms: float = 10.0
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance over trials of the spikes in `factor` bins together, (step, cell) each.

    Exact: P(state) is carried through all bins, and a state knows the last L bins. Takes
    bins x cells x 2^L operations: some seconds for 6,000 bins, 40 cells and 8 lags.

    Parameters
    ----------
    log_rate, after_spike, dt_ms : as of `binary_counts`
    factor : bins in a step, 1 to the number of lags

    Raises
    ------
    InputError : other shapes; steps of more bins than there are lags, or that do not divide them

    Examples
    --------
    >>> mean, variance = exact_moments(np.full((4, 1), 50.0), np.array([[-100.0, 0.0]]), 2)
    >>> mean.tolist(), variance.tolist()
    ([[1.0], [1.0]], [[0.0], [0.0]])
    """
    factors, hazard = _factors(after_spike), _hazard(log_rate, after_spike, dt_ms)
    n_cells, n_states = factors.shape
    n_lags = n_states.bit_length() - 1
    if not 1 <= factor <= n_lags or len(hazard) % factor:
        raise InputError(
            f"{len(hazard)} bins with {n_lags} lags can be put together by 1 to {n_lags} that "
            f"divide them, not by {factor}s"
        )
    spikes = (np.arange(n_states)[:, None] >> np.arange(factor) & 1).sum(axis=1).astype(float)
    moments = np.stack([spikes, spikes**2], axis=1)
    result = np.empty((len(hazard) // factor, n_cells, 2))
    chance = np.zeros((n_cells, n_states))
    chance[:, 0] = 1
    following = np.empty((n_cells, n_states // 2, 2))
    for t, now in enumerate(hazard[:, :, None]):
        silent = chance * np.exp(-now * factors)
        # States that differ in the oldest bit only have the same two successors.
        following[..., 0] = silent.reshape(n_cells, 2, -1).sum(axis=1)
        following[..., 1] = (chance - silent).reshape(n_cells, 2, -1).sum(axis=1)
        chance = following.reshape(n_cells, n_states).copy()
        if t % factor == factor - 1:
            result[t // factor] = chance @ moments
    mean = result[..., 0]
    return mean, np.maximum(result[..., 1] - mean**2, 0.0)
