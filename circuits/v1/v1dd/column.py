"""`v1dd_column`: build a V1 column of the second generation of Allen data as a `Network`."""

from __future__ import annotations

from typing import Any

import numpy as np

from circuits import allen
from circuits.v1.neurons import neuron_table, place, preferred_angles
from circuits.v1.v1dd import background, recurrent
from circuits.v1.v1dd.lgn_wiring import v1dd_lgn_input
from circuits.v1.v1dd.neurons import assign_models, model_counts, synapse_counts
from toolkit.network import Network, Receptor


def v1dd_column(
    size: str | int | None = None,
    *,
    seed: int,
    radius_um: float | None = None,
    selection: str = "compact",
    weights: str = "random",
    tables: allen.V1DDTables | None = None,
    workers: int | None = None,
    show_progress: bool | None = None,
) -> Network:
    """Build a V1 column of the second generation of Allen data (biorealistic-v1-model, 2026).

    Parameters
    ----------
    size : ``"3k"``, ``"6k"`` or any number of neurons in the proportions of the column;
        ``"core"`` (radius 400 um) or ``"full"`` (203,816 neurons, radius 700 um)
    seed : an integer of 0 or more; the same seed gives the same circuit
    radius_um : instead of a size: all neurons up to this distance from the axis
    selection : for ``"3k"``, ``"6k"`` and numbers: ``"compact"``, all cells nearest the axis, or
        ``"random"``, a random sample of the core
    weights : ``"random"`` or ``"like_to_like"`` (`circuits.v1.v1dd.recurrent.connect`)
    tables : of the second generation; the bundled ones by default
    workers : threads that draw synapses, by default all cores; the circuit does not depend on it
    show_progress : a bar; by default on a terminal

    Returns
    -------
    Network
        ``population`` is one of the 22 populations (e5IT, e5ET and e5NP in L5 E), ``cell_class``
        one of the 17 classes of every column; ``n_synapses`` is the number of synapses that the
        neuron has in a whole cortex. Inputs ``"lgn"`` and ``"background"``; a double-alpha
        receptor for every pair of synaptic types.

    Raises
    ------
    InputError : unknown size, selection or weights; bad radius or seed

    Time and memory: O(synapses), about 1 us and 17 bytes each for the recurrent ones; ``"core"``
    has 24 million of them.

    Examples
    --------
    >>> small = v1dd_column(400, seed=1)
    >>> small.n, len(set(small.neurons["population"])), len(small.classes)
    (400, 22, 17)
    """
    tables = tables or allen.load_v1dd()
    counts, outer_um = model_counts(size, radius_um, selection, tables)
    population, cell = assign_models(counts, tables, seed)
    n_of = np.bincount(population, minlength=len(tables.populations.rows))
    x, y, z = place(population, n_of, outer_um, outer_um, tables, seed)
    n_synapses = synapse_counts(population, tables, seed)
    neurons = {
        "cell_class": tables.populations["cell_class"][population],
        "population": tables.populations["population"][population],
        "cell": tables.cells["cell"][cell],
        "sign": tables.populations["sign"][population].astype(np.int8),
        "x_um": x,
        "y_um": y,
        "z_um": z,
        "tuning_deg": preferred_angles(cell, seed),
        "n_synapses": n_synapses,
    }
    table = neuron_table(neurons, cell, tables.cells, seed)

    types = tables.cell_types["cell_type"].tolist()
    type_of = np.array([types.index(name) for name in tables.populations["cell_type"]])
    cells = recurrent.Cells(
        cell_type=type_of[population],
        cell=cell,
        x_um=x,
        z_um=z,
        tuning_deg=table["tuning_deg"],
        n_synapses=n_synapses,
        displaced=recurrent.displaced(x, z, outer_um),
    )
    how: dict[str, Any] = {"workers": workers, "show_progress": show_progress}
    return Network(
        neurons=table,
        synapses=recurrent.connect(cells, tables, seed, weights=weights, **how),
        receptors=receptors(tables),
        inputs={
            "lgn": v1dd_lgn_input(table, cell, n_synapses, tables, seed=seed, **how),
            "background": background.background_input(cell, tables, seed),
        },
        seed=int(seed),
        provenance={
            "circuit": "mouse V1 column",
            "data": "Allen Institute, biorealistic-v1-model (2026)",
            "size": str(size) if radius_um is None else f"radius {radius_um:g} um",
            "selection": selection,
            "radius_um": round(outer_um, 3),
            "seed": int(seed),
            "weights": weights,
            "background": "biorealistic-v1-model",
        },
    )


def receptors(tables: allen.V1DDTables) -> dict[str, Receptor]:
    """The double-alpha receptor of every pair of synaptic types, by name such as ``e23_to_pv``."""
    kinetics = tables.kinetics
    columns = (kinetics[name] for name in ("receptor", "tau_fast_ms", "tau_slow_ms", "amp_slow"))
    return {
        name: Receptor(float(fast), "double_alpha", tau_slow_ms=float(slow), amp_slow=float(amp))
        for name, fast, slow, amp in zip(*columns, strict=True)
    }
