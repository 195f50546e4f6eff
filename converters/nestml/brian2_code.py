"""`brian2_code`: a `Model` as the code of one Brian2 time step.

A step is one block of abstract code. Branches become masks: ``x = where(mask, new, x)``. What
arrives in a step is summed in ``in_PORT`` and acts at the start of the next one, which is NEST's
order (update, then arrivals, then conditions): Brian2 delivers after its state updates.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection
from dataclasses import dataclass

from converters.nestml import solvers
from converters.nestml.expressions import names, substitute
from converters.nestml.model import Assign, Emit, If, Integrate, Model, Port, Statement, Variable
from converters.nestml.propagators import Linear, Propagator, Steps, linear_part
from converters.nestml.vector_lines import vector_lines
from toolkit.errors import InputError

SPIKE = "spike_"


@dataclass(frozen=True)
class Brian2Code:
    """What Brian2 needs of a model.

    Attributes
    ----------
    name, sha256 : of the model and of the NESTML text
    method : solver of the equations that are not linear; "exact" if there are none
    states, parameters, constants : with their values' expressions (NESTML's names)
    propagators : entries of matrix exponentials
    ports : inputs; a synapse does ``in_PORT_post += w``
    code : one step, for ``run_regularly(code, when="groups")``
    lag_steps : 1 if a spike is emitted one step after the one it belongs to, because the threshold
        sees this step's arrivals; take it off the delays and off the time of recorded spikes
    renamed : variables that are called otherwise in Brian2, because it keeps their names to itself
    """

    name: str
    sha256: str
    method: str
    states: tuple[Variable, ...]
    parameters: tuple[Variable, ...]
    constants: tuple[Variable, ...]
    propagators: tuple[Propagator, ...]
    ports: tuple[Port, ...]
    code: str
    lag_steps: int
    renamed: dict[str, str]

    @property
    def threshold(self) -> str:
        """Brian2's threshold condition; there is no reset, the code has done it."""
        return f"{SPIKE} > 0"


def brian2_code(model: Model, method: str = "rk4", substeps: int = 1) -> Brian2Code:
    """Code of one step of `model`.

    Linear equations are solved exactly. Others, and those that depend on them, by `method`
    ("euler", "rk2" or "rk4") in `substeps` equal parts of the time step.

    Raises
    ------
    InputError : unknown method, or something in the model that Brian2 cannot do
    """
    solvers.check_method(method)
    if substeps < 1:
        raise InputError(f"substeps must be 1 or more, got {substeps}")
    return _Writer(model, method, substeps).code()


def _reads(statements: tuple[Statement, ...]) -> set[str]:
    found: set[str] = set()
    for each in statements:
        if isinstance(each, Assign):
            found |= names(each.expression)
        elif isinstance(each, If):
            for condition, body in each.branches:
                found |= names(condition) | _reads(body)
            found |= _reads(each.otherwise)
    return found


def _writes(statements: tuple[Statement, ...]) -> set[str]:
    found: set[str] = set()
    for each in statements:
        if isinstance(each, Assign):
            found.add(each.name)
        elif isinstance(each, If):
            found |= _writes(each.otherwise).union(*(_writes(body) for _, body in each.branches))
    return found


def _contains(statements: tuple[Statement, ...], kind: type) -> bool:
    return any(
        isinstance(each, kind)
        or (
            isinstance(each, If)
            and any(_contains(b, kind) for b in (each.otherwise, *(b for _, b in each.branches)))
        )
        for each in statements
    )


class _Writer:
    def __init__(self, model: Model, method: str, substeps: int):
        self.model, self.method, self.substeps = model, method, substeps
        self.lines: list[str] = []
        self.steps = Steps()
        self.count = 0
        self.numeric = False
        self.hoisted: list[Variable] = []
        self.constants = frozenset(v.name for v in (*model.parameters, *model.internals))
        self.states = {v.name for v in model.states}
        self.integers = {v.name for v in model.states if v.integer}
        self.convolved = {
            state: rate
            for each in model.convolutions
            for state, rate in zip(each.states, each.derivatives, strict=True)
        }
        self.kernels = linear_part(self.convolved, self.constants)

    def fresh(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}_{self.count}"

    def code(self) -> Brian2Code:
        model = self.model
        before, after = self.split_update()
        lag = self.lag_steps(after)
        self.lines.append(f"{SPIKE} = 0")
        self.statements(after, None)
        self.arrivals()
        if lag:
            self.conditions()
        new = {}
        for name in self.convolved:
            new[name] = self.fresh("c")
            self.lines.append(f"{new[name]} = {self.steps.update(self.kernels, name, {}, 1.0)}")
        self.statements(before, None)
        self.lines += [f"{name} = {value}" for name, value in new.items()]
        if not lag:
            self.conditions()
        variables = {*self.states, SPIKE}
        variables |= {p.name if p.continuous else f"in_{p.name}" for p in model.ports}
        lines = [self.hoist(line) for line in self.lines]
        self.lines = vector_lines(lines, variables, f"{SPIKE} + 1")
        propagators = tuple(self.steps.made.values())
        known = [*self.states, *self.constants, *(p.name for p in model.ports)]
        known += [p.name for p in propagators]
        for body in (model.update, *model.receive.values(), *(b for _, b in model.conditions)):
            known += sorted(_writes(body) - self.states)
        renamed = {name: own for name in known if (own := _accepted(name)) != name}
        code = re.sub(r"\b[A-Za-z_]\w*\b", lambda m: renamed.get(m[0], m[0]), "\n".join(self.lines))
        return Brian2Code(
            model.name,
            model.sha256,
            self.method if self.numeric else "exact",
            model.states,
            model.parameters,
            (*model.internals, *self.hoisted),
            propagators,
            model.ports,
            code,
            lag,
            renamed,
        )

    def split_update(self) -> tuple[tuple[Statement, ...], tuple[Statement, ...]]:
        """The update block up to the first statement that reads a spike port, and from there on.

        What reads the arrivals of its own step has to wait for them.
        """
        update = self.model.update
        ports = {port.name for port in self.model.ports if not port.continuous}
        first = [k for k, each in enumerate(update) if _reads((each,)) & ports]
        if not first:
            return update, ()
        before, after = update[: first[0]], update[first[0] :]
        if _contains(after, Integrate) or _reads(after) & set(self.convolved):
            raise InputError(
                f"{self.model.name}: the update block reads a spike port before it integrates; the "
                "Brian2 converter supports that only after integrate_odes(): use onReceive"
            )
        return before, after

    def lag_steps(self, after: tuple[Statement, ...]) -> int:
        """Whether spikes have to wait for the arrivals of their step."""
        model = self.model
        received = {s for c in model.convolutions for s in c.states}
        needed: set[str] = set()
        for body in model.receive.values():
            received |= _writes(body)
            needed |= _reads(body)
        touched: set[str] = set()
        changed: set[str] = set()
        for condition, body in model.conditions:
            changed |= _writes(body)
            touched |= names(condition) | _reads(body)
        if not after and not (touched | changed) & received and not needed & changed:
            return 0
        if _contains(self.split_update()[0], Emit):
            raise InputError(
                f"{model.name}: spikes are emitted both in the update block and in an onCondition "
                "block that depends on what arrives; Brian2 has one threshold a step: use one place"
            )
        return 1

    def arrivals(self) -> None:
        for port in self.model.arriving:
            arrived = f"in_{port.name}"
            body = self.model.receive.get(port.name, ())
            # A sum of weights that is exactly 0 is no arrival, where that makes a difference.
            mask = None
            if not all(self.proportional(each, port.name) for each in body):
                mask = self.fresh("m")
                self.lines.append(f"{mask} = {arrived} != 0")
            self.statements(body, mask)
            weight = f"(0.001 * {arrived})"
            for k, line in enumerate(self.lines):
                # ``port * 1 s`` is the weight itself, without the rounding of 0.001 and 1000.
                line = _replace_name(line, port.name, weight)
                self.lines[k] = line.replace(f"{weight} * 1000.0", arrived)
            for each in self.model.convolutions:
                if each.port == port.name:
                    self.lines += [
                        f"{state} = {state} + ({jump}) * {arrived}"
                        for state, jump in zip(each.states, each.jumps, strict=True)
                        if jump != "0"
                    ]
            self.lines.append(f"{arrived} = 0")

    def proportional(self, statement: Statement, port: str) -> bool:
        """Whether a statement adds something that is 0 when nothing arrived."""
        if not isinstance(statement, Assign) or statement.local:
            return False
        tree = ast.parse(statement.expression, mode="eval").body
        if not isinstance(tree, ast.BinOp) or not isinstance(tree.op, ast.Add | ast.Sub):
            return False
        return ast.unparse(tree.left) == statement.name and _has_factor(tree.right, port)

    def conditions(self) -> None:
        for condition, body in self.model.conditions:
            mask = self.fresh("m")
            self.lines.append(f"{mask} = {_truth(condition, self.integers)}")
            self.statements(body, mask)

    def statements(self, body: tuple[Statement, ...], mask: str | None) -> None:
        for each in body:
            if isinstance(each, Assign):
                self.assign(each.name, each.expression, mask if not each.local else None)
            elif isinstance(each, Emit):
                self.lines.append(f"{SPIKE} = {f'int({mask} or {SPIKE} > 0)' if mask else 1}")
            elif isinstance(each, Integrate):
                self.integrate(each, mask)
            else:
                rest = mask
                for k, (condition, branch) in enumerate(each.branches, 1):
                    taken, outer = self.fresh("m"), f"{rest} and " if rest else ""
                    self.lines.append(f"{taken} = {outer}({_truth(condition, self.integers)})")
                    if k < len(each.branches) or each.otherwise:
                        rest = self.fresh("m")
                        self.lines.append(f"{rest} = {outer}(not {taken})")
                    self.statements(branch, taken)
                self.statements(each.otherwise, rest)

    def assign(self, name: str, expression: str, mask: str | None) -> None:
        if mask:
            expression = f"where({mask}, {expression}, {name})"
            if name in self.integers:  # Cython does not make an integer of a double by itself
                expression = f"int({expression})"
        self.lines.append(f"{name} = {expression}")

    def integrate(self, call: Integrate, mask: str | None) -> None:
        """New values of the variables of a call, all from the old ones, then their assignment."""
        every = self.model.equations
        wanted = {n for n in every if not call.names or n.split("__d")[0] in call.names}
        missing = [n for n in call.names if n not in every and n not in self.convolved]
        if missing:
            raise InputError(f"{call.where}: integrate_odes({missing[0]}): it has no equation")
        dynamic = {**{n: every[n] for n in every if n in wanted}, **self.convolved}
        linear = linear_part(dynamic, self.constants)
        new = {}
        for name in (n for n in every if n in wanted and n in linear.rest):
            new[name] = self.fresh("x")
            self.lines.append(f"{new[name]} = {self.steps.update(linear, name, {}, 1.0)}")
        others = {n: every[n] for n in every if n in wanted and n not in linear.rest}
        if others:
            self.numeric = True
            new |= self.solve(others, linear)
        for name, value in new.items():
            self.assign(name, value, mask)

    def solve(self, equations: dict[str, str], linear: Linear) -> dict[str, str]:
        """A step of equations that are not linear; the linear ones are known at all times."""
        needed = set().union(*(names(each) for each in equations.values())) & set(linear.rest)
        cache: dict[int, dict[str, str]] = {0: {}}

        def other(half_steps: int) -> dict[str, str]:
            if half_steps not in cache:
                made = {}
                fraction = half_steps / (2 * self.substeps)
                for name in sorted(needed):
                    made[name] = self.fresh("z")
                    update = self.steps.update(linear, name, {}, fraction)
                    self.lines.append(f"{made[name]} = {update}")
                cache[half_steps] = made
            return cache[half_steps]

        return solvers.explicit(
            equations, self.method, self.substeps, other, self.lines, self.fresh
        )

    def hoist(self, line: str) -> str:
        """``steps(...)`` of constants becomes a constant of its own."""
        while match := re.search(r"\bsteps\(", line):
            depth, end = 1, match.end()
            while depth:
                depth += {"(": 1, ")": -1}.get(line[end], 0)
                end += 1
            inside = line[match.start() : end]
            if not names(inside) <= self.constants:
                raise InputError(
                    f"{self.model.name}: {inside} changes during a run; only steps() of parameters "
                    "and internals is supported by the Brian2 converter"
                )
            known = {v.expression: v.name for v in self.hoisted}
            if inside not in known:
                known[inside] = f"steps_of_{len(self.hoisted)}"
                self.hoisted.append(Variable(known[inside], "", inside, integer=True))
            line = line.replace(inside, known[inside])
        return line


def _truth(condition: str, integers: Collection[str]) -> str:
    """The condition with NESTML's booleans, which are integers in Brian2, compared to 0.

    >>> _truth("not fired and V_m > V_th", {"fired"})
    'not fired != 0 and V_m > V_th'
    """

    def test(node: ast.expr) -> ast.expr:
        if isinstance(node, ast.Name) and node.id in integers:
            return ast.Compare(node, [ast.NotEq()], [ast.Constant(0)])
        if isinstance(node, ast.BoolOp):
            return ast.BoolOp(node.op, [test(each) for each in node.values])
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return ast.UnaryOp(node.op, test(node.operand))
        return node

    if not names(condition) & set(integers):
        return condition
    return ast.unparse(test(ast.parse(condition.strip(), mode="eval").body))


def _has_factor(tree: ast.expr, name: str) -> bool:
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Mult):
        return _has_factor(tree.left, name) or _has_factor(tree.right, name)
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Div):
        return _has_factor(tree.left, name)
    return isinstance(tree, ast.Name) and tree.id == name


def _replace_name(line: str, name: str, expression: str) -> str:
    target, _, value = line.partition(" = ")
    return f"{target} = {substitute(value, {name: expression})}"


def _accepted(name: str) -> str:
    """The name, or another one where Brian2 keeps it to itself (units, functions, t, dt, ...)."""
    from brian2.equations.equations import Equations

    for tried in (name, f"{name}_", f"{name}_0", f"v_{name}"):
        try:
            Equations.check_identifier(tried)
        except (SyntaxError, ValueError):
            continue
        if not tried.startswith("_"):
            return tried
    raise InputError(f"{name!r} cannot be the name of a variable in Brian2")
