"""What a brian2cuda program takes of a GPU, before it is compiled: memory, and launches a step.

All figures here are derived from brian2cuda's templates, not measured on a card.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from converters.brian2_model import Brian2Objects
from converters.brian2_poisson import is_one_to_one
from converters.cuda_system import Card
from converters.grid import delay_steps
from converters.slots import pack_receptors
from toolkit.errors import SimulationError
from toolkit.network import Network

# Bytes of a synapse on the card (templates objects.cu, synapses_create_array.cu and
# synapses_push_spikes.cu). Always: the arrays it was made of (source, target), target, weight
# (float) and its number in the order of delivery. While the program starts: source and delay.
SYNAPSE_BYTES, SYNAPSE_START_BYTES = 8 + 4 + 4 + 4, 4 + 8
# Of a bundle, the synapses of a source with one delay: their number, where they begin, the delay;
# and of each source of a pathway where its bundles begin, and how many synapses it has.
BUNDLE_BYTES, SOURCE_BYTES = 12, 8
# In a queue a bundle is one number; queues grow by doubling, the old one is freed after copying,
# and the heap they lie on fragments: four times as much (our choice).
QUEUE_BYTES = 4 * 4
# What CUDA takes itself: code, stack, the thrust and cuRAND libraries (our choice, generous).
CONTEXT_MB = 600.0
MIN_HEAP_MB = 128  # brian2cuda's default
MARGIN = 1.1

# Of one kernel launch and of one copy to the host that is waited for, microseconds. Textbook
# figures of current cards and drivers (our choice until measured).
LAUNCH_US, COPY_US = 5.0, 10.0
# Of a step of the compiled C++ simulation, ns a neuron: 7.5 (3k) to 12 (52k) on one core (README).
CPU_NS = 10.0


@dataclass(frozen=True)
class Memory:
    """Derived memory on the card, MB (10^6 bytes).

    Attributes
    ----------
    synapses : recurrent and of inputs, at the most while the program starts
    bundles : of the lists by source and delay
    neurons : their variables
    heap : for the queues of spikes under way; brian2cuda reserves it at the start
    context : what CUDA takes itself

    >>> print(Memory(synapses=15.5, bundles=3, neurons=1.5, heap=128))
    748 MB (derived: synapses 16, their lists 3, neurons 2, queues 128, CUDA 600)
    """

    synapses: float
    bundles: float
    neurons: float
    heap: int
    context: float = CONTEXT_MB

    @property
    def total(self) -> float:
        """All of it, MB."""
        return self.synapses + self.bundles + self.neurons + self.heap + self.context

    def __str__(self) -> str:
        parts = f"synapses {self.synapses:,.0f}, their lists {self.bundles:,.0f}, "
        parts += f"neurons {self.neurons:,.0f}, queues {self.heap:,}, CUDA {self.context:,.0f}"
        return f"{self.total:,.0f} MB (derived: {parts})"


def memory(network: Network, dt_ms: float, neuron_bytes: int) -> Memory:
    """The memory that `network` takes on a card; recorded spikes come on top, 12 bytes each.

    Bundles are counted from above: a source has no more than it has synapses, nor than there are
    delays in its pathway. `neuron_bytes` are those of one neuron's variables.
    """
    slots = pack_receptors(network)
    n_synapses = n_bundles = n_sources = 0
    delivered = [
        (source.n, source.synapses)
        for source in network.inputs.values()
        if source.rate_Hz is None or not is_one_to_one(source)  # else drawn in the update
    ]
    for n, synapses in [(network.n, network.synapses), *delivered]:
        slot = slots.of_receptor[synapses.post, synapses.receptor]
        with warnings.catch_warnings():  # of delays off the grid: said where they are rounded
            warnings.simplefilter("ignore")
            delay = delay_steps(synapses.delay_ms, dt_ms, "")
        for k in np.unique(slot):
            inside = slot == k
            count, delays = int(inside.sum()), len(np.unique(delay[inside]))
            n_synapses, n_sources = n_synapses + count, n_sources + n
            n_bundles += min(count, n * delays)
    return Memory(
        synapses=n_synapses * (SYNAPSE_BYTES + SYNAPSE_START_BYTES) / 1e6,
        bundles=(n_bundles * BUNDLE_BYTES + n_sources * SOURCE_BYTES) / 1e6,
        neurons=network.n * neuron_bytes / 1e6,
        heap=max(MIN_HEAP_MB, int(np.ceil(n_bundles * QUEUE_BYTES / 1e6))),
    )


def neuron_bytes(objects: Brian2Objects) -> int:
    """Bytes of one neuron's variables on the card."""
    group = objects.neurons
    arrays = {
        id(v): v.size * np.dtype(v.dtype).itemsize
        for v in group.variables.values()
        if getattr(v, "array", False) and np.ndim(v.size) == 0 and v.size
    }
    return int(np.ceil(sum(arrays.values()) / group.N))


def check_fits(needed: Memory, card: Card | None) -> None:
    """Raise `SimulationError` if the card has less memory free; without a card nothing is known."""
    if card is None or needed.total * MARGIN <= card.free_MB * 1.048576:
        return
    raise SimulationError(
        f"the network needs about {needed} on the GPU and a tenth more to spare, but {card.name} "
        f"has {card.free_MB * 1.048576:,.0f} of {card.total_MB * 1.048576:,.0f} MB free: end what "
        "else runs on it, use a card with more memory, a smaller circuit, or "
        "device='cpp_standalone'"
    )


def launches(sources: Iterable[Path]) -> tuple[int, int]:
    """Kernel launches of a step, and copies to the host that it waits for, in generated code."""
    n_launches = n_copies = 0
    once = ("before_run_", "after_run_")
    for file in sources:
        if file.parent.name != "code_objects" or file.name.startswith(once):
            continue
        if "synapses_create" in file.name:
            continue
        text = file.read_text(encoding="utf-8")
        n_launches += text.count("<<<")
        if not file.name.endswith("_pre_codeobject.cu"):  # whose copy is for equal delays only
            n_copies += text.count("cudaMemcpyDeviceToHost")
    return n_launches, n_copies


def advise(network: Network, n_launches: int, n_copies: int) -> None:
    """Warn of a network so small that starting the kernels takes longer than a CPU's whole step."""
    gpu_us = n_launches * LAUNCH_US + n_copies * COPY_US
    cpu_us = network.n * CPU_NS / 1000
    if cpu_us >= gpu_us:
        return
    warnings.warn(
        f"{network.n:,} neurons are few for a GPU: a step starts {n_launches} kernels and waits "
        f"for {n_copies} copies, at least {gpu_us:.0f} us at any size; one CPU core does all of "
        f"it in about {cpu_us:.0f} us. device='cpp_standalone' will be faster; a GPU gains from "
        f"some {gpu_us * 1000 / CPU_NS:,.0f} neurons (derived, not measured on a card)",
        stacklevel=2,
    )
