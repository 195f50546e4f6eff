"""The Allen tables: what they hold, and that a damaged file is named with line and column."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from circuits import allen
from circuits.allen.reader import read
from circuits.allen.schema import FILES, Column, File
from circuits.allen.tables import DATA
from toolkit.errors import DataError, InputError
from toolkit.neurons.glif3 import PARAMETERS
from toolkit.neurons.schema import check_all

CLASSES = [
    *("i1Htr3a", "e23", "i23Pvalb", "i23Sst", "i23Htr3a", "e4", "i4Pvalb", "i4Sst", "i4Htr3a"),
    *("e5", "i5Pvalb", "i5Sst", "i5Htr3a", "e6", "i6Pvalb", "i6Sst", "i6Htr3a"),
]


@pytest.fixture(scope="module")
def tables() -> allen.AllenTables:
    return allen.load()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(DATA, tmp_path / "tables")
    return tmp_path / "tables"


# --- what the tables hold


def test_seventeen_classes_in_order(tables):
    assert tables.classes["cell_class"].tolist() == CLASSES
    assert [name[0] == "e" for name in CLASSES] == (tables.classes["sign"] == 1).tolist()


def test_published_counts(tables):
    totals = {name: tables.classes[name].sum() for name in ("n_full", "n_core", "n_3k", "n_6k")}
    assert totals == {"n_full": 230_924, "n_core": 51_978, "n_3k": 3000, "n_6k": 6000}
    assert len(tables.populations.rows) == 21
    for count in ("n_full", "n_core"):
        for row, name in enumerate(CLASSES):
            of_class = tables.populations.where(cell_class=name)
            assert of_class[count].sum() == tables.classes[count][row]


def test_cells_make_up_their_populations(tables):
    assert len(tables.cells.rows) == 111
    for row, population in enumerate(tables.populations["population"]):
        cells = tables.cells.where(population=population)
        assert cells["n_cells"].sum() == tables.populations["n_full"][row]
        assert set(cells["cell_class"]) == {tables.populations["cell_class"][row]}


def test_seven_cells_lack_parameters_and_every_population_has_some(tables):
    missing = tables.cells.take(np.isnan(tables.cells["C_m_pF"]))
    assert len(missing.rows) == 7
    assert missing["n_cells"].sum() == 4946
    n = 0
    for population in tables.populations["population"]:
        cells = tables.cells_of(population)
        check_all(PARAMETERS, cells)
        assert len(cells.rows) > 0
        n += len(cells.rows)
    assert n == 104


def test_pinned_cell_model(tables):
    cell = tables.cells.where(cell="475585413")
    assert {name: cell[name][0] for name in ("population", "n_cells", "t_ref_ms")} == {
        "population": "i1Htr3a",
        "n_cells": 4241,
        "t_ref_ms": 3.5,
    }
    assert cell["C_m_pF"][0] == 37.11078733
    assert cell["asc_amp_2_pA"][0] == -50.32409521
    assert cell["lgn_weight_pA"][0] == 5.96377161
    assert cell["background_weight_pA"][0] == 0.66835227


def test_rows_are_ordered_so_that_matrices_are_reshapes(tables):
    pre = tables.connections["pre"].reshape(17, 17)
    assert pre[:, 0].tolist() == CLASSES
    assert tables.connections["post"].reshape(17, 17)[0].tolist() == CLASSES
    assert tables.weights["cell"].reshape(111, 17)[:, 3].tolist() == tables.cells["cell"].tolist()
    assert tables.weights["pre"].reshape(111, 17)[5].tolist() == CLASSES
    assert tables.weights["post"].reshape(111, 17)[:, 3].tolist() == (
        tables.cells["cell_class"].tolist()
    )
    assert tables.weight_matrix()[0, 0] == -1.77108


def test_mean_weight_of_a_pair_follows_from_weights_and_rule(tables):
    """5 synapses x weight (mean over cells) x mean tuning factor is the mean connection."""
    pairs = tables.class_pairs
    cells = np.stack([tables.cells["cell_class"] == name for name in CLASSES])
    share = cells * tables.cells["n_cells"] / (cells @ tables.cells["n_cells"])[:, None]
    mean = (share @ tables.weight_matrix()).T.ravel()  # (pre, post)
    expected = 5 * mean * pairs["rule_factor_full"]
    assert np.allclose(expected, pairs["mean_weight_full_pA"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("pre", "weight_pA"), [("e23", 0.392), ("e4", 2.83), ("e5", 1.51)]
)  # published network, checked by an independent analysis of its files
def test_mean_weights_onto_layer_2_3(tables, pre, weight_pA):
    row = tables.class_pairs.where(pre=pre, post="e23")
    assert row["mean_weight_full_pA"][0] == pytest.approx(weight_pA, abs=0.006)


def test_edges_and_in_degrees(tables):
    pairs = tables.class_pairs
    assert pairs["n_edges_full"].sum() == 70_139_111
    assert pairs["n_edges_core"].sum() == 14_441_124
    assert (pairs["n_edges_full"] > 0).tolist() == (
        tables.connections["p_within_75um"] > 0
    ).tolist()
    assert pairs.where(pre="i1Htr3a", post="i1Htr3a")["in_degree_full"][0] == 279599 / 4363
    full = tables.full_input()
    e4_to_e23 = pairs.where(pre="e4", post="e23")
    assert e4_to_e23["in_degree_full"][0] == e4_to_e23["n_edges_full"][0] / 56057
    assert full[CLASSES.index("e4"), CLASSES.index("e23")] == (
        e4_to_e23["in_degree_full"][0] * e4_to_e23["mean_weight_full_pA"][0]
    )


def test_compact_3k_in_degree_follows_from_probability(tables):
    """Mean over a disc of exp(-(d/sigma)^2), by its pair-distance density, for every pair."""
    c = tables.connections
    radius = 400 * np.sqrt(3000 / 51978)
    s = np.linspace(0, 2 * radius, 4001)[1:-1, None]
    density = 4 * s / (np.pi * radius**2) * np.arccos(s / (2 * radius))
    density -= 2 * s**2 / (np.pi * radius**3) * np.sqrt(1 - (s / (2 * radius)) ** 2)
    mean = (density * np.exp(-((s / c["sigma_um"]) ** 2))).sum(axis=0) * (s[1, 0] - s[0, 0])
    p = allen.peak_probability(c["p_within_75um"], c["sigma_um"]) * mean
    n_pre = np.repeat(tables.classes["n_3k"], 17) - (c["pre"] == c["post"])  # not itself
    expected, given = p * n_pre, tables.class_pairs["in_degree_3k_compact"]
    whole = np.isin(c["pre"], ("i1Htr3a", "e23", "e4", "e5", "e6"))
    assert np.allclose(expected[whole], given[whole], rtol=1e-5)
    # the table takes the split of the other inhibitory classes before it is rounded
    assert (np.abs(expected - given) <= 0.6 * p).all()


def test_rules_follow_the_signs(tables):
    rules = tables.rules
    by_name = {name: row for row, name in enumerate(rules["receptor"])}
    assert rules["receptor"].tolist() == ["e2e", "i2e", "e2i", "i2i"]
    assert rules["tau_syn_ms"].tolist() == [5.5, 8.5, 2.8, 5.8]
    assert rules["direction_width_deg"].tolist() == [30, 90, 90, 50]
    assert rules["position_rule"].tolist() == [True, False, False, False]
    assert (rules["pre_sign"][by_name["e2i"]], rules["post_sign"][by_name["e2i"]]) == (1, -1)
    receptor = tables.excitatory_receptor(np.array([1, -1, 1]))
    assert rules["receptor"][receptor].tolist() == ["e2e", "e2i", "e2e"]


def test_layers(tables):
    assert tables.layer_of(np.array(["e6", "i23Sst", "e6"])).tolist() == ["6", "2/3", "6"]
    with pytest.raises(InputError, match=r"unknown cell class 'e7'.*e6"):
        tables.layer_of(np.array(["e7"]))


def test_unknown_population_is_refused(tables):
    with pytest.raises(InputError, match=r"unknown population 'e23'.*e23Cux2"):
        tables.cells_of("e23")


def test_lgn_types(tables):
    types = tables.lgn_types
    assert len(types.rows) == 15
    assert types["n_per_tile"].sum() == 116
    assert len(allen.DEFAULT_LGN_TYPES) == len(set(allen.DEFAULT_LGN_TYPES)) == 13
    assert set(allen.DEFAULT_LGN_TYPES) <= set(types["lgn_type"])
    composite = np.isfinite(types["separation_deg"])
    assert types["lgn_type"][composite].tolist() == ["sONsOFF_001", "sONtOFF_001"]
    assert (np.isnan(types["tf_Hz"]) == composite).all()
    assert (np.abs(types["amplitude"][~composite]) == 1).all()
    on = np.isin(types["family"], ("sON", "tON"))
    assert ((types["amplitude"] > 0) == on).all()


def test_lgn_wiring_and_background(tables):
    lgn = tables.lgn_to_v1
    assert lgn["population"].tolist() == tables.populations["population"].tolist()
    e4 = lgn.where(population="e4Scnn1a")
    assert (e4["n_synapses"][0], e4["p_lgn"][0]) == (80, 1.0)
    assert e4["mean_total_weight_pA"][0] == 657.76
    for row, population in enumerate(lgn["population"]):
        cells = tables.cells.where(population=population)
        per_synapse = np.average(cells["lgn_weight_pA"], weights=cells["n_cells"])
        total = per_synapse * lgn["n_synapses"][row] * lgn["mean_n_sources"][row]
        assert total == pytest.approx(lgn["mean_total_weight_pA"][row], rel=0.01)
    assert set(tables.background["rate_Hz"]) == {1000.0}
    assert tables.background.where(population="e23Cux2")["weight_pA"][0] == 0.20929786


def test_targets_pool_classes_with_few_units(tables):
    targets = allen.spontaneous_targets(tables)
    rate = dict(zip(targets["cell_class"], targets["rate_Hz"], strict=True))
    assert rate["e23"] == 0.63393
    assert rate["i6Sst"] == 10.27505  # 16 units, its own
    assert rate["i4Sst"] == 4.89538  # 9 units: all 70 Sst units
    assert rate["i5Htr3a"] == rate["i6Htr3a"] == 7.5986  # the 16 VIP units
    assert targets["n_units"][targets["pooled"]].tolist() == [16, 70, 16, 16, 16]
    of_16 = allen.spontaneous_targets(tables, min_units=16)
    assert not of_16.where(cell_class="i6Sst")["pooled"][0]
    own = allen.spontaneous_targets(tables, min_units=0)
    assert own["rate_Hz"].tolist() == tables.neuropixels["spontaneous_median_Hz"].tolist()
    assert allen.evoked_targets(tables).where(cell_class="e5")["rate_Hz"][0] == 4.76333
    with pytest.raises(InputError, match="min_units"):
        allen.spontaneous_targets(tables, min_units=-1)


def test_pooled_units_are_those_of_their_classes(tables):
    for marker, n in zip(
        tables.neuropixels_types["marker"], tables.neuropixels_types["n_units"], strict=True
    ):
        of_type = (tables.classes["marker"] == marker) & (tables.classes["layer"] != "1")
        assert tables.neuropixels["n_units"][of_type].sum() == n


# --- formulas


@pytest.mark.parametrize(
    ("pre", "post", "A0"),
    [
        ("i1Htr3a", "i1Htr3a", 0.79244533),
        ("i1Htr3a", "e23", 0.51238424),
        ("i1Htr3a", "i23Pvalb", 0.11234362),
        ("i23Sst", "i23Pvalb", 1.0),  # 1.035 without the cap
    ],
)
def test_pinned_peak_probabilities(tables, pre, post, A0):
    pair = tables.connections.where(pre=pre, post=post)
    peak = allen.peak_probability(pair["p_within_75um"], pair["sigma_um"])
    assert peak[0] == pytest.approx(A0, abs=1e-8)


def test_peak_probability_gives_back_the_mean_over_the_disc():
    r = (np.arange(200_000) + 0.5) / 200_000 * 75
    peak = allen.peak_probability(0.3, 90.0)
    assert np.average(peak * np.exp(-((r / 90) ** 2)), weights=r) == pytest.approx(0.3, rel=1e-6)


def test_orientation_rule():
    B1, gradient = allen.orientation_rule(np.array([0.2, 0.2, 0.2]), np.array([0.5, 0.8, np.nan]))
    assert B1 == pytest.approx([4 / 3, 10 / 9, 1])
    assert gradient == pytest.approx([-0.0074074074, -0.0024691358, 0], abs=1e-10)
    B2 = B1 + 90 * gradient
    assert B2 / B1 == pytest.approx([0.5, 0.8, 1])


def test_orientation_rule_is_capped_at_probability_one_and_keeps_the_mean():
    B1, gradient = allen.orientation_rule(0.9, 0.5)
    assert 0.9 * B1 == pytest.approx(1.0)
    assert B1 + 45 * gradient == pytest.approx(1.0)


# --- loading


def test_shipped_tables_are_read_once_and_a_folder_each_time(folder, tables):
    assert allen.load() is tables
    again = allen.load(folder)
    assert again is not tables
    for file in FILES:
        for name, values in getattr(tables, file.name).items():
            assert np.array_equal(
                getattr(again, file.name)[name], values, equal_nan=values.dtype.kind == "f"
            )


def test_order_of_rows_in_a_file_does_not_matter(folder, tables):
    lines = (folder / "connections.csv").read_text().splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("pre,")) + 1
    (folder / "connections.csv").write_text("\n".join(lines[:start] + lines[start:][::-1]))
    shuffled = allen.load(folder).connections
    assert np.array_equal(shuffled["delay_ms"], tables.connections["delay_ms"])


def test_tables_are_small_and_name_their_source_and_unit():
    files = sorted(DATA.glob("*.csv"))
    assert [path.stem for path in files] == sorted(file.name for file in FILES)
    assert sum(path.stat().st_size for path in files) < 200_000
    for path in files:
        comments = [line for line in path.read_text().splitlines() if line.startswith("#")]
        assert any(line.startswith("# source: ") for line in comments), path.name
        assert any(line.startswith("# unit: ") for line in comments), path.name


# --- damage


def edit(folder: Path, file: str, row: int, column: str, value: str) -> int:
    """Overwrite a cell of data row `row` (from 0); returns its line number in the file."""
    path = folder / f"{file}.csv"
    lines = path.read_text().splitlines()
    header = next(i for i, line in enumerate(lines) if not line.startswith("#"))
    at = lines[header].split(",").index(column)
    cells = lines[header + 1 + row].split(",")
    cells[at] = value
    lines[header + 1 + row] = ",".join(cells)
    path.write_text("\n".join(lines) + "\n")
    return header + row + 2


def rewrite(folder: Path, file: str, change) -> None:
    """Pass the lines of a file (comments included) through `change`."""
    path = folder / f"{file}.csv"
    path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")


@pytest.mark.parametrize(
    ("file", "row", "column", "value", "says"),
    [
        ("cells", 3, "C_m_pF", "about 70", "got 'about 70'.*a number from 0.001 to 100000 pF"),
        ("cells", 3, "C_m_pF", "nan", "got 'nan'"),
        ("cells", 3, "C_m_pF", "-70", "got '-70'.*membrane capacitance"),
        ("cells", 3, "g_nS", "", "empty; C_m_pF to asc_amp_2_pA are all given or all empty"),
        ("cells", 0, "population", "i1Htr3", "unknown population 'i1Htr3'.*mean 'i1Htr3a'"),
        ("cells", 1, "cell", "475585413", "475585413 is already in line 8"),
        ("classes", 2, "n_full", "2927.5", "got '2927.5'.*a whole number"),
        ("classes", 2, "n_full", "2_927", "got '2_927'.*a whole number"),
        ("classes", 2, "sign", "0", "accepted: 1, -1"),
        ("classes", 2, "layer", "23", "accepted: 1, 2/3, 4, 5, 6"),
        ("classes", 2, "n_core", "", "empty; it needs a whole number from 1"),
        ("populations", 4, "depth_bottom_um", "90", "got 90, which is below 'depth_top_um'"),
        ("connections", 20, "p_within_75um", "1.2", "a number from 0 to 1 "),
        ("connections", 20, "p_within_75um", "inf", "a number from 0 to 1 "),
        ("connections", 20, "sigma_um", "", "empty; it needs a number from 1 to 2000 um"),
        ("connections", 20, "post", "i23Sts", "unknown postsynaptic class.*mean 'i23Sst'"),
        ("weights", 30, "cell", "123", "accepted: the 111 of cells.csv"),
        ("weights", 0, "weight_pA", "1.77", "weight from i1Htr3a has the sign -1"),
        ("class_pairs", 1, "mean_weight_full_pA", "1", "weight from i1Htr3a has the sign -1"),
        ("rules", 1, "position_rule", "maybe", "needs yes or no"),
        ("lgn_types", 13, "on_weight_2", "", "all given or all empty"),
        ("lgn_to_v1", 5, "p_lgn", "100", "a number from 0 to 1 "),
        ("neuropixels", 0, "osi_p75", "0.1", "below 'osi_median'"),
    ],
)
def test_a_wrong_cell_is_named(folder, file, row, column, value, says):
    line = edit(folder, file, row, column, value)
    with pytest.raises(DataError, match=says) as caught:
        allen.load(folder)
    assert str(caught.value).startswith(f"{file}.csv, line {line}, column {column!r}: ")


@pytest.mark.parametrize(("value", "column"), [("70,95", "lgn_weight_pA"), (None, "asc_amp_2_pA")])
def test_a_row_of_wrong_length_is_named(folder, value, column):
    """A decimal comma, or the last cell cut off."""
    line = edit(folder, "cells", 3, "C_m_pF", value or "70.95")
    if value is None:
        cut = [line - 1]
        rewrite(
            folder,
            "cells",
            lambda lines: [x.rsplit(",", 1)[0] if i in cut else x for i, x in enumerate(lines)],
        )
    with pytest.raises(DataError) as caught:
        allen.load(folder)
    n = 15 if value else 13
    assert str(caught.value) == (
        f"cells.csv, line {line}, column {column!r}: the row has {n} cells; "
        "the header names 14 columns"
    )


CHECKED = [
    (file, column)
    for file in FILES
    for column in file.columns
    if column.kind is not str or column.accepted or column.key_of
]


@pytest.mark.parametrize(
    ("file", "column"), CHECKED, ids=[f"{file.name}-{column.name}" for file, column in CHECKED]
)
def test_every_column_refuses_what_is_not_its_kind(folder, tables, file: File, column: Column):
    known = {
        other.name: getattr(tables, other.name)[other.key[0]].tolist()
        for other in FILES
        if len(other.key) == 1
    }
    line = edit(folder, file.name, 0, column.name, "oops")
    where = f"{file.name}.csv, line {line}, column '{column.name}': "
    with pytest.raises(DataError) as caught:
        read(folder, file, known)
    assert str(caught.value).startswith(where)
    assert "'oops'" in str(caught.value)


def test_every_number_has_a_range():
    numbers = [
        c for file in FILES for c in file.columns if c.kind in (int, float) and not c.accepted
    ]
    assert len(numbers) > 100
    assert all(np.isfinite([c.low, c.high]).all() and c.low < c.high for c in numbers)


@pytest.mark.parametrize("file", [file.name for file in FILES])
def test_a_missing_file_is_named(folder, file):
    (folder / f"{file}.csv").unlink()
    with pytest.raises(DataError, match=rf"^{file}\.csv is missing in .*tables"):
        allen.load(folder)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(DataError, match=r"classes\.csv is missing in .*nowhere"):
        allen.load(tmp_path / "nowhere")


def test_a_missing_column_is_named(folder):
    rewrite(folder, "connections", lambda lines: [x.replace("sigma_um", "sigma") for x in lines])
    with pytest.raises(DataError, match=r"^connections\.csv: column 'sigma_um' is missing"):
        allen.load(folder)


def test_a_column_too_many_is_named(folder):
    rewrite(folder, "rules", lambda lines: [x if x[0] == "#" else f"{x},no" for x in lines])
    with pytest.raises(DataError, match=r"^rules\.csv: unknown column 'no'"):
        allen.load(folder)


def test_a_repeated_row_is_named(folder):
    rewrite(folder, "connections", lambda lines: [*lines, lines[-1]])
    n = len((folder / "connections.csv").read_text().splitlines())
    with pytest.raises(
        DataError,
        match=rf"^connections\.csv, line {n}, column 'pre, post': i6Htr3a, i6Htr3a .* {n - 1}$",
    ):
        allen.load(folder)


@pytest.mark.parametrize(
    ("file", "missing"),
    [
        ("connections", "'pre', 'post': no row with pre 'i6Htr3a', post 'i6Htr3a'"),
        ("class_pairs", "'pre', 'post': no row with pre 'i6Htr3a', post 'i6Htr3a'"),
        ("populations", "'cell_class': no row with cell_class 'i6Htr3a'"),
        ("lgn_to_v1", "'population': no row with population 'i6Htr3a'"),
        ("background", "'population': no row with population 'i6Htr3a'"),
        ("neuropixels", "'cell_class': no row with cell_class 'i6Htr3a'"),
        ("neuropixels_types", "'marker': no row with marker 'Htr3a'"),
        ("rules", "'receptor': no row with receptor 'i2i'"),
        ("weights", "'cell', 'pre': no row with cell '487176969', pre 'i6Htr3a'"),
    ],
)
def test_a_missing_row_is_named(folder, file, missing):
    rewrite(folder, file, lambda lines: lines[:-1])
    with pytest.raises(DataError) as caught:
        allen.load(folder)
    assert str(caught.value) == f"{file}.csv, column {missing}"


def test_a_population_without_cells_is_named(folder):
    rewrite(folder, "cells", lambda lines: [x for x in lines if ",i4Htr3a," not in x])
    with pytest.raises(DataError, match=r"^cells\.csv, column 'population'.*i4Htr3a"):
        allen.load(folder)


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"# only a comment\n", "classes.csv is empty"), (b"cell_class\xff\n", "not UTF-8 text")],
)
def test_a_file_that_is_no_table_is_refused(folder, content, says):
    (folder / "classes.csv").write_bytes(content)
    with pytest.raises(DataError, match=says):
        allen.load(folder)


def test_a_file_saved_by_a_spreadsheet_is_read(folder, tables):
    """Byte order mark, CRLF, comments in quotes, padding commas."""
    lines = (folder / "rules.csv").read_text().splitlines()
    saved = [f'"{x}",,,' if x.startswith("#") else x for x in lines] + [",,,"]
    (folder / "rules.csv").write_bytes(("\ufeff" + "\r\n".join(saved)).encode())
    assert allen.load(folder).rules["tau_syn_ms"].tolist() == [5.5, 8.5, 2.8, 5.8]
