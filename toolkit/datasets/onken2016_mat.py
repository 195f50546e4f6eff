"""The MATLAB files of Onken et al. 2016: spike times and outlines of receptive fields.

``Spikes`` is a cell array (cells, trials) of spike times in ms after the onset, or an array of
such arrays, one a stimulus; ``ReceptiveFields`` a cell array of outlines (x and y, points). The
files are of MATLAB version 5.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from toolkit.datasets.arrays import DAMAGE, damaged
from toolkit.errors import DataError
from toolkit.table import Table

POINTS = 1000  # of an outline; found in the files


def _variable(path: Path, name: str) -> np.ndarray:
    """A cell array of a MATLAB file."""
    from scipy.io import loadmat

    with open(path, "rb") as file:
        start = file.read(128)
    if not start.startswith(b"MATLAB 5.0 MAT-file"):
        raise damaged(path, "not a MATLAB file of version 5 (save it with -v7)")
    try:
        value: Any = loadmat(str(path), variable_names=[name])[name]
    except KeyError:
        raise damaged(path, f"it has no variable {name!r}") from None
    except (*DAMAGE, ArithmeticError, AttributeError) as error:
        raise damaged(path, f"not a readable MATLAB file ({error})") from error
    if not isinstance(value, np.ndarray) or value.dtype != object or value.ndim != 2:
        raise damaged(path, f"its {name} is not a cell array")
    return value


def spikes_of(path: Path, n_cells: int, n_trials: int, duration_ms: int) -> tuple[Table, int]:
    """All spikes of a file and the number of its stimuli.

    Parameters
    ----------
    path : of a file of the folder ``Spikes``
    n_cells, n_trials : what it must have for every stimulus
    duration_ms : the latest time a spike may have

    Returns
    -------
    a row a spike: stimulus (row by row of the cell array), cell, trial, time_ms (whole ms, from
    1); and the number of stimuli: 1 if the file has one array (cells, trials)

    Raises
    ------
    DataError : damaged, another layout, or times that are no whole ms within the duration
    """
    value = _variable(path, "Spikes")
    try:
        trains = _trains(value, n_cells, n_trials)
        n, times = _times(trains, duration_ms)
    except DataError as error:
        raise damaged(path, error) from None
    stimulus, cell, trial = (
        np.repeat(axis.ravel(), n).astype(np.int16) for axis in np.indices(trains.shape)
    )
    table = Table({"stimulus": stimulus, "cell": cell, "trial": trial, "time_ms": times})
    return table, len(trains)


def _trains(value: np.ndarray, n_cells: int, n_trials: int) -> np.ndarray:
    """Object array (stimulus, cell, trial)."""
    nested = isinstance(value.flat[0], np.ndarray) and value.flat[0].dtype == object
    blocks = list(value.ravel()) if value.size and nested else [value]
    trains = np.empty((len(blocks), n_cells, n_trials), dtype=object)
    for s, block in enumerate(blocks):
        shape = getattr(block, "shape", None)
        if shape != (n_cells, n_trials) or block.dtype != object:
            raise DataError(
                f"Spikes of stimulus {s} have the shape {shape}; {n_cells} cells x {n_trials} "
                "trials are expected"
            )
        trains[s] = block
    return trains


def _times(trains: np.ndarray, duration_ms: int) -> tuple[np.ndarray, np.ndarray]:
    """Number of spikes of every train, and all times one train after the other."""
    flat = [np.asarray(train).ravel() for train in trains.ravel()]
    n = np.array([len(train) for train in flat])

    def where(k: int) -> str:
        stimulus, cell, trial = np.unravel_index(k, trains.shape)
        return f"the spike times of stimulus {stimulus}, cell {cell}, trial {trial} are"

    for k, train in enumerate(flat):
        if train.dtype.kind not in "iuf":
            raise DataError(f"{where(k)} no numbers")
    times = np.concatenate(flat).astype(float)
    wrong = ~((times >= 1) & (times <= duration_ms) & (times == np.floor(times)))
    if wrong.any():
        k = int(np.searchsorted(np.cumsum(n), np.argmax(wrong), side="right"))
        raise DataError(f"{where(k)} not whole ms from 1 to {duration_ms:,}")
    return n, times.astype(np.int32)


def fields_of(path: Path, n_cells: int) -> np.ndarray:
    """Outlines of receptive fields: float64 (cell, point, 2), (x, y) of the file, y upwards.

    Raises
    ------
    DataError : damaged or another layout
    """
    outlines = _variable(path, "ReceptiveFields").ravel()
    if len(outlines) != n_cells:
        raise damaged(path, f"{len(outlines)} receptive fields; {n_cells} are expected")
    for cell, outline in enumerate(outlines):
        if getattr(outline, "shape", None) != (2, POINTS) or outline.dtype.kind not in "iuf":
            raise damaged(path, f"the outline of cell {cell} is not 2 x {POINTS} numbers")
        if not np.isfinite(outline).all():
            raise damaged(path, f"the outline of cell {cell} is not finite")
    return np.stack([np.asarray(outline, float).T for outline in outlines])
