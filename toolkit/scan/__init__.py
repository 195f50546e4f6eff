"""The time scan of a rate network: all steps of a batch, and their gradient, in one function.

A step multiplies the rates with a sparse matrix. Left to automatic differentiation, every step of
the way back adds to the gradient of that matrix; here the way back only passes adjoints on, and the
gradient is made of them afterwards, by products of long blocks of time:

    dL/dJ_ij = sum over steps and items of adjoint_i rate_j,   for the synapses alone

`scan` does it, on one of several `Backend`s that `fastest` measures; `plain_scan` is the same
network written step by step for automatic differentiation, the reference of the tests.
"""

from toolkit.scan.backends import Backend
from toolkit.scan.choice import fastest
from toolkit.scan.connections import Connections
from toolkit.scan.curves import TableCurve
from toolkit.scan.function import scan
from toolkit.scan.plain import plain_scan
from toolkit.scan.system import Curve, System

__all__ = [
    "Backend",
    "Connections",
    "Curve",
    "System",
    "TableCurve",
    "fastest",
    "plain_scan",
    "scan",
]
