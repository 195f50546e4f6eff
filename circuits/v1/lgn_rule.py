"""The LGN wiring of Billeh et al. 2020: which LGN cells each neuron listens to.

A target looks for sustained cells of one polarity in an ellipse on one side of its receptive
field's centre and for transient cells in one on the other side, both elongated along the axis of
its preferred orientation, and draws a temporal frequency TF. A source of a family with frequencies
{f} that lies inside is kept with probability (1 - |TF - f| / sum |TF - f'|) / (n - 1), which sums
to 1 over the family's n frequencies. A composite source is kept inside a smaller central ellipse
if its axis is within 15 degrees of the target's orientation.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from circuits import allen
from circuits.v1.blocks import Part, wire
from circuits.v1.lgn import PUBLISHED_FIELD_DEG
from circuits.v1.recurrent import MAGNIFICATION_DEG_PER_UM, fold
from toolkit.network import Synapses
from toolkit.rng import stream
from toolkit.table import Table

AXIS_WITHIN_DEG = 15.0  # composite sources: largest difference of orientation (Billeh et al. 2020)


def wire_field(
    sources: Table,
    neurons: Table,
    cell: np.ndarray,
    tables: allen.AllenTables,
    seed: int,
    *,
    to_published: bool,
    workers: int | None = None,
    show_progress: bool | None = None,
) -> Synapses:
    """Synapses onto all neurons.

    What each neuron looks for is drawn for all of them first; then sources are looked up in trees,
    for 1,024 targets at a time that have a random stream of their own (`circuits.v1.blocks`).

    Our choice: the transient partner of a sustained-OFF target is tON where that type is among
    the channels (published: tOFF for all, there being no tON).

    Parameters
    ----------
    to_published : scale weights, population by population, so that a connected neuron's mean
        number of sources times weight is the published one: for a grid of channels, which has
        another density than the published field of LGN cells
    """
    rule, row = tables.lgn_to_v1, rows_of(neurons, tables.lgn_to_v1)
    wishes = _wishes(neurons, rule, row, seed)
    weight = tables.cells["lgn_weight_pA"][cell] * rule["n_synapses"][row]
    # Drawn for all neurons at once, so that it depends on no blocks.
    chosen = stream(seed, "lgn targets").random(len(row)) < rule["p_lgn"][row]
    chosen &= weight > 0
    if not to_published:
        _warn_beyond(wishes.take(chosen))
    receptor = tables.excitatory_receptor(neurons["sign"])
    families = {
        str(name): Family.of(sources, np.flatnonzero(sources["family"] == name))
        for name in np.unique(sources["family"])
    }

    def draw(_group: int, block: int, targets: np.ndarray) -> list[Part]:
        targets = targets[chosen[targets]]
        rng = stream(seed, "lgn wiring", block)
        pairs = _kept(wishes.take(targets), families, rng)
        i, pre = (np.concatenate(side) for side in zip(*pairs, strict=True))
        order = np.lexsort((pre, i))
        post = targets[i[order]]
        return [(pre[order], post, weight[post], rule["delay_ms"][row[post]], receptor[post])]

    synapses = wire([np.arange(len(row))], draw, workers=workers, show_progress=show_progress)
    if not to_published:
        return synapses
    n = len(rule.rows)
    found = np.bincount(row[synapses.post], minlength=n) / np.maximum(
        np.bincount(row[chosen], minlength=n), 1
    )
    factor = rule["mean_n_sources_connected"] / np.where(found > 0, found, 1)
    scaled = synapses.weight * factor[row[synapses.post]]
    return Synapses(synapses.pre, synapses.post, scaled, synapses.delay_ms, synapses.receptor)


def _warn_beyond(wishes: Table) -> None:
    width, height = PUBLISHED_FIELD_DEG
    beyond = (np.abs(wishes["x_deg"]) > width / 2) | (np.abs(wishes["y_deg"]) > height / 2)
    if beyond.any():
        warnings.warn(
            f"{beyond.sum():,} neurons look beyond the published LGN of {width:g} x {height:g} "
            "degrees, where there are no sources; it covers columns of up to 900 um",
            stacklevel=4,
        )


def rows_of(neurons: Table, rule: Table) -> np.ndarray:
    """Row of `rule` of each neuron's population, shape (neuron,)."""
    names, which = np.unique(neurons["population"], return_inverse=True)
    known = rule["population"].tolist()
    return np.array([known.index(name) for name in names], dtype=np.int64)[which]


@dataclass(frozen=True)
class Family:
    """The sources of one family: their numbers, places, and temporal frequencies.

    `which` is the position of each source's frequency among `frequencies_Hz`, the different ones
    of the family in ascending order.
    """

    source: np.ndarray
    x_deg: np.ndarray
    y_deg: np.ndarray
    axis_deg: np.ndarray
    frequencies_Hz: np.ndarray
    which: np.ndarray
    tree: cKDTree

    @classmethod
    def of(cls, sources: Table, members: np.ndarray) -> Family:
        """The family of the given rows of `sources`."""
        x, y = sources["x_deg"][members], sources["y_deg"][members]
        frequencies, which = np.unique(sources["tf_Hz"][members], return_inverse=True)
        return cls(
            source=members,
            x_deg=x,
            y_deg=y,
            axis_deg=sources["axis_deg"][members],
            frequencies_Hz=frequencies,
            which=which,
            tree=cKDTree(np.stack([x, y], axis=1)),
        )

    @property
    def composite(self) -> bool:
        """Whether these are cells of two subfields, which have no frequency."""
        return bool(np.isnan(self.frequencies_Hz).any())

    def inside(
        self,
        x_deg: np.ndarray,
        y_deg: np.ndarray,
        a_deg: np.ndarray,
        b_deg: np.ndarray,
        turn: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Pairs (ellipse, member) with the member inside, sorted.

        Ellipses have centres (x, y) and semi-axes a and b, a along the direction -`turn` (radians).
        """
        if not len(x_deg):
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        reach = np.maximum(a_deg, b_deg).max() * (1 + 1e-9)
        near = cKDTree(np.stack([x_deg, y_deg], axis=1)).sparse_distance_matrix(
            self.tree, reach, output_type="ndarray"
        )
        i, j = near["i"], near["j"]
        dx, dy = self.x_deg[j] - x_deg[i], self.y_deg[j] - y_deg[i]
        c, s = np.cos(turn)[i], np.sin(turn)[i]
        within = ((dx * c - dy * s) / a_deg[i]) ** 2 + ((dx * s + dy * c) / b_deg[i]) ** 2 <= 1
        i, j = i[within], j[within]
        order = np.lexsort((j, i))
        return i[order], j[order]


def _wishes(neurons: Table, rule: Table, row: np.ndarray, seed: int) -> Table:
    """What every neuron looks for: place and shape of its subfields, polarity, frequency."""
    rng, n = stream(seed, "lgn subfields"), len(row)

    def between(name: str, unit: str = "_deg") -> np.ndarray:
        low, high = rule[f"{name}_min{unit}"][row], rule[f"{name}_max{unit}"][row]
        return low + (high - low) * rng.random(n)

    azimuth, elevation = MAGNIFICATION_DEG_PER_UM
    half, b = between("distance") / 2, between("width") / 2
    return Table(
        {
            "x_deg": _field(neurons["x_um"], azimuth),
            "y_deg": _field(neurons["z_um"], elevation),
            "tuning_deg": neurons["tuning_deg"],
            "turn": -np.deg2rad(neurons["tuning_deg"] + 270),
            "half_deg": half,
            "a_deg": b * between("aspect", ""),
            "b_deg": b,
            "on": rng.random(n) < rule["p_on"][row],
            "preferred_Hz": positive_poisson(rule["tf_mean_Hz"][row], rng),
        }
    )


def _kept(
    wishes: Table, families: dict[str, Family], rng: np.random.Generator
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Connected (target, source) pairs, one pair of arrays a family."""
    on = wishes["on"]
    # Side of the centre, and who looks for the family there.
    wanted: dict[str, tuple[float, np.ndarray]] = {
        "sON": (-1.0, on),
        "sOFF": (-1.0, ~on),
        "tON": (1.0, ~on),
        "tOFF": (1.0, on if "tON" in families else np.ones_like(on)),
    }
    pairs = []
    for name, family in families.items():
        if family.composite:
            a, b = wishes["b_deg"], wishes["half_deg"] / 2
            i, j = family.inside(wishes["x_deg"], wishes["y_deg"], a, b, wishes["turn"])
            keep = fold(family.axis_deg[j] - wishes["tuning_deg"][i], 180) < AXIS_WITHIN_DEG
            pairs.append((i[keep], family.source[j[keep]]))
            continue
        side, looking = wanted[name]
        who = np.flatnonzero(looking)
        mine = wishes.take(who)
        shift = side * mine["half_deg"]
        i, j = family.inside(
            mine["x_deg"] + shift * np.sin(mine["turn"]),
            mine["y_deg"] + shift * np.cos(mine["turn"]),
            mine["a_deg"],
            mine["b_deg"],
            mine["turn"],
        )
        p = frequency_match(mine["preferred_Hz"], family.frequencies_Hz)
        keep = rng.random(len(i)) < p[i, family.which[j]]
        pairs.append((who[i[keep]], family.source[j[keep]]))
    return pairs


def _field(um: np.ndarray, deg_per_um: float) -> np.ndarray:
    """Place on a flat visual field, degrees, of a lateral position; all beyond 89 is very far."""
    return np.rad2deg(np.tan(np.deg2rad(np.clip(deg_per_um * um, -89, 89))))


def positive_poisson(mean: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Poisson draws of the given means; zeros are drawn again."""
    draw = rng.poisson(mean)
    while len(zero := np.flatnonzero(draw == 0)):
        draw[zero] = rng.poisson(mean[zero])
    return draw


def frequency_match(preferred_Hz: np.ndarray, frequencies_Hz: np.ndarray) -> np.ndarray:
    """Probability to keep a source, shape (target, frequency); sums to 1 over the frequencies.

    >>> frequency_match(np.array([2]), np.array([4.0, 8.0, 15.0])).round(3).tolist()
    [[0.452, 0.357, 0.19]]
    """
    if len(frequencies_Hz) <= 1:
        return np.ones((len(preferred_Hz), len(frequencies_Hz)))
    apart = np.abs(preferred_Hz[:, None] - frequencies_Hz)
    return (1 - apart / apart.sum(axis=1, keepdims=True)) / (len(frequencies_Hz) - 1)
