"""`to_nest`: a `Network` in NEST.

``simulation`` is the interface; ``kernel`` guards NEST's global state; ``builtin`` and ``compiled``
make the neurons, ``connections`` the synapses, ``inputs`` the spikes that drive them; ``module``
compiles NESTML models, ``shim`` makes that work on the wheel of PyPI.
"""

from converters.nest.simulation import NestSimulation, to_nest

__all__ = ["NestSimulation", "to_nest"]
