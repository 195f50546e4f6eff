"""Random streams: reproducible, independent, and the same in C++."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from toolkit.errors import InputError
from toolkit.rng import (
    poisson_counts,
    poisson_counts_cpp,
    poisson_thresholds,
    stream,
    stream_key,
)

GOLDEN_STREAM = [0.9632094966611118, 0.8769004815821296]
GOLDEN_KEY = 3355376332962710160
GOLDEN_COUNTS = [[3, 0, 2, 0, 2, 3, 0, 0], [0, 0, 1, 2, 0, 1, 1, 0], [1, 2, 0, 1, 2, 2, 1, 2]]
MEANS = (0.0, 0.001, 0.25, 1.0, 4.5, 16.0)


# ---- named streams ---------------------------------------------------------------------------


def test_golden_values() -> None:
    """Seeds written down in papers must go on meaning the same."""
    assert stream(1, "positions").random(2).tolist() == GOLDEN_STREAM
    assert stream_key(1, "input", "background") == GOLDEN_KEY
    counts = poisson_counts(GOLDEN_KEY, np.arange(8), np.arange(1, 4), 0.8)
    assert counts.tolist() == GOLDEN_COUNTS


def test_streams_depend_on_seed_and_name_alone() -> None:
    first = stream(5, "a", 1).random(4)
    stream(5, "b").random(100)
    np.testing.assert_array_equal(stream(5, "a", 1).random(4), first)
    for other in (stream(6, "a", 1), stream(5, "a", 2), stream(5, "a"), stream(5)):
        assert not np.array_equal(other.random(4), first)


def test_streams_of_near_seeds_and_names_are_uncorrelated() -> None:
    draws = np.array([stream(seed, name).random(2000) for seed in range(6) for name in "ab"])
    off = np.corrcoef(draws)[np.triu_indices(len(draws), 1)]
    assert np.abs(off).max() < 4.5 / np.sqrt(2000)


def test_seed_zero_is_a_seed_and_any_integer_type_will_do() -> None:
    assert stream(0, "x").random() != stream(1, "x").random()
    assert stream(np.int64(3), "x").random() == stream(3, "x").random()  # type: ignore[arg-type]
    assert stream_key(np.uint8(3), "x") == stream_key(3, "x")  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", [-1, 1.0, "1", None, True, 2**63])
def test_bad_seeds(seed: object) -> None:
    for make in (stream, stream_key):
        with pytest.raises(InputError, match="seed must be an integer from 0"):
            make(seed, "x")  # type: ignore[operator]


def test_keys_fit_two_31_bit_words() -> None:
    keys = [stream_key(seed, "x") for seed in range(200)]
    assert len(set(keys)) == 200
    assert 0 <= min(keys) and 2**61 < max(keys) < 2**62


# ---- Poisson counts --------------------------------------------------------------------------


@pytest.mark.parametrize("mean", MEANS)
def test_thresholds_are_the_distribution(mean: float) -> None:
    levels = poisson_thresholds(mean) / 2**53
    expected = stats.poisson.cdf(np.arange(len(levels)), mean)
    np.testing.assert_allclose(levels, expected, rtol=0, atol=1e-14)
    assert (np.diff(levels) >= 0).all()
    assert stats.poisson.sf(len(levels), mean) < 1e-14


@pytest.mark.parametrize("mean", [-0.1, 16.1, np.nan, np.inf])
def test_bad_means(mean: float) -> None:
    with pytest.raises(InputError, match="0 to 16"):
        poisson_thresholds(mean)


@pytest.mark.parametrize("mean", [0.025, 0.25, 1.0, 6.0])
def test_counts_are_poisson(mean: float) -> None:
    counts = poisson_counts(stream_key(11, "test"), np.arange(500), np.arange(2000), mean)
    highest = int(stats.poisson.isf(2e-5, mean))
    observed = np.bincount(np.minimum(counts.ravel(), highest), minlength=highest + 1)
    p = stats.poisson.pmf(np.arange(highest + 1), mean)
    p[-1] = stats.poisson.sf(highest - 1, mean)
    assert stats.chisquare(observed, p * counts.size).pvalue > 1e-3


@pytest.mark.parametrize("axis", [0, 1])
def test_counts_are_independent_across_steps_and_sources(axis: int) -> None:
    """Means of rows and columns scatter as independent draws do; neighbours are uncorrelated."""
    counts = poisson_counts(stream_key(12, "test"), np.arange(700), np.arange(700), 1.0) - 1.0
    sums = counts.sum(axis=axis) / np.sqrt(700)
    assert stats.kstest(sums, "norm").pvalue > 1e-3
    for lag in (1, 2, 64):
        ahead, behind = (
            np.take(counts, range(*ends), axis=axis) for ends in ((lag, 700), (0, 700 - lag))
        )
        assert abs((ahead * behind).mean()) * 699 < 4.5


def test_streams_of_two_keys_are_independent() -> None:
    a, b = (
        poisson_counts(stream_key(seed, "test"), np.arange(300), np.arange(300), 1.0) - 1.0
        for seed in (1, 2)
    )
    assert abs((a * b).mean()) * 300 < 4.5


@given(
    st.lists(st.integers(0, 10**6), min_size=1, max_size=8),
    st.lists(st.integers(0, 10**9), min_size=1, max_size=8),
    st.sampled_from(MEANS),
)
def test_counts_depend_on_neither_chunks_nor_order(
    sources: list[int], steps: list[int], mean: float
) -> None:
    key = stream_key(4, "test")
    whole = poisson_counts(key, np.array(sources), np.array(steps), mean)
    assert whole.shape == (len(steps), len(sources))
    for row, step in enumerate(steps):
        for column, source in enumerate(sources):
            alone = poisson_counts(key, np.array([source]), np.array([step]), mean)
            assert alone[0, 0] == whole[row, column]


def test_no_mean_no_spikes() -> None:
    assert not poisson_counts(1, np.arange(100), np.arange(100), 0.0).any()


@pytest.mark.parametrize("mean", MEANS)
def test_cpp_draws_the_same_counts(tmp_path: Path, mean: float) -> None:
    if shutil.which("g++") is None:
        pytest.skip("g++ is not on the PATH")
    key = stream_key(2, "cpp", str(mean))
    sources = np.array([0, 1, 2, 63, 4095, 999_999, 2**31 - 2])
    steps = np.concatenate([np.arange(3000), [2**31, 2**33 + 5]])
    program = f"""
#include <cstdint>
#include <cstdio>
{poisson_counts_cpp("draw", mean)}
int main() {{
    const int sources[] = {{{", ".join(map(str, sources))}}};
    for (long long k = 0; k < 3002; k++) {{
        const long long step = k < 3000 ? k : k == 3000 ? {2**31}LL : {2**33 + 5}LL;
        for (int i : sources) putchar(draw({key >> 31}, {key & (2**31 - 1)}, i, step));
    }}
}}
"""
    source, binary = tmp_path / "draw.cpp", tmp_path / "draw"
    source.write_text(program)
    subprocess.run(["g++", "-O1", source, "-o", binary], check=True)
    output = subprocess.run([binary], check=True, capture_output=True).stdout
    drawn = np.frombuffer(output, dtype=np.uint8).reshape(len(steps), len(sources))
    np.testing.assert_array_equal(drawn, poisson_counts(key, sources, steps, mean))
