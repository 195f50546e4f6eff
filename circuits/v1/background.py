"""The background of the V1 column: one 1 kHz Poisson source a neuron, weights by cell model.

How many synapses a background connection has in the published GLIF network is not public, and a
sub-sampled column lacks part of its recurrent input. So the weight is calibrated here, for each
cell model (apart for neurons with and without LGN input), in closed loop with the recurrence on,
until spontaneous rates meet the recorded medians of the classes (`circuits.v1.calibrate`;
``striate calibrate`` makes the table).
"""

from __future__ import annotations

import csv
import functools
from pathlib import Path

import numpy as np

from circuits import allen
from toolkit.errors import DataError
from toolkit.network import Input, Synapses
from toolkit.table import Table

RATE_HZ = 1000.0  # Billeh et al. 2020
DELAY_MS = 1.0  # Billeh et al. 2020
TABLES = {"3k": 3_000, "6k": 6_000, "core": 51_978}  # neurons of the columns that have one
DATA = Path(__file__).parent / "data"


@functools.lru_cache
def weights(name: str) -> dict[tuple[str, int], float]:
    """Calibrated weight (pA, peak of the alpha current) by (cell model, LGN input 0 or 1)."""
    file = DATA / f"background_{name}.csv"
    if not file.is_file():
        raise DataError(f"the background table {name!r} is missing; `striate calibrate` makes it")
    lines = [line for line in file.read_text().splitlines() if not line.startswith("#")]
    return {
        (row["cell"], int(row["lgn"])): float(row["weight_pA"]) for row in csv.DictReader(lines)
    }


def table_for(n: int, selection: str, compensation: str) -> tuple[str, str]:
    """The shipped table used for a column of n neurons, and a sentence for its provenance."""
    name = min(TABLES, key=lambda name: abs(np.log(TABLES[name] / n)))
    what = f"calibrated for {name} (compact, compensation none)"
    if TABLES[name] == n and selection == "compact" and compensation == "none":
        return name, what
    return name, (
        f"weights {what}, not for this column: circuits.v1.calibrate.calibrate gives its own"
    )


def has_lgn(n: int, lgn: Input) -> np.ndarray:
    """Whether each of n neurons has LGN input, shape (n,)."""
    return np.bincount(lgn.synapses.post, minlength=n) > 0


def one_to_one(neurons: Table, weight_pA: np.ndarray, tables: allen.AllenTables) -> Input:
    """A Poisson source for every neuron, with the given weights (pA)."""
    n = len(neurons.rows)
    return Input(
        n,
        Synapses(
            np.arange(n),
            np.arange(n),
            weight_pA,
            np.full(n, DELAY_MS),
            tables.excitatory_receptor(neurons["sign"]),
        ),
        rate_Hz=RATE_HZ,
    )


def background_input(
    neurons: Table,
    lgn: Input,
    tables: allen.AllenTables,
    n: int,
    selection: str,
    compensation: str,
) -> Input:
    """The background of a column of n neurons, from the shipped table nearest in size."""
    by_cell = weights(table_for(n, selection, compensation)[0])
    keys = zip(neurons["cell"].tolist(), has_lgn(len(neurons.rows), lgn).tolist(), strict=True)
    scale = _scale_to_rheobase(tables)
    try:
        weight = np.array([by_cell[cell, int(driven)] * scale[cell] for cell, driven in keys])
    except KeyError as error:
        raise DataError(f"the background table has no weight for cell model {error}") from None
    return one_to_one(neurons, weight, tables)


def _scale_to_rheobase(tables: allen.AllenTables) -> dict[str, float]:
    """Factor on each cell model's weight where its parameters are not the bundled ones.

    Its rheobase g (V_th - E_L) over that of the bundled tables (its class's median, if they have
    none). Our choice, short of calibrating again: the calibrated weights of a population's models
    follow rheobase (correlation .93 to 1), in proportion but where LGN input is large (L4).
    """
    bundled = allen.load().cells
    old, new = (c["g_nS"] * (c["V_th_mV"] - c["E_L_mV"]) for c in (bundled, tables.cells))
    of_cell = dict(zip(bundled["cell"].tolist(), old.tolist(), strict=True))
    scale = {}
    for cell, cell_class, rheobase in zip(
        tables.cells["cell"].tolist(), tables.cells["cell_class"].tolist(), new, strict=True
    ):
        before = of_cell.get(cell, np.nan)
        if np.isnan(before):
            before = np.nanmedian(old[bundled["cell_class"] == cell_class])
        scale[cell] = 1.0 if np.isnan(rheobase) else float(rheobase / before)
    return scale
