"""Distances of spike trains against elephant, pyspike, plain sums and their own properties."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.errors import InputError
from toolkit.metrics import spike_distance, trains_from_bins, van_rossum, victor_purpura

RNG = np.random.default_rng(3)
STOP_MS = 100.0
TRAINS = [
    np.array([]),
    np.array([50.0]),
    np.array([0.0, 100.0]),
    np.array([0.0]),
    np.array([100.0]),
    *(np.sort(RNG.uniform(0, 100, n)) for n in (1, 2, 5, 9)),
    np.array([10.0, 50.0, 90.0]),
    np.array([0.0, 50.0]),
]
DISTANCES = [victor_purpura, van_rossum, functools.partial(spike_distance, stop_ms=STOP_MS)]
# Steps of 0.5 ms: simultaneous spikes are common, none differ by a rounding error.
trains = st.lists(st.integers(0, 200), max_size=8, unique=True).map(
    lambda steps: np.sort(np.array(steps, dtype=float)) / 2
)


def plain_victor_purpura(a: np.ndarray, b: np.ndarray, q: float) -> float:
    G = np.zeros((len(a) + 1, len(b) + 1))
    G[:, 0], G[0] = np.arange(len(a) + 1), np.arange(len(b) + 1)
    for i, s in enumerate(a, 1):
        for j, t in enumerate(b, 1):
            move = 0 if s == t else q * abs(s - t)
            G[i, j] = min(G[i - 1, j] + 1, G[i, j - 1] + 1, G[i - 1, j - 1] + move)
    return G[-1, -1]


@pytest.mark.parametrize("q", [0.0, 0.05, 1.0, np.inf])
def test_victor_purpura_is_the_plain_table(q: float):
    right = [[plain_victor_purpura(a, b, q) for b in TRAINS] for a in TRAINS]
    np.testing.assert_allclose(victor_purpura(TRAINS, q_per_ms=q), right, atol=1e-9)


@pytest.mark.parametrize("tau", [0.0, 1.0, 30.0, np.inf])
def test_van_rossum_is_the_double_sum(tau: float):
    def K(a, b):
        d = np.abs(np.subtract.outer(a, b))
        return (d == 0).sum() if tau == 0 else np.exp(-d / tau).sum()

    right = [[max(K(a, a) + K(b, b) - 2 * K(a, b), 0) for b in TRAINS] for a in TRAINS]
    np.testing.assert_allclose(van_rossum(TRAINS, tau_ms=tau) ** 2, right, atol=1e-9)


def test_spike_distance_by_hand():
    """Trains of one spike, 20 ms apart in 100 ms.

    Up to the first spike the intervals are 40 and 60 ms and both distances 20 ms:
    S = (20 x 60 + 20 x 40) / (100^2 / 2) = 0.4; after the second one the same by symmetry. In
    between the intervals are 60 and 60 ms: S = 20 x 120 / (120^2 / 2) = 1/3.
    """
    found = spike_distance([[40.0]], [[60.0]], stop_ms=100.0)[0, 0]
    assert found == pytest.approx(0.4 * 0.8 + 0.2 / 3)


@pytest.mark.parametrize("of", DISTANCES)
def test_symmetry_identity_and_matched(of: Callable):
    full = of(TRAINS, TRAINS)
    np.testing.assert_allclose(full, full.T, atol=1e-9)
    np.testing.assert_allclose(full, of(TRAINS), atol=1e-9)
    np.testing.assert_array_equal(np.diag(full), 0)
    np.testing.assert_allclose(of(TRAINS, TRAINS[::-1], matched=True), np.diag(full[:, ::-1]))
    np.testing.assert_allclose(of([x[::-1] for x in TRAINS]), full, atol=1e-9)  # any order


@given(a=trains, b=trains, c=trains, q=st.floats(0, 3), tau=st.floats(0.5, 200))
def test_metrics(a: np.ndarray, b: np.ndarray, c: np.ndarray, q: float, tau: float):
    for D in (victor_purpura([a, b, c], q_per_ms=q), van_rossum([a, b, c], tau_ms=tau)):
        assert (D >= 0).all()
        assert D[0, 2] <= D[0, 1] + D[1, 2] + 1e-6
    D = victor_purpura([a, b], q_per_ms=q)[0, 1]
    assert abs(len(a) - len(b)) - 1e-9 <= D <= len(a) + len(b) + 1e-9
    assert D == pytest.approx(plain_victor_purpura(a, b, q), abs=1e-9)


@given(a=trains, b=trains)
def test_equal_to_pyspike(a: np.ndarray, b: np.ndarray):
    pyspike = pytest.importorskip("pyspike", reason="needs pyspike: pip install 'striate[dev]'")
    theirs = pyspike.spike_distance(*(pyspike.SpikeTrain(x, [0, STOP_MS]) for x in (a, b)))
    ours = spike_distance([a], [b], stop_ms=STOP_MS)[0, 0]
    assert ours == pytest.approx(theirs, abs=1e-9)
    assert 0 <= ours <= 1 + 1e-9


def test_all_pairs_as_pyspike():
    pyspike = pytest.importorskip("pyspike", reason="needs pyspike: pip install 'striate[dev]'")
    theirs = pyspike.spike_distance_matrix([pyspike.SpikeTrain(x, [0, STOP_MS]) for x in TRAINS])
    np.testing.assert_allclose(spike_distance(TRAINS, stop_ms=STOP_MS), theirs, rtol=0, atol=1e-9)


@pytest.mark.filterwarnings("ignore")  # of elephant and what it imports
@pytest.mark.parametrize(("q", "tau"), [(0.0, 5.0), (0.05, 10.0), (1.0, 100.0)])
def test_equal_to_elephant(q: float, tau: float):
    theirs = pytest.importorskip(
        "elephant.spike_train_dissimilarity", reason="needs elephant: pip install 'striate[dev]'"
    )
    import neo
    import quantities as pq

    some = [neo.SpikeTrain(x, units="ms", t_stop=STOP_MS) for x in TRAINS]
    found = theirs.victor_purpura_distance(some, q / pq.ms)
    np.testing.assert_allclose(victor_purpura(TRAINS, q_per_ms=q), found, rtol=0, atol=1e-9)
    found = theirs.van_rossum_distance(some, tau * pq.ms)
    np.testing.assert_allclose(van_rossum(TRAINS, tau_ms=tau), found, rtol=0, atol=1e-9)


def test_more_pairs_than_are_computed_at_once():
    many = [np.sort(RNG.uniform(0, 100, n)) for n in RNG.integers(0, 9, 40)]
    found = victor_purpura(many)
    for i, j in ((0, 39), (17, 3), (39, 38)):
        assert found[i, j] == pytest.approx(plain_victor_purpura(many[i], many[j], 0.1))


def test_trains_of_bins():
    trains = trains_from_bins([[0, 1, 1], [0, 0, 0]], bin_ms=10)
    assert [train.tolist() for train in trains] == [[15.0, 25.0], []]
    for bad in ([[2, 0]], [0, 1]):
        with pytest.raises(InputError, match="0 or 1"):
            trains_from_bins(bad, bin_ms=10)
    with pytest.raises(InputError, match="bin_ms must be above 0"):
        trains_from_bins([[1]], bin_ms=0)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda: victor_purpura([[np.nan]]), "finite spike times"),
        (lambda: victor_purpura([np.zeros((2, 2))]), "flat arrays"),
        (lambda: victor_purpura([[1.0]], q_per_ms=-1), "q_per_ms must be 0 or more"),
        (lambda: van_rossum([[1.0]], tau_ms=-1), "tau_ms must be 0 or more"),
        (lambda: van_rossum([[1.0]], [[1.0], []], matched=True), "got 1 and 2"),
        (lambda: spike_distance([[200.0]], stop_ms=100), "lie within 0 to 100 ms"),
        (lambda: spike_distance([[2.0]], stop_ms=0), "stop_ms above start_ms"),
        (lambda: spike_distance([[2.0]], stop_ms=np.inf), "must be finite"),
        (lambda: spike_distance([[10.0, 10.0]], stop_ms=100), "two spikes at one time"),
        (lambda: victor_purpura([["a"]]), "finite spike times"),
        (lambda: victor_purpura([1.0, 2.0]), "one train is"),
        (lambda: victor_purpura([[1.0]], matched=True), "matched=True needs others"),
    ],
)
def test_bad_input(bad: Callable, message: str):
    with pytest.raises(InputError, match=message):
        bad()
