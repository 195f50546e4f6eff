"""Which LGN channels each neuron of the column listens to, and how strongly.

Two layouts. ``"column"``: the rule of Billeh et al. 2020 on a grid around the column's own field.
``"image"``: for learning tasks, where the grid covers a whole image: half of the synapses to L4
and half at random to the other layers, weights meant to be trained.
"""

from __future__ import annotations

import numpy as np

from circuits import allen
from circuits.v1.lgn import COLUMN_FIELD_DEG, IMAGE_FIELD_DEG, channels
from circuits.v1.recurrent import MAGNIFICATION_DEG_PER_UM, fold
from toolkit.errors import InputError, unknown
from toolkit.network import Input, Synapses
from toolkit.rng import stream
from toolkit.table import Table

SYNAPSES_A_CHANNEL = 60  # image layout (our choice)
AXIS_WITHIN_DEG = 15.0  # composite sources: largest difference of orientation (Billeh et al. 2020)


def lgn_input(
    neurons: Table,
    cell: np.ndarray,
    tables: allen.AllenTables,
    *,
    layout: str,
    types: tuple[str, ...],
    field_deg: float | None,
    seed: int,
) -> Input:
    """The LGN as an input of the column.

    Parameters
    ----------
    neurons : the column's neurons
    cell : row of each neuron's model in `tables.cells`
    tables : Allen tables
    layout : ``"column"`` or ``"image"``
    types : LGN types, 64 channels each
    field_deg : side of the grid of channels; by default 37 (column) or 60 degrees (image)
    seed : of the column

    Raises
    ------
    InputError : unknown layout or type
    """
    layouts = {
        "column": (wire_column, COLUMN_FIELD_DEG),
        "image": (wire_image, IMAGE_FIELD_DEG),
    }
    if layout not in layouts:
        raise unknown("LGN layout", layout, layouts)
    wire, default_deg = layouts[layout]
    field_deg = default_deg if field_deg is None else field_deg
    sources = channels(tables, types=types, field_deg=field_deg, seed=seed)
    pre, post, weight, delay = wire(sources, neurons, cell, tables, seed)
    receptor = tables.excitatory_receptor(neurons["sign"])[post]
    synapses = Synapses.sort(pre, post, weight, delay, receptor)
    return Input(len(sources.rows), synapses, sources=sources)


def wire_column(
    sources: Table, neurons: Table, cell: np.ndarray, tables: allen.AllenTables, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Source, target, weight (pA) and delay (ms) by the rule of Billeh et al. 2020.

    A target looks for sustained cells of one polarity in an ellipse on one side of its receptive
    field's centre and for transient cells in one on the other side, both elongated along the axis
    of its preferred orientation, and draws a temporal frequency TF. A source of a family with
    frequencies {f} that lies inside is kept with probability (1 - |TF - f| / sum |TF - f'|)
    / (n - 1), which sums to 1 over the family's n frequencies. A composite source is kept inside a
    smaller central ellipse if its axis is within 15 degrees of the target's orientation.

    Our choices: the transient partner of a sustained-OFF target is tON where that type is among
    the channels (published: tOFF for all, there being no tON); weights are scaled, population by
    population, so that a connected neuron's mean number of sources times weight is the published
    one: a grid of channels has another density than the published field of LGN cells.
    """
    rule = tables.lgn_to_v1
    parts = []
    for row, population in enumerate(rule["population"]):
        rng = stream(seed, "lgn wiring", population)
        targets = np.flatnonzero(neurons["population"] == population)
        targets = targets[rng.random(len(targets)) < rule["p_lgn"][row]]
        weight = tables.cells["lgn_weight_pA"][cell[targets]] * rule["n_synapses"][row]
        targets, weight = targets[weight > 0], weight[weight > 0]
        if not len(targets):
            continue
        p = _keep_probability(sources, neurons.take(targets), rule, row, rng)
        post, pre = np.nonzero(rng.random(p.shape) < p)
        if not len(pre):
            continue
        to_published = rule["mean_n_sources_connected"][row] * len(targets) / len(pre)
        delay = np.full(len(pre), rule["delay_ms"][row])
        parts.append((pre, targets[post], to_published * weight[post], delay))
    return _joined(parts)


def _keep_probability(
    sources: Table, targets: Table, rule: Table, row: int, rng: np.random.Generator
) -> np.ndarray:
    """Probability of each connection, shape (target, source)."""
    n = len(targets.rows)

    def between(name: str, unit: str = "_deg") -> np.ndarray:
        low, high = rule[f"{name}_min{unit}"][row], rule[f"{name}_max{unit}"][row]
        return (low + (high - low) * rng.random(n))[:, None]

    half, b = between("distance") / 2, between("width") / 2
    a = b * between("aspect", "")
    on = rng.random(n) < rule["p_on"][row]
    preferred_Hz = _positive_poisson(rule["tf_mean_Hz"][row], n, rng)

    azimuth, elevation = MAGNIFICATION_DEG_PER_UM
    dx = sources["x_deg"] - _field(targets["x_um"], azimuth)[:, None]
    dy = sources["y_deg"] - _field(targets["z_um"], elevation)[:, None]
    turn = -np.deg2rad(targets["tuning_deg"] + 270)[:, None]
    c, s = np.cos(turn), np.sin(turn)

    def inside(side: float, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        u, v = dx - side * half * s, dy - side * half * c
        return ((u * c - v * s) / a) ** 2 + ((u * s + v * c) / b) ** 2 <= 1

    family, tf_Hz = sources["family"], sources["tf_Hz"]
    transient_on = "tON" if (family == "tON").any() else "tOFF"
    p = np.zeros((n, len(family)))
    for wanted, side in (
        (np.where(on, "sON", "sOFF"), -1.0),
        (np.where(on, "tOFF", transient_on), 1.0),
    ):
        within = inside(side, a, b)
        for name in np.unique(wanted):
            mine = np.flatnonzero(family == name)
            keep = _frequency_match(preferred_Hz, tf_Hz[mine]) * within[:, mine]
            p[:, mine] += np.where((wanted == name)[:, None], keep, 0.0)
    composite = np.flatnonzero(np.isnan(tf_Hz))
    if len(composite):
        turned = sources["axis_deg"][composite] - targets["tuning_deg"][:, None]
        aligned = fold(turned, 180) < AXIS_WITHIN_DEG
        p[:, composite] = aligned & inside(0.0, b, half / 2)[:, composite]
    return p


def _field(um: np.ndarray, deg_per_um: float) -> np.ndarray:
    """Place in the visual field, degrees, of a lateral position in the column."""
    return np.rad2deg(np.tan(np.deg2rad(deg_per_um * um)))


def _positive_poisson(mean: float, n: int, rng: np.random.Generator) -> np.ndarray:
    """Poisson draws; zeros are drawn again."""
    draw = rng.poisson(mean, n)
    while (draw == 0).any():
        draw = np.where(draw == 0, rng.poisson(mean, n), draw)
    return draw


def _frequency_match(preferred_Hz: np.ndarray, family_Hz: np.ndarray) -> np.ndarray:
    """Probability to keep a source, shape (target, source); sums to 1 over the frequencies."""
    frequencies = np.unique(family_Hz)
    if len(frequencies) <= 1:
        return np.ones((len(preferred_Hz), len(family_Hz)))
    apart = np.abs(preferred_Hz[:, None] - frequencies)
    keep = (1 - apart / apart.sum(axis=1, keepdims=True)) / (len(frequencies) - 1)
    return keep[:, np.searchsorted(frequencies, family_Hz)]


def wire_image(
    sources: Table, neurons: Table, cell: np.ndarray, tables: allen.AllenTables, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Source, target, weight (pA) and delay (ms): each channel to 60 neurons, half of them in L4.

    Weights are the published ones of a connection onto the target's model, or the mean over
    neurons of its sign where its population gets no LGN input: starting values for training.
    """
    layer = tables.layer_of(neurons["cell_class"])
    pools = [np.flatnonzero(layer == "4"), np.flatnonzero(layer != "4")]
    if not all(len(pool) for pool in pools):
        raise InputError("the image layout needs neurons both in L4 and in other layers")
    populations = tables.lgn_to_v1["population"].tolist()
    row = np.array([populations.index(p) for p in neurons["population"]])
    weight = tables.cells["lgn_weight_pA"][cell] * tables.lgn_to_v1["n_synapses"][row]
    for sign in (-1, 1):
        mine = neurons["sign"] == sign
        if (weight[mine] > 0).any():
            weight[mine & (weight <= 0)] = weight[mine & (weight > 0)].mean()
    rng, parts = stream(seed, "lgn image wiring"), []
    for pool in pools:
        count = min(SYNAPSES_A_CHANNEL // 2, len(pool))
        for channel in sources.rows:
            post = rng.choice(pool, count, replace=False)
            delay = tables.lgn_to_v1["delay_ms"][row[post]]
            parts.append((np.full(count, channel), post, weight[post], delay))
    return _joined(parts)


def _joined(parts: list) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    if not parts:
        return np.zeros(0, int), np.zeros(0, int), np.zeros(0), np.zeros(0)
    pre, post, weight, delay = (np.concatenate(column) for column in zip(*parts, strict=True))
    return pre, post, weight, delay
