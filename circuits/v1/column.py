"""`column`: build a mouse V1 column as a `Network`."""

from __future__ import annotations

from typing import Any

import numpy as np

from circuits import allen
from circuits.allen.rules import CORE_RADIUS_UM, INNER_RADIUS_UM
from circuits.v1 import background, recurrent
from circuits.v1.lgn_wiring import lgn_input
from circuits.v1.neurons import (
    RADII_UM,
    assign_models,
    neuron_table,
    place,
    populations,
    preferred_angles,
)
from circuits.v1.v1dd import v1dd_column
from toolkit.errors import InputError, unknown
from toolkit.network import Network, Receptor

DATA = ("billeh2020", "v1dd")
SELECTIONS = ("compact", "random")
WIDE_UM = 250.0  # a larger column's own field is wider than the 37 degrees of the LGN's grid


def column(
    size: str | int | None = None,
    *,
    seed: int,
    data: str = "billeh2020",
    radius_um: float | None = None,
    selection: str = "compact",
    compensation: str = "none",
    lgn_layout: str | None = None,
    lgn_types: tuple[str, ...] | None = None,
    lgn_field_deg: float | None = None,
    tables: Any = None,
    workers: int | None = None,
    show_progress: bool | None = None,
) -> Network:
    """Build a V1 column of real Allen cell classes.

    Parameters
    ----------
    size : ``"3k"`` or ``"6k"``, the class counts of the firing-rate V1 (3,000 and 6,000);
        ``"core"`` (51,978 neurons, radius 400 um) or ``"full"`` (230,924, radius 845 um), the
        published counts; or any number of neurons with the proportions of the core
    seed : an integer of 0 or more; the same seed gives the same circuit
    data : ``"billeh2020"`` (Billeh et al. 2020, Neuron 106:388-403) or ``"v1dd"``, the second
        generation (`circuits.v1.v1dd_column`, which says what is different)
    radius_um : instead of a size: all neurons up to this distance from the axis
    selection : for ``"3k"``, ``"6k"`` and numbers: ``"compact"``, all cells nearest the axis (3k:
        radius 96 um, in-degree 141), or ``"random"``, a random sample of the core (3k: in-degree
        16)
    compensation : of the recurrent input lost with the cells left out, ``"none"``, ``"sqrt"``,
        ``"full"`` or ``"full_except_ee"`` (`circuits.v1.recurrent.compensation_factors`). The
        default is the tables' own weights: they give asynchronous activity near the recorded
        rates, full compensation slow bursting (``docs/architecture.md``)
    lgn_layout : ``"column"``, ``"field"`` or ``"image"`` (`circuits.v1.lgn`); by default
        ``"column"``, and ``"field"`` for compact columns of more than 250 um, whose own field is
        larger than the grid of ``"column"``
    lgn_types : LGN cell types; by default the layout's
    lgn_field_deg : side of the square of the visual field that the channels cover; by default 37
        degrees around the column's own field, or 60 (the stimuli's canvas) for ``"image"``
    tables : `allen.AllenTables` (or `allen.V1DDTables`); the bundled ones by default
    workers : threads that draw synapses, by default all cores; the circuit does not depend on it
    show_progress : a bar; by default on a terminal

    Returns
    -------
    Network
        with inputs ``"lgn"`` and ``"background"`` (a 1 kHz Poisson source a neuron, weights
        calibrated by cell model, see `circuits.v1.background`)

    Raises
    ------
    InputError : unknown size, selection, compensation, layout or type; bad radius or seed

    Time and memory: O(synapses). ``"3k"`` takes under a second, ``"full"`` (70 million synapses)
    40 s and 3 GB (``benchmarks/build.py``).

    Examples
    --------
    >>> small = column(300, seed=1)
    >>> small.n, len(small.classes), small.inputs["lgn"].n
    (300, 17, 832)
    >>> column(radius_um=40, seed=1).n
    522
    """
    if data not in DATA:
        raise unknown("data", data, DATA)
    if selection not in SELECTIONS:
        raise unknown("selection", selection, SELECTIONS)
    if compensation not in recurrent.COMPENSATIONS:
        raise unknown("compensation", compensation, recurrent.COMPENSATIONS)
    how: dict[str, Any] = {"workers": workers, "show_progress": show_progress}
    if data == "v1dd":
        if (compensation, lgn_layout, lgn_types, lgn_field_deg) != ("none", None, None, None):
            raise InputError(
                "compensation and the options of the LGN are for data='billeh2020'; the second "
                "generation has its own LGN and no compensation"
            )
        return v1dd_column(
            size, seed=seed, radius_um=radius_um, selection=selection, tables=tables, **how
        )
    tables = tables or allen.load()
    counts, n_core = populations(size, radius_um, tables, seed)
    exact = radius_um is not None or size in RADII_UM
    cls, population, cell, resampled = assign_models(counts, tables, seed, drawn=not exact)
    n = len(cls)
    outer = _outer_radius_um(n, size, radius_um, selection, tables)
    x, y, z = place(population, n_core, min(outer, CORE_RADIUS_UM), outer, tables, seed)
    neurons = {
        "cell_class": tables.classes["cell_class"][cls],
        "population": tables.populations["population"][population],
        "cell": tables.cells["cell"][cell],
        "sign": tables.classes["sign"][cls].astype(np.int8),
        "x_um": x,
        "y_um": y,
        "z_um": z,
        "tuning_deg": preferred_angles(cell, seed),
    }
    table = neuron_table(neurons, cell, tables.cells, seed)
    cells = recurrent.Cells(cls, cell, neurons["sign"], x, z, neurons["tuning_deg"])
    if lgn_layout is None:
        wide = selection == "compact" and outer > WIDE_UM
        lgn_layout = "field" if wide else "column"
    thalamus = lgn_input(
        table,
        cell,
        tables,
        layout=lgn_layout,
        types=lgn_types,
        field_deg=lgn_field_deg,
        seed=seed,
        **how,
    )
    noise = background.background_input(table, thalamus, tables, n, selection, compensation)
    synapses = recurrent.connect(cells, tables, seed, **how)
    factors = recurrent.compensation_factors(synapses, cells, tables, compensation)
    return Network(
        neurons=table,
        synapses=recurrent.scale(synapses, cls, factors),
        receptors={
            name: Receptor(tau)
            for name, tau in zip(tables.rules["receptor"], tables.rules["tau_syn_ms"], strict=True)
        },
        inputs={"lgn": thalamus, "background": noise},
        seed=int(seed),
        provenance={
            "circuit": "mouse V1 column",
            "data": "Billeh et al. 2020, Neuron 106:388-403",
            "size": str(size) if radius_um is None else f"radius {radius_um:g} um",
            "selection": selection,
            "radius_um": round(float(outer), 3),
            "seed": int(seed),
            "compensation": compensation,
            "lgn_layout": lgn_layout,
            "lgn_types": None if lgn_types is None else list(lgn_types),
            "lgn_field_deg": lgn_field_deg,
            "background": background.table_for(n, selection, compensation)[1],
            "neurons_resampled_for_missing_parameters": resampled,
        },
    )


def _outer_radius_um(
    n: int,
    size: str | int | None,
    radius_um: float | None,
    selection: str,
    tables: allen.AllenTables,
) -> float:
    """Radius within which the neurons lie."""
    n_core = int(tables.classes["n_core"].sum())
    if size in RADII_UM or radius_um is not None:
        if selection != "compact":
            raise InputError(
                f"selection {selection!r} is for 3k, 6k and numbers of neurons; size "
                f"{size!r} with radius_um={radius_um!r} takes all there are"
            )
        return RADII_UM[size] if radius_um is None else float(radius_um)
    if selection == "compact":
        return max(CORE_RADIUS_UM * np.sqrt(n / n_core), INNER_RADIUS_UM + 1)
    if n > n_core:
        raise InputError(f"the core has {n_core:,} neurons to choose from, got size {size:,}")
    return CORE_RADIUS_UM
