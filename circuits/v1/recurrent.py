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
from circuits.v1.blocks import Part, wire
from circuits.v1.pairs import Bins, connected_pairs
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


@dataclass(frozen=True)
class ClassPair:
    """The rules from one class to another.

    Attributes
    ----------
    peak : A0
    sigma_um : fall-off
    intercept, gradient : B1 and G, 1 and 0 without a rule for orientation
    delay_ms : delay
    rule : row of `tables.rules`, also the receptor
    width_deg : s
    phase : whether the factor for the positions of the receptive fields applies
    """

    peak: float
    sigma_um: float
    intercept: float
    gradient: float
    delay_ms: float
    rule: int
    width_deg: float
    phase: bool

    @classmethod
    def of(cls, pre: int, post: int, tables: allen.AllenTables) -> ClassPair:
        """Look up the pair of the classes of these positions."""
        row = pre * len(tables.classes.rows) + post
        pairs, rules, sign = tables.connections, tables.rules, tables.classes["sign"]
        of_signs = (rules["pre_sign"] == sign[pre]) & (rules["post_sign"] == sign[post])
        rule = int(np.flatnonzero(of_signs)[0])
        sigma_um = float(pairs["sigma_um"][row])
        peak = float(allen.peak_probability(pairs["p_within_75um"][row], sigma_um))
        intercept, gradient = allen.orientation_rule(peak, pairs["b_ratio"][row])
        return cls(
            peak=peak,
            sigma_um=sigma_um,
            intercept=float(intercept),
            gradient=float(gradient),
            delay_ms=float(pairs["delay_ms"][row]),
            rule=rule,
            width_deg=float(rules["direction_width_deg"][rule]),
            phase=bool(rules["position_rule"][rule]),
        )

    def bound(self, d_um: np.ndarray) -> np.ndarray:
        """What the probability cannot exceed at distances `d_um`."""
        tuned = max(self.intercept, self.intercept + 90 * self.gradient)
        return self.peak * tuned * np.exp(-((d_um / self.sigma_um) ** 2))

    def probability(self, dx_um: np.ndarray, dz_um: np.ndarray, turn_deg: np.ndarray) -> np.ndarray:
        """p of pairs with these offsets."""
        p = self.peak * np.exp(-(dx_um**2 + dz_um**2) / self.sigma_um**2)
        if self.gradient:
            p *= self.intercept + self.gradient * fold(turn_deg, 180)
        return p

    def weight_factor(
        self, dx_um: np.ndarray, dz_um: np.ndarray, turn_deg: np.ndarray, tuning_deg: np.ndarray
    ) -> np.ndarray:
        """Factor on the weight for the offsets and the targets' preferred angles."""
        factor = np.exp(-((fold(turn_deg, 360) / self.width_deg) ** 2))
        return factor * phase_factor(dx_um, dz_um, tuning_deg) if self.phase else factor


def fold(degrees: np.ndarray, period: float) -> np.ndarray:
    """Smallest difference of two angles, given their raw difference: 0 to period / 2.

    >>> fold(np.array([350.0, 190.0]), 360).tolist(), fold(np.array([100.0]), 180).tolist()
    ([10.0, 170.0], [80.0])
    """
    wrapped = np.abs(degrees) % period
    return np.minimum(wrapped, period - wrapped)


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


def connect(
    cells: Cells,
    tables: allen.AllenTables,
    seed: int,
    *,
    workers: int | None = None,
    show_progress: bool | None = None,
) -> Synapses:
    """Draw all recurrent synapses (one row a connected pair).

    Every class pair and block of targets has its own random stream (`circuits.v1.blocks`).

    Parameters
    ----------
    cells : the neurons, class after class
    tables : Allen tables
    seed : of the streams
    workers : threads; all cores by default

    Time and memory: O(synapses), about 0.5 us and 17 bytes each.
    """
    classes = list(tables.classes["cell_class"])
    members = [np.flatnonzero(cells.cls == c) for c in range(len(classes))]
    sources = [Bins.of(cells.x_um[mine], cells.z_um[mine]) for mine in members]
    numbers = range(len(classes))
    pairs = [[ClassPair.of(pre, post, tables) for pre in numbers] for post in numbers]
    weight_one = tables.weight_matrix()

    def draw(post_class: int, block: int, targets: np.ndarray) -> list[Part]:
        bins = Bins.of(cells.x_um[targets], cells.z_um[targets])
        parts = []
        for pre_class, pair in enumerate(pairs[post_class]):
            if not pair.peak > 0:
                continue
            rng = stream(seed, "recurrent", classes[pre_class], classes[post_class], block)
            pool = members[pre_class]

            def probability(i: np.ndarray, j: np.ndarray, pool=pool, pair=pair) -> np.ndarray:
                return pair.probability(*_apart(cells, pool[i], targets[j]))

            i, j = connected_pairs(sources[pre_class], bins, pair.bound, probability, rng)
            pre, post = pool[i], targets[j]
            other = pre != post
            pre, post = pre[other], post[other]
            one = weight_one[cells.cell[post], pre_class]
            weight = one * rng.integers(N_SYNAPSES[0], N_SYNAPSES[1] + 1, len(pre))
            weight *= pair.weight_factor(*_apart(cells, pre, post), cells.tuning_deg[post])
            n = len(pre)
            parts.append((pre, post, weight, np.full(n, pair.delay_ms), np.full(n, pair.rule)))
        return parts

    return wire(members, draw, workers=workers, show_progress=show_progress)


def _apart(
    cells: Cells, pre: np.ndarray, post: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Offset of the targets from the sources along x and z, um, and in preferred angle, degrees."""
    return (
        cells.x_um[post] - cells.x_um[pre],
        cells.z_um[post] - cells.z_um[pre],
        cells.tuning_deg[post] - cells.tuning_deg[pre],
    )


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
