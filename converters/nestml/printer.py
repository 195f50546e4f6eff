"""NESTML expressions as Python source, by PyNESTML's Python printer.

Values are in NESTML's base units: PyNESTML turns every number with a unit into them.
"""

from __future__ import annotations

import keyword
import math
from collections.abc import Callable
from typing import Any

# C++, Python and Brian2 do not agree on these for negative numbers, or not all have them.
OPERATORS = {
    "is_integer_div_op": "integer division",
    "is_modulo_op": "a remainder",
    **dict.fromkeys(
        [f"is_bit_{kind}" for kind in ("and", "or", "xor", "shift_left", "shift_right")],
        "a bit operator",
    ),
}


def python_name(nestml: str) -> str:
    """A Python name for a NESTML one.

    >>> python_name("g''"), python_name("lambda")
    ('g__dd', 'lambda_')
    """
    order = nestml.count("'") + 2 * nestml.count('"')
    bare = nestml.replace("'", "").replace('"', "").replace("$", "__aux")
    bare += "_" if keyword.iskeyword(bare) else ""
    return bare + ("__" + "d" * order if order else "")


def printer(reader: Any) -> Any:
    """PyNESTML's Python printer with our names; calls are for `reader`."""
    from pynestml.codegeneration.printers.constant_printer import ConstantPrinter
    from pynestml.codegeneration.printers.python_expression_printer import PythonExpressionPrinter
    from pynestml.codegeneration.printers.python_function_call_printer import (
        PythonFunctionCallPrinter,
    )
    from pynestml.codegeneration.printers.python_simple_expression_printer import (
        PythonSimpleExpressionPrinter,
    )
    from pynestml.codegeneration.printers.python_variable_printer import PythonVariablePrinter
    from pynestml.symbols.predefined_units import PredefinedUnits
    from pynestml.symbols.predefined_variables import PredefinedVariables
    from pynestml.symbols.symbol import SymbolKind

    constants = {PredefinedVariables.E_CONSTANT: math.e, PredefinedVariables.PI_CONSTANT: math.pi}

    class Variables(PythonVariablePrinter):
        def print_variable(self, variable: Any) -> str:
            name = variable.get_complete_name()
            if variable.has_vector_parameter():
                raise reader.refuse(variable, "a vector")
            if name in constants:
                return repr(constants[name])
            if name == PredefinedVariables.TIME_CONSTANT:
                return reader.time(variable)
            scope = variable.get_scope()
            known = scope and scope.resolve_to_symbol(name, SymbolKind.VARIABLE) is not None
            if known or not PredefinedUnits.is_unit(name):
                return python_name(name)
            return super().print_variable(variable)

        print: Callable[..., str] = print_variable

    class Constants(ConstantPrinter):
        def print_constant(self, const: Any) -> str:
            text = super().print_constant(const)  # it makes 7.50e-1 of 7.5e-10
            return text if isinstance(const, str) or float(text) == const else repr(float(const))

    class Calls(PythonFunctionCallPrinter):
        def print_function_call(self, function_call: Any) -> str:
            return reader.call(function_call)

    class Simple(PythonSimpleExpressionPrinter):
        def print(self, node: Any) -> str:
            factor, text = conversion(reader, node), self._print(node)
            return text if factor == 1 else f"({factor} * ({text}))"

    class Expressions(PythonExpressionPrinter):
        def print(self, node: Any) -> str:
            if type(node).__name__ != "ASTExpression":
                return self._simple_expression_printer.print(node)
            operator = node.get_binary_operator()
            for kind, words in OPERATORS.items():
                if getattr(operator, kind, False):
                    raise reader.refuse(node, words)
            if getattr(node.get_unary_operator(), "is_unary_tilde", False):
                raise reader.refuse(node, "a bit operator")
            factor = conversion(reader, node)
            text = self.print_expression(node)
            return text if factor == 1 else f"({factor} * ({text}))"

    variables, calls = Variables(None, with_origin=False), Calls(None)
    made = Expressions(
        Simple(
            variable_printer=variables,
            constant_printer=Constants(),
            function_call_printer=calls,
        )
    )
    variables._expression_printer = calls._expression_printer = made
    return made


def conversion(reader: Any, node: Any) -> float:
    """The factor between two units of one kind, for instance 1/Bq where ms is declared.

    As numbers with units are already in base units, seconds need no factor to become milliseconds.
    NESTML 9 puts it nevertheless, so in NEST they are a thousand times too many: an error. It
    forgets it only for an inline expression as a whole.
    """
    factor = node.get_implicit_conversion_factor()
    if not factor or math.isclose(factor, 1, rel_tol=1e-12):
        return 1
    from pynestml.codegeneration.nest_unit_converter import NESTUnitConverter

    unit = node.type.astropy_unit
    folded = math.prod(
        NESTUnitConverter.get_factor(base) ** power
        for base, power in zip(unit.bases, unit.powers, strict=True)
    )
    if math.isclose(folded, 1, rel_tol=1e-9):
        return factor
    if math.isclose(folded, factor, rel_tol=1e-9) and node is reader.inline:
        return 1
    raise reader.error(
        node, f"{node} is in {unit}, which NEST would convert twice; give the value in the unit "
        "that is declared",
    )  # fmt: skip
