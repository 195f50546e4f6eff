"""Metrics: closed forms, properties, and ceilings of simulated noise of known size."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from toolkit import Recording, metrics
from toolkit.errors import InputError

DIRECTIONS_DEG = np.arange(0, 360, 45)
rate_arrays = hnp.arrays(
    np.float64, hnp.array_shapes(min_dims=2, max_dims=2, min_side=3, max_side=8),
    elements=st.floats(0, 100).map(lambda rate: round(rate, 3)),
)  # fmt: skip
few = settings(max_examples=50, deadline=None)


# ---- agreement -----------------------------------------------------------------------------


@few
@given(rates=rate_arrays)
def test_r_squared_of_itself_is_one_and_of_the_mean_zero(rates: np.ndarray) -> None:
    assume(np.ptp(rates) > 0.01)
    assert metrics.r_squared(rates, rates) == 1
    assert metrics.log_rate_r_squared(rates, rates) == 1
    assert metrics.slope(rates, rates) == pytest.approx(1)
    flat = np.full_like(rates, rates.mean())
    assert metrics.r_squared(rates, flat) == pytest.approx(0, abs=1e-9)


@few
@given(
    rates=rate_arrays, gain=st.floats(0.1, 10), offset=st.floats(-50, 50), seed=st.integers(0, 9)
)
def test_r_squared_does_not_depend_on_units(
    rates: np.ndarray, gain: float, offset: float, seed: int
) -> None:
    assume(np.ptp(rates) > 1)
    predicted = rates + np.random.default_rng(seed).normal(size=rates.shape)
    moved = metrics.r_squared(gain * rates + offset, gain * predicted + offset)
    assert moved == pytest.approx(metrics.r_squared(rates, predicted), rel=1e-6, abs=1e-6)


def test_r_squared_counts_offset_and_gain_as_errors() -> None:
    y = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    assert metrics.r_squared(y, y + 1) == pytest.approx(1 - 5 / 10)
    assert metrics.r_squared(y, 2 * y) == pytest.approx(1 - 55 / 10)
    assert np.isnan(metrics.r_squared([2.1] * 7, y[:1].repeat(7)))


def test_log_rate_r_squared_is_r_squared_of_logs() -> None:
    rng = np.random.default_rng(0)
    y, f = rng.gamma(2, 3, 50), rng.gamma(2, 3, 50)
    expected = metrics.r_squared(np.log10(y + 0.1), np.log10(f + 0.1))
    assert metrics.log_rate_r_squared(y, f) == pytest.approx(expected)


@few
@given(a=st.floats(-5, 5), b=st.floats(-5, 5))
def test_slope_is_of_observed_on_predicted(a: float, b: float) -> None:
    f = np.array([0.0, 1.0, 5.0, 7.0])
    assert metrics.slope(a * f + b, f) == pytest.approx(a, abs=1e-9)
    assert np.isnan(metrics.slope(f, [2.1] * 4))


def test_per_neuron_r_squared_is_r_squared_of_each_column() -> None:
    rng = np.random.default_rng(1)
    y = rng.gamma(2, 3, (8, 5))
    y[:, 3] = 0.1
    f = y + rng.normal(size=y.shape)
    result = metrics.per_neuron_r_squared(y, f)
    assert np.isnan(result[3])
    for i in (0, 1, 2, 4):
        assert result[i] == pytest.approx(metrics.r_squared(y[:, i], f[:, i]))


def test_psth_correlation_is_pearson_of_each_column() -> None:
    rng = np.random.default_rng(2)
    a, b = rng.normal(size=(2, 40, 4))
    a[:, 2] = 0.3
    result = metrics.psth_correlation(a, b)
    assert np.isnan(result[2])
    for i in (0, 1, 3):
        assert result[i] == pytest.approx(np.corrcoef(a[:, i], b[:, i])[0, 1])
    np.testing.assert_allclose(metrics.psth_correlation(a[:, :2], 3 - 2 * a[:, :2]), -1)


# ---- tuning --------------------------------------------------------------------------------


@few
@given(
    base=st.floats(1, 50), depth=st.floats(0, 1), preferred=st.floats(0, 360),
    n=st.sampled_from([8, 12, 16]), start=st.floats(0, 90),
)  # fmt: skip
def test_cosine_tuning_has_its_known_index(
    base: float, depth: float, preferred: float, n: int, start: float
) -> None:
    directions = start + np.arange(n) * 360 / n
    away = np.radians(directions - preferred)
    by_orientation = base * (1 + depth * np.cos(2 * away))
    by_direction = base * (1 + depth * np.cos(away))
    for rates, index in ((by_orientation, metrics.osi), (by_direction, metrics.dsi)):
        assert float(index(rates, directions)) == pytest.approx(depth / 2, abs=1e-9)
    assert float(metrics.dsi(by_orientation, directions)) == pytest.approx(0, abs=1e-9)
    assert float(metrics.osi(by_direction, directions)) == pytest.approx(0, abs=1e-9)


def test_tuning_of_extreme_cells_and_silence() -> None:
    rates = np.zeros((8, 4))
    rates[3, 0] = 5.0  # one direction only
    rates[[2, 6], 1] = 5.0  # both directions of one orientation
    rates[:, 2] = 5.0  # untuned
    np.testing.assert_allclose(metrics.osi(rates, DIRECTIONS_DEG)[:3], [1, 1, 0], atol=1e-12)
    np.testing.assert_allclose(metrics.dsi(rates, DIRECTIONS_DEG)[:3], [1, 0, 0], atol=1e-12)
    preferred = metrics.preferred_direction(rates, DIRECTIONS_DEG)
    assert preferred[:2].tolist() == [135, 90]
    assert np.isnan(preferred[2:]).all()
    assert np.isnan(metrics.osi(rates, DIRECTIONS_DEG)[3])
    assert np.isnan(metrics.dsi(rates, DIRECTIONS_DEG)[3])


def test_directions_must_be_balanced_and_first() -> None:
    half = np.arange(0, 180, 45)
    assert float(metrics.osi([1.0, 0.0, 0.0, 0.0], half)) == pytest.approx(1)
    with pytest.raises(InputError, match="evenly"):
        metrics.dsi(np.ones(4), half)
    with pytest.raises(InputError, match="evenly"):
        metrics.osi(np.ones(3), [0, 45, 90])
    with pytest.raises(InputError, match=r"\.T"):
        metrics.osi(np.ones((5, 8)), DIRECTIONS_DEG)
    with pytest.raises(InputError, match="0 or more"):
        metrics.osi(-np.ones(8), DIRECTIONS_DEG)


# ---- reliability ---------------------------------------------------------------------------


@pytest.mark.parametrize("n_trials", [2, 3, 10])
def test_ceiling_is_what_the_true_rates_reach(n_trials: int) -> None:
    """The ceiling is measured without the truth; the truth's own R2 is the known answer."""
    rng = np.random.default_rng(n_trials)
    truth_Hz = rng.gamma(1.5, 4, (8, 1500))
    trials = rng.poisson(truth_Hz * 0.5, (n_trials, 8, 1500)) / 0.5  # Hz from 0.5 s
    ceiling = metrics.split_half_ceiling(trials)
    expected = 1 - (truth_Hz.mean() / (0.5 * n_trials)) / trials.mean(axis=0).var()
    assert ceiling.value == pytest.approx(expected, abs=0.01)
    assert ceiling.value == pytest.approx(
        metrics.r_squared(trials.mean(axis=0), truth_Hz), abs=0.01
    )
    assert ceiling.low - 1e-12 <= ceiling.value <= ceiling.high + 1e-12
    assert ceiling.high - ceiling.low < 0.05
    assert ceiling.n_trials == n_trials


def test_log_ceiling_is_what_the_true_rates_reach() -> None:
    rng = np.random.default_rng(0)
    truth_Hz = rng.lognormal(1.5, 1.0, (8, 1000))
    trials = rng.poisson(truth_Hz * 2.0, (4, 8, 1000)) / 2.0
    ceiling = metrics.split_half_ceiling(trials, log=True)
    reached = metrics.log_rate_r_squared(trials.mean(axis=0), truth_Hz)
    assert ceiling.value == pytest.approx(reached, abs=0.01)
    assert reached < 0.97  # there is noise to find


def test_ceiling_of_noise_is_zero_and_of_repeats_one() -> None:
    rng = np.random.default_rng(4)
    assert metrics.split_half_ceiling(rng.normal(size=(10, 20_000))).value == pytest.approx(
        0, abs=0.03
    )
    assert metrics.split_half_ceiling(np.tile([1.0, 2.0, 5.0], (6, 1))).value == 1
    assert np.isnan(metrics.split_half_ceiling(np.ones((4, 3))).value)


def test_ceiling_options() -> None:
    trials = np.random.default_rng(5).gamma(2, 2, (6, 50))
    here = metrics.split_half_ceiling(trials, seed=3)
    assert here == metrics.split_half_ceiling(trials.T, axis=1, seed=3)
    assert here != metrics.split_half_ceiling(trials, seed=4)
    narrow = metrics.split_half_ceiling(trials, seed=3, level=0.5)
    assert here.low <= narrow.low < narrow.high <= here.high
    bad: dict[str, Any]
    for bad, words in (
        ({"n_splits": 0}, "n_splits"),
        ({"level": 1.0}, "level"),
        ({"seed": -1}, "seed"),
    ):
        with pytest.raises(InputError, match=words):
            metrics.split_half_ceiling(trials, **bad)
    with pytest.raises(InputError, match="2 or more trials"):
        metrics.split_half_ceiling(trials[:1])


def test_bootstrap_interval_covers_the_mean_as_often_as_it_says() -> None:
    rng = np.random.default_rng(6)
    inside = 0
    for seed in range(100):
        low, high = metrics.bootstrap_interval(
            rng.normal(3, 2, 60), np.mean, seed, n=200, level=0.9
        )
        inside += low < 3 < high
    assert 80 <= inside <= 98  # 90 expected, sd 3


def test_bootstrap_keeps_rows_together_and_is_reproducible() -> None:
    pairs = np.random.default_rng(7).normal(size=(40, 1)) * [1.0, 2.0]

    def gain(rows: np.ndarray) -> float:
        return metrics.slope(rows[:, 1], rows[:, 0])

    assert metrics.bootstrap_interval(pairs, gain, 0, n=50) == pytest.approx((2.0, 2.0))
    first = metrics.bootstrap_interval(pairs[:, 0], np.mean, 1)
    assert first == metrics.bootstrap_interval(pairs[:, 0], np.mean, 1)
    assert first != metrics.bootstrap_interval(pairs[:, 0], np.mean, 2)
    with pytest.raises(InputError, match="every draw"):
        metrics.bootstrap_interval([np.nan, np.nan], np.mean, 0, n=5)
    with pytest.raises(InputError, match="samples"):
        metrics.bootstrap_interval([], np.mean, 0)


# ---- variability ---------------------------------------------------------------------------


def test_fano_factor_of_poisson_and_binomial() -> None:
    rng = np.random.default_rng(8)
    counts = np.concatenate([rng.poisson(6, (4000, 20)), rng.binomial(10, 0.6, (4000, 20))], axis=1)
    fano = metrics.fano_factor(counts)
    assert fano[:20].mean() == pytest.approx(1.0, abs=0.02)
    assert fano[20:].mean() == pytest.approx(0.4, abs=0.02)


@few
@given(counts=hnp.arrays(np.int64, (12, 6), elements=st.integers(0, 9)))
def test_pairwise_correlation_is_the_mean_of_the_matrix(counts: np.ndarray) -> None:
    varying = counts[:, np.ptp(counts, axis=0) > 0]
    assume(varying.shape[1] > 1)
    matrix = np.corrcoef(varying.T)
    expected = matrix[np.triu_indices(len(matrix), 1)].mean()
    assert metrics.pairwise_correlation(counts) == pytest.approx(expected, abs=1e-9)


def test_fano_factor_is_unbiased() -> None:
    assert metrics.fano_factor([[1, 0], [3, 0]])[0] == 1.0  # variance 2 with T - 1, mean 2


def test_pairwise_correlation_recovers_a_shared_source() -> None:
    rng = np.random.default_rng(9)
    shared, own = rng.poisson(2.0, (20_000, 1)), rng.poisson(6.0, (20_000, 50))
    assert metrics.pairwise_correlation(shared + own) == pytest.approx(0.25, abs=0.01)
    assert np.isnan(metrics.pairwise_correlation(np.ones((5, 3))))


def test_cv_isi_of_gamma_renewal_processes() -> None:
    rng = np.random.default_rng(10)
    times, ids = [], []
    for neuron, shape in enumerate([1, 4, 16]):
        t = np.cumsum(rng.gamma(shape, 20 / shape, 4000))
        times.append(t)
        ids.append(np.full(4000, neuron))
    times.append(np.array([5.0, 9.0]))  # one interval is not enough
    ids.append(np.full(2, 3))
    flat = np.concatenate(times)
    recording = Recording.spikes(
        flat, np.concatenate(ids), n=5, dt_ms=0.1, duration_ms=float(flat.max())
    )
    cv = metrics.cv_isi(recording)
    np.testing.assert_allclose(cv[:3], [1, 1 / 2, 1 / 4], rtol=0.06)
    assert np.isnan(cv[3:]).all()
    assert np.isnan(metrics.cv_isi(recording, min_spikes=4001)).all()
    assert not np.isnan(metrics.cv_isi(recording, min_spikes=4000)[:3]).any()
    with pytest.raises(InputError, match="min_spikes"):
        metrics.cv_isi(recording, min_spikes=2)
    with pytest.raises(InputError, match="to_spikes"):
        metrics.cv_isi(Recording.rates(np.ones((3, 2)), dt_ms=1.0))


def test_cv_isi_of_two_intervals() -> None:
    recording = Recording.spikes(
        np.array([10.0, 20.0, 40.0, 7.0]), np.array([1, 1, 1, 0]), n=2, dt_ms=1, duration_ms=50
    )
    cv = metrics.cv_isi(recording)
    assert np.isnan(cv[0])
    assert cv[1] == pytest.approx(5 / 15)


# ---- compare -------------------------------------------------------------------------------


def modulated_rates() -> Recording:
    t = np.arange(2000)[:, None] / 1000
    mean, phase = np.linspace(2, 40, 60), np.repeat([0.0, np.pi], 30)
    return Recording.rates(mean * (1 + np.sin(2 * np.pi * 2 * t + phase)), dt_ms=1.0)


def test_compare_of_poisson_trials_with_their_own_rates() -> None:
    rates = modulated_rates()
    classes = np.repeat(["low", "high"], 30)
    trials = [rates.to_spikes(seed) for seed in range(10)]
    result = metrics.compare(trials, rates, classes)
    assert (result.n_trials, result.duration_ms) == (10, 2000)
    assert result.ceiling is not None
    assert result.log_ceiling is not None
    assert result.r_squared == pytest.approx(result.ceiling.value, abs=0.01)
    assert result.log_rate_r_squared == pytest.approx(result.log_ceiling.value, abs=0.02)
    assert result.slope == pytest.approx(1, abs=0.03)
    # the halves move in antiphase: the mean of all hardly moves as one class does
    low, high = result.per_class["psth_correlation"][1:]
    assert low > 0.9
    assert high > 0.9
    table = result.per_class
    assert table["class"].tolist() == ["all", "low", "high"]
    assert table["n"].tolist() == [60, 30, 30]
    spiking_Hz = result.per_neuron["spiking_Hz"]
    expected = np.mean([trial.mean_rates_Hz() for trial in trials], axis=0)
    np.testing.assert_allclose(spiking_Hz, expected)
    np.testing.assert_allclose(result.per_neuron["rate_Hz"], rates.mean_rates_Hz())
    assert table["r_squared"][2] == pytest.approx(
        metrics.r_squared(spiking_Hz[30:], result.per_neuron["rate_Hz"][30:])
    )
    assert result.per_neuron["class"].tolist() == classes.tolist()


def test_compare_of_one_trial_and_of_a_recording_with_itself() -> None:
    rates = modulated_rates()
    one = metrics.compare(rates.to_spikes(1), rates)
    assert one.ceiling is None
    assert one.per_class["class"].tolist() == ["all"]
    same = metrics.compare(rates, rates)
    assert (same.r_squared, same.log_rate_r_squared) == (1, 1)
    assert same.psth_correlation == pytest.approx(1)


def test_compare_takes_spikes_as_observed() -> None:
    rates = modulated_rates()
    assert rates.rates_Hz is not None
    doubled = metrics.compare(Recording.rates(2 * rates.rates_Hz, dt_ms=1.0), rates)
    assert doubled.slope == pytest.approx(2)
    assert doubled.r_squared == pytest.approx(
        metrics.r_squared(2 * rates.mean_rates_Hz(), rates.mean_rates_Hz())
    )


def test_compare_leaves_out_the_start() -> None:
    early = np.zeros((1000, 3))
    early[:500] = 50.0
    early[500:] = [1.0, 2.0, 3.0]
    result = metrics.compare(
        Recording.rates(early, dt_ms=1.0), Recording.rates(early, dt_ms=1.0), start_ms=500
    )
    assert result.per_neuron["spiking_Hz"].tolist() == [1, 2, 3]
    assert result.duration_ms == 500


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"classes": ["a"]}, "60 neurons"),
        ({"classes": ["all"] * 60}, "'all'"),
        ({"start_ms": 15.0}, "start_ms"),
        ({"start_ms": 2000.0}, "start_ms"),
        ({"bin_ms": 0.0}, "bin_ms"),
        ({"bin_ms": 0.5}, "bin_ms"),
        ({"bin_ms": 30.0}, "bin_ms"),
    ],
)
def test_bad_comparisons(options: dict[str, Any], words: str) -> None:
    rates = modulated_rates()
    with pytest.raises(InputError, match=words):
        metrics.compare(rates, rates, **options)


def test_compare_needs_equal_neurons_and_durations() -> None:
    rates = modulated_rates()
    for other in (
        Recording.rates(np.ones((2000, 59)), dt_ms=1.0),
        Recording.rates(np.ones((1000, 60)), dt_ms=1.0),
    ):
        with pytest.raises(InputError, match="must be equal"):
            metrics.compare(other, rates)
    with pytest.raises(InputError, match="at least one"):
        metrics.compare([], rates)


def test_psth_of_spikes_and_rates_agree() -> None:
    rates = Recording.rates(np.tile([30.0, 90.0], (4000, 1)), dt_ms=1.0)
    spikes = rates.to_spikes(3)
    counted = metrics.psth(spikes, 100.0)
    assert counted.shape == metrics.psth(rates, 100.0).shape == (40, 2)
    np.testing.assert_allclose(counted.mean(axis=0), spikes.mean_rates_Hz())
    np.testing.assert_allclose(metrics.psth(rates, 100.0), np.tile([30.0, 90.0], (40, 1)))


@pytest.mark.parametrize("metric", [metrics.r_squared, metrics.slope, metrics.log_rate_r_squared])
def test_metrics_refuse_what_has_no_meaning(metric: Any) -> None:
    for observed, predicted, words in (
        ([1.0, 2.0], [1.0, 2.0, 3.0], "must be equal"),
        ([1.0, np.nan], [1.0, 2.0], "NaN"),
        ([], [], "empty"),
    ):
        with pytest.raises(InputError, match=words):
            metric(observed, predicted)
    with pytest.raises(InputError, match="0 or more"):
        metrics.log_rates([-1.0])
    with pytest.raises(InputError, match="2 dimensions"):
        metrics.per_neuron_r_squared([1.0, 2.0], [1.0, 2.0])
    with pytest.raises(InputError, match="2 or more trials"):
        metrics.fano_factor([[1, 2]])
