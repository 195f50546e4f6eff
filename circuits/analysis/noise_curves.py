"""The figure of accuracies that fall with noise: a panel a task, a line a kind."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from toolkit import plots
from toolkit.table import Table


def noise_curves(
    table: Table, by: str, amplitude: str, colours: Mapping[str, str], label: str
) -> Figure:
    """Accuracy against amplitude with bands from ``low`` to ``high``.

    Parameters
    ----------
    table : columns ``task``, `by`, `amplitude`, ``accuracy``, ``low``, ``high``, ``chance``
    by, amplitude : names of columns: what has a line of its own, and the x axis
    colours : by values of the column `by`, in the order of the legend
    label : of the x axis

    The x axis is linear up to the first amplitude above 0, and logarithmic from there.
    """
    tasks = list(dict.fromkeys(table["task"].tolist()))
    figure = plots.new_figure(2.9 * len(tasks) + 0.4, 2.7)
    least = table[amplitude][table[amplitude] > 0].min()
    for k, task in enumerate(tasks):
        axes = figure.add_subplot(1, len(tasks), k + 1)
        for name, colour in colours.items():
            own = table.where(**{"task": task, by: name})
            order = np.argsort(own[amplitude], kind="stable")
            x, y, low, high = (
                own[column][order] for column in (amplitude, "accuracy", "low", "high")
            )
            axes.fill_between(x, low, high, color=colour, alpha=0.2, lw=0)
            axes.plot(x, y, "o-", ms=3, lw=1.2, color=colour, label=name)
        axes.axhline(table.where(task=task)["chance"][0], color=plots.MIDDLE, lw=0.8, ls=":")
        axes.set_xscale("symlog", linthresh=float(least), linscale=0.5)
        ticks = np.unique(table[amplitude])
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks], rotation=45)
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set(title=task, xlabel=label, ylim=(0, 1.02), xlim=(0, None))
        if k == 0:
            axes.set_ylabel("share of right answers")
            axes.legend(loc="lower left")
    figure.tight_layout()
    return figure
