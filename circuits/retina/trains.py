"""How far predicted spike trains are from recorded ones, window by window."""

from __future__ import annotations

import numpy as np

from toolkit.metrics.spike_dissimilarity import (
    autocorrelogram,
    autocorrelogram_distance,
    spike_mmd,
)
from toolkit.metrics.spike_distances import (
    spike_distance,
    trains_from_bins,
    van_rossum,
    victor_purpura,
)

Q_PER_MS, TAU_MS, PSP_MS = 0.1, 10.0, 30.0  # our choice; the last one is TeCoS-LVM's at 10 ms
LAG_MS = 100.0  # of autocorrelograms, at most; our choice
BY_WINDOW = ("spike", "victor_purpura", "van_rossum", "mmd")


def train_distances(
    recorded: np.ndarray, predicted: np.ndarray, bin_ms: float
) -> dict[str, np.ndarray]:
    """Mean distance of recorded trial i from predicted trial i, each (window, cell).

    Trains of a window do not go on in the next. ``spike``: SPIKE-distance over the window;
    ``victor_purpura``: q = 0.1 / ms; ``van_rossum``: tau = 10 ms; ``mmd``: squared MMD of all
    trials, unbiased, with the linear kernel of potentials of 30 ms (in steps of 30 ms or more: of
    the spikes themselves). Values of steps of other widths are not comparable.

    Parameters
    ----------
    recorded, predicted : (window, step, cell, trial); more than one spike a step counts as one,
        which at 10 ms leaves out 5 to 12 % of the recorded spikes
    bin_ms : of a step
    """
    n_windows, n_steps, n_cells, _ = recorded.shape
    a, b = (np.minimum(v, 1) for v in (recorded, predicted))
    tau_bins, stop_ms = max(1.0, PSP_MS / bin_ms), n_steps * bin_ms
    found = {name: np.empty((n_windows, n_cells)) for name in BY_WINDOW}
    for k in range(n_windows):
        trials, samples = (v[k].transpose(2, 0, 1) for v in (a, b))  # (trial, step, cell)
        found["mmd"][k] = spike_mmd(trials, samples, tau_bins=tau_bins, unbiased=True)
        n = min(len(trials), len(samples))
        for c in range(n_cells):
            x, y = (trains_from_bins(v[:n, :, c], bin_ms) for v in (trials, samples))
            found["spike"][k, c] = spike_distance(x, y, stop_ms=stop_ms, matched=True).mean()
            found["victor_purpura"][k, c] = victor_purpura(
                x, y, q_per_ms=Q_PER_MS, matched=True
            ).mean()
            found["van_rossum"][k, c] = van_rossum(x, y, tau_ms=TAU_MS, matched=True).mean()
    return found


def between_trials(recorded: np.ndarray, bin_ms: float) -> dict[str, np.ndarray]:
    """`train_distances` of the first half of the recorded trials from the second, (window, cell).

    What a model that draws trials as the retina does would have.
    """
    half = recorded.shape[-1] // 2
    return train_distances(recorded[..., :half], recorded[..., half : 2 * half], bin_ms)


def rhythm(trials: np.ndarray, bin_ms: float) -> tuple[np.ndarray, np.ndarray]:
    """Lags, ms, and the autocorrelogram within windows, spikes a spike, (lag, cell).

    trials : (window, step, cell, trial)
    """
    lags = _lags(trials.shape[1], bin_ms)
    return np.arange(1, lags + 1) * bin_ms, autocorrelogram(_flat(trials), lags)


def rhythm_distance(recorded: np.ndarray, predicted: np.ndarray, bin_ms: float) -> np.ndarray:
    """Root mean square difference of two autocorrelograms up to 100 ms, (cell,)."""
    return autocorrelogram_distance(
        _flat(recorded), _flat(predicted), max_lag_bins=_lags(recorded.shape[1], bin_ms)
    )


def _lags(n_steps: int, bin_ms: float) -> int:
    return min(n_steps - 1, max(1, round(LAG_MS / bin_ms)))


def _flat(trials: np.ndarray) -> np.ndarray:
    """Windows and trials as trials, (trial, step, cell), 0 or 1."""
    clipped = np.minimum(trials, 1).transpose(0, 3, 1, 2)
    return clipped.reshape(-1, *clipped.shape[2:])
