"""The LGN of the V1 column.

`channels`: 13 types of cell, 64 channels each on an 8 x 8 grid, 832 in all, for small columns and
images. `published_channels`: the 17,400 cells of 14 types of the published networks.
"""

from __future__ import annotations

import numpy as np

from circuits import allen
from toolkit.errors import InputError, unknown
from toolkit.lgn import LGN, Channels, Subfields, temporal_kernel
from toolkit.network import Network
from toolkit.rng import stream
from toolkit.table import Table

AnyTables = allen.AllenTables | allen.V1DDTables
GRID = 8  # channels of a type along each side
COLUMN_FIELD_DEG = 37.0  # side of the grid around the column's own field
IMAGE_FIELD_DEG = 60.0  # side of the grid over an image: that of the stimuli's default canvas
PUBLISHED_FIELD_DEG = (240.0, 120.0)  # width and height (Billeh et al. 2020)
V1DD_FIELD_DEG = (120.0, 80.0)  # of the second generation (biorealistic-v1-model, 2026)
N_TILES = (15, 10)  # of the published fields, across and up


def channels(
    tables: allen.AllenTables,
    *,
    types: tuple[str, ...] = allen.DEFAULT_LGN_TYPES,
    field_deg: float = COLUMN_FIELD_DEG,
    seed: int,
) -> Table:
    """A grid of channels: type, place in the visual field (degrees from its centre) and size.

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
    rows = _rows_of(types, tables)
    if not field_deg > 0:
        raise InputError(f"the field must be above 0 degrees, got {field_deg}")
    places = ((np.arange(GRID) + 0.5) / GRID - 0.5) * field_deg
    x, y = (np.tile(grid.ravel(), len(rows)) for grid in np.meshgrid(places, places))
    return _described(np.repeat(rows, GRID**2), x, y, tables, stream(seed, "lgn channels"))


def published_channels(
    tables: AnyTables,
    *,
    types: tuple[str, ...] | None = None,
    size_deg: tuple[float, float] = PUBLISHED_FIELD_DEG,
    seed: int,
) -> Table:
    """The LGN cells of the published networks: uniform in each of 15 x 10 tiles of the field.

    Published networks also draw the weights, peaks and delays of every cell's kernel anew within
    2.5 %. Here the cells of a type share its kernel (our choice): the spread is small beside that
    of sizes and places, and 17,400 kernels of their own would be 85 MB and as many transforms.

    Parameters
    ----------
    tables : Allen tables; ``n_per_tile`` of `tables.lgn_types` cells of a type in each tile
    types : LGN types; by default all 14 that the published networks have
    size_deg : (width, height) of the field
    seed : of the stream of places, sizes and axes

    Returns
    -------
    Table : as of `channels`, 17,400 rows

    Raises
    ------
    InputError : a type that is unknown or that the published networks do not have

    >>> from circuits import allen
    >>> cells = published_channels(allen.load(), seed=1)
    >>> len(cells.rows), bool(abs(cells["x_deg"]).max() < 120)
    (17400, True)
    """
    each = tables.lgn_types["n_per_tile"]
    if types is None:
        types = tuple(tables.lgn_types["lgn_type"][each > 0].tolist())
    rows = _rows_of(types, tables)
    for name, row in zip(types, rows, strict=True):
        if not each[row]:
            raise InputError(
                f"LGN type {name!r} is not in the published networks; types=None takes the 14 "
                "that are"
            )
    row = np.repeat(rows, each[rows] * N_TILES[0] * N_TILES[1])
    rng = stream(seed, "lgn field")
    across, up = (
        (np.tile(tiles, each[rows].sum()) + rng.random(len(row))) * (side / n) - side / 2
        for tiles, side, n in zip(
            divmod(np.arange(N_TILES[0] * N_TILES[1]), N_TILES[1]),
            size_deg,
            N_TILES,
            strict=True,
        )
    )
    return _described(row, across, up, tables, rng)


def _rows_of(types: tuple[str, ...], tables: AnyTables) -> np.ndarray:
    known = tables.lgn_types["lgn_type"].tolist()
    for name in types:
        if name not in known:
            raise unknown("LGN type", name, known)
    if not types:
        raise InputError(f"at least one LGN type is needed; there are {', '.join(known)}")
    return np.array([known.index(name) for name in types])


def _described(
    row: np.ndarray,
    x_deg: np.ndarray,
    y_deg: np.ndarray,
    tables: AnyTables,
    rng: np.random.Generator,
) -> Table:
    """Channels of rows of `tables.lgn_types` at the given places; draws sizes and axes."""
    types = tables.lgn_types
    low, mode, high = (types[f"size_{part}_deg"][row] for part in ("min", "mode", "max"))
    fixed = high <= low
    size = rng.triangular(low, mode, np.where(fixed, low + 1, high))
    return Table(
        {
            "lgn_type": types["lgn_type"][row],
            "family": types["family"][row],
            "tf_Hz": types["tf_Hz"][row],
            "x_deg": x_deg,
            "y_deg": y_deg,
            "sigma_deg": np.where(fixed, mode, size) / 3,
            "axis_deg": rng.random(len(row)) * 360,
        }
    )


def filters(sources: Table, tables: AnyTables) -> Channels:
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


def lgn(column: Network, tables: AnyTables | None = None) -> LGN:
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
