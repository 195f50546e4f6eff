"""`to_networkx`: a `Network` as a graph of its classes or of its neurons."""

from __future__ import annotations

from itertools import repeat
from typing import Any

import networkx as nx
import numpy as np

from toolkit.errors import InputError, unknown
from toolkit.network import Network, Synapses

LEVELS = ("class", "neuron")
# networkx keeps a dictionary and four numbers an edge, measured in networkx 3.6 on Python 3.11; a
# `Network` needs 17 bytes. At the limit the graph is some 0.3 GB.
BYTES_A_SYNAPSE = 310
MAX_SYNAPSES = 1_000_000
BLOCK = 2**22  # synapses summed at a time
_POSITION = ("x_um", "y_um", "z_um", "tuning_deg")


def to_networkx(network: Network, level: str = "class", *, inputs: bool = False) -> nx.DiGraph:
    """A directed graph from presynaptic to postsynaptic classes or neurons.

    Parameters
    ----------
    network : the circuit
    level : ``"class"`` or ``"neuron"``
    inputs : with the network's inputs: at class level one node each, by name; at neuron level one
        a source, ``(name, number)``

    Returns
    -------
    networkx.DiGraph
        At class level the nodes are the class names, in the network's order, with ``kind``
        (``"class"`` or ``"input"``), ``neurons`` (or sources), ``sign`` (+1 or -1; 0 for a class
        of both) and, if the neurons have positions, ``depth_um``, their mean depth. An edge for
        every pair of classes with a synapse: ``synapses`` (rows of `Network.synapses`, one a
        connected pair in V1), ``probability`` (connected pairs over possible pairs, self
        connections not counted as possible), ``weight_pA`` and ``weight_sd_pA`` (mean and standard
        deviation over synapses), ``delay_ms`` (mean).
        At neuron level the nodes are the neurons' numbers with ``cell_class``, ``population``,
        ``sign`` and position; edges have ``weight_pA``, ``delay_ms`` and ``receptor`` (name). If
        a pair of neurons has several synapses it is a MultiDiGraph, so that none is lost.
        All values are plain Python numbers and text, which networkx can write to any format.

    Raises
    ------
    InputError : unknown level; more synapses at neuron level than `MAX_SYNAPSES`; an input with
        the name of a class

    Time O(synapses); memory O(synapses) at neuron level, O(class pairs) at class level.

    Examples
    --------
    >>> from circuits import v1                                          # doctest: +SKIP
    >>> graph = to_networkx(v1.column("3k", seed=1))                     # doctest: +SKIP
    >>> graph.edges["e4", "e23"]["probability"]                          # doctest: +SKIP
    0.0989...
    """
    if level not in LEVELS:
        raise unknown("level", level, LEVELS)
    return _of_classes(network, inputs) if level == "class" else _of_neurons(network, inputs)


def _of_classes(network: Network, inputs: bool) -> nx.DiGraph:
    graph = nx.DiGraph()
    names, neurons = network.classes, network.neurons
    number = {name: k for k, name in enumerate(names)}
    cls = np.array([number[name] for name in neurons["cell_class"].tolist()], dtype=np.int64)
    size = np.bincount(cls, minlength=len(names))
    for k, name in enumerate(names):
        signs = np.unique(neurons["sign"][cls == k])
        graph.add_node(name, kind="class", neurons=int(size[k]))
        graph.nodes[name]["sign"] = int(signs[0]) if len(signs) == 1 else 0
        if "y_um" in neurons:
            graph.nodes[name]["depth_um"] = -float(neurons["y_um"][cls == k].mean())
    possible = np.outer(size, size) - np.diag(size)
    _add_pairs(graph, names, names, network.synapses, cls, cls, possible)
    for name, source in network.inputs.items() if inputs else ():
        if name in graph:
            raise InputError(f"the input {name!r} has the name of a cell class; rename one")
        graph.add_node(name, kind="input", neurons=source.n, sign=1)
        one = np.zeros(source.n, dtype=np.int64)
        _add_pairs(graph, [name], names, source.synapses, one, cls, source.n * size[None, :])
    return graph


def _add_pairs(
    graph: nx.DiGraph,
    pre_names: list[str],
    post_names: list[str],
    synapses: Synapses,
    pre_class: np.ndarray,
    post_class: np.ndarray,
    possible: np.ndarray,
) -> None:
    """Edges between classes, with what their synapses are like."""
    n = len(pre_names) * len(post_names)
    count, pairs = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
    weight, delay, square = np.zeros(n), np.zeros(n), np.zeros(n)
    rows = [slice(start, start + BLOCK) for start in range(0, len(synapses), BLOCK)]

    def kind(row: slice) -> np.ndarray:
        return pre_class[synapses.pre[row]] * len(post_names) + post_class[synapses.post[row]]

    repeats = np.zeros(len(synapses), dtype=bool)
    repeats[1:] = (np.diff(synapses.post) == 0) & (np.diff(synapses.pre) == 0)
    for row in rows:
        key = kind(row)
        count += np.bincount(key, minlength=n)
        pairs += np.bincount(key[~repeats[row]], minlength=n)
        weight += np.bincount(key, weights=synapses.weight[row], minlength=n)
        delay += np.bincount(key, weights=synapses.delay_ms[row], minlength=n)
    there = np.maximum(count, 1)
    mean = weight / there
    for row in rows:
        key = kind(row)
        square += np.bincount(key, weights=(synapses.weight[row] - mean[key]) ** 2, minlength=n)
    probability = pairs / np.maximum(possible.ravel(), 1)
    for k in np.flatnonzero(count).tolist():
        graph.add_edge(
            pre_names[k // len(post_names)],
            post_names[k % len(post_names)],
            synapses=int(count[k]),
            probability=float(probability[k]),
            weight_pA=float(mean[k]),
            weight_sd_pA=float(np.sqrt(square[k] / there[k])),
            delay_ms=float(delay[k] / there[k]),
        )


def _of_neurons(network: Network, inputs: bool) -> nx.DiGraph:
    groups: list[tuple[str | None, Synapses]] = [(None, network.synapses)]
    if inputs:
        groups += [(name, source.synapses) for name, source in network.inputs.items()]
    n_synapses = sum(len(synapses) for _, synapses in groups)
    if n_synapses > MAX_SYNAPSES:
        raise InputError(
            f"{n_synapses:,} synapses are too many for a graph of neurons: networkx keeps a "
            f"dictionary each, about {n_synapses * BYTES_A_SYNAPSE / 1e9:.1f} GB; the limit is "
            f"{MAX_SYNAPSES:,}. Use level='class', a part of the network "
            "(toolkit.subnetwork.subnetwork), or the arrays themselves: scipy.sparse.csr_matrix("
            "(synapses.weight, (synapses.pre, synapses.post)))"
        )
    several = any(
        ((np.diff(synapses.post) == 0) & (np.diff(synapses.pre) == 0)).any()
        for _, synapses in groups
    )
    graph: nx.DiGraph = nx.MultiDiGraph() if several else nx.DiGraph()
    columns = ["cell_class", "population", "sign", *_POSITION]
    columns = [name for name in columns if name in network.neurons]
    values = zip(*(network.neurons[name].tolist() for name in columns), strict=True)
    graph.add_nodes_from(
        (i, dict(zip(columns, each, strict=True))) for i, each in enumerate(values)
    )
    receptors = [str(name) for name in network.receptors]
    for name, synapses in groups:
        pre: list[Any] = synapses.pre.tolist()
        if name is not None:
            graph.add_nodes_from((name, k) for k in range(network.inputs[name].n))
            pre = list(zip(repeat(name), pre, strict=False))
        edges = zip(
            pre,
            synapses.post.tolist(),
            synapses.weight.tolist(),
            synapses.delay_ms.tolist(),
            synapses.receptor.tolist(),
            strict=True,
        )
        graph.add_edges_from(
            (start, end, {"weight_pA": weight, "delay_ms": delay, "receptor": receptors[k]})
            for start, end, weight, delay, k in edges
        )
    return graph
