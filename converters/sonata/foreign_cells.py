"""Neurons of SONATA networks of other programs: cell models, classes and places."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from converters.sonata.config import Config
from converters.sonata.models import NEST_NAMES, from_nest
from converters.sonata.nodes import Nodes
from toolkit.errors import DataError, InputError
from toolkit.receptor import Receptor

CLASSES = ("cell_class", "pop_name", "cell_type", "model_name")
POSITIONS = {"x": "x_um", "y": "y_um", "z": "z_um", "tuning_angle": "tuning_deg"}
SIGNS = {"e": 1, "exc": 1, "excitatory": 1, "i": -1, "inh": -1, "inhibitory": -1}
MAX_RECEPTORS = 256


@dataclass(frozen=True)
class Cells:
    """The neurons of several populations, one after the other.

    Attributes
    ----------
    columns : of the table of neurons, but for ``sign``; shape (neuron,)
    model : cell model (node type), shape (neuron,)
    sign : +1, -1, or 0 where nothing says it, shape (neuron,)
    receptors : of all cell models, by name
    ports : position of the receptor of (cell model, port), -1 where there is no such port
    """

    columns: dict[str, np.ndarray]
    model: np.ndarray
    sign: np.ndarray
    receptors: dict[str, Receptor]
    ports: np.ndarray


def read_cells(populations: Sequence[Nodes], config: Config) -> Cells:
    """The neurons of `populations`.

    Raises
    ------
    DataError : a model that is not ours, parameters that are missing or out of range
    """
    parts, models = [], []
    listed: list[list[Receptor]] = []
    for nodes in populations:
        known, of_node = nodes.by_type()
        cell_models = [_cell_model(nodes, int(type_id), config) for type_id in known]
        models.append(of_node + len(listed))
        listed += [receptors for _, receptors in cell_models]
        parts.append(_columns(nodes, [values for values, _ in cell_models]))
    shared = [name for name in parts[0] if all(name in part for part in parts)]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in shared}
    words = columns.pop("ei")
    receptors = {_name(receptor): receptor for ports in listed for receptor in ports}
    if len(receptors) > MAX_RECEPTORS:
        raise DataError(f"{config.path}: {len(receptors)} receptors; {MAX_RECEPTORS} are possible")
    return Cells(
        columns,
        np.concatenate(models),
        np.array([SIGNS.get(word.lower(), 0) for word in words], dtype=np.int8),
        receptors,
        _ports(listed, list(receptors)),
    )


def _columns(nodes: Nodes, models: list[dict[str, float]]) -> dict[str, np.ndarray]:
    """Columns of the neurons of a population, with ``ei``."""
    known, of_node = nodes.by_type()
    columns = {
        name: np.array([values[name] for values in models])[of_node]
        for name in (models[0] if models else ())
    }
    ours = {f"dynamics_params/{nest}": own for own, nest in NEST_NAMES.items()}
    for name, values in nodes.columns.items():
        if not name.startswith("dynamics_params/"):
            continue
        if name not in ours or values.dtype.kind not in "iuf":
            raise DataError(f"{nodes.path}: {name} of {nodes.population!r} is no parameter of ours")
        columns[ours[name]] = values.astype(np.float64)
    ids = np.array([str(k) for k in known], dtype=str)[of_node]
    named = (nodes.text(name) for name in CLASSES)
    cell_class = next((words for words in named if words is not None), None)
    if cell_class is None:
        cell_class = np.array([f"{nodes.population} {k}" for k in ids], dtype=str)
    population, ei = nodes.text("pop_name"), nodes.text("ei")
    columns |= {
        "population": np.full(nodes.n, nodes.population) if population is None else population,
        "cell_class": cell_class,
        "cell": ids,
        "ei": np.full(nodes.n, "") if ei is None else ei,
    }
    attributes = nodes.attributes()
    for name, own in POSITIONS.items():
        if name in attributes and attributes[name].dtype.kind in "iuf":
            columns[own] = attributes[name].astype(np.float64)
    return columns


def _cell_model(
    nodes: Nodes, type_id: int, config: Config
) -> tuple[dict[str, float], list[Receptor]]:
    """Parameters and receptors of a node type."""
    row = nodes.types.get(type_id, {})
    where = f"{nodes.path}: node type {type_id}"
    if "model_template" in nodes.columns:
        raise DataError(f"{where}: model_template by node is not read; give it by node type")
    template, given = row.get("model_template", row.get("model_type", "none")), {}
    if "dynamics_params" in row:
        where = f"{where}, parameters {row['dynamics_params']}"
        if template.startswith("nest:glif"):  # of another one only its name matters
            given = config.parameters("point_neuron_models_dir", row["dynamics_params"], where)
    try:
        return from_nest(template, given, where)
    except InputError as error:
        raise DataError(f"{where}: {error}") from error


def _name(receptor: Receptor) -> str:
    slow = ""
    if receptor.tau_slow_ms is not None:
        slow = f" + {receptor.amp_slow!r} x {receptor.tau_slow_ms!r} ms"
    return f"alpha {receptor.tau_ms!r} ms{slow}"


def _ports(listed: list[list[Receptor]], names: list[str]) -> np.ndarray:
    table = np.full((len(listed), 1 + max(map(len, listed), default=0)), -1, dtype=np.int64)
    for k, receptors in enumerate(listed):
        for port, receptor in enumerate(receptors, start=1):  # NEST counts from 1
            table[k, port] = names.index(_name(receptor))
    return table
