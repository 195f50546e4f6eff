"""Recurrent synapses of a V1DD column: who connects to whom, and how strongly.

The recipe is that of the Allen Institute's biorealistic-v1-model (2026). With D the lateral
position of the source less that of the target, and theta the target's preferred direction,

    p = p_peak exp(-1/2 (D - mu)^T S^-1 (D - mu)) (B1 + G dori) n_j / n_mean,   at most 1,

where n_j is the number of synapses of the target and n_mean its mean, dori the difference of the
preferred orientations (0 to 90 degrees; E to E only). The sources are displaced against the target
(after Rossi, Harris and Carandini 2020, Nature 588:648-652): inhibitory ones by mu = +50 um along
theta with S = sigma^2, excitatory ones by mu = -50 um with standard deviations sigma/1.5 along
theta and 1.5 sigma across it. A connected pair has one synapse, of the weight

    w = sign L n_mean / (U n_j),

with L log-normal in mV and U the target's potential for 1 pA of that synapse.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from circuits.allen.v1dd import CORE_RADIUS_UM, V1DDTables
from circuits.v1.blocks import Part, wire
from circuits.v1.pairs import Bins, connected_pairs
from circuits.v1.recurrent import fold
from toolkit.errors import unknown
from toolkit.network import Synapses
from toolkit.rng import stream

WEIGHTS = ("random", "like_to_like")
DISPLACEMENT_UM = 50.0  # of the sources: with (inhibitory) or against (excitatory) theta
ELONGATION = 1.5  # of excitatory sources: across theta, and its inverse along it
RIM_UM = 100.0  # targets this near the rim see no displacement, see `displaced`
# Normal jitter of like-to-like ranks, standard deviation in degrees, by the signs of the ends.
JITTER_DEG = {"e2e": 0.0, "e2i": 5.0, "i2e": 5.0, "i2i": 10.0}
RANKS = (0.001, 0.999)  # like-to-like ranks are clipped to this range


def displaced(x_um: np.ndarray, z_um: np.ndarray, radius_um: float) -> np.ndarray:
    """Whether the sources of neurons at (x, z) are displaced, in a column of this radius.

    They are up to 100 um from its rim. Derived: the source says up to 1.5 core radii, that is 300
    um of 400 and 600 um of 700. Our choice for other radii: smaller columns are cut out of that of
    400 um, larger ones have a rim as wide.
    """
    return np.hypot(x_um, z_um) <= max(radius_um, CORE_RADIUS_UM) - RIM_UM


@dataclass(frozen=True)
class Cells:
    """What wiring needs to know of the neurons, arrays of shape (neuron,).

    `cell_type` and `cell` are rows of the tables; `n_synapses` is n_j, `displaced` whether the
    neuron's sources are displaced.
    """

    cell_type: np.ndarray
    cell: np.ndarray
    x_um: np.ndarray
    z_um: np.ndarray
    tuning_deg: np.ndarray
    n_synapses: np.ndarray
    displaced: np.ndarray

    @functools.cached_property
    def direction(self) -> tuple[np.ndarray, np.ndarray]:
        """Cosine and sine of the preferred directions."""
        theta = np.deg2rad(self.tuning_deg)
        return np.cos(theta), np.sin(theta)

    @functools.cached_property
    def centres(self) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """Where each neuron's sources of a sign are most likely: x and z in um."""
        cos, sin = self.direction
        mu = np.where(self.displaced, DISPLACEMENT_UM, 0.0)
        return {s: (self.x_um - s * mu * cos, self.z_um - s * mu * sin) for s in (1, -1)}


@dataclass(frozen=True)
class TypePair:
    """The rules from one cell type to another.

    Attributes
    ----------
    peak : p_peak
    sign : of the sources, +1 or -1
    along_um, across_um : standard deviations of the fall-off
    intercept, gradient : B1 and G, 1 and 0 without a rule for orientation
    n_mean : mean number of synapses of the targets
    shape, scale_mV : of the log-normal L
    jitter_deg : of the like-to-like rank
    psp_mV_per_pA : U of every cell model
    delay_ms, receptor : of the synapses
    """

    peak: float
    sign: int
    along_um: float
    across_um: float
    intercept: float
    gradient: float
    n_mean: float
    shape: float
    scale_mV: float
    jitter_deg: float
    psp_mV_per_pA: np.ndarray
    delay_ms: float
    receptor: int

    @classmethod
    def of(cls, row: int, tables: V1DDTables) -> TypePair:
        """The pair of a row of `tables.pairs`."""
        pair = {name: values[row] for name, values in tables.pairs.items()}
        post = tables.cell_types["cell_type"].tolist().index(pair["post"])
        excitatory = pair["ends"].startswith("e")
        stretch = ELONGATION if excitatory else 1.0
        b_ratio = 1.0 if np.isnan(pair["b_ratio"]) else pair["b_ratio"]
        intercept = 2 / (1 + b_ratio)
        pre_type = pair["receptor"].split("_to_")[0]
        return cls(
            peak=pair["p_peak"],
            sign=1 if excitatory else -1,
            along_um=pair["sigma_um"] / stretch,
            across_um=pair["sigma_um"] * stretch,
            intercept=intercept,
            gradient=(2 - 2 * intercept) / 90,
            n_mean=tables.cell_types["n_synapses_mean"][post],
            shape=pair["weight_shape"],
            scale_mV=pair["weight_scale_mV"],
            jitter_deg=JITTER_DEG[pair["ends"]],
            psp_mV_per_pA=tables.cells[f"psp_from_{pre_type}_mV_per_pA"],
            delay_ms=pair["delay_ms"],
            receptor=tables.kinetics["receptor"].tolist().index(pair["receptor"]),
        )

    def bound(self, d_um: np.ndarray) -> np.ndarray:
        """What p cannot exceed at distances from the displaced centre, where n_j = n_mean."""
        tuned = max(self.intercept, self.intercept + 90 * self.gradient)
        return self.peak * tuned * np.exp(-((d_um / self.across_um) ** 2) / 2)

    def probability(self, cells: Cells, pre: np.ndarray, post: np.ndarray) -> np.ndarray:
        """p of the pairs of neurons, shape (pair,)."""
        x_um, z_um = cells.centres[self.sign]
        dx, dz = cells.x_um[pre] - x_um[post], cells.z_um[pre] - z_um[post]
        cos, sin = (part[post] for part in cells.direction)
        along = (dx * cos + dz * sin) / self.along_um
        across = (dz * cos - dx * sin) / self.across_um
        p = self.peak * np.exp(-(along**2 + across**2) / 2)
        if self.gradient:
            turn = cells.tuning_deg[post] - cells.tuning_deg[pre]
            p *= self.intercept + self.gradient * fold(turn, 180)
        return np.minimum(p * (cells.n_synapses[post] / self.n_mean), 1.0)

    def weight_pA(
        self,
        cells: Cells,
        pre: np.ndarray,
        post: np.ndarray,
        like_to_like: bool,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """w of the connected pairs of neurons, shape (pair,)."""
        normal = rng.standard_normal(len(pre))
        if like_to_like:
            turn = cells.tuning_deg[post] - cells.tuning_deg[pre]
            normal = ndtri(self.rank(turn, normal))
        psp_mV = self.scale_mV * np.exp(self.shape * normal)
        share = self.n_mean / cells.n_synapses[post]
        return self.sign * psp_mV * share / self.psp_mV_per_pA[cells.cell[post]]

    def rank(self, turn_deg: np.ndarray, normal: np.ndarray) -> np.ndarray:
        """Rank of the weight of pairs with this difference of preferred directions: 1 is largest.

        1 - F(ddir), with F the distribution of the difference ddir (0 to 180 degrees) over the
        connected pairs of E to E; elsewhere that is uniform, and ddir has normal jitter.
        """
        apart = fold(turn_deg + self.jitter_deg * normal, 360)
        near = np.minimum(apart, 180 - apart)
        below = (self.intercept * near + self.gradient * near**2 / 2) / 180
        return np.clip(1 - np.where(apart > 90, 1 - below, below), *RANKS)


def connect(
    cells: Cells,
    tables: V1DDTables,
    seed: int,
    *,
    weights: str = "random",
    workers: int | None = None,
    show_progress: bool | None = None,
) -> Synapses:
    """Draw all recurrent synapses.

    Every pair of cell types and block of targets has its own random stream
    (`circuits.v1.blocks`), so that the circuit depends on the seed alone.

    Parameters
    ----------
    cells : the neurons, cell type after cell type
    tables : of the second generation
    seed : of the streams
    weights : ``"random"``, L drawn at random, or ``"like_to_like"``, L by rank: the more alike the
        preferred directions, the larger
    workers : threads; all cores by default

    Raises
    ------
    InputError : unknown `weights`

    Time and memory: O(synapses), about 1 us and 17 bytes each.
    """
    if weights not in WEIGHTS:
        raise unknown("weights", weights, WEIGHTS)
    types = tables.cell_types["cell_type"].tolist()
    members = [np.flatnonzero(cells.cell_type == t) for t in range(len(types))]
    sources = [Bins.of(cells.x_um[mine], cells.z_um[mine]) for mine in members]
    pairs = [TypePair.of(row, tables) for row in tables.pairs.rows]

    def draw(post_type: int, block: int, targets: np.ndarray) -> list[Part]:
        relative = cells.n_synapses[targets] / tables.cell_types["n_synapses_mean"][post_type]
        bins = {s: Bins.of(x[targets], z[targets], relative) for s, (x, z) in cells.centres.items()}
        parts = []
        for pre_type, pool in enumerate(members):
            pair = pairs[pre_type * len(types) + post_type]
            rng = stream(seed, "recurrent", types[pre_type], types[post_type], block)

            def probability(i: np.ndarray, j: np.ndarray, pool=pool, pair=pair) -> np.ndarray:
                return pair.probability(cells, pool[i], targets[j])

            i, j = connected_pairs(sources[pre_type], bins[pair.sign], pair.bound, probability, rng)
            pre, post = pool[i], targets[j]
            other = pre != post
            pre, post = pre[other], post[other]
            weight = pair.weight_pA(cells, pre, post, weights == "like_to_like", rng)
            n = len(pre)
            parts.append((pre, post, weight, np.full(n, pair.delay_ms), np.full(n, pair.receptor)))
        return parts

    return wire(members, draw, workers=workers, show_progress=show_progress)
