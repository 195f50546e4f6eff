"""Neurons of a converted model in Brian2: values of its constants, and the `NeuronGroup`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from converters.nestml.brian2_code import SPIKE, Brian2Code
from converters.nestml.expressions import evaluate, names
from converters.nestml.parts import parts
from toolkit.errors import InputError, unknown


def constants(
    code: Brian2Code, given: Mapping[str, Any], dt_ms: float
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Values of parameters, internals and propagators, and of states at the start.

    `given` has parameters and states by NESTML's names, numbers or arrays of shape (neuron,), in
    the model's units.

    Raises
    ------
    InputError : a name that the model does not have, a value that is not finite
    """
    accepted = [v.name for v in (*code.parameters, *code.states)]
    for name in given:
        if name not in accepted:
            raise unknown(f"parameter of {code.name}", name, accepted)
        if not np.isfinite(given[name]).all():
            raise InputError(f"{name} of {code.name} must be finite, got {given[name]}")
    values: dict[str, Any] = {"resolution_ms": dt_ms}

    def settle(variable: Any) -> None:
        value = given.get(variable.name)
        if value is None:
            value = evaluate(variable.expression, values, dt_ms)
        values[variable.name] = np.asarray(value).astype(np.int64 if variable.integer else float)

    for variable in _in_order((*code.parameters, *code.constants, *code.states)):
        settle(variable)
    states = {v.name: values.pop(v.name) for v in code.states}
    for propagator in code.propagators:
        values[propagator.name] = propagator.value(values, dt_ms)
    return values, states


def _in_order(variables: tuple[Any, ...]) -> list[Any]:
    """Declarations so that each comes after those it is computed from."""
    own = {v.name for v in variables}
    done, left = list[Any](), list(variables)
    while left:
        ready = [v for v in left if not (names(v.expression) & own) - {d.name for d in done}]
        if not ready:
            raise InputError(f"{', '.join(v.name for v in left)} are defined by one another")
        done += ready
        left = [v for v in left if v not in ready]
    return done


@cache
def where_function() -> Any:
    """``where(condition, a, b)`` for every code generation target: a, or b, and nothing of both."""
    import brian2 as b2

    def where(condition, a, b):
        return np.where(condition, a, b)

    function = b2.Function(
        where, arg_units=[1, 1, 1], return_unit=1, arg_types=["any"] * 3, return_type="float"
    )
    function.implementations.add_implementation("numpy", where)
    body = "where_(const bool c, const double a, const double b) { return c ? a : b; }"
    function.implementations.add_implementation(
        "cpp", f"static inline double {body}", name="where_"
    )
    function.implementations.add_implementation(
        "cuda", f"__host__ __device__ inline double {body}", name="where_"
    )
    function.implementations.add_implementation(
        "cython",
        "cdef inline double where_(bint c, double a, double b) noexcept nogil:\n"
        "    return a if c else b",
        name="where_",
    )
    return function


def neuron_group(
    code: Brian2Code,
    n: int,
    given: Mapping[str, Any] | None = None,
    *,
    dt_ms: float,
    clock: Any = None,
    name: str = "neurons*",
    before: Sequence[str] = (),
    equations: Sequence[str] = (),
    namespace: Mapping[str, Any] | None = None,
) -> Any:
    """`n` neurons of a converted model.

    Connect with ``Synapses(..., on_pre="in_PORT_post += w")`` (ports with a sign take absolute
    values), recurrent synapses with delays less ``code.lag_steps`` steps. A continuous port is a
    variable of its name. All is dimensionless in NESTML's base units.

    Parameters
    ----------
    code : from `brian2_code` or `shipped`
    n : number of neurons
    given : parameters and initial states by NESTML's names; see `constants`
    dt_ms : time step
    clock : Brian2's, of that step; one of its own by default
    name : of the group in Brian2
    before : code to run at the start of every step
    equations, namespace : variables and names that it needs

    Raises
    ------
    InputError : see `constants`
    """
    import brian2 as b2

    values, states = constants(code, given or {}, dt_ms)
    arrays = group_values(code, values, n) | group_values(code, states, n)
    integers = {v.name for v in (*code.states, *code.parameters, *code.constants) if v.integer}
    used = set(re.findall(r"[A-Za-z_]\w*", code.code))
    arranged = parts(code)
    declared = [f"{SPIKE} : integer", *equations]
    known: dict[str, Any] = {"where": where_function(), **(namespace or {})}
    for port in code.ports:
        own = code.renamed.get(port.name, port.name)
        declared.append(f"{own if port.continuous else f'in_{port.name}'} : 1")
    declared += [
        f"{carried} : {'boolean' if carried in arranged.conditions else '1'}"
        for carried in arranged.carried
    ]
    for variable, value in (*states.items(), *values.items()):
        own = code.renamed.get(variable, variable)
        kind = "integer" if variable in integers else "1"
        if variable in states:
            declared.append(f"{own} : {kind}")
        elif own in arrays:
            declared.append(f"{own} : {kind} (constant)")
        elif own in used:
            known[own] = int(value) if variable in integers else float(value)
    timing = {"clock": clock} if clock is not None else {"dt": dt_ms * b2.ms}
    group = b2.NeuronGroup(
        n,
        "\n".join(declared),
        threshold=code.threshold,
        reset="",
        namespace=known,
        name=name,
        **timing,
    )
    for k, text in enumerate(arranged.code):
        lines = "\n".join([*before, text]) if k == 0 else text
        group.run_regularly(lines, when="groups", order=k, **timing)
    for own, value in arrays.items():
        setattr(group, own, value)
    return group


def group_values(code: Brian2Code, values: Mapping[str, Any], n: int) -> dict[str, Any]:
    """What is a variable of the group, by its name there: states, and constants by neuron.

    Raises
    ------
    InputError : an array that is not of shape (n,)
    """
    used = set(re.findall(r"[A-Za-z_]\w*", code.code))
    states = {v.name for v in code.states}
    arrays = {}
    for variable, value in values.items():
        own = code.renamed.get(variable, variable)
        if variable in states or (own in used and np.ndim(value)):
            if np.ndim(value) and np.shape(value) != (n,):
                raise InputError(f"{own} has shape {np.shape(value)}, for {n} neurons")
            arrays[own] = value
    return arrays
