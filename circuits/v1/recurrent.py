"""Recurrent synapses of the V1 column: who connects to whom, and how strongly.

The recipe is that of Billeh et al. 2020, Neuron 106:388-403. The probability of a connection
falls with the lateral distance d of the two cells (depth ignored) and, between excitatory
classes, with the difference of their preferred orientations:

    p = A0 exp(-(d/sigma)^2) (B1 + G dori),      dori = orientation difference, 0 to 90 degrees

A connected pair has n = 3 to 7 synapses (uniform); its weight is

    w = n w1 exp(-(ddir/s)^2) phase,             ddir = direction difference, 0 to 180 degrees

with w1 by presynaptic class and postsynaptic cell model, s by the signs of the two ends, and for
E to E a factor ``phase`` for the positions of the receptive fields.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from circuits import allen
from toolkit.errors import unknown
from toolkit.network import Synapses
from toolkit.rng import stream

N_SYNAPSES = (3, 7)  # of a connected pair: uniform, both ends included (Billeh et al. 2020)
# Visual field over cortex: azimuth along x, elevation along z (Billeh et al. 2020).
MAGNIFICATION_DEG_PER_UM = (0.07, 0.04)
COMPENSATIONS = ("none", "sqrt", "full", "full_except_ee")


@dataclass(frozen=True)
class Cells:
    """What wiring needs to know of the neurons, arrays of shape (neuron,).

    `cls` is the position of the class in the tables, `cell` that of the cell model.
    """

    cls: np.ndarray
    cell: np.ndarray
    sign: np.ndarray
    x_um: np.ndarray
    z_um: np.ndarray
    tuning_deg: np.ndarray


def fold(degrees: np.ndarray, period: float) -> np.ndarray:
    """Smallest difference of two angles, given their raw difference: 0 to period / 2.

    >>> fold(np.array([350.0, 190.0]), 360).tolist(), fold(np.array([100.0]), 180).tolist()
    ([10.0, 170.0], [80.0])
    """
    wrapped = np.abs(degrees) % period
    return np.minimum(wrapped, period - wrapped)


def draw_pairs(n: int, p: float, rng: np.random.Generator) -> np.ndarray:
    """Distinct numbers below n, each present with probability p independently; O(n p)."""
    count = rng.binomial(n, p)
    return rng.choice(n, count, replace=False, shuffle=False) if count else np.zeros(0, int)


def phase_factor(dx_um: np.ndarray, dz_um: np.ndarray, tuning_deg: np.ndarray) -> np.ndarray:
    """E-to-E weight factor for the offset (post - pre) and the target's preferred angle.

    q = 0.07 dx cos(theta) + 0.04 dz sin(theta) is the offset of the receptive fields along the
    target's preferred direction, degrees; the factor is exp(-q^2/2) (5.5/4 - (11/1680) t), with t
    the target's orientation folded to 0 to 90 degrees (Billeh et al. 2020).
    """
    theta = np.deg2rad(tuning_deg)
    azimuth, elevation = MAGNIFICATION_DEG_PER_UM
    q = azimuth * dx_um * np.cos(theta) + elevation * dz_um * np.sin(theta)
    t = np.abs(np.abs(np.abs(180 - tuning_deg % 360) - 90) - 90)
    return np.exp(-(q**2) / 2) * (5.5 / 4 - 11 / 1680 * t)


def connect(cells: Cells, tables: allen.AllenTables, seed: int) -> Synapses:
    """Draw all recurrent synapses (one row a connected pair).

    Each pair of classes has its own random stream. Candidates are drawn with the largest
    probability the pair can have and kept with the ratio of the true one to it, so that the cost
    is that of the candidates.
    """
    classes = list(tables.classes["cell_class"])
    members = [np.flatnonzero(cells.cls == c) for c in range(len(classes))]
    weight_one = tables.weight_matrix()
    rules = {
        (pre, post): k
        for k, (pre, post) in enumerate(
            zip(tables.rules["pre_sign"], tables.rules["post_sign"], strict=True)
        )
    }
    parts: list[tuple[np.ndarray, ...]] = []
    pairs = tables.connections
    for row in pairs.rows:
        name_pre, name_post = pairs["pre"][row], pairs["post"][row]
        pre_cells = members[classes.index(name_pre)]
        post_cells = members[classes.index(name_post)]
        p_near = pairs["p_within_75um"][row]
        if not p_near > 0 or not len(pre_cells) or not len(post_cells):
            continue
        rng = stream(seed, "recurrent", name_pre, name_post)
        sigma, b_ratio = pairs["sigma_um"][row], pairs["b_ratio"][row]
        peak = allen.peak_probability(p_near, sigma)
        intercept, gradient = allen.orientation_rule(peak, b_ratio)
        bound = min(1.0, peak * max(intercept, intercept + 90 * gradient))

        flat = draw_pairs(len(pre_cells) * len(post_cells), bound, rng)
        pre, post = pre_cells[flat // len(post_cells)], post_cells[flat % len(post_cells)]
        dx, dz = cells.x_um[post] - cells.x_um[pre], cells.z_um[post] - cells.z_um[pre]
        p = peak * np.exp(-(dx**2 + dz**2) / sigma**2)
        turn = cells.tuning_deg[post] - cells.tuning_deg[pre]
        if gradient:
            p *= intercept + gradient * fold(turn, 180)
        keep = (rng.random(len(flat)) * bound < p) & (pre != post)
        pre, post, dx, dz, turn = (a[keep] for a in (pre, post, dx, dz, turn))

        rule = rules[int(cells.sign[pre_cells[0]]), int(cells.sign[post_cells[0]])]
        n_synapses = rng.integers(N_SYNAPSES[0], N_SYNAPSES[1] + 1, len(pre))
        width = tables.rules["direction_width_deg"][rule]
        weight = n_synapses * weight_one[cells.cell[post], classes.index(name_pre)]
        weight = weight * np.exp(-((fold(turn, 360) / width) ** 2))
        if tables.rules["position_rule"][rule]:
            weight = weight * phase_factor(dx, dz, cells.tuning_deg[post])
        parts.append(
            (pre, post, weight, np.full(len(pre), pairs["delay_ms"][row]), np.full(len(pre), rule))
        )
    if not parts:
        return Synapses.none()
    pre, post, weight, delay, receptor = (
        np.concatenate(column) for column in zip(*parts, strict=True)
    )
    return Synapses.sort(pre, post, weight, delay, receptor)


def pair_sums(synapses: Synapses, cls: np.ndarray, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Edges and summed weight (pA) of every pair of classes, shape (pre class, post class)."""
    key = cls[synapses.pre] * n_classes + cls[synapses.post]
    edges = np.bincount(key, minlength=n_classes**2)
    weight = np.bincount(key, weights=synapses.weight, minlength=n_classes**2)
    return edges.reshape(n_classes, n_classes), weight.reshape(n_classes, n_classes)


def compensation_factors(
    synapses: Synapses, cells: Cells, tables: allen.AllenTables, compensation: str
) -> np.ndarray:
    """Factor on the weights of every pair of classes, shape (pre class, post class).

    ``"full"`` gives each pair the summed input of the full column: (full in-degree x full mean
    weight) / (kept in-degree x kept mean weight); ``"sqrt"`` its square root; ``"full_except_ee"``
    leaves E to E alone; ``"none"`` (the default of the column) is 1. In-degree alone would
    over-drive: the direction rule makes the E-to-E weights kept in a small disc 1.4 times as
    strong as the full column's.

    Raises
    ------
    InputError : unknown compensation
    """
    if compensation not in COMPENSATIONS:
        raise unknown("compensation", compensation, COMPENSATIONS)
    n = len(tables.classes.rows)
    if compensation == "none":
        return np.ones((n, n))
    _, kept = pair_sums(synapses, cells.cls, n)
    kept = kept / np.maximum(np.bincount(cells.cls, minlength=n), 1)
    full = tables.full_input()
    with np.errstate(divide="ignore", invalid="ignore"):
        factor = np.where((kept != 0) & (full != 0), full / kept, 1.0)
    if compensation == "sqrt":
        return np.sqrt(factor)
    if compensation == "full_except_ee":
        excitatory = tables.classes["sign"] > 0
        factor[np.ix_(excitatory, excitatory)] = 1.0
    return factor


def scale(synapses: Synapses, cls: np.ndarray, factors: np.ndarray) -> Synapses:
    """Synapses with the weights of each pair of classes times its factor."""
    if (factors == 1).all():
        return synapses
    weight = synapses.weight * factors[cls[synapses.pre], cls[synapses.post]]
    return Synapses(synapses.pre, synapses.post, weight, synapses.delay_ms, synapses.receptor)
