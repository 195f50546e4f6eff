"""Recorded firing rates that the network's classes are held to."""

from __future__ import annotations

import numpy as np

from circuits.allen.tables import AllenTables
from toolkit.errors import InputError
from toolkit.table import Table


def spontaneous_targets(tables: AllenTables, *, min_units: int = 10) -> Table:
    """Median spontaneous rate of each class.

    A class with fewer than `min_units` recorded units takes the median over all units of its type
    (marker), whatever their layer. Our choice; units of layer 1 have no identified type and are
    not in the pool.

    Parameters
    ----------
    tables : `circuits.allen.load`
    min_units : smallest number of units whose own median is used

    Returns
    -------
    Table with a row a class: ``cell_class``, ``rate_Hz``, ``n_units`` (behind the median) and
    ``pooled``

    Raises
    ------
    InputError : `min_units` is below 0

    Source: Siegle et al. 2021, Nature 592:86-92.

    >>> from circuits.allen import load
    >>> rates = spontaneous_targets(load())
    >>> rates.where(cell_class="e23")["rate_Hz"], rates["cell_class"][rates["pooled"]].tolist()
    (array([0.63393]), ['i23Htr3a', 'i4Sst', 'i4Htr3a', 'i5Htr3a', 'i6Htr3a'])
    """
    return _targets(tables, "spontaneous_median_Hz", min_units)


def evoked_targets(tables: AllenTables, *, min_units: int = 10) -> Table:
    """Median rate of each class during drifting gratings, mean over 8 directions.

    Pooled and returned as by `spontaneous_targets`.

    >>> from circuits.allen import load
    >>> evoked_targets(load()).where(cell_class="i6Htr3a")["rate_Hz"]
    array([6.76042])
    """
    return _targets(tables, "evoked_median_Hz", min_units)


def _targets(tables: AllenTables, column: str, min_units: int) -> Table:
    if min_units < 0:
        raise InputError(f"min_units must be 0 or more, got {min_units}")
    types = tables.neuropixels_types
    row = {marker: i for i, marker in enumerate(types["marker"].tolist())}
    of_type = [row[marker] for marker in tables.classes["marker"].tolist()]
    own = tables.neuropixels
    pooled = own["n_units"] < min_units
    return Table(
        {
            "cell_class": own["cell_class"],
            "rate_Hz": np.where(pooled, types[column][of_type], own[column]),
            "n_units": np.where(pooled, types["n_units"][of_type], own["n_units"]),
            "pooled": pooled,
        }
    )
