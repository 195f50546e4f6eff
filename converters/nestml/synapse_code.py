"""`synapse_code`: a NESTML synapse model as Brian2 code for presynaptic and postsynaptic spikes.

Nothing happens between events, so a synapse costs nothing while it is silent: each handler first
takes the equations from the last event to this one, exactly, as they are linear.

The order of events is NEST's. The delay d is dendritic: a presynaptic spike of time s meets the
postsynaptic spikes up to s - d, and its weight, as it is then, arrives at s + d. Of two that meet,
the postsynaptic one comes first, but what belongs to the postsynaptic neuron alone (its traces)
changes only after both. In Brian2 the synapse does all of it a delay later: it handles presynaptic
spikes after d, so that they can act at once, and postsynaptic ones after 2 d.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from converters.nestml.brian2_code import _accepted
from converters.nestml.expressions import names, substitute
from converters.nestml.model import Assign, Emit, If, Integrate, Model, Statement, Variable, walk
from converters.nestml.propagators import linear_part
from converters.nestml.read import read_synapse
from converters.nestml.vector_lines import vector_lines
from toolkit.errors import InputError

SENT = "sent_"
LAST, DELAY = "last_event_ms", "delay_ms"
# A thousandth of the finest time that NEST knows: rounding of times, not time that has passed.
NO_TIME_MS = 1e-6


@dataclass(frozen=True)
class SynapseCode:
    """What Brian2 needs of a synapse model.

    Attributes
    ----------
    name, sha256 : of the model and of the NESTML text
    states, parameters, constants : with their values' expressions (NESTML's names)
    pre, post : names of the ports
    on_pre, on_post : code of their events; `on_pre` leaves the weight that it sends in ``sent_``
    after_post : code for a postsynaptic spike after all else that happens at its time
    renamed : variables that are called otherwise in Brian2
    """

    name: str
    sha256: str
    states: tuple[Variable, ...]
    parameters: tuple[Variable, ...]
    constants: tuple[Variable, ...]
    pre: str
    post: str
    on_pre: str
    on_post: str
    after_post: str
    renamed: dict[str, str]
    propagators: tuple[()] = ()


def synapse_code(
    source: str | Path, *, pre: str = "pre_spikes", post: str = "post_spikes"
) -> SynapseCode:
    """Code of the synapse model in a NESTML file or text.

    `pre` and `post` are the model's ports for presynaptic and postsynaptic spikes; it need not have
    the latter. Priorities are refused: NEST takes them the other way round than NESTML describes
    them, and compares times for equality, which rounding decides.

    Raises
    ------
    InputError : errors in the text, or something that Brian2 cannot do; with line and column
    MissingDependency : PyNESTML is not there
    """
    return _Writer(read_synapse(source), pre, post).code()


class _Writer:
    def __init__(self, model: Model, pre: str, post: str):
        self.model = model
        self.lines: list[str] = []
        self.count = 0
        ports = [port.name for port in model.ports]
        if pre not in ports:
            raise InputError(
                f"{model.name} has no port {pre!r} for presynaptic spikes; it has: "
                f"{', '.join(ports) or 'none'}. Say which with pre="
            )
        for port in model.ports:
            if port.continuous:
                raise self.refused(port.name, f"the continuous port {port.name!r} of a synapse")
            if port.name not in (pre, post):
                raise self.refused(port.name, f"a third port of spikes, {port.name!r},")
        if model.prioritised:
            raise self.refused(f"onReceive({pre})", "a priority in a synapse")
        self.pre, self.post = pre, post if post in ports else ""
        self.integers = {v.name for v in model.states if v.integer}
        # Internals that depend on the step are of the time since the last event.
        self.passing = {
            v.name: f"({v.expression})"
            for v in model.internals
            if "elapsed_ms" in names(v.expression)
        }
        self.internals = tuple(v for v in model.internals if v.name not in self.passing)
        constants = frozenset(v.name for v in (*model.parameters, *self.internals))
        self.convolved = {
            state: rate
            for each in model.convolutions
            for state, rate in zip(each.states, each.derivatives, strict=True)
        }
        self.linear = linear_part({**model.equations, **self.convolved}, constants)
        self.of_post = self.postsynaptic()

    def refused(self, place: str, what: str) -> InputError:
        where = self.model.where.get(place, self.model.name)
        return InputError(f"{where}: {what} is not supported by the Brian2 converter")

    def postsynaptic(self) -> set[str]:
        """States that depend on postsynaptic spikes alone, as NESTML gives them to the neuron."""
        model = self.model
        other = _assigned(model.receive.get(self.pre, ())) | _assigned(model.update)
        other |= set().union(*(names(e.weight) for e in _emitted(model.receive.get(self.pre, ()))))
        statements = model.receive.get(self.post, ())
        reads: dict[str, set[str]] = {}
        for each in statements:
            if isinstance(each, Assign) and not each.local:
                reads.setdefault(each.name, set()).update(names(each.expression))
            else:
                other |= _assigned((each,))
        local = _locals(statements)
        fixed = {v.name for v in model.parameters}
        found = {n for n in reads if n not in other and n not in local}
        while True:
            bad = {
                n
                for n in found
                if not reads[n] <= found | fixed
                or not names(model.equations.get(n, "0")) <= found | fixed
            }
            if not bad:
                break
            found -= bad
        return found | {s for c in model.convolutions if c.port == self.post for s in c.states}

    def code(self) -> SynapseCode:
        model = self.model
        handled = model.receive.get(self.post, ())
        late = [s for s in handled if isinstance(s, Assign) and s.name in self.of_post]
        if _emitted(handled) or _emitted(model.update):
            raise self.refused(f"onReceive({self.post})", "a spike that no presynaptic one causes")
        on_pre = self.event(model.receive.get(self.pre, ()), self.pre, "time_ms = event_ms")
        on_post = after = ""
        if self.post:
            first = tuple(s for s in handled if s not in late)
            on_post = self.event(first, "", f"time_ms = event_ms - {DELAY}")
            self.lines = []
            self.statements(tuple(late), None)
            self.arrivals(self.post)
            after = "\n".join(self.of_each_synapse())
        states = (*model.states, Variable(LAST, "ms", "0"), Variable(SENT, "", "0"))
        known = [v.name for v in (*states, *model.parameters, *self.internals)]
        for handler in (model.update, *model.receive.values()):
            known += sorted(_locals(handler))
        renamed = {name: new for name in known if (new := _accepted(name)) != name}

        def rename(code: str) -> str:
            return re.sub(r"\b[A-Za-z_]\w*\b", lambda m: renamed.get(m[0], m[0]), code)

        return SynapseCode(
            name=model.name,
            sha256=model.sha256,
            states=states,
            parameters=model.parameters,
            constants=self.internals,
            pre=self.pre,
            post=self.post,
            on_pre=rename(on_pre),
            on_post=rename(on_post),
            after_post=rename(after),
            renamed=renamed,
        )

    def event(self, handler: tuple[Statement, ...], port: str, time: str) -> str:
        """Code from the last event to this one, and then that of the handler."""
        self.lines = [
            f"event_ms = (t_in_timesteps + 1) * resolution_ms - {DELAY}",
            f"elapsed_ms = event_ms - {LAST}",
        ]
        always = [n for n in (*self.model.equations, *self.convolved) if self.always(n)]
        new = self.advanced(always)
        if self.model.update:
            mask = None
            if not all(isinstance(each, Integrate) for each in self.model.update):
                mask = self.fresh("m")
                self.lines.append(f"{mask} = elapsed_ms > {NO_TIME_MS}")
            self.lines.append(f"time_ms = {LAST}")
            self.statements(self.model.update, mask)
        self.lines += [f"{name} = {value}" for name, value in new.items()]
        self.lines += [f"{LAST} = event_ms", time]
        if port:
            self.lines.append(f"{SENT} = 0.0")
        self.statements(handler, None)
        if port:
            self.arrivals(port)
        return "\n".join(self.of_each_synapse())

    def of_each_synapse(self) -> list[str]:
        states = {v.name for v in self.model.states}
        return vector_lines(self.lines, states | {LAST, DELAY, SENT}, DELAY)

    def always(self, variable: str) -> bool:
        """Whether a variable is taken on at every event, whatever the update block integrates."""
        return variable in self.convolved or variable in self.of_post

    def arrivals(self, port: str) -> None:
        for each in self.model.convolutions:
            if each.port == port:
                self.lines += [
                    f"{state} = {state} + ({jump})"
                    for state, jump in zip(each.states, each.jumps, strict=True)
                    if jump != "0"
                ]

    def advanced(self, variables: list[str]) -> dict[str, str]:
        """Exact values after the time since the last event, by variable."""
        new = {}
        for name in variables:
            others = {b for a, b in self.linear.matrix if a == name} - {name}
            if name not in self.linear.rest or others:
                what = "depends on other variables" if others else "is not linear"
                raise self.refused(name, f"the equation of {name!r}, which {what}, in a synapse")
            rate, rest = self.linear.matrix.get((name, name)), self.linear.rest[name]
            if rate is None:
                value = f"{name} + ({rest}) * elapsed_ms"
            else:
                value = f"{name} * exp(({rate}) * elapsed_ms)"
                if rest != "0":
                    value += f" + ({rest}) * expm1(({rate}) * elapsed_ms) / ({rate})"
            new[name] = self.fresh("x")
            self.lines.append(f"{new[name]} = {value}")
        return new

    def fresh(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}_{self.count}"

    def statements(self, body: tuple[Statement, ...], mask: str | None) -> None:
        for each in body:
            if isinstance(each, Assign):
                value = substitute(each.expression, self.passing)
                if mask and not each.local:
                    value = f"where({mask}, {value}, {each.name})"
                if each.name in self.integers:
                    value = f"int({value})"
                self.lines.append(f"{each.name} = {value}")
            elif isinstance(each, Emit):
                weight = substitute(each.weight or "1.0", self.passing)
                taken = f"where({mask}, {weight}, 0.0)" if mask else weight
                self.lines.append(f"{SENT} = {SENT} + {taken}")
            elif isinstance(each, Integrate):
                self.integrate(each, mask)
            else:
                self.branch(each, mask)

    def integrate(self, call: Integrate, mask: str | None) -> None:
        variables = [
            n
            for n in self.model.equations
            if not self.always(n) and (not call.names or n.split("__d")[0] in call.names)
        ]
        for name, value in self.advanced(variables).items():
            taken = f"where({mask}, {value}, {name})" if mask else value
            self.lines.append(f"{name} = {taken}")

    def branch(self, statement: If, mask: str | None) -> None:
        rest = mask
        for k, (condition, body) in enumerate(statement.branches, 1):
            taken, outer = self.fresh("m"), f"{rest} and " if rest else ""
            self.lines.append(f"{taken} = {outer}({substitute(condition, self.passing)})")
            if k < len(statement.branches) or statement.otherwise:
                rest = self.fresh("m")
                self.lines.append(f"{rest} = {outer}(not {taken})")
            self.statements(body, taken)
        self.statements(statement.otherwise, rest)


def _assigned(statements: tuple[Statement, ...]) -> set[str]:
    return {each.name for each in walk(statements) if isinstance(each, Assign)}


def _emitted(statements: tuple[Statement, ...]) -> list[Emit]:
    return [each for each in walk(statements) if isinstance(each, Emit)]


def _locals(statements: tuple[Statement, ...]) -> set[str]:
    return {each.name for each in walk(statements) if isinstance(each, Assign) and each.local}
