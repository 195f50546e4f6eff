"""What can be read from each layer: a linear readout of equally many excitatory neurons.

The output pools of a trained network are fixed. What the other layers hold of the answers is read
by ridge regression onto the classes (regularised within the training items), from the same number
of neurons of each layer, and counted on items that it has not seen; beside it, the same readout of
equally many input channels says what was there before the network. Networks trained with pools in
other layers are compared by `compare_output_layers`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from circuits.analysis.accuracy import Estimate, accuracy, tabulated
from circuits.analysis.result import NotApplicable, Options, Result
from circuits.analysis.trials import by_task, presented, respond, right
from circuits.training.setup import Prepared
from toolkit import plots
from toolkit.errors import DataError, require
from toolkit.learning.evaluation import wilson_interval
from toolkit.rng import stream
from toolkit.table import Table

NAME = "output_layers"
N_NEURONS = 200  # of each layer, at most
N_DRAWS = 5  # of neurons
N_FOLDS = 5
ALPHAS = tuple(10.0**k for k in range(-1, 6))  # ridge, on z-scored rates
INPUT, POOLS = "input", "trained pools"


def linear_readout(
    rates: np.ndarray, labels: np.ndarray, *, n_folds: int = N_FOLDS, seed: int = 0
) -> np.ndarray:
    """Whether a cross-validated ridge classifier is right about each item, bool (item,).

    Rates are z-scored on the training items, where the ridge parameter is chosen, too.

    Parameters
    ----------
    rates : (item, neuron)
    labels : class of each item
    n_folds : parts, with the classes' shares in each, of which one at a time is held out
    seed : of the division

    Raises
    ------
    MissingDependency : scikit-learn is not installed

    >>> labels = np.arange(100) % 2
    >>> noise = np.random.default_rng(1).normal(size=(100, 5))
    >>> float(linear_readout(noise + 10 * labels[:, None], labels).mean())
    1.0
    """
    require("sklearn", "striate")
    from sklearn.linear_model import RidgeClassifierCV
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    folds = StratifiedKFold(n_folds, shuffle=True, random_state=seed)
    model = make_pipeline(StandardScaler(), RidgeClassifierCV(ALPHAS))
    return cross_val_predict(model, rates, labels, cv=folds) == labels


def analyse(trained: Prepared, options: Options) -> Result:
    """Accuracy of a linear readout from each layer, for each task."""
    network = trained.network
    cells = {
        layer: np.flatnonzero(network.excitatory & (trained.layer == layer))
        for layer in np.unique(trained.layer).tolist()
    }
    cells = {layer: each for layer, each in cells.items() if len(each)}
    if len(cells) < 2:
        raise NotApplicable(f"excitatory neurons are in {', '.join(cells) or 'no'} layer only")
    n_neurons = min(N_NEURONS, *(len(each) for each in cells.values()))
    window, input_rates, labels, pools = _responses(trained, options.items)
    rows: list[dict] = []
    findings = []
    for number, task in enumerate(trained.data.tasks):
        at: dict[str, Estimate] = {}
        per_class = int(np.unique(labels[number], return_counts=True)[1].min())
        if per_class < 2:
            raise NotApplicable(
                f"{len(labels[number])} items of {task.name} have only {per_class} of some class; "
                "to hold out some 2 are needed: ask for more items"
            )
        folds = min(N_FOLDS, per_class)
        sources = {layer: (window[number], members) for layer, members in cells.items()}
        channels = np.arange(input_rates[number].shape[1])
        sources[INPUT] = (input_rates[number], channels)
        for name, (rates, members) in sources.items():
            draws = [
                stream(options.seed, "readout", name, draw).permutation(members)[:n_neurons]
                for draw in range(N_DRAWS)
            ]
            got = [
                linear_readout(rates[:, drawn], labels[number], n_folds=folds, seed=options.seed)
                for drawn in draws
            ]
            n, shares = len(labels[number]), [float(each.mean()) for each in got]
            # Of the items, which all draws share: draws alone would make it look too sure.
            mean = float(np.mean(shares))
            at[name] = Estimate(mean, *wilson_interval(round(n * mean), n))
            about = {"task": task.name, "read_from": name, "neurons": n_neurons}
            about |= {"items": n, **at[name].columns("accuracy")}
            rows.append(about | {"sd_of_draws": float(np.std(shares, ddof=1))})
        pooled = accuracy(pools[number])
        about = {"task": task.name, "read_from": POOLS, "neurons": trained.model.pools.numel()}
        about |= {"items": len(pools[number]), **pooled.columns("accuracy")}
        rows.append(about | {"sd_of_draws": np.nan})
        best = max(cells, key=lambda layer, at=at: at[layer].value)  # type: ignore[misc]
        by_layer = ", ".join(f"{layer} {at[layer].percent()}" for layer in cells)
        findings.append(
            f"{task.name}: a linear readout of {n_neurons} excitatory neurons is right for "
            f"{by_layer}, most for {best}; of as many input channels for {at[INPUT].percent()}. "
            f"The trained pools of {trained.setup.output_layer} are right for "
            f"{pooled.percent()}."
        )
    table = tabulated(rows)
    chance = {task.name: 1 / task.n_classes for task in trained.data.tasks}
    tables = {"readout_by_layer": table}
    if len(options.runs) > 1:
        frame = compare_output_layers(options.runs)
        tables["trained_output_layers"] = Table({name: frame[name] for name in frame.columns})
    return Result(
        "What can be read from each layer",
        tables,
        tuple(findings),
        partial(_draw, table, chance),
        "Cross-validated ridge classifiers on mean rates in the response window, mean of "
        f"{N_DRAWS} draws of neurons, intervals over items. Input: as many channels, mean over the "
        "trial up to the end of the window. Trained pools: the network's own answers. Dotted: "
        "chance.",
    )


def _responses(
    trained: Prepared, n_items: int
) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """By task: mean rates of neurons in the window, of inputs until its end, labels, right."""
    found: list[list[tuple[np.ndarray, np.ndarray]]] = [[], [], [], []]
    for batch in presented(trained.data, n_items):
        rates = respond(trained.model, batch)
        window = batch.response.to(rates.dtype)
        window = window / window.sum(dim=1, keepdim=True)
        steps = batch.response.any(dim=0)
        mean = (window[:, None, steps] @ rates[:, steps])[:, 0]
        task = batch.task.cpu().numpy()
        for each, values in zip(
            found,
            (
                mean.cpu().numpy(),
                batch.inputs.mean(dim=1).cpu().numpy(),
                batch.targets.cpu().numpy(),
                right(trained.model, trained.data, batch, rates),
            ),
            strict=True,
        ):
            each.append((task, values))
    n_tasks = len(trained.data.tasks)
    window_rates, inputs, labels, answers = (by_task(each, n_tasks) for each in found)
    return window_rates, inputs, labels, answers


def compare_output_layers(runs: Sequence[str | Path]) -> pd.DataFrame:
    """Test accuracies of runs trained with other output layers, a row a run and task.

    Parameters
    ----------
    runs : folders of ``striate train``, with ``results.csv`` and ``manifest.json``

    Returns
    -------
    the columns of ``results.csv``, with ``run`` and ``output_layer`` before them, from the
    uppermost layer down

    Raises
    ------
    DataError : a folder without these files, or with others
    """
    frames = []
    for run in map(Path, runs):
        try:
            setup = json.loads((run / "manifest.json").read_text(encoding="utf-8"))["parameters"]
            results = pd.read_csv(run / "results.csv")
            layer = str(setup["output_layer"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{run} holds no whole training: {error}") from error
        frames.append(results.assign(run=str(run), output_layer=layer))
    together = pd.concat(frames, ignore_index=True)
    first = ["run", "output_layer"]
    others = [column for column in together.columns if column not in first]
    return together[first + others].sort_values(["output_layer", "run"], kind="stable")


def _draw(table: Table, chance: dict[str, float]) -> Figure:
    figure = plots.new_figure(2.9 * len(chance) + 0.4, 2.6)
    for k, (task, guess) in enumerate(chance.items()):
        axes = figure.add_subplot(1, len(chance), k + 1)
        own = table.where(task=task)
        place = np.arange(len(own.rows))
        colours = [
            {INPUT: plots.MIDDLE, POOLS: plots.INK}.get(name, plots.VERMILION)
            for name in own["read_from"]
        ]
        error = [own["accuracy"] - own["low"], own["high"] - own["accuracy"]]
        axes.bar(place, own["accuracy"], 0.7, color=colours)
        axes.errorbar(place, own["accuracy"], error, fmt="none", color=plots.INK, lw=0.9)
        axes.axhline(guess, color=plots.MIDDLE, lw=0.8, ls=":")
        axes.set_xticks(place, own["read_from"], rotation=45, ha="right")
        axes.set(title=task, ylim=(0, 1.02))
        if k == 0:
            axes.set_ylabel("share of right answers")
    figure.tight_layout()
    return figure
