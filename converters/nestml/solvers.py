"""Explicit solvers of equations that are not linear, as lines of code."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from converters.nestml.expressions import substitute
from toolkit.errors import unknown

# Nodes (fractions of the step: 0, 1/2 or 1), their coefficients and weights (Butcher tableaux).
METHODS: dict[str, tuple[tuple[float, ...], tuple[float, ...], tuple[str, ...]]] = {
    "euler": ((0.0,), (0.0,), ("1",)),
    "rk2": ((0.0, 0.5), (0.0, 0.5), ("0", "1")),
    "rk4": ((0.0, 0.5, 0.5, 1.0), (0.0, 0.5, 0.5, 1.0), ("1/6", "1/3", "1/3", "1/6")),
}


def check_method(method: str) -> None:
    """Raise `InputError` for a solver that is not there."""
    if method not in METHODS:
        raise unknown("solver", method, METHODS)


def explicit(
    equations: Mapping[str, str],
    method: str,
    substeps: int,
    other: Callable[[int], Mapping[str, str]],
    lines: list[str],
    fresh: Callable[[str], str],
) -> dict[str, str]:
    """Append the lines of a step; give the name of each variable's new value.

    `other` gives, for a multiple of half a substep, the expressions at that time of the variables
    that are solved exactly.
    """
    nodes, factors, weights = METHODS[method]
    now = {name: name for name in equations}
    step = "resolution_ms" if substeps == 1 else f"(resolution_ms / {substeps})"
    for k in range(substeps):
        slopes: list[dict[str, str]] = []
        for node, factor in zip(nodes, factors, strict=True):
            at = {
                name: now[name]
                if not slopes
                else f"({now[name]} + {factor}*{step}*{slopes[-1][name]})"
                for name in equations
            }
            if slopes:
                for name, text in at.items():
                    at[name] = fresh("y")
                    lines.append(f"{at[name]} = {text}")
            known = {**other(2 * k + round(2 * node)), **at}
            slope = {}
            for name, expression in equations.items():
                slope[name] = fresh("k")
                lines.append(f"{slope[name]} = {substitute(expression, known)}")
            slopes.append(slope)
        for name, before in now.items():
            mean = " + ".join(
                f"{weight}*{slope[name]}" if weight != "1" else slope[name]
                for weight, slope in zip(weights, slopes, strict=True)
                if weight != "0"
            )
            new = fresh("x")
            lines.append(f"{new} = {before} + {step}*({mean})")
            now = {**now, name: new}
    return now
