"""Records of the Cell Types Database in the units and names of Striate's tables."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from circuits.allen.schema import GLIF3, Column
from toolkit.errors import DataError

# Of EphysFeature: name there, and as a column here. Ranges are wide: wrong units fall out of them.
FEATURES = {
    "vrest": Column("vrest_mV", float, "mV", "resting potential", -120, -20, blank=True),
    "tau": Column("tau_ms", float, "ms", "membrane time constant", 0.5, 500, blank=True),
    "ri": Column("ri_MOhm", float, "MOhm", "input resistance", 5, 1e4, blank=True),
    "threshold_i_long_square": Column(
        "rheobase_pA", float, "pA", "rheobase, of current steps of 1 s", -1e3, 1e4, blank=True
    ),
    "f_i_curve_slope": Column(
        "f_i_slope_Hz_per_pA", float, "Hz/pA", "slope of the f-I curve", -10, 100, blank=True
    ),
}

# Which population of the column a cell of a driver line and layer belongs to: derived from the
# lines of the cell models that each population has (Billeh et al. 2020).
_EXCITATORY = {
    ("Cux2-CreERT2", "2/3"): "e23Cux2",
    ("Cux2-CreERT2", "4"): "e4other",
    ("Nr5a1-Cre", "4"): "e4Nr5a1",
    ("Rorb-IRES2-Cre-D", "4"): "e4Rorb",
    ("Scnn1a-Tg2-Cre", "4"): "e4Scnn1a",
    ("Scnn1a-Tg3-Cre", "4"): "e4Scnn1a",
    ("Rbp4-Cre_KL100", "5"): "e5Rbp4",
    ("Rorb-IRES2-Cre-D", "5"): "e5noRbp4",
    ("Scnn1a-Tg2-Cre", "5"): "e5noRbp4",
    ("Scnn1a-Tg3-Cre", "5"): "e5noRbp4",
    ("Ntsr1-Cre_GN220", "6"): "e6Ntsr1",
}
_INHIBITORY = {"Pvalb-IRES-Cre": "Pvalb", "Sst-IRES-Cre": "Sst", "Htr3a-Cre_NO152": "Htr3a"}


@dataclass(frozen=True)
class Specimen:
    """A cell of the database: where it lies, its driver line, its record of EphysFeature."""

    cell: str
    species: str
    line: str
    area: str
    layer: str
    reporter: str
    features: Mapping[str, Any] = field(default_factory=dict)


def glif3(config: Mapping[str, Any], cell: str) -> dict[str, float]:
    """Parameters of a GLIF3 model in mV, pF, nS, pA and ms, from its configuration in SI units.

    The database keeps what was measured apart from the factors that were fitted; the model has
    their product: C = coeffs.C C, g = coeffs.G / R_input, V_th = coeffs.th_inf th_inf +
    El_reference, amp_k = coeffs.asc_amp_k asc_amp_k. The potential is reset to El_reference, and a
    spike lasts spike_cut_length steps of dt.

    Parameters
    ----------
    config : the model's ``neuron_config.json``
    cell : named in errors

    Raises
    ------
    DataError : a key is missing, a value is no number or out of range, or the model is no GLIF3
        that sums its after-spike currents

    Source: Teeter et al. 2018, Nat Commun 9:709; form of the file: allensdk 2.16.2.
    """
    read = _Reader(config, cell)
    read.must_be("inf", "threshold_dynamics_method", "name")
    read.must_be("exp", "AScurrent_dynamics_method", "name")
    read.must_be("zero", "voltage_reset_method", "name")
    read.must_be([1, 1], "AScurrent_reset_method", "params", "r")
    reference_V = read.number("El_reference")
    tau_s, amp_A = read.pair("asc_tau_array"), read.pair("asc_amp_array")
    factor = read.pair("coeffs", "asc_amp_array")
    if min(*tau_s, read.number("R_input")) <= 0:
        raise DataError(f"cell {cell}: R_input or asc_tau_array is not above 0 in its GLIF3 model")
    values = {
        "C_m_pF": 1e12 * read.number("coeffs", "C") * read.number("C"),
        "g_nS": 1e9 * read.number("coeffs", "G") / read.number("R_input"),
        "E_L_mV": 1e3 * (read.number("El") + reference_V),
        "V_th_mV": 1e3 * (read.number("coeffs", "th_inf") * read.number("th_inf") + reference_V),
        "V_reset_mV": 1e3 * reference_V,
        "t_ref_ms": 1e3 * read.number("spike_cut_length") * read.number("dt"),
        "asc_decay_1_per_ms": 1e-3 / tau_s[0],
        "asc_decay_2_per_ms": 1e-3 / tau_s[1],
        "asc_amp_1_pA": 1e12 * factor[0] * amp_A[0],
        "asc_amp_2_pA": 1e12 * factor[1] * amp_A[1],
    }
    for parameter in GLIF3:
        if not parameter.low <= values[parameter.name] <= parameter.high:
            raise DataError(
                f"cell {cell}: {parameter.name} comes to {values[parameter.name]:g} from its GLIF3 "
                f"model; it needs a number from {parameter.low:g} to {parameter.high:g} "
                f"{parameter.unit} ({parameter.meaning}): has the database changed its units?"
            )
    if values["V_reset_mV"] >= values["V_th_mV"]:
        raise DataError(
            f"cell {cell}: V_th_mV comes to {values['V_th_mV']:g} from its GLIF3 model, which is "
            f"not above V_reset_mV ({values['V_reset_mV']:g})"
        )
    return values


class _Reader:
    """Values of a configuration by their path, or an error that names cell and path."""

    def __init__(self, config: Mapping[str, Any], cell: str):
        self.config, self.cell = config, cell

    def value(self, *path: str) -> Any:
        found: Any = self.config
        for key in path:
            if not isinstance(found, Mapping) or key not in found:
                raise DataError(f"cell {self.cell}: its GLIF3 model has no {'.'.join(path)}")
            found = found[key]
        return found

    def number(self, *path: str) -> float:
        return self._checked(self.value(*path), path)

    def pair(self, *path: str) -> tuple[float, float]:
        found = self.value(*path)
        if not isinstance(found, list) or len(found) != 2:
            raise DataError(
                f"cell {self.cell}: {'.'.join(path)} is {found!r} in its GLIF3 model; it needs two "
                "numbers, for two after-spike currents"
            )
        return self._checked(found[0], path), self._checked(found[1], path)

    def must_be(self, wanted: Any, *path: str) -> None:
        found = self.value(*path)
        if found != wanted:
            raise DataError(
                f"cell {self.cell}: {'.'.join(path)} is {found!r} in its GLIF3 model; the model "
                f"here has {wanted!r} only"
            )

    def _checked(self, found: Any, path: tuple[str, ...]) -> float:
        number = isinstance(found, int | float) and not isinstance(found, bool)
        if not number or not math.isfinite(found):
            raise DataError(
                f"cell {self.cell}: {'.'.join(path)} is {found!r} in its GLIF3 model; it needs a "
                "finite number"
            )
        return float(found)


def specimens(
    cells: Iterable[Mapping[str, Any]], ephys_features: Iterable[Mapping[str, Any]]
) -> dict[str, Specimen]:
    """The cells of the database by specimen id.

    Parameters
    ----------
    cells : records of ApiCellTypesSpecimenDetail
    ephys_features : records of EphysFeature; a cell may have none

    Raises
    ------
    DataError : a record lacks a key
    """
    of_cell = {_text(record, "specimen_id", "ephys features"): record for record in ephys_features}
    found = {}
    for record in cells:
        cell, species, line, area, layer, reporter = (
            _text(record, key, "list of cells")
            for key in (
                "specimen__id",
                "donor__species",
                "line_name",
                "structure_parent__acronym",
                "structure__layer",
                "cell_reporter_status",
            )
        )
        found[cell] = Specimen(cell, species, line, area, layer, reporter, of_cell.get(cell, {}))
    return found


def population(specimen: Specimen) -> str:
    """The population of the column that cells of this line and layer stand for, or "".

    >>> population(Specimen("1", "Mus musculus", "Scnn1a-Tg3-Cre", "VISp", "4", "positive"))
    'e4Scnn1a'
    >>> population(Specimen("2", "Mus musculus", "Pvalb-IRES-Cre", "VISp", "6a", "positive"))
    'i6Pvalb'
    """
    if specimen.area != "VISp" or specimen.reporter != "positive":
        return ""
    layer = specimen.layer.rstrip("ab")
    marker = _INHIBITORY.get(specimen.line)
    if marker is None:
        return _EXCITATORY.get((specimen.line, layer), "")
    if layer == "1":  # all of layer 1 is one population
        return "i1Htr3a" if marker == "Htr3a" else ""
    return f"i{layer.replace('/', '')}{marker}" if layer in ("2/3", "4", "5", "6") else ""


def _text(record: Mapping[str, Any], key: str, what: str) -> str:
    if key not in record:
        raise DataError(f"the {what} of the database: a record has no {key!r}")
    return "" if record[key] is None else str(record[key])


def features(specimen: Specimen) -> dict[str, float]:
    """The ephys features of a cell by column name; NaN for what it has not.

    Raises
    ------
    DataError : a feature is missing, no number or out of its range
    """
    return {
        column.name: _feature(specimen, name, column) if specimen.features else math.nan
        for name, column in FEATURES.items()
    }


def _feature(specimen: Specimen, name: str, column: Column) -> float:
    where = f"cell {specimen.cell}: its ephys feature {name}"
    if name not in specimen.features:
        raise DataError(f"{where} is missing in the answer of the database")
    value = specimen.features[name]
    if value is None:
        return math.nan
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not column.low <= value <= column.high:
        raise DataError(f"{where} is {value!r}; it needs {column.describe()}")
    return float(value)
