"""What a network answers, and how often it is right."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch

from toolkit.learning.losses import Readout
from toolkit.learning.model import TrainableRates
from toolkit.learning.processes import Processes
from toolkit.tasks import Batch, Batches
from toolkit.tasks.ends import rows_by_response_end

Z_95 = 1.959964  # of the standard normal distribution


@dataclass(frozen=True, eq=False)
class Answer:
    """What a network made of a batch.

    evidence_Hz : (item, answer), as of `Batches.evidence_Hz`
    rate_sum_Hz : rates summed over all items and steps that were run, (neuron,)
    n_item_steps : how many those are
    groups : items that were run together: their rows in the batch, and their rates (item, step,
        neuron) in Hz, which must not be written to
    """

    evidence_Hz: torch.Tensor
    rate_sum_Hz: torch.Tensor
    n_item_steps: int
    groups: tuple[tuple[torch.Tensor, torch.Tensor], ...]

    @property
    def mean_rates_Hz(self) -> torch.Tensor:
        """Mean over items and steps, Hz, (neuron,)."""
        return self.rate_sum_Hz / self.n_item_steps


def answer(
    model: TrainableRates,
    data: Batches,
    batch: Batch,
    noise_pA: torch.Tensor | None = None,
    counting: tuple[float, torch.Generator] | None = None,
) -> Answer:
    """Run the network on a batch, each item up to the end of its own response window.

    Later steps cannot change the answer; items are run together with those that end with them (of
    the default tasks after 40 and 110 of 120 steps).

    Parameters
    ----------
    model, data : network and tasks
    batch : of `data`, on the model's device
    noise_pA : as of `TrainableRates.forward`, (step or 1, neuron or 1, item of the batch)
    counting : input channels and pools are read as if spikes of their cells were counted, Poisson
        and independent: normal numbers of a generator, with this share of the standard deviations
        sqrt(rate / (cells x step)) of a channel and sqrt(rate / (members x window)) of a pool
    """
    groups: list[tuple[torch.Tensor, torch.Tensor]] = []
    pool_rates: torch.Tensor | None = None
    total: torch.Tensor | None = None
    n_item_steps = 0
    for end, rows in rows_by_response_end(batch.response):
        inputs = batch.inputs.transpose(0, 1)[:end, rows].transpose(0, 1)
        if counting is not None:
            inputs = _counted(inputs, model.cells_per_channel * data.dt_ms / 1000, *counting)
        noise = None if noise_pA is None else noise_pA[:, :, rows]
        rates = model(inputs, noise_pA=noise)
        window = batch.response[rows, :end]
        pools = model.pool_rates(rates, window)
        if counting is not None:
            cells_s = window.sum(1, keepdim=True) * (data.dt_ms / 1000) * model.pools.shape[1]
            pools = _counted(pools, cells_s, *counting)
        if pool_rates is None:
            pool_rates = pools.new_zeros((len(batch), pools.shape[1]))
        pool_rates = pool_rates.index_copy(0, rows, pools)
        summed = rates.sum((0, 1))
        total = summed if total is None else total + summed
        n_item_steps += len(rows) * end
        groups.append((rows, rates.detach()))
    assert pool_rates is not None and total is not None  # a batch has an item
    evidence = data.evidence_Hz(pool_rates, batch.task)
    return Answer(evidence, total, n_item_steps, tuple(groups))


def _counted(
    rates_Hz: torch.Tensor, cells_s: torch.Tensor | float, share: float, generator: torch.Generator
) -> torch.Tensor:
    """Rates with the noise of spikes counted in so many cells times seconds."""
    sd = (rates_Hz.detach().clamp(min=0) / cells_s).sqrt()
    noise = torch.randn(rates_Hz.shape, generator=generator, device=rates_Hz.device)
    return rates_Hz + share * sd * noise


class Counts:
    """Items, right answers and losses by task, and rates: sums that batches are added to.

    Parameters
    ----------
    n_tasks, n_neurons : sizes
    """

    def __init__(self, n_tasks: int, n_neurons: int):
        self.of_tasks = torch.zeros(3, n_tasks, dtype=torch.float64)
        self.rates = torch.zeros(n_neurons + 1, dtype=torch.float64)  # the last: item-steps

    def add(self, found: Answer, batch: Batch, losses: torch.Tensor) -> None:
        """Count a batch, with the loss of each item."""
        right = (found.evidence_Hz.argmax(1) == batch.targets).double()
        each = torch.stack([torch.ones_like(right), right, losses.detach().double()])
        self.of_tasks.index_add_(1, batch.task.cpu(), each.cpu())
        self.rates[:-1] += found.rate_sum_Hz.detach().cpu()
        self.rates[-1] += found.n_item_steps

    def add_all(self, other: Counts) -> None:
        """Add what another one counted."""
        self.of_tasks += other.of_tasks
        self.rates += other.rates

    def summed(self, processes: Processes) -> Counts:
        """Itself, with what all processes counted together."""
        processes.sum(self.of_tasks)
        processes.sum(self.rates)
        return self

    @property
    def mean_rates_Hz(self) -> np.ndarray:
        """Mean over items and steps, (neuron,)."""
        return (self.rates[:-1] / self.rates[-1].clamp(min=1)).numpy()

    def scores(self, names: Iterable[str]) -> dict[str, tuple[int, float, float]]:
        """Items, accuracy and mean loss of each task, and of ``"all"``."""
        columns = dict(zip(names, self.of_tasks.T.tolist(), strict=True))
        columns["all"] = self.of_tasks.sum(1).tolist()
        return {
            name: (int(n), right / max(n, 1), loss / max(n, 1))
            for name, (n, right, loss) in columns.items()
        }


@torch.no_grad()
def evaluate(
    model: TrainableRates,
    data: Batches,
    split: str,
    *,
    readout: Readout | None = None,
    batch_size: int = 64,
    max_items: int | None = None,
    counting: bool = False,
    processes: Processes | None = None,
) -> Counts:
    """Answers to the items of a split, counted.

    Parameters
    ----------
    model, data : network and tasks
    split : ``"validation"`` or ``"test"``; ``"train"`` gives items of epoch 0
    readout : for the losses; gains at their start by default
    batch_size : items at a time
    max_items : only the first so many (whole batches), all by default
    counting : with the noise of counted spikes (`answer`), always the same
    processes : that share the work

    Raises
    ------
    InputError : an unknown split
    """
    processes = processes or Processes()
    device = model.connections.col.device
    readout = readout or Readout(len(data.tasks)).to(device)
    counts, done = Counts(len(data.tasks), model.n), 0
    noise = (1.0, torch.Generator(device).manual_seed(processes.rank)) if counting else None
    for batch in data.epoch(split, batch_size, share=processes.share):
        if max_items is not None and done >= max_items:
            break
        batch = batch.to(device)
        found = answer(model, data, batch, counting=noise)
        counts.add(found, batch, readout.losses(found.evidence_Hz, batch.targets, batch.task))
        done += batch_size
    return counts.summed(processes)


def wilson_interval(right: int, n: int, z: float = Z_95) -> tuple[float, float]:
    """95 % interval of a probability of which `right` of `n` were seen (Wilson 1927).

    >>> low, high = wilson_interval(4200, 6000)
    >>> f"{low:.4f} {high:.4f}"
    '0.6883 0.7115'
    """
    p, each = right / n, z * z / n
    middle = (p + each / 2) / (1 + each)
    half = z / (1 + each) * math.sqrt(p * (1 - p) / n + each / (4 * n))
    return max(0.0, middle - half), min(1.0, middle + half)
