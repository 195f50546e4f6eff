"""`column`: build a mouse V1 column as a `Network`."""

from __future__ import annotations

import numpy as np

from circuits import allen
from circuits.allen.rules import CORE_RADIUS_UM, INNER_RADIUS_UM
from circuits.v1 import background, recurrent
from circuits.v1.lgn_wiring import lgn_input
from toolkit.errors import InputError, unknown
from toolkit.network import Network, Receptor
from toolkit.neurons import glif3
from toolkit.rng import stream
from toolkit.table import Table

SIZES = ("3k", "6k")
SELECTIONS = ("compact", "random")
# Up to here pairs of classes are drawn whole; larger columns want a spatial index.
MAX_NEURONS = 20_000


def column(
    size: str | int,
    *,
    selection: str = "compact",
    seed: int,
    compensation: str = "none",
    lgn_layout: str = "column",
    lgn_types: tuple[str, ...] = allen.DEFAULT_LGN_TYPES,
    lgn_field_deg: float | None = None,
    tables: allen.AllenTables | None = None,
) -> Network:
    """Build a V1 column of real Allen cell classes (Billeh et al. 2020, Neuron 106:388-403).

    Parameters
    ----------
    size : ``"3k"`` or ``"6k"``, the class counts of the firing-rate V1 (3,000 and 6,000), or any
        number of neurons up to 20,000 with the proportions of the published core
    selection : ``"compact"``, all cells nearest the axis (3k: radius 96 um, in-degree 141), or
        ``"random"``, a random sample of the core of radius 400 um (3k: in-degree 16)
    seed : an integer of 0 or more; the same seed gives the same circuit
    compensation : of the recurrent input lost with the cells left out, ``"none"``, ``"sqrt"``,
        ``"full"`` or ``"full_except_ee"`` (`circuits.v1.recurrent.compensation_factors`). The
        default is the tables' own weights: they give asynchronous activity near the recorded
        rates, full compensation slow bursting (``docs/architecture.md``)
    lgn_layout : ``"column"`` or ``"image"`` (`circuits.v1.lgn`)
    lgn_types : LGN cell types, 64 channels each
    lgn_field_deg : side of the square of the visual field that the channels cover; by default 37
        degrees around the column's own field, or 60 (the stimuli's canvas) for ``"image"``
    tables : Allen tables; the bundled ones by default

    Returns
    -------
    Network
        with inputs ``"lgn"`` (832 channels) and ``"background"`` (a 1 kHz Poisson source a neuron,
        weights calibrated by cell model, see `circuits.v1.background`)

    Raises
    ------
    InputError : unknown size, selection, compensation, layout or type; bad seed

    Time and memory: O(candidate synapses); under a second for ``"3k"``.

    Examples
    --------
    >>> small = column(300, seed=1)
    >>> small.n, len(small.classes), small.inputs["lgn"].n
    (300, 17, 832)
    """
    if selection not in SELECTIONS:
        raise unknown("selection", selection, SELECTIONS)
    if compensation not in recurrent.COMPENSATIONS:
        raise unknown("compensation", compensation, recurrent.COMPENSATIONS)
    tables = tables or allen.load()
    counts = class_counts(size, tables)
    n = int(counts.sum())
    cls, population, cell, resampled = assign_models(counts, tables, seed)
    outer = CORE_RADIUS_UM
    if selection == "compact":
        outer *= np.sqrt(n / tables.classes["n_core"].sum())
    x, y, z = place(population, max(outer, INNER_RADIUS_UM + 1), tables, seed)
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
    for parameter in glif3.PARAMETERS:
        if parameter.name in tables.cells:
            neurons[parameter.name] = tables.cells[parameter.name][cell]
    # Spread between rest and threshold, so that the first steps are no volley (our choice).
    depth = 0.9 * stream(seed, "initial potential").random(n)
    neurons["V_init_mV"] = neurons["E_L_mV"] + depth * (neurons["V_th_mV"] - neurons["E_L_mV"])

    table = Table(neurons)
    cells = recurrent.Cells(cls, cell, neurons["sign"], x, z, neurons["tuning_deg"])
    synapses = recurrent.connect(cells, tables, seed)
    factors = recurrent.compensation_factors(synapses, cells, tables, compensation)
    thalamus = lgn_input(
        table,
        cell,
        tables,
        layout=lgn_layout,
        types=lgn_types,
        field_deg=lgn_field_deg,
        seed=seed,
    )
    noise = background.background_input(table, thalamus, tables, size, selection, compensation)
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
            "size": str(size),
            "selection": selection,
            "radius_um": round(float(outer), 3),
            "seed": int(seed),
            "compensation": compensation,
            "lgn_layout": lgn_layout,
            "lgn_types": list(lgn_types),
            "lgn_field_deg": lgn_field_deg,
            "background": background.table_for(size, selection, compensation)[1],
            "neurons_resampled_for_missing_parameters": resampled,
        },
    )


def class_counts(size: str | int, tables: allen.AllenTables) -> np.ndarray:
    """Neurons of each class, shape (class,); a number is split by largest remainder."""
    if isinstance(size, str):
        if size not in SIZES:
            raise unknown("size", size, (*SIZES, "any number of neurons"))
        return tables.classes[f"n_{size}"]
    if isinstance(size, bool) or not isinstance(size, int | np.integer):
        raise unknown("size", size, (*SIZES, "any number of neurons"))
    if not 1 <= size <= MAX_NEURONS:
        raise InputError(f"a column has 1 to {MAX_NEURONS:,} neurons, got {size:,}")
    share = tables.classes["n_core"] * (size / tables.classes["n_core"].sum())
    counts = np.floor(share).astype(int)
    by_remainder = np.argsort(counts - share, kind="stable")
    counts[by_remainder[: size - counts.sum()]] += 1
    return counts


def assign_models(
    counts: np.ndarray, tables: allen.AllenTables, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Class, population and cell model of every neuron (row numbers of the tables).

    A class's neurons are drawn over its populations by their core counts, a population's over its
    cell models by theirs. A model without parameters is drawn again from its own population; how
    many neurons that concerns is returned last.
    """
    names = list(tables.classes["cell_class"])
    rng = stream(seed, "models")
    population_class = np.array([names.index(c) for c in tables.populations["cell_class"]])
    cls, population, cell, resampled = [], [], [], 0
    missing = ~np.isfinite(tables.cells["C_m_pF"])
    for c, count in enumerate(counts):
        options = np.flatnonzero(population_class == c)
        share = tables.populations["n_core"][options].astype(float)
        chosen = options[np.sort(rng.choice(len(options), count, p=share / share.sum()))]
        cls.append(np.full(count, c))
        population.append(chosen)
        for p in options:
            models = np.flatnonzero(
                tables.cells["population"] == tables.populations["population"][p]
            )
            share = tables.cells["n_cells"][models].astype(float)
            drawn = rng.choice(models, (chosen == p).sum(), p=share / share.sum())
            lost = missing[drawn]
            if lost.any():
                share = np.where(missing[models], 0.0, share)
                drawn[lost] = rng.choice(models, lost.sum(), p=share / share.sum())
                resampled += int(lost.sum())
            cell.append(drawn)
    return np.concatenate(cls), np.concatenate(population), np.concatenate(cell), resampled


def place(
    population: np.ndarray, outer_um: float, tables: allen.AllenTables, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions x, y (= -depth), z in um, uniform in the cylinder of each population."""
    rng = stream(seed, "positions")
    u = rng.random((3, len(population)))
    radius = np.sqrt(INNER_RADIUS_UM**2 + (outer_um**2 - INNER_RADIUS_UM**2) * u[1])
    top = tables.populations["depth_top_um"][population]
    bottom = tables.populations["depth_bottom_um"][population]
    angle = 2 * np.pi * u[0]
    return radius * np.cos(angle), -(top + (bottom - top) * u[2]), radius * np.sin(angle)


def preferred_angles(cell: np.ndarray, seed: int) -> np.ndarray:
    """Preferred direction of every neuron, degrees, 0 to 360.

    Evenly spaced among the neurons of a cell model, with a random offset (our choice, so that a
    model of one neuron does not always prefer 0); positions being random, the map is
    salt-and-pepper.
    """
    rng = stream(seed, "preferred angles")
    angles = np.zeros(len(cell))
    for model in np.unique(cell):
        mine = np.flatnonzero(cell == model)
        angles[mine] = (rng.random() * 360 + np.arange(len(mine)) * 360 / len(mine)) % 360
    return angles
