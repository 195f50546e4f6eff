"""`wire`: synapses drawn block of targets by block of targets, in any order and by any threads.

Each block of 1,024 consecutive targets of a group (a class, a population) is drawn from random
streams of its own, named by group and block. A block's synapses depend on nothing else, and blocks
are put together in the order of the targets, so that the circuit is the same whatever is drawn
first or beside it, and is sorted by target without a sort of the whole.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from toolkit import progress
from toolkit.network import Synapses

BLOCK = 1024  # part of what a seed means: another number would give other circuits
# Synapses put together at a time: pieces this large go back to the system when they are freed.
CHUNK = 2**22
DTYPES = (np.int32, np.int32, np.float32, np.float32, np.uint8)
# pre, post, weight (pA), delay (ms), receptor, each of shape (synapse,); sorted by (post, pre)
Part = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def wire(
    groups: Sequence[np.ndarray],
    draw: Callable[[int, int, np.ndarray], Sequence[Part]],
    *,
    workers: int | None = None,
    show_progress: bool | None = None,
) -> Synapses:
    """The synapses onto all targets.

    Parameters
    ----------
    groups : the targets of each group: consecutive numbers, group after group
    draw : of group, block and targets: the block's synapses, one `Part` for each group of
        sources, these in ascending order
    workers : threads; all cores by default

    Memory is that of the synapses (17 bytes each) and of a block a thread.
    """
    jobs = [
        (group, block, targets[start : start + BLOCK])
        for group, targets in enumerate(groups)
        for block, start in enumerate(range(0, len(targets), BLOCK))
    ]

    def one(job: tuple[int, int, np.ndarray]) -> Part | None:
        return _joined(draw(*job), int(job[2][0]))

    total = sum(map(len, groups))
    chunks: list[Part] = []
    parts: list[Part] = []
    with (
        ThreadPoolExecutor(workers or os.cpu_count() or 1) as pool,
        progress.bar(total, "synapses", " neurons", show_progress) as shown,
    ):
        for job, part in zip(jobs, pool.map(one, jobs), strict=True):
            if part is not None:
                parts.append(part)
            if sum(len(part[0]) for part in parts) > CHUNK:
                chunks.append(_end_to_end(parts))
                parts.clear()
            shown.update(len(job[2]))
    fields = [list(field) for field in zip(*chunks, *parts, strict=True)]
    chunks.clear()
    parts.clear()
    if not fields:
        return Synapses.none()
    arrays = []
    for field in fields:  # one after the other, so that only one is there twice
        arrays.append(np.concatenate(field))
        arrays[-1].flags.writeable = False
        field.clear()
    return Synapses(*arrays)


def _end_to_end(parts: Sequence[Part]) -> Part:
    pre, post, weight, delay, receptor = map(np.concatenate, zip(*parts, strict=True))
    return pre, post, weight, delay, receptor


def _joined(parts: Sequence[Part], first: int) -> Part | None:
    """One part, sorted by (post, pre), of parts that each are, with ascending sources."""
    parts = [part for part in parts if len(part[0])]
    if not parts:
        return None
    columns = _end_to_end(parts)
    # Stable, and of 16 bits: numpy sorts these by counting.
    order = np.argsort((columns[1] - first).astype(np.uint16), kind="stable")
    pre, post, weight, delay, receptor = (
        column[order].astype(dtype) for column, dtype in zip(columns, DTYPES, strict=True)
    )
    return pre, post, weight, delay, receptor
