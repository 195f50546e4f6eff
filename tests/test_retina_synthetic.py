"""The made-up retina: movies, spikes with after-effects, exact moments, filters to be found."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest

from toolkit.errors import InputError
from toolkit.metrics import psth_correlation
from toolkit.retina.data import Steps, ceiling, folds
from toolkit.retina.synthetic import (
    SyntheticRetina,
    binary_counts,
    exact_moments,
    eye_movement_movie,
    synthetic_retina,
)

N_CELLS = 4


@pytest.fixture(scope="module")
def retina() -> SyntheticRetina:
    return synthetic_retina(n_cells=N_CELLS, seed=1)


# ---- spikes ----------------------------------------------------------------------------------


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_moments_are_those_of_all_possible_trains(factor: int) -> None:
    rng = np.random.default_rng(1)
    log_rate, h = rng.normal(3.5, 1.0, (6, 2)), rng.normal(0, 1.5, (2, 3))
    mean, square = np.zeros((6 // factor, 2)), np.zeros((6 // factor, 2))
    for cell, train in itertools.product(range(2), itertools.product((0, 1), repeat=6)):
        chance = 1.0
        for t, fired in enumerate(train):
            past = sum(h[cell, lag - 1] * train[t - lag] for lag in (1, 2, 3) if t >= lag)
            p = 1 - np.exp(-0.01 * np.exp(log_rate[t, cell] + past))
            chance *= p if fired else 1 - p
        n = np.reshape(train, (-1, factor)).sum(axis=1)
        mean[:, cell] += chance * n
        square[:, cell] += chance * n**2
    found = exact_moments(log_rate, h, factor)
    np.testing.assert_allclose(found[0], mean, atol=1e-12)
    np.testing.assert_allclose(found[1], square - mean**2, atol=1e-12)


def test_drawn_spikes_have_these_moments() -> None:
    rng = np.random.default_rng(2)
    log_rate, h = rng.normal(3.0, 1.0, (60, 5)), rng.normal(-0.5, 1.0, (5, 4))
    spikes = binary_counts(log_rate, h, 4000, rng)
    assert set(np.unique(spikes)) == {0, 1}
    wide = spikes.reshape(20, 3, 5, 4000).sum(axis=1)
    mean, variance = exact_moments(log_rate, h, 3)
    z = (wide.mean(axis=-1) - mean) / np.sqrt(variance / 4000)
    assert np.abs(z).max() < 4.5
    assert 0.8 < z.std() < 1.2
    np.testing.assert_allclose(wide.var(axis=-1).mean(), variance.mean(), rtol=0.02)


def test_a_spike_makes_the_next_ones_rare(retina: SyntheticRetina) -> None:
    y = Steps(retina.experiment, 10).counts[0].astype(float)
    together = (y[1:] * y[:-1]).mean()
    rate = y.mean(axis=2, keepdims=True)
    assert together < 0.2 * (rate[1:] * rate[:-1]).mean()  # refractory beyond the common rate


# ---- the experiment --------------------------------------------------------------------------


def test_seeds() -> None:
    def make(seed: int) -> SyntheticRetina:
        return synthetic_retina(n_cells=2, n_trials=3, duration_s=3.0, seed=seed)

    one, same, other = make(1), make(1), make(2)
    for name in ("frames", "counts"):
        a, b, c = (getattr(r.experiment, name) for r in (one, same, other))
        np.testing.assert_array_equal(a, b)
        assert (a != c).any()
    np.testing.assert_array_equal(one.temporal, same.temporal)
    assert (one.temporal != other.temporal).any()


def test_truth_explains_the_log_rate(retina: SyntheticRetina) -> None:
    steps = Steps(retina.experiment, 10)
    seen = np.einsum("tyx,cyx->tc", steps.stimulus(), retina.spatial)
    drive = [np.convolve(s, k)[: len(s)] for s, k in zip(seen.T, retina.temporal, strict=True)]
    np.testing.assert_allclose(np.transpose(drive) + retina.baseline, retina.log_rate, atol=1e-4)
    coarse = Steps(retina.experiment, 30)
    seen = np.einsum("tyx,cyx->tc", coarse.stimulus(), retina.spatial)
    filters = retina.temporal_in(30)
    drive = [np.convolve(s, k)[: len(s)] for s, k in zip(seen.T, filters, strict=True)]
    mean = retina.log_rate.reshape(-1, 3, N_CELLS).mean(axis=1)
    np.testing.assert_allclose(np.transpose(drive) + retina.baseline, mean, atol=1e-4)


def test_on_cells_like_light(retina: SyntheticRetina) -> None:
    assert retina.sign.tolist() == [1, -1, 1, -1]
    first = np.abs(retina.temporal[:, :8]).argmax(axis=1)
    lobes = retina.temporal[np.arange(N_CELLS), first]
    np.testing.assert_array_equal(np.sign(lobes), retina.sign)
    field = retina.experiment.fields
    assert field is not None
    for cell in range(N_CELLS):
        middle = np.unravel_index(retina.spatial[cell].argmax(), (40, 40))
        assert np.abs(middle - field.centre[cell]).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("bin_ms", [10, 30])
def test_the_true_rate_is_what_its_ceiling_says(retina: SyntheticRetina, bin_ms: int) -> None:
    steps = Steps(retina.experiment, bin_ms)
    counts = steps.in_windows(steps.counts).reshape(-1, N_CELLS, 30)
    rate, observed = retina.moments(bin_ms)[0], counts.mean(axis=-1)
    np.testing.assert_allclose(psth_correlation(rate, observed), retina.ceiling(steps), atol=0.015)
    np.testing.assert_allclose(ceiling(counts).largest_cc, retina.ceiling(steps), atol=0.015)
    # The rate without after-effects is no better a prediction.
    plain = np.exp(retina.log_rate).reshape(len(rate), -1, N_CELLS).mean(axis=1)
    assert (psth_correlation(plain, observed) < retina.ceiling(steps)).all()
    test = folds(retina.experiment, 5)[0].test
    part = steps.in_windows(rate[None], test).reshape(-1, N_CELLS)
    scored = psth_correlation(part, steps.psth(test).reshape(-1, N_CELLS))
    np.testing.assert_allclose(scored, retina.ceiling(steps, test), atol=0.04)


# ---- filters that can be found ---------------------------------------------------------------


def poisson_fit(x: np.ndarray, y: np.ndarray, penalty: np.ndarray) -> np.ndarray:
    """Weights w of y ~ Poisson(exp(x w)) by Newton's method, penalised by w P w / 2."""
    w = np.zeros(x.shape[1])
    w[0] = np.log(y.mean())
    for _ in range(8):
        rate = np.exp(np.clip(x @ w, -15, 5))
        w += np.linalg.solve((x * rate[:, None]).T @ x + penalty, x.T @ (y - rate) - penalty @ w)
    return w


def lagged(values: np.ndarray, n: int, first: int = 0) -> np.ndarray:
    """values at `first` and more steps before, (..., step, lag); 0 before the beginning."""
    columns = [
        np.concatenate(
            [np.zeros_like(values[..., :lag]), values[..., : values.shape[-1] - lag]], -1
        )
        for lag in range(first, first + n)
    ]
    return np.stack(columns, axis=-1)


@pytest.mark.parametrize("cell", range(2))
def test_a_linear_nonlinear_model_finds_the_filters(retina: SyntheticRetina, cell: int) -> None:
    e, half, n_lags = retina.experiment, 6, 10
    steps = Steps(e, 30)
    assert e.fields is not None
    row, column = np.rint(e.fields.centre[cell]).astype(int)
    patch = np.s_[row - half : row + half + 1, column - half : column + half + 1]
    seen = steps.stimulus()[:, *patch].reshape(len(steps.stimulus()), -1).astype(float)
    seen -= seen.mean(axis=0)
    y, side = steps.psth()[..., cell].ravel(), 2 * half + 1
    rough = np.diff(np.eye(side), axis=0)
    rough = rough.T @ rough
    away = (np.add.outer(*2 * [(np.arange(side) - half) ** 2])).ravel().astype(float)
    prior = np.zeros((side**2 + 1, side**2 + 1))  # smooth and near the middle
    prior[1:, 1:] = 2 * (np.kron(rough, np.eye(side)) + np.kron(np.eye(side), rough))
    prior[1:, 1:] += np.diag(0.1 * away)
    spatial = np.exp(-away / 8)
    for _ in range(2):  # in turn, each given the other
        x = np.column_stack([np.ones(len(y)), lagged(seen @ spatial, n_lags)])
        temporal = poisson_fit(x, y, 1e-3 * np.eye(n_lags + 1))[1:]
        x = np.column_stack([np.ones(len(y)), (lagged(seen.T, n_lags) @ temporal).T])
        spatial = poisson_fit(x, y, prior)[1:]
        spatial /= np.linalg.norm(spatial)
    true = retina.temporal_in(30)[cell, :n_lags], retina.spatial[cell][patch].ravel()
    assert np.corrcoef(temporal, true[0])[0, 1] > 0.95
    assert np.corrcoef(spatial, true[1])[0, 1] > 0.92
    whole = np.outer(temporal, spatial).ravel()
    assert np.corrcoef(whole, np.outer(*true).ravel())[0, 1] > 0.9


@pytest.mark.parametrize("cell", range(2))
def test_a_model_with_after_spike_filter_finds_it(retina: SyntheticRetina, cell: int) -> None:
    steps = Steps(retina.experiment, 10)
    seen = np.tensordot(steps.contrast, retina.spatial[cell], 2)[steps.shown[0]]
    drive = lagged(seen, 30)
    bumps = np.exp(-((np.arange(30)[:, None] - np.arange(0, 30, 3)) ** 2) / (2 * 2.0**2))
    drive = drive @ bumps  # frames change every third bin: single lags are nearly the same
    y = steps.counts[0, :, cell].T.astype(float)  # (trial, bin)
    x = [np.ones((*y.shape, 1)), np.broadcast_to(drive, (*y.shape, 10)), lagged(y, 8, first=1)]
    x = np.concatenate(x, axis=-1).reshape(-1, 19)
    w = poisson_fit(x, y.ravel(), 1e-3 * np.eye(19))
    assert np.corrcoef(w[11:], retina.after_spike[cell])[0, 1] > 0.95
    assert np.corrcoef(bumps @ w[1:11], retina.temporal[cell])[0, 1] > 0.9


# ---- movies and bad input --------------------------------------------------------------------


def test_eye_movements() -> None:
    movie = eye_movement_movie(400, seed=2)
    assert movie.shape == (400, 40, 40)
    assert movie.dtype == np.uint8
    change = np.abs(np.diff(movie.astype(float), axis=0)).mean(axis=(1, 2))
    assert (change > 0).mean() > 0.99  # the eye is never still
    saccades = change > 40
    assert 0.05 < saccades.mean() < 0.25  # 30 ms / 200 ms is 0.14
    assert 40 < movie.std() < 80
    np.testing.assert_array_equal(movie[:50], eye_movement_movie(400, seed=2)[:50])
    assert eye_movement_movie(3, side=106).shape == (3, 106, 106)


def test_another_movie_can_be_shown() -> None:
    noise = 255 * np.random.default_rng(1).integers(0, 2, (100, 16, 20)).astype(np.uint8)
    retina = synthetic_retina(n_cells=2, n_trials=2, duration_s=3.0, frames=noise)
    np.testing.assert_array_equal(retina.experiment.frames, noise)
    assert retina.spatial.shape == (2, 16, 20)


def test_a_movie_without_contrast_gives_constant_rates() -> None:
    grey = np.full((100, 16, 16), 128, np.uint8)
    retina = synthetic_retina(n_cells=2, n_trials=20, duration_s=3.0, frames=grey)
    assert np.isfinite(retina.log_rate).all()
    assert retina.experiment.counts.any()


@pytest.mark.parametrize("call", [
    lambda: synthetic_retina(n_cells=0),
    lambda: synthetic_retina(n_trials=0),
    lambda: synthetic_retina(duration_s=1.0),
    lambda: synthetic_retina(duration_s=0.3),
    lambda: synthetic_retina(duration_s=float("nan")),
    lambda: synthetic_retina(duration_s=3.0, seed=-1),
    lambda: synthetic_retina(duration_s=3.0, frames=np.zeros((90, 20, 20), np.uint8)),
    lambda: synthetic_retina(duration_s=3.0, frames=np.zeros((100, 12, 20), np.uint8)),
    lambda: eye_movement_movie(0),
    lambda: eye_movement_movie(5, side=107),
    lambda: eye_movement_movie(5, frame_ms=0.0),
    lambda: binary_counts(np.zeros((4, 2)), np.zeros((2, 3)), 0, np.random.default_rng()),
    lambda: binary_counts(np.zeros((4, 3)), np.zeros((2, 3)), 1, np.random.default_rng()),
    lambda: exact_moments(np.zeros((4, 2)), np.zeros((2, 13))),
    lambda: exact_moments(np.zeros((4, 2)), np.full((2, 3), np.nan)),
    lambda: exact_moments(np.full((4, 2), np.inf), np.zeros((2, 3))),
    lambda: exact_moments(np.zeros((4, 2)), np.zeros((2, 3)), 4),
    lambda: exact_moments(np.zeros((4, 2)), np.zeros((2, 3)), 3),
    lambda: exact_moments(np.zeros((4, 2)), np.zeros((2, 3)), dt_ms=0.0),
])  # fmt: skip
def test_what_cannot_be_made(call: Callable[[], object]) -> None:
    with pytest.raises(InputError):
        call()


@pytest.mark.parametrize("bin_ms", [0, 15, 33.3])
def test_steps_that_are_no_whole_bins(retina: SyntheticRetina, bin_ms: float) -> None:
    with pytest.raises(InputError, match="whole numbers of 10 ms"):
        retina.moments(bin_ms)
    with pytest.raises(InputError, match="whole numbers of 10 ms"):
        retina.temporal_in(bin_ms)
