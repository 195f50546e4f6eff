"""Firing rates of the classes while the tasks are solved, beside those recorded in mice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from circuits import allen
from circuits.analysis.accuracy import tabulated
from circuits.analysis.result import Options, Result
from circuits.analysis.trials import presented, respond, start_weights
from circuits.compare.looks import FEW_UNITS, KINDS, Cells, class_axis, recorded_handles
from toolkit import plots
from toolkit.network import Network
from toolkit.table import Table

if TYPE_CHECKING:
    import torch

    from circuits.training import Prepared

NAME = "rates"
SILENT_HZ = 0.1
_STAGES = ("before", "after")
_QUARTILES = ("p25", "median", "p75")


def mean_rates_Hz(
    trained: Prepared, n_items: int, *, weights: torch.Tensor | None = None
) -> np.ndarray:
    """Mean rate of each neuron over the trials of test items, Hz, (task, neuron).

    A trial counts from its start to the end of its response window.

    Parameters
    ----------
    trained : the network and its tasks
    n_items : of each task (`circuits.analysis.trials.presented`)
    weights : of the network, pA/Hz, (entry,); its own by default

    Raises
    ------
    InputError : n_items below 1
    """
    n_tasks = len(trained.data.tasks)
    total, steps = np.zeros((n_tasks, trained.network.n)), np.zeros(n_tasks)
    for batch in presented(trained.data, n_items):
        rates = respond(trained.model, batch, weights=weights)
        for task in batch.task.unique().tolist():
            own = rates[batch.task == task]
            total[task] += own.sum((0, 1)).double().cpu().numpy()
            steps[task] += own.shape[0] * own.shape[1]
    return total / steps[:, None]


def analyse(trained: Prepared, options: Options) -> Result:
    """Rates of all classes before and after training."""
    weights = {"before": start_weights(trained), "after": None}
    by_task = {
        stage: mean_rates_Hz(trained, options.items, weights=weights[stage]) for stage in _STAGES
    }
    rates = {stage: found.mean(axis=0) for stage, found in by_task.items()}
    network = trained.network
    classes = class_table(network, rates)
    names = [task.name for task in trained.data.tasks]
    neurons: dict[str, Any] = {
        "neuron": np.arange(network.n),
        "cell_class": network.neurons["cell_class"],
        **{f"{stage}_Hz": values for stage, values in rates.items()},
        **{f"after_{name}_Hz": by_task["after"][k] for k, name in enumerate(names)},
    }
    return Result(
        "Firing rates",
        {"rates_of_classes": classes, "rates_of_neurons": Table(neurons)},
        tuple(_findings(network, rates, classes)),
        lambda: _figure(network, rates, classes),
        "Mean rates of the neurons over test items of all tasks alike. (a) Distributions over "
        "neurons before (dotted) and after training; quieter neurons count at 0.01 Hz. (b) "
        "Neurons of each class after training: quartiles (box) and the range of 90 % (line); "
        "diamonds are the medians and quartiles of units recorded in awake mice during drifting "
        f"gratings, hollow with fewer than {FEW_UNITS} units.",
    )


def class_table(network: Network, rates_Hz: dict[str, np.ndarray]) -> Table:
    """A row a class: mean, quantiles, spread and share of silent neurons; recorded quartiles.

    `sd_log10` is over neurons at 0.1 Hz or more. Recorded: medians and quartiles of units during
    drifting gratings (Siegle et al. 2021, Nature 592:86-92); NaN for classes without.

    Parameters
    ----------
    network : whose neurons they are
    rates_Hz : by stage, (neuron,)
    """
    recorded = allen.load().neuropixels.to_pandas().set_index("cell_class").to_dict("index")
    cell_class, rows = network.neurons["cell_class"], []
    for name in network.classes:
        own = cell_class == name
        row: dict[str, Any] = {"cell_class": name, "neurons": int(own.sum())}
        for stage, rates in rates_Hz.items():
            values = rates[own]
            p5, p25, median, p75, p95 = np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95])
            audible = values[values >= SILENT_HZ]
            row |= {
                f"{stage}_mean_Hz": float(values.mean()),
                f"{stage}_p5_Hz": float(p5),
                f"{stage}_p25_Hz": float(p25),
                f"{stage}_median_Hz": float(median),
                f"{stage}_p75_Hz": float(p75),
                f"{stage}_p95_Hz": float(p95),
                f"{stage}_sd_log10": float(np.log10(audible).std()) if len(audible) > 1 else np.nan,
                f"{stage}_silent": float((values < SILENT_HZ).mean()),
            }
        own_units = recorded.get(name, {})
        row["recorded_units"] = int(own_units.get("n_units", 0))
        for part in _QUARTILES:
            row[f"recorded_{part}_Hz"] = float(own_units.get(f"evoked_{part}_Hz", np.nan))
        rows.append(row)
    return tabulated(rows)


def _findings(network: Network, rates: dict[str, np.ndarray], classes: Table) -> list[str]:
    found = []
    for name, mask in (("excitatory", network.excitatory), ("inhibitory", ~network.excitatory)):
        text = " and ".join(
            f"{rates[s][mask].mean():.2f} Hz (median {np.median(rates[s][mask]):.2f}, "
            f"{100 * (rates[s][mask] < SILENT_HZ).mean():.0f} % below {SILENT_HZ:g}) {s}"
            for s in _STAGES
        )
        found.append(f"Mean rate of {name} neurons: {text} training.")
    model, recorded = classes["after_median_Hz"], classes["recorded_median_Hz"]
    known = np.isfinite(recorded) & (classes["recorded_units"] >= FEW_UNITS) & (model > 0)
    if known.any():
        ratio = np.log10(model[known] / recorded[known])
        inside = (model >= classes["recorded_p25_Hz"]) & (model <= classes["recorded_p75_Hz"])
        found.append(
            f"Of {int(known.sum())} classes with {FEW_UNITS} or more recorded units, "
            f"{int((inside & known).sum())} have their median rate between the recorded quartiles; "
            f"the typical ratio to the recorded median is {10 ** np.median(ratio):.2f} (within a "
            f"factor of {10 ** np.median(np.abs(ratio)):.1f} for half of them)."
        )
    return found


def _figure(network: Network, rates: dict[str, np.ndarray], classes: Table) -> Figure:
    figure = plots.new_figure(11.0, 3.8)
    first, second = figure.subplots(1, 2, width_ratios=[1, 1.9])
    cells = Cells(network)
    edges = np.linspace(-2, max(2.0, np.log10(max(r.max() for r in rates.values())) + 0.1), 45)
    for kind, mask in cells.masks().items():
        for stage, line in zip(_STAGES, (":", "-"), strict=True):
            logs = np.log10(np.maximum(rates[stage][mask], 0.0101))
            share, _ = np.histogram(logs, edges)
            label = kind if stage == "after" else None
            first.step(10 ** edges[:-1], share / mask.sum(), line, color=KINDS[kind], label=label)
    first.set(xscale="log", xlabel="mean rate (Hz)", ylabel="share of neurons", ylim=(0, None))
    first.plot([], [], ":", color=plots.INK, label="before training")
    first.legend()
    first.set_title("a")
    _boxes(second, cells, classes)
    second.set_title("b", pad=16)
    figure.tight_layout()
    return figure


def _boxes(axes: Axes, cells: Cells, classes: Table) -> None:
    place = np.arange(len(cells.classes))
    low, middle, high = (classes[f"after_{part}_Hz"] for part in _QUARTILES)
    colours = cells.colours
    axes.vlines(place - 0.15, classes["after_p5_Hz"], classes["after_p95_Hz"], colors=colours)
    axes.bar(place - 0.15, high - low, 0.45, low, color=colours, alpha=0.55)
    axes.hlines(middle, place - 0.375, place + 0.075, color=plots.INK, lw=1.2)
    recorded = [classes[f"recorded_{part}_Hz"] for part in ("median", "p25", "p75")]
    few = classes["recorded_units"] < FEW_UNITS
    plots.with_quartiles(axes, place + 0.25, *recorded, few=few)
    top = np.nanmax([classes["after_p95_Hz"].max(), np.nanmax(recorded[2])])
    plots.compressed_rate_axis(axes, 3 * float(top))  # room for the legend
    class_axis(axes, cells)
    axes.set_ylabel("mean rate (Hz)")
    axes.legend(handles=recorded_handles(), loc="upper right")
