"""A read-only table: named columns of equal length."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.errors import InputError, unknown

if TYPE_CHECKING:
    import pandas as pd


class Table(Mapping[str, np.ndarray]):
    """Named one-dimensional numpy columns of equal length that nobody can change.

    A mapping from column name to array; `to_pandas` gives a data frame to play with.

    Parameters
    ----------
    columns : mapping of name to a sequence of length n; copied unless already a read-only array

    Raises
    ------
    InputError : columns of different lengths, or not one-dimensional

    Examples
    --------
    >>> cells = Table({"cell": ["a", "b"], "C_m_pF": [120.0, 80.0]})
    >>> cells["C_m_pF"].max()
    np.float64(120.0)
    >>> len(cells.rows), cells.where(cell="b")["C_m_pF"][0]
    (2, np.float64(80.0))
    """

    def __init__(self, columns: Mapping[str, Any]):
        frozen: dict[str, np.ndarray] = {}
        n = None
        for name, values in columns.items():
            array = np.asarray(values)
            if array.dtype == object:
                array = array.astype(str)
            if array.ndim != 1:
                raise InputError(f"column {name!r} has {array.ndim} dimensions; one is needed")
            if n is None:
                n = len(array)
            elif len(array) != n:
                raise InputError(f"column {name!r} has {len(array)} rows, the others have {n}")
            if array.flags.writeable:
                array = array.copy()
                array.flags.writeable = False
            frozen[name] = array
        self._columns = frozen
        self._n = n or 0

    @property
    def rows(self) -> range:
        """Row numbers, 0 to n - 1."""
        return range(self._n)

    def __getitem__(self, name: str) -> np.ndarray:
        try:
            return self._columns[name]
        except KeyError:
            raise unknown("column", name, self._columns) from None

    def get(self, name: str, default: Any = None) -> Any:
        """The column, or `default` where there is none of that name."""
        return self._columns.get(name, default)

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def __repr__(self) -> str:
        return f"Table({self._n} rows: {', '.join(self._columns)})"

    def take(self, rows: np.ndarray) -> Table:
        """The table of the given rows (integer indices or a boolean mask)."""
        return Table({name: array[rows] for name, array in self._columns.items()})

    def where(self, **equals: object) -> Table:
        """The rows in which every named column has the given value."""
        keep = np.ones(self._n, dtype=bool)
        for name, value in equals.items():
            keep &= self[name] == value
        return self.take(keep)

    def replace(self, **columns: Any) -> Table:
        """A table with the given columns set or added."""
        return Table({**self._columns, **columns})

    def to_pandas(self) -> pd.DataFrame:
        """A pandas data frame with a copy of the columns."""
        import pandas as pd

        return pd.DataFrame({name: array.copy() for name, array in self._columns.items()})
