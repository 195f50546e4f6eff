"""Made-up experiments and files of the retina for tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import scipy.io

from toolkit.retina.data import Experiment
from toolkit.retina.data.loading import WINDOWS_MS
from toolkit.retina.data.windows import in_runs, inferred_starts_ms, window_shifts

APART_MS, FIRST_MS, RATE_HZ = 806.0, 565.0, 30.0
RUN = 10  # windows of one window moved by 10 ms at a time


def long_response(n_bins: int, n_cells: int, n_trials: int, seed: int = 1) -> np.ndarray:
    """Counts (cell, trial, bin) of cells whose rates go up and down with time."""
    rng = np.random.default_rng(seed)
    slow = np.apply_along_axis(
        np.convolve, 1, rng.normal(size=(n_cells, n_bins)), np.hanning(9), "same"
    )
    rate = 0.05 * np.exp(1.2 * slow)[:, None]
    return np.minimum(rng.poisson(np.broadcast_to(rate, (n_cells, n_trials, n_bins))), 4)


def cut(long: np.ndarray, n: int, run_at: int) -> tuple[np.ndarray, np.ndarray]:
    """Windows of 30 bins and their starts as in the recordings, a run of moved ones among them."""
    numbers = np.arange(n)
    shifts = ((numbers > run_at) & (numbers < run_at + RUN)).astype(int)
    start_ms = inferred_starts_ms(numbers, shifts, FIRST_MS, APART_MS)
    first = np.floor(start_ms / 10).astype(int)
    # The grid of bins begins with each window; within a run it is one and the same.
    return np.stack([long[..., f : f + 30] for f in first]).astype(np.uint8), start_ms


def recorded_movie(
    n: int = 40, run_at: int = 15, n_cells: int = 6, n_trials: int = 10
) -> Experiment:
    """A movie with windows as in the recordings."""
    duration_ms = FIRST_MS + APART_MS * n + 1000
    n_frames = int(duration_ms * RATE_HZ / 1000)
    counts, start_ms = cut(long_response(int(duration_ms / 10), n_cells, n_trials), n, run_at)
    return Experiment(
        name="recorded",
        frames=np.random.default_rng(2).integers(0, 256, (n_frames, 8, 8)).astype(np.uint8),
        frame_ms=1000 / RATE_HZ,
        shown=np.arange(n_frames)[None],
        counts=counts,
        bin_ms=10,
        sequence=np.zeros(n),
        start_ms=start_ms,
        usable=~in_runs(window_shifts(counts)),
    )


def memorised(
    counts: np.ndarray, start_ms: np.ndarray, train: np.ndarray, test: np.ndarray
) -> float:
    """How well a model that has memorised the training spikes predicts single trials of the test.

    A test bin gets the spikes, trial by trial, that the nearest training window in time holds at
    the same time of the movie, or else in the same bin. Correlation over windows, trials and bins
    of each cell, mean over cells.
    """
    predicted, bins = np.empty((len(test), *counts.shape[1:])), np.arange(counts.shape[-1])
    for row, k in enumerate(test):
        near = train[np.argmin(np.abs(start_ms[train] - start_ms[k]))]
        moved = round((start_ms[k] - start_ms[near]) / 10)
        same = np.clip(bins + moved, 0, len(bins) - 1) if abs(moved) < len(bins) else bins
        predicted[row] = counts[near][..., same]
    cells = (np.moveaxis(x, 1, 0).reshape(counts.shape[1], -1) for x in (counts[test], predicted))
    return float(
        np.mean(
            [np.corrcoef(x, y)[0, 1] for x, y in zip(*cells, strict=True) if np.ptp(x) * np.ptp(y)]
        )
    )


def chance(
    counts: np.ndarray, start_ms: np.ndarray, train: np.ndarray, test: np.ndarray, n: int = 20
) -> np.ndarray:
    """The same for models that have memorised the training windows at exchanged times, (draw,)."""
    rng, values = np.random.default_rng(5), []
    for _ in range(n):
        mixed = counts.copy()
        mixed[train] = counts[rng.permutation(train)]
        values.append(memorised(mixed, start_ms, train, test))
    return np.array(values)


def random_split(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Training and test windows by a naive draw."""
    order = np.random.default_rng(seed).permutation(n)
    return np.sort(order[n // 5 :]), np.sort(order[: n // 5])


def circle(n: int = 1000) -> np.ndarray:
    """An outline around (row, column) (180, 180) of a movie of 360 x 360 pixels."""
    angle = 2 * np.pi * np.arange(n) / n
    return 180 + 20 * np.stack([np.sin(angle), np.cos(angle)], axis=1)


def movie_counts() -> tuple[np.ndarray, np.ndarray]:
    """Counts of movie 1, retina 1, in their shape, of which five cells have spikes; and starts."""
    long = np.zeros((38, 30, 6000), dtype=int)
    long[:5] = long_response(6000, 5, 30)
    shifts = ((np.arange(60) > 44) & (np.arange(60) < 44 + RUN)).astype(int)
    start_ms = inferred_starts_ms(np.arange(60), shifts, *WINDOWS_MS["movie1_retina1"])
    first = np.floor(start_ms / 10).astype(int)
    return np.stack([long[..., f : f + 30] for f in first]).astype(np.uint8), start_ms


def put_prepared(folder: Path, **other: np.ndarray) -> None:
    """Prepared arrays of movie 1, retina 1, in their layout, some of them replaced."""
    counts, start_ms = movie_counts()
    (folder / "retina").mkdir(parents=True)
    np.savez_compressed(
        folder / "retina" / "movie1_retina1.npz",
        **{
            "counts": counts,
            "bin_ms": np.int64(10),
            "window_index": np.arange(60, dtype=np.int16),
            "window_start_ms_inferred": start_ms.astype(np.float32),
            "window_usable": ~in_runs(window_shifts(counts)),
            "rf_center_rowcol": np.full((38, 2), 180, np.float32),
            "rf_halfwidth_rowcol": np.full((38, 2), 20, np.float32),
            "rf_contour_rowcol": np.tile(circle()[::10].astype(np.float32), (38, 1, 1)),
            "reliability_10ms": np.full(38, np.nan, np.float32),
            **other,
        },
    )
    np.savez_compressed(
        folder / "retina" / "stim_movie1_90x90.npz", frames=np.zeros((1800, 90, 90), np.uint8)
    )


def put_original(folder: Path) -> None:
    """The same recording as MATLAB files: spike times, and outlines in the files' x and y."""
    counts, _ = movie_counts()
    trains, outlines = np.empty((38, 30), dtype=object), np.empty((1, 38), dtype=object)
    for cell, trial in np.ndindex(38, 30):
        window, bin_ = np.nonzero(counts[:, cell, trial])
        n = counts[window, cell, trial, bin_]
        within = np.concatenate([np.arange(m) for m in n]) if len(n) else np.zeros(0)
        times = np.repeat(300 * window + 10 * bin_ + 1, n) + within
        trains[cell, trial] = times.astype(np.int32)[:, None]
    for cell in range(38):
        row, column = circle().T
        outlines[0, cell] = np.stack([224 + column, 483 - row])
    for part, values in (("Spikes", trains), ("ReceptiveFields", outlines)):
        path = folder / "onken2016" / "NeuralData" / part / "Movie1Exp1.mat"
        path.parent.mkdir(parents=True)
        scipy.io.savemat(path, {part: values})
