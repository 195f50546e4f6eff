"""Synapses of a converted NESTML model in Brian2."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from converters.nestml.group import constants, where_function
from converters.nestml.printer import python_name
from converters.nestml.synapse_code import DELAY, SENT, SynapseCode
from toolkit.errors import InputError


def synapses(
    code: SynapseCode,
    source: Any,
    target: Any,
    given: Mapping[str, Any] | None = None,
    *,
    port: str,
    pre: Any,
    post: Any,
    delay_ms: Any,
    dt_ms: float,
    lag_steps: tuple[int, int] = (0, 0),
    name: str = "synapses*",
) -> Any:
    """Connected Brian2 ``Synapses`` of a converted model.

    They handle spikes as NEST does, but a delay later (see `synapse_code`): a weight that NEST's
    synapse has at time s is here at s + delay; what is delivered, and when, is the same. All is
    dimensionless in NESTML's base units.

    Parameters
    ----------
    code : from `synapse_code`
    source, target : Brian2 groups; `target` from `neuron_group`
    given : parameters and initial states by NESTML's names, a number or one for each synapse
    port : spike port of the target model
    pre, post : indices in the groups, shape (synapse,)
    delay_ms : dendritic delay, a number or of shape (synapse,); whole steps, at least one
    dt_ms : time step of both groups
    lag_steps : ``lag_steps`` of the source's and of the target's code

    Raises
    ------
    InputError : a name that the model does not have, a port that the target does not have, values
        that are not finite or not one for each synapse, a delay off the grid
    """
    import brian2 as b2

    n, steps = len(pre), _steps(delay_ms, dt_ms, len(pre), max(lag_steps))
    if f"in_{port}" not in target.variables:
        ports = [v.removeprefix("in_") for v in target.variables if v.startswith("in_")]
        raise InputError(f"the target has no port {port!r}; it has: {', '.join(ports)}")
    named = {python_name(key): value for key, value in (given or {}).items()}
    model: Any = code  # it has what `constants` reads
    values, states = constants(model, named, dt_ms)
    used = set(re.findall(r"[A-Za-z_]\w*", f"{code.on_pre}\n{code.on_post}\n{code.after_post}"))
    integers = {v.name for v in (*code.states, *code.parameters, *code.constants) if v.integer}
    declared, arrays = [f"{DELAY} : 1 (constant)"], {DELAY: steps * dt_ms}
    namespace: dict[str, Any] = {"where": where_function()}
    for variable, value in (*states.items(), *values.items()):
        own = code.renamed.get(variable, variable)
        if np.ndim(value) and np.shape(value) != (n,):
            raise InputError(f"{variable} has shape {np.shape(value)}, for {n} synapses")
        # Brian2 divides by constants beforehand; by 0 too, even if that branch is not taken.
        if variable in states or np.ndim(value) or value == 0:
            kind = "integer" if variable in integers else "1"
            declared.append(f"{own} : {kind}{'' if variable in states else ' (constant)'}")
            arrays[own] = value
        elif own in used:
            namespace[own] = int(value) if variable in integers else float(value)
    on_post = {"post": code.on_post, "after_post": code.after_post or "event_ms = 0.0"}
    made = b2.Synapses(
        source,
        target,
        "\n".join(declared),
        on_pre=f"{code.on_pre}\nin_{port}_post += {SENT}",
        on_post=on_post if code.post else None,
        namespace=namespace,
        dt=dt_ms * b2.ms,
        name=name,
    )
    made.connect(i=np.asarray(pre), j=np.asarray(post))
    for own, value in arrays.items():
        setattr(made, own, value)
    made.pre.delay = (steps - lag_steps[0]) * dt_ms * b2.ms
    if code.post:
        made.post.order, made.pre.order, made.after_post.order = 0, 1, 2
        for pathway in (made.post, made.after_post):
            pathway.delay = (2 * steps - lag_steps[1]) * dt_ms * b2.ms
    return made


def _steps(delay_ms: Any, dt_ms: float, n: int, least: int) -> np.ndarray:
    """Delays in steps, shape (synapse,)."""
    delay = np.broadcast_to(np.asarray(delay_ms, dtype=float), (n,))
    steps = np.round(delay / dt_ms)
    wrong = ~(np.isfinite(delay) & (np.abs(steps * dt_ms - delay) < 1e-6 * dt_ms))
    wrong |= ~(steps >= max(least, 1))
    if wrong.any():
        raise InputError(
            f"delays of plastic synapses must be whole steps of {dt_ms:g} ms, at least "
            f"{max(least, 1)}, got {delay[wrong][0]:g} ms; round them, for instance"
        )
    return steps.astype(int)
