"""`connected_pairs`: which pairs of cells connect, at the cost of connections, not of pairs.

The cells of both sides are binned laterally. For every pair of bins the probability of a
connection has a bound, that at the smallest distance of the bins' cells. Where a pair connects
with probability p, let its *hazard* be h = -ln(1 - p). Points are thrown on the pairs by a Poisson
process with the bounding hazard of their bins, each point is kept with the ratio of the pair's own
hazard to it, and a pair connects if at least one point is left on it: with probability
1 - exp(-h) = p, exactly, and independently of all other pairs. No bin is left out for being far.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

# Our choice, for fall-offs of 85 to 120 um: 25 and 60 um cost a quarter to a half more.
BIN_UM = 40.0
# 1 - exp(-40) is 1 in double precision, so this is the hazard of a certain connection.
CERTAIN = 40.0


@dataclass(frozen=True)
class Bins:
    """Cells binned laterally.

    Attributes
    ----------
    order : cells, bin by bin, shape (cell,)
    first : where each bin starts in `order`, shape (bin,)
    count : cells in each bin, shape (bin,)
    low_um, high_um : the box around each bin's cells, shape (2, bin)
    scale : largest factor on the probability among each bin's cells, shape (bin,)
    """

    order: np.ndarray
    first: np.ndarray
    count: np.ndarray
    low_um: np.ndarray
    high_um: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, x_um: np.ndarray, z_um: np.ndarray, scale: np.ndarray | None = None) -> Bins:
        """Bin the cells at (x, z); those of a very different `scale` go into bins apart."""
        level = np.zeros(len(x_um)) if scale is None else np.ceil(2 * np.log2(scale))
        place = np.stack([np.floor(x_um / BIN_UM), np.floor(z_um / BIN_UM), level])
        order = np.lexsort(place)
        new = (np.diff(place[:, order], axis=1) != 0).any(axis=0)
        first = np.concatenate([[0], np.flatnonzero(new) + 1]) if len(order) else np.zeros(0, int)
        position = np.stack([x_um, z_um])[:, order]
        return cls(
            order=order,
            first=first,
            count=np.diff(np.append(first, len(order))),
            low_um=np.minimum.reduceat(position, first, axis=1),
            high_um=np.maximum.reduceat(position, first, axis=1),
            scale=np.ones(len(first))
            if scale is None
            else np.maximum.reduceat(scale[order], first),
        )


def hazard(probability: np.ndarray) -> np.ndarray:
    """-ln(1 - p), at most `CERTAIN`.

    >>> hazard(np.array([0.0, 0.5, 1.0])).round(4).tolist()
    [0.0, 0.6931, 40.0]
    """
    with np.errstate(divide="ignore"):
        return np.minimum(-np.log1p(-np.minimum(probability, 1.0)), CERTAIN)


def connected_pairs(
    pre: Bins,
    post: Bins,
    bound: Callable[[np.ndarray], np.ndarray],
    probability: Callable[[np.ndarray, np.ndarray], np.ndarray],
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the connected ones of all pairs of a presynaptic and a postsynaptic cell.

    Every pair connects with ``probability(i_pre, i_post)``, independently.

    Parameters
    ----------
    pre, post : the cells, numbered from 0 on each side
    bound : of distances (um): what the probability of a pair that far apart cannot exceed, for
        cells of scale 1; does not rise with distance
    probability : of arrays of presynaptic and postsynaptic cells, shape (pair,) each
    rng : of the draws

    Returns
    -------
    i_pre, i_post : int64 arrays, shape (connection,), sorted by (post, pre), no pair twice

    Time and memory: O(connections + pairs of bins).

    Examples
    --------
    >>> rng = np.random.default_rng(1)
    >>> x, z = rng.uniform(-500, 500, (2, 20_000))
    >>> def near(d): return 0.1 * np.exp(-((d / 50) ** 2))
    >>> cells = Bins.of(x, z)
    >>> i, j = connected_pairs(
    ...     cells, cells, near, lambda i, j: near(np.hypot(x[i] - x[j], z[i] - z[j])), rng
    ... )
    >>> bool(abs(len(i) / (20_000**2 * 0.1 * np.pi * 50**2 / 1000**2) - 1) < 0.1)
    True
    """
    if not len(pre.order) or not len(post.order):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    gap = np.zeros((2, len(post.first), len(pre.first)))
    for axis in (0, 1):
        above = pre.low_um[axis] - post.high_um[axis][:, None]
        below = post.low_um[axis][:, None] - pre.high_um[axis]
        np.maximum(np.maximum(above, below), 0, out=gap[axis])
    most = hazard(post.scale[:, None] * bound(np.hypot(*gap))).ravel()
    n_pairs = (post.count[:, None] * pre.count).ravel()
    end = np.cumsum(most * n_pairs)
    # The points in order of their place on the line of all hazards: uniform order statistics.
    n_points = rng.poisson(end[-1])
    place = np.cumsum(rng.standard_exponential(n_points + 1))
    at = np.searchsorted(end, place[:-1] * (end[-1] / place[-1]), side="right")
    at = np.minimum(at, len(end) - 1)
    within = (rng.random(n_points) * n_pairs[at]).astype(np.int64)
    i_bin, j_bin = at % len(pre.first), at // len(pre.first)
    j, i = np.divmod(within, pre.count[i_bin])
    i_pre = pre.order[pre.first[i_bin] + i]
    i_post = post.order[post.first[j_bin] + j]
    keep = rng.random(n_points) * most[at] < hazard(probability(i_pre, i_post))
    key = np.unique(i_post[keep] * len(pre.order) + i_pre[keep])
    i_post, i_pre = np.divmod(key, len(pre.order))
    return i_pre, i_post
