"""``striate info``: say what a network file holds."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from circuits.cli.options import network_of, new_file

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from toolkit.network import Network, Synapses


def info(
    file: Annotated[
        Path, typer.Argument(help="A network file, made by striate build, or a SONATA folder.")
    ],
    graph: Annotated[
        Path | None, typer.Option(help="Draw the classes and their connections as this PNG.")
    ] = None,
) -> None:
    """Show what a network file holds: where it comes from, classes, synapses, inputs.

    Example: striate info column.h5 --graph classes.png
    """
    network = network_of(file)
    typer.echo(f"{file}: {network.n:,} {network.model} neurons, seed {network.seed}")
    typer.echo(f"digest {network.digest()}")
    for title, text in (
        ("Provenance", _provenance(network)),
        ("Classes, mean in-degrees (connected pairs)", _classes(network)),
        ("Synapses (a row a connected pair; weights are peak currents)", _synapses(network)),
    ):
        typer.echo(f"\n{title}\n{'-' * len(title)}\n{text}")
    if graph is not None:
        left_out = _draw(network, new_file(graph, force=True))
        typer.echo(f"\n{graph}: the class graph; {left_out} weak connections are not drawn")


def _draw(network: Network, out: Path) -> int:
    from circuits import v1
    from converters import to_networkx
    from toolkit import plots
    from toolkit.files import whole_file
    from toolkit.graph_plot import class_graph

    rows = {f"L{layer}": classes for layer, classes in v1.layers(network).items()}
    with plots.style(), whole_file(out) as aside:
        figure = plots.new_figure(7, 7)
        left_out = class_graph(
            figure.add_axes((0.01, 0.08, 0.98, 0.91)), to_networkx(network), rows
        )
        aside.write_bytes(plots.png(figure))
    return left_out


def _provenance(network: Network) -> str:
    width = max((len(name) for name in network.provenance), default=0)
    return "\n".join(
        f"{name:{width}}  {', '.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in network.provenance.items()
    )


def _classes(network: Network) -> str:
    table = network.summary().rename(columns=lambda name: name.replace("in_degree_", "from "))
    table["sign"] = table["sign"].map({1: "E", -1: "I"})
    return _text(table)


def _synapses(network: Network) -> str:
    import pandas as pd

    names = list(network.receptors)
    rows = {}
    groups = {"recurrent": network.synapses}
    groups |= {name: source.synapses for name, source in network.inputs.items()}
    for group, synapses in groups.items():
        for k, receptor in enumerate(names):
            mine = synapses.receptor == k
            if mine.any():
                rows[f"{group} {receptor}"] = _statistics(synapses, mine)
    return _text(pd.DataFrame.from_dict(rows, orient="index"))


def _statistics(synapses: Synapses, mine: np.ndarray) -> dict[str, float]:
    import numpy as np

    weight, delay = synapses.weight[mine], synapses.delay_ms[mine]
    low, median, high = np.quantile(weight, [0.05, 0.5, 0.95])
    return {
        "pairs": len(weight),
        "mean pA": float(weight.mean(dtype=float)),
        "5 %": low,
        "median": median,
        "95 %": high,
        "delay ms": float(delay.mean(dtype=float)),
    }


def _text(table: pd.DataFrame) -> str:
    table = table.rename_axis(None)
    whole = {name for name in ("neurons", "pairs") if name in table}
    formatters = {
        name: (lambda value: f"{value:,.0f}") if name in whole else (lambda value: f"{value:.4g}")
        for name in table.columns
        if name != "sign"
    }
    return table.to_string(formatters=formatters)
