"""A NESTML model as plain data: what `converters.nestml.read` gives.

Expressions are Python source in NESTML's base units (ms, mV, pA, nS, pF, GOhm): units are folded
into numbers, ``c ? a : b``, ``min`` and ``max`` are ``where(c, a, b)``, ``x'`` is ``x__d``, the
time step is ``resolution_ms``. A spike port stands for the sum of the arriving weights of a step
per 1,000 ms, as NESTML's unit 1/s says.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Variable:
    """A declaration: `expression` is its default, initial or defined value."""

    name: str
    unit: str
    expression: str
    integer: bool = False


@dataclass(frozen=True)
class Port:
    """An input. `sign` is 1 where only positive weights arrive, -1 where only negative ones do
    (as their absolute value), 0 where all do; `continuous` ports carry a current or the like."""

    name: str
    sign: int = 0
    continuous: bool = False
    unit: str = ""


@dataclass(frozen=True)
class Assign:
    """``name = expression``; `local` for a variable of the block alone."""

    name: str
    expression: str
    local: bool = False


@dataclass(frozen=True)
class If:
    """Branches as (condition, statements), tried in order, and what happens otherwise."""

    branches: tuple[tuple[str, tuple[Statement, ...]], ...]
    otherwise: tuple[Statement, ...] = ()


@dataclass(frozen=True)
class Integrate:
    """``integrate_odes(names)``; `where` is the place in the text, for messages."""

    names: tuple[str, ...]
    where: str = ""


@dataclass(frozen=True)
class Emit:
    """``emit_spike(weight)``; the spikes of neurons have no weight."""

    weight: str = ""


Statement = Assign | If | Integrate | Emit


def walk(statements: tuple[Statement, ...]) -> Iterator[Statement]:
    """Statements and those inside their branches."""
    for each in statements:
        yield each
        if isinstance(each, If):
            for body in (*(b for _, b in each.branches), each.otherwise):
                yield from walk(body)


@dataclass(frozen=True)
class Convolution:
    """``convolve(kernel, port)``: linear equations of its own states, which arrivals add to.

    `derivatives` and `jumps` (for an arrival of weight 1) go with `states`; the first state is the
    value of the convolution. It evolves in every step, whatever the update block integrates.
    """

    port: str
    states: tuple[str, ...]
    derivatives: tuple[str, ...]
    jumps: tuple[str, ...]


@dataclass(frozen=True)
class Model:
    """See the module.

    Attributes
    ----------
    name, sha256 : of the model and of its text
    states, parameters, internals : in the order of the text
    ports : inputs
    equations : derivative of each variable that has one
    inlines : recordable named expressions
    convolutions : states that kernels stand for
    update : the update block
    receive : statements for arrivals, by port, in the order in which they act
    prioritised : whether the blocks of `receive` have priorities
    conditions : (condition, statements), tested at the end of every step
    where : places in the text of ports, equations and onReceive blocks, for messages
    """

    name: str
    sha256: str
    states: tuple[Variable, ...]
    parameters: tuple[Variable, ...]
    internals: tuple[Variable, ...]
    ports: tuple[Port, ...]
    equations: dict[str, str]
    inlines: tuple[Variable, ...] = ()
    convolutions: tuple[Convolution, ...] = ()
    update: tuple[Statement, ...] = ()
    receive: dict[str, tuple[Statement, ...]] = field(default_factory=dict)
    conditions: tuple[tuple[str, tuple[Statement, ...]], ...] = ()
    prioritised: bool = False
    where: dict[str, str] = field(default_factory=dict)

    @property
    def arriving(self) -> tuple[Port, ...]:
        """Spike ports in the order in which their arrivals act."""
        order = {name: k for k, name in enumerate(self.receive)}
        spiking = [port for port in self.ports if not port.continuous]
        return tuple(sorted(spiking, key=lambda port: order.get(port.name, len(order))))
