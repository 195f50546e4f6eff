"""Neurons as targets of LGN wiring, without the rest of a column."""

from __future__ import annotations

import numpy as np

from circuits import allen
from toolkit.network import Input
from toolkit.table import Table


def neurons_of(
    tables: allen.AllenTables | allen.V1DDTables,
    population: np.ndarray,
    radius_um: float,
    seed: int = 0,
) -> tuple[Table, np.ndarray]:
    """Neurons at random places within a radius, and their cell models."""
    rng, n = np.random.default_rng(seed), len(population)
    r, phi = radius_um * np.sqrt(rng.random(n)), rng.uniform(0, 2 * np.pi, n)
    cell = np.zeros(n, dtype=int)
    for name in np.unique(population):
        mine = population == name
        models = np.flatnonzero(tables.cells["population"] == name)
        cell[mine] = rng.choice(models, mine.sum())
    sign = np.where(np.char.startswith(population, "e"), 1, -1).astype(np.int8)
    table = {
        "population": population,
        "sign": sign,
        "x_um": r * np.cos(phi),
        "z_um": r * np.sin(phi),
        "tuning_deg": rng.uniform(0, 360, n),
    }
    return Table(table), cell


def counts_of(source: Input, n: int) -> np.ndarray:
    """LGN sources of each of n neurons."""
    return np.bincount(source.synapses.post, minlength=n)
