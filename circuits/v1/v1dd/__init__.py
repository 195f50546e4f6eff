"""The V1 column of the second generation of Allen data (`circuits.allen.v1dd`).

``v1.column("3k", seed=1, data="v1dd")`` builds one.
"""

from circuits.v1.v1dd.column import v1dd_column

__all__ = ["v1dd_column"]
