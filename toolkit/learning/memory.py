"""Whether a batch fits into memory, known before it is tried."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from toolkit.errors import InputError
from toolkit.learning.model import TrainableRates
from toolkit.tasks import Batches

_SLACK = 1.3  # over the arrays that are counted (our choice)
_CPU_MESSAGES = ("can't allocate memory", "not enough memory")  # of PyTorch's RuntimeErrors


def bytes_per_item(model: TrainableRates, data: Batches) -> float:
    """Memory that a step of training takes for an item, on average.

    Inputs of this batch and the next, and what the way back keeps of every step: rates, slopes and
    inputs, with the gradient of the rates.
    """
    dt_ms = data.dt_ms
    ends = [1 + task.timing.response(dt_ms).nonzero()[0][-1] for task in data.tasks]
    kept = 4 * float(np.mean(ends)) * (4 * model.n + 2 * data.n_channels)
    return _SLACK * (kept + 4 * 2 * data.n_steps * data.n_channels)


def available_bytes(device: torch.device) -> float | None:
    """Free memory of a device, None if that cannot be known."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            lines = dict(line.split(":") for line in file)
        return 1024 * float(lines["MemAvailable"].split()[0])
    except (OSError, KeyError, ValueError):
        return None


def check_batch(model: TrainableRates, data: Batches, batch_size: int) -> None:
    """`InputError` that names a batch size which fits, if this one does not."""
    free = available_bytes(model.connections.col.device)
    if free is not None and batch_size * bytes_per_item(model, data) > free:
        raise _too_large(model, data, batch_size, free)


@contextmanager
def explained_memory(model: TrainableRates, data: Batches, batch_size: int) -> Iterator[None]:
    """Turn an allocation that failed into the same `InputError`."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        ours = isinstance(error, MemoryError | torch.cuda.OutOfMemoryError)
        if not ours and not any(text in str(error) for text in _CPU_MESSAGES):
            raise
        free = available_bytes(model.connections.col.device)
        raise _too_large(model, data, batch_size, free) from error


def _too_large(
    model: TrainableRates, data: Batches, batch_size: int, free: float | None
) -> InputError:
    each = bytes_per_item(model, data)
    fits = batch_size // 2 if free is None else min(int(free / each), batch_size // 2)
    advice = f"a batch of {fits} would fit" if fits else "not even one item fits"
    has = "" if free is None else f", {free / 1e9:.2f} GB are free"
    return InputError(
        f"a batch of {batch_size} items does not fit into memory (it takes about "
        f"{each * batch_size / 1e9:.2f} GB{has}): {advice}; or take several processes (torchrun) "
        "or a smaller network"
    )
