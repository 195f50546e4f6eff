"""`reduced`: the code of a model without the inputs that a circuit does not use.

Variables that then stay 0 go with them, and what the rest of the code does with them: ``a + 0`` and
``0 * a`` are computed beforehand, which changes no result by a bit.
"""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Collection

from converters.nestml.brian2_code import SPIKE, Brian2Code
from converters.nestml.expressions import names


def reduced(code: Brian2Code, unused: Collection[str]) -> Brian2Code:
    """`code` without the ports named `unused`.

    >>> from converters.nestml.shipped import shipped
    >>> one = reduced(shipped("lif_psc_exp"), ["inh_spikes", "I_stim"])
    >>> [state.name for state in one.states]
    ['V_m', 'I_exc', 'r']
    """
    ports = [p for p in code.ports if p.name in unused]
    silent = {code.renamed.get(p.name, p.name) if p.continuous else f"in_{p.name}" for p in ports}
    lines = [line.partition(" = ")[::2] for line in code.code.splitlines()]
    states = {code.renamed.get(s.name, s.name): s for s in code.states}
    zero = silent | {own for own, s in states.items() if is_zero(s.expression)}
    kept_ports = {f"in_{p.name}" for p in code.ports if p not in ports}
    zero |= {name for name, _ in lines} - set(states) - kept_ports - {SPIKE}  # local variables
    # The largest set of variables that stay 0 if all of them are.
    while moved := {
        name for name, expression in lines if name in zero and not is_zero(folded(expression, zero))
    }:
        zero -= moved
    kept = []
    for name, expression in lines:
        left = folded(expression, zero)
        if name not in zero and left != name:
            kept.append(f"{name} = {left}")
    used = set().union(*(names(line.partition(" = ")[2]) for line in kept))
    used |= {line.partition(" = ")[0] for line in kept}
    return dataclasses.replace(
        code,
        states=tuple(s for own, s in states.items() if own in used),
        ports=tuple(p for p in code.ports if p not in ports),
        code="\n".join(kept),
    )


def is_zero(expression: str) -> bool:
    """Whether an expression is the number 0."""
    try:
        return float(expression) == 0
    except ValueError:
        return False


def folded(expression: str, zero: Collection[str]) -> str:
    """The expression where variables are 0, without terms and factors that make no difference.

    >>> folded("a + (b * c + d)", {"b"})
    'a + d'
    """
    tree = ast.parse(expression, mode="eval").body
    return ast.unparse(_Fold(zero).visit(tree)) if names(expression) & set(zero) else expression


class _Fold(ast.NodeTransformer):
    def __init__(self, zero: Collection[str]):
        self.zero = zero

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Constant(0) if node.id in self.zero else node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        node.args = [self.visit(each) for each in node.args]
        if ast.unparse(node.func) == "where" and _none(node.args[1]) and _none(node.args[2]):
            return ast.Constant(0)
        return node

    def visit_UnaryOp(self, node: ast.UnaryOp) -> ast.AST:
        node.operand = self.visit(node.operand)
        return ast.Constant(0) if _none(node.operand) else node

    def visit_BinOp(self, node: ast.BinOp) -> ast.AST:
        left, right = self.visit(node.left), self.visit(node.right)
        node.left, node.right = left, right
        if isinstance(node.op, ast.Mult | ast.Div) and _none(left):
            return ast.Constant(0)
        if isinstance(node.op, ast.Mult) and _none(right):
            return ast.Constant(0)
        if isinstance(node.op, ast.Add | ast.Sub) and _none(right):
            return left
        if isinstance(node.op, ast.Add) and _none(left):
            return right
        return node


def _none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value == 0 and node.value is not False
