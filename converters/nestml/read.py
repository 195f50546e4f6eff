"""`read`: NESTML text to a `Model`, by PyNESTML's parser and checks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from converters.nestml import kernels, statements
from converters.nestml.checked import checked, line_column
from converters.nestml.expressions import FUNCTIONS, substitute
from converters.nestml.model import Assign, Convolution, Model, Port, Statement, Variable
from converters.nestml.printer import printer, python_name
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
    return _read(source, synapse=False)


def read_synapse(source: str | Path) -> Model:
    """As `read`, of a synapse model: spikes have a value, and time passes between events.

    The time since the last event is called ``elapsed_ms``, that of the event ``time_ms``.
    """
    return _read(source, synapse=True)


def _read(source: str | Path, synapse: bool) -> Model:
    text, place = _text(source)
    require("pynestml", "striate[nest]")
    return _Reader(checked(text, place), text, place, synapse).model()


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


class _Reader:
    """Walks one checked tree."""

    def __init__(self, tree: Any, text: str, place: str, synapse: bool):
        self.tree, self.text, self.place, self.synapse = tree, text, place, synapse
        self.printer = printer(self)
        self.convolutions: dict[tuple[str, str], Convolution] = {}
        self.defined = {each.get_name(): each for each in tree.get_functions()}
        self.functions: dict[str, tuple[list[str], str]] = {}
        self.inlines: dict[str, Variable] = {}
        self.kernels: dict[str, Any] = {}
        self.where: dict[str, str] = {}
        self.inline: Any = None  # the inline expression that is being read
        self.in_kernel = False
        self.locals: set[str] = set()
        self.draws: list[Statement] | None = None
        self.n_drawn = 0

    def error(self, node: Any, what: str) -> InputError:
        return InputError(f"{self.place}{line_column(node.get_source_position())}: {what}")

    def refuse(self, node: Any, what: str) -> InputError:
        """The error for something that is not supported."""
        return self.error(node, f"{what} is not supported by the Brian2 converter")

    def model(self) -> Model:
        tree = self.tree
        ports = self.ports()
        if sum(not port.continuous for port in ports) and not tree.get_output_blocks():
            raise InputError(f"{self.place}: the model has no output block, so it never spikes")
        self.state_values = {v.name: v for v in self.block(tree.get_state_blocks())}
        equations = self.equations()
        # Initial values of kernels are no states: they are what an arrival adds.
        states = [
            v for v in self.state_values.values() if v.name.split("__d")[0] not in self.kernels
        ]
        states += [Variable(s, "", "0") for c in self.convolutions.values() for s in c.states]
        jumps = {} if self.synapse else kernels.deltas(self, ports, equations)
        update = tuple(s for b in tree.get_update_blocks() for s in statements.body(self, b))
        if jumps:
            update, flags = kernels.with_deltas(self, update, jumps)
            states += flags
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
            update=update,
            receive=self.receive(),
            conditions=tuple(self.condition(b) for b in tree.get_on_condition_blocks()),
            prioritised=any(
                "priority" in b.get_const_parameters() for b in tree.get_on_receive_blocks()
            ),
            where=self.where,
        )

    def receive(self) -> dict[str, tuple[Statement, ...]]:
        """Statements by port, first those of the highest priority."""
        blocks = self.tree.get_on_receive_blocks()
        given = {id(b): b.get_const_parameters().get("priority") for b in blocks}
        order = sorted(blocks, key=lambda b: -int(given[id(b)] or 0))
        for block in blocks:
            self.where[f"onReceive({block.get_port_name()})"] = (
                f"{self.place}{line_column(block.get_source_position())}"
            )
        return {b.get_port_name(): statements.body(self, b) for b in order}

    def condition(self, block: Any) -> tuple[str, tuple[Statement, ...]]:
        if self.synapse:
            raise self.refuse(block, "an onCondition block of a synapse")
        return self.expression(block.get_cond_expr()), statements.body(self, block)

    def expression(self, node: Any, local: bool = False) -> str:
        """Python source, with user's functions, inlines and convolutions put in."""
        text = kernels.ternaries(self.printer.print(node))
        if not local:
            text = substitute(text, {n: v.expression for n, v in self.inlines.items()})
        return text

    def time(self, node: Any) -> str:
        """The predefined variable ``t``."""
        if self.in_kernel:
            return "t"
        if not self.synapse:
            raise self.refuse(node, "the time t outside a kernel")
        return "time_ms"

    @contextmanager
    def drawing(self) -> Iterator[list[Statement]]:
        """Random numbers that are needed meanwhile become statements of their own in the list.

        So each call of the text is one number, wherever its value is put.
        """
        outside, self.draws = self.draws, []
        try:
            yield self.draws
        finally:
            self.draws = outside

    def random(self, node: Any, values: list[str]) -> str:
        if self.draws is None:
            raise self.refuse(node, f"{node.get_name()}() outside the statements of a block")
        self.n_drawn += 1
        name = f"random_{self.n_drawn}"
        self.draws.append(Assign(name, statements.RANDOM[node.get_name()].format(*values), True))
        return name

    def block(self, blocks: Any) -> tuple[Variable, ...]:
        return tuple(v for block in blocks for v in self.declared(block))

    def declared(self, block: Any) -> list[Variable]:
        found = []
        for declaration in block.get_declarations():
            if any(each.has_vector_parameter() for each in declaration.get_variables()):
                raise self.refuse(declaration, "a vector")
            kind = str(declaration.get_data_type())
            value = (
                self.expression(declaration.get_expression(), local=True)
                if declaration.has_expression()
                else "0"
            )
            found += [
                Variable(
                    python_name(variable.get_complete_name()),
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
                name = port.get_name()
                self.where[name] = f"{self.place}{line_column(port.get_source_position())}"
                found.append(Port(name, sign, port.is_continuous(), unit))
        both = {"pre_spikes", "post_spikes"} <= {p.name for p in found}
        if both and not self.synapse:
            raise self.refuse(self.tree, "a synapse model (use synapse_code), as a neuron,")
        return tuple(found)

    def equations(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for block in self.tree.get_equations_blocks():
            for each in block.get_kernels():
                for variable in each.get_variables():
                    self.kernels[python_name(variable.get_name())] = each
            for inline in block.get_inline_expressions():
                unit = f"{'recordable ' if inline.is_recordable else ''}{inline.get_data_type()}"
                name = python_name(inline.get_variable_name())
                self.inline = inline.get_expression()
                self.inlines[name] = Variable(name, unit, self.expression(self.inline))
                self.inline = None
            for equation in block.get_ode_equations():
                order = equation.get_lhs().get_differential_order()
                base = python_name(equation.get_lhs().get_name())
                for k in range(order - 1):
                    found[kernels.derivative(base, k)] = kernels.derivative(base, k + 1)
                name = kernels.derivative(base, order - 1)
                self.where[name] = f"{self.place}{line_column(equation.get_source_position())}"
                found[name] = self.expression(equation.get_rhs())
        return found

    def call(self, node: Any) -> str:
        """A function call inside an expression."""
        name, args = node.get_name(), node.get_args()
        if name == "convolve":
            kernel, port = (python_name(str(each).strip()) for each in args)
            return self.convolve(node, kernel, port)
        values = [self.expression(each, local=True) for each in args]
        if name in self.defined:
            if name not in self.functions:
                self.functions[name] = statements.function(self, self.defined[name])
            parameters, result = self.functions[name]
            return f"({substitute(result, dict(zip(parameters, values, strict=True)))})"
        if name in statements.RANDOM:
            return self.random(node, values)
        if name not in KNOWN:
            raise self.refuse(node, f"the function {name}()")
        if name == "timestep" and self.synapse:
            return "elapsed_ms"
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
        if kernels.is_delta(self.kernels[kernel]):
            if self.synapse:
                raise self.refuse(node, "a delta kernel in a synapse")
            return kernels.delta_name(port)
        if (kernel, port) not in self.convolutions:
            self.in_kernel = True
            self.convolutions[kernel, port] = kernels.convolution(self, kernel, port)
            self.in_kernel = False
        return self.convolutions[kernel, port].states[0]
