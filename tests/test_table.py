"""`Table`: named columns that nobody can change; and the errors that name things."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit import Table
from toolkit.errors import (
    DataError,
    InputError,
    MissingDependency,
    SimulationError,
    StriateError,
    require,
    unknown,
)


@pytest.fixture
def cells() -> Table:
    return Table({"cell": ["a", "b", "a"], "C_m_pF": [120.0, 80.0, 90.0], "n": [1, 2, 3]})


def test_a_table_is_a_mapping_of_columns(cells: Table) -> None:
    assert list(cells) == ["cell", "C_m_pF", "n"]
    assert len(cells) == 3
    assert cells.rows == range(3)
    assert "cell" in cells and "rate" not in cells
    assert cells.get("rate") is None
    assert cells.get("n").tolist() == [1, 2, 3]
    assert repr(cells) == "Table(3 rows: cell, C_m_pF, n)"


def test_a_column_that_is_not_there(cells: Table) -> None:
    with pytest.raises(InputError, match="unknown column 'c_m_pf'"):
        cells["c_m_pf"]
    with pytest.raises(InputError, match="unknown column"):
        cells.where(kind="a")


def test_columns_are_copies_that_cannot_be_written() -> None:
    values = np.array([1.0, 2.0])
    table = Table({"x": values})
    values[0] = 9
    assert table["x"][0] == 1
    with pytest.raises(ValueError, match="read-only"):
        table["x"][0] = 3
    with pytest.raises(TypeError):
        table["x"] = values  # type: ignore[index]


def test_read_only_columns_are_shared(cells: Table) -> None:
    assert cells.replace(n=[4, 5, 6])["cell"] is cells["cell"]


def test_text_columns_are_text(cells: Table) -> None:
    assert cells["cell"].dtype.kind == "U"
    assert Table({"x": np.array(["a", 1], dtype=object)})["x"].tolist() == ["a", "1"]


def test_rows_are_taken_by_number_mask_or_value(cells: Table) -> None:
    assert cells.take(np.array([2, 0]))["n"].tolist() == [3, 1]
    assert cells.take(cells["C_m_pF"] > 85)["n"].tolist() == [1, 3]
    assert cells.where(cell="a")["n"].tolist() == [1, 3]
    assert cells.where(cell="a", n=3)["C_m_pF"].tolist() == [90.0]
    assert cells.where(cell="b", n=3).rows == range(0)
    assert cells.where(cell="z").rows == range(0)
    assert len(cells.where()) == 3


def test_replace_sets_and_adds(cells: Table) -> None:
    more = cells.replace(n=[7, 8, 9], sign=[1, -1, 1])
    assert more["n"].tolist() == [7, 8, 9]
    assert list(more) == ["cell", "C_m_pF", "n", "sign"]
    assert "sign" not in cells


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"a": [1, 2], "b": [1]}, "'b' has 1 rows, the others have 2"),
        ({"a": [[1, 2]]}, "'a' has 2 dimensions"),
        ({"a": 3}, "'a' has 0 dimensions"),
    ],
)
def test_bad_columns(columns: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Table(columns)


def test_no_columns() -> None:
    assert len(Table({})) == 0
    assert Table({}).rows == range(0)


@given(st.lists(st.tuples(st.text(max_size=4), st.floats(), st.integers(-5, 5)), min_size=1))
def test_pandas_and_back(rows: list) -> None:
    text, number, whole = zip(*rows, strict=True)
    table = Table({"text": np.array(text), "number": number, "whole": whole})
    frame = table.to_pandas()
    assert isinstance(frame, pd.DataFrame)
    back = Table({name: frame[name].to_numpy() for name in frame})
    assert list(back) == list(table)
    for name in table:
        np.testing.assert_array_equal(back[name], table[name])
    frame.loc[0, "whole"] = 99
    assert table["whole"][0] != 99


# ---- errors ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (InputError, ValueError),
        (DataError, ValueError),
        (MissingDependency, ImportError),
        (SimulationError, RuntimeError),
    ],
)
def test_errors_are_of_the_kind_expected(error: type, builtin: type) -> None:
    assert issubclass(error, builtin) and issubclass(error, StriateError)


def test_unknown_names_the_nearest() -> None:
    assert str(unknown("size", "4k", ["3k", "6k"])).startswith(
        "unknown size '4k'; accepted: 3k, 6k"
    )
    assert "Did you mean 'compact'?" in str(unknown("selection", "compcat", ["compact", "random"]))
    assert "mean" not in str(unknown("size", 12.5, ["compact"]))


def test_a_missing_package_names_the_extra() -> None:
    require("numpy", "striate")
    with pytest.raises(
        MissingDependency, match=r"'no_such_package'.*pip install 'striate\[nest\]'"
    ):
        require("no_such_package", "striate[nest]")
