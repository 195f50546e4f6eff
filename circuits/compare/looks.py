"""How the kinds of cell look in every figure: colours, order, the axis of classes."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from circuits import allen
from toolkit import plots
from toolkit.network import Network

KINDS = {"E": plots.VERMILION, "Pvalb": plots.BLUE, "Sst": plots.GREEN, "Htr3a": plots.PURPLE}
LAYERS = ("1", "2/3", "4", "5", "6")
FEW_UNITS = 10


class Cells:
    """Kind, layer and colour of every class and neuron of a network.

    Raises `InputError` for a class that the Allen tables do not have.

    Attributes
    ----------
    classes, kind, layer, colours : of each class, in the network's order
    of_neuron : number of the class of each neuron
    """

    def __init__(self, network: Network):
        tables = allen.load()
        self.classes = network.classes
        self.layer = [str(layer) for layer in tables.layer_of(np.array(self.classes))]
        marker = tables.classes["marker"][
            [tables.classes["cell_class"].tolist().index(name) for name in self.classes]
        ]
        self.kind = marker.tolist()
        self.colours = [KINDS[kind] for kind in self.kind]
        self.of_neuron = np.array(
            [self.classes.index(name) for name in network.neurons["cell_class"].tolist()]
        )

    def masks(self) -> dict[str, np.ndarray]:
        """Neurons of each kind."""
        kind = np.array(self.kind)[self.of_neuron]
        return {name: kind == name for name in KINDS if (kind == name).any()}


def class_axis(axes: Axes, cells: Cells) -> None:
    """Name the classes below and their layers above, with a rule between layers."""
    n = len(cells.classes)
    axes.set_xticks(range(n), cells.kind, rotation=90)
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-0.6, n - 0.4)
    for k, layer in enumerate(cells.layer):
        first = k == 0 or cells.layer[k - 1] != layer
        if first:
            last = n - 1 - cells.layer[::-1].index(layer)
            axes.text(
                (k + last) / 2, 1.02, f"L{layer}", ha="center", size=8,
                transform=axes.get_xaxis_transform(),
            )  # fmt: skip
        if first and k > 0:
            axes.axvline(k - 0.5, color=plots.PALE, lw=0.8, zorder=0)


def kind_handles(cells: Cells) -> list[Line2D]:
    """Legend entries of the kinds of cell that there are."""
    return [
        Line2D([], [], marker="o", ls="none", ms=5, color=colour, label=name)
        for name, colour in KINDS.items()
        if name in cells.kind
    ]


def recorded_handles() -> list[Line2D]:
    """Legend entries of the recorded medians."""
    names = {plots.INK: "recorded, median and quartiles", "white": f"fewer than {FEW_UNITS} units"}
    return [
        Line2D([], [], marker="D", color=plots.INK, ms=4, lw=1, mfc=face, label=name)
        for face, name in names.items()
    ]
