"""Drawing connected pairs in O(connections): the same statistics as trying every pair."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from circuits import allen
from circuits.v1.blocks import BLOCK, wire
from circuits.v1.pairs import Bins, connected_pairs, hazard
from circuits.v1.recurrent import Cells, connect
from toolkit.rng import stream

TABLES = allen.load()
N_CLASSES = len(TABLES.classes.rows)
# Probability below which a test that should pass would fail by chance.
ALPHA = 1e-6


def scattered(kind: str, n: int, width_um: float, rng: np.random.Generator) -> np.ndarray:
    """Places of n cells, (2, n)."""
    if kind == "disc":
        r, phi = width_um * np.sqrt(rng.random(n)), 2 * np.pi * rng.random(n)
        return np.stack([r * np.cos(phi), r * np.sin(phi)])
    if kind == "clusters":
        centres = rng.uniform(-width_um, width_um, (2, 3))
        return centres[:, rng.integers(0, 3, n)] + rng.normal(0, 5, (2, n))
    if kind == "line":
        return np.stack([np.linspace(-width_um, width_um, n), np.zeros(n)])
    return np.tile([[width_um], [-width_um]], n)  # all in one place


KINDS = st.sampled_from(["disc", "clusters", "line", "one place"])


@settings(max_examples=25, deadline=None)
@given(
    kinds=st.tuples(KINDS, KINDS),
    sizes=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    width_um=st.floats(1, 600),
    sigma_um=st.floats(20, 300),
    peak=st.floats(0.01, 1.0),
    scaled=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_every_pair_connects_with_its_own_probability(
    kinds: tuple, sizes: tuple, width_um, sigma_um, peak, scaled, seed
) -> None:
    rng = np.random.default_rng(seed)
    pre, post = (scattered(k, n, width_um, rng) for k, n in zip(kinds, sizes, strict=True))
    scale = rng.lognormal(0, 0.8, sizes[1]) if scaled else None
    turned = rng.uniform(0.2, 1, sizes)  # stands for what depends on more than the distance
    distance = np.hypot(*(pre[:, :, None] - post[:, None, :]))
    p = peak * np.exp(-((distance / sigma_um) ** 2)) * turned
    p = np.minimum(p * (1 if scale is None else scale), 1)

    def draw() -> np.ndarray:
        i, j = connected_pairs(
            Bins.of(*pre),
            Bins.of(*post, scale),
            lambda d: peak * np.exp(-((d / sigma_um) ** 2)),
            lambda i, j: p[i, j],
            rng,
        )
        assert (np.diff(j * sizes[0] + i) > 0).all()  # sorted, and no pair twice
        drawn = np.zeros(sizes)
        drawn[i, j] = 1
        return drawn

    n_draws = 300
    all_draws = np.stack([draw() for _ in range(n_draws)])
    count, expected = all_draws.sum(axis=0), n_draws * p
    assert (count[p == 1] == n_draws).all()
    # Each pair by itself, at a level corrected for their number ...
    low, high = stats.binom.interval(1 - ALPHA / p.size, n_draws, p)
    assert ((count >= low) & (count <= high)).all()
    # ... all together, ...
    spread = np.sqrt((expected * (1 - p)).sum())
    assert abs(count.sum() - expected.sum()) <= 5.5 * spread + 1e-6
    # ... and independently of each other: the sum over pairs varies as much as it should.
    total, variance = all_draws.sum(axis=(1, 2)), (p * (1 - p)).sum()
    if variance > 5:
        ratio = total.var(ddof=1) / variance
        assert stats.chi2.ppf(ALPHA, n_draws - 1) < ratio * (n_draws - 1)
        assert ratio * (n_draws - 1) < stats.chi2.ppf(1 - ALPHA, n_draws - 1)


def test_far_pairs_are_not_left_out() -> None:
    """At five sigma, where cutting off would be tempting."""
    n, rng = 30_000, np.random.default_rng(4)
    pre, post = np.zeros((2, n)), np.stack([np.full(n, 500.0), np.zeros(n)])
    p = np.exp(-25.0)
    i, _ = connected_pairs(
        Bins.of(*pre),
        Bins.of(*post),
        lambda d: np.exp(-((d / 100) ** 2)),
        lambda i, j: np.full(len(i), p),
        rng,
    )
    assert n**2 * p == pytest.approx(0.0125, rel=0.01)
    many = 1e4 * n**2 * p
    drawn = sum(
        len(
            connected_pairs(
                Bins.of(*pre),
                Bins.of(*post),
                lambda d: 1e4 * np.exp(-((d / 100) ** 2)),
                lambda i, j: np.full(len(i), 1e4 * p),
                rng,
            )[0]
        )
        for _ in range(20)
    )
    assert len(i) <= 1
    assert abs(drawn - 20 * many) < 5 * np.sqrt(20 * many)


def test_hazards_of_bounds_above_one_are_certain() -> None:
    assert hazard(np.array([1.0, 3.0])).tolist() == [40.0, 40.0]


@pytest.mark.parametrize(("n_pre", "n_post"), [(0, 5), (5, 0), (0, 0)])
def test_no_cells_no_pairs(n_pre: int, n_post: int) -> None:
    bins = [Bins.of(np.zeros(n), np.zeros(n)) for n in (n_pre, n_post)]
    i, j = connected_pairs(*bins, np.ones_like, lambda i, j: np.ones(len(i)), stream(1, "none"))
    assert len(i) == len(j) == 0


# ---- the column's recipe against trying every pair -------------------------------------------


def some_cells(n: int, kind: str, width_um: float, rng: np.random.Generator) -> Cells:
    cls = np.sort(rng.integers(0, N_CLASSES, n))
    names = TABLES.classes["cell_class"]
    known = np.isfinite(TABLES.cells["C_m_pF"])
    models = [
        np.flatnonzero((TABLES.cells["cell_class"] == name) & known) for name in names.tolist()
    ]
    x, z = scattered(kind, n, width_um, rng)
    return Cells(
        cls=cls,
        cell=np.array([rng.choice(models[c]) for c in cls]),
        sign=TABLES.classes["sign"][cls],
        x_um=x,
        z_um=z,
        tuning_deg=rng.uniform(0, 360, n),
    )


def some_rules(rng: np.random.Generator) -> allen.AllenTables:
    """The tables with other probabilities, fall-offs and orientation rules."""
    pairs = TABLES.connections
    n = len(pairs.rows)
    tuned = np.isfinite(pairs["b_ratio"])
    changed = pairs.replace(
        p_within_75um=rng.choice([0.0, 0.05, 0.3, 0.9], n),
        sigma_um=rng.uniform(40, 200, n),
        b_ratio=np.where(tuned, rng.uniform(0, 2, n), np.nan),
    )
    return dataclasses.replace(TABLES, connections=changed)


def brute_force(cells: Cells, tables: allen.AllenTables) -> tuple[np.ndarray, np.ndarray]:
    """Probability of every pair and its weight for a synapse of 1 pA, from the recipe's text."""
    pre, post = np.meshgrid(np.arange(len(cells.cls)), np.arange(len(cells.cls)), indexing="ij")
    pair = cells.cls[pre] * N_CLASSES + cells.cls[post]
    p_lit, sigma, b = (tables.connections[k] for k in ("p_within_75um", "sigma_um", "b_ratio"))
    peak = np.minimum(1, p_lit / ((sigma / 75) ** 2 * (1 - np.exp(-((75 / sigma) ** 2)))))
    tuned = np.isfinite(b)
    b1 = 2 / (1 + np.where(tuned, b, 1))
    lowered = peak * b1 > 1
    b2 = np.where(lowered, 2 - 1 / np.where(peak > 0, peak, 1), 2 - b1)
    b1 = np.where(lowered, 1 / np.where(peak > 0, peak, 1), b1)
    theta = cells.tuning_deg
    dori = np.abs(np.abs(np.abs(180 - np.abs(theta[pre] - theta[post])) - 90) - 90)
    dx, dz = cells.x_um[post] - cells.x_um[pre], cells.z_um[post] - cells.z_um[pre]
    p = peak[pair] * np.exp(-(dx**2 + dz**2) / sigma[pair] ** 2)
    p *= np.where(tuned[pair], b1[pair] + (b2 - b1)[pair] / 90 * dori, 1)
    p[pre == post] = 0
    ddir = np.abs(np.abs(theta[post] - theta[pre]) % 360 - 180)
    ddir = np.abs(ddir - 180)
    e_pre, e_post = cells.sign[pre] > 0, cells.sign[post] > 0
    s = np.where(e_pre & e_post, 30, np.where(e_pre | e_post, 90, 50))
    rad = np.deg2rad(theta[post])
    q = 0.07 * dx * np.cos(rad) + 0.04 * dz * np.sin(rad)
    t = np.abs(np.abs(np.abs(180 - theta[post] % 360) - 90) - 90)
    phase = np.where(e_pre & e_post, np.exp(-(q**2) / 2) * (5.5 / 4 - 11 / 1680 * t), 1)
    one = tables.weight_matrix()[cells.cell[post], cells.cls[pre]]
    return np.clip(p, 0, 1), one * np.exp(-((ddir / s) ** 2)) * phase


@settings(max_examples=8, deadline=None)
@given(
    kind=st.sampled_from(["disc", "clusters", "line"]),
    width_um=st.floats(20, 500),
    own_rules=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_columns_are_those_of_a_brute_force_builder(kind, width_um, own_rules, seed) -> None:
    rng = np.random.default_rng(seed)
    cells = some_cells(120, kind, width_um, rng)
    tables = some_rules(rng) if own_rules else TABLES
    p, one = brute_force(cells, tables)
    n_columns, count = 30, np.zeros(p.shape)
    synapses_of_pair = np.zeros(8)
    for k in range(n_columns):
        drawn = connect(cells, tables, seed=k, workers=1, show_progress=False)
        count[drawn.pre, drawn.post] += 1
        strong = np.abs(one[drawn.pre, drawn.post]) > 1e-12
        n_synapses = drawn.weight[strong] / one[drawn.pre, drawn.post][strong]
        np.testing.assert_allclose(n_synapses, np.rint(n_synapses), rtol=1e-4)
        synapses_of_pair += np.bincount(np.rint(n_synapses).astype(int), minlength=8)
    expected, variance = n_columns * p, n_columns * p * (1 - p)
    assert not count[p == 0].any()
    low, high = stats.binom.interval(1 - ALPHA / p.size, n_columns, p)
    assert ((count >= low) & (count <= high)).all()
    # By pair of classes: sums of independent draws, so nearly normal where the variance is large.
    pair = (cells.cls[:, None] * N_CLASSES + cells.cls).ravel()
    sums = [np.bincount(pair, a.ravel(), N_CLASSES**2) for a in (count, expected, variance)]
    many = sums[2] > 20
    score = (sums[0] - sums[1])[many] / np.sqrt(sums[2][many])
    assert (np.abs(score) < 6).all()
    assert len(score) == 0 or stats.chi2.sf((score**2).sum(), len(score)) > ALPHA
    if synapses_of_pair.sum() > 500:
        assert stats.chisquare(synapses_of_pair[3:]).pvalue > ALPHA
    assert not synapses_of_pair[:3].any()


# ---- whatever the threads and the order ------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_threads_do_not_matter(workers: int) -> None:
    cells = some_cells(4000, "disc", 150.0, np.random.default_rng(0))
    one = connect(cells, TABLES, seed=3, workers=1, show_progress=False)
    many = connect(cells, TABLES, seed=3, workers=workers, show_progress=False)
    for part in ("pre", "post", "weight", "delay_ms", "receptor"):
        np.testing.assert_array_equal(getattr(one, part), getattr(many, part))


def test_blocks_are_put_in_order_whichever_is_ready_first() -> None:
    groups = [np.arange(3 * BLOCK + 5), np.arange(3 * BLOCK + 5, 4 * BLOCK)]
    seen = []

    def draw(group: int, block: int, targets: np.ndarray) -> list[tuple[np.ndarray, ...]]:
        time.sleep(0.02 * (3 - block))
        seen.append((group, block, len(targets)))
        n = len(targets)
        ones = np.ones(n)
        return [(np.full(n, source), targets, ones, ones, np.zeros(n)) for source in (1, 4)]

    synapses = wire(groups, draw, workers=5, show_progress=False)
    assert sorted(seen) == [(0, 0, BLOCK), (0, 1, BLOCK), (0, 2, BLOCK), (0, 3, 5), (1, 0, 1019)]
    assert synapses.post.tolist() == np.repeat(np.arange(4 * BLOCK), 2).tolist()
    assert synapses.pre.tolist() == [1, 4] * 4 * BLOCK


def test_an_error_in_a_block_ends_the_work() -> None:
    def draw(group: int, block: int, targets: np.ndarray) -> list:
        raise ZeroDivisionError("in a block")

    with pytest.raises(ZeroDivisionError, match="in a block"):
        wire([np.arange(5000)], draw, show_progress=False)
