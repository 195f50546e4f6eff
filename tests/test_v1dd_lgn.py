"""LGN wiring of the second generation: prescribed numbers, and draws against brute force."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from lgn_targets import counts_of, neurons_of
from scipy import stats

from circuits import allen
from circuits.v1.lgn import V1DD_FIELD_DEG, published_channels
from circuits.v1.v1dd.lgn_wiring import Pool, by_distance, v1dd_lgn_input, yule_simon
from toolkit.network import Input
from toolkit.table import Table

V1DD = allen.load_v1dd()

# Of biorealistic-v1-model (2026), for neurons with the mean number of synapses.
EXPECTED = {  # population: synapses in all, LGN synapses, LGN connections
    "i1Htr3a": (4051, 79.3996, 57.940249),
    "e23Cux2": (4075, 513.45, 394.043023),
    "e4Rorb": (2322, 464.4, 331.714286),
    "i4Pvalb": (8163, 4505.976, 2628.486),
    "e5ET": (8103, 810.3, 634.147826),
    "e5NP": (1751, 18.5606, 16.118416),
    "e6Ntsr1": (2359, 51.898, 39.828698),
    "i6Vip": (2720, 9.792, 7.708596),
}


@functools.cache
def second(
    names: tuple[str, ...] = tuple(EXPECTED), each: int = 100, seed: int = 1, workers: int = 1
) -> tuple[Table, np.ndarray, np.ndarray, Input]:
    population = np.repeat(names, each)
    neurons, cell = neurons_of(V1DD, population, 200)
    n_synapses = np.array([EXPECTED[name][0] for name in population])
    source = v1dd_lgn_input(neurons, cell, n_synapses, V1DD, seed=seed, workers=workers)
    return neurons, cell, n_synapses, source


def unit_weight(cell: np.ndarray, n_synapses: np.ndarray) -> np.ndarray:
    """Weight of one synapse: 0.345 mV / U x 2323 / n_j x factor, pA."""
    factor = dict(zip(V1DD.lgn_factors["cell"], V1DD.lgn_factors["factor"], strict=True))
    of_model = np.array([factor.get(name, 1.0) for name in V1DD.cells["cell"]])
    U = V1DD.cells["psp_from_exc_mV_per_pA"][cell]
    return 0.345 / U * 2323 / n_synapses * of_model[cell]


@pytest.mark.parametrize("population", EXPECTED)
def test_v1dd_numbers_of_synapses_and_connections(population: str) -> None:
    neurons, cell, n_synapses, source = second()
    mine = neurons["population"] == population
    n_connections = counts_of(source, len(cell))[mine]
    assert (n_connections == round(EXPECTED[population][2])).all()
    weight = np.bincount(source.synapses.post, source.synapses.weight, minlength=len(cell))[mine]
    synapses = weight / unit_weight(cell, n_synapses)[mine]
    expected = EXPECTED[population][1]
    assert synapses.mean() == pytest.approx(expected, rel=0.02, abs=4 * synapses.std() / 10)


def test_v1dd_weights_are_whole_numbers_of_synapses() -> None:
    neurons, cell, n_synapses, source = second()
    synapses = source.synapses
    count = synapses.weight / unit_weight(cell, n_synapses)[synapses.post]
    np.testing.assert_allclose(count, np.rint(count), rtol=1e-3)  # 2323 is itself rounded
    assert np.rint(count).min() == 1
    assert (synapses.delay_ms == np.float32(1.7)).all()
    names = V1DD.kinetics["receptor"][synapses.receptor]
    kind = V1DD.cells["synaptic_type"][cell[synapses.post]]
    np.testing.assert_array_equal(names, np.char.add("exc_to_", kind))
    rho = dict(zip(V1DD.lgn_to_v1["population"], V1DD.lgn_to_v1["yule_simon_rho"], strict=True))
    for population in ("e23Cux2", "i4Pvalb"):
        mine = neurons["population"][synapses.post] == population
        drawn = np.bincount(np.minimum(np.rint(count[mine]).astype(int), 6), minlength=7)[1:]
        law = stats.yulesimon(rho[population])
        share = np.append(law.pmf(np.arange(1, 6)), law.sf(5))
        assert stats.chisquare(drawn, share * mine.sum()).pvalue > 1e-4


@pytest.mark.parametrize("rho", [2.4, 7.6])
def test_yule_simon_draws(rho: float) -> None:
    drawn = yule_simon(np.full(50_000, rho), np.random.default_rng(1))
    law = stats.yulesimon(rho)
    share = np.append(law.pmf(np.arange(1, 8)), law.sf(7))
    seen = np.bincount(np.minimum(drawn, 8), minlength=9)[1:]
    assert stats.chisquare(seen, share * len(drawn)).pvalue > 1e-4


def inclusion(draws: list[np.ndarray], n: int) -> np.ndarray:
    return np.bincount(np.concatenate(draws), minlength=n) / len(draws)


def alike(a: np.ndarray, b: np.ndarray, n: int) -> None:
    """Two sets of frequencies, each of n draws, differ by chance only."""
    p = (a + b) / 2
    some = (p > 0.01) & (p < 0.99)
    assert some.sum() > 10
    z = (a - b)[some] / np.sqrt(2 * p * (1 - p) / n)[some]
    assert np.abs(z).max() < 5
    assert (z**2).mean() < 1 + 5 * np.sqrt(2 / some.sum())
    assert (np.abs(a - b)[~some] < 0.03).all()


@pytest.mark.parametrize(("on", "theta_deg", "n"), [(True, 30.0, 60), (False, 250.0, 300)])
def test_v1dd_sources_are_drawn_as_by_brute_force(on: bool, theta_deg: float, n: int) -> None:
    sources = published_channels(V1DD, size_deg=V1DD_FIELD_DEG, seed=2)
    x, y, tf, n_draws = 11.0, -4.0, 3, 500
    p = np.zeros(len(sources.rows))
    u = np.exp(1j * np.deg2rad(theta_deg)) * (1 if on else -1)
    raw = sources["x_deg"] + 1j * sources["y_deg"] - (x + 1j * y)
    d2 = np.zeros(len(p))
    for s in sources.rows:
        family = sources["family"][s]
        shift = {"sON": -2.5, "sOFF": -2.5, "tOFF": 2.5}.get(family, 0.0)
        at = (raw[s] + shift * u) / u
        d2[s] = (at.real * np.sqrt(1.5)) ** 2 + (at.imag / np.sqrt(1.5)) ** 2
        if family in ("sONsOFF", "sONtOFF"):
            apart = abs(sources["axis_deg"][s] - theta_deg) % 180
            q = float(min(apart, 180 - apart) < 15)
        elif family == ("sOFF" if on else "sON"):
            q = 0.0
        else:
            own = {"sON": [1, 2, 4, 8], "sOFF": [1, 2, 4, 8, 15], "tOFF": [4, 8, 15]}[family]
            apart = np.abs(tf - np.array(own))
            q = (1 - abs(tf - sources["tf_Hz"][s]) / apart.sum()) / (len(own) - 1)
        p[s] = q * np.exp(-d2[s] / 50) * (abs(raw[s]) <= 40)
    reference = np.random.default_rng(3)
    wanted = [
        reference.choice(len(p), n, replace=False, p=p / p.sum(), shuffle=False)
        for _ in range(n_draws)
    ]
    pool, rng, drawn = Pool.of(sources, on, 20), np.random.default_rng(4), []
    for _ in range(n_draws):
        source, distance = pool.draw(x, y, np.deg2rad(theta_deg), tf, n, rng)
        assert len(source) == n
        assert (np.diff(source) > 0).all()
        np.testing.assert_allclose(distance, d2[source], rtol=1e-9, atol=1e-9)
        drawn.append(source)
    assert (p[np.concatenate(drawn)] > 0).all()
    alike(inclusion(drawn, len(p)), inclusion(wanted, len(p)), n_draws)
    for many in (2000, 4000, np.count_nonzero(p) - 1):
        assert len(pool.draw(x, y, np.deg2rad(theta_deg), tf, many, rng)[0]) == many
    everything, _ = pool.draw(x, y, np.deg2rad(theta_deg), tf, 10**6, rng)
    np.testing.assert_array_equal(everything, np.flatnonzero(p))


def test_v1dd_larger_connections_come_from_nearer_sources_as_by_brute_force() -> None:
    rng, n_draws = np.random.default_rng(5), 1500
    d2 = rng.uniform(0, 90, 40)
    counts = np.array([1] * 24 + [2] * 9 + [3] * 4 + [7] * 2 + [60])
    wanted, drawn = [], []
    for _ in range(n_draws):
        left, out = np.arange(40), np.ones(40, dtype=int)
        for m, n in ((60, 1), (7, 2), (3, 4), (2, 9)):
            p = np.exp(-m * (d2[left] - d2[left].min()) / 50)
            first = rng.choice(len(left), n, replace=False, p=p / p.sum())
            out[left[first]] = m
            left = np.delete(left, first)
        wanted.append(out)
        drawn.append(by_distance(d2, rng.permutation(counts), rng))
        np.testing.assert_array_equal(np.sort(drawn[-1]), counts)
    for m in (2, 3, 7):
        alike((np.array(drawn) == m).mean(axis=0), (np.array(wanted) == m).mean(axis=0), n_draws)
    assert (by_distance(d2[:3], np.array([5, 5, 5]), rng) == 5).all()
    assert len(by_distance(d2[:0], counts[:0], rng)) == 0


def test_v1dd_input_is_that_of_its_seed_on_any_number_of_threads() -> None:
    names = ("e6Ntsr1", "i6Vip", "e5NP")  # of few connections
    first, threads, other = (
        second(names, 400, *key)[3].synapses for key in ((1, 1), (1, 3), (2, 1))
    )
    for part in ("pre", "post", "weight", "delay_ms", "receptor"):
        np.testing.assert_array_equal(getattr(first, part), getattr(threads, part))
    assert (other.pre != first.pre).any()
