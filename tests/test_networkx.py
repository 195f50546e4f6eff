"""Networks as networkx graphs, and the drawing of their classes."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import matplotlib.text
import networkx as nx
import numpy as np
import pytest
import small_networks
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.patches import FancyArrowPatch

from circuits import v1
from converters import graph as conversion
from converters import to_networkx
from toolkit import Input, Network, Synapses, plots
from toolkit.errors import InputError
from toolkit.graph_plot import class_graph
from toolkit.rng import stream


@pytest.fixture(scope="module")
def column() -> Network:
    return v1.column(400, seed=3)


def random_network(seed: int, n: int, n_synapses: int) -> Network:
    """Some pairs may have several synapses, and neurons may connect to themselves."""
    rng = stream(seed, "network")
    neurons = small_networks.neurons(
        n, cell_class=np.array(["a", "b", "c"])[np.sort(rng.integers(3, size=n))]
    )
    pre, post = rng.integers(n, size=(2, n_synapses))
    weight = rng.lognormal(size=n_synapses) * neurons["sign"][pre]
    synapses = Synapses.sort(pre, post, weight, rng.random(n_synapses) + 1, pre % 2)
    channels = Input(3, Synapses(*map(np.array, ([2], [n - 1], [4.0], [1.7], [0]))))
    return small_networks.network(neurons=neurons, synapses=synapses, inputs={"lgn": channels})


@given(st.integers(0, 10_000), st.integers(2, 12), st.integers(0, 60))
def test_class_graph_is_what_counting_gives(seed: int, n: int, n_synapses: int) -> None:
    network = random_network(seed, n, n_synapses)
    cls, synapses = network.neurons["cell_class"].tolist(), network.synapses
    found, pairs = defaultdict(list), defaultdict(set)
    for k in range(n_synapses):
        pre, post = int(synapses.pre[k]), int(synapses.post[k])
        found[cls[pre], cls[post]].append(k)
        pairs[cls[pre], cls[post]].add((pre, post))
    graph = to_networkx(network)
    assert list(graph) == network.classes
    assert set(graph.edges) == set(found)
    for (pre, post), rows in found.items():
        edge = graph.edges[pre, post]
        weight = synapses.weight[rows].astype(float)
        possible = cls.count(pre) * cls.count(post) - (cls.count(pre) if pre == post else 0)
        assert edge["synapses"] == len(rows)
        assert edge["probability"] == pytest.approx(len(pairs[pre, post]) / max(possible, 1))
        assert edge["weight_pA"] == pytest.approx(weight.mean())
        assert edge["weight_sd_pA"] == pytest.approx(weight.std(), abs=1e-9)
        assert edge["delay_ms"] == pytest.approx(synapses.delay_ms[rows].mean())
    for name in network.classes:
        mine = network.neurons["cell_class"] == name
        signs = set(network.neurons["sign"][mine].tolist())
        expected = signs.pop() if len(signs) == 1 else 0
        assert graph.nodes[name]["sign"] == expected
        assert graph.nodes[name]["neurons"] == mine.sum()


@given(st.integers(0, 10_000), st.integers(2, 12), st.integers(0, 60))
def test_neuron_graph_has_every_synapse(seed: int, n: int, n_synapses: int) -> None:
    network = random_network(seed, n, n_synapses)
    graph = to_networkx(network, level="neuron")
    synapses = network.synapses
    names = list(network.receptors)
    expected = sorted(
        zip(
            synapses.pre.tolist(), synapses.post.tolist(), synapses.weight.tolist(),
            synapses.delay_ms.tolist(), [names[k] for k in synapses.receptor], strict=True,
        )
    )  # fmt: skip
    edges = graph.edges(data=True)
    found = sorted((u, v, d["weight_pA"], d["delay_ms"], d["receptor"]) for u, v, d in edges)
    assert found == expected
    distinct = {pair[:2] for pair in expected}
    assert graph.is_multigraph() == (len(distinct) < n_synapses)
    assert list(graph) == list(range(n))


def test_class_graph_of_a_column(column: Network) -> None:
    graph = to_networkx(column, inputs=True)
    assert type(graph) is nx.DiGraph
    assert list(graph) == [*column.classes, "lgn", "background"]
    assert sum(graph.nodes[name]["neurons"] for name in column.classes) == column.n
    edges = graph.edges(data="synapses")
    recurrent = [count for pre, _, count in edges if pre in column.classes]
    assert sum(recurrent) == len(column.synapses)
    assert 270 < graph.nodes["e4"]["depth_um"] < 470
    assert graph.nodes["e4"]["sign"] == 1
    assert graph.nodes["lgn"] == {"kind": "input", "neurons": 832, "sign": 1}
    background = graph.edges["background", "e4"]
    assert background["synapses"] == graph.nodes["e4"]["neurons"]
    assert background["probability"] == pytest.approx(1 / column.n)
    assert graph.edges["lgn", "e4"]["weight_pA"] > 0


def test_class_graph_does_not_depend_on_its_blocks(
    column: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = to_networkx(column)
    monkeypatch.setattr(conversion, "BLOCK", 777)
    parts = to_networkx(column)
    for pair in whole.edges:
        assert parts.edges[pair] == pytest.approx(whole.edges[pair])


def test_neuron_graph_of_a_column(column: Network) -> None:
    graph = to_networkx(column, level="neuron", inputs=True)
    assert type(graph) is nx.DiGraph
    assert graph.number_of_nodes() == column.n + 832 + column.n
    node = graph.nodes[7]
    assert list(node) == [
        "cell_class", "population", "sign", "x_um", "y_um", "z_um", "tuning_deg"
    ]  # fmt: skip
    assert node["x_um"] == column.neurons["x_um"][7]
    assert graph.edges[("background", 7), 7]["receptor"] == "e2i"
    in_degree = np.array([d for _, d in graph.in_degree(range(column.n))])
    expected = np.bincount(column.synapses.post, minlength=column.n) + 1
    expected += np.bincount(column.inputs["lgn"].synapses.post, minlength=column.n)
    assert (in_degree == expected).all()


@pytest.mark.parametrize("level", ["class", "neuron"])
def test_graphs_can_be_written(column: Network, level: str, tmp_path: Path) -> None:
    part = v1.select(column, layers="4")
    graph = to_networkx(part, level=level)
    nx.write_graphml(graph, tmp_path / "graph.graphml")
    kind = str if level == "class" else int
    read = nx.read_graphml(tmp_path / "graph.graphml", node_type=kind)
    assert dict(read.nodes(data=True)) == dict(graph.nodes(data=True))
    assert sorted(read.edges(data=True), key=str) == sorted(graph.edges(data=True), key=str)


def test_a_large_graph_of_neurons_is_refused(
    column: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = len(column.synapses)
    monkeypatch.setattr(conversion, "MAX_SYNAPSES", limit)
    assert to_networkx(column, level="neuron").number_of_edges() == limit
    with pytest.raises(InputError, match=r"are too many .* GB; the limit is .* level='class'"):
        to_networkx(column, level="neuron", inputs=True)
    monkeypatch.setattr(conversion, "MAX_SYNAPSES", limit - 1)
    with pytest.raises(InputError, match=f"{limit:,} synapses are too many"):
        to_networkx(column, level="neuron")


def test_what_cannot_be_a_graph() -> None:
    with pytest.raises(InputError, match="unknown level 'classes'; accepted: class, neuron"):
        to_networkx(small_networks.network(), level="classes")
    double = small_networks.network(inputs={"excitatory": Input(1, Synapses.none())})
    assert "excitatory" in to_networkx(double)
    with pytest.raises(InputError, match="input 'excitatory' has the name of a cell class"):
        to_networkx(double, inputs=True)


def draw(graph: nx.DiGraph, rows: dict[str, list[str]], **options) -> tuple[int, int, set[str]]:
    """Connections left out and drawn, and all text in the figure."""
    with plots.style():
        figure = plots.new_figure(7, 7)
        axes = figure.add_subplot()
        left_out = class_graph(axes, graph, rows, **options)
        assert plots.png(figure, dpi=40).startswith(b"\x89PNG")
    words = {text.get_text() for text in figure.findobj(matplotlib.text.Text)}
    return left_out, len([p for p in axes.patches if isinstance(p, FancyArrowPatch)]), words


@pytest.mark.parametrize("width", ["weight", "probability"])
def test_the_drawing_names_classes_and_leaves_out_what_is_weak(column: Network, width: str) -> None:
    graph = to_networkx(column, inputs=True)
    rows = {f"L{layer}": classes for layer, classes in v1.layers(column).items()}
    between_classes = len(to_networkx(column).edges)
    left_out, drawn, words = draw(graph, rows, width=width)
    assert 20 < drawn < between_classes
    assert left_out + drawn == between_classes
    assert {*column.classes, "L1", "L2/3", "excitation", "inhibition"} <= words
    assert draw(graph, rows, width=width, smallest=0.0)[:2] == (0, between_classes)


def test_weak_is_a_share_of_what_the_target_gets_of_one_sign() -> None:
    graph = nx.DiGraph()
    for name, sign in (("a", 1), ("b", 1), ("c", 1), ("i", -1)):
        graph.add_node(name, sign=sign, neurons=10)
    for pre, weight in (("a", 90.0), ("b", 6.0), ("c", 4.0), ("i", -0.1)):
        graph.add_edge(pre, "a", synapses=10, weight_pA=weight, probability=0.1)
    rows = {"one": ["a", "b"], "two": ["c", "i"]}
    assert draw(graph, rows, smallest=0.05)[:2] == (1, 3)
    assert draw(graph, rows, smallest=0.07)[:2] == (2, 2)
    assert draw(graph, rows, width="probability", smallest=0.07)[:2] == (0, 4)


def test_the_drawing_takes_inputs_and_parts(column: Network) -> None:
    graph = to_networkx(column, inputs=True)
    _, drawn, words = draw(graph, {"thalamus": ["lgn"], "L4": ["e4", "i4Pvalb"]})
    assert "lgn" in words
    assert drawn >= 4


@pytest.mark.parametrize(
    ("rows", "options", "words"),
    [
        ({"L4": ["e4"]}, {"width": "delay"}, "unknown width 'delay'; accepted: weight"),
        ({"L4": ["e3"]}, {}, "unknown class 'e3'; accepted: i1Htr3a, e23"),
        ({}, {}, "no class to draw"),
    ],
)
def test_what_cannot_be_drawn(column: Network, rows: dict, options: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        class_graph(plots.new_figure(2, 2).add_subplot(), to_networkx(column), rows, **options)
