"""How far spikes agree with the rates they were converted from: the numbers of the report card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from circuits.conversion.responses import Responses, Shown, accuracy_of_items
from toolkit import metrics
from toolkit.learning.evaluation import wilson_interval
from toolkit.table import Table

SPIKES_IN = "rate network on input spikes"
GROUPS = ("all", "E", "I")
N_BOOTSTRAP = 1000


def masks(excitatory: np.ndarray) -> dict[str, np.ndarray]:
    """Neurons of each of `GROUPS`."""
    return {"all": np.ones(len(excitatory), bool), "E": excitatory, "I": ~excitatory}


def mean_rates_Hz(responses: Sequence[Responses]) -> np.ndarray:
    """Mean over trials and items of each task, (task, neuron)."""
    return np.stack([each.rates_Hz.mean(axis=(0, 1), dtype=float) for each in responses])


def neuron_r_squared(
    rate: Sequence[Responses], spikes: Sequence[Responses]
) -> tuple[np.ndarray, np.ndarray]:
    """R2 of each neuron across the items of all tasks: of trial means, and noise-corrected.

    The latter is NaN for fewer than two trials.
    """
    predicted = np.concatenate([each.rates_Hz[0] for each in rate])
    trials = np.concatenate([each.rates_Hz for each in spikes], axis=1)
    raw = metrics.per_neuron_r_squared(trials.mean(axis=0), predicted)
    if len(trials) < 2:
        return raw, np.full_like(raw, np.nan)
    return raw, metrics.noise_corrected_r_squared(trials, predicted)


def agreement(
    rate: Sequence[Responses], forms: Mapping[str, Sequence[Responses]], excitatory: np.ndarray
) -> Table:
    """A row a spiking network and group of neurons.

    Columns: ``form``, ``group``, ``neurons``, ``trials``; ``rate_Hz``, ``spiking_Hz``;
    ``R2``, ``log_R2``, ``slope`` across neurons and tasks (mean over items), with ``log_ceiling``
    of the trials; ``item_R2_raw_median``, ``item_R2_p25``, ``item_R2_median``, ``item_R2_p75`` of
    neurons across items (noise-corrected but for the first), of ``with_signal`` neurons;
    ``item_R2_pooled``; ``psth_R2`` over bins of 10 ms, neurons and tasks, noise-corrected;
    ``histogram_KL``, nats; ``count_correlation``, mean over pairs, between trials of an item.
    """
    rows = []
    predicted = mean_rates_Hz(rate)
    for form, spikes in forms.items():
        observed = mean_rates_Hz(spikes)
        raw, corrected = neuron_r_squared(rate, spikes)
        trials = np.concatenate([each.rates_Hz for each in spikes], axis=1)
        flat = np.concatenate([each.rates_Hz[0] for each in rate])
        by_trial = np.stack([each.rates_Hz.mean(axis=1, dtype=float) for each in spikes], axis=1)
        several = len(trials) > 1
        for group, mask in masks(excitatory).items():
            if not mask.any():
                continue
            y, f = observed[:, mask], predicted[:, mask]
            own = corrected[mask]
            known = own[np.isfinite(own)]
            low, middle, high = _quartiles(known)
            rows.append(
                {
                    "form": form,
                    "group": group,
                    "neurons": int(mask.sum()),
                    "trials": len(trials),
                    "rate_Hz": f.mean(),
                    "spiking_Hz": y.mean(),
                    "R2": metrics.r_squared(y, f),
                    "log_R2": metrics.log_rate_r_squared(y, f),
                    "log_ceiling": metrics.split_half_ceiling(by_trial[:, :, mask], log=True).value
                    if several
                    else np.nan,
                    "slope": metrics.slope(y, f),
                    "item_R2_raw_median": _median(raw[mask]),
                    "item_R2_p25": low,
                    "item_R2_median": middle,
                    "item_R2_p75": high,
                    "with_signal": len(known),
                    "item_R2_pooled": metrics.pooled_corrected_r_squared(
                        trials[:, :, mask], flat[:, mask]
                    )
                    if several
                    else np.nan,
                    "psth_R2": psth_r_squared(rate, spikes, mask),
                    "histogram_KL": metrics.rate_histogram_divergence(y, f),
                    "count_correlation": metrics.noise_correlation(trials[:, :, mask])
                    if several
                    else np.nan,
                }
            )
    return Table({name: [row[name] for row in rows] for name in rows[0]})


def _quartiles(values: np.ndarray) -> list[float]:
    found = np.quantile(values, [0.25, 0.5, 0.75]) if len(values) else np.full(3, np.nan)
    return [float(each) for each in found]


def _median(values: np.ndarray) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else float("nan")


def psth_r_squared(
    rate: Sequence[Responses], spikes: Sequence[Responses], mask: np.ndarray
) -> float:
    """Of each neuron's mean course around its own mean, pooled over neurons and tasks."""
    trials = np.concatenate([each.psth_Hz[:, :, mask] for each in spikes], axis=1)
    predicted = np.concatenate([each.psth_Hz[0][:, mask] for each in rate])
    if len(trials) > 1:
        return metrics.pooled_corrected_r_squared(trials, predicted)
    y = trials[0]
    total = np.square(y - y.mean(axis=0)).sum()
    return float(1 - np.square(y - predicted).sum() / total) if total > 0 else float("nan")


def accuracies(
    shown: Mapping[str, Shown],
    rate: Mapping[str, Sequence[Responses]],
    forms: Mapping[str, Mapping[str, Sequence[Responses]]],
    spikes_in: Mapping[str, Sequence[Responses]] | None = None,
    seed: int = 0,
) -> Table:
    """Right answers by timing, task and window, of the rate network and the spiking ones.

    Parameters
    ----------
    shown, rate : by the name of a timing
    forms : by the name of a spiking network, then of a timing
    spikes_in : of the rate network to spikes of its input, by the name of a timing
    seed : of the bootstrap

    Columns: ``form``, ``timing``, ``task``, ``window_ms``, ``items``, ``trials``, ``accuracy``
    with ``low`` and ``high`` (Wilson, items), ``points_lost`` against the rate network on the same
    items in percentage points, with ``lost_low`` and ``lost_high`` (bootstrap over items), and
    those against the rate network on spikes of its input, ``lost_by_conversion`` with
    ``conversion_low`` and ``conversion_high`` (NaN without `spikes_in`). A trial is one
    presentation: answers are those of single trials.
    """
    rows: list[dict[str, Any]] = []
    every = {"rate network": rate, **({SPIKES_IN: spikes_in} if spikes_in else {}), **forms}
    for form, timings in every.items():
        for timing, responses in timings.items():
            how = shown[timing]
            for number, (task, each) in enumerate(zip(how.data.tasks, responses, strict=True)):
                right = accuracy_of_items(how, number, each).mean(axis=0)
                references = [
                    accuracy_of_items(how, number, reference[timing][number]).mean(axis=0)
                    if reference
                    else np.full_like(right, np.nan)
                    for reference in (rate, spikes_in)
                ]
                for k, window in enumerate(how.windows_ms):
                    n = len(right)
                    low, high = wilson_interval(round(float(right[:, k].sum())), n)
                    lost, by_conversion = (
                        _lost(reference[:, k], right[:, k], seed) for reference in references
                    )
                    rows.append(
                        {
                            "form": form,
                            "timing": timing,
                            "task": task.name,
                            "window_ms": float(window),
                            "items": n,
                            "trials": len(each.rates_Hz),
                            "accuracy": float(right[:, k].mean()),
                            "low": low,
                            "high": high,
                            "points_lost": lost[0],
                            "lost_low": lost[1],
                            "lost_high": lost[2],
                            "lost_by_conversion": by_conversion[0],
                            "conversion_low": by_conversion[1],
                            "conversion_high": by_conversion[2],
                        }
                    )
    return Table({name: [row[name] for row in rows] for name in rows[0]})


def _lost(expected: np.ndarray, right: np.ndarray, seed: int) -> tuple[float, float, float]:
    """Percentage points and their interval."""
    lost = 100 * (expected - right)
    if np.isnan(lost).any():
        return float("nan"), float("nan"), float("nan")
    low, high = metrics.bootstrap_interval(lost, _mean, seed, n=N_BOOTSTRAP)
    return float(lost.mean()), float(low), float(high)


def _mean(values: np.ndarray) -> float:
    return float(values.mean())


def by_neuron(
    rate: Sequence[Responses],
    spikes: Sequence[Responses],
    cell_class: np.ndarray,
    tasks: Sequence[str],
) -> Table:
    """A row a neuron: class, rates to each task in both forms, R2 across items."""
    raw, corrected = neuron_r_squared(rate, spikes)
    columns: dict[str, np.ndarray] = {"cell_class": cell_class}
    for name, f, y in zip(tasks, mean_rates_Hz(rate), mean_rates_Hz(spikes), strict=True):
        label = name.replace(" ", "_")
        columns |= {f"{label}_rate_Hz": f, f"{label}_spiking_Hz": y}
    return Table({**columns, "item_R2_raw": raw, "item_R2": corrected})


def class_courses(
    responses: Sequence[Responses], cell_class: np.ndarray, task: int
) -> dict[str, np.ndarray]:
    """Mean rate of each class over a trial of a task, Hz, in bins of 10 ms."""
    course = responses[task].psth_Hz.mean(axis=0)
    return {
        name: course[:, cell_class == name].mean(axis=1)
        for name in dict.fromkeys(cell_class.tolist())
    }
