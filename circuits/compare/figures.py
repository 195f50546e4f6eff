"""The further figures of a `Study`: time courses, agreement by class, selectivity, the circuit.

Colour is always the kind of cell; spiking and rate form differ by fill.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from circuits import allen
from circuits.compare.findings import number
from circuits.compare.looks import (
    FEW_UNITS,
    KINDS,
    LAYERS,
    Cells,
    class_axis,
    kind_handles,
    recorded_handles,
)
from circuits.compare.measures import groups
from circuits.compare.responses import (
    active_neurons,
    modulated_direction,
    orientation_difference,
    population_psths,
)
from circuits.compare.study import CONTROLS, RATE_FORM, Study
from toolkit import metrics, plots

R2_FLOOR = -0.5
_MARKS = {RATE_FORM: "o", "no_recurrence": "v", "shuffled": "s"}
_WIDTH_IN = 13.0


def class_psths(study: Study, classes: pd.DataFrame) -> Figure:
    """Rates over the sweep of `modulated_direction`, a panel a class; layers down, kinds across.

    The first row has the means of all excitatory and of all inhibitory neurons.

    Parameters
    ----------
    study : of `run_study`
    classes : `measures.by_class` of it
    """
    cells, direction = Cells(study.network), modulated_direction(study)
    layers = ["1", *(layer for layer in LAYERS[1:] if layer in cells.layer)]
    kinds = list(KINDS)
    panels = []
    for k, (name, pair) in enumerate(population_psths(study).items()):
        r = metrics.psth_correlation(*(each.reshape(-1, 1) for each in pair))[0]
        n, colour = int(groups(study)[name].sum()), (plots.VERMILION, plots.INK)[k]
        panels.append((0, k, f"all {name}", n, r, pair[0][direction], pair[1][direction], colour))
    for k, name in enumerate(cells.classes):
        panels.append(
            (
                layers.index(cells.layer[k]),
                kinds.index(cells.kind[k]),
                name,
                int(classes["neurons"].iloc[k]),
                classes["psth_correlation"].iloc[k],
                study.psth_spikes_Hz[k, direction],
                study.psth_rates_Hz[k, direction],
                cells.colours[k],
            )
        )
    time_ms = np.arange(study.psth_spikes_Hz.shape[-1]) * study.protocol.bin_ms
    with plots.style():
        height = 1.45 * len(layers) + 0.8
        figure = plots.new_figure(_WIDTH_IN, height)
        grid = figure.add_gridspec(
            len(layers),
            len(kinds),
            left=0.045,
            right=0.985,
            bottom=0.5 / height,
            top=1 - 0.55 / height,
            wspace=0.14,
            hspace=0.42,
        )
        for row, column, name, n, r, spikes, rates, colour in panels:
            axes = figure.add_subplot(grid[row, column])
            plots.psth_pair(axes, time_ms - study.protocol.before_ms, spikes, rates, colour=colour)
            axes.axvline(0, color=plots.INK, lw=0.7)
            unit = "neuron" if n == 1 else "neurons"
            axes.set_title(f"{name}, {n:,} {unit}, r {number(r, 2)}", color=colour)
            if row == len(layers) - 1:
                axes.set_xlabel("time from grating onset, ms")
            else:
                axes.tick_params(axis="x", labelbottom=False)
            if column == 0:
                axes.set_ylabel("Hz")
        handles = [
            Patch(facecolor=plots.PALE, label="spiking, trial mean"),
            Line2D([], [], color=plots.MIDDLE, lw=1.4, label="rate form (colour of its kind)"),
        ]
        figure.legend(handles=handles, loc="upper right", ncols=2, bbox_to_anchor=(0.995, 0.999))
    return figure


def class_agreement(study: Study, classes: pd.DataFrame) -> Figure:
    """R2 of each class: rate form, controls and ceiling, evoked and spontaneous."""
    cells, forms = Cells(study.network), [RATE_FORM, *(f for f in CONTROLS if f in study.evoked_Hz)]
    place = np.arange(len(classes))
    shifts = dict(zip(_MARKS, (0.0, -0.22, 0.22), strict=True))
    with plots.style():
        figure = plots.new_figure(_WIDTH_IN, 3.6)
        for k, condition in enumerate(("evoked", "spontaneous")):
            axes = figure.add_axes((0.05 + 0.495 * k, 0.17, 0.445, 0.6))
            axes.axhline(0, color=plots.MIDDLE, lw=0.6)
            ceiling = classes[f"{condition}_ceiling"].to_numpy()
            axes.hlines(ceiling, place - 0.4, place + 0.4, color=plots.INK, lw=1.2)
            for form in forms:
                column = f"{condition}_R2" + ("" if form == RATE_FORM else f"_{form}")
                values = classes[column].to_numpy()
                _r2_marks(axes, place + shifts[form], values, _MARKS[form], cells.colours)
            axes.set_ylim(R2_FLOOR - 0.08, 1.08)
            axes.set_ylabel("R² across neurons")
            axes.set_title("ab"[k] + f"  {condition.capitalize()}", pad=16)
            class_axis(axes, cells)
        figure.legend(
            handles=_r2_handles(forms), loc="upper right", ncols=5, bbox_to_anchor=(0.995, 0.998)
        )
    return figure


def _r2_handles(forms: list[str]) -> list[Line2D]:
    names = {RATE_FORM: "rate form"} | {k: f"control: {v}" for k, v in CONTROLS.items()}
    handles = [
        Line2D([], [], marker=_MARKS[form], ls="none", color=plots.MIDDLE, label=names[form])
        for form in forms
    ]
    for handle in handles[1:]:
        handle.set_markerfacecolor("white")
    below = f"below {number(R2_FLOOR, 1)}"
    arrow = Line2D([], [], marker=r"$\downarrow$", ls="none", color=plots.MIDDLE, label=below)
    return [*handles, Line2D([], [], color=plots.INK, lw=1.2, label="ceiling"), arrow]


def _r2_marks(
    axes: Axes, place: np.ndarray, values: np.ndarray, mark: str, colours: list[str]
) -> None:
    for x, value, colour in zip(place, values, colours, strict=True):
        if np.isnan(value):
            continue
        below, filled = value < R2_FLOOR, mark == "o"
        axes.plot(
            x,
            R2_FLOOR if below else value,
            marker=r"$\downarrow$" if below else mark,
            ms=6 if below or filled else 4.5,
            mec=colour,
            mfc=colour if filled or below else "white",
            mew=0.3 if below else 1.0,
        )


def selectivity(study: Study, classes: pd.DataFrame) -> Figure:
    """OSI and DSI of classes beside the recorded ones, and of neurons; preferred orientation."""
    cells = Cells(study.network)
    recorded = allen.load().neuropixels.to_pandas().set_index("cell_class").loc[cells.classes]
    with plots.style():
        figure = plots.new_figure(_WIDTH_IN, 6.6)
        for k, index in enumerate(("osi", "dsi")):
            axes = figure.add_axes((0.05 + 0.495 * k, 0.61, 0.445, 0.26))
            model = [classes[f"{index}_{form}"].to_numpy() for form in ("spiking", "rate")]
            plots.paired_bars(axes, model[0], model[1], cells.colours)
            plots.with_quartiles(
                axes,
                np.arange(len(classes)) + 0.3,
                *(recorded[f"{index}_{part}"].to_numpy() for part in ("median", "p25", "p75")),
                few=(recorded["n_units_osi"] < FEW_UNITS).to_numpy(),
            )
            axes.set_ylim(0, None)
            axes.set_ylabel(f"{index.upper()}, median")
            axes.set_title("ab"[k] + f"  {index.upper()} by class", pad=16)
            class_axis(axes, cells)
        for k, index in enumerate(("osi", "dsi")):
            axes = figure.add_axes((0.05 + 0.255 * k, 0.075, 0.2, 0.395))
            _index_scatter(axes, study, cells, index)
            axes.set_title("cd"[k] + f"  {index.upper()}, each active neuron")
        axes = figure.add_axes((0.6, 0.075, 0.39, 0.395))
        _orientation_difference(axes, study)
        axes.set_title("e  Preferred orientation, each active neuron")
        handles = [
            *kind_handles(cells),
            Patch(facecolor=plots.MIDDLE, label="spiking"),
            Patch(facecolor="white", edgecolor=plots.MIDDLE, label="rate form"),
            *recorded_handles(),
        ]
        figure.legend(
            handles=handles, loc="upper right", ncols=8, bbox_to_anchor=(0.995, 0.998),
            columnspacing=1.3,
        )  # fmt: skip
    return figure


def _index_scatter(axes: Axes, study: Study, cells: Cells, index: str) -> None:
    function = {"osi": metrics.osi, "dsi": metrics.dsi}[index]
    active, directions = active_neurons(study), study.protocol.directions_deg
    x = function(study.evoked_Hz[RATE_FORM], directions)
    y = function(study.spiking_evoked_Hz, directions)
    axes.plot([0, 1], [0, 1], color=plots.MIDDLE, lw=0.8)
    for kind, mask in cells.masks().items():
        own = mask & active
        axes.plot(x[own], y[own], "o", ms=2.4, mew=0, alpha=0.5, color=KINDS[kind])
    ticks = np.arange(0, 1.01, 0.2)
    top = max(0.3, 1.05 * float(np.max([*x[active], *y[active], 0.0])))
    ticks = ticks if top > 0.5 else np.arange(0, 0.51, 0.1)
    axes.set(xticks=ticks, yticks=ticks, xlim=(0, top), ylim=(0, top), aspect="equal")
    axes.set(xlabel=f"{index.upper()}, rate form", ylabel=f"{index.upper()}, spiking")


def _orientation_difference(axes: Axes, study: Study) -> None:
    difference, edges = orientation_difference(study), np.linspace(-90, 90, 37)
    for name, colour, fill in (("E", plots.VERMILION, True), ("I", plots.INK, False)):
        own = difference[groups(study)[name] & ~np.isnan(difference)]
        if len(own):
            axes.stairs(
                np.histogram(own, edges)[0] * (100 / len(own)),
                edges,
                color=colour,
                fill=fill,
                alpha=0.45 if fill else 1,
                lw=1.3,
                label=f"{name}, {len(own):,} neurons",
            )
            axes.legend(loc="upper right")
    axes.set(xlim=(-90, 90), xticks=[-90, -45, 0, 45, 90], ylim=(0, None))
    axes.set(xlabel="rate form less spiking, degrees (bins of 5)", ylabel="neurons, %")


def circuit(study: Study) -> Figure:
    """The column: in-degree of each class from E, I and LGN, and from each class."""
    cells, summary = Cells(study.network), study.network.summary().loc[study.network.classes]
    with plots.style():
        figure = plots.new_figure(_WIDTH_IN, 4.4)
        axes = figure.add_axes((0.05, 0.17, 0.47, 0.68))
        parts = [("E", "in_degree_E", plots.VERMILION), ("I", "in_degree_I", plots.INK)]
        if "in_degree_lgn" in summary:
            parts.append(("LGN", "in_degree_lgn", plots.SKY))
        bottom = np.zeros(len(summary))
        for name, column, colour in parts:
            axes.bar(range(len(summary)), summary[column], 0.7, bottom, color=colour, label=name)
            bottom += summary[column].to_numpy()
        axes.set_ylabel("synapses onto a neuron, mean")
        axes.set_ylim(0, max(1.0, 1.1 * bottom.max()))
        axes.legend(ncols=3, loc="lower right", bbox_to_anchor=(1.0, 1.06), title="from")
        axes.set_title("a  In-degree of each class", pad=16)
        class_axis(axes, cells)
        _in_degree_map(figure, study, cells)
    return figure


def _in_degree_map(figure: Figure, study: Study, cells: Cells) -> None:
    n, synapses = len(cells.classes), study.network.synapses
    pair = cells.of_neuron[synapses.post] * n + cells.of_neuron[synapses.pre]
    count = np.bincount(pair, minlength=n * n).reshape(n, n)
    mean = count / np.bincount(cells.of_neuron, minlength=n)[:, None]
    axes = figure.add_axes((0.615, 0.17, 0.31, 0.755))
    # the square root shows weak pathways beside the strong ones
    norm = PowerNorm(0.5, vmin=0, vmax=max(1.0, float(mean.max())))
    image = axes.imshow(mean, cmap="cividis", norm=norm, interpolation="nearest", aspect="auto")
    axes.set_xticks(range(n), cells.classes, rotation=90, size=7)
    axes.set_yticks(range(n), cells.classes, size=7)
    axes.set(xlabel="from", ylabel="onto")
    axes.set_title("b  In-degree by class of the source")
    bar = figure.colorbar(image, cax=figure.add_axes((0.935, 0.17, 0.012, 0.755)))
    bar.set_label("synapses onto a neuron, mean (square-root scale)")
