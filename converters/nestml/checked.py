"""PyNESTML's parser and checks, with everything they find as one `InputError`.

PyNESTML prints its complaints, or logs them, and leaves a faulty model out. Some mistakes that
change a value it only warns of, or does not see; those are looked for here.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from toolkit.errors import InputError

SHOWN = 4
# What PyNESTML adds to a first complaint about the same place, which says more.
FOLLOWING = ("could not be derived", "No free-standing", "Could not resolve symbol")


def line_column(position: Any) -> str:
    """``:line:column`` of a place, as editors write it."""
    if position is None or position.get_start_line() < 1:
        return ""
    return f":{position.get_start_line()}:{position.get_start_column()}"


def checked(text: str, place: str) -> Any:
    """PyNESTML's tree of the one model in a text.

    Raises
    ------
    InputError : with the line and column of every error
    """
    models, found = _parsed(text, place)
    if not found:
        if len(models) != 1:
            raise InputError(f"{place} has {len(models)} models; one in a file is accepted")
        found = list(_own(models[0]))
    if found:
        first, *others = [f"{place}{line_column(where)}: {what}" for where, what in found]
        shown = "; ".join(others[: SHOWN - 1])
        more = f" (and {len(others)} more: {shown})" if others else ""
        raise InputError(f"{first}{more}")
    return models[0]


def _parsed(text: str, place: str) -> tuple[list[Any], list[tuple[Any, str]]]:
    from pynestml.cocos.co_cos_manager import CoCosManager
    from pynestml.frontend.pynestml_frontend import init_predefined
    from pynestml.utils.logger import Logger, LoggingLevel
    from pynestml.utils.model_parser import ModelParser

    printed = Logger.no_print
    Logger.no_print = True
    try:
        Logger.init_logger(LoggingLevel.ERROR)
        init_predefined()
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "model.nestml"
            file.write_text(text, encoding="utf-8")
            unit = ModelParser.parse_file(str(file))
        models = unit.get_model_list() if unit is not None else []
        for model in models:
            CoCosManager.check_cocos(model)
    except Exception as error:
        if not _errors():
            raise InputError(f"{place}: PyNESTML cannot read it ({error})") from error
        models = []
    finally:
        Logger.no_print = printed
    return models, _errors()


def _errors() -> list[tuple[Any, str]]:
    """What PyNESTML logged as errors, in the order of the text, one for a place."""
    from pynestml.utils.logger import Logger, LoggingLevel

    log = [(e[4], e[5]) for e in Logger.get_log().values() if e[2] == LoggingLevel.ERROR]
    told: dict[str, tuple[Any, str]] = {}
    for where, what in log:
        key = line_column(where) or what
        if key not in told or any(words in told[key][1] for words in FOLLOWING):
            told[key] = where, what
    return sorted(told.values(), key=_position)


def _position(error: tuple[Any, str]) -> tuple[int, int]:
    where = error[0]
    return (where.get_start_line(), where.get_start_column()) if where else (0, 0)


def _own(model: Any) -> Iterator[tuple[Any, str]]:
    """Mistakes that PyNESTML does not call errors."""
    ports = [p.get_name() for b in model.get_input_blocks() for p in b.get_input_ports()]
    handled: dict[str, Any] = {}
    priorities: dict[int, str] = {}
    for block in model.get_body().get_body_elements():
        if type(block).__name__ != "ASTOnReceiveBlock":
            continue
        name, where = block.get_port_name(), block.get_source_position()
        if name not in ports:
            yield where, f"onReceive({name}): no such port; there are: {', '.join(ports) or 'none'}"
        if name in handled:
            yield where, f"a second onReceive({name}); put both in one block"
        handled[name] = block
        if "priority" in block.get_const_parameters():
            number = int(block.get_const_parameters()["priority"])
            if number in priorities:
                yield where, f"onReceive({name}) has the priority of {priorities[number]}"
            priorities[number] = name
    declared = {
        v.get_complete_name()
        for b in (*model.get_state_blocks(), *model.get_parameters_blocks(),
                  *model.get_internals_blocks())
        for d in b.get_declarations()
        for v in d.get_variables()
    }  # fmt: skip
    for node in _nodes(model):
        yield from _mistakes(node, declared)
    for block in model.get_on_condition_blocks():
        yield from _comparison(block.get_cond_expr())


def _nodes(node: Any) -> Iterator[Any]:
    yield node
    for child in node.get_children():
        yield from _nodes(child)


def _mistakes(node: Any, declared: set[str]) -> Iterator[tuple[Any, str]]:
    kind, where = type(node).__name__, node.get_source_position()
    if kind == "ASTExpression":
        yield from _comparison(node)
        yield from _alternatives(node)
    elif kind == "ASTSmallStmt" and node.is_declaration():
        for variable in node.get_declaration().get_variables():
            if variable.get_complete_name() in declared:
                yield where, f"{variable} is declared anew; give this one another name"
    elif kind == "ASTAssignment":
        variable = node.get_variable()
        symbol = node.get_scope().resolve_to_symbol(variable.get_complete_name(), _variable_kind())
        value = node.get_expression()
        if symbol and _is(symbol.get_type_symbol(), "Integer") and _is(value.type, "Real"):
            yield where, f"{variable} is an integer and {value} is not; it would be cut off"


def _comparison(node: Any) -> Iterator[tuple[Any, str]]:
    """Comparisons of values in different units."""
    if type(node).__name__ != "ASTExpression":
        return
    operator = node.get_binary_operator()
    if type(operator).__name__ != "ASTComparisonOperator":
        return
    left, right = node.get_lhs(), node.get_rhs()
    if _zero(left) or _zero(right) or _same_unit(left.type, right.type):
        return
    names = [each.type.print_nestml_type() for each in (left, right)]
    yield node.get_source_position(), f"{node} compares {names[0]} with {names[1]}"


def _alternatives(node: Any) -> Iterator[tuple[Any, str]]:
    if not node.is_ternary_operator():
        return
    left, right = node.get_if_true(), node.get_if_not()
    if not (_zero(left) or _zero(right) or _same_unit(left.type, right.type)):
        names = [each.type.print_nestml_type() for each in (left, right)]
        yield node.get_source_position(), f"{node} is either {names[0]} or {names[1]}"


def _same_unit(left: Any, right: Any) -> bool:
    first, second = (getattr(each, "astropy_unit", None) for each in (left, right))
    if first is None or second is None:
        return first is second
    return bool(first.is_equivalent(second))


def _zero(node: Any) -> bool:
    literal = getattr(node, "get_numeric_literal", lambda: None)()
    return literal == 0


def _is(symbol: Any, kind: str) -> bool:
    return type(symbol).__name__ == f"{kind}TypeSymbol"


def _variable_kind() -> Any:
    from pynestml.symbols.symbol import SymbolKind

    return SymbolKind.VARIABLE
