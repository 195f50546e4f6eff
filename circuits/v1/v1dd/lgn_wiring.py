"""LGN input of a V1DD column: a number of synapses in proportion to the size of the neuron.

The rule of the Allen Institute's biorealistic-v1-model (2026). A neuron of n_j synapses has
n = 0.2 n_j r of them from the LGN, with r by population (1 in E of layer 4), on n (rho - 1) / rho
connections. Their sources are drawn one after the other, without replacement, with probability

    p ~ exp(-d^2 / (2 (5 deg)^2)) q,     d^2 = 1.5 along^2 + across^2 / 1.5

where (along, across) is the place of the source in the frame of the neuron's preferred direction u
(-u where the neuron looks for OFF cells), from the neuron's own place in the visual field plus
2.5 deg u for sustained and minus 2.5 deg u for transient sources; q is the match of temporal
frequencies (`circuits.v1.lgn_rule.frequency_match`), 0 for sustained cells of the other polarity,
and for composite ones 1 if their axis is within 15 degrees of the neuron's orientation, else 0.

A connection has a Yule-Simon distributed number of synapses, mean rho / (rho - 1). The largest
numbers go first, m synapses to a source drawn with probability ~ exp(-m d^2 / (2 (5 deg)^2)).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from circuits.allen.v1dd import V1DDTables
from circuits.v1.blocks import Part, wire
from circuits.v1.lgn import V1DD_FIELD_DEG, published_channels
from circuits.v1.lgn_rule import AXIS_WITHIN_DEG, frequency_match, positive_poisson, rows_of
from circuits.v1.recurrent import MAGNIFICATION_DEG_PER_UM
from toolkit.network import Input
from toolkit.rng import stream
from toolkit.table import Table

# Of biorealistic-v1-model (2026).
REACH_DEG = 40.0  # sources farther than this from the neuron's place are no candidates
AXON_DEG = 5.0  # standard deviation of the fall-off
SHIFT_DEG = 2.5  # of sustained and transient sources to either side
ALIGNED = math.cos(math.radians(2 * AXIS_WITHIN_DEG))  # of twice the difference of orientation
STRETCH = 1.5  # of d^2 along the preferred direction, and its inverse across
REFERENCE = "L4 E"  # weights are for a neuron with the mean number of synapses of this cell type


def v1dd_lgn_input(
    neurons: Table,
    cell: np.ndarray,
    n_synapses: np.ndarray,
    tables: V1DDTables,
    *,
    seed: int,
    workers: int | None = None,
    show_progress: bool | None = None,
) -> Input:
    """The LGN, 17,400 cells over 120 x 80 degrees, as an input of a V1DD column.

    A synapse has the weight ``base_psp_mV`` / U x n_4 / n_j x factor (pA, peak of the fast part),
    with U the potential for 1 pA and the factor by cell model and n_4 the mean number of synapses
    of E of layer 4; a connection's weight is that of all its synapses.

    Parameters
    ----------
    neurons : the column's neurons
    cell : row of each neuron's model in `tables.cells`
    n_synapses : n_j of each neuron, synapses it has in all
    tables : of the second generation
    seed : of the column
    workers : threads; all cores by default. The result does not depend on it
    show_progress : a bar; by default on a terminal

    Time and memory: O(neurons x sources within 40 degrees), about 0.35 ms a neuron (1 us a
    connection) on one core; 17 bytes a connection and up to 0.5 GB for a block of targets.
    """
    sources = published_channels(tables, size_deg=V1DD_FIELD_DEG, seed=seed)
    rule, row = tables.lgn_to_v1, rows_of(neurons, tables.lgn_to_v1)
    rho = rule["yule_simon_rho"][row]
    wanted = n_synapses * rule["e4_fraction"][row] * rule["synapse_ratio_vs_e4"][row]
    n_connections = np.rint(wanted * (rho - 1) / rho).astype(np.int64)
    weight = _weight_pA(cell, n_synapses, rule["base_psp_mV"][row], tables)
    receptors = tables.kinetics["receptor"].tolist()
    receptor = np.array([receptors.index(name) for name in rule["receptor"]], dtype=np.uint8)[row]
    delay = rule["delay_ms"][row].astype(np.float32)

    rng = stream(seed, "lgn targets")
    on = rng.random(len(row)) < rule["p_on"][row]
    preferred_Hz = positive_poisson(rule["tf_mean_Hz"][row], rng)
    azimuth, elevation = MAGNIFICATION_DEG_PER_UM
    x_deg, y_deg = azimuth * neurons["x_um"], elevation * neurons["z_um"]
    theta = np.deg2rad(neurons["tuning_deg"])
    pools = {which: Pool.of(sources, which, int(preferred_Hz.max())) for which in (True, False)}

    def draw(_group: int, block: int, targets: np.ndarray) -> list[Part]:
        rng = stream(seed, "lgn wiring", block)
        drawn = [
            pools[bool(on[j])].draw(
                *(x_deg[j], y_deg[j], theta[j], preferred_Hz[j], n_connections[j]), rng
            )
            for j in targets
        ]
        pre, d2 = zip(*drawn, strict=True)
        post = np.repeat(targets.astype(np.int32), [len(source) for source in pre])
        count = yule_simon(rho[post], rng)
        start = 0
        for far in d2:
            mine = slice(start, start := start + len(far))
            count[mine] = by_distance(far, count[mine], rng)
        pA = (weight[post] * count).astype(np.float32)
        return [(np.concatenate(pre), post, pA, delay[post], receptor[post])]

    synapses = wire([np.arange(len(row))], draw, workers=workers, show_progress=show_progress)
    return Input(len(sources.rows), synapses, sources=sources)


@dataclass(frozen=True)
class Pool:
    """The sources that neurons of one polarity can have, in the order of their azimuth.

    Attributes
    ----------
    source : numbers of the sources
    x_deg, y_deg : their places
    shift_deg : added to the place along u: 2.5 (transient), -2.5 (sustained) or 0 (composite)
    side : of u: 1 along the preferred direction, -1 for neurons that look for OFF cells
    axis : (cosine, sine) of twice the axis of composite sources, NaN of others
    match : column of each source in `inverse_q`
    inverse_q : 1 / q by preferred frequency (0, 1, 2, ... Hz) and, in the columns, the frequencies
        of the two families; 1 in the last column, of composite sources
    """

    source: np.ndarray
    x_deg: np.ndarray
    y_deg: np.ndarray
    shift_deg: np.ndarray
    side: float
    axis: np.ndarray
    match: np.ndarray
    inverse_q: np.ndarray

    @classmethod
    def of(cls, sources: Table, on: bool, max_Hz: int) -> Pool:
        """The pool of the neurons that look for sustained ON cells, or for sustained OFF cells."""
        sustained = "sON" if on else "sOFF"
        composite = np.isnan(sources["tf_Hz"])
        usable = np.flatnonzero(composite | np.isin(sources["family"], (sustained, "tOFF")))
        usable = usable[np.argsort(sources["x_deg"][usable], kind="stable")]
        mine = sources.take(usable)
        shift, match = np.zeros(len(usable)), np.zeros(len(usable), dtype=np.int64)
        q = np.zeros((max_Hz + 1, 0))
        for family, way in ((sustained, -SHIFT_DEG), ("tOFF", SHIFT_DEG)):
            members = mine["family"] == family
            frequencies, which = np.unique(mine["tf_Hz"][members], return_inverse=True)
            match[members] = q.shape[1] + which
            shift[members] = way
            q = np.hstack([q, frequency_match(np.arange(max_Hz + 1), frequencies)])
        match[composite[usable]] = q.shape[1]
        twice = np.deg2rad(2 * mine["axis_deg"])
        return cls(
            source=usable.astype(np.int32),
            x_deg=mine["x_deg"],
            y_deg=mine["y_deg"],
            shift_deg=shift,
            side=1.0 if on else -1.0,
            axis=np.where(composite[usable], [np.cos(twice), np.sin(twice)], np.nan),
            match=match,
            inverse_q=np.hstack([1 / q, np.ones((len(q), 1))]),
        )

    def draw(
        self,
        x_deg: float,
        y_deg: float,
        theta: float,
        preferred_Hz: int,
        n: int,
        rng: np.random.Generator,
    ) -> tuple[np.ndarray, np.ndarray]:
        """The sources of a neuron's n connections (all there are, if fewer), ascending; their d^2.

        To draw without replacement is to let every candidate wait an exponential time of rate p
        and to take the first n.
        """
        low, high = np.searchsorted(self.x_deg, (x_deg - REACH_DEG, x_deg + REACH_DEG))
        near = slice(low, high)
        dx, dy = self.x_deg[near] - x_deg, self.y_deg[near] - y_deg
        cos, sin = self.side * math.cos(theta), self.side * math.sin(theta)
        along = dx * cos + dy * sin + self.shift_deg[near]
        across = dy * cos - dx * sin
        d2 = STRETCH * along**2 + across**2 / STRETCH
        wait = np.exp(d2 / (2 * AXON_DEG**2)) * self.inverse_q[preferred_Hz][self.match[near]]
        wait *= rng.standard_exponential(len(wait))

        def candidates(which: np.ndarray) -> np.ndarray:
            cos2, sin2 = self.axis[:, near][:, which]
            turned = math.cos(2 * theta) * cos2 + math.sin(2 * theta) * sin2 < ALIGNED
            return which[~turned & (dx[which] ** 2 + dy[which] ** 2 <= REACH_DEG**2)]

        # Every 8th source tells how long is too long: most need not be looked at closely.
        some = wait[::8]
        level = min(n // 6 + 16, len(some) - 1)
        first = candidates(np.flatnonzero(wait <= np.partition(some, level)[level]))
        if len(first) < n:
            first = candidates(np.arange(len(wait)))
        if len(first) > n:
            first = first[np.argpartition(wait[first], n)[:n]]
        first = first[np.argsort(self.source[near][first])]
        return self.source[near][first], d2[first]


def yule_simon(rho: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Yule-Simon draws, 1 or more, mean rho / (rho - 1): geometric, of exponential parameter.

    >>> bool(abs(yule_simon(np.full(100_000, 4.0), np.random.default_rng(1)).mean() - 4 / 3) < 0.01)
    True
    """
    return rng.geometric(np.exp(-rng.standard_exponential(len(rho)) / rho))


def by_distance(d2: np.ndarray, counts: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The counts in another order: number of synapses of each source, larger ones nearer.

    From the largest down, those of m synapses are drawn without replacement from the sources
    that are left, with probability ~ exp(-m d^2 / (2 (5 deg)^2)).
    """
    out = np.ones(len(counts), dtype=np.int64)
    near, left = d2 / (2 * AXON_DEG**2), np.arange(len(counts))
    how_many = np.bincount(counts)
    for m in np.flatnonzero(how_many[2:])[::-1] + 2:
        n = how_many[m]
        if n == len(left):
            out[left] = m
            break
        # Logarithms of the waiting times: large counts would overflow.
        wait = np.log(rng.standard_exponential(len(left))) + m * near
        order = wait.argpartition(n)
        out[left[order[:n]]] = m
        left, near = left[order[n:]], near[order[n:]]
    return out


def _weight_pA(
    cell: np.ndarray, n_synapses: np.ndarray, base_psp_mV: np.ndarray, tables: V1DDTables
) -> np.ndarray:
    """Weight of one synapse onto each neuron, pA."""
    e4 = tables.cell_types.where(cell_type=REFERENCE)
    n_4 = e4["n_synapses_scale"][0] * np.exp(e4["n_synapses_shape"][0] ** 2 / 2)
    psp_mV_per_pA = tables.cells["psp_from_exc_mV_per_pA"][cell]
    return base_psp_mV / psp_mV_per_pA * n_4 / n_synapses * tables.cells["lgn_factor"][cell]
