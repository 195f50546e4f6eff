"""`read`: NESTML text to a `Model`, by PyNESTML's parser and checks.

PyNESTML prints its complaints, or logs them, and leaves a faulty model out; here they are one
`InputError` with file, line and column.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from converters.nestml import kernels
from converters.nestml.expressions import FUNCTIONS, substitute
from converters.nestml.model import (
    Assign,
    Convolution,
    Emit,
    If,
    Integrate,
    Model,
    Port,
    Statement,
    Variable,
)
from converters.nestml.text import content_hash
from toolkit.errors import InputError, require

RENAMED = {"ln": "log"}
KNOWN = {*FUNCTIONS, "ln", "min", "max", "pow", "steps", "resolution", "timestep"}


def read(source: str | Path) -> Model:
    """The one model of a NESTML file, or of NESTML text (anything with a line break).

    Raises
    ------
    InputError : the text has errors, or something that is not supported; with line and column
    MissingDependency : PyNESTML is not there

    >>> read("toolkit/neurons/lif_psc_exp.nestml").ports[0].name     # doctest: +SKIP
    'exc_spikes'
    """
    text, place = _text(source)
    require("pynestml", "striate[nest]")
    ast = _checked(text, place)
    return _Reader(ast, text, place).model()


def _text(source: str | Path) -> tuple[str, str]:
    if isinstance(source, str) and "\n" in source:
        return source, "NESTML text"
    path = Path(source)
    if not path.is_file():
        raise InputError(
            f"there is no NESTML file {str(path)!r}; give the path of a .nestml file or its text"
        )
    try:
        return path.read_text(encoding="utf-8"), str(path)
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8 text, so no NESTML: {error}") from error


def _checked(text: str, place: str) -> Any:
    """PyNESTML's tree of the model; every error it logged becomes ours."""
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
        log = [(e[4], e[5]) for e in Logger.get_log().values() if e[2] == LoggingLevel.ERROR]
    except InputError:
        raise
    except Exception as error:
        raise InputError(f"{place}: PyNESTML cannot read it: {error!r}") from error
    finally:
        Logger.no_print = printed
    if log:
        first, *others = [f"{place}{_line_column(where)}: {message}" for where, message in log]
        more = f" (and {len(others)} more: {'; '.join(others[:3])})" if others else ""
        raise InputError(f"{first}{more}")
    if len(models) != 1:
        raise InputError(f"{place} has {len(models)} models; one in a file is accepted")
    return models[0]


def _line_column(position: Any) -> str:
    if position is None:
        return ""
    return f":{position.get_start_line()}:{position.get_start_column()}"


class _Reader:
    """Walks one checked tree."""

    def __init__(self, tree: Any, text: str, place: str):
        self.tree, self.text, self.place = tree, text, place
        self.printer = _printer(self)
        self.convolutions: dict[tuple[str, str], Convolution] = {}
        self.functions: dict[str, tuple[list[str], str]] = {}
        self.inlines: dict[str, Variable] = {}
        self.kernels: dict[str, Any] = {}

    def refuse(self, node: Any, what: str) -> InputError:
        """The error for something that is not supported."""
        where = _line_column(node.get_source_position())
        return InputError(f"{self.place}{where}: {what} is not supported by the Brian2 converter")

    def model(self) -> Model:
        tree = self.tree
        ports = self.ports()
        if sum(not port.continuous for port in ports) and not tree.get_output_blocks():
            raise InputError(f"{self.place}: the model has no output block, so it never spikes")
        self.defined = {each.get_name(): each for each in tree.get_functions()}
        self.state_values = {v.name: v for v in self.block(tree.get_state_blocks())}
        equations = self.equations()
        # Initial values of kernels are no states: they are what an arrival adds.
        states = [
            v for v in self.state_values.values() if v.name.split("__d")[0] not in self.kernels
        ]
        states += [Variable(s, "", "0") for c in self.convolutions.values() for s in c.states]
        return Model(
            name=tree.get_name(),
            sha256=content_hash(self.text),
            states=tuple(states),
            parameters=self.block(tree.get_parameters_blocks()),
            internals=self.block(tree.get_internals_blocks()),
            ports=ports,
            equations=equations,
            inlines=tuple(v for v in self.inlines.values() if v.unit.startswith("recordable ")),
            convolutions=tuple(self.convolutions.values()),
            update=tuple(s for b in tree.get_update_blocks() for s in self.body(b)),
            receive={b.get_port_name(): self.body(b) for b in tree.get_on_receive_blocks()},
            conditions=tuple(
                (self.expression(b.get_cond_expr()), self.body(b))
                for b in tree.get_on_condition_blocks()
            ),
        )

    def expression(self, node: Any, local: bool = False) -> str:
        """Python source, with user's functions, inlines and convolutions put in."""
        text = self.printer.print(node)
        text = kernels.ternaries(text)
        if not local:
            text = substitute(text, {n: v.expression for n, v in self.inlines.items()})
        return text

    def block(self, blocks: Any) -> tuple[Variable, ...]:
        return tuple(v for block in blocks for v in self.declared(block))

    def declared(self, block: Any) -> list[Variable]:
        found = []
        for declaration in block.get_declarations():
            if declaration.has_size_parameter():
                raise self.refuse(declaration, "a vector")
            kind = str(declaration.get_data_type())
            value = (
                self.expression(declaration.get_expression(), local=True)
                if declaration.has_expression()
                else "0"
            )
            found += [
                Variable(
                    _name(variable.get_complete_name()),
                    "" if kind in ("real", "integer", "boolean") else kind.strip("() "),
                    value,
                    kind in ("integer", "boolean"),
                )
                for variable in declaration.get_variables()
            ]
        return found

    def ports(self) -> tuple[Port, ...]:
        found = []
        for block in self.tree.get_input_blocks():
            for port in block.get_input_ports():
                if port.has_size_parameter():
                    raise self.refuse(port, "a vector of ports")
                both = port.is_excitatory() == port.is_inhibitory()
                sign = 0 if both else (1 if port.is_excitatory() else -1)
                unit = str(port.get_datatype()) if port.has_datatype() else ""
                found.append(Port(port.get_name(), sign, port.is_continuous(), unit))
        if len([p for p in found if p.name in ("pre_spikes", "post_spikes")]) == 2:
            raise self.refuse(self.tree, "a synapse model (ports pre_spikes and post_spikes)")
        return tuple(found)

    def equations(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for block in self.tree.get_equations_blocks():
            for each in block.get_kernels():
                for variable in each.get_variables():
                    self.kernels[_name(variable.get_name())] = each
            for inline in block.get_inline_expressions():
                unit = f"{'recordable ' if inline.is_recordable else ''}{inline.get_data_type()}"
                name = _name(inline.get_variable_name())
                self.inlines[name] = Variable(name, unit, self.expression(inline.get_expression()))
            for equation in block.get_ode_equations():
                order = equation.get_lhs().get_differential_order()
                base = _name(equation.get_lhs().get_name())
                for k in range(order - 1):
                    found[kernels.derivative(base, k)] = kernels.derivative(base, k + 1)
                rhs = self.expression(equation.get_rhs())
                found[kernels.derivative(base, order - 1)] = rhs
        return found

    def function(self, node: Any) -> tuple[list[str], str]:
        """Parameters and the expression of a function without branches."""
        values: dict[str, str] = {}
        for statement in node.get_stmts_body().get_stmts():
            small = statement.small_stmt if statement.is_small_stmt() else None
            if small is not None and small.is_declaration():
                declaration = small.get_declaration()
                value = self.expression(declaration.get_expression(), local=True)
                for variable in declaration.get_variables():
                    values[_name(variable.get_complete_name())] = substitute(value, values)
            elif small is not None and small.is_return_stmt():
                result = self.expression(small.get_return_stmt().get_expression(), local=True)
                return (
                    [_name(p.get_name()) for p in node.get_parameters()],
                    substitute(result, values),
                )
            else:
                raise self.refuse(statement, "a function with more than declarations and return")
        raise self.refuse(node, "a function without a value")

    def call(self, node: Any) -> str:
        """A function call inside an expression."""
        name, args = node.get_name(), node.get_args()
        if name == "convolve":
            kernel, port = (_name(str(each).strip()) for each in args)
            return self.convolve(node, kernel, port)
        values = [self.expression(each, local=True) for each in args]
        if name in self.defined:
            if name not in self.functions:
                self.functions[name] = self.function(self.defined[name])
            parameters, result = self.functions[name]
            return f"({substitute(result, dict(zip(parameters, values, strict=True)))})"
        if name == "delta":
            raise self.refuse(node, "a delta kernel (use onReceive)")
        if name not in KNOWN:
            raise self.refuse(node, f"the function {name}()")
        if name in ("resolution", "timestep"):
            return "resolution_ms"
        if name in ("min", "max"):
            a, b = values
            return f"where(({a}) {'<' if name == 'min' else '>'} ({b}), {a}, {b})"
        if name == "pow":
            return f"(({values[0]})**({values[1]}))"
        return f"{RENAMED.get(name, name)}({', '.join(values)})"

    def convolve(self, node: Any, kernel: str, port: str) -> str:
        if kernel not in self.kernels:
            raise self.refuse(node, f"convolve() with {kernel!r}, which is no kernel,")
        if (kernel, port) not in self.convolutions:
            self.convolutions[kernel, port] = kernels.convolution(self, kernel, port)
        return self.convolutions[kernel, port].states[0]

    def body(self, block: Any) -> tuple[Statement, ...]:
        body = block.get_stmts_body() if hasattr(block, "get_stmts_body") else block
        return tuple(made for each in body.get_stmts() for made in self.statement(each))

    def statement(self, node: Any) -> list[Statement]:
        if not node.is_small_stmt():
            compound = node.compound_stmt
            if not compound.is_if_stmt():
                raise self.refuse(node, "a loop")
            branch = compound.get_if_stmt()
            clauses = [branch.get_if_clause(), *branch.get_elif_clauses()]
            tested = tuple((self.expression(c.get_condition()), self.body(c)) for c in clauses)
            last = branch.get_else_clause() if branch.has_else_clause() else None
            return [If(tested, self.body(last) if last else ())]
        small = node.small_stmt
        if small.is_assignment():
            return [self.assignment(small.get_assignment())]
        if small.is_declaration():
            declaration = small.get_declaration()
            value = self.expression(declaration.get_expression())
            variables = declaration.get_variables()
            return [Assign(_name(v.get_complete_name()), value, local=True) for v in variables]
        if small.is_function_call():
            return [self.action(small.get_function_call())]
        raise self.refuse(node, "a return outside a function")

    def assignment(self, node: Any) -> Assign:
        name = _name(node.get_variable().get_complete_name())
        value = self.expression(node.get_expression())
        signs = {
            "+": node.is_compound_sum,
            "-": node.is_compound_minus,
            "*": node.is_compound_product,
            "/": node.is_compound_quotient,
        }
        for sign, used in signs.items():
            if used:
                value = f"{name} {sign} ({value})"
        return Assign(name, value)

    def action(self, node: Any) -> Statement:
        name = node.get_name()
        if name == "emit_spike":
            if node.get_args():
                raise self.refuse(node, "a spike with a value")
            return Emit()
        if name == "integrate_odes":
            where = f"{self.place}{_line_column(node.get_source_position())}"
            return Integrate(tuple(_name(str(each).strip()) for each in node.get_args()), where)
        raise self.refuse(node, f"the function {name}()")


def _name(nestml: str) -> str:
    """A Python name for a NESTML one: ``x'`` is ``x__d``."""
    order = nestml.count("'") + 2 * nestml.count('"')
    bare = nestml.replace("'", "").replace('"', "").replace("$", "__aux")
    return bare + ("__" + "d" * order if order else "")


def _printer(reader: _Reader) -> Any:
    """PyNESTML's Python printer with our names and functions."""
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
            scope = variable.get_scope()
            known = scope and scope.resolve_to_symbol(name, SymbolKind.VARIABLE) is not None
            if known or not PredefinedUnits.is_unit(name):
                return _name(name)
            return super().print_variable(variable)

        print: Callable[..., str] = print_variable

    class Calls(PythonFunctionCallPrinter):
        def print_function_call(self, function_call: Any) -> str:
            return reader.call(function_call)

    variables, calls = Variables(None, with_origin=False), Calls(None)
    printer = PythonExpressionPrinter(
        PythonSimpleExpressionPrinter(
            variable_printer=variables,
            constant_printer=ConstantPrinter(),
            function_call_printer=calls,
        )
    )
    variables._expression_printer = calls._expression_printer = printer
    return printer
