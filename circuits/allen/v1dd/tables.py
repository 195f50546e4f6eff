"""`load_v1dd`: the tables of the second generation, checked, as read-only tables."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from circuits.allen import tables as billeh
from circuits.allen.reader import read
from circuits.allen.v1dd.schema import EXTERNAL, FILES, SYNAPTIC_TYPES
from toolkit.errors import DataError
from toolkit.neurons import glif3
from toolkit.table import Table

DATA = Path(__file__).parent / "data"
FULL_RADIUS_UM = 700.0  # of the column of the counts n_full
CORE_RADIUS_UM = 400.0  # of its core
LGN_SIZE_MAX_DEG = 9.0  # of LGN receptive fields with one subfield; 10 in Billeh et al. 2020
# Of weights where the numbers of synapses account for all of the spread of the potentials.
MIN_WEIGHT_SHAPE = 0.001


@dataclass(frozen=True)
class V1DDTables:
    """The tables; `circuits.allen.v1dd.schema.FILES` has the unit of every column of a file.

    Rows stand in the order of the classes. Attributes with the columns that follow from others:

    Attributes
    ----------
    classes : the 17 classes: layer, sign, marker, and ``n_full``
    cell_types : the 19 cell types; also ``sign``, ``layer`` and ``n_synapses_mean`` (whole)
    populations : the 22 populations, with all that is known of their cell types
    cells : the 201 GLIF3 cell models; also ``cell_class``, ``cell_type``, ``synaptic_type``,
        ``lgn_factor`` and ``psp_from_TYPE_mV_per_pA``, the peak potential at rest for a synapse of
        weight 1 pA from each synaptic type; ``exc`` stands for LGN and background
    pairs : the 19 x 19 pairs of cell types (pre, post), the first the slow one: ``p_peak``,
        ``sigma_um``, ``b_ratio``, ``receptor`` (name), ``delay_ms``, ``psp_shape``,
        ``psp_scale_mV`` and the log-normal ``weight_shape``, ``weight_scale_mV`` of the potential
        of a synapse onto a neuron with the mean number of synapses
    kinetics : synaptic currents by ``pre_type`` and ``post_type``; also ``receptor``, the name
        of the pair, such as ``e23_to_pv``
    lgn_types : the LGN filters
    lgn_to_v1 : the LGN wiring of each population; also ``cell_class`` and ``receptor``
    lgn_factors : cell models whose LGN weights have a factor
    """

    classes: Table
    cell_types: Table
    populations: Table
    cells: Table
    pairs: Table
    kinetics: Table
    lgn_types: Table
    lgn_to_v1: Table
    lgn_factors: Table


def load_v1dd(folder: str | Path | None = None) -> V1DDTables:
    """Read and check the tables of the second generation.

    Source: Allen Institute, biorealistic-v1-model (2026); every file names its own. Takes about
    0.1 s; the shipped tables are read once a process.

    Parameters
    ----------
    folder : another folder of the same files; the shipped ones if None

    Raises
    ------
    DataError : a file, column, row or cell is missing, repeated or wrong; the message names the
        file, the line, the column, what was found and what is accepted

    Examples
    --------
    >>> tables = load_v1dd()
    >>> tables.classes["n_full"].sum(), len(tables.cells.rows)
    (np.int64(203816), 201)
    >>> pair = tables.pairs.where(pre="L2/3 E", post="L5 ET")
    >>> pair["receptor"].tolist(), pair["p_peak"].round(4)
    (['e23_to_e5et'], array([0.1026]))
    """
    return _shipped() if folder is None else _load(Path(folder))


@functools.lru_cache(maxsize=1)
def _shipped() -> V1DDTables:
    return _load(DATA)


def _load(folder: Path) -> V1DDTables:
    first = billeh.load()
    known = {"classes": first.classes["cell_class"].tolist()}
    files: dict[str, Table] = {}
    for file in FILES:
        files[file.name], lines = read(folder, file, known)
        if len(file.key) == 1:
            known[file.name] = files[file.name][file.key[0]].tolist()
        if file.name == "kinetics":
            _check_delays(files["kinetics"], lines)

    types = _join(files["cell_types"], "cell_class", first.classes, "sign", "layer")
    mean = types["n_synapses_scale"] * np.exp(types["n_synapses_shape"] ** 2 / 2)
    types = types.replace(n_synapses_mean=np.floor(mean))  # whole, as in the source
    populations = _join(files["populations"], "cell_type", types, *types)
    kinetics = files["kinetics"]
    kinetics = kinetics.replace(receptor=_receptor(kinetics["pre_type"], kinetics["post_type"]))
    lgn_to_v1 = _join(files["lgn_to_v1"], "population", populations, "cell_class", "synaptic_type")
    return V1DDTables(
        classes=_classes(first.classes, populations),
        cell_types=types,
        populations=populations,
        cells=_cells(files, populations, kinetics),
        pairs=_pairs(files, types, kinetics),
        kinetics=kinetics,
        lgn_types=_lgn_types(first.lgn_types),
        lgn_to_v1=lgn_to_v1.replace(receptor=_receptor(EXTERNAL, lgn_to_v1["synaptic_type"])),
        lgn_factors=files["lgn_factors"],
    )


def _classes(classes: Table, populations: Table) -> Table:
    n_full = [populations.where(cell_class=name)["n_full"].sum() for name in classes["cell_class"]]
    kept = ("cell_class", "layer", "sign", "marker")
    return Table({name: classes[name] for name in kept}).replace(n_full=n_full)


def _lgn_types(lgn_types: Table) -> Table:
    """The filters of Billeh et al. 2020, with the sizes of this generation."""
    single = np.isfinite(lgn_types["tf_Hz"])
    return lgn_types.replace(
        size_max_deg=np.where(single, LGN_SIZE_MAX_DEG, lgn_types["size_max_deg"])
    )


def _cells(files: dict[str, Table], populations: Table, kinetics: Table) -> Table:
    """The cell models, with what follows from their populations and synaptic types."""
    cells = _join(
        *(files["cells"], "population", populations),
        *("cell_class", "cell_type", "synaptic_type"),
    )
    factors = files["lgn_factors"]
    factor = dict(zip(factors["cell"].tolist(), factors["factor"].tolist(), strict=True))
    added = {"lgn_factor": np.array([factor.get(name, 1.0) for name in cells["cell"].tolist()])}
    shape = ("tau_fast_ms", "tau_slow_ms", "amp_slow")
    for pre_type in (EXTERNAL, *SYNAPTIC_TYPES):
        named = cells.replace(receptor=_receptor(pre_type, cells["synaptic_type"]))
        current = _join(named, "receptor", kinetics, *shape)
        added[f"psp_from_{pre_type}_mV_per_pA"] = glif3.psp_peak_mV(
            cells["C_m_pF"], cells["g_nS"], *(current[name] for name in shape)
        )
    return cells.replace(**added)


def _pairs(files: dict[str, Table], types: Table, kinetics: Table) -> Table:
    """Everything of each pair of cell types."""
    pairs = files["connections"]
    end = {
        side: _join(Table({"cell_type": pairs[side]}), "cell_type", types, *types)
        for side in ("pre", "post")
    }
    letter = {side: np.where(end[side]["sign"] > 0, "e", "i") for side in end}
    pairs = pairs.replace(
        ends=np.char.add(np.char.add(letter["pre"], "2"), letter["post"]),
        receptor=_receptor(end["pre"]["synaptic_type"], end["post"]["synaptic_type"]),
    )
    pairs = _join(pairs, "ends", files["falloff"], "sigma_um", "b_ratio")
    pairs = _join(pairs, "receptor", kinetics, "delay_ms")
    psp = _join(pairs, "potential", files["potentials"], "shape", "scale_mV")
    post = end["post"]
    # The numbers of synapses of the targets account for a part of the spread of the potentials.
    rest = psp["shape"] ** 2 - post["n_synapses_shape"] ** 2
    return pairs.replace(
        psp_shape=psp["shape"],
        psp_scale_mV=psp["scale_mV"],
        weight_shape=np.maximum(np.sqrt(np.maximum(rest, 0)), MIN_WEIGHT_SHAPE),
        weight_scale_mV=psp["scale_mV"] * post["n_synapses_scale"] / post["n_synapses_mean"],
    )


def _receptor(pre_type: str | np.ndarray, post_type: np.ndarray) -> np.ndarray:
    return np.char.add(np.char.add(pre_type, "_to_"), post_type)


def _join(table: Table, key: str, other: Table, *columns: str) -> Table:
    """The table with columns of another, looked up by the names in the column `key` of both."""
    row = {name: i for i, name in enumerate(other[key].tolist())}
    rows = [row[name] for name in table[key].tolist()]
    return table.replace(**{name: other[name][rows] for name in columns})


def _check_delays(kinetics: Table, lines: np.ndarray) -> None:
    missing = np.isnan(kinetics["delay_ms"]) & (kinetics["pre_type"] != EXTERNAL)
    if missing.any():
        raise DataError(
            f"kinetics.csv, line {lines[np.flatnonzero(missing)[0]]}, column 'delay_ms': the cell "
            f"is empty; only rows of pre_type {EXTERNAL!r} have no delay"
        )
