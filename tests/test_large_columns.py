"""The published sizes: the core of 51,978 neurons, the full column of 230,924, and any radius."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from circuits import allen
from circuits.v1 import neurons as column_neurons
from circuits.v1 import recurrent
from circuits.v1.neurons import RADII_UM, populations

TABLES = allen.load()
CLASSES = TABLES.classes["cell_class"].tolist()
SHAPE = (len(CLASSES), len(CLASSES))


def cells_of(size: str, seed: int) -> recurrent.Cells:
    counts, n_core = populations(size, None, TABLES, seed)
    cls, population, cell, _ = column_neurons.assign_models(counts, TABLES, seed, drawn=False)
    radius = RADII_UM[size]
    x, _, z = column_neurons.place(population, n_core, min(400.0, radius), radius, TABLES, seed)
    tuning = column_neurons.preferred_angles(cell, seed)
    return recurrent.Cells(cls, cell, TABLES.classes["sign"][cls], x, z, tuning)


@functools.cache
def sums(size: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Edges and summed weight of each pair of classes."""
    cells = cells_of(size, seed)
    synapses = recurrent.connect(cells, TABLES, seed, show_progress=False)
    return recurrent.pair_sums(synapses, cells.cls, len(CLASSES))


@pytest.mark.parametrize(("size", "n"), [("core", 51_978), ("full", 230_924)])
def test_published_numbers_of_neurons(size: str, n: int) -> None:
    cells = cells_of(size, 1)
    assert len(cells.cls) == n
    counts = np.bincount(cells.cls, minlength=len(CLASSES))
    np.testing.assert_array_equal(counts, TABLES.classes[f"n_{size}"])
    radius = np.hypot(cells.x_um, cells.z_um)
    assert radius.max() < RADII_UM[size]
    assert (radius < 400).sum() == 51_978
    if size == "full":  # the published number of each cell model, but for those without parameters
        known = np.isfinite(TABLES.cells["C_m_pF"])
        used = np.bincount(cells.cell, minlength=len(known))
        np.testing.assert_array_equal(used[~known], 0)
        alone = [  # populations whose models all have parameters
            p
            for p in TABLES.populations["population"].tolist()
            if known[TABLES.cells["population"] == p].all()
        ]
        same = np.isin(TABLES.cells["population"], alone)
        np.testing.assert_array_equal(used[same], TABLES.cells["n_cells"][same])


@pytest.mark.parametrize("radius_um", [30.0, 400.0, 600.0, 845.0, 1000.0])
def test_any_radius_has_the_published_density(radius_um: float) -> None:
    counts, inside = populations(None, radius_um, TABLES, 1)
    by_area = 51_978 * (min(radius_um, 400.0) / 400) ** 2
    by_area += (230_924 - 51_978) * max(radius_um**2 - 400**2, 0) / (845**2 - 400**2)
    assert counts.sum() == pytest.approx(by_area, abs=25)
    assert (inside <= counts).all()
    if radius_um in RADII_UM.values():
        name = {400.0: "core", 845.0: "full"}[radius_um]
        np.testing.assert_array_equal(counts, TABLES.populations[f"n_{name}"])


def within_seeds(size: str, seeds: range) -> None:
    """All edges within 0.5 %; each pair of classes within seed variation plus 2 %."""
    edges = np.array([sums(size, seed)[0] for seed in seeds])
    published = TABLES.class_pairs[f"n_edges_{size}"].reshape(SHAPE)
    assert (published > 0).sum() == 186
    assert not edges[:, published == 0].any()
    np.testing.assert_allclose(edges.sum(axis=(1, 2)), published.sum(), rtol=0.005)
    # The published network is one draw, too.
    variance = np.maximum(edges.var(axis=0, ddof=1), published) * (1 + 1 / len(edges))
    off = np.abs(edges.mean(axis=0) - published)
    bad = off > 0.02 * published + 4 * np.sqrt(variance)
    assert [(CLASSES[i], CLASSES[j]) for i, j in zip(*np.nonzero(bad), strict=True)] == []


@pytest.mark.slow
def test_edges_of_the_core() -> None:
    within_seeds("core", range(1, 4))


@pytest.mark.slow
def test_edges_of_the_full_column() -> None:
    within_seeds("full", range(1, 4))


@pytest.mark.slow
@pytest.mark.parametrize(("pre", "weight_pA"), [("e23", 0.392), ("e4", 2.83), ("e5", 1.51)])
def test_mean_weights_of_the_full_column(pre: str, weight_pA: float) -> None:
    edges, weight = sums("full", 1)
    i, j = CLASSES.index(pre), CLASSES.index("e23")
    assert weight[i, j] / edges[i, j] == pytest.approx(weight_pA, rel=0.01)
