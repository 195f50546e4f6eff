"""`synthetic_retina`: responses of cells whose filters, rates and ceiling are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from toolkit.datasets import ReceptiveFields
from toolkit.errors import InputError
from toolkit.metrics.checks import ratio
from toolkit.retina.data.experiment import Experiment
from toolkit.retina.data.steps import Steps
from toolkit.retina.synthetic.history import binary_counts, exact_moments
from toolkit.retina.synthetic.movie import eye_movement_movie
from toolkit.rng import stream

# All numbers are our choice, of the size that recordings of retinal ganglion cells show.
BIN_MS, FRAME_MS, WINDOW_MS = 10.0, 30.0, 300.0
SIDE = 40  # pixels of a frame
CENTRE_SD_PX = (1.3, 2.2)  # of the Gaussian of the centre, uniform between these
SURROUND = (2.0, 0.6)  # SD over that of the centre, and volume over that of the centre
OUTLINE_SD = 1.5  # radius of the outline of a receptive field, in SD of the centre
MARGIN_PX = 6.0  # between the middle of a field and the border
PEAK_MS = (50.0, 90.0)  # lag of the peak of the temporal filter
REBOUND = (1.9, 0.6)  # lag over that of the peak, and size over that of the peak
SHARPNESS = 5.0  # exponent of both parts
N_LAGS = 30  # bins of the temporal filter: 300 ms
GAIN = 1.3  # SD over the movie of the logarithm of the rate, without after-effects
RATE_HZ = (6.0, 18.0)  # mean rate without after-effects, uniform between these
# Logarithm of the rate 10, 20, ... ms after a spike: refractory, then a slight rebound.
AFTER_SPIKE = (-3.0, -1.2, -0.4, 0.2, 0.4, 0.3, 0.2, 0.1)


@dataclass(frozen=True, eq=False)
class SyntheticRetina:
    """A made-up experiment and its truth.

    With contrast c (`Steps.contrast`) in bins of 10 ms, in a bin t a cell fires with the chance
    1 - exp(-10 ms lambda_t),

        ln lambda_t = baseline + sum_l temporal_l (spatial . c_{t-l}) + sum_l after_spike_l y_{t-l}

    experiment : frames, spikes, receptive fields; its 300 ms windows lie end to end
    sign : (cell,), 1 for ON, -1 for OFF
    spatial : (cell, y, x), difference of Gaussians, positive centre, of norm 1
    temporal : (cell, lag), per bin, lag 0 first; with sign and gain: its first lobe is positive
        for ON and negative for OFF
    baseline : (cell,), natural logarithm of Hz
    after_spike : (cell, lag), the lag of one bin first
    log_rate : (bin, cell), ln lambda without after-effects
    """

    experiment: Experiment
    sign: np.ndarray
    spatial: np.ndarray
    temporal: np.ndarray
    baseline: np.ndarray
    after_spike: np.ndarray
    log_rate: np.ndarray

    def temporal_in(self, bin_ms: float) -> np.ndarray:
        """Temporal filters for steps of `bin_ms`, (cell, lag), lag 0 first.

        The stimulus being constant within a step, the mean drive of the step's f bins is that of a
        filter K_L = (1/f) sum_m sum of k_l over the lags l that reach back L steps from bin m.
        """
        f, lags = self._factor(bin_ms), np.arange(self.temporal.shape[1])
        back = -((np.arange(f)[:, None] - lags) // f)  # (bin of the step, lag): steps back
        reach = back[..., None] == np.arange(back.max() + 1)
        return self.temporal @ reach.sum(axis=0) / f

    def moments(self, bin_ms: float = BIN_MS) -> tuple[np.ndarray, np.ndarray]:
        """True mean and variance over trials of the spikes in a step, (step, cell) each; exact."""
        return exact_moments(self.log_rate, self.after_spike, self._factor(bin_ms))

    def ceiling(self, steps: Steps, windows: ArrayLike | None = None) -> np.ndarray:
        """Correlation of the true rate with the mean of the trials, as expected, (cell,).

        With r_t and v_t the true mean and variance of a step, over the steps of the windows,

            CC = sqrt(var(r) / (var(r) + mean(v) / n_trials))

        No model that sees the frames alone can expect more.

        Parameters
        ----------
        steps : of this experiment
        windows : numbers; None for all
        """
        mean, variance = (
            steps.in_windows(each[None], windows).reshape(-1, each.shape[1])
            for each in self.moments(steps.bin_ms)
        )
        signal, n_trials = mean.var(axis=0), steps.counts.shape[3]
        return np.sqrt(ratio(signal, signal + variance.mean(axis=0) / n_trials))

    def _factor(self, bin_ms: float) -> int:
        f = round(bin_ms / BIN_MS)
        if f < 1 or abs(f * BIN_MS - bin_ms) > 1e-9:
            raise InputError(f"steps are whole numbers of {BIN_MS:g} ms, not {bin_ms} ms")
        return f


def synthetic_retina(
    *,
    n_cells: int = 40,
    n_trials: int = 30,
    duration_s: float = 60.0,
    seed: int = 0,
    frames: np.ndarray | None = None,
) -> SyntheticRetina:
    """A retina of ON and OFF cells that sees a movie again and again.

    Every second cell is ON. The temporal filter is a difference of two functions
    (t / p)^5 exp(5 (1 - t / p)), the spatial one of two Gaussians. Before the movie is grey.

    Parameters
    ----------
    n_cells, n_trials : numbers
    duration_s : of the movie; a whole number of windows of 0.3 s, two or more
    seed : streams (seed, "synthetic retina", ...) of cells and spikes, and that of the movie
    frames : another movie, uint8 (frame, y, x), a frame each 30 ms; None for `eye_movement_movie`

    Raises
    ------
    InputError : no cells or trials, a duration that is no whole number of windows, frames of
        another shape

    Examples
    --------
    >>> retina = synthetic_retina(n_cells=2, n_trials=30, duration_s=6.0, seed=3)
    >>> steps = Steps(retina.experiment, 30)
    >>> bool((retina.ceiling(steps) > 0.5).all())
    True
    """
    n_windows = round(duration_s * 1000 / WINDOW_MS) if 0 < duration_s < 1e5 else 0
    if n_windows < 2 or abs(n_windows * WINDOW_MS - duration_s * 1000) > 1e-6:
        raise InputError(f"a duration is 0.6 s, 0.9 s, 1.2 s or so, got {duration_s}")
    if n_cells < 1 or n_trials < 1:
        raise InputError(f"1 or more cells and trials are needed, got {n_cells}, {n_trials}")
    n_bins, per_frame = round(n_windows * WINDOW_MS / BIN_MS), round(FRAME_MS / BIN_MS)
    n_frames = n_bins // per_frame
    if frames is None:
        frames = eye_movement_movie(n_frames, frame_ms=FRAME_MS, side=SIDE, seed=seed)
    if frames.ndim != 3 or len(frames) != n_frames or min(frames.shape[1:]) <= 2 * MARGIN_PX:
        raise InputError(
            f"{duration_s:g} s are {n_frames} frames of more than {2 * MARGIN_PX:g} pixels a "
            f"side, got {frames.shape}"
        )
    rng = stream(seed, "synthetic retina", "cells")
    sign = np.where(np.arange(n_cells) % 2 == 0, 1, -1)
    room = np.array(frames.shape[1:]) - 1 - 2 * MARGIN_PX
    centre = MARGIN_PX + rng.random((n_cells, 2)) * room
    sd = rng.uniform(*CENTRE_SD_PX, n_cells)
    spatial = _spatial(frames.shape[1:], centre, sd)
    temporal = _temporal(rng.uniform(*PEAK_MS, n_cells))
    target_Hz = rng.uniform(*RATE_HZ, n_cells)
    after_spike = rng.uniform(0.7, 1.3, (n_cells, 1)) * np.array(AFTER_SPIKE)

    contrast = frames.astype(np.float64) / 127.5 - 1
    seen = np.tensordot(contrast, spatial, axes=((1, 2), (1, 2)))  # (frame, cell)
    drive = _convolved(np.repeat(seen, per_frame, axis=0), temporal)
    amplitude = sign * GAIN / np.maximum(drive.std(axis=0), 1e-12)
    drive, temporal = drive * amplitude, temporal * amplitude[:, None]
    baseline = np.log(target_Hz) - np.log(np.exp(drive).mean(axis=0))
    log_rate = baseline + drive
    spikes = binary_counts(
        log_rate, after_spike, n_trials, stream(seed, "synthetic retina", "spikes"), BIN_MS
    )
    counts = spikes.reshape(n_windows, -1, n_cells, n_trials).transpose(0, 2, 3, 1)
    experiment = Experiment(
        name="synthetic",
        frames=frames,
        frame_ms=FRAME_MS,
        shown=np.arange(n_frames)[None],
        counts=counts,
        bin_ms=BIN_MS,
        sequence=np.zeros(n_windows),
        start_ms=WINDOW_MS * np.arange(n_windows),
        usable=np.full(n_windows, True),
        fields=_outlines(centre, OUTLINE_SD * sd),
        source=f"made up, seed {seed}",
        notes=("responses are made up, of known filters",),
    )
    return SyntheticRetina(experiment, sign, spatial, temporal, baseline, after_spike, log_rate)


def _spatial(size: tuple[int, ...], centre: np.ndarray, sd: np.ndarray) -> np.ndarray:
    y, x = np.mgrid[: size[0], : size[1]]
    square = (y - centre[:, 0, None, None]) ** 2 + (x - centre[:, 1, None, None]) ** 2
    width, volume = SURROUND

    def gauss(s: np.ndarray) -> np.ndarray:
        return np.exp(-square / (2 * s**2)) / s**2

    s = sd[:, None, None]
    field = gauss(s) - volume * gauss(width * s)
    return field / np.linalg.norm(field, axis=(1, 2), keepdims=True)


def _temporal(peak_ms: np.ndarray) -> np.ndarray:
    lag_ms = (np.arange(N_LAGS) + 0.5) * BIN_MS

    def lobe(p: np.ndarray) -> np.ndarray:
        t = lag_ms / p[:, None]
        return t**SHARPNESS * np.exp(SHARPNESS * (1 - t))

    later, size = REBOUND
    return lobe(peak_ms) - size * lobe(later * peak_ms)


def _convolved(seen: np.ndarray, temporal: np.ndarray) -> np.ndarray:
    """sum_l temporal_l seen_{t-l}, (bin, cell); nothing is seen before the first bin."""
    drive = np.zeros_like(seen)
    for lag, weight in enumerate(temporal.T[:, None, :]):
        drive[lag:] += weight[0] * seen[: len(seen) - lag]
    return drive


def _outlines(centre: np.ndarray, radius: np.ndarray) -> ReceptiveFields:
    angle = np.linspace(0, 2 * np.pi, 100, endpoint=False)
    circle = np.stack([np.sin(angle), np.cos(angle)], axis=1)
    return ReceptiveFields(
        centre, np.stack([radius, radius], axis=1), centre[:, None] + radius[:, None, None] * circle
    )
