"""``striate calibrate``: make the table of background weights of a size."""

from __future__ import annotations

from typing import Annotated

import typer

from circuits.cli.options import (
    Compensation,
    Force,
    Out,
    Selection,
    Size,
    Workers,
    new_file,
    seeds_of,
    size_of,
)


def calibrate(
    size: Size,
    out: Out,
    seeds: Annotated[
        str, typer.Option(help="Of the columns that are run together.")
    ] = "1,2,3,4,5,6",
    selection: Selection = "compact",
    compensation: Compensation = "none",
    workers: Workers = 2,
    force: Force = False,
) -> None:
    """Calibrate the background until spontaneous rates are the recorded ones, and save the table.

    Some ten minutes for three columns of 3,000 neurons.

    Example: striate calibrate 3k --seeds 1,2,3 --out background_3k.csv
    """
    new_file(out, force)
    numbers = seeds_of(seeds)
    from circuits import cli, v1
    from circuits.v1.calibrate import calibrate as run
    from circuits.v1.calibrate import table_text
    from toolkit.files import write_text

    cli.plain_warnings()
    columns = [
        v1.column(size_of(size), seed=seed, selection=selection, compensation=compensation)
        for seed in numbers
    ]
    command = f"striate calibrate {size} --seeds {','.join(map(str, numbers))}"
    if selection != "compact":
        command += f" --selection {selection}"
    if compensation != "none":
        command += f" --compensation {compensation}"
    table = run(columns, workers=workers)
    write_text(out, table_text(table, f"the {selection} {size} column", command))
    typer.echo(f"{out}: weights of {len(table.rows)} groups of neurons")
