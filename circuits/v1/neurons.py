"""The neurons of the column: how many of each population, their cell models, places and angles."""

from __future__ import annotations

import numpy as np

from circuits import allen
from circuits.allen.rules import CORE_RADIUS_UM, FULL_RADIUS_UM, INNER_RADIUS_UM
from toolkit.errors import InputError, unknown
from toolkit.neurons import glif3
from toolkit.rng import stream
from toolkit.table import Table

SIZES = ("3k", "6k", "core", "full")
SAMPLED = ("3k", "6k")  # whose counts of classes are a sample of the core's
RADII_UM: dict[object, float] = {"core": CORE_RADIUS_UM, "full": FULL_RADIUS_UM}
MAX_NEURONS = 1_000_000
STRIP_UM = 50.0  # neurons are numbered along strips this wide, so that neighbours are near


def populations(
    size: str | int | None, radius_um: float | None, tables: allen.AllenTables, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """How many neurons each population has, and how many of them in the core: (population,) each.

    ``"core"``, ``"full"`` and a radius take the published counts: those of the core inside 400 um
    and those of the periphery outside, in proportion to the area. ``"3k"``, ``"6k"`` and a number
    of neurons fix the counts of the classes, over whose populations the neurons are drawn; all are
    in the core.

    Raises
    ------
    InputError : unknown size, both or neither of size and radius, a radius or number out of range
    """
    core, full = (tables.populations[f"n_{part}"] for part in ("core", "full"))
    if (size is None) == (radius_um is None):
        raise InputError(
            f"a column needs either a size ({', '.join(SIZES)} or a number of neurons) or "
            f"radius_um, got size={size!r} and radius_um={radius_um!r}"
        )
    radius_um = RADII_UM.get(size, radius_um)
    if radius_um is None:
        counts, rng = class_counts(size, tables), stream(seed, "populations")
        drawn = np.zeros(len(core), dtype=int)
        for count, name in zip(counts, tables.classes["cell_class"], strict=True):
            mine = np.flatnonzero(tables.populations["cell_class"] == name)
            drawn[mine] = rng.multinomial(count, core[mine] / core[mine].sum())
        return drawn, drawn
    most_um = FULL_RADIUS_UM * np.sqrt(MAX_NEURONS / full.sum())
    if not INNER_RADIUS_UM < radius_um <= most_um:
        raise InputError(
            f"radius_um must be above {INNER_RADIUS_UM:g} and at most {most_um:,.0f} um "
            f"({MAX_NEURONS:,} neurons), got {radius_um!r}"
        )
    inner, middle, outer = INNER_RADIUS_UM**2, CORE_RADIUS_UM**2, radius_um**2
    inside = np.rint(core * (min(outer, middle) - inner) / (middle - inner))
    outside = np.rint((full - core) * max(outer - middle, 0) / (FULL_RADIUS_UM**2 - middle))
    return (inside + outside).astype(int), inside.astype(int)


def class_counts(size: str | int | None, tables: allen.AllenTables) -> np.ndarray:
    """Neurons of each class, shape (class,); a number is split by largest remainder."""
    if isinstance(size, str) and size in SAMPLED:
        return tables.classes[f"n_{size}"]
    if isinstance(size, bool) or not isinstance(size, int | np.integer):
        raise unknown("size", size, (*SIZES, "any number of neurons"))
    if not 1 <= size <= MAX_NEURONS:
        raise InputError(f"a column has 1 to {MAX_NEURONS:,} neurons, got {size:,}")
    return by_largest_remainder(tables.classes["n_core"], int(size))


def by_largest_remainder(weights: np.ndarray, n: int) -> np.ndarray:
    """`n` things in whole numbers as near as can be in proportion to `weights`."""
    share = weights * (n / weights.sum())
    counts = np.floor(share + 1e-9).astype(int)
    by_remainder = np.argsort(counts - share, kind="stable")
    counts[by_remainder[: n - counts.sum()]] += 1
    return counts


def assign_models(
    counts: np.ndarray, tables: allen.AllenTables, seed: int, *, drawn: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Class, population and cell model of every neuron (row numbers of the tables).

    The neurons of a population get its cell models in proportion to the published numbers,
    `drawn` at random or in whole numbers as near as can be (in random order: the full column has
    exactly the published ones). A model without parameters is replaced by another of its
    population, drawn in the same proportions; how many neurons that concerns is returned last.
    """
    names = list(tables.classes["cell_class"])
    rng = stream(seed, "models")
    cls_of = np.array([names.index(c) for c in tables.populations["cell_class"]])
    missing = ~np.isfinite(tables.cells["C_m_pF"])
    population, cell, resampled = [], [], 0
    for p in np.argsort(cls_of, kind="stable"):
        models = np.flatnonzero(tables.cells["population"] == tables.populations["population"][p])
        share = tables.cells["n_cells"][models].astype(float)
        if drawn:
            chosen = rng.choice(models, counts[p], p=share / share.sum())
        else:
            chosen = np.repeat(models, by_largest_remainder(share, int(counts[p])))
        rng.shuffle(chosen)
        lost = missing[chosen]
        if lost.any():
            share = np.where(missing[models], 0.0, share)
            chosen[lost] = rng.choice(models, lost.sum(), p=share / share.sum())
            resampled += int(lost.sum())
        population.append(np.full(counts[p], p))
        cell.append(chosen)
    of = np.concatenate(population)
    return cls_of[of], of, np.concatenate(cell), resampled


def place(
    population: np.ndarray,
    n_core: np.ndarray,
    core_um: float,
    outer_um: float,
    tables: allen.AllenTables | allen.V1DDTables,
    seed: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions x, y (= -depth), z in um, uniform in the cylinder of each population.

    The first `n_core` neurons of a population lie within `core_um`, the others from there to
    `outer_um`. A population's neurons are numbered along strips of 50 um: near in number, near in
    place (which speeds up building and running, and is independent of all else that is drawn).
    """
    rng = stream(seed, "positions")
    u = rng.random((3, len(population)))
    # Every population's neurons are a run of numbers.
    start = np.flatnonzero(np.diff(population, prepend=-1))
    start = np.repeat(start, np.diff(np.append(start, len(population))))
    rank = np.arange(len(population)) - start
    inner = np.where(rank < n_core[population], INNER_RADIUS_UM, core_um)
    outer = np.where(rank < n_core[population], core_um, outer_um)
    radius = np.sqrt(inner**2 + (outer**2 - inner**2) * u[1])
    angle = 2 * np.pi * u[0]
    x, z = radius * np.cos(angle), radius * np.sin(angle)
    order = np.lexsort((z, np.floor(x / STRIP_UM), start))
    top = tables.populations["depth_top_um"][population]
    bottom = tables.populations["depth_bottom_um"][population]
    return x[order], -(top + (bottom - top) * u[2]), z[order]


def preferred_angles(cell: np.ndarray, seed: int) -> np.ndarray:
    """Preferred direction of every neuron, degrees, 0 to 360.

    Evenly spaced among the neurons of a cell model, in random order and with a random offset (our
    choice, so that a model of one neuron does not always prefer 0): the map is salt-and-pepper.
    """
    rng = stream(seed, "preferred angles")
    angles = np.zeros(len(cell))
    for model in np.unique(cell):
        mine = np.flatnonzero(cell == model)
        rank = rng.permutation(len(mine))
        angles[mine] = (rng.random() * 360 + rank * 360 / len(mine)) % 360
    return angles


def neuron_table(
    columns: dict[str, np.ndarray], cell: np.ndarray, cells: Table, seed: int
) -> Table:
    """`columns` with the parameters of each neuron's cell model and its potential at the start.

    Parameters
    ----------
    columns : what else is known of each neuron
    cell : row of its model in `cells`
    cells : the cell models
    seed : of the potentials, spread evenly over nine tenths of the way from rest to threshold, so
        that the first steps are no volley (our choice)
    """
    parameters = {p.name: cells[p.name][cell] for p in glif3.PARAMETERS if p.name in cells}
    depth = 0.9 * stream(seed, "initial potential").random(len(cell))
    rest, threshold = parameters["E_L_mV"], parameters["V_th_mV"]
    return Table(columns | parameters | {"V_init_mV": rest + depth * (threshold - rest)})
