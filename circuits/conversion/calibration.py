"""`calibrate`: gains and currents that bring rates of spikes to those of the rate network."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from circuits.conversion.backends import simulation
from circuits.conversion.responses import (
    Responses,
    Shown,
    own_timing,
    rate_responses,
    spiking_responses,
    stimulus_held,
)
from circuits.training.setup import Prepared
from toolkit import metrics
from toolkit.errors import InputError, unknown
from toolkit.network import Network, Synapses
from toolkit.scan import TableCurve
from toolkit.table import Table

PER = ("neuron", "class")
DAMPING, MAX_STEPS = 0.25, 8  # our choices
WINDOW_MS = 200.0  # in which rates are compared where the stimulus is held
LEAST_ITEMS = 8  # of each task: half of them say whether the other half helped
MAX_STEP_MV = 5.0  # of the free membrane, in one step
GAINS = (0.5, 2.0)  # in all
COLUMN = "I_ext_pA"


@dataclass(frozen=True, eq=False)
class Calibration:
    """A calibrated network.

    network : with the gains in its weights and the currents in its column ``I_ext_pA``
    current_pA : that were added, (unit,)
    gain : that the weights of a unit's recurrent and driven synapses were multiplied by, (unit,)
    steps : a row a simulation: ``step``; ``error`` on the items that gains and currents are fitted
        to, and ``held_out_error`` on the others (`rate_error`); ``held_out_log_R2`` of mean rates
        across neurons and tasks; ``kept``
    regression : a row a class, before and after: ``gain`` and ``bias_Hz`` of a straight line
        through the rates of spikes against those of the rate network, neurons, tasks and items
        together
    shown, responses : validation items, the stimulus held, and what the calibrated network
        answered them, by task
    relative_error : standard error of a neuron's mean rate over itself, at the median rate, from
        the number of spikes that the items give (Poisson)
    """

    network: Network
    current_pA: np.ndarray
    gain: np.ndarray
    steps: Table
    regression: Table
    shown: Shown
    responses: list[Responses]
    relative_error: float


def calibrate(
    trained: Prepared,
    network: Network,
    *,
    items: int = 64,
    per: str = "neuron",
    damping: float = DAMPING,
    max_steps: int = MAX_STEPS,
    seed: int = 0,
    backend: str = "brian2",
    **how: Any,
) -> Calibration:
    """Give each neuron or class of a converted network a gain and a current, in damped steps.

    Rates of spikes y are compared with those of the rate network x on validation items, in the
    tasks' own windows and in one of 200 ms, the stimulus held: soon after a change spikes follow a
    stimulus more steeply than F, which is that of a steady drive. With the line y = a x + b through
    the items of a neuron, of both kinds,

        gain     <- gain / a^damping
        current  <- current + damping (F^-1(mean x) - F^-1(mean y)) + (gain before - gain) I

    where I is the mean synaptic current of the rate network, so that a gain by itself moves no
    mean, and F is the neuron's own. The gain multiplies the weights of all synapses that a neuron
    has, but those of the background: signs, and what is strong beside what, stay as trained. Slopes
    of single neurons are noisy; they are drawn to the mean of their class by their standard errors
    (`shrunken`). With ``per="class"`` a class has one gain and one current.

    Every other item is fitted to; the others say when to stop: what has the lowest error there is
    kept, and the second step in turn that is worse is the last one.

    Parameters
    ----------
    trained : the rate network and its tasks
    network : of `converters.to_spiking`
    items : validation items of each task
    per : ``"neuron"`` or ``"class"``
    damping : 0 to 1
    max_steps : simulations that gains and currents may follow from
    seed : of spikes
    backend : of the simulations
    how : what else `circuits.conversion.responses.binned_responses` takes

    Raises
    ------
    InputError : fewer than 8 items, an unknown `per`, a damping that is not 0 to 1

    Source: shrinkage after DerSimonian and Laird 1986, Controlled Clinical Trials 7:177; the rest
    is ours.
    """
    if per not in PER:
        raise unknown("per", per, PER)
    if not 0 < damping <= 1 or max_steps < 1:
        raise InputError(f"damping is 0 to 1 and max_steps 1 or more, got {damping}, {max_steps}")
    both = [
        dataclasses.replace(each, split="validation")
        for each in (own_timing(trained, items), stimulus_held(trained, items, (WINDOW_MS,)))
    ]
    rate = [each for shown in both for each in rate_responses(trained.model, shown)]
    fitted, held_out = slice(0, None, 2), slice(1, None, 2)
    target = _items(rate, fitted)
    n_tasks = len(trained.data.tasks)
    window_s = np.repeat([shown.windows_ms[-1] / 1000 for shown in both], len(target) // len(both))
    seconds = window_s.sum()
    error = 1 / np.sqrt(max(float(np.median(target.mean(axis=0))), 1e-9) * seconds)
    if items < LEAST_ITEMS:
        raise InputError(
            f"{items} items a task are too few: rates would be known to {100 * error:.0f} % at the "
            f"median rate. Take {LEAST_ITEMS} or more; {int(np.ceil(items * (error / 0.1) ** 2))} "
            "give 10 %"
        )
    curve, classes = trained.model.curve, trained.cell_class
    limit, floor = MAX_STEP_MV * trained.network.neurons["g_nS"], 0.5 / seconds
    aimed = current_at(curve, np.maximum(target.mean(axis=0), floor))
    synaptic = aimed - trained.model.constant_pA.double().cpu().numpy()
    added, gain = np.zeros(trained.model.n), np.ones(trained.model.n)
    best, least, worse, rows = (added, gain), np.inf, 0, []
    lines: list[dict[str, tuple[float, float]]] = []
    for step in range(max_steps + 1):
        compiled = simulation(adjusted(network, added, gain), backend, again=step > 0)
        spikes = [
            each
            for number, shown in enumerate(both)
            for each in spiking_responses(
                compiled, shown, trained.model.pools.cpu().numpy(),
                trial=step * len(both) + number, seed=seed, label=f"calibration {step}", **how,
            )
        ]  # fmt: skip
        found = _items(spikes, fitted)
        away = rate_error(_items(spikes, held_out), _items(rate, held_out))
        r2 = metrics.log_rate_r_squared(_task_means(spikes, held_out), _task_means(rate, held_out))
        better = away < least
        rows.append(
            {
                "step": step,
                "error": rate_error(found, target),
                "held_out_error": away,
                "held_out_log_R2": r2,
                "kept": better,
            }
        )
        worse = 0 if better else worse + 1
        if better:
            best, least, responses = (added, gain), away, spikes
        if better or not lines:
            lines = [*lines[:1], _lines(rate, spikes, classes)]
        if worse == 2:
            break
        before = gain
        slope = shrunken(*slopes(found, target, window_s), classes, whole=per == "class")
        gain = np.clip(gain * np.clip(slope, *GAINS) ** -damping, *GAINS)
        mean = np.maximum(found.mean(axis=0), floor)
        move = np.clip(aimed - current_at(curve, mean), -limit, limit)
        if per == "class":
            move = class_means(move, classes)
        moved = (before - gain) * synaptic
        added = added + damping * move + (class_means(moved, classes) if per == "class" else moved)
    return Calibration(
        adjusted(network, *best),
        *best,
        Table({name: [row[name] for row in rows] for name in rows[0]}),
        _regression(lines[0], lines[-1]),
        both[-1],
        responses[-n_tasks:],
        float(error),
    )


def rate_error(found_Hz: np.ndarray, expected_Hz: np.ndarray) -> float:
    """Mean over neurons of the squared difference of rates (item, neuron), Hz.

    In units of the neuron's mean expected rate, at least 1 Hz: where the means agree, Poisson
    spikes in windows of T seconds give 1/T.
    """
    each = np.square(found_Hz - expected_Hz).mean(axis=0)
    return float((each / np.maximum(expected_Hz.mean(axis=0), 1.0)).mean())


def slopes(
    found_Hz: np.ndarray, expected_Hz: np.ndarray, window_s: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Slope of found against expected rates (item, neuron), and its variance, (neuron,).

    The noise is that of the residuals, at least that of Poisson spikes at the expected rates in
    the items' windows, s (item,).
    """
    x, y = (each - each.mean(axis=0) for each in (expected_Hz, found_Hz))
    power = np.maximum(np.square(x).sum(axis=0), 1e-9)
    slope = (x * y).sum(axis=0) / power
    residual = np.square(y - slope * x).sum(axis=0) / max(len(x) - 2, 1)
    noise = np.maximum(residual, (expected_Hz / window_s[:, None]).mean(axis=0))
    return slope, np.maximum(noise, 1e-9) / power


def shrunken(
    slope: np.ndarray, variance: np.ndarray, cell_class: np.ndarray, *, whole: bool = False
) -> np.ndarray:
    """Slopes drawn to the mean of their class, (neuron,): less if it varies beyond its noise.

    The mean and the spread of a class are those of DerSimonian and Laird; `whole` gives every
    neuron the mean.
    """
    drawn = np.empty_like(slope)
    for name in np.unique(cell_class):
        own = cell_class == name
        a, v = slope[own], variance[own]
        weight = 1 / v
        mean = np.average(a, weights=weight)
        beyond = (weight * np.square(a - mean)).sum() - (len(a) - 1)
        scale = weight.sum() - np.square(weight).sum() / weight.sum()
        spread = max(0.0, beyond / scale) if scale > 0 else 0.0
        mean = np.average(a, weights=1 / (v + spread))
        drawn[own] = mean + (0.0 if whole else spread / (spread + v)) * (a - mean)
    return drawn


def class_means(values: np.ndarray, cell_class: np.ndarray) -> np.ndarray:
    """The mean of its class, for every neuron."""
    _, each = np.unique(cell_class, return_inverse=True)
    mean: np.ndarray = (np.bincount(each, weights=values) / np.bincount(each))[each]
    return mean


def adjusted(network: Network, current_pA: np.ndarray, gain: np.ndarray) -> Network:
    """The network with currents added and weights times a gain, both (unit,), for all replicas.

    Weights of the background stay.
    """
    factor = np.repeat(gain, network.n // len(gain)).astype(np.float32)

    def scaled(synapses: Synapses) -> Synapses:
        return dataclasses.replace(synapses, weight=synapses.weight * factor[synapses.post])

    inputs = {
        name: each
        if each.rate_Hz is not None
        else dataclasses.replace(each, synapses=scaled(each.synapses))
        for name, each in network.inputs.items()
    }
    changed = network.replace(synapses=scaled(network.synapses), inputs=inputs)
    return with_currents(changed, current_pA)


def with_currents(network: Network, current_pA: np.ndarray) -> Network:
    """The network with constant currents added, (unit,): all replicas of a unit get its current."""
    neurons = network.neurons
    each = np.repeat(current_pA, network.n // len(current_pA))
    before = neurons[COLUMN] if COLUMN in neurons else np.zeros(network.n)
    columns = {name: neurons[name] for name in neurons}
    return network.replace(neurons=Table({**columns, COLUMN: before + each}))


def current_at(curve: TableCurve, rates_Hz: np.ndarray) -> np.ndarray:
    """F^-1: the current at which each neuron has a rate, pA, (neuron,); at the ends of F beyond.

    Linear between the points of the table, 0.25 mV apart.
    """
    table = curve.rates.double().cpu().numpy()
    each = np.arange(len(table))
    above = np.clip((table < rates_Hz[:, None]).sum(axis=1), 1, table.shape[1] - 1)
    low, high = table[each, above - 1], table[each, above]
    part = np.clip((rates_Hz - low) / np.maximum(high - low, 1e-12), 0, 1)
    scale, shift = (x.double().cpu().numpy()[:, 0] for x in (curve.scale, curve.shift))
    current: np.ndarray = (above - 1 + part - shift) / scale
    return current


def _items(responses: Sequence[Responses], items: slice) -> np.ndarray:
    """Rates in some items of all tasks, means over trials, (item, neuron)."""
    return np.concatenate([each.rates_Hz[:, items].mean(axis=0) for each in responses]).astype(
        float
    )


def _task_means(responses: Sequence[Responses], items: slice) -> np.ndarray:
    """Mean rates over trials and some items, (task, neuron)."""
    return np.stack([each.rates_Hz[:, items].mean(axis=(0, 1), dtype=float) for each in responses])


def _lines(
    rate: Sequence[Responses], spikes: Sequence[Responses], cell_class: np.ndarray
) -> dict[str, tuple[float, float]]:
    """Gain and bias by class."""
    x = np.concatenate([each.rates_Hz[0] for each in rate]).astype(float)
    y = np.concatenate([each.rates_Hz.mean(axis=0) for each in spikes]).astype(float)
    found = {}
    for name in dict.fromkeys(cell_class.tolist()):
        own = cell_class == name
        gain = metrics.slope(y[:, own].ravel(), x[:, own].ravel())
        found[name] = (gain, float(y[:, own].mean() - gain * x[:, own].mean()))
    return found


def _regression(
    before: dict[str, tuple[float, float]], after: dict[str, tuple[float, float]]
) -> Table:
    columns: dict[str, list[Any]] = {"cell_class": list(before)}
    for stage, lines in (("before", before), ("after", after)):
        columns[f"gain_{stage}"] = [lines[name][0] for name in before]
        columns[f"bias_{stage}_Hz"] = [lines[name][1] for name in before]
    return Table(columns)
