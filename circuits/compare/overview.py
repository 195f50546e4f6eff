"""The picture that a comparison opens with."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from circuits.compare.findings import GROUPS, by_group, number
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
from circuits.compare.study import RATE_FORM, Study
from toolkit import metrics, plots

N_RASTER, MIN_RASTER = 350, 6
N_EXAMPLES = 8
EXAMPLE_MIN_HZ = 1.0


def overview(study: Study, agreement: pd.DataFrame, classes: pd.DataFrame) -> Figure:
    """The picture of the study: raster, spikes against rates, tuning curves, class rates.

    Parameters
    ----------
    study : of `run_study`
    agreement, classes : `measures.agreement` and `measures.by_class` of it
    """
    cells = Cells(study.network)
    with plots.style():
        figure = plots.new_figure(13.0, 10.4)
        _raster(figure.add_axes((0.047, 0.375, 0.33, 0.56)), study, cells)
        for k, condition in enumerate(("evoked", "spontaneous")):
            axes = figure.add_axes((0.435 + 0.295 * k, 0.667, 0.265, 0.268))
            _scatter(axes, study, cells, agreement, condition)
        grid = figure.add_gridspec(
            2, 4, left=0.435, right=0.99, top=0.57, bottom=0.375, wspace=0.26, hspace=0.52
        )
        chosen = example_neurons(study)
        for k, neuron in enumerate(chosen):
            axes = figure.add_subplot(grid[k // 4, k % 4])
            _tuning(axes, study, cells, int(neuron))
            if k % 4 == 0:
                axes.set_ylabel("Hz")
            if k + 4 < len(chosen):
                axes.tick_params(axis="x", labelbottom=False)
        for k, (title, condition) in enumerate((("d", "spontaneous"), ("e", "evoked"))):
            axes = figure.add_axes((0.047 + 0.49 * k, 0.052, 0.453, 0.212))
            _class_rates(axes, cells, classes, condition, title)
        _overview_legends(figure, cells)
    return figure


def _overview_legends(figure: Figure, cells: Cells) -> None:
    figure.legend(
        handles=kind_handles(cells),
        loc="upper left",
        bbox_to_anchor=(0.04, 0.998),
        ncols=4,
        columnspacing=1.2,
    )
    curves = [
        Line2D([], [], marker="o", ls="none", ms=3.5, color=plots.INK, label="spiking ± s.e.m."),
        Line2D([], [], color=plots.MIDDLE, lw=1.6, label="rate form (colour of its kind)"),
    ]
    figure.text(0.435, 0.6, "c  Tuning of eight neurons, rate against direction (degrees)", size=9)
    figure.legend(
        handles=curves, loc="center right", bbox_to_anchor=(0.995, 0.6035), ncols=2, columnspacing=1
    )
    bars = [
        Patch(facecolor=plots.MIDDLE, label="spiking, class mean"),
        Patch(facecolor="white", edgecolor=plots.MIDDLE, label="rate form, class mean"),
        *recorded_handles(),
    ]
    figure.legend(
        handles=bars, loc="upper right", bbox_to_anchor=(0.995, 0.325), ncols=4, columnspacing=1.4
    )


def raster_rows(study: Study, n: int = N_RASTER) -> np.ndarray:
    """Neurons of the raster from top to bottom: by class, a share of each, by preferred angle.

    Classes are shown in proportion, but with `MIN_RASTER` neurons or all they have.
    """
    cells, rows = Cells(study.network), []
    for k in range(len(cells.classes)):
        own = np.flatnonzero(cells.of_neuron == k)
        own = own[np.argsort(study.neurons["tuning_deg"][own], kind="stable")]
        count = min(len(own), max(MIN_RASTER, round(n * len(own) / study.network.n)))
        rows.append(own[np.linspace(0, len(own) - 1, count).round().astype(int)])
    return np.concatenate(rows)


def _raster(axes: Axes, study: Study, cells: Cells) -> None:
    rows = raster_rows(study)
    cls = cells.of_neuron[rows]
    onset = study.protocol.before_ms
    plots.raster(axes, study.raster, rows, colours=[cells.colours[k] for k in cls], zero_ms=onset)
    layer = np.array(cells.layer)[cls]
    middles = []
    for name in (name for name in LAYERS if (layer == name).any()):
        own = np.flatnonzero(layer == name)
        middles.append((own.mean(), f"L{name}"))
        if own[0] > 0:
            axes.axhline(own[0] - 0.5, color=plots.MIDDLE, lw=0.6)
    axes.set_yticks([place for place, _ in middles], [name for _, name in middles])
    axes.tick_params(axis="y", length=0)
    axes.axvline(0, color=plots.INK, lw=1.0)
    axes.axvspan(-onset, 0, color=plots.PALE, alpha=0.45, lw=0, zorder=0)
    above = axes.get_xaxis_transform()
    axes.text(-onset / 2, 1.005, "grey", ha="center", va="bottom", size=8, transform=above)
    axes.text(15, 1.005, "grating on", ha="left", va="bottom", size=8, transform=above)
    direction = study.protocol.directions_deg[0]
    axes.set_title(f"a  Spikes of {len(rows)} neurons, one trial, {direction:g}°", pad=14)
    axes.set_xlabel("time from grating onset, ms")


def _scatter(
    axes: Axes, study: Study, cells: Cells, agreement: pd.DataFrame, condition: str
) -> None:
    spiking, rates = {
        "evoked": (study.spiking_evoked_Hz, study.evoked_Hz[RATE_FORM]),
        "spontaneous": (study.spiking_grey_Hz, study.grey_Hz[RATE_FORM]),
    }[condition]
    plots.rate_scatter(axes, rates, spiking, cells.masks(), KINDS)
    what = {
        "evoked": "b  Evoked, each neuron and direction",
        "spontaneous": "Spontaneous, each neuron",
    }[condition]
    every, e, i = (by_group(agreement, condition, RATE_FORM)[name] for name in GROUPS)
    axes.set_title(
        f"{what}\nR² {number(every['R2'])} (E {number(e['R2'])}, I {number(i['R2'])})\n"
        f"log R² {number(every['log_R2'])}, slope {number(every['slope'], 2)}"
    )
    axes.set_xlabel("rate form, Hz")
    if condition == "evoked":
        axes.set_ylabel("spiking, Hz")


def example_neurons(study: Study, n: int = N_EXAMPLES) -> np.ndarray:
    """Neurons for the tuning curves, chosen by class and selectivity, never by agreement.

    Half are excitatory, half inhibitory, as far as there are that many; of each half the classes
    with most active neurons (`EXAMPLE_MIN_HZ` at the best direction, in spikes) take turns, and
    the neurons stand at evenly spread ranks of the spiking OSI within their class.
    """
    spiking = study.spiking_evoked_Hz
    active = spiking.max(axis=0) >= EXAMPLE_MIN_HZ
    index = metrics.osi(spiking, study.protocol.directions_deg)
    chosen: list[int] = []
    for mask, count in ((groups(study)["E"], (n + 1) // 2), (groups(study)["I"], n // 2)):
        names, sizes = np.unique(study.neurons["cell_class"][mask & active], return_counts=True)
        names = names[np.argsort(-sizes, kind="stable")][:count]
        picked: list[int] = []
        for k in range(count if len(names) else 0):
            own = np.flatnonzero(active & (study.neurons["cell_class"] == names[k % len(names)]))
            own = np.setdiff1d(own, picked)
            if len(own):
                own = own[np.argsort(index[own], kind="stable")]
                rank = (count - k - 0.5) / count  # the first is the sharpest
                picked.append(int(own[int(rank * len(own))]))
        chosen += sorted(picked)
    return np.array(chosen, dtype=int)


def _tuning(axes: Axes, study: Study, cells: Cells, neuron: int) -> None:
    k = cells.of_neuron[neuron]
    trials = study.evoked_counts[:, :, neuron] * (1000 / study.protocol.evoked_ms)
    directions = study.protocol.directions_deg
    rates = study.evoked_Hz[RATE_FORM][:, neuron]
    plots.tuning_curve(axes, directions, trials, rates, colour=cells.colours[k])
    index = float(metrics.osi(study.spiking_evoked_Hz[:, neuron], directions))
    axes.set_title(f"{cells.classes[k]}, OSI {number(index, 2)}", color=cells.colours[k], size=8.5)


def _class_rates(
    axes: Axes, cells: Cells, classes: pd.DataFrame, condition: str, letter: str
) -> None:
    spiking = classes[f"{condition}_spiking_Hz"].to_numpy()
    rates = classes[f"{condition}_rate_Hz"].to_numpy()
    plots.paired_bars(axes, spiking, rates, cells.colours)
    median, low, high, few = _recorded(classes, condition)
    plots.with_quartiles(axes, np.arange(len(classes)) + 0.3, median, low, high, few=few)
    top = np.nanmax([*spiking, *rates, *high, 1.0])
    plots.compressed_rate_axis(axes, 1.15 * float(top))
    class_axis(axes, cells)
    axes.set_title(f"{letter}  {condition.capitalize()} rates", pad=16)
    axes.set_ylabel("Hz (logarithmic above 1)")


def _recorded(classes: pd.DataFrame, condition: str) -> tuple[np.ndarray, ...]:
    names = [f"recorded_{condition}_{part}_Hz" for part in ("median", "p25", "p75")]
    table = classes.reindex(columns=[*names, "recorded_units"]).to_numpy(dtype=float).T
    return table[0], table[1], table[2], table[3] < FEW_UNITS
