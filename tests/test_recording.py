"""`Recording`: spikes and rates, windows, and the draw of one from the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from toolkit import Recording
from toolkit.errors import InputError


def spikes(times: list[float], ids: list[int], **changes: Any) -> Recording:
    settings = {"n": 3, "dt_ms": 0.1, "duration_ms": 10.0, **changes}
    return Recording.spikes(np.array(times), np.array(ids, dtype=int), **settings)


steps = st.lists(st.tuples(st.integers(1, 100), st.integers(0, 2)), max_size=60)


# ---- making one ------------------------------------------------------------------------------


def test_spikes_are_sorted_and_frozen() -> None:
    made = spikes([3.0, 1.0, 3.0], [0, 2, 1])
    assert made.kind == "spikes"
    assert made.spike_times_ms is not None and made.spike_ids is not None
    assert made.spike_times_ms.tolist() == [1.0, 3.0, 3.0]
    assert made.spike_ids.tolist() == [2, 0, 1]
    with pytest.raises(ValueError, match="read-only"):
        made.spike_times_ms[0] = 2


def test_rates_are_a_frozen_copy() -> None:
    given_Hz = np.ones((4, 2))
    made = Recording.rates(given_Hz, dt_ms=5.0)
    given_Hz[0] = 9
    assert (made.kind, made.n, made.duration_ms) == ("rates", 2, 20.0)
    assert made.rates_Hz is not None
    assert made.rates_Hz[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        made.rates_Hz[0, 0] = 2


def test_the_ends_of_time() -> None:
    # Times that are sums of steps may pass the end by a rounding error.
    assert len(spikes([0.1, 10 * (1 + 1e-10)], [0, 0]).mean_rates_Hz()) == 3
    for time, message in ((0.0, "above 0 ms"), (10.001, "after the end"), (np.nan, "finite")):
        with pytest.raises(InputError, match=message):
            spikes([time], [0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"times": [1.0, 2.0], "ids": [0]}, "must be flat and equal"),
        ({"times": [1.0], "ids": [3]}, "not within 0 to 2"),
        ({"times": [1.0], "ids": [-1]}, "not within 0 to 2"),
        ({"times": [], "ids": [], "duration_ms": 0.0}, "duration must be above 0"),
        ({"times": [], "ids": [], "duration_ms": -5.0}, "duration must be above 0"),
        ({"times": [], "ids": [], "duration_ms": np.inf}, "duration must be above 0"),
        ({"times": [], "ids": [], "dt_ms": 0.0}, "dt_ms must be above 0"),
        ({"times": [], "ids": [], "n": -1}, "n = -1"),
    ],
)
def test_bad_spikes(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        spikes(**arguments)


def test_ids_must_be_whole() -> None:
    with pytest.raises(InputError, match="whole numbers, got float64"):
        Recording.spikes(np.array([1.0]), np.array([0.5]), n=3, dt_ms=0.1, duration_ms=10.0)


@pytest.mark.parametrize(
    ("rates_Hz", "dt_ms", "message"),
    [
        (np.ones(3), 1.0, r"\(time, neuron\), got \(3,\)"),
        (np.ones((0, 3)), 1.0, "duration must be above 0"),
        (np.full((2, 2), np.nan), 1.0, "finite"),
        (np.full((2, 2), 1e300), 1.0, "finite"),
        (np.full((2, 2), -0.1), 1.0, "not negative"),
        (np.ones((2, 2)), 0.0, "dt_ms must be above 0"),
        (np.ones((2, 2)), np.nan, "dt_ms must be above 0"),
    ],
)
def test_bad_rates(rates_Hz: np.ndarray, dt_ms: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Recording.rates(rates_Hz, dt_ms=dt_ms)


# ---- windows ---------------------------------------------------------------------------------


@given(steps)
def test_windows_hold_the_spikes_of_their_steps(rows: list[tuple[int, int]]) -> None:
    """A spike of step k, stamped k dt, is in window (k - 1) // 10 of 10 steps."""
    made = spikes([0.1 * step for step, _ in rows], [i for _, i in rows])
    expected = np.zeros((10, 3), dtype=int)
    for step, i in rows:
        expected[(step - 1) // 10, i] += 1
    np.testing.assert_array_equal(made.counts(np.arange(11) * 1.0), expected)
    rates = made.to_rates(1.0)
    assert rates.rates_Hz is not None
    np.testing.assert_allclose(rates.rates_Hz, expected * 1000.0)
    np.testing.assert_allclose(made.mean_rates_Hz(), expected.sum(0) / 0.01)
    np.testing.assert_allclose(made.mean_rates_Hz(2.0, 5.0), expected[2:5].sum(0) / 0.003)


@given(st.lists(st.floats(0, 10, exclude_min=True), max_size=20))
def test_no_spike_is_lost_between_windows(times: list[float]) -> None:
    made = spikes(times, [0] * len(times))
    assert made.counts(np.array([0.0, 3.3, 7.0, 10.0])).sum() == len(times)


def test_windows_of_nobody() -> None:
    assert spikes([], [], n=0).counts(np.array([0.0, 5.0, 10.0])).shape == (2, 0)


@pytest.mark.parametrize("edges", [[0.0], [0.0, 2.0, 2.0], [3.0, 1.0], [[0.0, 1.0]]])
def test_bad_edges(edges: list) -> None:
    with pytest.raises(InputError, match="rising"):
        spikes([1.0], [0]).counts(np.array(edges))


@pytest.mark.parametrize(
    ("window_ms", "message"),
    [(0.0, "above 0"), (-1.0, "above 0"), (3.0, "whole number of windows"), (20.0, "whole number")],
)
def test_bad_windows(window_ms: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        spikes([1.0], [0]).to_rates(window_ms)


@given(
    st.lists(st.floats(0, 200), min_size=1, max_size=12),
    st.floats(0.1, 3),
    st.floats(0, 0.99),
    st.floats(0.01, 1),
)
def test_mean_of_rates_is_their_integral(
    values: list[float], dt_ms: float, start: float, length: float
) -> None:
    made = Recording.rates(np.array(values)[:, None], dt_ms=dt_ms)
    a = start * made.duration_ms
    b = min(a + length * made.duration_ms, made.duration_ms)
    if not a < b:
        return
    edges = np.arange(len(values) + 1) * dt_ms
    total = np.concatenate([[0], np.cumsum(np.float32(values).astype(float) * dt_ms)])
    expected = (np.interp(b, edges, total) - np.interp(a, edges, total)) / (b - a)
    assert made.mean_rates_Hz(a, b)[0] == pytest.approx(expected, rel=1e-6, abs=1e-6 * max(values))


@pytest.mark.parametrize(("start", "stop"), [(-1, 5), (5, 5), (6, 5), (0, 11), (np.nan, 5)])
@pytest.mark.parametrize("kind", ["spikes", "rates"])
def test_bad_times(kind: str, start: float, stop: float) -> None:
    made = spikes([1.0], [0]) if kind == "spikes" else Recording.rates(np.ones((10, 3)), dt_ms=1.0)
    with pytest.raises(InputError, match="not within 0 to 10"):
        made.mean_rates_Hz(start, stop)


def test_the_other_kind_is_refused_with_the_way_out() -> None:
    with pytest.raises(InputError, match="recording of spikes; to_rates"):
        spikes([], []).to_spikes(1)
    with pytest.raises(InputError, match="recording of rates; to_spikes"):
        Recording.rates(np.ones((10, 3)), dt_ms=1.0).to_rates(1.0)


# ---- spikes from rates -----------------------------------------------------------------------


def test_poisson_spikes_follow_the_rates() -> None:
    """Counts in windows of a changing rate are Poisson of the right mean, and independent."""
    row_Hz = np.array([0.0, 40.0, 160.0, 20.0])
    drawn = Recording.rates(np.tile(row_Hz[:, None], (1, 4000)), dt_ms=25.0).to_spikes(seed=3)
    counts = drawn.counts(np.arange(5) * 25.0)
    assert counts[0].sum() == 0
    for window, expected in enumerate(row_Hz * 0.025):
        if expected:
            mean_error = np.sqrt(expected / 4000)
            assert abs(counts[window].mean() - expected) < 4 * mean_error
            assert counts[window].var() == pytest.approx(expected, rel=0.12)
    assert abs(np.corrcoef(counts[1], counts[2])[0, 1]) < 0.06
    assert drawn.spike_times_ms is not None
    inside = drawn.spike_times_ms[(drawn.spike_times_ms > 50) & (drawn.spike_times_ms <= 75)]
    assert stats.kstest(inside, "uniform", (50, 25)).pvalue > 1e-3


def test_poisson_spikes_are_a_function_of_seed_and_name() -> None:
    rates = Recording.rates(np.full((10, 5), 100.0), dt_ms=10.0)
    first, again = rates.to_spikes(1), rates.to_spikes(1)
    np.testing.assert_array_equal(first.spike_times_ms, again.spike_times_ms)
    for other in (rates.to_spikes(2), rates.to_spikes(1, "another")):
        assert not np.array_equal(first.spike_times_ms, other.spike_times_ms)


def test_no_rate_no_spikes() -> None:
    drawn = Recording.rates(np.zeros((10, 5)), dt_ms=10.0).to_spikes(1)
    assert drawn.spike_times_ms is not None
    assert len(drawn.spike_times_ms) == 0
    assert (drawn.n, drawn.duration_ms) == (5, 100.0)
