"""Calibration of the background."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from circuits import allen, v1
from circuits.v1 import background
from circuits.v1.calibrate import calibrate, table_text
from toolkit.errors import InputError
from toolkit.table import Table


@pytest.mark.parametrize("name", ["3k", "6k"])
def test_shipped_tables_meet_the_recorded_medians(name: str) -> None:
    """The rates reached while calibrating, mean over each class's neurons, within 20 %."""
    file = background.DATA / f"background_{name}.csv"
    lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
    rows = [row for row in csv.DictReader(lines) if row["rate_Hz"]]
    targets = allen.spontaneous_targets(allen.load())
    for cell_class, target in zip(targets["cell_class"], targets["rate_Hz"], strict=True):
        mine = [row for row in rows if row["cell_class"] == cell_class]
        neurons = np.array([int(row["neurons"]) for row in mine])
        rates = np.array([float(row["rate_Hz"]) for row in mine])
        assert np.average(rates, weights=neurons) == pytest.approx(target, rel=0.2)
        assert (rates < 100).all()
    cells = set(allen.load().cells["cell"].tolist())
    assert {row["cell"] for row in csv.DictReader(lines)} == cells


def test_a_column_has_the_weights_of_the_table() -> None:
    column = v1.column("3k", seed=4)
    noise = column.inputs["background"]
    assert noise.n == column.n and noise.rate_Hz == background.RATE_HZ
    assert (noise.synapses.pre == noise.synapses.post).all()
    driven = background.has_lgn(column.n, column.inputs["lgn"])
    table = background.weights("3k")
    cell = column.neurons["cell"]
    for i in (0, 100, 1500, 2999):
        assert noise.synapses.weight[i] == np.float32(table[str(cell[i]), int(driven[i])])
    excitatory = list(column.receptors)[noise.synapses.receptor[column.excitatory][0]]
    assert excitatory == "e2e"


def test_other_sizes_say_whose_weights_they_have() -> None:
    assert "calibrated for 3k" in v1.column("3k", seed=1).provenance["background"]
    assert "not for this column" in v1.column(300, seed=1).provenance["background"]


def test_table_text_is_read_back() -> None:
    table = Table(
        {
            "cell": ["a", "a"],
            "cell_class": ["e4", "e4"],
            "lgn": [0, 1],
            "weight_pA": [1.5, 2.25],
            "neurons": [10, 0],
            "rate_Hz": [2.0, np.nan],
        }
    )
    text = table_text(table, "a test", "striate calibrate")
    rows = list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
    assert [row["weight_pA"] for row in rows] == ["1.50000", "2.25000"]
    assert rows[1]["rate_Hz"] == ""


def test_no_columns() -> None:
    with pytest.raises(InputError, match="at least one column"):
        calibrate([])


@pytest.mark.slow
def test_calibration_moves_rates_to_their_targets() -> None:
    column = v1.column(600, seed=1)
    made = calibrate([column], stages=((12, 3.0, 0.15), (12, 6.0, 0.05)), show_progress=False)
    targets = allen.spontaneous_targets(allen.load())
    rate = dict(zip(targets["cell_class"], targets["rate_Hz"], strict=True))
    e = np.isin(made["cell_class"], ["e23", "e4", "e5", "e6"]) & (made["neurons"] > 20)
    expected = np.array([rate[name] for name in made["cell_class"][e]])
    assert np.allclose(made["rate_Hz"][e], expected, rtol=0.35)
    assert np.isfinite(made["weight_pA"]).all() and (made["weight_pA"] > 0).all()
