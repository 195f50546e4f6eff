"""Transfer functions of all Allen cell models, as the package ships them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from circuits import allen
from converters.transfer_tables import Cell, pack, tabulate
from toolkit.files import whole_file
from toolkit.neurons import glif3
from toolkit.receptor import Receptor

_KEYED = tuple(p.name for p in glif3.PARAMETERS if p.default is None)


def cells(tables: allen.AllenTables | None = None) -> list[Cell]:
    """The cell models that have parameters, each with the excitatory time constant of its sign.

    >>> len(cells())
    104
    """
    tables = tables or allen.load()
    known = tables.cells.take(np.isfinite(tables.cells["C_m_pF"]))
    sign = dict(zip(tables.classes["cell_class"], tables.classes["sign"], strict=True))
    receptor = tables.excitatory_receptor(np.array([sign[c] for c in known["cell_class"]]))
    tau_ms = tables.rules["tau_syn_ms"][receptor]
    return [
        Cell({name: float(known[name][row]) for name in _KEYED}, Receptor(float(tau_ms[row])))
        for row in known.rows
    ]


def save_tables(
    path: str | Path,
    *,
    dt_ms: float = 0.25,
    tables: allen.AllenTables | None = None,
    workers: int = 2,
    show_progress: bool | None = None,
) -> int:
    """Run every cell model and write ``keys`` and packed ``rates`` (`converters.transfer_tables`).

    Returns
    -------
    Number of cell models; those of equal parameters share a table.
    """
    distinct = {cell.key(dt_ms): cell for cell in cells(tables)}
    rates = tabulate(
        list(distinct.values()), dt_ms=dt_ms, workers=workers, show_progress=show_progress
    )
    with whole_file(path) as aside, open(aside, "wb") as out:
        np.savez_compressed(out, keys=np.array(list(distinct)), rates=pack(rates))
    return len(distinct)
