"""`from_sonata`: a `Network` from a SONATA folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from converters.sonata import config, foreign
from converters.sonata import folder as layout
from converters.sonata.columns import joined
from converters.sonata.hdf5 import Hdf5File, Hdf5Reader
from converters.sonata.nodes import Nodes, read_nodes
from toolkit import progress
from toolkit.errors import DataError, StriateError
from toolkit.network import Input, Network, Synapses
from toolkit.receptor import Receptor

# What Python raises where a description is not what it should be.
_DAMAGE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, MemoryError)


def from_sonata(path: str | Path, *, show_progress: bool | None = None) -> Network:
    """Read a `Network` from a SONATA folder, or from the file of its circuit's configuration.

    A folder of `to_sonata` gives the identical network. Folders of other programs, such as BMTK's
    builder, are read if their neurons are NEST's ``glif_psc`` or ``glif_psc_double_alpha`` without
    a moving threshold, or Allen GLIF1 or GLIF3 files; see `converters.sonata.foreign` for what
    becomes of what. For any other model `sonata_tables` gives nodes, edges and parameters.

    Parameters
    ----------
    path : folder, or its ``circuit_config.json`` (or BMTK's simulation configuration)
    show_progress : a bar; by default on a terminal

    Raises
    ------
    DataError : names the file and what is wrong in it: absent, damaged or changed (by its
        checksum), an id that is not there, a model that is not ours

    HDF5 files are read by a child process, so that a damaged one cannot take this one down. Memory
    is that of the network, 17 bytes a synapse, and some 100 MB.

    Examples
    --------
    >>> from_sonata("v1_3k").n                                           # doctest: +SKIP
    3000
    """
    file = config.find(path)
    home = file.parent
    ours = layout.is_striate(home) and file.name in (layout.CIRCUIT, layout.SIMULATION)
    try:
        return _read_ours(home, show_progress) if ours else foreign.read(file, show_progress)
    except DataError:
        raise
    except StriateError as error:
        raise DataError(f"{file} describes an impossible network: {error}") from error
    except _DAMAGE as error:
        what = home / layout.STRIATE if ours else file
        raise DataError(f"{what} is damaged: {type(error).__name__} {error}") from error


def _read_ours(folder: Path, show_progress: bool | None) -> Network:
    about = layout.verified(folder)
    for name, kind in {"model": str, "seed": int, "dale": bool, "provenance": dict}.items():
        if not isinstance(about[name], kind):
            raise DataError(f"{folder / layout.STRIATE}: {name} is {about[name]!r}")
    population, n = about["population"], about["n"]
    receptors = {name: Receptor(**values) for name, values in about["receptors"].items()}
    counts = [about["n_synapses"], *(part["n_synapses"] for part in about["inputs"].values())]
    with (
        Hdf5Reader() as reader,
        progress.bar(sum(counts), "SONATA", " edges", show_progress) as shown,
    ):

        def table(name: str, columns: Any, size: int) -> Any:
            nodes = _nodes(reader, folder, name, size)
            return joined(columns, nodes.type_id, nodes.columns, nodes.path)

        def edges(name: str, n_source: int, n_edges: int) -> Synapses:
            file = reader.open(folder / "network" / f"{name}_to_{population}_edges.h5")
            where = f"/edges/{name}_to_{population}"
            limits = {"pre": n_source, "post": n, "receptor": len(receptors)}
            return _read_edges(file, where, n_edges, limits, shown)

        inputs = {}
        for name, part in about["inputs"].items():
            sources = part["sources"]
            inputs[name] = Input(
                n=part["n"],
                synapses=edges(name, part["n"], part["n_synapses"]),
                rate_Hz=part["rate_Hz"],
                sources=None if sources is None else table(name, sources, part["n"]),
            )
        return Network(
            neurons=table(population, about["neurons"], n),
            synapses=edges(population, n, about["n_synapses"]),
            receptors=receptors,
            inputs=inputs,
            model=about["model"],
            seed=about["seed"],
            provenance=about["provenance"],
            dale=about["dale"],
        )


def _nodes(reader: Hdf5Reader, folder: Path, name: str, n: int) -> Nodes:
    """The one population of a file of ours."""
    path = folder / "network" / f"{name}_nodes.h5"
    found = [nodes for nodes in read_nodes(reader, path, {}) if nodes.population == name]
    if not found:
        raise DataError(f"{path}: the group /nodes/{name} is missing")
    if found[0].n != n or not np.array_equal(found[0].node_id, np.arange(n)):
        raise DataError(f"{path}: /nodes/{name}/node_id must be 0 to {n - 1}")
    if found[0].type_id.min(initial=0) < 0:
        raise DataError(f"{path}: /nodes/{name}/node_type_id is below 0")
    return found[0]


def _read_edges(
    file: Hdf5File, where: str, n: int, limits: Mapping[str, int], shown: Any
) -> Synapses:
    """Edges of ours: sorted, one group, no gaps; `limits` are the numbers of what ids point to."""
    columns = {
        "pre": ("source_node_id", np.int32),
        "post": ("target_node_id", np.int32),
        "receptor": ("edge_type_id", np.uint8),
        "weight": ("0/syn_weight", np.float32),
        "delay_ms": ("0/delay", np.float32),
    }
    arrays: dict[str, np.ndarray] = {}
    for part, (name, dtype) in columns.items():
        name = f"{where}/{name}"
        kinds = "iu" if part in limits else "f"
        for rows, values in file.blocks(name, n, kinds):
            if part not in arrays:  # the file has shown that it has as many rows as it should
                arrays[part] = np.empty(n, dtype=dtype)
            if part in limits:
                bad = (values < 0) | (values >= limits[part])
            else:
                bad = ~np.isfinite(values)
            if bad.any():
                i = int(np.flatnonzero(bad)[0])
                raise DataError(
                    f"{file.path}: {name} of edge {rows.start + i} is {values[i]}"
                    + (f"; there are {limits[part]}" if part in limits else "")
                )
            arrays[part][rows] = values
            shown.update((rows.stop - rows.start) / len(columns))
        array = arrays.setdefault(part, np.empty(0, dtype=dtype))
        array.flags.writeable = False  # spares `Synapses` a copy
    return Synapses(**arrays)
