"""`sonata_tables`: what a SONATA folder holds, whatever its models."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters.sonata import config as configuration
from converters.sonata.config import Config, Types
from converters.sonata.folder import read_json
from converters.sonata.foreign_edges import read_edges
from converters.sonata.hdf5 import Hdf5Reader
from converters.sonata.nodes import read_populations
from toolkit.table import Table


@dataclass(frozen=True)
class SonataTables:
    """Nodes, edges and parameters of a circuit as they are in its files, units and all.

    Attributes
    ----------
    nodes, edges : population to `Table` of ids and attributes
    node_types, edge_types : population to rows of its table of types, by type id
    parameters : content of every JSON file that a type names in ``dynamics_params``
    """

    nodes: dict[str, Table]
    edges: dict[str, Table]
    node_types: dict[str, Types]
    edge_types: dict[str, Types]
    parameters: dict[str, Any]


def sonata_tables(path: str | Path) -> SonataTables:
    """Read nodes, edges and parameters of any SONATA circuit, without making a `Network`.

    For circuits whose models `converters.sonata.from_sonata` does not know. Nothing is converted.

    Parameters
    ----------
    path : folder, or the file of its configuration

    Raises
    ------
    DataError : a file that is absent, damaged or not as the format says

    Examples
    --------
    >>> sonata_tables("cells").parameters["472363762_fit.json"]          # doctest: +SKIP
    """
    config = configuration.read(configuration.find(path))
    tables = SonataTables({}, {}, {}, {}, {})
    with Hdf5Reader() as reader:
        for nodes in read_populations(reader, config):
            ids = {"node_id": nodes.node_id, "node_type_id": nodes.type_id}
            tables.nodes[nodes.population] = Table(ids | nodes.columns)
            tables.node_types[nodes.population] = nodes.types
        for edges in read_edges(reader, config, parameters=False):
            ids = {
                "source_node_id": edges.source_id,
                "target_node_id": edges.target_id,
                "edge_type_id": edges.type_id,
            }
            tables.edges[edges.population] = Table(ids | edges.columns)
            tables.edge_types[edges.population] = edges.types
    for types in (*tables.node_types.values(), *tables.edge_types.values()):
        for row in types.values():
            _add_parameters(tables.parameters, row.get("dynamics_params"), config)
    return tables


def _add_parameters(parameters: dict[str, Any], name: str | None, config: Config) -> None:
    if name is None or name in parameters or not name.endswith(".json"):
        return
    for folder in config.components.values():
        if (folder / name).is_file():
            parameters[name] = read_json(folder / name)
            return
