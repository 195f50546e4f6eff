"""Kernels as linear differential equations of states that arrivals add to."""

from __future__ import annotations

import ast
from typing import Any

from converters.nestml.expressions import names, parse, substitute
from converters.nestml.model import Assign, Convolution, If, Integrate, Port, Statement, Variable
from toolkit.errors import InputError

MAX_ORDER = 4


def derivative(name: str, order: int) -> str:
    """Name of the derivative of a variable, as ode-toolbox and NESTML write it."""
    return name + ("__" + "d" * order if order else "")


def ternaries(expression: str) -> str:
    """Python's ``a if c else b`` as ``where(c, a, b)``.

    >>> ternaries("(1) if (x > 0) else (2)")
    'where(x > 0, 1, 2)'
    """
    if " if " not in expression:
        return expression

    class Replace(ast.NodeTransformer):
        def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
            parts = [self.visit(each) for each in (node.test, node.body, node.orelse)]
            return ast.Call(ast.Name("where"), parts, [])

    return ast.unparse(Replace().visit(ast.parse(expression, mode="eval").body))


def convolution(reader: Any, kernel: str, port: str) -> Convolution:
    """The states that ``convolve(kernel, port)`` needs.

    A kernel is given either by its equations, with initial values in the state block (they are
    what an arrival of weight 1 adds), or as a function of the time since the arrival.
    """
    node = reader.kernels[kernel]
    variables, expressions = node.get_variables(), node.get_expressions()
    if variables[0].get_differential_order() == 0:
        text = reader.expression(expressions[0], local=True)
        factors, jumps = _equation_of(reader, node, kernel, text)
        states = [f"{derivative(kernel, k)}__X__{port}" for k in range(len(factors))]
        rates = [
            *states[1:],
            " + ".join(f"({f})*{s}" for f, s in zip(factors, states, strict=True)),
        ]
        return Convolution(port, tuple(states), tuple(rates), tuple(jumps))
    chain: dict[str, str] = {}
    for variable, expression in zip(variables, expressions, strict=True):
        order = variable.get_differential_order()
        base = variable.get_name().replace("$", "__aux")
        for k in range(order - 1):
            chain[derivative(base, k)] = derivative(base, k + 1)
        chain[derivative(base, order - 1)] = reader.expression(expression, local=True)
    chain = {kernel: chain.pop(kernel), **chain}
    new = {name: f"{name}__X__{port}" for name in chain}
    jumps = [reader.state_values[name].expression for name in chain]
    rates = [substitute(each, new) for each in chain.values()]
    return Convolution(port, tuple(new.values()), tuple(rates), tuple(jumps))


def _equation_of(
    reader: Any, node: Any, kernel: str, expression: str
) -> tuple[list[str], list[str]]:
    """Factors a_k of f^(n) = sum_k a_k f^(k) with the least n, and f^(k)(0), of a function of t."""
    import sympy

    t = sympy.Symbol("t", real=True)
    symbols = {name: sympy.Symbol(name, positive=True) for name in names(expression)} | {"t": t}
    f = [sympify(expression, symbols)]
    for order in range(1, MAX_ORDER + 1):
        f.append(sympy.diff(f[-1], t))
        # As many times as unknowns make a linear system; the result is then checked for all t.
        points = [{t: sympy.Integer(k + 1)} for k in range(order)]
        matrix = sympy.Matrix([[f[k].subs(p) for k in range(order)] for p in points])
        if sympy.simplify(matrix.det()) == 0:
            continue
        right = sympy.Matrix([f[order].subs(p) for p in points])
        factors = [sympy.simplify(each) for each in matrix.LUsolve(right)]
        rest = f[order] - sum(a * g for a, g in zip(factors, f, strict=False))
        if sympy.simplify(rest) == 0:
            zero = [str(sympy.simplify(each.subs(t, 0))) for each in f[:order]]
            return [str(each) for each in factors], zero
    raise reader.refuse(node, f"the kernel {kernel!r}, which no linear equation up to order 4 has,")


def sympify(expression: str, symbols: dict[str, Any]) -> Any:
    """A SymPy expression of exact numbers; names are never SymPy's own."""
    import sympy

    functions = {n: getattr(sympy, n) for n in ("exp", "log", "sin", "cos", "tan", "sqrt")}
    functions |= {n: getattr(sympy, n) for n in ("sinh", "cosh", "tanh")}
    other = {n: sympy.Function(n) for n in ("where", "expm1", "log10", "abs", "clip", "floor")}
    parse(expression)
    return sympy.sympify(expression, locals={**functions, **other, **symbols}, rational=True)


def is_delta(kernel: Any) -> bool:
    """Whether a kernel is ``delta(t)``."""
    call = getattr(kernel.get_expressions()[0], "get_function_call", lambda: None)()
    return call is not None and call.get_name() == "delta"


def delta_name(port: str) -> str:
    """What stands for the arrivals of a port in an equation, convolved with ``delta(t)``."""
    return f"delta__X__{port}"


def deltas(reader: Any, ports: tuple[Port, ...], equations: dict[str, str]) -> dict[str, str]:
    """Take arrivals out of the equations; give what they add to each variable."""
    import sympy

    jumps: dict[str, str] = {}
    spiking = [port.name for port in ports if not port.continuous]
    for variable, expression in equations.items():
        where = reader.where.get(variable, reader.place)
        for port in spiking:
            if port in names(expression):
                raise InputError(
                    f"{where}: the port {port!r} itself in an equation is not supported by the "
                    "Brian2 converter: use onReceive, or convolve() it with delta(t)"
                )
            symbol = delta_name(port)
            if symbol not in names(expression):
                continue
            made = sympify(expression, {n: sympy.Symbol(n) for n in names(expression)})
            factor = sympy.diff(made, sympy.Symbol(symbol))
            if {str(each) for each in factor.free_symbols} & {*equations, symbol}:
                raise InputError(
                    f"{where}: a delta kernel with a factor that is not constant is not supported "
                    "by the Brian2 converter: use onReceive"
                )
            term = f"({factor}) * ({port} * 1000.0)"
            jumps[variable] = f"{jumps[variable]} + {term}" if variable in jumps else term
            equations[variable] = expression = substitute(expression, {symbol: "0"})
    return jumps


def with_deltas(
    reader: Any, update: tuple[Statement, ...], jumps: dict[str, str]
) -> tuple[tuple[Statement, ...], list[Variable]]:
    """The update block with the arrivals added where the equations are integrated.

    They have to wait for the arrivals of their step, so a state tells whether there was a call.
    """
    flags = {variable: f"integrated_{variable}" for variable in jumps}

    def marked(body: tuple[Statement, ...]) -> tuple[Statement, ...]:
        made: list[Statement] = []
        for each in body:
            if isinstance(each, If):
                branches = tuple((condition, marked(b)) for condition, b in each.branches)
                each = If(branches, marked(each.otherwise))
            elif isinstance(each, Assign):
                late = ({each.name} | names(each.expression)) & set(jumps)
                if late:
                    raise InputError(
                        f"{reader.where.get(min(late), reader.place)}: arrivals in the equation of "
                        f"{min(late)!r}, which other statements of the update block use too, are "
                        "not supported by the Brian2 converter: use onReceive"
                    )
            made.append(each)
            if isinstance(each, Integrate):
                made += [
                    Assign(flag, "1")
                    for variable, flag in flags.items()
                    if not each.names or variable.split("__d")[0] in each.names
                ]
        return tuple(made)

    before = tuple(Assign(flag, "0") for flag in flags.values())
    after = tuple(
        If(((f"{flags[v]} > 0", (Assign(v, f"{v} + {jump}"),)),)) for v, jump in jumps.items()
    )
    return (*before, *marked(update), *after), [
        Variable(flag, "", "0", integer=True) for flag in flags.values()
    ]
