"""``striate tabulate``: make the transfer functions of all Allen cell models."""

from __future__ import annotations

from typing import Annotated

import typer

from circuits.cli.options import Force, Out, Workers, new_file


def tabulate(
    out: Out,
    dt_ms: Annotated[
        float, typer.Option(help="Time step of the spiking simulation, ms.", min=0.01, max=5)
    ] = 0.25,
    workers: Workers = 2,
    force: Force = False,
) -> None:
    """Run every Allen cell model over means and fluctuations of its input; save its rates.

    Some ten minutes. `to_rate` finds the table by a hash of the cells' parameters, in the folder
    converters/data of the package.

    Example: striate tabulate --out transfer_allen.npz
    """
    new_file(out, force)
    if out.suffix != ".npz":
        from toolkit.errors import InputError

        raise InputError(f"--out {out}: the name of a table of transfer functions ends in .npz")
    from circuits import cli
    from circuits.v1.transfer import save_tables

    cli.plain_warnings()
    n = save_tables(out, dt_ms=dt_ms, workers=workers)
    typer.echo(f"{out}: transfer functions of {n} cell models at dt = {dt_ms:g} ms")
