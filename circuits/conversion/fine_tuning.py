"""`fine_tune`: the weights and currents of a converted network, trained through its own spikes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call

from circuits.analysis.trials import respond
from circuits.conversion.calibration import COLUMN as CURRENT
from circuits.training.setup import Prepared
from converters.conversion.replicas import COLUMN
from converters.torch_spiking import to_torch_spiking
from toolkit.errors import InputError, SimulationError
from toolkit.network import Network
from toolkit.progress import bar
from toolkit.table import Table
from toolkit.tasks import Batch, Batches

BIN_MS, PAUSE_MS = 50.0, 100.0  # of rates; of grey before an item. Our choices
UNIT_MV = 20.0  # of currents, about the distance of threshold: a step of both changes is alike
LEAST_HZ = 1.0  # errors of neurons with lower rates are weighted as if they had this one
HELD_OUT_ITEMS = 32
FIRST_DRAW = 1000  # of spikes in training; those before are of validation items
MAX_GRADIENT = 1.0  # norm; longer ones are shortened


@dataclass(frozen=True, eq=False)
class FineTuned:
    """A converted network after training through its spikes.

    network : with the weights and constant currents that had the least error on validation items;
        signs are those before
    weight : these weights, pA, of recurrent and then of driven synapses; ``current_pA`` : (neuron,)
    steps : a row a step: ``step``; ``error``, the mean over items, bins and neurons of the squared
        difference of expected rates, in units of the neuron's mean rate (`rate_loss`), before the
        step; ``held_out_error``, that of validation items, NaN between looks
    """

    network: Network
    weight: np.ndarray
    current_pA: np.ndarray
    steps: Table


def fine_tune(
    trained: Prepared,
    network: Network,
    *,
    steps: int = 50,
    items: int = 8,
    dt_ms: float = 0.25,
    learning_rate: float = 0.005,
    held_ms: float | None = None,
    look_every: int = 10,
    seed: int = 0,
    show_progress: bool | None = None,
) -> FineTuned:
    """Pull the rates of spikes to those of the rate network, by surrogate gradients.

    Weights are w exp(theta), so that their signs stay, and currents I + g u 20 mV; Adam changes
    theta and u. A step shows training items twice, with other spikes of input and background, and
    makes `rate_loss` smaller.

    Parameters
    ----------
    trained : the rate network and its tasks
    network : of `converters.to_spiking` with one neuron a unit, calibrated or not
    steps : of the optimiser
    items : of a step
    dt_ms : of the spikes in training; errors of a step longer than that of the later simulation
        would be trained away with the others
    learning_rate : of Adam, for theta and u
    held_ms : the last stimulus stays on until a window of this width ends; by default items are
        those of training
    look_every : steps between looks at validation items; what has the least error there is kept,
        and that may be the network as it was
    seed : of items and spikes

    Raises
    ------
    InputError : several neurons a unit, numbers out of range
    SimulationError : a loss that is not finite

    Source: Bellec et al. 2018, NeurIPS 31 (surrogate); the loss is our choice.
    """
    if COLUMN in network.neurons and network.n != trained.network.n:
        raise InputError("one spiking neuron for each rate unit is needed: replicas=1")
    if min(steps, items, look_every) < 1 or not learning_rate > 0:
        raise InputError(
            "steps, items and look_every must be 1 or more and learning_rate above 0; got "
            f"{steps}, {items}, {look_every}, {learning_rate}"
        )
    circuit = to_torch_spiking(network, dt_ms=dt_ms)
    start = {name: value.detach().clone() for name, value in circuit.named_parameters()}
    unit_pA = UNIT_MV * torch.tensor(network.neurons["g_nS"], dtype=torch.float32)
    theta = torch.zeros_like(start["weight"], requires_grad=True)
    u = torch.zeros_like(start["current_pA"], requires_grad=True)
    optimiser = torch.optim.Adam([theta, u], lr=learning_rate)
    data = trained.data if held_ms is None else trained.data.held(held_ms)
    cells = network.provenance["to_spiking"]["cells_per_channel"]

    def error(batch: Batch, draw: int) -> Tensor:
        target = _in_bins(torch.as_tensor(respond(trained.model, batch)), trained.model.dt_ms)
        now = {
            "weight": start["weight"] * theta.exp(),
            "current_pA": start["current_pA"] + unit_pA * u,
        }
        counts, grey = _counts(batch.inputs, cells, data.dt_ms, dt_ms, draw)
        seeds = [draw * 2 * items + k for k in range(len(counts))]
        spikes = functional_call(circuit, now, (counts, seeds))
        first, second = _in_bins(spikes[:, grey:] * (1000 / dt_ms), dt_ms).chunk(2)
        return rate_loss(first, second, target)

    @torch.no_grad()
    def held_out() -> float:
        batches = islice(data.epoch("validation", items), -(-HELD_OUT_ITEMS // items))
        return float(np.mean([error(batch, k).item() for k, batch in enumerate(batches)]))

    weight, current, least, rows = np.empty(0), np.empty(0), np.inf, []
    with bar(steps, "fine-tuning", " steps", show_progress) as progress:
        for step, batch in zip(range(steps + 1), _batches(data, items, seed), strict=False):
            away = held_out() if step % look_every == 0 or step == steps else np.nan
            if away < least:
                least = away
                weight = (start["weight"] * theta.exp()).detach().numpy()
                current = (start["current_pA"] + unit_pA * u).detach().double().numpy()
            rows.append({"step": step, "error": np.nan, "held_out_error": away})
            if step == steps:
                break
            loss = error(batch, FIRST_DRAW + seed * steps + step)
            if not torch.isfinite(loss):
                raise SimulationError(
                    f"step {step}: the loss is {loss.item()}; a lower learning rate helps"
                )
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_([theta, u], MAX_GRADIENT)
            optimiser.step()
            rows[-1]["error"] = loss.item()
            progress.update(1)
            progress.set_postfix_str(f"error {loss.item():.3f}, held out {least:.3f}")
    history = Table({name: [row[name] for row in rows] for name in rows[0]})
    return FineTuned(with_weights(network, weight, current), weight, current, history)


def rate_loss(first_Hz: Tensor, second_Hz: Tensor, expected_Hz: Tensor) -> Tensor:
    """Squared error of expected rates from two trials, each (item, bin, neuron): no noise in it.

    mean of (y_1 - x)(y_2 - x) over items and bins, divided by the neuron's mean x, at least 1 Hz;
    mean over neurons. The trials are independent, so that what makes them vary costs nothing; the
    square of one would reward silence.
    """
    each = ((first_Hz - expected_Hz) * (second_Hz - expected_Hz)).mean(dim=(0, 1))
    return (each / expected_Hz.mean(dim=(0, 1)).clamp(min=LEAST_HZ)).mean()


def _batches(data: Batches, items: int, seed: int) -> Iterator[Batch]:
    for epoch in count():
        yield from data.epoch("train", items, seed=seed, epoch=epoch)


def _counts(
    inputs_Hz: Tensor, cells: int, input_dt_ms: float, dt_ms: float, seed: int
) -> tuple[Tensor, int]:
    """Spikes of the channels' cells, each item twice, after grey; and the steps of grey."""
    n_grey, each = round(PAUSE_MS / dt_ms), round(input_dt_ms / dt_ms)
    rates = inputs_Hz.repeat_interleave(each, dim=1)
    rates = torch.cat([rates[:, :1].expand(-1, n_grey, -1), rates], dim=1).repeat(2, 1, 1)
    generator = torch.Generator().manual_seed(seed)
    return torch.poisson(cells * rates * (dt_ms / 1000), generator), n_grey


def _in_bins(rates_Hz: Tensor, dt_ms: float) -> Tensor:
    """Means in bins, (item, bin, neuron); a part of a bin at the end is left out."""
    n = round(BIN_MS / dt_ms)
    whole = rates_Hz.shape[1] // n
    return rates_Hz[:, : whole * n].reshape(len(rates_Hz), whole, n, -1).mean(dim=2)


def with_weights(network: Network, weight: np.ndarray, current_pA: np.ndarray) -> Network:
    """The network with other weights of recurrent and driven synapses, and other currents, pA."""
    source = next(name for name, each in network.inputs.items() if each.rate_Hz is None)
    driven, n = network.inputs[source], len(network.synapses)
    into = dataclasses.replace(driven.synapses, weight=weight[n:])
    columns = {name: network.neurons[name] for name in network.neurons}
    return network.replace(
        neurons=Table({**columns, CURRENT: current_pA}),
        synapses=dataclasses.replace(network.synapses, weight=weight[:n]),
        inputs={**network.inputs, source: dataclasses.replace(driven, synapses=into)},
    )
