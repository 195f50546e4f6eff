"""Parts of a column: `select` some of its layers, classes or populations, or `strip` them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from circuits import allen
from toolkit.errors import InputError, unknown
from toolkit.network import Network
from toolkit.provenance import transformed
from toolkit.subnetwork import checked_mask, subnetwork

Names = str | Iterable[str] | None


def layers(network: Network) -> dict[str, list[str]]:
    """The classes of each cortical layer that the network has, from the pia down.

    Raises
    ------
    InputError : a class that the Allen tables do not have

    >>> from circuits import v1
    >>> layers(v1.column(300, seed=1))["2/3"]
    ['e23', 'i23Pvalb', 'i23Sst', 'i23Htr3a']
    """
    tables = allen.load()
    classes = network.classes
    of_class = tables.layer_of(np.array(classes, dtype=str)).tolist()
    order = dict.fromkeys(tables.classes["layer"].tolist())
    found = {
        layer: [name for name, its in zip(classes, of_class, strict=True) if its == layer]
        for layer in order
    }
    return {layer: names for layer, names in found.items() if names}


def select(
    network: Network,
    *,
    classes: Names = None,
    layers: Names = None,
    populations: Names = None,
    where: np.ndarray | None = None,
) -> Network:
    """The part of a network that meets all of the given conditions.

    Neurons keep their order; synapses from and to the others are left out; what happens to the
    inputs is said at `toolkit.subnetwork.subnetwork`. Weights are not compensated for the input
    that is lost.

    Parameters
    ----------
    network : the circuit
    classes : cell class or classes, e.g. ``"e4"``
    layers : ``"1"``, ``"2/3"``, ``"4"``, ``"5"``, ``"6"``, one or several
    populations : population or populations, e.g. ``"e4Scnn1a"``
    where : boolean mask, shape (neuron,)

    Returns
    -------
    Network, with what was selected and the number of synapses cut in ``provenance["scenarios"]``

    Raises
    ------
    InputError : no condition, an unknown name, a mask of another shape, no neuron left

    Examples
    --------
    >>> from circuits import v1
    >>> column = v1.column(300, seed=1)
    >>> select(column, layers="4").classes
    ['e4', 'i4Pvalb', 'i4Sst', 'i4Htr3a']
    >>> select(column, layers=["2/3", "4"], where=column.excitatory).classes
    ['e23', 'e4']
    """
    conditions = dict(classes=classes, layers=layers, populations=populations)
    keep, facts = _matching(network, conditions, where)
    return _part(network, "select", keep, facts)


def strip(
    network: Network,
    *,
    classes: Names = None,
    layers: Names = None,
    populations: Names = None,
    where: np.ndarray | None = None,
) -> Network:
    """The network without what `select` of the same arguments gives.

    >>> from circuits import v1
    >>> column = v1.column(300, seed=1)
    >>> sorted(set(column.classes) - set(strip(column, layers="1").classes))
    ['i1Htr3a']
    """
    conditions = dict(classes=classes, layers=layers, populations=populations)
    drop, facts = _matching(network, conditions, where)
    return _part(network, "strip", ~drop, facts)


def _part(network: Network, name: str, keep: np.ndarray, facts: dict[str, Any]) -> Network:
    part = subnetwork(network, keep)
    cut = len(network.synapses) - len(part.synapses)
    counts = {"neurons": part.n, "synapses": len(part.synapses), "synapses_cut": cut}
    return transformed(part, name, facts | counts)


def _matching(
    network: Network, conditions: dict[str, Names], where: np.ndarray | None
) -> tuple[np.ndarray, dict[str, Any]]:
    """The mask of the neurons that meet all conditions, and the conditions as plain values."""
    named = {
        key: [names] if isinstance(names, str) else [str(name) for name in names]
        for key, names in conditions.items()
        if names is not None
    }
    if not named and where is None:
        raise InputError("select and strip need a condition: classes, layers, populations or where")
    mask = np.ones(network.n, dtype=bool)
    facts: dict[str, Any] = dict(named)
    if "layers" in named:
        by_layer = layers(network)
        for name in named["layers"]:
            if name not in by_layer:
                raise unknown("layer", name, by_layer)
        wanted = [cell_class for name in named["layers"] for cell_class in by_layer[name]]
        mask &= np.isin(network.neurons["cell_class"], wanted)
    for key, column, what in (
        ("classes", "cell_class", "cell class"),
        ("populations", "population", "population"),
    ):
        if key in named:
            for name in named[key]:
                if name not in network.neurons[column]:
                    raise unknown(what, name, np.unique(network.neurons[column]))
            mask &= np.isin(network.neurons[column], named[key])
    if where is not None:
        mask &= checked_mask(network, where)
        facts["where"] = f"mask of {int(np.sum(where)):,} neurons"
    return mask, facts
