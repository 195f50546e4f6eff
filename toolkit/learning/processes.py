"""Several processes that make each step of a training together, as `torchrun` starts them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist


@dataclass(frozen=True)
class Processes:
    """This process among those that train one network; alone by default.

    Attributes
    ----------
    rank : number of this one, 0 to n - 1; 0 writes and prints
    n : how many there are
    """

    rank: int = 0
    n: int = 1

    @property
    def first(self) -> bool:
        """Whether this one writes."""
        return self.rank == 0

    @property
    def share(self) -> tuple[int, int]:
        """Of every batch, as `Batches.epoch` takes it."""
        return self.rank, self.n

    def sum(self, values: torch.Tensor) -> torch.Tensor:
        """Add up the values of all processes, in place."""
        if self.n > 1:
            # NCCL sums on the GPU only.
            moved = values.cuda() if dist.get_backend() == "nccl" else values
            dist.all_reduce(moved)
            if moved is not values:
                values.copy_(moved)
        return values

    def from_first(self, value: Any) -> Any:
        """The first process's plain value, in all."""
        if self.n == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]


@contextmanager
def together() -> Iterator[Processes]:
    """The processes that `torchrun` started, connected (gloo, or NCCL with GPUs), else this one.

    On a GPU each process takes that of its number on the machine (``LOCAL_RANK``).
    """
    n = int(os.environ.get("WORLD_SIZE", "1"))
    if n == 1 or "RANK" not in os.environ:
        yield Processes()
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
    try:
        yield Processes(dist.get_rank(), n)
    finally:
        dist.destroy_process_group()
