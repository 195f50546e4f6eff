"""Figures of an evaluation: trials, PSTHs, each cell's CC against its ceiling, all models."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from circuits.retina.scores import BY, MEASURES, OF_TRIALS, Outcome, correlations
from circuits.retina.setup import Setup
from circuits.retina.trains import rhythm
from toolkit import plots
from toolkit.recording import Recording
from toolkit.retina.fitting.scoring import SCORED_MS, in_scored_bins

SHOWN_MS = 3000.0  # of test windows, one after another
COLUMN_IN, ROW_IN = 2.5, 0.85
PANELS = 4  # measures in a line
COLOURS = {
    "tecos": plots.VERMILION,
    "tecos-noisy": plots.ORANGE,
    "tecos-rate": "#8C3B1A",  # a darker vermilion
    "ln": plots.MIDDLE,
    "glm": plots.INK,
    "cnn": plots.GREEN,
    "ib-disjoint": plots.PURPLE,
    "ib-gp": "#7A6FB0",
    "crnn": plots.BLUE,
    "crnn-time": plots.SKY,
}


def draw(
    tested: Mapping[Setup, Outcome], cells: pd.DataFrame, seeds: pd.DataFrame, models: pd.DataFrame
) -> dict[str, bytes]:
    """All figures as PNG by name; those of trials show the first fold and seed of each model.

    ``rasters``, ``psths``, ``autocorrelograms`` and ``ceiling`` are one of each recording,
    ``models`` is one of all: dotted lines are a perfect model's CC and distances between trials.
    """
    found: dict[str, bytes] = {}
    studies = dict.fromkeys((s.data, s.bin_ms, s.folds) for s in tested)
    with plots.style():
        found["models"] = plots.png(_models(seeds, models))
        for data, bin_ms, n in studies:
            own = {
                s: t for s, t in tested.items() if (s.data, s.bin_ms, s.folds) == (data, bin_ms, n)
            }
            several = sum(name == data for name, *_ in studies) > 1
            ending = f"{data}_{bin_ms:g}ms_{n}_folds" if several else data
            chosen = _firsts(own)
            examples = example_cells(next(iter(chosen.values())))
            found[f"rasters_{ending}"] = plots.png(_grid(chosen, examples, _raster, "trials"))
            found[f"psths_{ending}"] = plots.png(_grid(chosen, examples, _psth, "Hz"))
            found[f"autocorrelograms_{ending}"] = plots.png(
                _grid(chosen, examples, _rhythm, "spikes a spike")
            )
            mine = cells[(cells["data"] == data) & (cells["bin_ms"] == bin_ms)]
            found[f"ceiling_{ending}"] = plots.png(_ceiling(mine))
    return found


def label(model: str, hidden: str) -> str:
    """Of a model in figures.

    >>> label("tecos", "not spiking"), label("ln", "")
    ('tecos, not spiking', 'ln')
    """
    return f"{model}, not spiking" if hidden == "not spiking" else model


def colour(model: str) -> str:
    """Of a model in figures, whatever its loss.

    >>> colour("tecos, single") == colour("tecos")
    True
    """
    return COLOURS[model.split(",")[0]]


def example_cells(tested: Outcome) -> np.ndarray:
    """Places of three of the reliable half of the cells: the busiest, and at the quartiles."""
    trials = in_scored_bins(tested.counts, tested.setup.bin_ms)
    signal = trials.mean(axis=-1).var(axis=0) / np.maximum(trials.mean(axis=(0, 2)), 1e-9)
    reliable = np.flatnonzero(signal >= np.median(signal))
    busy = reliable[np.argsort(-trials[:, reliable].sum(axis=(0, 2)), kind="stable")]
    return busy[np.unique([0, len(busy) // 4, len(busy) // 2])]


def _firsts(tested: Mapping[Setup, Outcome]) -> dict[str, Outcome]:
    """Of each model the lowest seed, of the lowest fold that all models have."""
    by_name: dict[str, dict[Setup, Outcome]] = {}
    for setup, each in tested.items():
        by_name.setdefault(label(setup.name, setup.hidden), {})[setup] = each
    common = set.intersection(*({s.fold for s in own} for own in by_name.values()))
    found = {}
    for name, own in by_name.items():
        there = [s for s in own if not common or s.fold == min(common)]
        found[name] = own[min(there, key=lambda s: (s.fold, s.seed))]
    return found


def _grid(
    chosen: Mapping[str, Outcome],
    examples: np.ndarray,
    show: Callable[[Axes, Outcome, int, bool], Any],
    unit: str,
) -> Figure:
    """Rows: what was recorded (of trials), then each model; columns: cells."""
    recorded = show is _raster
    rows = [*(["recorded"] * recorded), *chosen]
    first = next(iter(chosen.values()))
    figure = plots.new_figure(1.1 + COLUMN_IN * len(examples), 0.9 + ROW_IN * len(rows))
    axes = figure.subplots(len(rows), len(examples), sharex=True, squeeze=False)
    for row, name in enumerate(rows):
        for column, cell in enumerate(examples):
            panel = axes[row, column]
            show(panel, chosen.get(name, first), int(cell), name == "recorded")
            if row == 0:
                panel.set_title(f"cell {first.cells[cell]}")
        axes[row, 0].set_ylabel(f"{name}\n{unit}", rotation=0, ha="right", va="center")
    for panel in axes[-1]:
        panel.set_xlabel("lag, ms" if show is _rhythm else "test windows one after another, s")
        panel.xaxis.set_major_locator(MaxNLocator(4, prune="upper"))
    s = first.setup
    figure.suptitle(f"{s.data}, fold {s.fold} of {s.folds}", x=0.01, ha="left", size=9)
    figure.tight_layout(h_pad=0.4)
    return figure


def _shown(tested: Outcome) -> tuple[int, float]:
    """How many windows are shown, and the length of one, s."""
    n, n_bins = tested.counts.shape[:2]
    window_ms = n_bins * tested.setup.bin_ms
    return min(n, max(1, round(SHOWN_MS / window_ms))), window_ms / 1000


def _windows(axes: Axes, tested: Outcome) -> None:
    n, window_s = _shown(tested)
    for k in range(1, n):
        axes.axvline(k * window_s, color=plots.PALE, lw=0.6, zorder=0)
    axes.set_xlim(0, n * window_s)


def _raster(axes: Axes, tested: Outcome, cell: int, recorded: bool) -> None:
    n, window_s = _shown(tested)
    all_trials = tested.counts if recorded else tested.spikes
    fired = all_trials[:n, :, cell].reshape(-1, all_trials.shape[-1])  # (step, trial)
    step, trial = np.nonzero(fired)
    step_s = tested.setup.bin_ms / 1000
    spikes = Recording.spikes(  # in s for ms: the axis is in s
        (step + 1) * step_s, trial, n=fired.shape[1], dt_ms=step_s, duration_ms=n * window_s
    )
    colours = [plots.INK if recorded else colour(tested.setup.model)] * fired.shape[1]
    plots.raster(axes, spikes, np.arange(fired.shape[1]), colours=colours)
    axes.set_yticks([])
    _windows(axes, tested)


def _psth(axes: Axes, tested: Outcome, cell: int, _: bool) -> None:
    n, window_s = _shown(tested)
    bin_ms = tested.setup.bin_ms
    observed, rate = (
        in_scored_bins(v[:n, :, [cell]], bin_ms)[:, 0]
        for v in (tested.counts.mean(axis=-1), tested.rates)
    )
    width = n * window_s / len(observed)
    plots.psth_pair(
        axes,
        np.arange(len(observed)) * width,
        observed / width,
        rate / width,
        colour=colour(tested.setup.model),
    )
    cc = correlations(tested)[cell]
    axes.text(0.99, 0.97, f"CC {cc:.2f}", transform=axes.transAxes, ha="right", va="top", size=7)
    _windows(axes, tested)


def _rhythm(axes: Axes, tested: Outcome, cell: int, _: bool) -> None:
    bin_ms = tested.setup.bin_ms
    lag, own = rhythm(tested.counts[:, :, [cell]], bin_ms)
    predicted = rhythm(tested.spikes[:, :, [cell]], bin_ms)[1]
    edges = np.append(lag, lag[-1] + bin_ms) - bin_ms / 2
    axes.stairs(own[:, 0], edges, fill=True, color=plots.PALE)
    axes.plot(lag, predicted[:, 0], color=colour(tested.setup.model), lw=1.2)
    axes.set(xlim=(edges[0], edges[-1]), ylim=(0, None))


def _ceiling(cells: pd.DataFrame) -> Figure:
    """Panels of models: CC of each cell, mean over seeds, against that of a perfect model."""
    groups: list[tuple[Any, pd.DataFrame]] = list(cells.groupby(BY, sort=False))
    columns = min(len(groups), 4)
    rows = -(-len(groups) // columns)
    figure = plots.new_figure(0.4 + 2.1 * columns, 0.5 + 2.2 * rows)
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    low = min(0.0, float(cells["cc"].min()) - 0.05)
    for panel, ((_, _, model, hidden), own) in zip(axes.flat, groups, strict=False):
        mean = own.groupby("cell")[["cc", "ceiling"]].mean()
        panel.plot([0, 1], [0, 1], color=plots.MIDDLE, lw=0.8)
        panel.axhline(0, color=plots.PALE, lw=0.8, zorder=0)
        panel.plot(mean["ceiling"], mean["cc"], "o", ms=3, mew=0, alpha=0.7, color=colour(model))
        panel.set_title(f"{label(model, hidden)}: {mean['cc'].mean():.3f}")
        panel.set(xlim=(0, 1), ylim=(low, 1))
    for panel in axes.flat[len(groups) :]:
        panel.set_visible(False)
    for panel in axes[-1]:
        panel.set_xlabel("CC of a perfect model")
    for panel in axes[:, 0]:
        panel.set_ylabel(f"CC, {SCORED_MS:g} ms bins")
    figure.suptitle(f"{cells['data'].iloc[0]}, a point a cell", x=0.01, ha="left", size=9)
    figure.tight_layout()
    return figure


def _models(seeds: pd.DataFrame, models: pd.DataFrame) -> Figure:
    """A panel a recording and measure: seeds, mean and interval of each model."""
    measures = [name for name in MEASURES if name in seeds and seeds[name].notna().any()]
    lines = [measures[k : k + PANELS] for k in range(0, len(measures), PANELS)]
    studies = list(models.groupby(["data", "bin_ms"], sort=False))
    heights = [0.75 + 0.22 * len(own) for _, own in studies for _ in lines]
    columns = min(PANELS, len(measures))
    figure = plots.new_figure(1.6 + 1.9 * columns, 0.3 + sum(heights))
    axes = figure.subplots(len(heights), columns, squeeze=False, height_ratios=heights)
    places = itertools.product(studies, lines)
    for row, (((data, bin_ms), own), line) in zip(axes, places, strict=True):
        names = [label(m, h) for m, h in zip(own["model"], own["hidden"], strict=True)]
        row[0].set_title(f"{data}, steps of {bin_ms:g} ms")
        for panel in row[len(line) :]:
            panel.set_visible(False)
        for panel, measure in zip(row, line, strict=False):
            _measure(panel, own, seeds, measure)
            panel.set_yticks(range(len(own)), names if panel is row[0] else [""] * len(own))
            panel.set_ylim(len(own) - 0.5, -0.5)
            panel.xaxis.set_major_locator(MaxNLocator(3))
            about = MEASURES[measure]
            unit = f", {about.unit}" if about.unit else ""
            better = "more" if about.more_is_better else "less"
            panel.set_xlabel(f"{about.title}{unit}\n({better} is better)", size=7)
    figure.tight_layout()
    return figure


def overview(models: pd.DataFrame, seeds: pd.DataFrame, measure: str = "cc") -> bytes:
    """A panel a recording with all models, three in a row, as PNG."""
    with plots.style():
        studies = list(models.groupby(["data", "bin_ms"], sort=False))
        rows = math.ceil(len(studies) / 3)
        figure = plots.new_figure(9.5, 0.3 + rows * 3.1)
        axes = figure.subplots(rows, 3, squeeze=False).flat
        for ((data, _), own), panel in zip(studies, axes, strict=False):
            names = [label(m, h) for m, h in zip(own["model"], own["hidden"], strict=True)]
            _measure(panel, own, seeds, measure)
            panel.set_yticks(range(len(own)), names)
            panel.set_ylim(len(own) - 0.5, -0.5)
            panel.set_title(str(data))
            panel.set_xlabel(MEASURES[measure].title)
            if measure == "cc":
                panel.set_xlim(min(0.0, float(own["cc_low"].min())), 1.0)
        for panel in list(axes):
            panel.set_visible(False)
        figure.tight_layout()
        return plots.png(figure)


def lengths(table: pd.DataFrame) -> bytes:
    """A panel a recording: CC by the length of the sequence, mean over seeds and folds, as PNG."""
    with plots.style():
        studies = list(table.groupby(["data", "bin_ms"], sort=False))
        figure = plots.new_figure(0.6 + 2.9 * len(studies), 2.6)
        axes = figure.subplots(1, len(studies), squeeze=False)
        for panel, ((data, _), own) in zip(axes.flat, studies, strict=True):
            for (model, hidden), each in own.groupby(["model", "hidden"], sort=False):
                mean = each.groupby("length_s")["cc"].mean()
                dashes = "--" if hidden == "not spiking" else "-"
                panel.plot(
                    mean.index, mean, dashes, marker="o", ms=3, lw=1.2,
                    color=colour(str(model)), label=label(str(model), str(hidden)),
                )  # fmt: skip
            panel.set_xscale("log")
            panel.set_title(str(data))
            panel.set_xlabel("length of the sequence, s")
            panel.set_ylim(min(0.0, float(own["cc"].min())), None)
        axes[0, 0].set_ylabel(f"CC, {SCORED_MS:g} ms bins")
        axes[0, -1].legend(loc="lower right", fontsize=7)
        figure.tight_layout()
        return plots.png(figure)


def _measure(axes: Axes, models: pd.DataFrame, seeds: pd.DataFrame, measure: str) -> None:
    for place, (_, row) in enumerate(models.iterrows()):
        own = seeds[(seeds[BY] == row[BY]).all(axis=1)][measure]
        ink = colour(row["model"])
        face = "white" if row["hidden"] == "not spiking" else ink
        axes.plot(own, np.full(len(own), place), "o", ms=2.5, mew=0, color=ink, alpha=0.5)
        axes.hlines(place, row[f"{measure}_low"], row[f"{measure}_high"], color=ink, lw=1.2)
        axes.plot(row[measure], place, "D", ms=5, mew=1.1, mec=ink, mfc=face)
    perfect = "ceiling" if measure == "cc" else measure + OF_TRIALS
    if perfect in models:
        axes.axvline(models[perfect].mean(), color=plots.INK, lw=0.8, ls=":")
    reference = models.loc[models["model"] == "ln", measure]
    if len(reference):
        axes.axvline(float(reference.iloc[0]), color=plots.MIDDLE, lw=0.8)
