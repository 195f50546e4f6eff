"""Weights: how log-normal they are by sign and class pair, and the mean of each class pair.

Before and after training. Weights are charges of a spike in pA/Hz; the peak current in pA of the
same synapse in the spiking network is that over the charge of a spike of 1 pA.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import SymLogNorm
from matplotlib.figure import Figure

from circuits.analysis.accuracy import tabulated
from circuits.analysis.result import Options, Result
from circuits.analysis.trials import start_weights
from circuits.compare.looks import Cells
from converters.slots import pack_receptors
from toolkit import plots
from toolkit.learning import TrainableRates
from toolkit.metrics.normality import MIN_VALUES, Normality, lognormality
from toolkit.network import Network
from toolkit.table import Table

if TYPE_CHECKING:
    from circuits.training import Prepared

NAME = "weights"
LGN = "lgn"  # the name of the inputs beside the presynaptic classes
_STAGES = ("before", "after")


class Entries:
    """The weights of a trained network, an entry a synapse.

    Attributes
    ----------
    classes : of the network, then the inputs
    pre, post : number of the class of both ends
    weight : by stage, pA/Hz
    charge_pC : of a spike with a peak of 1 pA; pA/Hz = pC
    absent : entries whose weight in the circuit is smaller than the smallest that logarithms start
        from (`toolkit.learning.weights.SMALLEST`); mostly far from like-to-like. Training cannot
        bring them back, and they are left out where the shape of a distribution is looked at
    """

    def __init__(self, trained: Prepared):
        network, model = trained.network, trained.model
        connections = model.connections
        self.classes = [*network.classes, LGN]
        number = {name: k for k, name in enumerate(self.classes)}
        of_neuron = np.array([number[name] for name in network.neurons["cell_class"].tolist()])
        inputs = np.full(connections.n_channels, number[LGN])
        self.pre = np.concatenate([of_neuron, inputs])[connections.col.cpu().numpy()]
        self.post = of_neuron[connections.row.cpu().numpy() % network.n]
        self.weight = {"before": _numpy(start_weights(trained)), "after": _numpy(model.weights())}
        weight_pA, self.charge_pC = synapses_of(network, model)
        own = np.abs(weight_pA * self.charge_pC)
        self.absent = own < 0.99 * np.abs(self.weight["before"])

    def pairs(self) -> list[tuple[int, int]]:
        """Class pairs (pre, post) that have synapses, by post and pre."""
        n = len(self.classes)
        found = np.unique(self.post * n + self.pre)
        return [(int(pair % n), int(pair // n)) for pair in found]

    def of(self, pre: int, post: int) -> np.ndarray:
        """Mask of the entries of a class pair."""
        return (self.pre == pre) & (self.post == post)


def synapses_of(network: Network, model: TrainableRates) -> tuple[np.ndarray, np.ndarray]:
    """Weight in the circuit (pA) and charge of a spike of 1 pA (pC = pA/Hz) of every entry."""
    slots, n = pack_receptors(network), network.n
    of_receptor = np.array([each.charge_per_peak for each in network.receptors.values()]) / 1000
    driven = next(each for each in network.inputs.values() if each.rate_Hz is None)
    parts = ((network.synapses, 0), (driven.synapses, n))
    rows = []
    for synapses, _ in parts:
        post = synapses.post.astype(np.int64)
        slot = slots.of_receptor[synapses.post, synapses.receptor].astype(np.int64)
        rows.append(post if model.connections.n_slots == 1 else slot * n + post)
    col = np.concatenate([each.pre.astype(np.int64) + first for each, first in parts])
    # The order of the entries is that of `converters.trainable`.
    order = np.lexsort((col, np.concatenate(rows)))
    weight = np.concatenate([each.weight.astype(float) for each, _ in parts])
    charge = np.concatenate([of_receptor[each.receptor] for each, _ in parts])
    return weight[order], charge[order]


def analyse(trained: Prepared, options: Options) -> Result:  # noqa: ARG001  nothing to choose
    """Shapes and means of the weights before and after training; see the module."""
    entries = Entries(trained)
    shapes, means = shape_table(entries), mean_table(entries)
    return Result(
        "Weights",
        {"lognormality": shapes, "class_pair_means": means},
        tuple(_findings(entries, shapes, means)),
        lambda: _figure(trained.network, entries, means),
        "(a) Distribution of the magnitudes of recurrent weights by sign of the weight, before "
        "(dotted) and after training, with the normal law of the same mean and standard deviation "
        "(thin): log-normal weights follow it. Synapses that start with practically no weight are "
        "left out. (b to d) Mean weight of each class pair, pA/Hz, "
        "before, after and the difference; colours are linear within 1 % of the largest and "
        "logarithmic beyond; white has no synapses.",
    )


def shape_table(entries: Entries) -> Table:
    """Normality of log |w| by stage, sign and class pair: `toolkit.metrics.normality.Normality`.

    The pair ``all, all`` is that of all recurrent weights, ``lgn, all`` of those from the inputs.
    `absent` synapses (`Entries`) and weights of 0 are counted and left out.
    """
    rows: list[dict[str, Any]] = []
    lgn = entries.pre == len(entries.classes) - 1
    groups: list[tuple[str, str, np.ndarray]] = [("all", "all", ~lgn), (LGN, "all", lgn)]
    for pre, post in entries.pairs():
        names = entries.classes[pre], entries.classes[post]
        groups.append((*names, entries.of(pre, post)))
    for stage in _STAGES:
        weight = entries.weight[stage]
        for pre_name, post_name, mask in groups:
            for sign, word in ((1, "excitatory"), (-1, "inhibitory")):
                own = sign * weight[mask & ~entries.absent]
                own = own[own > 0]
                if len(own):
                    shape = {"stage": stage, "pre": pre_name, "post": post_name, "sign": word}
                    left_out = int((mask & (entries.absent | (weight == 0))).sum())
                    rows.append(shape | _columns(lognormality(own)) | {"left_out": left_out})
    return tabulated(rows)


def _columns(found: Normality) -> dict[str, float]:
    return {
        "synapses": found.n,
        "geometric_mean_pA_per_Hz": float(np.exp(found.mean)),
        "sd_log": found.sd,
        "skewness_log": found.skewness,
        "excess_kurtosis_log": found.excess_kurtosis,
        "ks_distance": found.ks_distance,
        "lilliefors_p": found.p,
    }


def mean_table(entries: Entries) -> Table:
    """Mean weight of each class pair before and after training, pA/Hz and pA; a row a pair."""
    rows = []
    for pre, post in entries.pairs():
        mask = entries.of(pre, post)
        row: dict[str, Any] = {"pre": entries.classes[pre], "post": entries.classes[post]}
        row["synapses"] = int(mask.sum())
        for unit, scale in (("pA_per_Hz", 1.0), ("pA", 1 / entries.charge_pC[mask])):
            values = [float((entries.weight[stage][mask] * scale).mean()) for stage in _STAGES]
            row |= {f"{s}_{unit}": v for s, v in zip(_STAGES, values, strict=True)}
            row[f"difference_{unit}"] = values[1] - values[0]
        rows.append(row)
    return tabulated(rows)


def _findings(entries: Entries, shapes: Table, means: Table) -> list[str]:
    recurrent = entries.pre < len(entries.classes) - 1
    absent = 100 * float(entries.absent[recurrent].mean())
    found = []
    if absent > 0:
        found.append(
            f"{absent:.0f} % of the recurrent synapses have practically no weight in the circuit "
            "and are left out of the distributions."
        )
    for word in ("excitatory", "inhibitory"):
        text = []
        for stage in _STAGES:
            row = shapes.where(stage=stage, pre="all", post="all", sign=word)
            if len(row.rows):
                sd, distance, skew = (
                    float(row[c][0]) for c in ("sd_log", "ks_distance", "skewness_log")
                )
                text.append(f"{sd:.2f}, {distance:.3f} and {skew:+.2f} {stage}")
        if text:
            found.append(
                f"Recurrent {word} weights: sd of log |w|, KS distance from log-normal and "
                f"skewness of log |w| are {' and '.join(text)} training."
            )
    for stage in _STAGES:
        pairs = shapes.where(stage=stage)
        own = ~np.isin(pairs["pre"], ("all", LGN)) & (pairs["synapses"] >= MIN_VALUES)
        # Weights of a pair that are all alike have no shape: their test is NaN.
        share = float(np.mean(pairs["lilliefors_p"][own] > 0.05)) if own.any() else np.nan
        distances = pairs["ks_distance"][own]
        known = np.isfinite(distances)
        if known.any():
            found.append(
                f"Within class pairs {stage} training: median KS distance "
                f"{np.median(distances[known]):.3f}, median sd of log |w| "
                f"{np.median(pairs['sd_log'][own]):.2f}; {100 * share:.0f} % of "
                f"{int(own.sum())} pairs and signs pass Lilliefors' test at 5 %."
            )
    mean = [float(entries.weight[stage][recurrent].mean()) for stage in _STAGES]
    own = means["pre"] != LGN
    low, high = (
        [float(f(means[f"{s}_pA_per_Hz"][own])) for s in _STAGES] for f in (np.min, np.max)
    )
    found.append(
        f"The mean recurrent weight goes from {mean[0]:+.4f} to {mean[1]:+.4f} pA/Hz; means of "
        f"class pairs range from {low[0]:.3f} to {high[0]:.3f} before and from {low[1]:.3f} to "
        f"{high[1]:.3f} pA/Hz after training."
    )
    return found


def _figure(network: Network, entries: Entries, means: Table) -> Figure:
    figure = plots.new_figure(14.0, 4.0)
    first = figure.add_axes((0.045, 0.22, 0.17, 0.66))
    _densities(first, entries)
    first.set_title("a  recurrent weights")
    known = means["pre"] != LGN
    after = np.concatenate([means[f"{s}_pA_per_Hz"][known] for s in _STAGES])
    top = float(np.abs(after).max())
    norm: Callable[[float], SymLogNorm] = lambda top: SymLogNorm(  # noqa: E731
        0.01 * top, vmin=-top, vmax=top
    )
    change = float(np.abs(means["difference_pA_per_Hz"][known]).max())
    panels = (
        ("before", "b  mean weight before (pA/Hz)", top),
        ("after", "c  mean weight after (pA/Hz)", top),
        ("difference", "d  after - before (pA/Hz)", change or 1.0),
    )
    cells = Cells(network)
    for k, (column, title, largest) in enumerate(panels):
        axes = figure.add_axes((0.285 + 0.243 * k, 0.22, 0.165, 0.66))
        matrix = pair_matrix(means, f"{column}_pA_per_Hz", cells.classes)
        image = axes.imshow(matrix, cmap="RdBu_r", norm=norm(largest), aspect="auto")
        _class_ticks(axes, cells)
        axes.set_title(title)
        axes.set_ylabel("to class" if k == 0 else "", labelpad=1)
        bar = figure.add_axes((0.454 + 0.243 * k, 0.22, 0.005, 0.66))
        figure.colorbar(image, cax=bar)
        bar.minorticks_off()
    return figure


def pair_matrix(means: Table, column: str, classes: list[str]) -> np.ndarray:
    """A column of `mean_table` as a matrix (post, pre) of recurrent class pairs; NaN without."""
    place = {name: k for k, name in enumerate(classes)}
    matrix = np.full((len(classes), len(classes)), np.nan)
    for pre, post, value in zip(means["pre"], means["post"], means[column], strict=True):
        if pre in place:
            matrix[place[str(post)], place[str(pre)]] = value
    return matrix


def _class_ticks(axes: Axes, cells: Cells) -> None:
    at = range(len(cells.classes))
    axes.set_xticks(at, cells.classes, rotation=90, size=6.5)
    axes.set_yticks(at, cells.classes, size=6.5)
    axes.tick_params(length=0)
    axes.set_xlabel("from class", labelpad=1)


def _densities(axes: Axes, entries: Entries) -> None:
    recurrent = entries.pre < len(entries.classes) - 1
    for sign, colour, word in ((1, plots.VERMILION, "w > 0"), (-1, plots.BLUE, "w < 0")):
        for stage, line in zip(_STAGES, (":", "-"), strict=True):
            own = sign * entries.weight[stage][recurrent & ~entries.absent]
            logs = np.log10(own[own > 0])
            if len(logs) < MIN_VALUES:
                continue
            label = word if stage == "after" else None
            edges = np.histogram_bin_edges(logs, bins=80)
            density, _ = np.histogram(logs, edges, density=True)
            middle = (edges[1:] + edges[:-1]) / 2
            axes.plot(10**middle, density, line, color=colour, lw=1.3, label=label)
            if stage == "after" and logs.std() > 0:
                z = (middle - logs.mean()) / logs.std()
                normal = np.exp(-(z**2) / 2) / (logs.std() * np.sqrt(2 * np.pi))
                axes.plot(10**middle, normal, color=colour, lw=0.6)
    axes.set(xscale="log", xlabel="|w| (pA/Hz)", ylabel="density of log10 |w|", ylim=(0, None))
    axes.plot([], [], ":", color=plots.INK, label="before training")
    axes.legend()


def _numpy(values: torch.Tensor) -> np.ndarray:
    return values.detach().cpu().double().numpy()
