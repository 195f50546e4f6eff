"""The shipped background weights and which of them a column gets."""

from __future__ import annotations

import numpy as np
import pytest

from circuits import allen
from circuits.v1 import background

TABLES = allen.load()


@pytest.mark.parametrize(
    ("n", "name"), [(1, "3k"), (4000, "3k"), (5000, "6k"), (17_000, "6k"), (230_924, "core")]
)
def test_the_background_table_nearest_in_size_is_used(n: int, name: str) -> None:
    used, words = background.table_for(n, "compact", "none")
    assert used == name
    assert f"calibrated for {name}" in words
    assert "not for this column" in words


@pytest.mark.parametrize("name", background.TABLES)
def test_shipped_backgrounds_have_every_cell_model(name: str) -> None:
    weights = background.weights(name)
    known = TABLES.cells["cell"][np.isfinite(TABLES.cells["C_m_pF"])].tolist()
    assert {(cell, lgn) for cell in known for lgn in (0, 1)} <= set(weights)
    assert all(0 < weight < 200 for weight in weights.values())
