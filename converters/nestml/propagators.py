"""Exact steps of linear equations: which entries of the matrix exponential a step needs.

For ``x' = A x + r`` with A constant and r held over the step h, ``x(h) = P x + Q r`` with
``P = exp(A h)`` and ``Q`` its integral over the step. Both are computed as matrix exponentials of
the numbers, not from a formula, so that equal time constants (tau_m = tau_syn) need no case of
their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from converters.nestml.expressions import branches, evaluate, names
from converters.nestml.kernels import sympify


@dataclass(frozen=True)
class Propagator:
    """One entry of P, or of Q if `integral`: what `source` adds to `target` in `fraction` steps.

    `nodes` are the variables on the paths between the two, `matrix` their equations' coefficients
    as (row, column, expression).
    """

    name: str
    target: int
    source: int
    size: int
    matrix: tuple[tuple[int, int, str], ...]
    integral: bool = False
    fraction: float = 1.0

    def value(self, values: Mapping[str, Any], resolution_ms: float) -> np.ndarray:
        """The number, or an array where the coefficients are arrays."""
        from scipy.linalg import expm

        entries = [evaluate(text, values, resolution_ms) for *_, text in self.matrix]
        shape = np.broadcast_shapes(*(np.shape(each) for each in entries))
        columns = [np.broadcast_to(each, shape).ravel() for each in entries]
        table = np.stack(columns, axis=1) if columns else np.zeros((1, 0))
        rows, which = np.unique(table.astype(float), axis=0, return_inverse=True)
        step, n = resolution_ms * self.fraction, self.size
        if n == 1:
            a = rows[:, 0] if rows.shape[1] else np.zeros(len(rows))
            result = np.exp(a * step)
            if self.integral:
                safe = np.where(a == 0, 1.0, a)
                result = np.where(a == 0, step, np.expm1(a * step) / safe)
        else:
            full = np.zeros((len(rows), 2 * n, 2 * n))
            for k, (i, j, _) in enumerate(self.matrix):
                full[:, i, j] = rows[:, k] * step
            full[:, :n, n:] = np.eye(n) * step
            offset = n if self.integral else 0
            result = np.stack([expm(each) for each in full])[:, self.target, offset + self.source]
        return result[which.ravel()].reshape(shape)


@dataclass(frozen=True)
class Linear:
    """Linear equations: coefficients by (variable, variable), remainders by variable."""

    matrix: dict[tuple[str, str], str]
    rest: dict[str, str]


def linear_part(equations: Mapping[str, str], constants: frozenset[str]) -> Linear:
    """Of the equations those that are linear, with constant coefficients, in one another alone.

    An equation that depends on another one which is not linear is left out, too.
    """
    found: dict[str, tuple[dict[str, str], str]] = {}
    for name, expression in equations.items():
        row = _row(expression, list(equations), constants)
        if row is not None:
            found[name] = row
    while True:
        depends = {n for n, (row, _) in found.items() if not set(row) <= set(found)}
        if not depends:
            break
        for name in depends:
            del found[name]
    matrix = {(n, m): text for n, (row, _) in found.items() for m, text in row.items()}
    return Linear(matrix, {n: rest for n, (_, rest) in found.items()})


def _row(
    expression: str, variables: Sequence[str], constants: frozenset[str]
) -> tuple[dict[str, str], str] | None:
    """Coefficients and remainder of one equation; None if it is not linear."""
    import sympy

    if branches(expression) & set(variables):
        return None
    symbols = {name: sympy.Symbol(name) for name in names(expression)}
    try:
        made = sympify(expression, symbols)
    except (TypeError, SyntaxError):  # `and` and `or` of SymPy's relations
        return None
    rest, row = made, {}
    for name in variables:
        if name in symbols:
            factor = sympy.diff(made, symbols[name])
            if not {str(s) for s in factor.free_symbols} <= constants:
                return None
            rest = rest.subs(symbols[name], 0)
            if factor != 0:
                row[name] = str(sympy.simplify(factor))
    return row, str(rest)


class Steps:
    """Makes, names and keeps the propagators of a model."""

    def __init__(self) -> None:
        self.made: dict[tuple, Propagator] = {}

    def update(self, linear: Linear, name: str, now: Mapping[str, str], fraction: float) -> str:
        """Expression of a variable after `fraction` steps, from the expressions of all `now`."""
        terms = []
        for other in linear.rest:
            nodes = _between(linear.matrix, other, name)
            if not nodes:
                continue
            if nodes == [name] and (name, name) not in linear.matrix:
                terms.append(now.get(other, other))
            else:
                factor = self._entry(linear, nodes, name, other, False, fraction)
                terms.append(f"{factor} * {now.get(other, other)}")
            if linear.rest[other] != "0":
                factor = self._entry(linear, nodes, name, other, True, fraction)
                terms.append(f"{factor} * ({linear.rest[other]})")
        return " + ".join(terms)

    def _entry(
        self, linear: Linear, nodes: list[str], to: str, by: str, integral: bool, fraction: float
    ) -> str:
        matrix = tuple(
            (i, j, linear.matrix[a, b])
            for i, a in enumerate(nodes)
            for j, b in enumerate(nodes)
            if (a, b) in linear.matrix
        )
        key = (tuple(nodes), to, by, integral, fraction, matrix)
        if key not in self.made:
            kind = "Q" if integral else "P"
            name = f"{kind}{len(self.made)}_{to}" + ("" if to == by else f"_{by}")
            self.made[key] = Propagator(
                name, nodes.index(to), nodes.index(by), len(nodes), matrix, integral, fraction
            )
        return self.made[key].name


def _between(matrix: Mapping[tuple[str, str], str], source: str, target: str) -> list[str]:
    """Variables on the paths from `source` to `target`, both included; none without a path."""

    def reach(start: str, back: bool) -> set[str]:
        seen, todo = {start}, [start]
        while todo:
            here = todo.pop()
            for to, by in matrix:
                a, b = (to, by) if back else (by, to)
                if a == here and b not in seen:
                    seen.add(b)
                    todo.append(b)
        return seen

    return sorted(reach(source, False) & reach(target, True))
