"""``striate export``: a network file as a SONATA folder, and back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from circuits.cli.options import Force, network_of, new_file


def export(
    source: Annotated[
        Path, typer.Argument(help="A network file, or a SONATA folder or its circuit_config.json.")
    ],
    out: Annotated[
        Path,
        typer.Option(help="The SONATA folder to write, or the network file.", show_default=False),
    ],
    force: Force = False,
) -> None:
    """Write a network file as a SONATA folder, or a SONATA circuit as a network file.

    Example: striate export column.h5 --out sonata (back: striate export sonata --out column.h5)
    """
    network = network_of(source)
    if source.is_file() and source.suffix != ".json":
        from converters import to_sonata

        to_sonata(network, out, overwrite=force)
    else:
        network.save(new_file(out, force))
    typer.echo(f"{out}: {network.n:,} neurons, {len(network.synapses):,} connections")
