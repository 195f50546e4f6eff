"""Mouse V1: the column of Allen Institute cell classes, its LGN and its background.

``v1.column("3k", seed=1)`` builds a column, ``v1.lgn(column)`` the LGN that drives it.
"""

from circuits.v1.column import SELECTIONS, SIZES, column
from circuits.v1.lgn import lgn

__all__ = ["SELECTIONS", "SIZES", "column", "lgn"]
