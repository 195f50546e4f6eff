"""A drawing of a circuit's classes and how they connect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import networkx as nx
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path

from toolkit import plots
from toolkit.errors import InputError, unknown

Point = tuple[float, float]
WIDTHS = ("weight", "probability")
_BOX = (0.60, 0.34)  # of a class, in units of the grid
_MAX_PT = 5.5  # width of the strongest connection


def class_graph(
    axes: Axes,
    graph: nx.DiGraph,
    rows: Mapping[str, Sequence[str]],
    *,
    width: str = "weight",
    smallest: float = 0.08,
) -> int:
    """Classes as boxes, a row a layer, with lines as wide as their connection is strong.

    Excitation is vermilion and ends in an arrow, inhibition is blue and ends in a bar. E classes
    stand at the left of their row, I classes at the right; the number in a box is that of neurons.

    Parameters
    ----------
    axes : where to draw; 7 by 7.4 inches show 17 classes well
    graph : of `converters.to_networkx`, level ``"class"``
    rows : the classes of each row, from top to bottom, by its label (in V1: `circuits.v1.layers`)
    width : whose square root a line's width is proportional to: ``"weight"``, the summed weight of
        the connection at one target neuron (pA, mean over target neurons), or ``"probability"``
    smallest : a connection is left out if it makes up less than this share of the excitation, or
        of the inhibition, that its target gets (by `width`)

    Returns
    -------
    number of connections left out

    Raises
    ------
    InputError : an unknown width or class; no class
    """
    if width not in WIDTHS:
        raise unknown("width", width, WIDTHS)
    place = _places(graph, rows)
    if not place:
        raise InputError("there is no class to draw: rows is empty")
    strength = {
        (pre, post): _strength(graph, pre, post, width)
        for pre, post in graph.edges
        if pre in place and post in place
    }
    strongest = max(strength.values(), default=0.0)
    received: dict[tuple[str, bool], float] = {}
    for pair, value in strength.items():
        key = pair[1], _excites(graph, pair)
        received[key] = received.get(key, 0.0) + value
    shown = {
        pair: float(np.sqrt(value / strongest))
        for pair, value in strength.items()
        if value > smallest * received[pair[1], _excites(graph, pair)]
    }
    for pair in sorted(shown, key=shown.__getitem__):
        _draw_connection(axes, graph, pair, place, shown[pair])
    for name, (x, y) in place.items():
        _draw_class(axes, name, graph.nodes[name], x, y)
    right = max(x for x, _ in place.values())
    for k, label in enumerate(rows):
        axes.text(-0.72, -k, label, ha="right", va="center", size=10, color=plots.INK)
    axes.set(xlim=(-1.1, right + 0.5), ylim=(0.25 - len(rows), 0.6), aspect="equal")
    axes.set_axis_off()
    _legend(axes, strongest, width)
    return len(strength) - len(shown)


def _places(graph: nx.DiGraph, rows: Mapping[str, Sequence[str]]) -> dict[str, Point]:
    columns = max((len(names) for names in rows.values()), default=0)
    place: dict[str, Point] = {}
    for k, names in enumerate(rows.values()):
        for name in names:
            if name not in graph:
                raise unknown("class", name, graph)
        left = [name for name in names if graph.nodes[name]["sign"] >= 0]
        right = [name for name in names if graph.nodes[name]["sign"] < 0]
        for i, name in enumerate(left):
            place[name] = (1.15 * i, float(-k))
        for i, name in enumerate(right):
            place[name] = (1.15 * (columns - len(right) + i), float(-k))
    return place


def _strength(graph: nx.DiGraph, pre: str, post: str, width: str) -> float:
    edge = graph.edges[pre, post]
    if width == "probability":
        return float(edge["probability"])
    return abs(edge["weight_pA"]) * edge["synapses"] / graph.nodes[post]["neurons"]


def _excites(graph: nx.DiGraph, pair: tuple[str, str]) -> bool:
    return bool(graph.edges[pair]["weight_pA"] >= 0)


def _colour(node: Mapping[str, Any]) -> str:
    return {1: plots.VERMILION, -1: plots.BLUE}.get(node["sign"], plots.MIDDLE)


def _draw_class(axes: Axes, name: str, node: Mapping[str, Any], x: float, y: float) -> None:
    w, h = _BOX
    axes.add_patch(
        FancyBboxPatch(
            (x - w / 2, y - h / 2), w, h, boxstyle="round,pad=0,rounding_size=0.08",
            facecolor="white", edgecolor=_colour(node), lw=1.4, zorder=5,
        )
    )  # fmt: skip
    text: dict[str, Any] = dict(ha="center", va="center", zorder=6)
    axes.text(x, y + 0.055, name, size=8.5, color=plots.INK, **text)
    axes.text(x, y - 0.085, f"{node['neurons']:,}", size=6.5, color=plots.MIDDLE, **text)


def _draw_connection(
    axes: Axes,
    graph: nx.DiGraph,
    pair: tuple[str, str],
    place: Mapping[str, Point],
    share: float,
) -> None:
    pre, post = pair
    positive = _excites(graph, pair)
    points = max(_MAX_PT * share, 0.6)
    style = f"-|>,head_length={0.25 + 0.02 * points},head_width={0.14 + 0.02 * points}"
    look: dict[str, Any] = dict(
        arrowstyle=style if positive else "-[,widthB=0.25,lengthB=0",
        mutation_scale=9 + 1.2 * points,
        lw=points,
        color=plots.VERMILION if positive else plots.BLUE,
        alpha=0.5 + 0.35 * share,
        shrinkA=0,
        shrinkB=1.5,
        zorder=2 + share,
        capstyle="butt",
        joinstyle="miter",
    )
    if pre == post:
        axes.add_patch(FancyArrowPatch(path=_loop(*place[pre]), **look))
        return
    start, end, rad = _ends(np.array(place[pre]), np.array(place[post]))
    axes.add_patch(FancyArrowPatch(start, end, connectionstyle=f"arc3,rad={rad}", **look))


def _ends(a: np.ndarray, b: np.ndarray) -> tuple[Point, Point, float]:
    """Where an arrow leaves and meets the boxes, and how much it bends."""
    step = b - a
    past_a_box = step[0] == 0 and abs(step[1]) > 1
    rad = 0.38 if past_a_box else 0.18
    normal = np.array([step[1], -step[0]])
    middle = (a + b) / 2 + rad * normal
    return _rim(a, middle), _rim(b, middle), rad


def _rim(centre: np.ndarray, towards: np.ndarray) -> Point:
    """The point of a box's rim in a direction."""
    step = towards - centre
    scale = min(
        half / abs(d) if d else np.inf for half, d in zip(np.array(_BOX) / 2, step, strict=True)
    )
    x, y = centre + scale * step
    return float(x), float(y)


def _loop(x: float, y: float) -> Path:
    """From a box to itself, over its upper left corner."""
    w, h = _BOX
    points = [
        (x - w / 2, y + 0.02),
        (x - w / 2 - 0.3, y + 0.08),
        (x - w / 2 - 0.02, y + h / 2 + 0.3),
        (x - w / 2 + 0.12, y + h / 2),
    ]
    return Path(points, [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4])


def _legend(axes: Axes, strongest: float, width: str) -> None:
    unit = " pA" if width == "weight" else ""
    handles = [
        Line2D(
            [], [], color=plots.MIDDLE, lw=_MAX_PT * np.sqrt(share),
            label=f"{float(f'{share * strongest:.2g}'):,g}{unit}",
        )
        for share in (1.0, 0.1, 0.01)
    ]  # fmt: skip
    handles += [
        Line2D([], [], color=colour, lw=2, marker=marker, ms=6, markevery=(1, 2), label=label)
        for colour, marker, label in (
            (plots.VERMILION, ">", "excitation"),
            (plots.BLUE, "|", "inhibition"),
        )
    ]
    title = "summed weight at one target neuron" if width == "weight" else "connection probability"
    axes.legend(
        handles=handles, title=title, loc="upper center", bbox_to_anchor=(0.5, 0.04), ncol=5
    )
