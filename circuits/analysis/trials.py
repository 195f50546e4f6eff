"""Test items through a trained network, and how many of them are answered right."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from circuits.training.setup import Prepared
from toolkit.errors import InputError
from toolkit.learning import TrainableRates
from toolkit.scan import scan
from toolkit.tasks import Batch, Batches
from toolkit.tasks.ends import by_response_end

ITEMS_AT_ONCE = 64  # of a task


def presented(data: Batches, n_items: int, split: str = "test") -> Iterator[Batch]:
    """At least the first `n_items` items of each task, or all there are, always the same ones.

    Each batch is one of `toolkit.tasks.ends.by_response_end`.

    Parameters
    ----------
    data : tasks and their inputs
    n_items : of a task
    split : of the items

    Raises
    ------
    InputError : n_items below 1, an unknown split
    """
    if n_items < 1:
        raise InputError(f"n_items must be 1 or more, got {n_items}")
    n_tasks = len(data.tasks)
    n_items = min(n_items, data.n_items(split) // n_tasks)
    n_batches = -(-n_items // ITEMS_AT_ONCE)
    size = -(-n_items // n_batches) * n_tasks
    for _, batch in zip(range(n_batches), data.epoch(split, batch_size=size), strict=False):
        yield from by_response_end(batch)


@torch.no_grad()
def respond(
    model: TrainableRates,
    batch: Batch,
    *,
    weights: torch.Tensor | None = None,
    noise_pA: torch.Tensor | None = None,
) -> torch.Tensor:
    """Rates of all steps, Hz, (item, step, neuron), with other weights or noise if they are given.

    `weights` are all of them, pA/Hz, as `TrainableRates.weights` gives them; the model itself is
    not changed. `noise_pA` is that of `toolkit.scan.scan`.
    """
    return scan(
        model.connections,
        model.system,
        model.weights() if weights is None else weights,
        model.constant_pA,
        batch.inputs,
        noise_pA=noise_pA,
        backend=model.backend,
    )


@torch.no_grad()
def right(model: TrainableRates, data: Batches, batch: Batch, rates_Hz: torch.Tensor) -> np.ndarray:
    """Whether each item of a batch is answered right, bool (item,)."""
    evidence = data.evidence_Hz(model.pool_rates(rates_Hz, batch.response), batch.task)
    return (evidence.argmax(dim=1) == batch.targets).cpu().numpy()


@torch.no_grad()
def start_weights(trained: Prepared) -> torch.Tensor:
    """The weights before training, pA/Hz, in the order of `TrainableRates.weights`."""
    model, parts = trained.model, []
    for name, weights in (("recurrent", model.recurrent), ("from_inputs", model.from_inputs)):
        kept = trained.start[f"{name}.trained"]
        parts.append(weights.sign * kept.exp() if weights.constraint == "log" else kept)
    return torch.cat(parts)[model.from_channel]


def by_task(batches: list[tuple[np.ndarray, np.ndarray]], n_tasks: int) -> list[np.ndarray]:
    """What was found for items, (item, ...), put together by task.

    Parameters
    ----------
    batches : number of the task of each item and what was found for it, batch by batch
    n_tasks : number of tasks
    """
    task = np.concatenate([tasks for tasks, _ in batches])
    found = np.concatenate([each for _, each in batches])
    return [found[task == number] for number in range(n_tasks)]
