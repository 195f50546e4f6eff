"""`to_sonata`: write a `Network` as a SONATA folder."""

from __future__ import annotations

import csv
import dataclasses
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from converters.sonata import folder as layout
from converters.sonata.columns import (
    DATASETS,
    Split,
    dataset_names,
    described,
    split,
    text_columns,
)
from converters.sonata.edges import dataset, sonata_file, write_edges
from converters.sonata.models import OWN, template_of, to_nest
from toolkit import progress
from toolkit.errors import InputError
from toolkit.files import whole_folder
from toolkit.network import Network
from toolkit.neurons import glif3
from toolkit.neurons.models import MODELS
from toolkit.table import Table

NAMES = ("population", "cell_class", "cell", "sign")  # what other than parameters makes a node type
STARTS = "V_init_mV"  # differs from neuron to neuron, and no simulation hangs on its type's value


def to_sonata(
    network: Network,
    folder: str | Path,
    *,
    population: str = "v1",
    overwrite: bool = False,
    show_progress: bool | None = None,
) -> None:
    """Write `network` as a folder in the SONATA format, whole or not at all.

    Nodes with their cell models as node types, recurrent edges, every input as a population of
    virtual nodes with edges of its own, parameter files under NEST's names, and two configurations:
    ``circuit_config.json`` for any reader and ``simulation_config.json`` for BMTK's PointNet, which
    expects the inputs' spikes in ``inputs/NAME_spikes.h5`` (`write_spikes`). Weights are peak
    currents in pA, delays ms, positions um. What SONATA has no place for goes into
    ``striate.json``; `from_sonata` then gives the identical network.

    Parameters
    ----------
    network : the circuit
    folder : where; the folder above it must exist
    population : name of the neurons' population: letters, digits and underscores
    overwrite : whether a network of `to_sonata` that is there is replaced; nothing else ever is
    show_progress : a bar; by default on a terminal

    Raises
    ------
    InputError : the place is taken, an input has the population's name, columns or provenance that
        the format cannot hold

    Format: https://github.com/AllenInstitute/sonata (developer guide). About 10 bytes a synapse on
    the disk; beside the network some 200 MB of memory, whatever its size.

    PointNet takes no parameters by node: it starts all neurons of a type at its E_L unless
    ``V_init_mV`` is the same for all of them. Networks that NEST's GLIF models cannot run
    (exponential receptors) name the model ``striate:glif3``, which other programs refuse.

    Examples
    --------
    >>> from circuits import v1                                          # doctest: +SKIP
    >>> to_sonata(v1.column("3k", seed=1), "v1_3k")                      # doctest: +SKIP
    """
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", population):
        raise InputError(
            f"a population's name must be ASCII letters, digits and underscores, got {population!r}"
        )
    if population in network.inputs:
        raise InputError(
            f"an input is called {population!r}, as the neurons' population is; pass another "
            "population="
        )
    total = 2 * sum(map(len, (network.synapses, *(i.synapses for i in network.inputs.values()))))

    def check(path: Path) -> None:
        layout.check_replaceable(path, overwrite)

    with (
        whole_folder(folder, check) as place,
        progress.bar(total, "SONATA", " edges", show_progress) as shown,
    ):
        for name in ("network", "components/cell_models", "components/synaptic_models"):
            (place / name).mkdir(parents=True)
        about = _write_network(network, place, population, shown)
        layout.write_json(place / layout.CIRCUIT, _circuit(network, population))
        layout.write_json(place / layout.SIMULATION, _simulation(network, population))
        layout.write_about(place, about)


def _write_network(network: Network, place: Path, population: str, shown: Any) -> dict[str, Any]:
    """Nodes, edges and parameters; returns what ``striate.json`` says of them."""
    receptors = network.receptors
    parameters = [p.name for p in MODELS[network.model].parameters]
    by = [*NAMES, *(name for name in parameters if name != STARTS)]
    cells = split(network.neurons, by, constant=(STARTS, *text_columns(network.neurons)))
    _write_nodes(place, population, network.neurons, cells, _cell_types(network, cells, place))
    _write_receptors(place, network)
    about: dict[str, Any] = {
        "model": network.model,
        "seed": network.seed,
        "dale": network.dale,
        "provenance": dict(network.provenance),
        "receptors": {name: dataclasses.asdict(r) for name, r in receptors.items()},
        "population": population,
        "n": network.n,
        "n_synapses": len(network.synapses),
        "neurons": described(network.neurons, cells),
        "inputs": {},
    }
    here = (population, network.n)
    _write_edges(place, here, here, network, network.synapses, shown)
    for name, source in network.inputs.items():
        table = Table({}) if source.sources is None else source.sources
        sources = (
            split(table, text_columns(table))
            if table
            else Split(np.zeros(source.n, dtype=np.int64), {}, {})
        )
        rows = [
            {key: values[k] for key, values in sources.types.items()} | {"model_type": "virtual"}
            for k in range(sources.n_types)
        ] or [{"model_type": "virtual"}]
        _write_nodes(place, name, table, sources, rows)
        _write_edges(place, (name, source.n), here, network, source.synapses, shown)
        about["inputs"][name] = {
            "n": source.n,
            "n_synapses": len(source.synapses),
            "rate_Hz": source.rate_Hz,
            "sources": None if source.sources is None else described(table, sources),
        }
    return about


def _cell_types(network: Network, cells: Split, place: Path) -> list[dict[str, Any]]:
    """The rows of the neurons' types; writes the file of parameters of each."""
    listed = list(network.receptors.values())
    plain = network.model == glif3.NAME
    template, rows = template_of(listed) if plain else f"striate:{network.model}", []
    parameters = [p.name for p in MODELS[network.model].parameters if p.name in network.neurons]
    if plain and any(name not in cells.types for name in parameters if name != STARTS):
        template = OWN  # parameters by node, which PointNet does not read
    if plain and "I_ext_pA" in parameters:
        template = OWN  # NEST's GLIF models take no constant current as a parameter
    for k in range(cells.n_types):
        values = {name: column[k] for name, column in cells.types.items()}
        label = re.sub(r"[^A-Za-z0-9]+", "_", str(values.get("cell", ""))).strip("_")[:60]
        file = f"{k}_{label}.json" if label else f"{k}.json"
        known = {name: values[name] for name in parameters if name in values}
        content = to_nest(known, listed) if plain else {k: float(v) for k, v in known.items()}
        layout.write_json(place / "components" / "cell_models" / file, content)
        row = {"model_type": "point_neuron", "model_template": template, "dynamics_params": file}
        if "population" in values:
            row["pop_name"] = values["population"]
        if "sign" in values:
            row["ei"] = "e" if values["sign"] > 0 else "i"
        more = [name for name in values if name not in (*parameters, "population", "sign")]
        rows.append({name: values[name] for name in more} | row)
    return rows


def _write_nodes(
    place: Path, population: str, table: Table, parts: Split, types: Sequence[Mapping[str, Any]]
) -> None:
    """The files of a population's nodes and node types."""
    names, n = dataset_names(parts.rows), len(parts.type_of)
    with sonata_file(place / "network" / f"{population}_nodes.h5") as file:
        nodes = file.create_group(f"nodes/{population}")
        dataset(nodes, "node_id", n, np.uint64)[:] = np.arange(n)
        dataset(nodes, "node_type_id", n, np.uint64)[:] = parts.type_of
        dataset(nodes, "node_group_id", n, np.uint16)[:] = np.zeros(n)
        dataset(nodes, "node_group_index", n, np.uint64)[:] = np.arange(n)
        own = nodes.create_group("0")
        for name, values in parts.rows.items():
            try:
                if values.dtype.kind == "U":
                    values = values.astype(object)
                elif values.dtype.kind == "b":
                    values = values.astype(np.int8)
                own[names[name]] = values if len(values) else np.zeros(0, _stored(table[name]))
            except ValueError as error:
                raise InputError(f"the column {name!r} cannot be stored: {error}") from error
            if name in DATASETS:
                own[names[name]].attrs["units"] = DATASETS[name][1]
    rows = [
        {"node_type_id": k} | dict(row) | {"node_type_id": k, "population": population}
        for k, row in enumerate(types)
    ]
    _write_csv(place / "network" / f"{population}_node_types.csv", rows, "node_type_id")


def _stored(values: np.ndarray) -> Any:
    import h5py

    if values.dtype.kind == "U":
        return h5py.string_dtype()
    return np.int8 if values.dtype.kind == "b" else values.dtype


def _write_receptors(place: Path, network: Network) -> None:
    for k in range(len(network.receptors)):
        file = place / "components" / "synaptic_models" / f"receptor_{k + 1}.json"
        layout.write_json(file, {"receptor_type": k + 1})  # NEST counts its ports from 1


def _write_edges(
    place: Path,
    source: tuple[str, int],
    target: tuple[str, int],
    network: Network,
    synapses: Any,
    shown: Any,
) -> None:
    """The files of the edges between two populations and of their types, one for each receptor."""
    name = f"{source[0]}_to_{target[0]}"
    write_edges(place / "network" / f"{name}_edges.h5", name, source, target, synapses, shown)
    rows = [
        {
            "edge_type_id": k,
            "population": name,
            "source_query": "*",
            "target_query": "*",
            "model_template": "static_synapse",
            "dynamics_params": f"receptor_{k + 1}.json",
            "receptor": receptor,
        }
        for k, receptor in enumerate(network.receptors)
    ]
    _write_csv(place / "network" / f"{name}_edge_types.csv", rows, "edge_type_id")


def _write_csv(path: Path, rows: Sequence[Mapping[str, Any]], key: str) -> None:
    """A table of types: ASCII, columns separated by spaces."""
    names = list(dict.fromkeys([key, *(name for row in rows for name in row)]))
    with open(path, "w", encoding="ascii", newline="") as file:
        out = csv.writer(file, delimiter=" ", lineterminator="\n")
        out.writerow(map(_ascii, names))
        out.writerows([_ascii(row.get(name, "NULL")) for name in names] for row in rows)


def _ascii(value: Any) -> str:
    """Text for a table of types; what is exact is in ``striate.json``."""
    text = str(value).encode("unicode_escape").decode("ascii")
    return text or "NULL"


def _circuit(network: Network, population: str, base: str = ".") -> dict[str, Any]:
    """The configuration of the circuit; paths are relative to its folder."""
    nodes = [(population, "point_neuron"), *((name, "virtual") for name in network.inputs)]

    def files(kind: str, name: str, type_of: str) -> dict[str, Any]:
        return {
            f"{kind}s_file": f"$NETWORK_DIR/{name}_{kind}s.h5",
            f"{kind}_types_file": f"$NETWORK_DIR/{name}_{kind}_types.csv",
            "populations": {name: {"type": type_of}},
        }

    edges = [f"{name}_to_{population}" for name, _ in nodes]
    return {
        "manifest": {
            "$BASE_DIR": base,
            "$NETWORK_DIR": "$BASE_DIR/network",
            "$COMPONENT_DIR": "$BASE_DIR/components",
        },
        "components": {
            "point_neuron_models_dir": "$COMPONENT_DIR/cell_models",
            "synaptic_models_dir": "$COMPONENT_DIR/synaptic_models",
        },
        "networks": {
            "nodes": [files("node", name, type_of) for name, type_of in nodes],
            "edges": [files("edge", name, "chemical") for name in edges],
        },
    }


def _simulation(network: Network, population: str) -> dict[str, Any]:
    """A run for BMTK, whose word for the configuration's folder is ``${configdir}``."""
    circuit = _circuit(network, population, base="${configdir}")
    circuit["manifest"] |= {"$INPUT_DIR": "$BASE_DIR/inputs", "$OUTPUT_DIR": "$BASE_DIR/output"}
    spikes = {
        f"{name}_spikes": {
            "input_type": "spikes",
            "module": "h5",
            "input_file": f"$INPUT_DIR/{name}_spikes.h5",
            "node_set": name,
        }
        for name in network.inputs
    }
    return circuit | {
        "target_simulator": "NEST",  # here only: libsonata refuses circuits for others than NEURON
        "run": {"tstop": 1000.0, "dt": 0.25},
        "inputs": spikes,
        "output": {
            "output_dir": "$OUTPUT_DIR",
            "log_file": "log.txt",
            "spikes_file": "spikes.h5",
            "spikes_sort_order": "time",
            "overwrite_output_dir": True,
        },
    }
