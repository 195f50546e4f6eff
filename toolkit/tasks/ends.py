"""Batches divided by when their answers are read."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from toolkit.tasks.batches import Batch


def rows_by_response_end(response: torch.Tensor) -> Iterator[tuple[int, torch.Tensor]]:
    """Numbers of steps up to the end of a response window, and the items that need as many.

    Parameters
    ----------
    response : bool (item, step), with a step in each item

    >>> windows = torch.tensor([[False, False, True], [True, False, False], [False, False, True]])
    >>> [(end, rows.tolist()) for end, rows in rows_by_response_end(windows)]
    [(1, [1]), (3, [0, 2])]
    """
    steps = torch.arange(1, response.shape[1] + 1, device=response.device)
    ends = (response * steps).amax(dim=1)
    for end in ends.unique().tolist():
        yield end, torch.nonzero(ends == end).flatten()


def by_response_end(batch: Batch) -> Iterator[Batch]:
    """The items of a batch whose response windows end together, with inputs up to there.

    Nothing later can change an answer: of trials of 600 ms, 200 ms are enough for single pictures.

    >>> from toolkit.tasks import Batches, fine_orientation, visual_change
    >>> data = Batches([fine_orientation(), visual_change("photographs")])
    >>> whole = next(data.epoch("test", batch_size=8))
    >>> [tuple(part.inputs.shape) for part in by_response_end(whole)]
    [(4, 40, 832), (4, 110, 832)]
    """
    for end, rows in rows_by_response_end(batch.response):
        yield Batch(
            batch.inputs.transpose(0, 1)[:end, rows].transpose(0, 1),  # steps stay first in memory
            batch.targets[rows],
            batch.response[rows, :end],
            batch.task[rows],
        )
