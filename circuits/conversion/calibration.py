"""`calibrate`: constant currents that bring rates of spikes to those of the rate network."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from circuits.conversion.responses import (
    Responses,
    rate_responses,
    spiking_responses,
    stimulus_held,
)
from circuits.training.setup import Prepared
from converters import to_brian2
from toolkit import metrics
from toolkit.errors import InputError, unknown
from toolkit.network import Network
from toolkit.scan import TableCurve
from toolkit.table import Table

PER = ("neuron", "class")
DAMPING, MAX_STEPS = 0.4, 8  # our choices
WINDOW_MS = 200.0  # in which rates are compared, the stimulus held
LEAST_ITEMS = 8  # of each task: half of them say whether the other half helped
MAX_STEP_MV = 5.0  # of the free membrane, in one step
COLUMN = "I_ext_pA"


@dataclass(frozen=True, eq=False)
class Calibration:
    """A calibrated network.

    network : with the constant currents in its column ``I_ext_pA``
    current_pA : that were added, (unit,)
    steps : a row a simulation: ``step``, ``log_R2`` of mean rates across neurons and tasks on the
        items that currents are fitted to, ``held_out_log_R2`` on the others, ``kept``
    regression : a row a class, before and after: ``gain`` and ``bias_Hz`` of a straight line
        through the rates of spikes against those of the rate network, neurons, tasks and items
        together; gains are reported only: a factor on synapses would undo their training
    relative_error : standard error of a neuron's mean rate over itself, at the median rate, from
        the number of spikes that the items give (Poisson)
    """

    network: Network
    current_pA: np.ndarray
    steps: Table
    regression: Table
    relative_error: float


def calibrate(
    trained: Prepared,
    network: Network,
    *,
    items: int = 32,
    per: str = "neuron",
    damping: float = DAMPING,
    max_steps: int = MAX_STEPS,
    seed: int = 0,
    **how: Any,
) -> Calibration:
    """Add constant currents to a converted network, in damped steps, on validation items.

        I <- I + damping (F^-1(rate of the rate network) - F^-1(rate of the spikes))

    for every neuron, with its own F; or, ``per="class"``, the mean of that over its class. Rates
    are means over every other item in a window of 200 ms, the stimulus held. The other items say
    when to stop: currents with the best R2 of log rates there are kept, and the first step that is
    worse is the last one.

    Parameters
    ----------
    trained : the rate network and its tasks
    network : of `converters.to_spiking`
    items : validation items of each task
    per : ``"neuron"`` or ``"class"``
    damping : 0 to 1
    max_steps : simulations that currents may follow from
    seed : of spikes
    how : what else `circuits.conversion.responses.binned_responses` takes

    Raises
    ------
    InputError : fewer than 8 items, an unknown `per`, a damping that is not 0 to 1
    """
    if per not in PER:
        raise unknown("per", per, PER)
    if not 0 < damping <= 1 or max_steps < 1:
        raise InputError(f"damping is 0 to 1 and max_steps 1 or more, got {damping}, {max_steps}")
    shown = stimulus_held(trained, items, (WINDOW_MS,))
    shown = dataclasses.replace(shown, split="validation")
    rate = rate_responses(trained.model, shown)
    target = _means(rate, slice(0, None, 2))
    seconds = -(-items // 2) * len(rate) * WINDOW_MS / 1000
    error = 1 / np.sqrt(max(float(np.median(target.mean(axis=0))), 1e-9) * seconds)
    if items < LEAST_ITEMS:
        raise InputError(
            f"{items} items a task are too few: rates would be known to {100 * error:.0f} % at the "
            f"median rate. Take {LEAST_ITEMS} or more; {int(np.ceil(items * (error / 0.1) ** 2))} "
            "give 10 %"
        )
    limit = MAX_STEP_MV * trained.network.neurons["g_nS"]
    added = np.zeros(trained.model.n)
    best, best_r2, rows = added, -np.inf, []
    lines: list[dict[str, tuple[float, float]]] = []
    for step in range(max_steps + 1):
        simulation = to_brian2(with_currents(network, added), device="cpp_standalone")
        pools = trained.model.pools.cpu().numpy()
        spikes = spiking_responses(
            simulation, shown, pools, trial=step, seed=seed, label=f"calibration {step}", **how
        )
        found = _means(spikes, slice(0, None, 2))
        r2 = metrics.log_rate_r_squared(found, target)
        held_out = metrics.log_rate_r_squared(
            _means(spikes, slice(1, None, 2)), _means(rate, slice(1, None, 2))
        )
        better = held_out > best_r2
        rows.append({"step": step, "log_R2": r2, "held_out_log_R2": held_out, "kept": better})
        if better:
            best, best_r2 = added, held_out
        if better or not lines:
            line = _lines(rate, spikes, trained.cell_class)
            lines = [*lines[:1], line]
        if not better:
            break
        floor = 0.5 / seconds
        move = [
            current_at(trained.model.curve, np.maximum(each.mean(axis=0), floor))
            for each in (target, found)
        ]
        away = np.clip(move[0] - move[1], -limit, limit)
        if per == "class":
            for name in np.unique(trained.cell_class):
                away[trained.cell_class == name] = away[trained.cell_class == name].mean()
        added = added + damping * away
    return Calibration(
        with_currents(network, best),
        best,
        Table({name: [row[name] for row in rows] for name in rows[0]}),
        _regression(lines[0], lines[-1]),
        float(error),
    )


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


def _means(responses: Sequence[Responses], items: slice) -> np.ndarray:
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
        flat = x[:, own].ravel()
        gain = float("nan")
        if flat.std() > 0:
            gain = float(np.cov(flat, y[:, own].ravel())[0, 1] / flat.var(ddof=1))
        found[name] = (gain, float(y[:, own].mean() - gain * flat.mean()))
    return found


def _regression(
    before: dict[str, tuple[float, float]], after: dict[str, tuple[float, float]]
) -> Table:
    columns: dict[str, list[Any]] = {"cell_class": list(before)}
    for stage, lines in (("before", before), ("after", after)):
        columns[f"gain_{stage}"] = [lines[name][0] for name in before]
        columns[f"bias_{stage}_Hz"] = [lines[name][1] for name in before]
    return Table(columns)
