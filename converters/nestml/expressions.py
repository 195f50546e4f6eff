"""Expressions as Python source: their names, substitution and values.

Values are computed by walking the syntax tree, so that a model file cannot run code.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from toolkit.errors import InputError

FUNCTIONS: dict[str, Callable[..., Any]] = {
    name: getattr(np, name)
    for name in (
        [
            "exp",
            "expm1",
            "log",
            "log10",
            "sin",
            "cos",
            "tan",
            "sinh",
            "cosh",
            "tanh",
            "sqrt",
            "ceil",
            "floor",
            "where",
            "abs",
            "clip",
        ]
    )
}
BINARY: dict[type, Callable[..., Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
COMPARE: dict[type, Callable[..., Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}


@lru_cache(maxsize=4096)
def parse(expression: str) -> ast.expr:
    """The syntax tree of an expression; not to be changed."""
    return ast.parse(expression.strip(), mode="eval").body


@lru_cache(maxsize=4096)
def names(expression: str) -> frozenset[str]:
    """Variables of an expression.

    >>> sorted(names("exp(-a / tau) * a"))
    ['a', 'tau']
    """
    tree = parse(expression)
    called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    return frozenset(
        node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in called
    )


def branches(expression: str) -> set[str]:
    """Variables inside calls of functions that are not smooth, and inside comparisons.

    >>> sorted(branches("a * where(b > 0, c, 1)"))
    ['b', 'c']
    """
    found: set[str] = set()
    for node in ast.walk(parse(expression)):
        jumps = isinstance(node, ast.Call) and ast.unparse(node.func) in (
            "where",
            "abs",
            "clip",
            "floor",
            "ceil",
        )
        if jumps or isinstance(node, ast.Compare | ast.BoolOp):
            found |= names(ast.unparse(node))
    return found


def substitute(expression: str, values: Mapping[str, str]) -> str:
    """The expression with variables replaced by other expressions.

    >>> substitute("2 * x", {"x": "a + b"})
    '2 * (a + b)'
    """
    if not names(expression) & set(values):
        return expression

    class Replace(ast.NodeTransformer):
        def visit_Call(self, node: ast.Call) -> ast.AST:
            return ast.Call(node.func, [self.visit(each) for each in node.args], [])

        def visit_Name(self, node: ast.Name) -> ast.AST:
            return parse(values[node.id]) if node.id in values else node

    return ast.unparse(Replace().visit(ast.parse(expression.strip(), mode="eval").body))


def evaluate(expression: str, values: Mapping[str, Any], resolution_ms: float) -> Any:
    """Value of an expression, scalar or array.

    ``steps(x)`` rounds a time up to steps as NEST does: to a thousandth of a millisecond first.

    >>> evaluate("where(a > 1, steps(3.75), 0)", {"a": 2}, 0.1).item()
    38
    """
    functions = {**FUNCTIONS, "steps": lambda time: steps(time, resolution_ms)}

    def value(node: ast.expr) -> Any:
        match node:
            case ast.Constant():
                return node.value
            case ast.Name():
                if node.id not in values:
                    raise InputError(f"{node.id!r} in {expression!r} has no value")
                return values[node.id]
            case ast.UnaryOp(op=ast.USub()):
                return -value(node.operand)
            case ast.UnaryOp(op=ast.UAdd()):
                return value(node.operand)
            case ast.UnaryOp(op=ast.Not()):
                return np.logical_not(value(node.operand))
            case ast.BinOp() if type(node.op) in BINARY:
                return BINARY[type(node.op)](value(node.left), value(node.right))
            case ast.BoolOp():
                both = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
                result = value(node.values[0])
                for each in node.values[1:]:
                    result = both(result, value(each))
                return result
            case ast.Compare(ops=[op]) if type(op) in COMPARE:
                return COMPARE[type(op)](value(node.left), value(node.comparators[0]))
            case ast.Call(func=ast.Name(id="float")):  # PyNESTML's infinity
                return np.inf
            case ast.Call(func=ast.Name(id=name)) if name in functions:
                return functions[name](*map(value, node.args))
        raise InputError(f"cannot compute {ast.unparse(node)!r}")

    # Both sides of `where` are computed, the one not taken may be 0 / 0.
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return value(_as_arrays(parse(expression)))


def _as_arrays(tree: ast.expr) -> ast.expr:
    """The tree with numbers as NumPy's, which give inf for 1 / 0 where Python's raise."""

    class Convert(ast.NodeTransformer):
        def visit_Constant(self, node: ast.Constant) -> ast.AST:
            if isinstance(node.value, float):
                return ast.Constant(np.float64(node.value))
            return node

        def visit_Call(self, node: ast.Call) -> ast.AST:
            return ast.Call(node.func, [self.visit(each) for each in node.args], [])

    return Convert().visit(ast.parse(ast.unparse(tree), mode="eval").body)


def steps(time_ms: Any, resolution_ms: float) -> np.ndarray:
    """Number of steps of a time, as NEST counts: whole microseconds (nearest), steps rounded up.

    >>> steps(np.array([3.0, 3.75, 0.04]), 0.1)
    array([30, 38,  1])
    """
    tics = np.floor(np.asarray(time_ms, dtype=float) * 1000 + 0.5).astype(np.int64)
    return -(-tics // math.floor(resolution_ms * 1000 + 0.5))
