"""Statements and functions of a NESTML model as plain data."""

from __future__ import annotations

from typing import Any

from converters.nestml.checked import line_column
from converters.nestml.expressions import evaluate, substitute
from converters.nestml.model import Assign, Emit, If, Integrate, Statement
from converters.nestml.printer import python_name
from toolkit.errors import InputError

MAX_UNROLLED = 1000  # our choice: statements that a loop may become
RANDOM = {
    "random_normal": "({0}) + ({1}) * randn()",
    "random_uniform": "({0}) + ({1}) * rand()",
    "random_poisson": "poisson({0})",
}
SIGNS = {
    "+": "is_compound_sum",
    "-": "is_compound_minus",
    "*": "is_compound_product",
    "/": "is_compound_quotient",
}


def body(reader: Any, block: Any) -> tuple[Statement, ...]:
    """The statements of a block."""
    inside = block.get_stmts_body() if hasattr(block, "get_stmts_body") else block
    return tuple(made for each in inside.get_stmts() for made in statement(reader, each))


def statement(reader: Any, node: Any) -> list[Statement]:
    """A statement, after the random numbers that it needs."""
    if not node.is_small_stmt():
        return _compound(reader, node.compound_stmt)
    small = node.small_stmt
    with reader.drawing() as drawn:
        if small.is_assignment():
            made: list[Statement] = [_assignment(reader, small.get_assignment())]
        elif small.is_declaration():
            declaration = small.get_declaration()
            if any(each.has_vector_parameter() for each in declaration.get_variables()):
                raise reader.refuse(declaration, "a vector")
            value = (
                reader.expression(declaration.get_expression())
                if declaration.has_expression()
                else "0"
            )
            variables = declaration.get_variables()
            made = [Assign(python_name(v.get_complete_name()), value, True) for v in variables]
            reader.locals |= {each.name for each in made if isinstance(each, Assign)}
        elif small.is_function_call():
            made = [_action(reader, small.get_function_call())]
        else:
            raise reader.refuse(node, "a return outside a function")
    return [*drawn, *made]


def _compound(reader: Any, node: Any) -> list[Statement]:
    if node.is_for_stmt():
        return _loop(reader, node.get_for_stmt())
    if not node.is_if_stmt():
        raise reader.refuse(node, "a while loop")
    branch = node.get_if_stmt()
    clauses = [branch.get_if_clause(), *branch.get_elif_clauses()]
    with reader.drawing() as drawn:
        conditions = [reader.expression(each.get_condition()) for each in clauses]
    bodies = [body(reader, each) for each in clauses]
    last = branch.get_else_clause() if branch.has_else_clause() else None
    otherwise = body(reader, last) if last else ()
    return [*drawn, If(tuple(zip(conditions, bodies, strict=True)), otherwise)]


def _loop(reader: Any, node: Any) -> list[Statement]:
    """A loop between numbers, written out; as in NEST the end is not included."""
    variable = python_name(node.get_variable())
    try:
        start, end = (
            float(evaluate(reader.expression(each), {}, 1.0))
            for each in (node.get_start_from(), node.get_end_at())
        )
    except InputError as error:
        raise reader.refuse(node, f"a loop whose limits are not numbers ({error})") from error
    step, made, value = node.get_step(), list[Statement](), start
    if step == 0:
        raise reader.error(node, "the step of the loop is 0")
    while value < end if step > 0 else value > end:
        made.append(Assign(variable, f"{value:.17g}", variable in reader.locals))
        made += body(reader, node)
        if len(made) > MAX_UNROLLED:
            raise reader.refuse(node, f"a loop of more than {MAX_UNROLLED:,} statements")
        value += step
    return [*made, Assign(variable, f"{value:.17g}", variable in reader.locals)]


def _assignment(reader: Any, node: Any) -> Assign:
    if node.get_variable().has_vector_parameter():
        raise reader.refuse(node, "a vector")
    if node.is_compound_integer_quotient:
        raise reader.refuse(node, "integer division")
    name = python_name(node.get_variable().get_complete_name())
    value = reader.expression(node.get_expression())
    for sign, used in SIGNS.items():
        if getattr(node, used):
            value = f"{name} {sign} ({value})"
    return Assign(name, value, name in reader.locals)


def _action(reader: Any, node: Any) -> Statement:
    name, args = node.get_name(), node.get_args()
    if name == "emit_spike":
        if len(args) > 1 or (args and not reader.synapse):
            raise reader.refuse(node, "a spike with a value")
        return Emit(reader.expression(args[0]) if args else "")
    if name == "integrate_odes":
        where = f"{reader.place}{line_column(node.get_source_position())}"
        return Integrate(tuple(python_name(str(each).strip()) for each in args), where)
    raise reader.refuse(node, f"the function {name}()")


def function(reader: Any, node: Any) -> tuple[list[str], str]:
    """Parameters of a user's function, and its value as one expression."""
    result = _value_of(reader, node.get_stmts_body().get_stmts(), {})
    if result is None:
        raise reader.refuse(node, "a function that may end without a value")
    return [python_name(p.get_name()) for p in node.get_parameters()], result


def _value_of(reader: Any, statements: list[Any], values: dict[str, str]) -> str | None:
    """What the statements return, in terms of the parameters; `values` are the local variables."""
    for k, each in enumerate(statements):
        small = each.small_stmt if each.is_small_stmt() else None
        if small is None and each.compound_stmt.is_if_stmt():
            branch, rest = each.compound_stmt.get_if_stmt(), statements[k + 1 :]
            clauses = [branch.get_if_clause(), *branch.get_elif_clauses()]
            last = branch.get_else_clause() if branch.has_else_clause() else None
            remaining = [*last.get_stmts_body().get_stmts(), *rest] if last else rest
            result = _value_of(reader, remaining, dict(values))
            for clause in reversed(clauses):
                condition = substitute(reader.expression(clause.get_condition(), True), values)
                taken = [*clause.get_stmts_body().get_stmts(), *rest]
                value = _value_of(reader, taken, dict(values))
                if value is None or result is None:
                    return None
                result = f"where({condition}, {value}, {result})"
            return result
        if small is not None and small.is_declaration():
            declaration = small.get_declaration()
            text = (
                reader.expression(declaration.get_expression(), True)
                if declaration.has_expression()
                else "0"
            )
            for variable in declaration.get_variables():
                values[python_name(variable.get_complete_name())] = substitute(text, values)
        elif small is not None and small.is_assignment():
            made = _assignment(reader, small.get_assignment())
            values[made.name] = substitute(made.expression, values)
        elif small is not None and small.is_return_stmt():
            return substitute(
                reader.expression(small.get_return_stmt().get_expression(), True), values
            )
        else:
            raise reader.refuse(each, "a loop or a call alone in a function")
    return None
