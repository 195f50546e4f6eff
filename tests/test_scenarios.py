"""Scenarios and parts of a column: what each changes, what it keeps, and that they combine."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
import small_networks
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.sparse.csgraph import connected_components
from typer.testing import CliRunner

from circuits import v1
from circuits.v1 import scenarios
from toolkit import Input, Network, Receptor, Synapses, Table
from toolkit.errors import InputError
from toolkit.random_graph import random_connected_pairs, random_tree
from toolkit.rng import stream
from toolkit.subnetwork import subnetwork

PARTS = ("weight", "receptor", "delay_ms")


@pytest.fixture(scope="module")
def column() -> Network:
    return v1.column(600, seed=3)


@pytest.fixture(scope="module")
def small() -> Network:
    return v1.column(150, seed=2)


def components(n: int, pre: np.ndarray, post: np.ndarray) -> int:
    graph = sp.coo_array((np.ones(len(pre)), (pre, post)), shape=(n, n))
    return int(connected_components(graph, directed=True, connection="weak")[0])


def quadrant(network: Network) -> np.ndarray:
    """0 to 3 by the signs of a synapse's ends."""
    pre, post = network.synapses.pre, network.synapses.post
    return 2 * network.excitatory[pre] + network.excitatory[post]


def rows(synapses: Synapses, *names: str) -> list[tuple]:
    return list(zip(*(getattr(synapses, name).tolist() for name in names), strict=True))


# Random graphs


@given(st.integers(1, 80), st.integers(0, 1000))
def test_a_random_tree_connects_all_nodes_with_the_fewest_edges(n: int, seed: int) -> None:
    u, v = random_tree(n, stream(seed, "tree"))
    assert len(u) == len(v) == n - 1
    assert components(n, u, v) == 1


def test_every_labelled_tree_is_as_likely() -> None:
    rng, count = stream(1, "trees"), {}
    for _ in range(3200):
        edges = zip(*(end.tolist() for end in random_tree(4, rng)), strict=True)
        tree = frozenset(frozenset(edge) for edge in edges)
        count[tree] = count.get(tree, 0) + 1
    assert len(count) == 16  # 4^2, Cayley
    assert stats.chisquare(list(count.values())).pvalue > 1e-3


@given(st.integers(2, 40), st.floats(0, 1), st.integers(0, 1000))
def test_random_pairs_are_distinct_and_connect(n: int, fill: float, seed: int) -> None:
    n_pairs = round(n - 1 + fill * (n - 1) ** 2)
    pre, post = random_connected_pairs(n, n_pairs, stream(seed, "pairs"))
    assert len(pre) == n_pairs
    assert (pre != post).all()
    order = post.astype(int) * n + pre
    assert (np.diff(order) > 0).all()  # sorted by (post, pre), none twice
    assert components(n, pre, post) == 1


@pytest.mark.parametrize(("n", "n_pairs"), [(5, 9), (12, 20)])  # listed, drawn until new
def test_every_pair_is_as_likely(n: int, n_pairs: int) -> None:
    draws, count = 4000, np.zeros((n, n))
    for k in range(draws):
        pre, post = random_connected_pairs(n, n_pairs, stream(k, "pairs"))
        count[pre, post] += 1
    share = n_pairs / (n * (n - 1))
    sd = np.sqrt(draws * share * (1 - share))
    off = (count[~np.eye(n, dtype=bool)] - draws * share) / sd
    assert abs(off).max() < 4.5
    assert 0.8 < off.std() < 1.2


@pytest.mark.parametrize("n_pairs", [2, 13])
def test_too_few_or_too_many_pairs_are_refused(n_pairs: int) -> None:
    with pytest.raises(InputError, match=r"3 \(a tree\) to 12 connected pairs, got"):
        random_connected_pairs(4, n_pairs, stream(1, "pairs"))


# Random synapses


def test_random_synapses_keep_number_connection_and_dale(column: Network) -> None:
    made = v1.random_synapses(column, seed=1)
    new = made.synapses
    assert len(new) == len(column.synapses)
    assert made.dale
    assert (new.pre != new.post).all()
    assert len(set(rows(new, "pre", "post"))) == len(new)
    assert components(made.n, new.pre, new.post) == 1
    assert made.neurons is column.neurons
    assert {name: made.inputs[name] for name in made.inputs} == dict(column.inputs)


def test_random_synapses_have_degrees_of_chance_and_no_classes(column: Network) -> None:
    def off_chance(network: Network) -> tuple[float, float, float]:
        synapses, n = network.synapses, network.n
        cls = np.unique(network.neurons["cell_class"], return_inverse=True)[1]
        size = np.bincount(cls)
        possible = np.outer(size, size) - np.diag(size)
        counts = np.zeros(possible.shape)
        np.add.at(counts, (cls[synapses.pre], cls[synapses.post]), 1)
        expected = possible / possible.sum() * len(synapses)
        few = expected < 5
        pairs = stats.chisquare(
            [*counts[~few], counts[few].sum()], [*expected[~few], expected[few].sum()]
        )
        ends = (np.bincount(end, minlength=n) for end in (synapses.pre, synapses.post))
        return pairs.pvalue, *(stats.chisquare(end).pvalue for end in ends)

    assert min(off_chance(v1.random_synapses(column, seed=2))) > 1e-3
    assert max(off_chance(column)) < 1e-12


def test_random_synapses_take_weight_receptor_and_delay_from_one_of_their_kind(
    column: Network,
) -> None:
    made = v1.random_synapses(column, seed=1)
    old_kind, new_kind = quadrant(column), quadrant(made)
    for kind in range(4):
        old = [
            values
            for values, mine in zip(rows(column.synapses, *PARTS), old_kind == kind, strict=True)
            if mine
        ]
        new = [
            values
            for values, mine in zip(rows(made.synapses, *PARTS), new_kind == kind, strict=True)
            if mine
        ]
        assert set(new) <= set(old)
        weights = ([values[0] for values in side] for side in (old, new))
        assert stats.ks_2samp(*weights).pvalue > 1e-3


def test_random_synapses_of_a_kind_that_was_not_there() -> None:
    # No I to I in the old circuit: such a synapse is like one from I to E.
    n = 8
    pre, post = random_connected_pairs(n, n * (n - 1), stream(1, "all"))
    neurons = small_networks.neurons(n)
    sign = neurons["sign"]
    keep = (sign[pre] > 0) | (sign[post] > 0)
    pre, post = pre[keep], post[keep]
    old = Synapses(pre, post, 2.0 * sign[pre], np.ones(len(pre)), np.where(sign[pre] > 0, 0, 1))
    network = small_networks.network(neurons=neurons, synapses=old, inputs={})
    made = v1.random_synapses(network, seed=1)
    i_to_i = quadrant(made) == 0
    assert i_to_i.any()
    assert (made.synapses.weight[i_to_i] == -2).all()
    silent = network.replace(synapses=dataclasses.replace(old, **_only(old, sign[pre] > 0)))
    with pytest.raises(InputError, match="no synapse starts from an I neuron"):
        v1.random_synapses(silent, seed=1)
    with pytest.raises(InputError, match="7 \\(a tree\\) to 56"):
        v1.random_synapses(network.replace(synapses=Synapses.none()), seed=1)


def _only(synapses: Synapses, mask: np.ndarray) -> dict[str, np.ndarray]:
    return {part.name: getattr(synapses, part.name)[mask] for part in dataclasses.fields(synapses)}


# No Dale


def test_no_dale_permutes_what_each_neuron_receives(column: Network) -> None:
    made = v1.no_dale(column, seed=1)
    old, new = column.synapses, made.synapses
    assert not made.dale
    for part in ("pre", "post", "delay_ms"):
        assert (getattr(old, part) == getattr(new, part)).all()
    assert sorted(rows(old, "post", "weight", "receptor")) == sorted(
        rows(new, "post", "weight", "receptor")
    )
    # The sign of a synapse no longer depends on its presynaptic neuron's.
    target_share = np.bincount(new.post, new.weight > 0) / np.bincount(new.post)
    expected = target_share[new.post]
    for mine in (column.excitatory[new.pre], ~column.excitatory[new.pre]):
        sd = np.sqrt((expected[mine] * (1 - expected[mine])).sum())
        assert abs((new.weight[mine] > 0).sum() - expected[mine].sum()) < 4 * sd
    sign = column.neurons["sign"][new.pre]
    [entry] = made.provenance["scenarios"]
    assert entry["synapses_against_their_neuron"] == (new.weight * sign < 0).sum() > 0


def test_no_dale_does_not_depend_on_its_blocks(
    column: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = v1.no_dale(column, seed=1).digest()
    monkeypatch.setattr(scenarios, "BLOCK", 1000)
    assert v1.no_dale(column, seed=1).digest() == whole


def test_no_dale_can_keep_the_weights(column: Network) -> None:
    kept = v1.no_dale(column, seed=1, signs="kept")
    assert not kept.dale
    assert kept.synapses is column.synapses
    with pytest.raises(InputError, match="unknown signs 'mix'; accepted: mixed, kept"):
        v1.no_dale(column, seed=1, signs="mix")


# Uniform neurons


def test_uniform_neurons_are_two(column: Network) -> None:
    made, old = v1.uniform_neurons(column).neurons, column.neurons
    differ = {name for name in old if (old[name] != made[name]).any()}
    assert differ == {
        "cell", "C_m_pF", "g_nS", "E_L_mV", "V_th_mV", "V_reset_mV", "t_ref_ms", "V_init_mV",
        "asc_decay_1_per_ms", "asc_decay_2_per_ms", "asc_amp_1_pA", "asc_amp_2_pA",
    }  # fmt: skip
    for name in differ - {"V_init_mV"}:
        assert len({*zip(made["sign"].tolist(), made[name].tolist(), strict=True)}) == 2
    tau = old["C_m_pF"] / old["g_nS"]
    for mine in (column.excitatory, ~column.excitatory):
        one = made.take(np.flatnonzero(mine)[:1])
        assert one["C_m_pF"] / one["g_nS"] == pytest.approx(stats.gmean(tau[mine]))
        assert one["V_th_mV"] == pytest.approx(old["V_th_mV"][mine].mean())
        charge = (old["asc_amp_2_pA"] / old["asc_decay_2_per_ms"])[mine].mean()
        assert one["asc_amp_2_pA"] / one["asc_decay_2_per_ms"] == pytest.approx(charge)

    def depth(neurons: Table) -> np.ndarray:
        return (neurons["V_init_mV"] - neurons["E_L_mV"]) / (neurons["V_th_mV"] - neurons["E_L_mV"])

    np.testing.assert_allclose(depth(made), depth(old))


def drive(network: Network, synapses: Synapses) -> np.ndarray:
    """Mean depolarisation by each synapse for a rate, over the way to threshold."""
    charge = np.array([receptor.charge_per_peak for receptor in network.receptors.values()])
    neurons = network.neurons
    rheobase = neurons["g_nS"] * (neurons["V_th_mV"] - neurons["E_L_mV"])
    return synapses.weight * charge[synapses.receptor] / rheobase[synapses.post]


def test_uniform_neurons_are_driven_as_before(column: Network) -> None:
    made = v1.uniform_neurons(column)
    assert (made.synapses.receptor == column.synapses.receptor).all()
    for new, old in (
        (made.synapses, column.synapses),
        *((made.inputs[name].synapses, column.inputs[name].synapses) for name in column.inputs),
    ):
        np.testing.assert_allclose(drive(made, new), drive(column, old), rtol=1e-6)
    plain = v1.uniform_neurons(column, rescale=False)
    assert (plain.synapses.weight == column.synapses.weight).all()
    assert (plain.synapses.weight != made.synapses.weight).any()


def test_uniform_neurons_share_their_receptors() -> None:
    many = {"fast": Receptor(2.0), "middle": Receptor(5.0), "slow": Receptor(9.0, "exponential")}
    network = small_networks.network(
        receptors=many,
        synapses=Synapses(
            pre=np.array([1, 2, 3, 0, 2]), post=np.array([0, 0, 0, 1, 3]),
            weight=np.array([2.0, 4.0, -3.0, 0.5, 1.0]), delay_ms=np.ones(5),
            receptor=np.array([0, 1, 2, 1, 0]),
        ),
    )  # fmt: skip
    made = v1.uniform_neurons(network)
    # Excitation of E is fast most often, LGN counted; E to I and I to E have one receptor each.
    assert made.synapses.receptor.tolist() == [0, 0, 2, 0, 0]
    np.testing.assert_allclose(
        drive(made, made.synapses), drive(network, network.synapses), rtol=1e-6
    )


def test_uniform_neurons_of_one_cell_model_each(column: Network) -> None:
    cells = tuple(
        str(column.neurons.where(cell_class=name)["cell"][0]) for name in ("e23", "i23Pvalb")
    )
    made = v1.uniform_neurons(column, cells=cells)
    for sign, cell in zip((1, -1), cells, strict=True):
        like = column.neurons.where(cell=cell, sign=sign)["C_m_pF"][0]
        assert made.neurons.where(sign=sign)["C_m_pF"] == pytest.approx(like)
        assert set(made.neurons.where(sign=sign)["cell"]) == {cell}
    with pytest.raises(InputError, match="unknown E cell model"):
        v1.uniform_neurons(column, cells=cells[::-1])
    with pytest.raises(InputError, match="a pair of names"):
        v1.uniform_neurons(column, cells=cells[:1])
    with pytest.raises(InputError, match="V_th_mV above E_L_mV"):
        v1.uniform_neurons(
            column.replace(neurons=column.neurons.replace(V_th_mV=column.neurons["E_L_mV"]))
        )


# All of them


@pytest.mark.parametrize("order", list(itertools.permutations(scenarios.SCENARIOS)), ids="-".join)
def test_scenarios_combine_in_any_order(column: Network, order: tuple[str, ...]) -> None:
    before = column.digest()
    made = column
    for step in scenarios.named(order):
        made = step(made, 5)
    assert column.digest() == before
    assert "scenarios" not in column.provenance
    assert [entry["name"] for entry in made.provenance["scenarios"]] == list(order)
    assert len(made.synapses) == len(column.synapses)
    assert len(np.unique(made.neurons["C_m_pF"])) == 2
    assert not made.dale
    assert components(made.n, made.synapses.pre, made.synapses.post) == 1
    again = column
    for step in scenarios.named(order):
        again = step(again, 5)
    assert again.digest() == made.digest()


@pytest.mark.parametrize("name", ["random_synapses", "no_dale"])
def test_another_seed_is_another_circuit(column: Network, name: str) -> None:
    [step] = scenarios.named([name])
    assert step(column, 0).digest() != step(column, 1).digest()


def test_a_scenario_is_saved_and_driven_like_any_column(column: Network, tmp_path: Path) -> None:
    made = v1.no_dale(v1.random_synapses(v1.uniform_neurons(column), seed=1), seed=1)
    made.save(tmp_path / "made.h5")
    read = Network.load(tmp_path / "made.h5")
    assert read.digest() == made.digest()
    assert read.provenance["scenarios"] == json.loads(json.dumps(made.provenance["scenarios"]))
    assert v1.lgn(read).channels is not None


def test_build_takes_scenarios(tmp_path: Path) -> None:
    from circuits.cli import app

    out = tmp_path / "made.h5"
    command = ["build", "200", "--seed", "4", "--out", str(out)]
    steps = ["--scenario", "random_synapses", "--scenario", "no_dale"]
    assert CliRunner().invoke(app, [*command, *steps]).exit_code == 0
    expected = v1.no_dale(v1.random_synapses(v1.column(200, seed=4), seed=4), seed=4)
    assert Network.load(out).digest() == expected.digest()
    out.unlink()
    wrong = CliRunner().invoke(app, [*command, "--scenario", "no_dales"])
    assert wrong.exit_code == 2
    assert "Did you mean 'no_dale'?" in " ".join(wrong.stderr.split())
    assert not out.exists()


# Parts


@given(st.integers(0, 10_000), st.floats(0.05, 0.95))
def test_select_and_strip_divide_the_network(small: Network, seed: int, share: float) -> None:
    column = small
    where = stream(seed, "mask").random(column.n) < share
    where[:2] = True, False
    inside, outside = v1.select(column, where=where), v1.strip(column, where=where)
    assert inside.n + outside.n == column.n
    synapses = column.synapses
    across = where[synapses.pre] != where[synapses.post]
    assert len(inside.synapses) + len(outside.synapses) + across.sum() == len(synapses)
    who = np.flatnonzero(where)
    for part in (*PARTS, "pre", "post"):
        kept = getattr(synapses, part)[where[synapses.pre] & where[synapses.post]]
        found = getattr(inside.synapses, part)
        assert (kept == (who[found] if part in ("pre", "post") else found)).all()
    assert (inside.neurons["x_um"] == column.neurons["x_um"][where]).all()
    for name, source in column.inputs.items():
        parts = [network.inputs[name] for network in (inside, outside)]
        assert sum(len(part.synapses) for part in parts) == len(source.synapses)
        expected = [source.n] * 2 if source.rate_Hz is None else [where.sum(), (~where).sum()]
        assert [part.n for part in parts] == expected
    background = inside.inputs["background"].synapses
    assert (background.pre == background.post).all()
    weight = column.inputs["background"].synapses.weight
    assert (background.weight == weight[where]).all()


def test_parts_by_name(column: Network) -> None:
    cls = column.neurons["cell_class"]
    for part, mask in (
        (v1.select(column, classes="e4"), cls == "e4"),
        (v1.select(column, classes=["e4", "i1Htr3a"]), np.isin(cls, ["e4", "i1Htr3a"])),
        (v1.select(column, layers=["1", "4"]), np.isin(cls, ["i1Htr3a", *v1.layers(column)["4"]])),
        (v1.strip(column, layers="2/3"), ~np.isin(cls, v1.layers(column)["2/3"])),
        (v1.strip(column, layers="4", where=column.excitatory), cls != "e4"),
        (
            v1.select(column, populations="e5noRbp4"),
            column.neurons["population"] == "e5noRbp4",
        ),
    ):
        assert part.digest() == subnetwork(column, mask).digest()
    assert list(v1.layers(column)) == ["1", "2/3", "4", "5", "6"]
    assert sorted(itertools.chain(*v1.layers(column).values())) == sorted(column.classes)
    assert list(v1.layers(v1.strip(column, layers="2/3"))) == ["1", "4", "5", "6"]


def test_parts_are_written_down(column: Network) -> None:
    made = v1.strip(v1.random_synapses(column, seed=1), layers=["1"], where=~column.excitatory)
    random, cut = made.provenance["scenarios"]
    assert random["name"] == "random_synapses"
    assert cut["name"] == "strip"
    assert cut["layers"] == ["1"]
    assert cut["where"] == f"mask of {(~column.excitatory).sum()} neurons"
    assert (cut["neurons"], cut["synapses"]) == (made.n, len(made.synapses))
    assert cut["synapses"] + cut["synapses_cut"] == len(column.synapses)


@pytest.mark.parametrize(
    ("conditions", "words"),
    [
        ({}, "need a condition"),
        ({"classes": "e3"}, "unknown cell class 'e3'; accepted: e23, e4"),
        ({"layers": ["4", "7"]}, "unknown layer '7'; accepted: 1, 2/3, 4, 5, 6"),
        ({"populations": "e4"}, "unknown population 'e4'"),
        ({"where": np.ones(3, dtype=bool)}, r"has shape \(600,\), got bool of shape \(3,\)"),
        ({"where": np.arange(600)}, "got int64"),
        ({"classes": "e4", "layers": "5"}, "the selection is empty"),
    ],
)
def test_what_cannot_be_selected(column: Network, conditions: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        v1.select(column, **conditions)


def test_nothing_may_be_left_of_a_strip(column: Network) -> None:
    with pytest.raises(InputError, match="the selection is empty"):
        v1.strip(column, layers=v1.layers(column))


def test_poisson_sources_go_with_the_neurons_they_drove() -> None:
    shared = Input(
        4,
        Synapses(*map(np.array, ([0, 1, 1, 3], [0, 1, 2, 3], [1.0] * 4, [1.0] * 4, [0] * 4))),
        rate_Hz=250.0,
        sources=Table({"name": np.array(["a", "b", "c", "d"])}),
    )
    network = small_networks.network(inputs={"shared": shared})
    part = subnetwork(network, np.array([False, False, True, True])).inputs["shared"]
    # a drove neuron 0 alone; b drives neuron 2 as well; c drives nobody, before as after.
    assert part.sources is not None
    assert part.sources["name"].tolist() == ["b", "c", "d"]
    assert rows(part.synapses, "pre", "post") == [(0, 0), (2, 1)]
