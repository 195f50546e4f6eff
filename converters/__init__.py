"""Every change of form: a `toolkit.Network` to a simulator, to rates, to another format.

Knows the parts in `toolkit`, nothing of V1 or of the Allen tables.
"""

from converters.spiking import to_brian2

__all__ = ["to_brian2"]
