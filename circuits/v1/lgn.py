"""The LGN of the V1 column: 13 types of cell, 64 channels each on an 8 x 8 grid, 832 in all."""

from __future__ import annotations

import numpy as np

from circuits import allen
from toolkit.errors import InputError, unknown
from toolkit.lgn import LGN, Channels, Subfields, temporal_kernel
from toolkit.network import Network
from toolkit.rng import stream
from toolkit.table import Table

GRID = 8  # channels of a type along each side
COLUMN_FIELD_DEG = 37.0  # side of the grid around the column's own field
IMAGE_FIELD_DEG = 60.0  # side of the grid over an image: that of the stimuli's default canvas


def channels(
    tables: allen.AllenTables,
    *,
    types: tuple[str, ...] = allen.DEFAULT_LGN_TYPES,
    field_deg: float = COLUMN_FIELD_DEG,
    seed: int,
) -> Table:
    """The channels: type, place in the visual field (degrees from its centre) and size.

    Sizes follow the types' triangular distributions, the axes of composite types are uniform
    (Billeh et al. 2020).

    Parameters
    ----------
    tables : Allen tables
    types : names of `tables.lgn_types`; `allen.DEFAULT_LGN_TYPES` argues the default
    field_deg : side of the square that the grid covers. Over 37 degrees a channel stands for about
        one LGN cell; over the published field of 240 x 120 degrees 76 % of the L4 cells of a
        column would find no channel
    seed : of the stream of sizes and axes

    Returns
    -------
    Table : ``lgn_type``, ``family``, ``tf_Hz``, ``x_deg``, ``y_deg``, ``sigma_deg``, ``axis_deg``

    Raises
    ------
    InputError : unknown or no type, field not above 0
    """
    known = tables.lgn_types["lgn_type"].tolist()
    for name in types:
        if name not in known:
            raise unknown("LGN type", name, known)
    if not types or not field_deg > 0:
        raise InputError(f"at least one LGN type and a field above 0 are needed, got {field_deg}")
    rng = stream(seed, "lgn channels")
    n, row = GRID**2, np.repeat([known.index(name) for name in types], GRID**2)
    places = ((np.arange(GRID) + 0.5) / GRID - 0.5) * field_deg
    x, y = (np.tile(grid.ravel(), len(types)) for grid in np.meshgrid(places, places))
    low, mode, high = (tables.lgn_types[f"size_{part}_deg"][row] for part in ("min", "mode", "max"))
    fixed = high <= low
    size = rng.triangular(low, mode, np.where(fixed, low + 1, high))
    return Table(
        {
            "lgn_type": np.repeat(np.array(types), n),
            "family": tables.lgn_types["family"][row],
            "tf_Hz": tables.lgn_types["tf_Hz"][row],
            "x_deg": x,
            "y_deg": y,
            "sigma_deg": np.where(fixed, mode, size) / 3,
            "axis_deg": rng.random(len(row)) * 360,
        }
    )


def filters(sources: Table, tables: allen.AllenTables) -> Channels:
    """The linear-nonlinear filters of channels made by `channels`."""
    types = tables.lgn_types
    names = types["lgn_type"].tolist()
    row = np.array([names.index(name) for name in sources["lgn_type"]])
    used = np.unique(row)
    kernels = [_kernel(types, r, "") for r in used]
    composite = np.flatnonzero(np.isfinite(types["on_amplitude"][row]))
    second = None
    if len(composite):
        two = np.unique(row[composite])
        axis = np.deg2rad(sources["axis_deg"][composite])
        apart = types["separation_deg"][row[composite]]
        second = Subfields(
            channel=composite,
            x_deg=sources["x_deg"][composite] + apart * np.cos(axis),
            y_deg=sources["y_deg"][composite] + apart * np.sin(axis),
            sigma_deg=sources["sigma_deg"][composite],
            amplitude=types["on_amplitude"][row[composite]],
            kernel=len(kernels) + np.searchsorted(two, row[composite]),
        )
        kernels += [_kernel(types, r, "on_") for r in two]
    return Channels(
        x_deg=sources["x_deg"],
        y_deg=sources["y_deg"],
        sigma_deg=sources["sigma_deg"],
        amplitude=types["amplitude"][row],
        spontaneous_Hz=types["spontaneous_Hz"][row],
        kernel=np.searchsorted(used, row),
        kernels=kernels,
        second=second,
    )


def _kernel(types: Table, row: int, prefix: str) -> np.ndarray:
    def pair(name: str, unit: str = "") -> list[float]:
        return [float(types[f"{prefix}{name}_{k}{unit}"][row]) for k in (1, 2)]

    return temporal_kernel(
        pair("weight"),
        pair("kpeak", "_ms"),
        pair("delay", "_ms"),
        extra_delay_ms=float(types[f"{prefix}extra_delay_ms"][row]),
    )


def lgn(column: Network, tables: allen.AllenTables | None = None) -> LGN:
    """The LGN that drives `column`: ``lgn(column).respond(movie)`` gives rates of its channels.

    Raises
    ------
    InputError : the network has no LGN input

    Examples
    --------
    >>> from circuits import v1
    >>> from toolkit import stimuli
    >>> column = v1.column(300, seed=1)
    >>> v1.lgn(column).respond(stimuli.grey(duration_ms=100)).rates_Hz.shape
    (100, 832)
    """
    source = column.inputs.get("lgn")
    if source is None or source.sources is None:
        raise InputError("this network has no LGN input; networks of v1.column have one")
    return LGN(filters(source.sources, tables or allen.load()))
