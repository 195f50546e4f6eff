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

from converters import brian2_poisson, neuron_model
from converters.brian2_poisson import PoissonTerm, is_one_to_one
from converters.grid import delay_steps
from converters.nestml.group import constants, group_values, neuron_group
from converters.slots import pack_receptors
from toolkit.network import Network, Synapses


def neuron_values(network: Network, dt_ms: float) -> dict[str, np.ndarray]:
    """Constants and initial state of the neuron group by variable name: ``values`` of a run."""
    slots = pack_receptors(network)
    code = neuron_model.code(network, slots)
    both = constants(code, neuron_model.values(network, slots), dt_ms)
    of_neuron = group_values(code, both[0], network.n) | group_values(code, both[1], network.n)
    return {name: np.broadcast_to(value, network.n) for name, value in of_neuron.items()}


@dataclass(frozen=True)
class Brian2Objects:
    """What `build` made: the Brian2 network and its parts by role.

    `lag_steps` is how much later than its own a spike's step is (`converters.nestml.brian2_code`);
    `ports` are the variables that add up what arrives, by slot.
    """

    net: Any
    neurons: Any
    spikes: Any
    inputs: dict[str, Any]
    voltage: Any
    terms: list[PoissonTerm]
    ports: list[str]
    lag_steps: int


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
    code = neuron_model.code(network, slots)
    names = neuron_model.ports(network, slots)
    ports = [f"in_{port}" for port in names]
    sign = {port.name: port.sign or 1 for port in code.ports}
    signs = [sign[port] for port in names]
    terms = [
        PoissonTerm.of(name, source, slots, signs, dt_ms)
        for name, source in network.inputs.items()
        if source.rate_Hz is not None and is_one_to_one(source)
    ]
    extra = brian2_poisson.inline(terms, ports) if inline else brian2_poisson.Inline()
    group = neuron_group(
        code,
        network.n,
        neuron_model.values(network, slots),
        dt_ms=dt_ms,
        clock=clock,
        name="neurons",
        before=extra.code,
        equations=extra.equations,
        namespace=extra.namespace,
    )
    for name, values in extra.arrays.items():
        setattr(group, name, values)

    objects: list[Any] = [group]

    def connect(
        source: Any, synapses: Synapses, delays: np.ndarray, name: str, offset: int = 0
    ) -> None:
        """One Brian2 `Synapses` a slot.

        Ordered by source and delay: what one spike reads in one step stands in a row in memory.
        """
        slot = slots.of_receptor[synapses.post, synapses.receptor]
        for k in np.unique(slot).tolist():
            rows = np.flatnonzero(slot == k)
            rows = rows[np.lexsort((delays[rows], synapses.pre[rows]))]
            pathway = b2.Synapses(
                source,
                group,
                "w_syn : 1 (constant)",
                on_pre=f"{ports[k]}_post += w_syn",
                clock=clock,
                dtype={"w_syn": np.float32},  # as in the network: the sums are of doubles
                name=f"synapses_{name}_{k}",
            )
            pathway.connect(i=synapses.pre[rows] + offset, j=synapses.post[rows])
            pathway.w_syn = signs[k] * synapses.weight[rows]
            pathway.delay = delays[rows] * dt_ms * b2.ms
            objects.append(pathway)

    generators = {}
    for name, (steps, ids, copies) in sources.items():
        n, synapses = network.inputs[name].n, network.inputs[name].synapses
        # Brian2 stamps the start of the step, we (like NEST) its end: one step earlier.
        generators[name] = b2.SpikeGeneratorGroup(
            n * copies, ids, (steps - 1) * dt_ms * b2.ms, clock=clock, name=f"input_{name}"
        )
        objects.append(generators[name])
        delays = delay_steps(synapses.delay_ms, dt_ms, f"input {name!r}")
        for copy in range(copies):
            connect(generators[name], synapses, delays, f"{name}_{copy}", copy * n)
    delays = delay_steps(network.synapses.delay_ms, dt_ms, "recurrent synapses")
    connect(group, network.synapses, delays - code.lag_steps, "recurrent")
    spikes = b2.SpikeMonitor(group, name="spikes")
    objects.append(spikes)
    voltage = None
    if len(record_voltage):
        voltage = b2.StateMonitor(
            group,
            neuron_model.potential(network)[0],
            record=record_voltage,
            when="end",
            clock=clock,
            name="voltage",
        )
        objects.append(voltage)
    return Brian2Objects(
        b2.Network(*objects), group, spikes, generators, voltage, terms, ports, code.lag_steps
    )
