"""SONATA networks of other programs, such as BMTK's NetworkBuilder, as a `Network`.

What becomes of what (in the order of precedence of the format: by node or edge, by parameters
file, by type):

- populations of ``virtual`` nodes are inputs, all others together the neurons;
- ``cell_class`` is the first of ``cell_class``, ``pop_name``, ``cell_type``, ``model_name`` that
  there is, else population and type; ``population`` is ``pop_name`` or the population's name;
- ``x``, ``y``, ``z`` are um, ``tuning_angle`` degrees;
- the sign is that of ``ei`` (e or i, exc or inh, ...), else that of the summed weights of the
  neuron's type, else +1; if a weight disagrees, ``dale`` is False;
- a weight is nsyns x syn_weight in pA, a delay ms (NEST's 1 ms where there is none);
- a receptor is the one of port ``receptor_type`` of the target's parameters; receptors with equal
  time constants are one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from converters.sonata import config as configuration
from converters.sonata.foreign_cells import Cells, read_cells
from converters.sonata.foreign_edges import Edges, read_edges
from converters.sonata.hdf5 import Hdf5Reader
from converters.sonata.nodes import Nodes, read_populations
from toolkit import progress
from toolkit.errors import DataError
from toolkit.network import Input, Network, Synapses
from toolkit.table import Table

DEFAULT_DELAY_MS = 1.0  # NEST's `static_synapse`
PLAIN_WEIGHTS = {"default_weight_fnc", "set_syn_weight", "wmax"}  # BMTK's for nsyns x syn_weight
PARTS = ("pre", "post", "weight", "delay_ms", "receptor")

Part = dict[str, np.ndarray]


def read(path: Path, show_progress: bool | None = None) -> Network:
    """A network by its configuration; see `converters.sonata.from_sonata`."""
    config = configuration.read(path)
    with Hdf5Reader() as reader:
        populations = list(read_populations(reader, config))
        virtual = {nodes.population: nodes for nodes in populations if _is_virtual(nodes)}
        neurons = [nodes for nodes in populations if nodes.population not in virtual]
        if not neurons:
            raise DataError(f"{path} names no neurons, only virtual nodes")
        cells = read_cells(neurons, config)
        recurrent: list[Part] = []
        outside: dict[str, list[Part]] = {name: [] for name in virtual}
        firsts = np.cumsum([0, *(nodes.n for nodes in neurons)])
        places = {
            nodes.population: (nodes, int(first))
            for nodes, first in zip(neurons, firsts, strict=False)
        }
        places |= {name: (nodes, 0) for name, nodes in virtual.items()}
        with progress.bar(len(config.edges), "SONATA", " files", show_progress) as shown:
            for edges in read_edges(reader, config):
                for name in (edges.source, edges.target):
                    if name not in places:
                        raise DataError(
                            f"{edges.path}: {edges.population} connects the population {name!r}, "
                            "which no file of nodes has"
                        )
                if edges.target not in virtual:
                    part = _connected(edges, places, cells)
                    (outside[edges.source] if edges.source in virtual else recurrent).append(part)
                shown.update(1)
    synapses = _sorted(recurrent)
    sign = _signs(cells, synapses)
    return Network(
        neurons=Table({**cells.columns, "sign": sign}),
        synapses=synapses,
        receptors=cells.receptors,
        inputs={
            _identifier(name): Input(nodes.n, _sorted(outside[name]), None, _sources(nodes))
            for name, nodes in virtual.items()
        },
        provenance={"read_from": "SONATA", "configuration": path.name},
        dale=not bool((synapses.weight * sign[synapses.pre] < 0).any()),
    )


def _is_virtual(nodes: Nodes) -> bool:
    model = nodes.text("model_type")
    if model is None:
        if not nodes.n:
            return any(row.get("model_type") == "virtual" for row in nodes.types.values())
        raise DataError(f"{nodes.path}: the nodes of {nodes.population!r} have no model_type")
    virtual = model == "virtual"
    if virtual.any() and not virtual.all():
        raise DataError(
            f"{nodes.path}: the population {nodes.population!r} has virtual nodes and others; "
            "give the virtual ones a population of their own"
        )
    return bool(virtual.any())


def _sources(nodes: Nodes) -> Table | None:
    """What is known of the nodes of an input."""
    columns = {
        name.replace("/", "_"): values
        for name, values in nodes.attributes().items()
        if name not in ("model_type", "population")
    }
    return Table(columns) if columns else None


def _identifier(name: str) -> str:
    plain = "".join(c if c.isascii() and (c.isalnum() or c == "_") else "_" for c in name)
    return plain if plain.isidentifier() else f"_{plain}"


def _signs(cells: Cells, synapses: Synapses) -> np.ndarray:
    """Sign of every neuron: as given, else of its type's weights, else +1."""
    n_models = len(cells.ports)
    of_pre = cells.model[synapses.pre]
    total = np.bincount(of_pre, weights=synapses.weight, minlength=n_models)
    guessed = np.where(total < 0, -1, 1)[cells.model] if n_models else cells.sign
    return np.where(cells.sign == 0, guessed, cells.sign).astype(np.int8)


def _connected(edges: Edges, places: Mapping[str, tuple[Nodes, int]], cells: Cells) -> Part:
    """Synapses of a population of edges, unsorted."""
    for type_id in map(int, np.unique(edges.type_id)):
        row, where = edges.types[type_id], f"{edges.path}: edge type {type_id}"
        template = row.get("model_template", "static_synapse").removeprefix("nest:")
        if template != "static_synapse":
            raise DataError(
                f"{where}: the synapse model {template!r} is not ours, which is static_synapse; "
                "sonata_tables reads nodes, edges and parameters without making a network"
            )
        function = row.get("weight_function", "default_weight_fnc")
        if function not in PLAIN_WEIGHTS:
            raise DataError(
                f"{where}: weights are made by the function {function!r}; save them as syn_weight"
            )
    source, first_source = places[edges.source]
    target, first_target = places[edges.target]
    post = target.rows_of(edges.target_id, f"{edges.path}: target_node_id") + first_target
    port = edges.values("receptor_type", 0.0)
    inside = (port == np.floor(port)) & (port >= 1) & (port < cells.ports.shape[1])
    column = np.where(inside, port, 0).astype(np.int64)
    receptor = cells.ports[cells.model[post], column]
    if (receptor < 0).any():
        i = int(np.flatnonzero(receptor < 0)[0])
        raise DataError(
            f"{edges.path}: edge {i} of {edges.population} (type {edges.type_id[i]}) has "
            f"receptor_type {port[i]:g}; its target, node {edges.target_id[i]}, has no such port"
        )
    return {
        "pre": source.rows_of(edges.source_id, f"{edges.path}: source_node_id") + first_source,
        "post": post,
        "weight": edges.values("nsyns", 1.0) * edges.values("syn_weight", None),
        "delay_ms": edges.values("delay", DEFAULT_DELAY_MS),
        "receptor": receptor,
    }


def _sorted(parts: Sequence[Part]) -> Synapses:
    if not parts:
        return Synapses.none()
    return Synapses.sort(*(np.concatenate([part[name] for part in parts]) for name in PARTS))
