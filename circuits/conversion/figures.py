"""The figures of a report card."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from circuits.conversion.measures import SPIKES_IN, class_courses, mean_rates_Hz, neuron_r_squared
from circuits.conversion.responses import BIN_MS
from circuits.conversion.study import HELD, NO_W, ONE_FACTOR, SHUFFLED, Study
from toolkit import plots
from toolkit.table import Table

COLOURS = {NO_W: plots.MIDDLE, SHUFFLED: plots.PURPLE, ONE_FACTOR: plots.ORANGE}
MORE = (plots.GREEN, plots.SKY, plots.BLUE)  # of networks with more replicas
N_COURSES = 6


def colour_of(forms: Sequence[str]) -> dict[str, str]:
    """A colour for each spiking network, the first converted one in vermilion."""
    further = iter(MORE * len(forms))
    found = {}
    for k, form in enumerate(forms):
        found[form] = plots.VERMILION if k == 0 else COLOURS.get(form) or next(further)
    return found


def draw_overview(study: Study, accuracy: Table) -> Figure:
    """Spiking against rate, R2 of neurons beside the controls, accuracy by window."""
    tasks = [task.name for task in study.shown[HELD].data.tasks]
    figure = plots.new_figure(11.5, 6.6)
    grid = figure.add_gridspec(2, 6)
    first = figure.add_subplot(grid[0, :3])
    excitatory = study.trained.network.excitatory
    plots.rate_scatter(
        first,
        mean_rates_Hz(study.rate[HELD]),
        mean_rates_Hz(study.forms[study.converted][HELD]),
        {"E": excitatory, "I": ~excitatory},
        {"E": plots.VERMILION, "I": plots.BLUE},
    )
    first.set(xlabel="rate network, Hz", ylabel="spikes, Hz", title="(a) neurons, mean of a task")
    first.legend(loc="upper left", markerscale=2)
    _distributions(figure.add_subplot(grid[0, 3:]), study)
    for k, task in enumerate(tasks):
        width = 6 // len(tasks)
        axes = figure.add_subplot(grid[1, k * width : (k + 1) * width])
        _windows(axes, study, accuracy, task)
        axes.set_title(f"({chr(ord('c') + k)}) {task}")
        if k == 0:
            axes.set_ylabel("accuracy, %")
            axes.legend(fontsize=7)
    figure.tight_layout()
    return figure


def _distributions(axes: Axes, study: Study) -> None:
    """Share of neurons below an R2, noise-corrected where trials allow it."""
    for form, colour in colour_of(list(study.forms)).items():
        raw, corrected = neuron_r_squared(study.rate[HELD], study.forms[form][HELD])
        values = corrected if np.isfinite(corrected).any() else raw
        values = np.sort(values[np.isfinite(values)])
        if len(values):
            share = np.arange(1, len(values) + 1) / len(values)
            axes.plot(np.clip(values, -1, 1.2), share, color=colour, lw=1.4, label=form)
    axes.axvline(1, color=plots.PALE, lw=0.8)
    axes.set(
        xlim=(-1, 1.2), ylim=(0, 1), xlabel="R2 of a neuron across items",
        ylabel="share of neurons below", title="(b) agreement across items",
    )  # fmt: skip
    axes.legend(loc="upper left")


def _windows(axes: Axes, study: Study, accuracy: Table, task: str) -> None:
    colours = {
        "rate network": plots.INK, SPIKES_IN: plots.MIDDLE, **colour_of(list(study.forms))
    }  # fmt: skip
    for form, colour in colours.items():
        own = accuracy.where(form=form, timing=HELD, task=task)
        line = "--" if form in ("rate network", SPIKES_IN) else "-"
        axes.plot(own["window_ms"], 100 * own["accuracy"], line, color=colour, lw=1.3, label=form)
        if form == study.converted:
            axes.fill_between(
                own["window_ms"], 100 * own["low"], 100 * own["high"], color=colour, alpha=0.15
            )
    ticks = accuracy.where(form=study.converted, timing=HELD, task=task)["window_ms"]
    axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set(xlabel="decision window, ms")


def draw_courses(study: Study) -> Figure:
    """Mean rate of the largest classes over a trial, spikes against rates, by task."""
    cell_class, data = study.trained.cell_class, study.shown[HELD].data
    names, counts = np.unique(cell_class, return_counts=True)
    chosen = names[np.argsort(-counts, kind="stable")][:N_COURSES].tolist()
    figure = plots.new_figure(2.0 * len(chosen) + 0.6, 1.7 * len(data.tasks) + 0.3)
    panels = figure.subplots(len(data.tasks), len(chosen), squeeze=False)
    colour = {True: plots.VERMILION, False: plots.BLUE}
    for row, task in enumerate(data.tasks):
        spikes = class_courses(study.forms[study.converted][HELD], cell_class, row)
        rates = class_courses(study.rate[HELD], cell_class, row)
        for axes, name in zip(panels[row], chosen, strict=True):
            excitatory = bool(study.trained.network.excitatory[cell_class == name][0])
            time = np.arange(len(rates[name])) * BIN_MS
            plots.psth_pair(axes, time, spikes[name], rates[name], colour=colour[excitatory])
            if row == 0:
                axes.set_title(name)
        panels[row, 0].set_ylabel(f"{task.name}\nHz")
    for axes in panels[-1]:
        axes.set_xlabel("ms")
    figure.tight_layout()
    return figure


def draw_selectivity(study: Study) -> Figure:
    """OSI and DSI of active neurons in both forms, and histograms of rates."""
    figure = plots.new_figure(9.6, 3.2)
    panels, excitatory = figure.subplots(1, 3), study.trained.network.excitatory
    for axes, index in zip(panels, ("osi", "dsi"), strict=False):
        x, y = getattr(study.gratings, index)
        for mask, colour in ((excitatory, plots.VERMILION), (~excitatory, plots.BLUE)):
            axes.plot(x[mask], y[mask], "o", ms=2, mew=0, alpha=0.5, color=colour)
        known = np.concatenate([x[np.isfinite(x)], y[np.isfinite(y)], [0.1]])
        axes.plot([0, known.max()], [0, known.max()], color=plots.MIDDLE, lw=0.8)
        r = study.gratings.correlation(index)
        axes.set(xlabel="rate network", ylabel="spikes", title=f"{index.upper()}, r = {r:.2f}")
    edges = np.arange(-1, 2.51, 0.1)
    for responses, colour, label in (
        (study.rate[HELD], plots.INK, "rate network"),
        (study.forms[study.converted][HELD], plots.VERMILION, "spikes"),
    ):
        values = np.log10(mean_rates_Hz(responses).ravel() + 0.1)
        panels[2].stairs(np.histogram(values, edges)[0], edges, color=colour, label=label)
    ticks = (0, 1, 10, 100)
    panels[2].set_xticks(np.log10(np.add(ticks, 0.1)), [str(tick) for tick in ticks])
    panels[2].set(xlabel="rate, Hz", ylabel="neurons and tasks", title="rates")
    panels[2].legend()
    figure.tight_layout()
    return figure
