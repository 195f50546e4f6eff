"""Which LGN channels each neuron of the column listens to, and how strongly.

Three layouts. ``"field"``: the rule of Billeh et al. 2020 on the published LGN. ``"column"``: the
same rule on a grid of 8 x 8 channels a type around a small column's own field. ``"image"``: for
learning tasks, where the grid covers a whole image: half of the synapses to L4 and half at random
to the other layers, weights meant to be trained.
"""

from __future__ import annotations

import numpy as np

from circuits import allen
from circuits.v1.lgn import COLUMN_FIELD_DEG, IMAGE_FIELD_DEG, channels, published_channels
from circuits.v1.lgn_rule import rows_of, wire_field
from toolkit.errors import InputError, unknown
from toolkit.network import Input, Synapses
from toolkit.rng import stream
from toolkit.table import Table

LAYOUTS = ("column", "image", "field")
SYNAPSES_A_CHANNEL = 60  # image layout (our choice)


def lgn_input(
    neurons: Table,
    cell: np.ndarray,
    tables: allen.AllenTables,
    *,
    layout: str,
    types: tuple[str, ...] | None,
    field_deg: float | None,
    seed: int,
    workers: int | None = None,
    show_progress: bool | None = None,
) -> Input:
    """The LGN as an input of the column.

    Parameters
    ----------
    neurons : the column's neurons
    cell : row of each neuron's model in `tables.cells`
    tables : Allen tables
    layout : ``"column"``, ``"image"`` or ``"field"``
    types : LGN types; by default `allen.DEFAULT_LGN_TYPES`, 64 channels each, or the 14 published
        types for ``"field"``
    field_deg : side of the grid of channels; by default 37 (column) or 60 degrees (image). The
        published field has its own size, 240 x 120 degrees
    seed : of the column
    workers : threads; all cores by default. The result does not depend on it
    show_progress : a bar; by default on a terminal

    Raises
    ------
    InputError : unknown layout or type, `field_deg` for the layout ``"field"``

    Warns
    -----
    UserWarning : neurons look beyond the published field

    Time and memory: O(connections). The full column (230,924 neurons, 3.5 million connections)
    takes 5 s and 160 MB on one core.
    """
    if layout not in LAYOUTS:
        raise unknown("LGN layout", layout, LAYOUTS)
    if layout == "field":
        if field_deg is not None:
            raise InputError(
                f"the LGN layout 'field' is the published field of 240 x 120 degrees, got "
                f"field_deg={field_deg:g}; a grid of another size is layout 'column' or 'image'"
            )
        sources = published_channels(tables, types=types, seed=seed)
    else:
        default_deg = COLUMN_FIELD_DEG if layout == "column" else IMAGE_FIELD_DEG
        sources = channels(
            tables,
            types=allen.DEFAULT_LGN_TYPES if types is None else types,
            field_deg=default_deg if field_deg is None else field_deg,
            seed=seed,
        )
    if layout == "image":
        synapses = wire_image(sources, neurons, cell, tables, seed)
    else:
        synapses = wire_field(
            sources,
            neurons,
            cell,
            tables,
            seed,
            to_published=layout == "column",
            workers=workers,
            show_progress=show_progress,
        )
    return Input(len(sources.rows), synapses, sources=sources)


def wire_image(
    sources: Table, neurons: Table, cell: np.ndarray, tables: allen.AllenTables, seed: int
) -> Synapses:
    """Each channel to 60 neurons, half of them in L4.

    Weights are the published ones of a connection onto the target's model, or the mean over
    neurons of its sign where its population gets no LGN input: starting values for training.
    """
    layer = tables.layer_of(neurons["cell_class"])
    pools = [np.flatnonzero(layer == "4"), np.flatnonzero(layer != "4")]
    if not all(len(pool) for pool in pools):
        raise InputError("the image layout needs neurons both in L4 and in other layers")
    row = rows_of(neurons, tables.lgn_to_v1)
    weight = tables.cells["lgn_weight_pA"][cell] * tables.lgn_to_v1["n_synapses"][row]
    for sign in (-1, 1):
        mine = neurons["sign"] == sign
        if (weight[mine] > 0).any():
            weight[mine & (weight <= 0)] = weight[mine & (weight > 0)].mean()
    rng, pre, post = stream(seed, "lgn image wiring"), [], []
    for pool in pools:
        count = min(SYNAPSES_A_CHANNEL // 2, len(pool))
        for channel in sources.rows:
            pre.append(np.full(count, channel))
            post.append(rng.choice(pool, count, replace=False))
    to = np.concatenate(post)
    delay = tables.lgn_to_v1["delay_ms"][row[to]]
    receptor = tables.excitatory_receptor(neurons["sign"])[to]
    return Synapses.sort(np.concatenate(pre), to, weight[to], delay, receptor)
