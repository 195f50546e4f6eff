"""Records of the Cell Types Database to the units and names of the tables."""

from __future__ import annotations

import copy
from typing import Any

import allen_server
import numpy as np
import pytest

from circuits import allen
from circuits.allen.refresh import convert
from circuits.allen.refresh.compare import rounded
from circuits.allen.schema import GLIF3
from toolkit.errors import DataError

CELL = "475585413"  # i1Htr3a, the first of the tables

CONFIG: dict[str, Any] = {
    "El": 0.001,
    "El_reference": -0.07,
    "C": 1e-10,
    "R_input": 2e8,
    "th_inf": 0.02,
    "spike_cut_length": 60,
    "dt": 5e-5,
    "asc_tau_array": [0.1, 0.01],
    "asc_amp_array": [-1e-11, 2e-10],
    "coeffs": {"C": 1.1, "G": 0.9, "th_inf": 1.25, "asc_amp_array": [2.0, 0.5]},
    "threshold_dynamics_method": {"name": "inf", "params": {}},
    "AScurrent_dynamics_method": {"name": "exp", "params": {}},
    "AScurrent_reset_method": {"name": "sum", "params": {"r": [1.0, 1.0]}},
    "voltage_reset_method": {"name": "zero", "params": {}},
}


def test_factors_are_multiplied_in_and_units_are_the_tables() -> None:
    assert convert.glif3(CONFIG, "1") == pytest.approx(
        {
            "C_m_pF": 110,
            "g_nS": 4.5,
            "E_L_mV": -69,
            "V_th_mV": -45,
            "V_reset_mV": -70,
            "t_ref_ms": 3,
            "asc_decay_1_per_ms": 0.01,
            "asc_decay_2_per_ms": 0.1,
            "asc_amp_1_pA": -20,
            "asc_amp_2_pA": 100,
        }
    )


def test_the_tables_come_back_from_their_si_form() -> None:
    cells = allen.load().cells
    for row, cell in enumerate(cells["cell"].tolist()):
        known = {p.name: float(cells[p.name][row]) for p in GLIF3}
        if not np.isnan(known["g_nS"]):
            values = convert.glif3(allen_server.neuron_config(known), cell)
            assert {name: rounded(value) for name, value in values.items()} == pytest.approx(
                known, abs=1.5e-8
            )


def changed(path: str, value: Any, config: dict[str, Any] = CONFIG) -> dict[str, Any]:
    """The configuration with a value replaced, or left out for ...; dots in the path go deeper."""
    new = copy.deepcopy(config)
    *above, last = path.split(".")
    place = new
    for key in above:
        place = place[key]
    if value is ...:
        del place[last]
    else:
        place[last] = value
    return new


PATHS = [*CONFIG, *(f"coeffs.{key}" for key in CONFIG["coeffs"]), "AScurrent_reset_method.params.r"]


@pytest.mark.parametrize("path", PATHS)
def test_a_missing_key_is_named(path: str) -> None:
    with pytest.raises(DataError, match=rf"cell 7: its GLIF3 model has no {path}"):
        convert.glif3(changed(path, ...), "7")


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("C", 100, r"C_m_pF comes to 1.1e\+14 .* 0.001 to 100000 pF \(membrane capacitance\)"),
        ("C", float("nan"), "C is nan in its GLIF3 model; it needs a finite number"),
        ("C", float("inf"), "C is inf"),
        ("C", "1e-10", "C is '1e-10'"),
        ("C", None, "C is None"),
        ("C", True, "C is True"),
        ("R_input", 200, r"g_nS comes to 4.5e\+06 .* nS \(leak conductance\)"),
        ("R_input", 0, "R_input or asc_tau_array is not above 0"),
        ("asc_tau_array", [0.1, -0.1], "R_input or asc_tau_array is not above 0"),
        ("asc_tau_array", [0.1], r"asc_tau_array is \[0.1\] .* two numbers"),
        ("asc_tau_array", [1e-10, 0.1], r"asc_decay_1_per_ms comes to 1e\+07"),
        ("asc_amp_array", [0, float("nan")], "asc_amp_array is nan"),
        ("asc_amp_array", [-10, 200], "asc_amp_1_pA comes to -2e"),
        ("El_reference", -70, "E_L_mV comes to -69999"),
        ("dt", 0.5, "t_ref_ms comes to 30000 .* 0 to 1000 ms"),
        ("th_inf", -0.02, "V_th_mV comes to -95 .* not above V_reset_mV"),
        ("coeffs", 3, "has no coeffs.asc_amp_array"),
        ("coeffs.asc_amp_array", None, "coeffs.asc_amp_array is None"),
        ("threshold_dynamics_method.name", "three_components_exact", "has 'inf' only"),
        ("voltage_reset_method.name", "v_before", "voltage_reset_method.name is 'v_before'"),
        ("AScurrent_reset_method.params.r", [0.5, 1.0], r"has \[1, 1\] only"),
    ],
)
def test_a_wrong_value_is_named(path: str, value: Any, says: str) -> None:
    with pytest.raises(DataError, match=f"^cell 7: .*{says}"):
        convert.glif3(changed(path, value), "7")


def test_lines_and_layers_of_the_tables_cells_stand_for_their_populations() -> None:
    known = allen_server.database()
    details, features = zip(
        *((c.detail, c.ephys_feature) for c in known.values() if c.features), strict=True
    )
    specimens = convert.specimens(details, features)
    cells = allen.load().cells
    for cell, population in zip(cells["cell"], cells["population"], strict=True):
        if int(cell) in known:
            assert convert.population(specimens[cell]) == population
    others = [convert.population(specimens[str(n)]) for n in range(900000001, 900000005)]
    assert others == ["e4Scnn1a", "e4Scnn1a", "", ""]  # V1, V1, another area, a Vip cell
    for changes in ({"layer": "1", "line": "Sst-IRES-Cre"}, {"reporter": "negative"}):
        odd = convert.Specimen(**{**vars(specimens[CELL]), **changes})
        assert convert.population(odd) == ""


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("vrest", -0.07, r"vrest is -0.07; it needs a number from -120 to -20 mV"),
        ("ri", 2e8, "ri is 200000000.0; .* MOhm"),
        ("tau", "0.02", "tau is '0.02'"),
        ("tau", 0.02, "tau is 0.02"),
        ("tau", float("nan"), "tau is nan"),
        ("threshold_i_long_square", ..., "threshold_i_long_square is missing"),
    ],
)
def test_ephys_features_are_checked(name: str, value: Any, says: str) -> None:
    cell = allen_server.database()[int(CELL)]
    record = changed(name, value, cell.ephys_feature)
    specimen = convert.specimens([cell.detail], [record])[CELL]
    with pytest.raises(DataError, match=f"cell {CELL}: its ephys feature {says}"):
        convert.features(specimen)


def test_a_record_without_a_key_is_named() -> None:
    record = changed("line_name", ..., allen_server.database()[int(CELL)].detail)
    with pytest.raises(
        DataError, match="list of cells of the database: a record has no 'line_name'"
    ):
        convert.specimens([record], [])
