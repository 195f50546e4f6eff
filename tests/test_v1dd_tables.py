"""The tables of the second generation: what they hold, and that damage is named."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from circuits import allen
from circuits.allen.v1dd.tables import DATA
from toolkit.errors import DataError
from toolkit.neurons.glif3 import PARAMETERS
from toolkit.neurons.schema import check_all

TABLES = allen.load_v1dd()
POPULATIONS = [
    *("i1Htr3a", "e23Cux2", "i23Pvalb", "i23Sst", "i23Vip"),
    *("e4Nr5a1", "e4Rorb", "e4Scnn1a", "e4other", "i4Pvalb", "i4Sst", "i4Vip"),
    *("e5IT", "e5ET", "e5NP", "i5Pvalb", "i5Sst", "i5Vip"),
    *("e6Ntsr1", "i6Pvalb", "i6Sst", "i6Vip"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(DATA, tmp_path / "tables")
    return tmp_path / "tables"


def test_published_counts():
    assert TABLES.populations["population"].tolist() == POPULATIONS
    assert TABLES.populations["n_full"].sum() == TABLES.classes["n_full"].sum() == 203_816
    assert TABLES.classes.where(cell_class="e5")["n_full"][0] == 20_075 + 7457 + 1148
    assert (len(TABLES.cell_types.rows), len(TABLES.cells.rows)) == (19, 201)
    sign = [1 if name.startswith("e") else -1 for name in POPULATIONS]
    assert TABLES.populations["sign"].tolist() == sign


def test_classes_are_those_of_the_first_generation():
    first = allen.load().classes
    for column in ("cell_class", "layer", "sign", "marker"):
        assert TABLES.classes[column].tolist() == first[column].tolist()
    order = [TABLES.classes["cell_class"].tolist().index(c) for c in TABLES.cells["cell_class"]]
    assert order == sorted(order)


def test_cells_have_parameters_and_models_of_the_first_generation_are_the_same():
    check_all(PARAMETERS, TABLES.cells)
    first = {name: i for i, name in enumerate(allen.load().cells["cell"].tolist())}
    shared = [i for i, name in enumerate(TABLES.cells["cell"].tolist()) if name in first]
    assert len(shared) == 36
    rows = [first[name] for name in TABLES.cells["cell"][shared].tolist()]
    for column in ("C_m_pF", "g_nS", "V_th_mV", "asc_amp_2_pA"):
        values = allen.load().cells[column][rows]
        known = np.isfinite(values)
        np.testing.assert_allclose(TABLES.cells[column][shared][known], values[known], rtol=1e-9)


def test_mean_numbers_of_synapses_are_whole_as_in_the_source():
    mean = dict(zip(POPULATIONS, TABLES.populations["n_synapses_mean"].tolist(), strict=True))
    assert [mean[name] for name in ("i1Htr3a", "e23Cux2", "e4Rorb", "e5ET", "e5NP", "i6Vip")] == [
        *(4051, 4075, 2322, 8103, 1751, 2720)
    ]


# p_peak, sigma, b_ratio, receptor, delay, and shape and scale of the weight
PAIRS = {
    ("L1 Htr3a", "L1 Htr3a"): (0.23722483, 126.77, np.nan, "vip_to_vip", 1.37, 0.001, 0.27063741),
    ("L1 Htr3a", "L2/3 E"): (0.17574316, 96.6, np.nan, "vip_to_e23", 1.85, 0.23848767, 0.34488685),
    ("L2/3 E", "L2/3 Pvalb"): (0.28597, 99.84, np.nan, "e23_to_pv", 1.17, 0.201718, 0.494378),
    ("L5 ET", "L5 IT"): (0.019135, 127.0, 0.5, "e5et_to_e5it", 1.84, 0.50955, 0.367395),
}


@pytest.mark.parametrize("pair", PAIRS)
def test_pinned_pairs(pair):
    row = TABLES.pairs.where(pre=pair[0], post=pair[1])
    p_peak, sigma_um, b_ratio, receptor, delay_ms, shape, scale_mV = PAIRS[pair]
    assert (row["receptor"][0], row["delay_ms"][0]) == (receptor, delay_ms)
    columns = ("p_peak", "sigma_um", "b_ratio", "weight_shape", "weight_scale_mV")
    np.testing.assert_allclose(
        [row[name][0] for name in columns],
        [p_peak, sigma_um, b_ratio, shape, scale_mV],
        rtol=2e-5,
    )


def test_rows_are_ordered_so_that_matrices_are_reshapes():
    types = TABLES.cell_types["cell_type"].tolist()
    assert TABLES.pairs["pre"].reshape(19, 19)[:, 5].tolist() == types
    assert TABLES.pairs["post"].reshape(19, 19)[5].tolist() == types


# Recomputed by another program: a passive membrane and the published kinetics.
UNITARY_PSPS = {
    "475585413": (0.09998, 0.09401, 0.09998, 0.09998, 0.08122, 0.11975, 0.16959),
    "322723785": (0.05995, 0.05995, 0.06212, 0.05995, 0.05282, 0.0793, 0.0514),
    "485574832": (0.05177, 0.05177, 0.04575, 0.05177, 0.03651, 0.05239, 0.05595),
    "313862134": (0.09875, 0.09552, 0.09875, 0.09875, 0.20286, 0.11077, 0.16632),
}


@pytest.mark.parametrize("cell", UNITARY_PSPS)
def test_unitary_potentials(cell):
    row = TABLES.cells.where(cell=cell)
    types = ("exc", "e23", "e4", "e6", "pv", "sst", "vip")
    psps = [row[f"psp_from_{name}_mV_per_pA"][0] for name in types]
    np.testing.assert_allclose(psps, UNITARY_PSPS[cell], rtol=2e-4)


def test_kinetics_and_lgn():
    assert len(TABLES.kinetics.rows) == 90
    row = TABLES.kinetics.where(receptor="e5et_to_e5et")
    assert [row[name][0] for name in ("tau_fast_ms", "tau_slow_ms", "amp_slow", "delay_ms")] == [
        *(1.56357135, 2.16737114, 1.65105951, 1.92)
    ]
    np.testing.assert_array_equal(
        np.isnan(TABLES.kinetics["delay_ms"]), TABLES.kinetics["pre_type"] == "exc"
    )
    lgn = TABLES.lgn_to_v1
    assert lgn["population"].tolist() == POPULATIONS
    assert lgn.where(population="i4Pvalb")["receptor"].tolist() == ["exc_to_pv"]
    assert lgn.where(population="i4Pvalb")["synapse_ratio_vs_e4"][0] == 2.76
    factor = TABLES.cells["lgn_factor"]
    assert (factor != 1).sum() == len(TABLES.lgn_factors.rows) == 11
    assert factor[TABLES.cells["cell"] == "535728342"] == 0.5
    sizes = dict(zip(TABLES.lgn_types["lgn_type"], TABLES.lgn_types["size_max_deg"], strict=True))
    assert (sizes["tOFF_TF4"], sizes["sONsOFF_001"], sizes["sONtOFF_001"]) == (9.0, 6.0, 9.0)


# --- damage


def damage(folder: Path, file: str, old: str, new: str) -> None:
    path = folder / f"{file}.csv"
    text = path.read_text()
    assert text.count(old) >= 1
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("kinetics", ",1.82\n", ",\n", r"kinetics\.csv, line 16, column 'delay_ms'.*'exc'"),
        ("populations", ",L5 NP,", ",L5 NQ,", r"populations\.csv, line 20.*cell type 'L5 NQ'"),
        ("connections", "L6 Vip,L6 Vip", "L6 Vip,L6 Sst", r"connections\.csv.*already in line"),
        ("cell_types", ",vip,", ",Vip,", r"cell_types\.csv, line 8, column 'synaptic_type'"),
        ("falloff", "e2e,127", "e2e,0", r"falloff\.csv.*'sigma_um'.*from 1 to 2000 um"),
        ("cells", "a,37.11078733", "a,-37.1", r"cells\.csv, line 7, column 'C_m_pF': got '-37.1'"),
        ("potentials", "Vip to Vip", "Vip to Vup", r"connections\.csv, line 7.*'Vip to Vip'"),
        ("lgn_factors", "479179020", "1", r"lgn_factors\.csv.*the 201 of cells\.csv"),
    ],
)
def test_damage_is_named(folder, file, old, new, message):
    damage(folder, file, old, new)
    with pytest.raises(DataError, match=message):
        allen.load_v1dd(folder)


def test_a_missing_file_is_named(folder):
    (folder / "potentials.csv").unlink()
    with pytest.raises(DataError, match=r"potentials\.csv is missing in"):
        allen.load_v1dd(folder)


def test_another_folder_is_read(folder):
    damage(folder, "populations", "e5IT,L5 IT,20075", "e5IT,L5 IT,20076")
    assert allen.load_v1dd(folder).populations["n_full"].sum() == 203_817
    assert allen.load_v1dd().populations["n_full"].sum() == 203_816
