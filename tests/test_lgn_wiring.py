"""LGN wiring of Billeh et al. 2020: the published field, brute force, published means."""

from __future__ import annotations

import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lgn_targets import counts_of, neurons_of
from scipy import stats

from circuits import allen
from circuits.v1 import lgn_rule
from circuits.v1.lgn import V1DD_FIELD_DEG, channels, filters, published_channels
from circuits.v1.lgn_rule import Family, frequency_match
from circuits.v1.lgn_wiring import lgn_input
from toolkit.errors import InputError
from toolkit.network import Input
from toolkit.table import Table

TABLES, V1DD = allen.load(), allen.load_v1dd()
POPULATIONS = TABLES.lgn_to_v1["population"].tolist()


def wired(
    neurons: Table, cell: np.ndarray, layout: str = "field", seed: int = 1, **options
) -> Input:
    given = {"types": None, "field_deg": None, "workers": 1} | options
    return lgn_input(neurons, cell, TABLES, layout=layout, seed=seed, **given)


# ---- the published field -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tables", "size_deg", "max_deg"),
    [(TABLES, (240.0, 120.0), 10.0), (V1DD, V1DD_FIELD_DEG, 9.0)],
    ids=["billeh2020", "v1dd"],
)
def test_every_tile_has_the_published_cells(tables, size_deg, max_deg) -> None:
    cells = published_channels(tables, size_deg=size_deg, seed=1)
    assert len(cells.rows) == 17_400
    types = tables.lgn_types
    published = types["n_per_tile"] > 0
    assert sorted(set(cells["lgn_type"].tolist())) == sorted(types["lgn_type"][published].tolist())
    for name, each in zip(
        types["lgn_type"][published], types["n_per_tile"][published], strict=True
    ):
        mine = cells.where(lgn_type=name)
        tiles = np.histogram2d(
            mine["x_deg"],
            mine["y_deg"],
            bins=(15, 10),
            range=[(-side / 2, side / 2) for side in size_deg],
        )[0]
        assert (tiles == each).all(), name
    within = np.stack([cells["x_deg"] / size_deg[0] * 15, cells["y_deg"] / size_deg[1] * 10]) % 1
    for place in within:
        assert stats.kstest(place, "uniform").pvalue > 1e-4
    single = np.isfinite(cells["tf_Hz"])
    sizes = cells["sigma_deg"][single] * 3
    law = stats.triang(1 / (max_deg - 2), 2, max_deg - 2)
    assert stats.kstest(sizes, law.cdf).pvalue > 1e-4
    assert set((cells["sigma_deg"][~single] * 3).round(9).tolist()) == {6.0, 9.0}


def test_the_field_is_that_of_its_seed() -> None:
    first, again, other = (published_channels(TABLES, seed=seed) for seed in (3, 3, 4))
    for name in ("x_deg", "y_deg", "sigma_deg", "axis_deg"):
        np.testing.assert_array_equal(first[name], again[name])
        assert (first[name] != other[name]).any()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layout": "fields"}, "unknown LGN layout 'fields'.*Did you mean 'field'"),
        ({"field_deg": 80.0}, "published field of 240 x 120 degrees, got field_deg=80"),
        ({"types": ("tON_TF8",)}, "'tON_TF8' is not in the published networks; types=None"),
        ({"types": ("sON_TF3",)}, "unknown LGN type 'sON_TF3'"),
        ({"types": ()}, "at least one LGN type"),
        ({"layout": "column", "field_deg": 0.0}, "field must be above 0"),
    ],
)
def test_bad_options(options: dict, message: str) -> None:
    neurons, cell = neurons_of(TABLES, np.array(["e4Rorb"]), 10)
    with pytest.raises(InputError, match=message):
        wired(neurons, cell, **options)


# ---- the rule of Billeh et al. 2020 against brute force ----------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.5, 60), st.floats(0.2, 5))
def test_sources_inside_an_ellipse_are_those_of_brute_force(seed, scale, aspect) -> None:
    rng = np.random.default_rng(seed)
    sources = Table(
        {
            **{axis: rng.uniform(-60, 60, 300) for axis in ("x_deg", "y_deg", "axis_deg")},
            "tf_Hz": rng.choice([1.0, 4.0], 300),
        }
    )
    members = np.flatnonzero(rng.random(300) < 0.7)
    x, y = rng.uniform(-90, 90, (2, 40))
    b = scale * rng.uniform(0.5, 1, 40)
    turn = rng.uniform(-9, 9, 40)
    i, j = Family.of(sources, members).inside(x, y, b * aspect, b, turn)
    # Turning the plane by `turn` lays the long axis along x.
    offset = (
        (sources["x_deg"][members] - x[:, None]) + 1j * (sources["y_deg"][members] - y[:, None])
    ) * np.exp(1j * turn)[:, None]
    wanted = np.argwhere(
        (offset.real / (b * aspect)[:, None]) ** 2 + (offset.imag / b[:, None]) ** 2 <= 1
    )
    np.testing.assert_array_equal(np.stack([i, j], axis=1), wanted)


def dense_probability(sources: Table, wishes: Table, tuning_deg: np.ndarray) -> np.ndarray:
    """The rule, target by target and source by source: shape (target, source)."""
    p = np.zeros((len(wishes.rows), len(sources.rows)))
    frequencies = {
        name: np.unique(sources["tf_Hz"][sources["family"] == name])
        for name in np.unique(sources["family"])
    }
    partner_of_off = "tON" if "tON" in frequencies else "tOFF"
    for t in wishes.rows:
        wish = {name: values[t] for name, values in wishes.items()}
        theta = np.deg2rad(tuning_deg[t] + 270)
        long_axis = np.exp(1j * theta)
        place = sources["x_deg"] + 1j * sources["y_deg"] - (wish["x_deg"] + 1j * wish["y_deg"])
        looks = {
            "sON" if wish["on"] else "sOFF": 1j,
            "tOFF" if wish["on"] else partner_of_off: -1j,
        }
        for s in sources.rows:
            family = sources["family"][s]
            if np.isnan(sources["tf_Hz"][s]):
                at = place[s] / long_axis
                apart = abs(sources["axis_deg"][s] - tuning_deg[t]) % 180
                inside = (at.real / wish["b_deg"]) ** 2 + (2 * at.imag / wish["half_deg"]) ** 2 <= 1
                p[t, s] = inside and min(apart, 180 - apart) < 15
            elif family in looks:
                at = place[s] / long_axis + looks[family] * wish["half_deg"]
                if (at.real / wish["a_deg"]) ** 2 + (at.imag / wish["b_deg"]) ** 2 <= 1:
                    apart = np.abs(wish["preferred_Hz"] - frequencies[family])
                    mine = abs(wish["preferred_Hz"] - sources["tf_Hz"][s])
                    n = len(frequencies[family])
                    p[t, s] = 1 if n == 1 else (1 - mine / apart.sum()) / (n - 1)
    return p


@pytest.mark.parametrize("types", [None, allen.DEFAULT_LGN_TYPES], ids=["published", "with_tON"])
def test_connections_are_as_probable_as_the_rule_says(types) -> None:
    """Every (target, source) pair over 400 draws, against the rule written out."""
    whole = (
        published_channels(TABLES, seed=5)
        if types is None
        else channels(TABLES, types=types, seed=5)
    )
    near = np.hypot(whole["x_deg"], whole["y_deg"]) < 12
    sources = whole.take(near)
    population = np.repeat(["e23Cux2", "i5Pvalb", "e6Ntsr1", "i1Htr3a"], 6)
    neurons, _ = neurons_of(TABLES, population, 60, seed=6)
    row = lgn_rule.rows_of(neurons, TABLES.lgn_to_v1)
    wishes = lgn_rule._wishes(neurons, TABLES.lgn_to_v1, row, seed=7)
    p = dense_probability(sources, wishes, neurons["tuning_deg"])
    families = {
        str(name): Family.of(sources, np.flatnonzero(sources["family"] == name))
        for name in np.unique(sources["family"])
    }
    rng, hits, n = np.random.default_rng(8), np.zeros(p.shape), 400
    for _ in range(n):
        for i, j in lgn_rule._kept(wishes, families, rng):
            np.add.at(hits, (i, j), 1)
    assert (hits[p == 0] == 0).all()
    assert (hits[p == 1] == n).all()
    some = (p > 0) & (p < 1)
    assert some.sum() > 200
    z = (hits - n * p)[some] / np.sqrt(n * p * (1 - p))[some]
    assert np.abs(z).max() < 5
    assert (z**2).mean() == pytest.approx(1, abs=5 * np.sqrt(2 / len(z)))
    assert z.mean() == pytest.approx(0, abs=5 / np.sqrt(len(z)))


def test_composite_sources_need_a_like_axis_within_15_degrees() -> None:
    n = 5000
    rng = np.random.default_rng(1)
    sources = Table(
        {
            **{axis: rng.uniform(-8, 8, n) for axis in ("x_deg", "y_deg")},
            "axis_deg": rng.uniform(0, 360, n),
            "family": np.repeat(["sONsOFF"], n),
            "tf_Hz": np.full(n, np.nan),
        }
    )
    neurons, _ = neurons_of(TABLES, np.array(["i5Pvalb"]), 1, seed=2)
    wishes = lgn_rule._wishes(neurons, TABLES.lgn_to_v1, np.array([14]), seed=1)
    family = Family.of(sources, np.arange(n))
    ((_, kept),) = lgn_rule._kept(wishes, {"sONsOFF": family}, rng)
    p = dense_probability(sources, wishes, neurons["tuning_deg"])
    assert len(kept) > 50
    np.testing.assert_array_equal(kept, np.flatnonzero(p[0]))


def test_wishes_follow_the_table() -> None:
    population = np.repeat(POPULATIONS, 3000)
    neurons, _ = neurons_of(TABLES, population, 845)
    rule = TABLES.lgn_to_v1
    row = lgn_rule.rows_of(neurons, rule)
    wishes = lgn_rule._wishes(neurons, rule, row, seed=1)
    for r in rule.rows:
        mine = wishes.take(row == r)
        for name, values in (
            ("distance", mine["half_deg"] * 2),
            ("width", mine["b_deg"] * 2),
            ("aspect", mine["a_deg"] / mine["b_deg"]),
        ):
            unit = "" if name == "aspect" else "_deg"
            low, high = rule[f"{name}_min{unit}"][r], rule[f"{name}_max{unit}"][r]
            assert stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > 1e-5
        p_on = rule["p_on"][r]
        assert mine["on"].mean() == pytest.approx(p_on, abs=5 * np.sqrt(0.25 / 3000))
        mean = rule["tf_mean_Hz"][r] / -np.expm1(-rule["tf_mean_Hz"][r])  # without zeros
        assert mine["preferred_Hz"].mean() == pytest.approx(mean, abs=0.15)
        assert mine["preferred_Hz"].min() == 1
    # tan(0.07 deg/um x) in degrees: the rim of the full column looks at the edge of the field
    edge = neurons_of(TABLES, np.array(["e4Rorb"]), 0)[0].replace(x_um=[845.0], z_um=[-845.0])
    wish = lgn_rule._wishes(edge, rule, np.array([5]), seed=1)
    assert wish["x_deg"][0] == pytest.approx(95.92, abs=0.01)
    assert wish["y_deg"][0] == pytest.approx(-38.36, abs=0.01)


def expected_sources(population: str) -> float:
    """Mean number of sources of a connected neuron: area of its subfields times density."""
    rule = TABLES.lgn_to_v1.where(population=population)
    middle = {
        name: (rule[f"{name}_min{unit}"][0] + rule[f"{name}_max{unit}"][0]) / 2
        for name, unit in (("width", "_deg"), ("aspect", ""), ("distance", "_deg"))
    }
    spread = (rule["width_max_deg"][0] - rule["width_min_deg"][0]) ** 2 / 12
    area = np.pi / 4 * (middle["width"] ** 2 + spread) * middle["aspect"]
    types, p_on = TABLES.lgn_types, rule["p_on"][0]
    density = types["n_per_tile"] / (16 * 12)
    tf = np.arange(1, 40)
    p_tf = stats.poisson.pmf(tf, rule["tf_mean_Hz"][0])
    p_tf /= p_tf.sum()
    total = 0.0
    for family, share in (("sON", p_on), ("sOFF", 1 - p_on), ("tOFF", 1.0)):
        mine = (types["family"] == family) & (types["n_per_tile"] > 0)
        keep = frequency_match(tf, np.sort(types["tf_Hz"][mine]))
        density_by_tf = density[mine][np.argsort(types["tf_Hz"][mine])]
        total += share * area * (p_tf @ keep @ density_by_tf)
    composite = np.isnan(types["tf_Hz"])
    centre = np.pi * middle["width"] / 2 * middle["distance"] / 4
    return total + centre * density[composite].sum() / 6  # axes within 15 degrees: one in six


@pytest.mark.parametrize("radius_um", [400, 845])
def test_means_are_the_published_ones(radius_um: float) -> None:
    """Of sources and of weight: the table's are those of 400 simulated targets a population."""
    population = np.repeat(POPULATIONS, 1500)
    neurons, cell = neurons_of(TABLES, population, radius_um)
    source = wired(neurons, cell)
    assert source.n == 17_400
    n_sources = counts_of(source, len(cell))
    weight = np.bincount(source.synapses.post, source.synapses.weight, minlength=len(cell))
    rule = TABLES.lgn_to_v1
    for row, name in enumerate(POPULATIONS):
        mine = population == name
        if rule["mean_total_weight_pA"][row] == 0:
            assert not n_sources[mine].any()
            continue
        some = n_sources[mine & (n_sources > 0)]
        # The places of LGN cells are shared by all: half of the error, which is why it is there.
        assert some.mean() == pytest.approx(expected_sources(name), rel=0.04), name
        error = some.std() * np.sqrt(1 / 400 + 1 / len(some))
        published = rule["mean_n_sources_connected"][row]
        assert abs(some.mean() - published) < 0.02 * published + 3 * error, name
        share, p = (n_sources[mine] > 0).mean(), rule["p_lgn"][row]
        assert share == pytest.approx(p, abs=0.003 + 4 * np.sqrt(p * (1 - p) / 1500)), name
        one = TABLES.cells["lgn_weight_pA"][cell[mine]] * rule["n_synapses"][row]
        np.testing.assert_allclose(weight[mine], one * n_sources[mine], rtol=1e-5)
    delays = source.synapses.delay_ms
    assert (delays == np.float32(1.7)).all()


def test_a_grid_of_channels_gives_the_published_weight() -> None:
    neurons, cell = neurons_of(TABLES, np.repeat(["e23Cux2", "e4Rorb", "i4Pvalb"], 2000), 96)
    source = wired(neurons, cell, layout="column")
    assert source.n == 832
    weight = np.bincount(source.synapses.post, source.synapses.weight, minlength=6000)
    rule = TABLES.lgn_to_v1
    for name in ("e23Cux2", "e4Rorb", "i4Pvalb"):
        row, mine = POPULATIONS.index(name), neurons["population"] == name
        one = TABLES.cells["lgn_weight_pA"][cell[mine & (weight > 0)]] * rule["n_synapses"][row]
        total = rule["mean_n_sources_connected"][row] * one.mean()
        assert weight[mine & (weight > 0)].mean() == pytest.approx(total, rel=0.02)


def test_what_lies_beyond_the_field_has_no_sources() -> None:
    neurons, cell = neurons_of(TABLES, np.repeat(["e4Rorb"], 600), 845)
    x = np.repeat([840.0, 1150.0, 1900.0], 200)
    with pytest.warns(UserWarning, match="400 neurons look beyond the published LGN"):
        source = wired(neurons.replace(x_um=x, z_um=0 * x), cell)
    n_sources = counts_of(source, 600)
    near, far, behind = n_sources.reshape(3, 200)
    assert near.mean() == pytest.approx(16.3, rel=0.05)  # as in the middle
    assert not far.any()
    assert not behind.any()


@functools.cache
def mixed() -> tuple[Table, np.ndarray]:
    return neurons_of(TABLES, np.repeat(POPULATIONS, 150), 400)


@pytest.mark.parametrize("layout", ["field", "column"])
def test_the_same_seed_gives_the_same_input_on_any_number_of_threads(layout: str) -> None:
    first, again, threads, other = (
        wired(*mixed(), layout=layout, seed=seed, workers=workers).synapses
        for seed, workers in ((1, 1), (1, 1), (1, 3), (2, 1))
    )
    assert len(first) > 10_000
    for part in ("pre", "post", "weight", "delay_ms", "receptor"):
        np.testing.assert_array_equal(getattr(first, part), getattr(again, part))
        np.testing.assert_array_equal(getattr(first, part), getattr(threads, part))
    assert len(other) != len(first) or (other.pre != first.pre).any()


def test_the_field_has_a_filter_for_every_cell() -> None:
    neurons, cell = neurons_of(TABLES, np.array(["e4Rorb"]), 10)
    sources = wired(neurons, cell).sources
    assert sources is not None
    cells = filters(sources, TABLES)
    assert cells.n == 17_400
    assert cells.second is not None
    composite = np.char.find(sources["lgn_type"][cells.second.channel], "_001") > 0
    assert composite.all()
    assert len(composite) == 13 * 150
