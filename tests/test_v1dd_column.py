"""The V1DD column: published counts, places, numbers of synapses, in-degrees, inputs, seeds."""

from __future__ import annotations

import functools
from typing import Any
from unittest import mock

import numpy as np
import pytest
from scipy import stats

from circuits import allen, v1
from circuits.v1.v1dd import v1dd_column
from circuits.v1.v1dd.neurons import assign_models, model_counts, synapse_counts
from circuits.v1.v1dd.recurrent import displaced
from converters import to_brian2
from toolkit import Input, Network, Receptor, Recording, Synapses, stimuli
from toolkit.errors import InputError
from toolkit.neurons import glif3

TABLES = allen.load_v1dd()
POPULATIONS = TABLES.populations["population"].tolist()
SEEDS = (1, 2, 3)


def no_lgn(*arguments: Any, **options: Any) -> Input:
    return Input(n=0, synapses=Synapses.none())


@functools.cache
def column(
    size: int | None = 1500, radius_um: float | None = None, seed: int = 1, **options: Any
) -> Network:
    """A column without its LGN, whose wiring takes most of the time and has tests of its own."""
    with mock.patch("circuits.v1.v1dd.column.v1dd_lgn_input", no_lgn):
        return v1dd_column(size, radius_um=radius_um, seed=seed, show_progress=False, **options)


# ---- counts and cells


def of_population(counts: np.ndarray) -> np.ndarray:
    return np.array([counts[TABLES.cells["population"] == name].sum() for name in POPULATIONS])


def test_the_full_column_has_the_published_counts():
    counts, radius_um = model_counts("full", None, "compact", TABLES)
    assert radius_um == 700
    np.testing.assert_array_equal(of_population(counts), TABLES.populations["n_full"])
    models = counts[TABLES.cells["population"] == "e4Rorb"]  # 13,857 on 21 models
    assert models.tolist() == [660] * 18 + [659] * 3


@pytest.mark.parametrize(("size", "radius_um"), [("core", 400), (None, 250.0), (None, 900.0)])
def test_other_radii_have_the_density_of_the_full_column(size, radius_um):
    counts, outer = model_counts(size, None if size else radius_um, "compact", TABLES)
    assert outer == radius_um
    share = TABLES.populations["n_full"] * (radius_um / 700) ** 2
    n_models = np.bincount([POPULATIONS.index(p) for p in TABLES.cells["population"]])
    more = of_population(counts) - share  # rounded up, model by model
    assert (more >= -1e-6).all()
    assert (more <= n_models).all()


@pytest.mark.parametrize(("size", "n"), [("3k", 3000), ("6k", 6000), (1, 1), (777, 777)])
def test_numbers_of_neurons_keep_the_proportions(size, n):
    counts, radius_um = model_counts(size, None, "compact", TABLES)
    assert counts.sum() == n
    n_full = TABLES.populations["n_full"]
    assert (np.abs(of_population(counts) - n_full * n / n_full.sum()) < 1).all()
    assert radius_um == pytest.approx(max(700 * np.sqrt(n / 203_816), 2))
    assert model_counts(n, None, "random", TABLES)[1] == 400


def test_populations_and_classes_stand_in_order_and_models_at_random():
    network = column()
    order = [POPULATIONS.index(name) for name in network.neurons["population"]]
    assert order == sorted(order)
    assert set(order) == set(range(22))
    row = {name: i for i, name in enumerate(TABLES.cells["cell"].tolist())}
    cell = np.array([row[name] for name in network.neurons["cell"]])
    for column_name in ("cell_class", "population"):
        assert (TABLES.cells[column_name][cell] == network.neurons[column_name]).all()
    for parameter in glif3.PARAMETERS[:10]:
        np.testing.assert_array_equal(
            network.neurons[parameter.name], TABLES.cells[parameter.name][cell]
        )
    assert network.classes == TABLES.classes["cell_class"].tolist()
    mine = cell[network.neurons["population"] == "e23Cux2"]
    assert stats.spearmanr(np.arange(len(mine)), mine).pvalue > 1e-3


def test_places_and_preferred_angles():
    neurons = column(None, 96.0).neurons
    radius = np.hypot(neurons["x_um"], neurons["z_um"])
    assert stats.kstest((radius**2 - 1) / (96.0**2 - 1), "uniform").pvalue > 1e-3
    for name in POPULATIONS:
        row = TABLES.populations.where(population=name)
        depth = -neurons["y_um"][neurons["population"] == name]
        assert row["depth_top_um"][0] <= depth.min()
        assert depth.max() <= row["depth_bottom_um"][0]
    for cell in ("488698341", TABLES.cells["cell"][0]):
        angles = np.sort(neurons["tuning_deg"][neurons["cell"] == cell])
        np.testing.assert_allclose(np.diff(angles), 360 / max(len(angles), 1), atol=1e-9)


@pytest.mark.parametrize(
    ("x_um", "radius_um", "expected"),
    [(299, 400, True), (301, 400, False), (599, 700, True), (601, 700, False), (90, 96, True)],
)
def test_sources_are_displaced_up_to_the_rim(x_um, radius_um, expected):
    """300 of 400 um and 600 of 700 um; a small column is the middle of that of 400 um."""
    assert displaced(np.array([0.0]), np.array([x_um]), radius_um)[0] == expected


def test_numbers_of_synapses_are_log_normal():
    counts, _ = model_counts("core", None, "compact", TABLES)
    population, _ = assign_models(counts, TABLES, 1)
    n = synapse_counts(population, TABLES, 1)
    assert n.dtype == np.int32
    assert n.min() >= 1
    for p in range(len(POPULATIONS)):
        shape, scale, mean = (
            TABLES.populations[f"n_synapses_{k}"][p] for k in ("shape", "scale", "mean")
        )
        mine = n[population == p]
        log = np.log(mine / scale) / shape
        assert stats.kstest(log, "norm").pvalue > 1e-3, POPULATIONS[p]
        error = mean * np.sqrt(np.expm1(shape**2) / len(mine))
        assert abs(mine.mean() - mean) < 4.5 * error + 1


# ---- in-degrees

# Expected mean connection probabilities, by integration over pairs of the published rules: in a
# disc of radius 96 um, and of radius 400 um.
PROBABILITIES = {
    ("e23", "e23"): (0.02943, 0.006432),
    ("e4", "e4"): (0.02000, 0.004371),
    ("e6", "e6"): (0.02125, 0.004643),
    ("e4", "e23"): (0.01106, 0.002416),
    ("e4", "e5"): (0.02313, 0.005055),
    ("e5", "e5"): (0.02305, 0.005036),
    ("e6", "e5"): (0.00378, 0.000826),
    ("e4", "i4Pvalb"): (0.17282, 0.030079),
    ("e6", "i6Sst"): (0.12747, 0.022186),
    ("e23", "i23Pvalb"): (0.15656, 0.027249),
    ("e23", "i4Sst"): (0.22045, 0.038369),
    ("i4Pvalb", "e4"): (0.29339, 0.045343),
    ("i5Pvalb", "e5"): (0.21467, 0.033177),
    ("i6Pvalb", "e6"): (0.29717, 0.045927),
    ("i23Pvalb", "e23"): (0.40624, 0.062783),
    ("i4Sst", "e23"): (0.39991, 0.061806),
    ("i23Pvalb", "i23Pvalb"): (0.47589, 0.097661),
    ("i4Sst", "i4Pvalb"): (0.46577, 0.095585),
}


@pytest.mark.parametrize("geometry", [0, 1], ids=["96 um", "400 um"])
def test_edges_of_pairs_of_classes(geometry):
    """Ratio to the expectation, which knows no limit p <= 1 and no rim without displacement.

    The error has parts for the number of edges and for the places of the fewer neurons.
    """
    how: list[dict[str, Any]] = [
        dict(size=None, radius_um=96.0),
        dict(size=6000, selection="random"),
    ]
    networks = [column(seed=seed, **how[geometry]) for seed in SEEDS]
    ratios = []
    for (pre, post), probabilities in PROBABILITIES.items():
        edges = expected = 0.0
        fewest = np.inf
        for network in networks:
            is_pre, is_post = (network.neurons["cell_class"] == name for name in (pre, post))
            synapses = network.synapses
            edges += (is_pre[synapses.pre] & is_post[synapses.post]).sum()
            rows = [POPULATIONS.index(name) for name in network.neurons["population"][is_post]]
            share = network.neurons["n_synapses"][is_post]
            share = share / TABLES.populations["n_synapses_mean"][rows]
            expected += probabilities[geometry] * is_pre.sum() * share.sum()
            fewest = min(fewest, is_pre.sum(), is_post.sum())
        ratios.append(edges / expected)
        error = 4 / np.sqrt(edges) + 0.3 / np.sqrt(fewest * len(SEEDS))
        assert abs(ratios[-1] - 1) < 0.015 + error, (pre, post)
    assert np.mean(ratios) == pytest.approx(1, abs=0.02)


def test_size_of_the_small_columns():
    """3k and 6k: the middle of the published column."""
    for size, in_degree in ((3000, 95.5), (6000, 153)):
        network = column(size)
        assert len(network.synapses) / size == pytest.approx(in_degree, rel=0.05)
        assert (network.synapses.pre != network.synapses.post).all()


# ---- inputs and receptors


def test_background_is_four_of_a_hundred_sources():
    network = column(3000)
    source = network.inputs["background"]
    assert (source.n, source.rate_Hz) == (100, 250.0)
    sources = source.synapses.pre.reshape(network.n, 4)
    np.testing.assert_array_equal(source.synapses.post.reshape(network.n, 4)[:, 0], range(3000))
    assert (np.diff(sources, axis=1) > 0).all()
    assert stats.chisquare(np.bincount(sources.ravel(), minlength=100)).pvalue > 1e-3
    row = {name: i for i, name in enumerate(TABLES.cells["cell"].tolist())}
    cell = np.array([row[name] for name in network.neurons["cell"]])[source.synapses.post]
    np.testing.assert_allclose(
        source.synapses.weight, TABLES.cells["background_weight_pA"][cell], rtol=1e-6
    )
    names = np.array(list(network.receptors))[source.synapses.receptor]
    assert (names == np.char.add("exc_to_", TABLES.cells["synaptic_type"][cell])).all()
    assert set(source.synapses.delay_ms) == {1.0}


def test_receptors_are_double_alpha():
    receptors = column().receptors
    assert len(receptors) == 90
    assert receptors["e5et_to_e5et"] == Receptor(
        1.56357135, "double_alpha", tau_slow_ms=2.16737114, amp_slow=1.65105951
    )
    psp = receptors["exc_to_vip"].psp_peak_mV(*(TABLES.cells[k][:1] for k in ("C_m_pF", "g_nS")))
    np.testing.assert_allclose(psp, TABLES.cells["psp_from_exc_mV_per_pA"][:1], rtol=1e-9)


# Spontaneous medians that the source's background was fitted to 27 % of.
FITTED_HZ = {
    "i23Pvalb": 7.35,
    "i23Vip": 14.73,
    "i4Pvalb": 8.86,
    "i4Sst": 3.82,
    "e5IT": 4.05,
    "i5Pvalb": 8.94,
    "i6Pvalb": 9.76,
    "i6Sst": 10.28,
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*receptive fields are centred beyond")
def test_without_recurrent_synapses_rates_are_those_of_the_fit():
    """Neurons, LGN, background, kinetics and their weights together."""
    network = v1dd_column(2000, seed=1, show_progress=False)
    at_rest = v1.lgn(network, TABLES).respond(stimuli.grey(duration_ms=10)).rates_Hz[-1]
    lgn = Recording.rates(np.tile(at_rest.astype(np.float32), (3500, 1)), dt_ms=1.0)
    rates = []
    for synapses in (Synapses.none(), network.synapses):
        simulation = to_brian2(network.replace(synapses=synapses), device="cpp_standalone")
        rates.append(simulation.run(lgn, seed=2).mean_rates_Hz(500))
    ratio = {
        name: rates[0][network.neurons["population"] == name].mean() / (0.27 * median)
        for name, median in FITTED_HZ.items()
    }
    assert all(0.5 < value < 1.9 for value in ratio.values()), ratio
    assert np.exp(np.mean(np.log(list(ratio.values())))) == pytest.approx(1.1, abs=0.2)
    # With them: no volleys and no silence.
    assert 0.1 < rates[1].mean() < rates[0].mean()


# ---- seeds, files, errors


def test_the_circuit_depends_on_the_seed_alone(tmp_path):
    one = v1dd_column(400, seed=3, workers=1)
    two = v1dd_column(400, seed=3, workers=2)
    assert one.digest() == two.digest() != v1dd_column(400, seed=4).digest()
    assert one.inputs["lgn"].n > 0
    assert len(one.inputs["lgn"].synapses) > 0
    one.save(tmp_path / "column.h5")
    again = Network.load(tmp_path / "column.h5")
    assert again.digest() == one.digest()
    assert again.provenance == one.provenance
    assert again.provenance["data"].startswith("Allen Institute, biorealistic-v1-model")


def test_like_to_like_changes_the_weights_alone():
    random, ranked = column(), column(weights="like_to_like")
    assert ranked.provenance["weights"] == "like_to_like"
    assert ranked.inputs["background"].synapses is not None
    np.testing.assert_array_equal(random.synapses.pre, ranked.synapses.pre)
    assert (random.synapses.weight != ranked.synapses.weight).mean() > 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": "3K"}, "unknown size '3K'.*3k, 6k, core, full, any number.*Did you mean '3k'"),
        ({"size": True}, "unknown size True"),
        ({"size": 2.5}, "unknown size 2.5"),
        ({"size": 0}, "a compact column has 1 to 1,000,000 neurons, got 0"),
        ({"size": 70_000, "selection": "random"}, "a random column has 1 to 66,552 neurons"),
        ({"size": None}, "either a size .3k, 6k, core, full.* or radius_um"),
        ({"radius_um": 50.0}, "either a size .* got size=50 and radius_um=50.0"),
        ({"size": None, "radius_um": 1.0}, "radius_um must be above 1 and at most 1,551 um"),
        ({"size": None, "radius_um": np.nan}, "radius_um must be above 1 .* got nan"),
        ({"size": "core", "selection": "random"}, "takes all there are"),
        ({"selection": "dense"}, "unknown selection 'dense'; accepted: compact, random"),
        ({"weights": "nll"}, "unknown weights 'nll'; accepted: random, like_to_like"),
        ({"seed": -1}, "seed must be an integer from 0"),
    ],
)
def test_what_cannot_be_built_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        v1dd_column(**{"size": 50, "seed": 1, **arguments})
