"""`to_torch_spiking`: a network as spikes in PyTorch, with gradients through a surrogate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from converters.brian2_model import neuron_values
from converters.brian2_poisson import PoissonTerm, is_one_to_one
from converters.grid import delay_steps, poisson_key
from converters.slots import Slots, pack_receptors
from toolkit.errors import InputError
from toolkit.network import Network, Synapses
from toolkit.neurons.models import MODELS
from toolkit.rng import poisson_counts

LEVELS = (1, 3)  # of GLIF: those that trained networks are converted to
KERNELS = ("alpha", "exponential")
ASC = (1, 2)  # after-spike currents
# The surrogate, a triangle: half its width in units of the threshold's distance from rest, and its
# height per ms of a step. Our choice: with these, gradients of the mean rate of a column of 300
# neurons are those of finite differences (0.95 and 0.92 Hz/mV by currents, 1.90 and 1.94 Hz by a
# tenth of all weights); with the 1 and 0.3 of Bellec et al. 2018, 30 times as large by currents.
WIDTH, HEIGHT_PER_MS = 0.2, 0.2


def to_torch_spiking(
    network: Network, *, dt_ms: float = 1.0, dtype: torch.dtype = torch.float32
) -> SpikingCircuit:
    """Make a module of GLIF neurons whose weights and constant currents can be trained.

    The discrete update, the arrivals and the Poisson counts of the background are those of every
    other backend; in double precision the spikes are theirs, too.

    Parameters
    ----------
    network : of GLIF1 or GLIF3 neurons with alpha or exponential currents and one driven input
    dt_ms : time step. Time and memory are inverse to it; 1 ms is meant for training
    dtype : of states and weights

    Raises
    ------
    InputError : other neurons or receptors, several driven inputs, another kind of background

    Examples
    --------
    >>> from circuits import v1
    >>> circuit = to_torch_spiking(v1.column(300, seed=1))
    >>> circuit(torch.zeros(2, 50, 832), seeds=[1, 2]).shape
    torch.Size([2, 50, 300])
    """
    return SpikingCircuit(network, dt_ms, dtype)


class SpikingCircuit(nn.Module):
    """A network of GLIF neurons in steps of `dt_ms`; made by `to_torch_spiking`.

    Attributes
    ----------
    weight : peak currents of the recurrent synapses, in their order in the network, then of those
        of the driven input, pA
    current_pA : constant currents, (neuron,)
    """

    crow: Tensor
    col: Tensor
    row: Tensor
    order: Tensor
    crow_back: Tensor
    row_back: Tensor
    back: Tensor
    sign: Tensor

    def __init__(self, network: Network, dt_ms: float, dtype: torch.dtype):
        super().__init__()
        slots = _checked(network)
        driven = [name for name, each in network.inputs.items() if each.rate_Hz is None]
        self.network, self.dt_ms, self.source = network, dt_ms, driven[0]
        self.n, self.n_slots, self.n_channels = network.n, slots.n, network.inputs[driven[0]].n
        for name, value in neuron_values(network, dt_ms).items():
            if value.dtype.kind == "f":
                held = torch.tensor(value, dtype=dtype)[:, None]
            else:
                held = torch.tensor(value)[:, None]
            self.register_buffer(f"_{name}", held, persistent=False)
        into = network.inputs[driven[0]].synapses
        both = np.concatenate([network.synapses.weight, into.weight]).astype(float)
        self.weight = nn.Parameter(torch.tensor(both, dtype=dtype))
        columns = network.neurons
        current = columns["I_ext_pA"] if "I_ext_pA" in columns else np.zeros(network.n)
        self.current_pA = nn.Parameter(torch.tensor(current, dtype=dtype))
        self._connect(network.synapses, into, slots)
        self.terms = [
            PoissonTerm.of(name, each, slots, [1] * slots.n, dt_ms)
            for name, each in network.inputs.items()
            if each.rate_Hz is not None
        ]

    def _connect(self, recurrent: Synapses, into: Synapses, slots: Slots) -> None:
        """Rows are slot x neuron; columns delay x neuron, then delay x channel."""
        delays = [
            delay_steps(each.delay_ms, self.dt_ms, what)
            for each, what in ((recurrent, "recurrent synapses"), (into, "driven input"))
        ]
        self.delays, of = zip(*(np.unique(d, return_inverse=True) for d in delays), strict=True)
        first = len(self.delays[0]) * self.n
        row, col = [], []
        for each, delay, n, begin in (
            (recurrent, of[0], self.n, 0),
            (into, of[1], self.n_channels, first),
        ):
            slot = slots.of_receptor[each.post, each.receptor].astype(np.int64)
            row.append(slot * self.n + each.post)
            col.append(begin + delay.astype(np.int64) * n + each.pre)
        rows, cols = np.concatenate(row), np.concatenate(col)
        self.shape = (self.n_slots * self.n, first + len(self.delays[1]) * self.n_channels)
        order = np.lexsort((cols, rows))
        rows, cols = rows[order], cols[order]
        back = np.argsort(cols, kind="stable")
        kept = {
            "order": order, "row": rows, "col": cols, "back": back, "row_back": rows[back],
            "crow": np.searchsorted(rows, np.arange(self.shape[0] + 1)),
            "crow_back": np.searchsorted(cols[back], np.arange(self.shape[1] + 1)),
        }  # fmt: skip
        for name, values in kept.items():
            self.register_buffer(name, torch.from_numpy(values.astype(np.int64)), persistent=False)

    def forward(self, counts: Tensor, seeds: Sequence[int]) -> Tensor:
        """Spikes (item, step, neuron), 0 or 1, with surrogate gradients.

        Parameters
        ----------
        counts : spikes of the channels of the driven input, (item, step, channel)
        seeds : of the background, one an item

        Raises
        ------
        InputError : other shapes
        """
        if counts.ndim != 3 or counts.shape[2] != self.n_channels or len(seeds) != len(counts):
            raise InputError(
                f"counts (item, step, {self.n_channels}) and a seed an item are needed, got shape "
                f"{tuple(counts.shape)} and {len(seeds)} seeds"
            )
        v = {name[1:]: value for name, value in self.named_buffers() if name[0] == "_"}
        state = {name: v[name].expand(-1, len(counts)) for name in v if name in self._states(v)}
        x = counts.to(self.weight.dtype).permute(1, 2, 0)  # (step, channel, item)
        values, noise = self.weight[self.order], self._background(counts.shape[1], seeds)
        z: list[Tensor] = []
        for t in range(1, counts.shape[1] + 1):
            z.append(self._updated(state, v))
            before = [_at(z, t - int(d)) for d in self.delays[0]]
            before += [_at(x, t - int(d)) for d in self.delays[1]]
            arrived = _Arrivals.apply(values, torch.cat(before), self)
            slots = list(arrived.reshape(self.n_slots, self.n, -1))
            for k, amount in noise(t):
                slots[k] = slots[k] + amount
            for k, amount in enumerate(slots, start=1):
                if f"y_{k}" in state:
                    state[f"y_{k}"] = state[f"y_{k}"] + amount
                else:
                    state[f"y1_{k}"] = state[f"y1_{k}"] + v[f"jump_{k}"] * amount
        return torch.stack(z).permute(2, 0, 1)

    @staticmethod
    def _states(v: dict[str, Tensor]) -> set[str]:
        return {name for name in v if name in ("U", "r", "asc_1", "asc_2") or name[0] == "y"}

    def _updated(self, s: dict[str, Tensor], v: dict[str, Tensor]) -> Tensor:
        """One step of the neurons, `s` being changed; their spikes, (neuron, item)."""
        drive = self.current_pA[:, None]
        for k in ASC:
            if f"asc_{k}" in s:
                drive = drive + v[f"asc_M_{k}"] * s[f"asc_{k}"]
        free = s["U"] * v["P33"] + drive * v["P30"]
        for k in range(1, self.n_slots + 1):
            P11 = v[f"P11_{k}"]
            if f"y_{k}" in s:
                free = free + v[f"P32_{k}"] * s[f"y_{k}"]
                s[f"y_{k}"] = s[f"y_{k}"] * P11
            else:
                free = free + v[f"P31_{k}"] * s[f"y1_{k}"] + v[f"P32_{k}"] * s[f"y2_{k}"]
                s[f"y2_{k}"] = v[f"P21_{k}"] * s[f"y1_{k}"] + P11 * s[f"y2_{k}"]
                s[f"y1_{k}"] = P11 * s[f"y1_{k}"]
        ready = s["r"] == 0
        z = _Fire.apply((free - v["U_th"]) / v["U_th"].abs(), HEIGHT_PER_MS * self.dt_ms) * ready
        fired = z.detach() > 0
        for k in ASC:
            if f"asc_{k}" in s:
                run = s[f"asc_{k}"] * v[f"asc_P_{k}"]
                after = v[f"asc_amp_{k}"] + run * v[f"asc_after_{k}"]
                held = torch.where(ready, run, s[f"asc_{k}"])
                s[f"asc_{k}"] = torch.where(fired, after, held)
        s["U"] = torch.where(fired, v["U_reset"], torch.where(ready, free, s["U"]))
        waiting = torch.where(ready, s["r"], s["r"] - 1)
        s["r"] = torch.where(fired, v["refractory_steps"], waiting)
        return z

    def _background(self, n_steps: int, seeds: Sequence[int]) -> Any:
        """What arrives at the end of a step: slot and amounts (neuron, item)."""
        drawn = []
        for term in self.terms:
            sources, row = np.unique(term.source, return_inverse=True)
            counts = np.stack(
                [
                    poisson_counts(
                        poisson_key(seed, term.name), sources, np.arange(1, n_steps + 1), term.mean
                    )
                    for seed in seeds
                ],
                axis=2,
            )
            drawn.append((term, torch.from_numpy(counts), torch.from_numpy(row)))

        def arriving(t: int) -> list[tuple[int, Tensor]]:
            found = []
            for term, counts, row in drawn:
                for delay in np.unique(term.delay[term.weight != 0]).tolist():
                    if t - delay < 1:
                        continue
                    now = counts[t - delay - 1][row].to(self.weight.dtype)
                    for k, weights in term.by_slot():
                        of_delay = torch.from_numpy(np.where(term.delay == delay, weights, 0.0))
                        found.append((k, of_delay.to(now)[:, None] * now))
            return found

        return arriving


def _at(spikes: Any, step: int) -> Tensor:
    """Of a step counted from 1; nothing before."""
    first: Tensor = spikes[max(step, 1) - 1]
    return first if step >= 1 else torch.zeros_like(first)


class _Fire(torch.autograd.Function):
    """1 above 0; the derivative is taken as height max(0, 1 - |v| / WIDTH)."""

    @staticmethod
    def forward(ctx: Any, v: Tensor, height: float) -> Tensor:
        ctx.save_for_backward(v)
        ctx.height = height
        return (v > 0).to(v.dtype)

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor, None]:
        (v,) = ctx.saved_tensors
        return grad[0] * ctx.height * (1 - v.abs() / WIDTH).clamp(min=0), None


class _Arrivals(torch.autograd.Function):
    """Product of the sparse matrix of weights with spikes, (column, item) to (row, item)."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, spikes: Tensor, circuit: SpikingCircuit) -> Tensor:
        ctx.save_for_backward(values, spikes)
        ctx.circuit = circuit
        return _csr(circuit.crow, circuit.col, values, circuit.shape) @ spikes

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor, Tensor, None]:
        values, spikes = ctx.saved_tensors
        c, (g,) = ctx.circuit, grad
        into = _csr(c.crow_back, c.row_back, values[c.back], c.shape[::-1]) @ g
        of_weight = torch.zeros_like(values)
        for item in range(g.shape[1]):  # spikes are few: most products are 0, and left out
            there = spikes[:, item].nonzero()[:, 0]
            begin = c.crow_back[there]
            n = c.crow_back[there + 1] - begin
            first = torch.repeat_interleave(begin - n.cumsum(0) + n, n)
            at = first + torch.arange(len(first), device=first.device)
            amount = torch.repeat_interleave(spikes[there, item], n)
            of_weight.index_add_(0, c.back[at], g[c.row_back[at], item] * amount)
        return of_weight, into, None


def _csr(crow: Tensor, col: Tensor, values: Tensor, shape: tuple[int, int]) -> Tensor:
    return torch.sparse_csr_tensor(crow, col, values, shape, check_invariants=False)


def _checked(network: Network) -> Slots:
    slots = pack_receptors(network)
    if MODELS[network.model].level not in LEVELS:
        raise InputError(f"GLIF1 or GLIF3 neurons are needed, this network has {network.model}")
    if not set(slots.kernels) <= set(KERNELS):
        raise InputError(f"receptors must be {' or '.join(KERNELS)}, these are {slots.kernels}")
    driven = [name for name, each in network.inputs.items() if each.rate_Hz is None]
    if len(driven) != 1:
        raise InputError(f"one driven input is needed, this network has {driven or 'none'}")
    for name, each in network.inputs.items():
        if each.rate_Hz is not None and not is_one_to_one(each):
            raise InputError(f"the background {name!r} must have one synapse a neuron at most")
    return slots
