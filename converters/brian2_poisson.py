"""Poisson input with one synapse a neuron, as background is, without a spike generator.

The counts are the toolkit's (`toolkit.rng.poisson_counts`): a function of key, source and step.
Compiled code evaluates it in the neurons' own update; the interpreted device adds counts drawn in
chunks before the step.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from converters.grid import delay_steps, poisson_key
from converters.slots import Slots
from toolkit.network import Input
from toolkit.rng import poisson_counts, poisson_counts_cpp


def is_one_to_one(source: Input) -> bool:
    """Whether no neuron has more than one synapse of this input."""
    return len(np.unique(source.synapses.post)) == len(source.synapses)


@dataclass(frozen=True)
class PoissonTerm:
    """A Poisson input with one synapse a neuron, evaluated inside the neurons' own update.

    Arrays of shape (neuron,): `source` number, `delay` in steps, `weight` (0 for none), `slot`.
    """

    name: str
    mean: float
    source: np.ndarray
    delay: np.ndarray
    weight: np.ndarray
    slot: np.ndarray

    @classmethod
    def of(
        cls, name: str, source: Input, slots: Slots, signs: list[int], dt_ms: float
    ) -> PoissonTerm:
        """The term of an input for which `is_one_to_one` holds; `signs` are those of the slots."""
        assert source.rate_Hz is not None
        synapses = source.synapses
        n = slots.receptor.shape[1]
        arrays = {key: np.zeros(n, dtype=np.int32) for key in ("source", "delay", "slot")}
        weight = np.zeros(n)
        arrays["source"][synapses.post] = synapses.pre
        arrays["delay"][synapses.post] = delay_steps(synapses.delay_ms, dt_ms, f"input {name!r}")
        arrays["slot"][synapses.post] = slots.of_receptor[synapses.post, synapses.receptor]
        weight[synapses.post] = synapses.weight * np.array(signs)[arrays["slot"][synapses.post]]
        return cls(name, source.rate_Hz * dt_ms / 1000, weight=weight, **arrays)

    def by_slot(self) -> list[tuple[int, np.ndarray]]:
        """The slots that it arrives in, each with its weights by neuron, 0 for none."""
        return [
            (k, np.where(self.slot == k, self.weight, 0.0)) for k in np.unique(self.slot).tolist()
        ]


@dataclass(frozen=True)
class Inline:
    """Code, equations, values and functions that the neurons' update needs for Poisson terms."""

    code: list[str] = field(default_factory=list)
    equations: list[str] = field(default_factory=list)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    namespace: dict[str, Any] = field(default_factory=dict)


def inline(terms: list[PoissonTerm], ports: list[str]) -> Inline:
    """For compiled code; `ports` are the variables that add up what arrives, by slot."""
    made = Inline()
    for p, term in enumerate(terms):
        made.code.append(
            f"c_{p} = int(t_in_timesteps > pd_{p}) * "
            f"poisson_{term.name}(key_hi_{p}, key_lo_{p}, ps_{p}, t_in_timesteps - pd_{p})"
        )
        made.equations.extend(f"{name}_{p} : integer (shared)" for name in ("key_hi", "key_lo"))
        made.equations.extend(f"{name}_{p} : integer (constant)" for name in ("ps", "pd"))
        made.arrays[f"ps_{p}"], made.arrays[f"pd_{p}"] = term.source, term.delay
        made.namespace[f"poisson_{term.name}"] = _count_function(term)
        for k, weights in term.by_slot():
            made.code.append(f"{ports[k]} = {ports[k]} + pw_{p}_{k}*c_{p}")
            made.equations.append(f"pw_{p}_{k} : 1")
            made.arrays[f"pw_{p}_{k}"] = weights
    return made


def operation(group: Any, clock: Any, term: PoissonTerm, ports: list[str], seed: int) -> Any:
    """Adds the toolkit's Poisson counts to the accumulators, drawn in chunks of steps."""
    import brian2 as b2

    key, chunk = poisson_key(seed, term.name), 64
    sources, row = np.unique(term.source, return_inverse=True)
    by_slot = [(f"{ports[k]}_", weights) for k, weights in term.by_slot()]
    delays = np.unique(term.delay[term.weight != 0])
    drawn: dict[int, np.ndarray] = {}

    def counts_of(step: int) -> np.ndarray:
        first = step // chunk * chunk
        if first not in drawn:
            for old in [f for f in drawn if f < first - chunk - int(delays.max(initial=0))]:
                del drawn[old]
            drawn[first] = poisson_counts(key, sources, np.arange(first, first + chunk), term.mean)
        return drawn[first][step - first][row] if step >= 1 else np.zeros(len(row), dtype=np.uint8)

    def add() -> None:
        step = int(clock.variables["timestep"].item())
        counts = np.zeros(len(row))
        for delay in delays:
            counts = np.where(term.delay == delay, counts_of(step - int(delay)), counts)
        for port, weights in by_slot:
            accumulator = getattr(group, port)
            accumulator[:] = accumulator[:] + weights * counts

    return b2.NetworkOperation(add, clock=clock, when="start", name=f"poisson_{term.name}")


def _count_function(term: PoissonTerm) -> Any:
    """The counter-based Poisson count as a Brian2 function for compiled code."""
    import brian2 as b2

    @b2.check_units(key_hi=1, key_lo=1, i=1, k=1, result=1)
    @b2.declare_types(
        key_hi="integer", key_lo="integer", i="integer", k="integer", result="integer"
    )
    def count(key_hi, key_lo, i, k):  # noqa: ARG001  Brian2 wants the names
        raise RuntimeError("the Poisson counts of a compiled device are not drawn in Python")

    name = f"poisson_{term.name}"
    function = b2.implementation("cpp", poisson_counts_cpp(name, term.mean))(count)
    on_gpu = poisson_counts_cpp(name, term.mean, cuda=True)
    function.implementations.add_implementation("cuda", on_gpu)
    return function
