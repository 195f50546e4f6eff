"""A `Network` of GLIF3 neurons as a handful of Brian2 objects.

One `NeuronGroup` with per-neuron parameter arrays, one `Synapses` object for each current slot of
each source, one `SpikeGeneratorGroup` for each external input, one `SpikeMonitor`.

A neuron has a *slot* for each kind of receptor that it actually has synapses of
(`converters.slots`): two, in V1 of the first generation, so four receptors cost two slots. A slot k
is an accumulator ``s_k`` of arriving weights and the two state variables ``y1`` and ``y2`` of each
of its currents: one, or two where a neuron's receptor is double-alpha. The discrete update is that
of NEST's ``glif_psc`` and ``glif_psc_double_alpha``, see `toolkit.neurons.glif3`; everything is
dimensionless in mV, pA and ms.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from converters.grid import delay_steps
from converters.slots import Slots, pack_receptors
from toolkit.network import Input, Network, Synapses
from toolkit.neurons import glif3
from toolkit.rng import poisson_counts_cpp


def is_one_to_one(source: Input) -> bool:
    """Whether no neuron has more than one synapse of this input."""
    return len(np.unique(source.synapses.post)) == len(source.synapses)


@dataclass(frozen=True)
class PoissonTerm:
    """A Poisson input with one synapse a neuron, evaluated inside the neurons' own update.

    Arrays of shape (neuron,): `source` number, `delay` in steps, `weight` in pA (0 for none),
    `slot`.
    """

    name: str
    mean: float
    source: np.ndarray
    delay: np.ndarray
    weight: np.ndarray
    slot: np.ndarray

    @classmethod
    def of(
        cls, name: str, source: Input, network: Network, slots: Slots, dt_ms: float
    ) -> PoissonTerm:
        """The term of an input for which `is_one_to_one` holds."""
        assert source.rate_Hz is not None
        synapses = source.synapses
        arrays = {key: np.zeros(network.n, dtype=np.int32) for key in ("source", "delay", "slot")}
        weight = np.zeros(network.n)
        arrays["source"][synapses.post] = synapses.pre
        arrays["delay"][synapses.post] = delay_steps(synapses.delay_ms, dt_ms, f"input {name!r}")
        arrays["slot"][synapses.post] = slots.of_receptor[synapses.post, synapses.receptor]
        weight[synapses.post] = synapses.weight
        return cls(name, source.rate_Hz * dt_ms / 1000, weight=weight, **arrays)

    def slot_weights(self, n_slots: int) -> np.ndarray:
        """Weights by slot, shape (slot, neuron)."""
        return np.where(self.slot == np.arange(n_slots)[:, None], self.weight, 0.0)


def update_code(
    slots: Slots, exponential: bool, terms: list[PoissonTerm], inline: bool
) -> list[str]:
    """The Brian2 abstract code of one step, in parts: the membrane's own, one a slot, the end.

    With `inline`, Poisson counts come from the compiled counter-based function; otherwise
    somebody else adds them to the accumulators ``s_k`` before the step.
    """
    # In parts, because a single loop over the hundred arrays of many slots is slow: to compile, and
    # to run, since it is not vectorised. With two slots it makes no difference.
    first = []
    for p, term in enumerate(terms):
        if inline:
            first.append(
                f"c_{p} = int(t_in_timesteps > pd_{p}) * "
                f"poisson_{term.name}(key_hi_{p}, key_lo_{p}, ps_{p}, t_in_timesteps - pd_{p})"
            )
    for k in range(slots.n):
        for p, term in enumerate(terms):
            if inline and (term.slot == k).any():
                first.append(f"s_{k} = s_{k} + pw_{p}_{k}*c_{p}")
    first += [
        "ok = int(r == 0)",
        "asum = am_1*asc_1 + am_2*asc_2",
        "an_1 = asc_1*ad_1",
        "an_2 = asc_2*ad_2",
        "asc_1 = ok*an_1 + (1 - ok)*asc_1",
        "asc_2 = ok*an_2 + (1 - ok)*asc_2",
        "Un = U*P33 + (I_ext + asum)*P30",
    ]
    parts = [first]
    for k in range(slots.n):
        code = []
        names = [current.name for current in slots.currents if current.slot == k]
        for c in names:
            code.append(f"y1_{c} = y1_{c} + in1_{c}*s_{k}")
            if exponential:
                code.append(f"y2_{c} = y2_{c} + in2_{c}*s_{k}")
            code += [
                f"Un = Un + (P31_{c}*y1_{c} + P32_{c}*y2_{c})",
                f"y2_{c} = P21_{c}*y1_{c} + P11_{c}*y2_{c}",
                f"y1_{c} = y1_{c}*P11_{c}",
            ]
        code.append(f"s_{k} = 0")
        parts.append(code)
    parts.append(["ok = int(r == 0)", "U = ok*Un + (1 - ok)*U", "r = r - (1 - ok)"])
    return ["\n".join(part) for part in parts]


def neuron_arrays(network: Network, slots: Slots, dt_ms: float) -> dict[str, np.ndarray]:
    """Values of the neuron group's constants and initial state, by variable name."""
    neurons = network.neurons
    step = glif3.propagators(neurons, dt_ms)
    arrays = {
        "P33": step.P33,
        "P30": step.P30,
        "U_th": step.U_th,
        "U_reset": step.U_reset,
        "r_steps": step.refractory_steps.astype(np.int32),
        "I_ext": neurons["I_ext_pA"] if "I_ext_pA" in neurons else np.zeros(network.n),
        "U": (neurons["V_init_mV"] - neurons["E_L_mV"])
        if "V_init_mV" in neurons
        else np.zeros(network.n),
    }
    for k in (1, 2):
        arrays[f"ad_{k}"] = step.asc_decay[k - 1]
        arrays[f"am_{k}"] = step.asc_mean[k - 1]
        arrays[f"ar_{k}"] = step.asc_after[k - 1]
        arrays[f"aj_{k}"] = neurons[f"asc_amp_{k}_pA"].astype(float)
    exponential = not all(current.alpha.all() for current in slots.currents)
    for current in slots.currents:
        P11, P31, P32 = glif3.alpha_propagators(
            neurons["C_m_pF"], neurons["g_nS"], current.tau_ms, dt_ms
        )
        constants = {
            "P11": P11,
            "P31": P31,
            "P32": P32,
            "P21": dt_ms * P11,
            "in1": np.where(current.alpha, np.e / current.tau_ms * current.peak, 0.0),
        }
        if exponential:
            constants["in2"] = np.where(current.alpha, 0.0, current.peak)
        for name, values in constants.items():
            arrays[f"{name}_{current.name}"] = np.where(current.peak > 0, values, 0.0)
    return arrays


@dataclass(frozen=True)
class Brian2Objects:
    """What `build` made: the Brian2 network and its parts by role."""

    net: Any
    neurons: Any
    spikes: Any
    inputs: dict[str, Any]
    voltage: Any
    terms: list[PoissonTerm]


def build(
    network: Network,
    clock: Any,
    dt_ms: float,
    sources: dict[str, tuple[np.ndarray, np.ndarray, int]],
    inline: bool,
    record_voltage: np.ndarray,
) -> Brian2Objects:
    """Make the Brian2 objects on the active device.

    Parameters
    ----------
    network : what to build
    clock : the Brian2 clock of all objects
    dt_ms : its step
    sources : for each external input, its spike steps, source ids and how many copies of its
        sources are needed (two spikes of a source in a step come from two copies)
    inline : evaluate Poisson terms in compiled code
    record_voltage : neurons whose potential is recorded
    """
    import brian2 as b2

    slots = pack_receptors(network)
    terms = [
        PoissonTerm.of(name, source, network, slots, dt_ms)
        for name, source in network.inputs.items()
        if source.rate_Hz is not None and is_one_to_one(source)
    ]
    arrays = neuron_arrays(network, slots, dt_ms)
    exponential = "in2_0" in arrays
    state = ["U", "Un", "asc_1", "asc_2", *(f"s_{k}" for k in range(slots.n))]
    state += [f"{y}_{current.name}" for current in slots.currents for y in ("y1", "y2")]
    equations = [f"{name} : 1" for name in state] + ["r : integer", "r_steps : integer (constant)"]
    equations += [
        f"{name} : 1 (constant)" for name in arrays if name not in (*state, "r", "r_steps")
    ]
    namespace: dict[str, Any] = {}
    if inline:
        for p, term in enumerate(terms):
            equations += [f"{name}_{p} : integer (shared)" for name in ("key_hi", "key_lo")]
            equations += [f"{name}_{p} : integer (constant)" for name in ("ps", "pd")]
            arrays[f"ps_{p}"], arrays[f"pd_{p}"] = term.source, term.delay
            for k, weights in enumerate(term.slot_weights(slots.n)):
                if (term.slot == k).any():
                    equations.append(f"pw_{p}_{k} : 1")
                    arrays[f"pw_{p}_{k}"] = weights
            namespace[f"poisson_{term.name}"] = _poisson_function(b2, term)
    group = b2.NeuronGroup(
        network.n,
        "\n".join(equations),
        threshold="U > U_th",
        reset="r = r_steps\nasc_1 = aj_1 + asc_1*ar_1\nasc_2 = aj_2 + asc_2*ar_2\nU = U_reset",
        namespace=namespace,
        clock=clock,
        name="neurons",
    )
    for part, code in enumerate(update_code(slots, exponential, terms, inline)):
        group.run_regularly(code, clock=clock, when="groups", order=part, name=f"step_{part}")
    for name, values in arrays.items():
        setattr(group, name, values)

    objects: list[Any] = [group]
    generators = {}
    for name, (steps, ids, copies) in sources.items():
        n = network.inputs[name].n
        # Brian2 stamps the start of the step, we (like NEST) its end: one step earlier.
        generators[name] = b2.SpikeGeneratorGroup(
            n * copies, ids, (steps - 1) * dt_ms * b2.ms, clock=clock, name=f"input_{name}"
        )
        objects.append(generators[name])
        synapses = network.inputs[name].synapses
        delays_ms = dt_ms * delay_steps(synapses.delay_ms, dt_ms, f"input {name!r}")
        for copy in range(copies):
            objects += _synapses(
                b2, generators[name], group, synapses, slots, delays_ms, f"{name}_{copy}", copy * n
            )
    delays_ms = dt_ms * delay_steps(network.synapses.delay_ms, dt_ms, "recurrent synapses")
    objects += _synapses(b2, group, group, network.synapses, slots, delays_ms, "recurrent")
    spikes = b2.SpikeMonitor(group, name="spikes")
    objects.append(spikes)
    voltage = None
    if len(record_voltage):
        voltage = b2.StateMonitor(
            group, "U", record=record_voltage, when="end", clock=clock, name="voltage"
        )
        objects.append(voltage)
    return Brian2Objects(b2.Network(*objects), group, spikes, generators, voltage, terms)


def _synapses(
    b2: Any,
    source: Any,
    target: Any,
    synapses: Synapses,
    slots: Slots,
    delays_ms: np.ndarray,
    name: str,
    offset: int = 0,
) -> list[Any]:
    """One Brian2 `Synapses` a slot, ordered by source so that a spike reads memory in a row."""
    slot = slots.of_receptor[synapses.post, synapses.receptor]
    made = []
    for k in np.unique(slot):
        rows = np.flatnonzero(slot == k)
        rows = rows[np.argsort(synapses.pre[rows], kind="stable")]
        pathway = b2.Synapses(
            source,
            target,
            "w : 1 (constant)",
            on_pre=f"s_{k}_post += w",
            clock=target.clock,
            name=f"synapses_{name}_{k}",
        )
        pathway.connect(i=synapses.pre[rows] + offset, j=synapses.post[rows])
        pathway.w = synapses.weight[rows].astype(float)
        pathway.delay = delays_ms[rows] * b2.ms
        made.append(pathway)
    return made


def _poisson_function(b2: Any, term: PoissonTerm) -> Any:
    """The counter-based Poisson count as a Brian2 function for compiled code."""

    @b2.check_units(key_hi=1, key_lo=1, i=1, k=1, result=1)
    @b2.declare_types(
        key_hi="integer", key_lo="integer", i="integer", k="integer", result="integer"
    )
    def count(key_hi, key_lo, i, k):  # noqa: ARG001  Brian2 wants the names
        raise RuntimeError("the Poisson counts of a compiled device are not drawn in Python")

    return b2.implementation("cpp", poisson_counts_cpp(f"poisson_{term.name}", term.mean))(count)
