"""The neurons of a V1DD column: how many of each cell model, and how many synapses each has."""

from __future__ import annotations

import numpy as np

from circuits.allen.rules import INNER_RADIUS_UM
from circuits.allen.v1dd import CORE_RADIUS_UM, FULL_RADIUS_UM, V1DDTables
from circuits.v1.neurons import by_largest_remainder
from toolkit.errors import InputError, unknown
from toolkit.rng import stream

SIZES = {"3k": 3000, "6k": 6000}
RADII_UM: dict[str | int | None, float] = {"core": CORE_RADIUS_UM, "full": FULL_RADIUS_UM}
SELECTIONS = ("compact", "random")
MAX_NEURONS = 1_000_000


def model_counts(
    size: str | int | None, radius_um: float | None, selection: str, tables: V1DDTables
) -> tuple[np.ndarray, float]:
    """Neurons of each cell model, shape (cell model,), and the radius within which they lie, um.

    A population is shared evenly among its models, the first getting the remainder. ``"core"``
    (radius 400 um), ``"full"`` (700 um) and any radius have the counts of the full column times
    (radius / 700 um)^2, rounded up model by model; ``"3k"``, ``"6k"`` and a number of neurons are
    shared among the populations by largest remainder and lie as densely as those of the column
    (``"compact"``) or are a random sample of its core (``"random"``).

    Raises
    ------
    InputError : unknown size or selection, both or neither of size and radius, or one out of range

    >>> from circuits import allen
    >>> counts, radius_um = model_counts("core", None, "compact", allen.load_v1dd())
    >>> counts.sum(), radius_um
    (np.int64(66652), 400.0)
    """
    if selection not in SELECTIONS:
        raise unknown("selection", selection, SELECTIONS)
    accepted = ("3k", "6k", "core", "full", "any number of neurons")
    if (size is None) == (radius_um is None):
        raise InputError(
            f"a column needs either a size ({', '.join(accepted)}) or radius_um, "
            f"got size={size!r} and radius_um={radius_um!r}"
        )
    n_full = tables.populations["n_full"]
    if radius_um is not None or size in RADII_UM:
        if selection != "compact":
            raise InputError(
                f"selection {selection!r} is for 3k, 6k and numbers of neurons; size {size!r} "
                f"with radius_um={radius_um!r} takes all there are"
            )
        outer = RADII_UM[size] if radius_um is None else float(radius_um)
        most_um = FULL_RADIUS_UM * np.sqrt(MAX_NEURONS / n_full.sum())
        if not INNER_RADIUS_UM < outer <= most_um:
            raise InputError(
                f"radius_um must be above {INNER_RADIUS_UM:g} and at most {most_um:,.0f} um "
                f"({MAX_NEURONS:,} neurons), got {radius_um!r}"
            )
        share = _over_models(n_full, tables) * (outer / FULL_RADIUS_UM) ** 2
        return np.ceil(share - 1e-9).astype(int), outer
    n = SIZES.get(size, size) if isinstance(size, str) else size
    if isinstance(n, bool) or not isinstance(n, int | np.integer):
        raise unknown("size", size, accepted)
    n_core = int(n_full.sum() * (CORE_RADIUS_UM / FULL_RADIUS_UM) ** 2)
    most = MAX_NEURONS if selection == "compact" else n_core
    if not 1 <= n <= most:
        raise InputError(f"a {selection} column has 1 to {most:,} neurons, got {n:,}")
    counts = _over_models(by_largest_remainder(n_full, int(n)), tables)
    compact_um = max(FULL_RADIUS_UM * np.sqrt(n / n_full.sum()), INNER_RADIUS_UM + 1)
    return counts, CORE_RADIUS_UM if selection == "random" else float(compact_um)


def _over_models(n: np.ndarray, tables: V1DDTables) -> np.ndarray:
    """Neurons of each cell model, of populations of `n` neurons."""
    counts = np.zeros(len(tables.cells.rows), dtype=int)
    for name, of_population in zip(tables.populations["population"], n, strict=True):
        models = np.flatnonzero(tables.cells["population"] == name)
        counts[models] = of_population // len(models)
        counts[models[: of_population % len(models)]] += 1
    return counts


def assign_models(
    counts: np.ndarray, tables: V1DDTables, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Population and cell model (row numbers of the tables) of every neuron.

    Population after population; within one the models are in random order.
    """
    rng = stream(seed, "models")
    names = tables.populations["population"].tolist()
    population_of = np.array([names.index(name) for name in tables.cells["population"]])
    cell = []
    for p in range(len(names)):
        models = np.flatnonzero(population_of == p)
        chosen = np.repeat(models, counts[models])
        rng.shuffle(chosen)
        cell.append(chosen)
    cells = np.concatenate(cell)
    return population_of[cells], cells


def synapse_counts(population: np.ndarray, tables: V1DDTables, seed: int) -> np.ndarray:
    """Number of synapses that each neuron would have in a whole cortex: log-normal, rounded.

    At least 1 (our choice; the log-normal of NP cells reaches below 0.5 in one of 10^7).
    """
    normal = stream(seed, "synapse counts").standard_normal(len(population))
    shape = tables.populations["n_synapses_shape"][population]
    scale = tables.populations["n_synapses_scale"][population]
    return np.maximum(np.rint(scale * np.exp(shape * normal)), 1).astype(np.int32)
