"""What an ideal observer of the LGN's spikes could answer: a bound that no conversion can pass."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.special import ndtr

from toolkit.lgn import LGN
from toolkit.tasks.inputs import LGNInput
from toolkit.tasks.orientation import FineOrientation

LEAST_HZ = 1e-3  # of the mean of two rates that are divided by
AT_ONCE = 64  # items


def orientation_bound(
    task: FineOrientation,
    lgn: LGN,
    windows_ms: Sequence[float],
    *,
    cells_per_channel: int,
    items: int,
    dt_ms: float = 5.0,
) -> np.ndarray:
    r"""Share of right answers to the first test items, by the width of the window, (window,).

    The observer sees Poisson spikes of all channels from the start of the trial to the end of a
    window. It knows the phase, and that the orientation is the item's or the same distance on the
    other side of the boundary: with rates l_0 and l_1 of these two, small differences give

        d'^2 = sum_c int (l_1 - l_0)^2 / ((l_0 + l_1) / 2) dt,   P(right) = Phi(d' / 2)

    Of an orientation on the boundary itself it knows the answer. Nothing that is made of these
    spikes answers more items right, whatever comes after the LGN.

    Parameters
    ----------
    task : with the timing in which it is shown
    lgn : filters
    windows_ms : widths; windows begin where the task's own does
    cells_per_channel : cells with independent spikes that a channel stands for
    items : test items
    dt_ms : step of the rates

    Source of d': Green and Swets 1966, Signal Detection Theory; for Poisson counts derived.
    """
    inputs = LGNInput(task, lgn, dt_ms, "cpu")
    what = task.draw("test").what[:items]
    last = len(task.orientations_deg) - 1
    mirrored = np.stack([last - what[:, 0], what[:, 1]], axis=1)
    ends = [round((task.timing.response_ms[0] + width) / dt_ms) for width in windows_ms]
    right = []
    for start in range(0, len(what), AT_ONCE):
        rows = slice(start, start + AT_ONCE)
        own, other = inputs.rates(what[rows]), inputs.rates(mirrored[rows])
        mean = ((own + other) / 2).clamp(min=LEAST_HZ)
        each = ((own - other) ** 2 / mean).sum(2) * (cells_per_channel * dt_ms / 1000)
        d = torch.stack([each[:end].sum(0) for end in ends], dim=1).sqrt()
        at_boundary = what[rows, 0] == mirrored[rows, 0]
        right.append(np.where(at_boundary[:, None], 1.0, ndtr(d.double().numpy() / 2)))
    found: np.ndarray = np.concatenate(right).mean(axis=0)
    return found
