"""``striate build``: make a V1 column and save it."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from circuits.cli.options import Compensation, Force, Out, Seed, Selection, Size, new_file, size_of


def build(
    size: Size,
    out: Out,
    seed: Seed = 1,
    selection: Selection = "compact",
    compensation: Compensation = "none",
    lgn_layout: Annotated[
        str, typer.Option(help="column: LGN around the column's own field; image: the whole image.")
    ] = "column",
    force: Force = False,
) -> None:
    """Build a V1 column of Allen cell classes and save it as one HDF5 file.

    Example: striate build 3k --seed 1 --out column.h5
    """
    new_file(out, force)
    started = time.perf_counter()
    from circuits import v1

    column = v1.column(
        size_of(size),
        seed=seed,
        selection=selection,
        compensation=compensation,
        lgn_layout=lgn_layout,
    )
    column.save(out)
    typer.echo(
        f"{out}: {column.n:,} neurons of {len(column.classes)} classes, "
        f"{len(column.synapses):,} connected pairs, in {time.perf_counter() - started:.1f} s\n"
        f"digest {column.digest()}\n"
        f"striate info {out} shows more."
    )
