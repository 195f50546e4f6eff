"""``striate build``: make a V1 column and save it."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Annotated

import typer

from circuits.cli.options import Compensation, Force, Out, Seed, Selection, new_file, size_of


def build(
    out: Out,
    size: Annotated[
        str | None,
        typer.Argument(help="3k, 6k, core, full, or a number of neurons.", metavar="SIZE"),
    ] = None,
    radius_um: Annotated[
        float | None, typer.Option(help="Instead of SIZE: all neurons this near the axis.")
    ] = None,
    seed: Seed = 1,
    data: Annotated[
        str, typer.Option(help="billeh2020, or v1dd: the second generation of Allen data.")
    ] = "billeh2020",
    selection: Selection = "compact",
    compensation: Compensation = "none",
    lgn_layout: Annotated[
        str | None,
        typer.Option(
            help="column: LGN around the column's own field; field: the published one; image: "
            "over a whole image. By the column's width if not given."
        ),
    ] = None,
    scenario: Annotated[
        list[str] | None,
        typer.Option(
            help="uniform_neurons, random_synapses or no_dale; several are applied in turn.",
            metavar="NAME",
        ),
    ] = None,
    tables: Annotated[
        Path | None, typer.Option(help="A folder of tables, as of `striate data refresh`.")
    ] = None,
    force: Force = False,
) -> None:
    """Build a V1 column of Allen cell classes and save it as one HDF5 file.

    Example: striate build 3k --seed 1 --out column.h5
    """
    new_file(out, force)
    started = time.perf_counter()
    from circuits import allen, v1
    from circuits.v1 import scenarios

    steps = scenarios.named(scenario or ())
    column = v1.column(
        None if size is None else size_of(size),
        radius_um=radius_um,
        seed=seed,
        data=data,
        selection=selection,
        compensation=compensation,
        lgn_layout=lgn_layout,
        tables=tables and (allen.load_v1dd if data == "v1dd" else allen.load)(tables),
    )
    if tables:
        provenance = {**column.provenance, "tables": str(tables)}
        column = dataclasses.replace(column, provenance=provenance)
    for step in steps:
        column = step(column, seed)
    column.save(out)
    typer.echo(
        f"{out}: {column.n:,} neurons of {len(column.classes)} classes, "
        f"{len(column.synapses):,} connected pairs, in {time.perf_counter() - started:.1f} s\n"
        f"digest {column.digest()}\n"
        f"striate info {out} shows more."
    )
