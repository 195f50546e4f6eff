"""`load`: the Allen tables of the Billeh et al. 2020 column, checked, as read-only tables."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from circuits.allen.reader import read
from circuits.allen.schema import FILES, GLIF3
from toolkit.errors import DataError, unknown
from toolkit.table import Table

DATA = Path(__file__).parent / "data"


@dataclass(frozen=True)
class AllenTables:
    """The tables, one `Table` a file; `circuits.allen.schema.FILES` has every column's unit.

    Rows stand in the order of the classes (populations, cells); with two keys the first is the
    slow one, so that ``connections["sigma_um"].reshape(17, 17)`` is (pre, post) and
    ``weights["weight_pA"].reshape(111, 17)`` is (cell, pre).

    Attributes
    ----------
    classes : the 17 classes: layer, sign, marker, counts
    populations : the 21 populations: class, counts, depth range
    connections : each pair of classes: probability, fall-off, orientation rule, delay
    cells : the 111 GLIF3 cell models; the parameters of 7 are NaN. Beside the file's columns:
        ``cell_class`` and ``background_weight_pA`` (one synapse; of its population)
    weights : weight of one synapse onto each cell model from each class; also ``post``, the class
        of the cell
    rules : each receptor: time constant and tuning of the weight; also ``pre_sign``, ``post_sign``
    lgn_types : the LGN filters
    lgn_to_v1 : the LGN wiring of each population; also ``cell_class``
    background : the Poisson input of each population; also ``cell_class``
    neuropixels : recorded rates and selectivity of each class
    neuropixels_types : the same pooled over layers, by marker
    class_pairs : edges, weights and in-degrees of each pair of classes, to compare with; also
        ``in_degree_full``
    """

    classes: Table
    populations: Table
    connections: Table
    cells: Table
    weights: Table
    rules: Table
    lgn_types: Table
    lgn_to_v1: Table
    background: Table
    neuropixels: Table
    neuropixels_types: Table
    class_pairs: Table

    def cells_of(self, population: str) -> Table:
        """The cell models of a population that have parameters.

        Raises
        ------
        InputError : there is no such population

        >>> load().cells_of("e4Scnn1a")["n_cells"].sum()
        np.int64(13728)
        """
        if population not in self.populations["population"]:
            raise unknown("population", population, self.populations["population"])
        cells = self.cells.where(population=population)
        return cells.take(np.isfinite(cells[GLIF3[0].name]))

    def layer_of(self, cell_class: np.ndarray) -> np.ndarray:
        """Cortical layer ("1", "2/3", "4", "5" or "6") of each class named, same shape.

        Raises
        ------
        InputError : a name is not that of a class
        """
        known = self.classes["cell_class"]
        for name in np.unique(cell_class).tolist():
            if name not in known:
                raise unknown("cell class", name, known)
        return _look_up(self.classes, "cell_class", "layer")(cell_class)

    def weight_matrix(self) -> np.ndarray:
        """Weight of one synapse in pA, shape (cell model, presynaptic class)."""
        return self.weights["weight_pA"].reshape(len(self.cells.rows), len(self.classes.rows))

    def full_input(self) -> np.ndarray:
        """In-degree times mean weight in the full column, pA, shape (pre class, post class)."""
        pairs, n = self.class_pairs, len(self.classes.rows)
        return (pairs["in_degree_full"] * pairs["mean_weight_full_pA"]).reshape(n, n)

    def excitatory_receptor(self, sign: np.ndarray) -> np.ndarray:
        """Row in `rules` of the receptor for excitatory input to neurons of the given signs.

        >>> load().excitatory_receptor(np.array([1, -1]))
        array([0, 2])
        """
        names = self.rules["receptor"].tolist()
        return np.where(np.asarray(sign) > 0, names.index("e2e"), names.index("e2i"))


def load(folder: str | Path | None = None) -> AllenTables:
    """Read and check the tables.

    Source: Billeh et al. 2020, Neuron 106:388-403, Teeter et al. 2018, Siegle et al. 2021 and
    Durand et al. 2016; every file names its own. Takes about 20 ms; the shipped tables are read
    once a process.

    Parameters
    ----------
    folder : another folder of the same files; the shipped ones if None

    Raises
    ------
    DataError : a file, column, row or cell is missing, repeated or wrong; the message names the
        file, the line, the column, what was found and what is accepted

    Examples
    --------
    >>> tables = load()
    >>> tables.classes["n_full"].sum(), tables.classes["n_core"].sum()
    (np.int64(230924), np.int64(51978))
    >>> tables.cells.where(population="e23Cux2")["C_m_pF"].round(1)
    array([123.4])
    """
    return _shipped() if folder is None else _load(Path(folder))


@functools.lru_cache(maxsize=1)
def _shipped() -> AllenTables:
    return _load(DATA)


def _load(folder: Path) -> AllenTables:
    tables: dict[str, Table] = {}
    lines: dict[str, np.ndarray] = {}
    known: dict[str, list[str]] = {}
    for file in FILES:
        tables[file.name], lines[file.name] = read(folder, file, known)
        if len(file.key) == 1:
            known[file.name] = tables[file.name][file.key[0]].tolist()
    _check_signs(tables, lines)
    return AllenTables(**_with_derived(tables))


def _check_signs(tables: dict[str, Table], lines: dict[str, np.ndarray]) -> None:
    """Dale's law: a weight has the sign of its presynaptic class."""
    sign = _look_up(tables["classes"], "cell_class", "sign")
    for file, column in (("weights", "weight_pA"), ("class_pairs", "mean_weight_full_pA")):
        weight = tables[file][column]
        wrong = weight * sign(tables[file]["pre"]) < 0
        if wrong.any():
            i = int(np.flatnonzero(wrong)[0])
            pre = tables[file]["pre"][i]
            raise DataError(
                f"{file}.csv, line {lines[file][i]}, column {column!r}: got {weight[i]:g}; "
                f"a weight from {pre} has the sign {sign(np.array([pre]))[0]:+d} of its class"
            )


def _with_derived(tables: dict[str, Table]) -> dict[str, Table]:
    """The tables with the columns that follow from others."""
    class_of = _look_up(tables["populations"], "population", "cell_class")
    background = _look_up(tables["background"], "population", "weight_pA")
    n_full = _look_up(tables["classes"], "cell_class", "n_full")
    out = dict(tables)
    for name in ("cells", "lgn_to_v1", "background"):
        out[name] = tables[name].replace(cell_class=class_of(tables[name]["population"]))
    out["cells"] = out["cells"].replace(
        background_weight_pA=background(tables["cells"]["population"])
    )
    cell_class = _look_up(out["cells"], "cell", "cell_class")
    out["weights"] = tables["weights"].replace(post=cell_class(tables["weights"]["cell"]))
    ends = [receptor.split("2") for receptor in tables["rules"]["receptor"]]
    out["rules"] = tables["rules"].replace(
        pre_sign=[1 if pre == "e" else -1 for pre, _ in ends],
        post_sign=[1 if post == "e" else -1 for _, post in ends],
    )
    pairs = tables["class_pairs"]
    out["class_pairs"] = pairs.replace(in_degree_full=pairs["n_edges_full"] / n_full(pairs["post"]))
    return out


def _look_up(table: Table, key: str, column: str) -> Callable[[np.ndarray], np.ndarray]:
    """A function from names in the column `key` to the values of another column."""
    row = {name: i for i, name in enumerate(table[key].tolist())}
    values = table[column]
    return lambda names: values[[row[str(name)] for name in names]]
