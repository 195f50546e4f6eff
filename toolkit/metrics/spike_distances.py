"""Distances between spike trains: Victor-Purpura, van Rossum and SPIKE.

Trains are lists of arrays of spike times in ms, in any order. Without `others` a function gives the
matrix of all pairs of `trains`, with them (train, other); `matched=True` gives train i against
other i only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from toolkit.errors import InputError

Q_PER_MS = 0.1  # spikes up to 20 ms apart are moved rather than removed and added (our choice)
TAU_MS = 10.0  # of van Rossum's filter (our choice)
SPANS_APART = 4  # between trains on one axis; spikes beyond the edges are at most one span beyond
LONGEST_MS = 1e6  # of all pairs at once: their times keep ten digits
PAIRS_AT_ONCE = 512  # columns of the cost table: with 100 spikes it stays in the cache


def trains_from_bins(spikes: ArrayLike, bin_ms: float) -> list[np.ndarray]:
    """Spike times, ms, at the middles of bins, of an array of 0 and 1, (trial, bin).

    Raises
    ------
    InputError : another rank or other values, a bin of 0 ms or less

    >>> trains_from_bins([[0, 1, 1]], bin_ms=10)[0].tolist()
    [15.0, 25.0]
    """
    array = np.asarray(spikes)
    if array.ndim != 2 or not np.isin(array, (0, 1)).all():
        raise InputError(f"spikes must be 0 or 1, (trial, bin), got shape {array.shape}")
    if not 0 < bin_ms < np.inf:
        raise InputError(f"bin_ms must be above 0, got {bin_ms}")
    return [(np.flatnonzero(row) + 0.5) * bin_ms for row in array]


def victor_purpura(
    trains: Sequence[ArrayLike],
    others: Sequence[ArrayLike] | None = None,
    *,
    q_per_ms: float = Q_PER_MS,
    matched: bool = False,
) -> np.ndarray:
    """Least cost of turning one train into the other.

    A spike costs 1 to add or remove and q |dt| to move: q = 0 compares counts, q = infinity counts
    the spikes that do not coincide. Time is spikes x spikes for a pair, many pairs at once.

    Parameters
    ----------
    trains, others : spike times, ms
    q_per_ms : cost of a move, 1/ms

    Raises
    ------
    InputError : times that are not finite, negative q, unequal numbers of matched trains

    Source: Victor and Purpura 1996, J Neurophysiol 76:1310.

    >>> victor_purpura([[10.0, 50.0]], [[12.0], []], q_per_ms=0.1).round(9).tolist()
    [[1.2, 2.0]]
    """
    if not q_per_ms >= 0:
        raise InputError(f"q_per_ms must be 0 or more, got {q_per_ms}")
    a, b, first, second, shape = _pairs(trains, others, matched)
    found = np.zeros(len(first))
    order = np.argsort([len(a[i]) for i in first], kind="stable")
    for start in range(0, len(order), PAIRS_AT_ONCE):
        some = order[start : start + PAIRS_AT_ONCE]
        found[some] = _costs([a[i] for i in first[some]], [b[j] for j in second[some]], q_per_ms)
    return _shaped(found, first, second, shape, others is None and not matched)


def _costs(a: list[np.ndarray], b: list[np.ndarray], q: float) -> np.ndarray:
    """G(i, j) row by row; min over insertions k <= j of c(k) + j - k is a running minimum."""
    (s, n_a), (t, n_b) = _padded(a), _padded(b)
    place, column = np.arange(len(t) + 1.0)[:, None], np.arange(len(a))
    G = np.broadcast_to(place, (len(t) + 1, len(a))).copy()
    found = G[n_b, column]
    for i, spike in enumerate(s, start=1):
        away = np.abs(t - spike)
        move = np.where(away == 0, 0.0, 2.0) if np.isinf(q) else q * away
        new = G + 1
        np.minimum(new[1:], G[:-1] + move, out=new[1:])
        new -= place
        G = np.minimum.accumulate(new, axis=0) + place
        ends = n_a == i
        found[ends] = G[n_b[ends], column[ends]]
    return found


def _padded(trains: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    n = np.array([len(train) for train in trains])
    times = np.zeros((n.max(initial=0), len(trains)))
    for column, train in enumerate(trains):
        times[: len(train), column] = train
    return times, n


def van_rossum(
    trains: Sequence[ArrayLike],
    others: Sequence[ArrayLike] | None = None,
    *,
    tau_ms: float = TAU_MS,
    matched: bool = False,
) -> np.ndarray:
    """Distance of trains filtered with an exponential; one spike against none is 1.

        D^2 = (2 / tau) int (f - g)^2 dt,  f = sum_i exp(-(t - t_i) / tau) for t >= t_i

    tau = 0 gives the root of the number of spikes that do not coincide, infinity the difference of
    counts. The normalisation is that of elephant.

    Parameters
    ----------
    trains, others : spike times, ms
    tau_ms : time constant, ms

    Raises
    ------
    InputError : times that are not finite, negative tau, unequal numbers of matched trains

    Source: van Rossum 2001, Neural Comput 13:751; Houghton and Kreuz 2012, Network 23:48.

    >>> van_rossum([[10.0]], [[10.0], []]).tolist()
    [[0.0, 1.0]]
    """
    if not tau_ms >= 0:
        raise InputError(f"tau_ms must be 0 or more, got {tau_ms}")
    a, b, first, second, shape = _pairs(trains, others, matched)
    own_a = np.array([_overlaps(x, [x], tau_ms)[0] for x in a])
    own_b = np.array([_overlaps(x, [x], tau_ms)[0] for x in b])
    cross = np.zeros(len(first))
    for i, train in enumerate(a):
        rows = np.flatnonzero(first == i)
        if len(rows):
            cross[rows] = _overlaps(train, [b[j] for j in second[rows]], tau_ms)
    found = np.sqrt(np.maximum(own_a[first] + own_b[second] - 2 * cross, 0))
    return _shaped(found, first, second, shape, others is None and not matched)


def _overlaps(a: np.ndarray, trains: list[np.ndarray], tau: float) -> np.ndarray:
    """Sum of exp(-|s - t| / tau) over the spikes s of a and t of each train."""
    n = [len(train) for train in trains]
    if not len(a) or not sum(n):
        return np.zeros(len(trains))
    t = np.concatenate(trains)
    before = _trace(a, t, tau, "right")
    after = _trace(-a[::-1], -t, tau, "left")  # spikes at the same time count once
    return np.bincount(np.repeat(np.arange(len(n)), n), before + after, minlength=len(n))


def _trace(a: np.ndarray, t: np.ndarray, tau: float, side: str) -> np.ndarray:
    def decay(d: np.ndarray) -> np.ndarray:
        return (d == 0).astype(float) if tau == 0 else np.exp(-d / tau)

    height = np.ones(len(a))
    for k, kept in enumerate(decay(np.diff(a)), start=1):
        height[k] += height[k - 1] * kept
    last = np.searchsorted(a, t, side="right" if side == "right" else "left") - 1
    at = np.maximum(last, 0)
    return np.where(last >= 0, height[at] * decay(np.abs(t - a[at])), 0.0)


def spike_distance(
    trains: Sequence[ArrayLike],
    others: Sequence[ArrayLike] | None = None,
    *,
    start_ms: float = 0.0,
    stop_ms: float,
    matched: bool = False,
) -> np.ndarray:
    """SPIKE-distance: mean over time of S(t), 0 for the same train; it has no time scale.

        S = (S_1 x_2 + S_2 x_1) / (0.5 (x_1 + x_2)^2)

    with x_n the interspike interval and S_n the distances of the spikes before and after from the
    nearest spike of the other train, weighted linearly in time. S is linear between spikes, so that
    trapezoids are exact. Before the first and after the last spike the interval is the longer of
    the one to the edge and the one inside, and the distance that of the first or last spike. An
    empty train has spikes at the edges. All of it as in pyspike, a train with nothing but a spike
    at its start included: its end has a distance of its own.

    Parameters
    ----------
    trains, others : spike times, ms
    start_ms, stop_ms : edges

    Raises
    ------
    InputError : spikes outside the edges, two of a train at one time, edges that are not finite,
        unequal numbers of matched trains

    Source: Kreuz et al. 2013, J Neurophysiol 109:1457; edges as Mulansky and Kreuz 2016, SoftwareX.

    >>> spike_distance([[20.0]], [[20.0]], stop_ms=100).tolist()
    [[0.0]]
    """
    if not -np.inf < start_ms < stop_ms < np.inf:
        raise InputError(
            f"start_ms and stop_ms must be finite, and stop_ms above start_ms; got {start_ms:g} "
            f"and {stop_ms:g}"
        )
    a, b, first, second, shape = _pairs(trains, others, matched)
    for train in (*a, *b):
        if len(train) and not start_ms <= train[0] <= train[-1] <= stop_ms:
            raise InputError(f"spikes must lie within {start_ms:g} to {stop_ms:g} ms")
        if (np.diff(train) == 0).any():
            raise InputError("a train has two spikes at one time: SPIKE needs intervals above 0")
    edges = np.array([start_ms, stop_ms])
    a, b = ([x if len(x) else edges for x in some] for some in (a, b))
    found, at_once = np.zeros(len(first)), max(1, int(LONGEST_MS / (stop_ms - start_ms)))
    for begin in range(0, len(first), at_once):
        some = slice(begin, begin + at_once)
        found[some] = _spike([a[i] for i in first[some]], [b[j] for j in second[some]], edges)
    return _shaped(found, first, second, shape, others is None and not matched)


def _spike(a: list[np.ndarray], b: list[np.ndarray], edges: np.ndarray) -> np.ndarray:
    """Of pairs of trains, which are put on one axis of time, a pair after the other."""
    start, stop = edges
    first, second = _on_one_axis(a, edges), _on_one_axis(b, edges)
    inner = [each.spikes(times) for each in (first, second) for times in (each.t, each.row)]
    all_edges, rows = np.tile(edges, len(a)), np.repeat(np.arange(len(a)), 2)
    t, row = np.concatenate([all_edges, *inner[::2]]), np.concatenate([rows, *inner[1::2]])
    order = np.lexsort((t, row))
    t, row = t[order], row[order]
    apart = (row[1:] == row[:-1]) & (t[1:] > t[:-1])
    left, right, row = t[:-1][apart], t[1:][apart], row[1:][apart]
    sides = []
    for x, other in ((first, second), (second, first)):
        near = _nearest(x, other, start)
        k = np.searchsorted(x.apart, (left + right) / 2 + x.step * row) - 1
        since, isi = x.t[k], x.t[k + 1] - x.t[k]
        values = (
            (near[k] * (x.t[k + 1] - at) + near[k + 1] * (at - since)) / isi for at in (left, right)
        )
        sides.append((isi, *values))
    (x1, left1, right1), (x2, left2, right2) = sides
    S = ((left1 + right1) * x2 + (left2 + right2) * x1) / (x1 + x2) ** 2
    return np.bincount(row, weights=S * (right - left), minlength=len(a)) / (stop - start)


class _OnOneAxis(NamedTuple):
    """Trains with a spike beyond each edge, one after the other.

    t, row : times, and which train they are of
    apart : the same times, moved on by `step` from train to train
    begin, end : places of the first and the last one of each train
    """

    t: np.ndarray
    row: np.ndarray
    apart: np.ndarray
    step: float
    begin: np.ndarray
    end: np.ndarray

    def spikes(self, values: np.ndarray) -> np.ndarray:
        """Without those beyond the edges."""
        inside = np.ones(len(values), dtype=bool)
        inside[self.begin] = inside[self.end] = False
        return values[inside]


def _on_one_axis(trains: list[np.ndarray], edges: np.ndarray) -> _OnOneAxis:
    start, stop = edges
    whole: list[np.ndarray] = []
    for x in trains:
        low = min(start, 2 * x[0] - x[1]) if len(x) > 1 else start
        high = max(stop, 2 * x[-1] - x[-2]) if len(x) > 1 else stop
        whole += [np.array([low]), x, np.array([high])]
    n = np.array([len(x) + 2 for x in trains])
    t, row, end = np.concatenate(whole), np.repeat(np.arange(len(n)), n), np.cumsum(n) - 1
    step = SPANS_APART * (stop - start)
    return _OnOneAxis(t, row, t + step * row, step, end - n + 1, end)


def _nearest(x: _OnOneAxis, other: _OnOneAxis, start: float) -> np.ndarray:
    """Distance of each spike of x from the nearest one of the other train of its pair."""
    after = np.searchsorted(other.apart, x.apart)
    after = np.clip(after, other.begin[x.row] + 1, other.end[x.row])
    near = np.minimum(np.abs(x.t - other.t[after - 1]), np.abs(x.t - other.t[after]))
    near[x.begin] = near[x.begin + 1]
    inside = (x.end - x.begin > 2) | (x.t[x.begin + 1] > start)
    near[x.end[inside]] = near[x.end[inside] - 1]
    return near


def _pairs(
    trains: Sequence[ArrayLike], others: Sequence[ArrayLike] | None, matched: bool
) -> tuple[list[np.ndarray], list[np.ndarray], np.ndarray, np.ndarray, tuple[int, ...]]:
    a = _sorted(trains)
    b = a if others is None else _sorted(others)
    if matched:
        if others is None:
            raise InputError("matched=True needs others, one for each train")
        if len(a) != len(b):
            raise InputError(f"matched trains need as many others, got {len(a)} and {len(b)}")
        index = np.arange(len(a))
        return a, b, index, index, (len(a),)
    if others is None:
        return a, b, *np.triu_indices(len(a), 1), (len(a), len(a))
    first, second = np.indices((len(a), len(b))).reshape(2, -1)
    return a, b, first, second, (len(a), len(b))


def _sorted(trains: Sequence[ArrayLike]) -> list[np.ndarray]:
    try:
        made = [np.asarray(train, dtype=np.float64) for train in trains]
    except (TypeError, ValueError):
        made = [np.zeros(())]
    if any(train.ndim != 1 or not np.isfinite(train).all() for train in made):
        raise InputError(
            "trains must be a list of flat arrays of finite spike times in ms; one train is [times]"
        )
    return [np.sort(train) for train in made]


def _shaped(
    found: np.ndarray, first: np.ndarray, second: np.ndarray, shape: tuple[int, ...], half: bool
) -> np.ndarray:
    if not half:
        return found.reshape(shape)
    matrix = np.zeros(shape)
    matrix[first, second] = matrix[second, first] = found
    return matrix
