"""Every change of form: a `toolkit.Network` to a simulator, to rates, to another format.

Knows the parts in `toolkit`, nothing of V1 or of the Allen tables.
"""

import importlib.util
from pathlib import Path

_HOME = Path(__file__).resolve().parent.parent

for _name in ("toolkit",):
    _spec = importlib.util.find_spec(_name)
    _found = _spec.origin if _spec is not None else None
    if _found is None or Path(_found).resolve().parent.parent != _HOME:
        raise ImportError(
            f"the package {_name!r} that Python finds is not Striate's: it is at {_found}, "
            f"Striate's is in {_HOME}. Another package has the same name: run from another "
            "folder, take it off PYTHONPATH, or install Striate in an environment of its own"
        )

from converters.conversion import check_conversion, to_spiking  # noqa: E402
from converters.graph import to_networkx  # noqa: E402
from converters.nest import to_nest  # noqa: E402
from converters.rates import to_rate  # noqa: E402
from converters.sonata import from_sonata, to_sonata  # noqa: E402
from converters.spiking import to_brian2  # noqa: E402

__all__ = [
    "check_conversion",
    "from_sonata",
    "to_brian2",
    "to_nest",
    "to_networkx",
    "to_rate",
    "to_sonata",
    "to_spiking",
]
