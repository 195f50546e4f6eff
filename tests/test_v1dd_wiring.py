"""The recurrent synapses of the V1DD column against a builder that looks at every pair."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from scipy import stats

from circuits import allen
from circuits.v1.v1dd import recurrent
from toolkit.errors import InputError

TABLES = allen.load_v1dd()
TYPES = TABLES.cell_types["cell_type"].tolist()
N_TYPES = len(TYPES)
SIGN = TABLES.cell_types["sign"]
PAIR = {name: TABLES.pairs[name].reshape(N_TYPES, N_TYPES) for name in TABLES.pairs}


def denser(factor: float) -> allen.V1DDTables:
    """Tables with other peak probabilities: large ones saturate."""
    pairs = TABLES.pairs.replace(p_peak=np.minimum(TABLES.pairs["p_peak"] * factor, 1))
    return dataclasses.replace(TABLES, pairs=pairs)


def random_cells(n: int, radius_um: float, seed: int) -> recurrent.Cells:
    """Neurons of all types; half of them see displaced sources."""
    rng = np.random.default_rng(seed)
    kind = np.sort(rng.integers(N_TYPES, size=n))
    models = [np.flatnonzero(TABLES.cells["cell_type"] == name) for name in TYPES]
    angle, radius = 2 * np.pi * rng.random(n), radius_um * np.sqrt(rng.random(n))
    shape, scale = (TABLES.cell_types[f"n_synapses_{k}"][kind] for k in ("shape", "scale"))
    return recurrent.Cells(
        cell_type=kind,
        cell=np.array([rng.choice(models[t]) for t in kind]),
        x_um=radius * np.cos(angle),
        z_um=radius * np.sin(angle),
        tuning_deg=360 * rng.random(n),
        n_synapses=np.maximum(np.rint(scale * np.exp(shape * rng.standard_normal(n))), 1),
        displaced=rng.random(n) < 0.5,
    )


def every_probability(cells: recurrent.Cells, tables: allen.V1DDTables) -> np.ndarray:
    """p of every pair (pre, post), from the recipe and matrices, pair by pair of types."""
    n = len(cells.cell)
    p = np.zeros((n, n))
    peak = tables.pairs["p_peak"].reshape(N_TYPES, N_TYPES)
    for j in range(n):
        post = cells.cell_type[j]
        theta = np.deg2rad(cells.tuning_deg[j])
        turn = np.array([[np.cos(theta), np.sin(theta)], [-np.sin(theta), np.cos(theta)]])
        delta = np.stack([cells.x_um - cells.x_um[j], cells.z_um - cells.z_um[j]])
        for sign in (1, -1):
            mine = np.flatnonzero(SIGN[cells.cell_type] == sign)
            sigma = PAIR["sigma_um"][cells.cell_type[mine], post]
            mu = np.array([-50.0, 0]) if sign > 0 else np.array([50.0, 0])
            stretch = np.array([1 / 1.5, 1.5]) if sign > 0 else np.ones(2)
            u = turn @ delta[:, mine] - (mu if cells.displaced[j] else 0 * mu)[:, None]
            g = np.exp(-0.5 * ((u / (stretch[:, None] * sigma)) ** 2).sum(axis=0))
            tuned = np.ones(len(mine))
            if sign > 0 and SIGN[post] > 0:
                apart = np.abs((cells.tuning_deg[mine] - cells.tuning_deg[j] + 90) % 180 - 90)
                tuned = 4 / 3 - apart / 135  # 2/3 at 90 degrees
            share = cells.n_synapses[j] / TABLES.cell_types["n_synapses_mean"][post]
            p[mine, j] = np.minimum(peak[cells.cell_type[mine], post] * g * tuned * share, 1)
    np.fill_diagonal(p, 0)
    return p


def connected(cells: recurrent.Cells, tables: allen.V1DDTables, seed: int) -> np.ndarray:
    synapses = recurrent.connect(cells, tables, seed, workers=1, show_progress=False)
    there = np.zeros((len(cells.cell),) * 2, dtype=bool)
    there[synapses.pre, synapses.post] = True
    assert there.sum() == len(synapses)  # no pair twice
    return there


def z_scores(there: np.ndarray, p: np.ndarray, group: np.ndarray, n_seeds: int) -> np.ndarray:
    """How far the number of connections of each group of pairs is off, in standard errors."""
    group = group.ravel()
    sums = [
        np.bincount(group, weights=w.ravel())
        for w in (there.astype(float), n_seeds * p, n_seeds * p * (1 - p))
    ]
    enough = sums[2] > 8
    assert enough.sum() >= 5
    return ((sums[0] - sums[1]) / np.sqrt(np.maximum(sums[2], 1e-9)))[enough]


@settings(max_examples=3, phases=[Phase.explicit, Phase.generate])  # shrinking takes minutes
@given(
    radius_um=st.sampled_from([60.0, 150.0, 400.0]),
    density=st.sampled_from([1.0, 6.0]),
    seed=st.integers(0, 100),
)
def test_connections_are_those_of_the_brute_force(radius_um, density, seed):
    cells, tables, n_seeds = random_cells(250, radius_um, seed), denser(density), 8
    p = every_probability(cells, tables)
    draws = np.array([connected(cells, tables, k) for k in range(n_seeds)])
    there = draws.sum(axis=0)
    dx, dz = (np.subtract.outer(v, v) for v in (cells.x_um, cells.z_um))
    turn = np.subtract.outer(cells.tuning_deg, cells.tuning_deg)
    # where the source stands, seen from the target along its preferred direction
    along = np.arctan2(dz, dx) - np.deg2rad(cells.tuning_deg)
    kind = cells.cell_type
    inhibitory = (SIGN[kind] < 0)[:, None] * 8 + np.zeros_like(dx)
    groups = {
        "types": kind[:, None] * N_TYPES + kind,
        "distance": np.hypot(dx, dz) // 20,
        "orientation": turn % 180 // 15,
        "direction of the source": (along % (2 * np.pi)) // (np.pi / 4) + inhibitory,
        "target": np.arange(250) + np.zeros_like(dx),
        "source": np.arange(250)[:, None] + np.zeros_like(dx),
        "number of synapses": np.log2(cells.n_synapses).astype(int) + np.zeros_like(dx),
    }
    for name, group in groups.items():
        z = z_scores(there, p, group.astype(int), n_seeds)
        assert stats.chi2.sf((z**2).sum(), len(z)) > 1e-4, name
        assert stats.chi2.cdf((z**2).sum(), len(z)) > 1e-4, name
    # Independent pairs: reciprocal ones, and those of two seeds, are there together by chance.
    for a, b, pb in ((draws, draws.transpose(0, 2, 1), p.T), (draws[1:], draws[:-1], p)):
        both, q = (a & b).sum(), p * pb
        assert abs(both - len(a) * q.sum()) < 4.5 * np.sqrt(2 * len(a) * q.sum())


def test_a_target_of_very_many_synapses_connects_to_all_that_are_near():
    cells = random_cells(300, 50, 1)
    cells.n_synapses[7] = 1e9
    there = connected(cells, TABLES, 1)
    p = every_probability(cells, TABLES)
    assert (p[:, 7] == 1).sum() > 200
    assert there[p[:, 7] == 1, 7].all()
    assert not there[7, 7]


def brute_force_weights(
    pre: np.ndarray, post: np.ndarray, cells: recurrent.Cells, seed: int
) -> np.ndarray:
    """Weights of the given connections, by the recipe, one after the other."""
    rng = np.random.default_rng(seed)
    weights = []
    for i, j in zip(pre, post, strict=True):
        a, b = cells.cell_type[i], cells.cell_type[j]
        size_mV = rng.lognormal(np.log(PAIR["weight_scale_mV"][a, b]), PAIR["weight_shape"][a, b])
        pre_type = TABLES.cell_types["synaptic_type"][a]
        U = TABLES.cells[f"psp_from_{pre_type}_mV_per_pA"][cells.cell[j]]
        mean = TABLES.cell_types["n_synapses_mean"][b]
        weights.append(SIGN[a] * size_mV * mean / (U * cells.n_synapses[j]))
    return np.array(weights)


@pytest.fixture(scope="module")
def cells() -> recurrent.Cells:
    return random_cells(900, 100, 3)


@pytest.fixture(scope="module")
def synapses(cells):
    return recurrent.connect(cells, TABLES, 5, show_progress=False)


def test_weights_are_those_of_the_brute_force(cells, synapses):
    expected = brute_force_weights(synapses.pre, synapses.post, cells, 1)
    assert (np.sign(synapses.weight) == np.sign(expected)).all()
    assert (np.sign(expected) == SIGN[cells.cell_type[synapses.pre]]).all()
    e = [SIGN[cells.cell_type[ids]] > 0 for ids in (synapses.pre, synapses.post)]
    for pre in (True, False):
        for post in (True, False):
            mine = (e[0] == pre) & (e[1] == post)
            assert mine.sum() > 1000
            test = stats.ks_2samp(synapses.weight[mine], expected[mine])
            assert test.pvalue > 1e-3


def size_mV(synapses, cells) -> np.ndarray:
    """L of every synapse, from its weight."""
    pre_type = TABLES.cell_types["synaptic_type"][cells.cell_type[synapses.pre]]
    U = np.zeros(len(synapses))
    for name in np.unique(pre_type):
        mine = pre_type == name
        U[mine] = TABLES.cells[f"psp_from_{name}_mV_per_pA"][cells.cell[synapses.post[mine]]]
    post = synapses.post
    share = cells.n_synapses[post]
    share = share / TABLES.cell_types["n_synapses_mean"][cells.cell_type[post]]
    return np.abs(synapses.weight) * U * share


def test_mean_potentials_are_those_of_the_log_normals(cells, synapses):
    """weight x U is a potential in mV; its mean over targets is that of the measured ones."""
    pre, post = cells.cell_type[synapses.pre], cells.cell_type[synapses.post]
    ratio = (
        size_mV(synapses, cells)
        / (PAIR["weight_scale_mV"] * np.exp(PAIR["weight_shape"] ** 2 / 2))[pre, post]
    )
    assert ratio.mean() == pytest.approx(1, abs=0.01)
    sums = np.bincount(pre * N_TYPES + post, weights=ratio, minlength=361)
    count = np.bincount(pre * N_TYPES + post, minlength=361)
    spread = np.sqrt(np.expm1(PAIR["weight_shape"] ** 2).ravel())
    z = ((sums - count) / (np.maximum(spread, 1e-3) * np.sqrt(np.maximum(count, 1))))[count > 50]
    assert len(z) > 150
    assert np.abs(z).max() < 5
    # Together with the spread of n_j the measured potentials come back, wherever that explains
    # less than all of their spread: the log-normal of L and that of n_mean / n_j are independent.
    whole = PAIR["psp_shape"] > TABLES.cell_types["n_synapses_shape"]
    n_shape, n_scale, n_mean = (
        TABLES.cell_types[f"n_synapses_{k}"] for k in ("shape", "scale", "mean")
    )
    np.testing.assert_allclose(
        np.hypot(PAIR["weight_shape"], n_shape)[whole], PAIR["psp_shape"][whole], rtol=1e-6
    )
    np.testing.assert_allclose(PAIR["weight_scale_mV"] * n_mean / n_scale, PAIR["psp_scale_mV"])


def test_receptors_and_delays_are_those_of_the_types(cells, synapses):
    pre, post = cells.cell_type[synapses.pre], cells.cell_type[synapses.post]
    kind = TABLES.cell_types["synaptic_type"]
    expected = np.char.add(np.char.add(kind[pre], "_to_"), kind[post])
    assert (TABLES.kinetics["receptor"][synapses.receptor] == expected).all()
    np.testing.assert_array_equal(
        synapses.delay_ms, TABLES.kinetics["delay_ms"][synapses.receptor].astype(np.float32)
    )


# ---- like to like


def test_like_to_like_weights_fall_with_the_difference_of_direction(cells, synapses):
    """Same connections, same distribution of L, but in the order of the directions (E to E)."""
    ranked = recurrent.connect(
        cells, TABLES, 5, weights="like_to_like", workers=1, show_progress=False
    )
    np.testing.assert_array_equal(ranked.pre, synapses.pre)
    turn = np.abs(cells.tuning_deg[ranked.post] - cells.tuning_deg[ranked.pre])
    turn = np.minimum(turn, 360 - turn)
    pre, post = cells.cell_type[ranked.pre], cells.cell_type[ranked.post]
    shape, scale = PAIR["weight_shape"][pre, post], PAIR["weight_scale_mV"][pre, post]
    normal = np.log(size_mV(ranked, cells) / scale) / shape
    wide = shape > 0.05  # float32 weights
    e_pre, e_post = SIGN[pre] > 0, SIGN[post] > 0
    correlation = {}
    for ends, mine in {
        "ee": e_pre & e_post & wide,
        "ei": (e_pre != e_post) & wide,
        "ii": ~e_pre & ~e_post & wide,
    }.items():
        correlation[ends] = stats.spearmanr(turn[mine], normal[mine]).statistic
        # Ranks are uniform over what is connected, so that L stays log-normal (displacement makes
        # no difference: it does not depend on the source's direction).
        assert stats.kstest(normal[mine], "norm").statistic < 0.02, ends
    assert correlation["ee"] == pytest.approx(-1, abs=1e-4)
    assert -0.9999 < correlation["ei"] < -0.99
    assert correlation["ei"] < correlation["ii"] < -0.95


def test_the_rank_is_the_share_of_connections_that_are_less_alike():
    pair = recurrent.TypePair.of(TYPES.index("L4 E") * N_TYPES + TYPES.index("L4 E"), TABLES)
    apart = np.array([0.0, 45, 90, 135, 180])
    # F(45) = (4/3 45 - 45^2 / 270) / 180
    expected = np.array([0.999, 1 - 0.2916667, 0.5, 0.2916667, 0.001])
    np.testing.assert_allclose(pair.rank(apart, np.zeros(5)), expected, rtol=1e-6)
    np.testing.assert_allclose(pair.rank(-apart, np.zeros(5)), expected, rtol=1e-6)


def test_other_weights_are_refused(cells):
    with pytest.raises(InputError, match=r"unknown weights 'like-to-like'.*'like_to_like'"):
        recurrent.connect(cells, TABLES, 1, weights="like-to-like")


@pytest.mark.parametrize("n", [0, 1, 2])
def test_hardly_any_neurons(n):
    assert len(recurrent.connect(random_cells(n, 50, 1), TABLES, 1, show_progress=False)) <= n
