"""Recurrency: how much of the input is recurrent, and how accuracy and robustness hang on it.

In one network recurrent weights are scaled, or a random part of the recurrent synapses removed and
the rest made stronger, so that the mean input stays (density without strength). Several networks
are compared by their recurrent share and the noise that takes half of their accuracy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from circuits.analysis.accuracy import accuracy, half_gain, tabulated
from circuits.analysis.result import NotApplicable, Options, Result
from circuits.analysis.robustness import AMPLITUDES, answers, rheobase_pA
from circuits.analysis.trials import presented, respond
from circuits.training.setup import Prepared
from circuits.training.weight_files import load_trained
from toolkit import plots
from toolkit.rng import stream
from toolkit.table import Table

NAME = "recurrency"
SCALES = (0.0, 0.5, 0.8, 1.25)  # of recurrent weights
KEPT = (0.5, 0.75, 0.9)  # share of recurrent synapses
KINDS = ("slow", "quick")
NOISE = 0.25  # rheobases, of the noise that changed networks are tried with
CURRENT_ITEMS = 32  # of each task, for the currents: mean squares need few
CONDITIONS = ("none", *KINDS)
COLOURS = dict(zip(CONDITIONS, (plots.INK, plots.GREEN, plots.VERMILION), strict=True))


@dataclass(frozen=True)
class Currents:
    """Synaptic currents over items and steps, pA, each (neuron,).

    recurrent_rms, input_rms : root mean square of the current from neurons, and from inputs
    recurrent_sd : standard deviation of the recurrent current
    """

    recurrent_rms: np.ndarray
    input_rms: np.ndarray
    recurrent_sd: np.ndarray

    @property
    def recurrent_share(self) -> np.ndarray:
        """recurrent rms / (recurrent rms + input rms); NaN for neurons without either."""
        total = self.recurrent_rms + self.input_rms
        return np.where(total > 0, self.recurrent_rms / np.where(total > 0, total, 1), np.nan)


@torch.no_grad()
def currents(trained: Prepared, n_items: int = CURRENT_ITEMS) -> Currents:
    """Recurrent and input currents while the tasks are solved; the constant current is neither."""
    model = trained.model
    connections, weights = model.connections, model.weights()
    own = recurrent(model.connections.col, model.n)
    parts = [
        connections.matrix(torch.where(mask, weights, torch.zeros_like(weights)))
        for mask in (own, ~own)
    ]
    a_s = model.system.a_s if model.dynamics != "equilibrium" else 0 * model.system.a_s
    sums = torch.zeros(2, 2, model.n, dtype=torch.float64)  # of values and squares, by part
    count = 0
    for batch in presented(trained.data, n_items):
        rates = respond(model, batch)
        items, steps, _ = batch.inputs.shape
        before = torch.cat([torch.zeros_like(rates[:, :1]), rates[:, :-1]], dim=1)
        state = [a_s.new_zeros((*a_s.shape[:2], items)) for _ in parts]
        for k in range(steps):
            z = torch.cat([before[:, k].T, batch.inputs[:, k].T])
            for part, (matrix, current) in enumerate(zip(parts, state, strict=True)):
                current.lerp_((matrix @ z).view_as(current), 1 - a_s)
                total = current.sum(dim=0).double().cpu()
                sums[0, part] += total.sum(dim=1)
                sums[1, part] += total.square().sum(dim=1)
        count += items * steps
    mean, square = (sums / count).numpy()
    variance = np.maximum(square[0] - mean[0] ** 2, 0)
    return Currents(np.sqrt(square[0]), np.sqrt(square[1]), np.sqrt(variance))


def recurrent(col: torch.Tensor, n: int) -> torch.Tensor:
    """Which entries of `Connections` come from neurons, bool."""
    return col < n


def scaled(trained: Prepared, factor: float) -> torch.Tensor:
    """All weights with the recurrent ones times a factor, pA/Hz."""
    model = trained.model
    weights = model.weights().detach()
    return torch.where(recurrent(model.connections.col, model.n), factor * weights, weights)


def thinned(trained: Prepared, kept: float, *, seed: int = 0) -> torch.Tensor:
    """All weights without a random part of the recurrent synapses, pA/Hz.

    Each is kept with the given probability and then 1/kept times as strong. With one seed, what
    a smaller share keeps a larger one keeps, too.
    """
    model = trained.model
    weights = model.weights().detach()
    drawn = stream(seed, "thinned").random(len(weights)) < kept
    factor = torch.as_tensor(drawn / kept, dtype=weights.dtype, device=weights.device)
    return torch.where(recurrent(model.connections.col, model.n), factor * weights, weights)


def analyse(trained: Prepared, options: Options) -> Result:
    """Recurrent share by class, accuracy with changed recurrence, and other runs if given."""
    model = trained.model
    if not bool(recurrent(model.connections.col, model.n).any()):
        raise NotApplicable("this network has no recurrent synapses")
    shares, words = _by_class(trained)
    changes: list[tuple[str, float, torch.Tensor | None]] = [("scale", 1.0, None)]
    changes += [("scale", factor, scaled(trained, factor)) for factor in SCALES]
    changes += [("density", kept, thinned(trained, kept, seed=options.seed)) for kept in KEPT]
    found = answers(
        trained,
        -(-options.items // 3),  # of two dozen conditions
        (0.0, NOISE),
        KINDS,
        seed=options.seed,
        weights=[weights for *_, weights in changes],
    )
    rows: list[dict] = []
    findings = [words]
    for task, each in zip(trained.data.tasks, found, strict=True):
        values = {}
        for number, (change, factor, _) in enumerate(changes):
            for condition in CONDITIONS:
                kind = max(CONDITIONS.index(condition) - 1, 0)
                at = accuracy(each[:, number, kind, int(condition != "none")])
                for name in ("scale", "density") if number == 0 else (change,):
                    row = {"task": task.name, "change": name, "factor": factor, "noise": condition}
                    row |= {"items": len(each), **at.columns("accuracy")}
                    rows.append(row | {"chance": 1 / task.n_classes})
                values[change, factor, condition] = at
        findings.append(
            f"{task.name}: {values['scale', 1.0, 'none'].percent()} right as trained, "
            f"{values['scale', 0.5, 'none'].percent()} with recurrent weights halved, "
            f"{values['scale', 0.0, 'none'].percent()} without any, "
            f"{values['density', 0.5, 'none'].percent()} with half of the recurrent synapses at "
            "twice their strength. With slow noise of "
            f"{NOISE:g} rheobases {values['scale', 1.0, 'slow'].percent()} as trained and "
            f"{values['scale', 0.5, 'slow'].percent()} with recurrent weights halved."
        )
    table = tabulated(rows)
    tables = {"recurrent_share": shares, "accuracy_changed_recurrence": table}
    others = _others(trained, options)
    if others:
        runs = compare_recurrency([("this", trained), *others], options)
        tables["recurrency_of_runs"] = runs
        findings.append(_across(runs))
    return Result(
        "Recurrency",
        tables,
        tuple(findings),
        partial(_draw, table, shares),
        "Left: share of the recurrent in the synaptic current of each class (rms; median and "
        "quartiles over neurons). Others: share of right answers with changed recurrence, without "
        f"and with noise of {NOISE:g} rheobases; solid: recurrent weights times a factor; dashed: "
        "that share of the recurrent synapses, 1/share times as strong.",
    )


def _by_class(trained: Prepared) -> tuple[Table, str]:
    found = currents(trained)
    rheobase = rheobase_pA(trained.network)
    classes = list(dict.fromkeys(trained.cell_class.tolist()))
    names = ("recurrent_rms_pA", "input_rms_pA", "recurrent_sd_rheobases")
    columns: dict[str, list] = {"cell_class": classes, **{name: [] for name in names}}
    columns |= {f"recurrent_share_{name}": [] for name in ("p25", "median", "p75")}
    each = (found.recurrent_rms, found.input_rms, found.recurrent_sd / rheobase)
    share = found.recurrent_share
    for name in classes:
        own = trained.cell_class == name
        for column, values in zip(names, each, strict=True):
            columns[column].append(float(np.median(values[own])))
        quartiles = np.nanquantile(share[own], [0.25, 0.5, 0.75])
        for column, value in zip(("p25", "median", "p75"), quartiles, strict=True):
            columns[f"recurrent_share_{column}"].append(float(value))
    low, middle, high = np.nanquantile(share, [0.25, 0.5, 0.75])
    return Table(columns), (
        f"The recurrent share of a neuron's synaptic current is {middle:.2f} (quartiles {low:.2f} "
        f"to {high:.2f}); the sd of the recurrent current is {np.median(each[2]):.2g} rheobases "
        "(median)."
    )


def compare_recurrency(networks: Sequence[tuple[str, Prepared]], options: Options) -> Table:
    """Recurrent share, accuracy and robustness of networks, a row a network and task.

    Columns: ``run``, ``scenario``, ``neurons``, ``task``, ``recurrent_share`` (median),
    ``recurrent_sd_rheobases`` (median), ``accuracy``, and ``half_gain_slow`` and
    ``half_gain_quick`` (`circuits.analysis.accuracy.half_gain`, rheobases) with ``_low`` and
    ``_high``.
    """
    rows: list[dict] = []
    for name, trained in networks:
        found, rheobase = currents(trained), rheobase_pA(trained.network)
        got = answers(trained, options.items, AMPLITUDES, KINDS, seed=options.seed)
        for task, each in zip(trained.data.tasks, got, strict=True):
            row = {
                "run": name,
                "scenario": trained.setup.scenario,
                "neurons": trained.network.n,
                "task": task.name,
                "recurrent_share": float(np.nanmedian(found.recurrent_share)),
                "recurrent_sd_rheobases": float(np.median(found.recurrent_sd / rheobase)),
                "accuracy": float(each[:, 0, 0, 0].mean()),
            }
            for k, kind in enumerate(KINDS):
                half = half_gain(
                    each[:, 0, k], np.array(AMPLITUDES), 1 / task.n_classes, options.seed
                )
                row[f"half_gain_{kind}"] = half.value
                row |= {f"half_gain_{kind}_low": half.low, f"half_gain_{kind}_high": half.high}
            rows.append(row)
    return tabulated(rows)


def _others(trained: Prepared, options: Options) -> list[tuple[str, Prepared]]:
    """The networks of other runs; the one that is analysed may be among the folders."""
    loaded = [(str(run), load_trained(Path(run) / "weights.npz")) for run in options.runs]
    own = trained.model.weights()
    return [
        (name, other)
        for name, other in loaded
        if other.network.digest() != trained.network.digest()
        or not torch.equal(other.model.weights(), own)
    ]


def _across(table: Table) -> str:
    """Whether recurrency goes with robustness across runs, as a sentence."""
    from scipy import stats

    words = []
    for task in dict.fromkeys(table["task"].tolist()):
        own = table.where(task=task)
        for kind in KINDS:
            known = ~np.isnan(own[f"half_gain_{kind}"])
            x, y = own["recurrent_share"][known], own[f"half_gain_{kind}"][known]
            if len(x) >= 4 and len(set(x)) > 1 and len(set(y)) > 1:
                found = stats.spearmanr(x, y)
                words.append(
                    f"{found.statistic:.2f} for {task} and {kind} noise (p = {found.pvalue:.2g}, "
                    f"{len(x)} runs)"
                )
    if not words:
        return "Too few runs (fewer than 4) for a correlation of recurrency and robustness."
    return (
        "Rank correlation across runs of the recurrent share with the noise that takes half of "
        f"the accuracy above chance: {'; '.join(words)}."
    )


def _draw(table: Table, shares: Table) -> Figure:
    tasks = list(dict.fromkeys(table["task"].tolist()))
    figure = plots.new_figure(2.9 * (len(tasks) + 1) + 0.4, 2.8)
    axes = figure.add_subplot(1, len(tasks) + 1, 1)
    place = np.arange(len(shares.rows))
    low, middle, high = (shares[f"recurrent_share_{k}"] for k in ("p25", "median", "p75"))
    axes.errorbar(place, middle, [middle - low, high - middle], fmt="o", ms=3, color=plots.INK)
    axes.set_xticks(place, shares["cell_class"], rotation=90)
    axes.set(ylim=(0, 1), title="recurrent share of current")
    for k, task in enumerate(tasks):
        axes = figure.add_subplot(1, len(tasks) + 1, k + 2)
        for condition, colour in COLOURS.items():
            for change, line in (("scale", "o-"), ("density", "o--")):
                own = table.where(task=task, change=change, noise=condition)
                order = np.argsort(own["factor"])
                x, y, below, above = (
                    own[column][order] for column in ("factor", "accuracy", "low", "high")
                )
                label = f"noise: {condition}" if change == "scale" else None
                axes.plot(x, y, line, ms=3, lw=1.1, color=colour, label=label)
                axes.fill_between(x, below, above, color=colour, alpha=0.15, lw=0)
        axes.axhline(table.where(task=task)["chance"][0], color=plots.MIDDLE, lw=0.8, ls=":")
        axes.set(title=task, xlabel="recurrent weights or synapses, times", ylim=(0, 1.02))
        if k == 0:
            axes.set_ylabel("share of right answers")
            axes.legend(loc="lower right")
    figure.tight_layout()
    return figure
