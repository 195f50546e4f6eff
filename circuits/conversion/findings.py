"""What a report card says in words: the verdict first, however bad it is."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from circuits import v1
from circuits.conversion.measures import SPIKES_IN, psth_r_squared
from circuits.conversion.observer import orientation_bound
from circuits.conversion.study import CONTROLS, HELD, NO_W, ONE_FACTOR, OWN, SHUFFLED, Study
from toolkit.table import Table
from toolkit.tasks.orientation import FineOrientation

# What a good conversion reaches, and how far controls have to stay below (the project's aims).
LEAST_ITEM_R2, LEAST_LOG_R2, SLOPES = 0.95, 0.9, (0.9, 1.1)
MOST_LOST = {200.0: 1.0, 50.0: 3.0}  # percentage points, by window in ms
CONTROL_R2, CONTROL_POINTS = 0.2, 10.0
SILENT_HZ, NOTHING_R2 = 0.1, 0.0


def row_of(table: Table, **equals: object) -> dict[str, Any]:
    """The first row with these values, as plain values."""
    found = table.where(**equals)
    return {name: found[name][0].item() for name in found}


def verdicts(study: Study, agreement: Table, accuracy: Table) -> list[tuple[str, bool]]:
    """Sentences, and whether each is good news. The first one sums up.

    A conversion that converted nothing, or whose control does as well, says so before all else.
    """
    name = study.converted
    own = row_of(agreement, form=name, group="all")
    loud = [*_nothing(own, agreement, name), *_controls_as_good(study, agreement, accuracy)]
    checks = [*_checks(own), *_accuracy_checks(study, accuracy)]
    n_good = sum(good for _, good in checks)
    summary = f"{n_good} of {len(checks)} aims are reached by {name}."
    if loud:
        return [(text, False) for text in loud] + [(summary, n_good == len(checks)), *checks]
    return [(summary, n_good == len(checks)), *checks]


def _nothing(own: dict[str, Any], agreement: Table, name: str) -> Iterator[str]:
    for group in ("E", "I"):
        part = agreement.where(form=name, group=group)
        if len(part.rows) and part["spiking_Hz"][0] < SILENT_HZ < part["rate_Hz"][0]:
            yield (
                f"NOTHING WAS CONVERTED: {group} cells are silent as spikes "
                f"({part['spiking_Hz'][0]:.2f} Hz; {part['rate_Hz'][0]:.2f} Hz in the rate "
                "network)."
            )
    if math.isfinite(own["item_R2_pooled"]) and own["item_R2_pooled"] <= NOTHING_R2:
        yield (
            "NOTHING WAS CONVERTED: the rates of the trained network explain none of what "
            f"stimuli do to the spiking neurons (pooled R2 {own['item_R2_pooled']:.2f})."
        )


def _controls_as_good(study: Study, agreement: Table, accuracy: Table) -> Iterator[str]:
    name = study.converted
    own_r2 = row_of(agreement, form=name, group="all")["item_R2_pooled"]
    for control in (NO_W, SHUFFLED):
        if control not in study.forms:
            continue
        r2 = row_of(agreement, form=control, group="all")["item_R2_pooled"]
        points = 100 * (_mean_accuracy(accuracy, name) - _mean_accuracy(accuracy, control))
        below = own_r2 - r2 if math.isfinite(own_r2 - r2) else 0.0
        if below < CONTROL_R2 and points < CONTROL_POINTS:
            yield (
                f"THE CONTROL DOES AS WELL: {control} ({CONTROLS[control]}) is {below:.2f} of R2 "
                f"and {points:.1f} points of accuracy below {name}; {CONTROL_R2:g} or "
                f"{CONTROL_POINTS:g} are asked for. This network does not need its recurrence, so "
                "agreement says little: change the training."
            )


def _mean_accuracy(accuracy: Table, form: str) -> float:
    """Over tasks, in the longest window while the stimulus is held."""
    own = accuracy.where(form=form, timing=HELD)
    longest = own["window_ms"] == own["window_ms"].max()
    return float(own["accuracy"][longest].mean())


def _checks(own: dict[str, Any]) -> Iterator[tuple[str, bool]]:
    if own["with_signal"]:
        text = (
            f"R2 of a neuron across items, noise-corrected from {own['trials']} trials: median "
            f"{own['item_R2_median']:.3f} (quartiles {own['item_R2_p25']:.3f} to "
            f"{own['item_R2_p75']:.3f}; {own['with_signal']:,} of {own['neurons']:,} neurons "
            f"with enough signal); asked for: {LEAST_ITEM_R2:g}."
        )
        yield text, own["item_R2_median"] >= LEAST_ITEM_R2
    else:
        reason = (
            "no neuron's response to the items stands out of its noise"
            if own["trials"] > 1
            else "one trial says nothing of its noise: use --trials 2 or more"
        )
        yield f"R2 across items, noise-corrected, is not known: {reason}.", False
    text = (
        f"Log rates across neurons and tasks: R2 {own['log_R2']:.3f} (ceiling of the trials "
        f"{own['log_ceiling']:.3f}); asked for: {LEAST_LOG_R2:g}."
    )
    yield text, own["log_R2"] >= LEAST_LOG_R2
    text = f"Slope of spiking on rate: {own['slope']:.3f}; asked for: {SLOPES[0]:g} to {SLOPES[1]}."
    yield text, SLOPES[0] <= own["slope"] <= SLOPES[1]


def _accuracy_checks(study: Study, accuracy: Table) -> Iterator[tuple[str, bool]]:
    own = accuracy.where(form=study.converted, timing=HELD)
    chance = {task.name: 1 / task.n_classes for task in study.shown[HELD].data.tasks}
    for window, most in MOST_LOST.items():
        part = own.take(own["window_ms"] == window)
        rate = accuracy.where(form="rate network", timing=HELD, window_ms=window)
        for k in part.rows:
            text = (
                f"{part['task'][k]}, {window:g} ms with the stimulus held: "
                f"{100 * part['accuracy'][k]:.1f} %, {part['points_lost'][k]:.1f} points lost "
                f"({part['lost_low'][k]:.1f} to {part['lost_high'][k]:.1f}); at most {most:g} are "
                "asked for."
            )
            if math.isfinite(part["lost_by_conversion"][k]):
                text += (
                    f" Against the rate network on spikes of its input: "
                    f"{part['lost_by_conversion'][k]:.1f} points "
                    f"({part['conversion_low'][k]:.1f} to {part['conversion_high'][k]:.1f})."
                )
            above = rate["low"][k] > chance[str(part["task"][k])]
            if not above:
                text += " The rate network itself is not above chance here: nothing could be lost."
            yield text, bool(above and part["points_lost"][k] <= most)


def sentences(study: Study, agreement: Table, accuracy: Table) -> dict[str, list[str]]:
    """Paragraphs by heading."""
    name, tuned = study.converted, study.gratings
    own = row_of(agreement, form=name, group="all")
    rates = [
        f"{label}: R2 {part['R2']:.3f} across neurons and tasks, of log rates "
        f"{part['log_R2']:.3f}, slope {part['slope']:.3f}; means {part['rate_Hz']:.2f} Hz as rates "
        f"and {part['spiking_Hz']:.2f} Hz as spikes; KL of the rate histograms "
        f"{part['histogram_KL']:.3f} nats; R2 of PSTHs in 10 ms bins {part['psth_R2']:.3f}."
        for label, group in (("Excitatory cells", "E"), ("Inhibitory cells", "I"))
        for part in [row_of(agreement, form=name, group=group)]
    ]
    rates.append(
        f"Gratings: OSI correlate {tuned.correlation('osi'):.2f} and DSI "
        f"{tuned.correlation('dsi'):.2f} between the forms ({tuned.n_active:,} active neurons). "
        f"Counts of pairs of neurons correlate {own['count_correlation']:.4f} between trials of "
        "an item; pairs of independent rate units would 0."
    )
    answers = [_own_timing(accuracy, task, name) for task in _tasks(accuracy)]
    answers += _bound(study)
    others = []
    for form in study.forms:
        if form == name:
            continue
        part = row_of(agreement, form=form, group="all")
        others.append(
            f"{form[0].upper()}{form[1:]}{_explained(form)}: R2 across items, pooled, "
            f"{part['item_R2_pooled']:.2f} ({own['item_R2_pooled']:.2f} {name}), log rates "
            f"{part['log_R2']:.2f}, slope {part['slope']:.2f}, mean accuracy in the longest window "
            f"{100 * _mean_accuracy(accuracy, form):.1f} % "
            f"({100 * _mean_accuracy(accuracy, name):.1f} %)."
        )
    if ONE_FACTOR in study.forms:
        tried = ", ".join(f"{100 * a:.1f} % at {f:g}" for f, a in study.factors.items())
        others.append(f"One factor, in units of that of the mean charge: {tried} (validation).")
    if study.calibration:
        each = ", ".join(f"{r2:.3f}" for r2 in study.calibration)
        rates.append(
            f"Calibrated by a gain and a current of each {study.options.calibrate}: R2 of log "
            f"rates on held-out validation items {each}, before and after each step; the step with "
            "the smallest error there is kept."
        )
    if study.fine_tuning:
        before, least = study.fine_tuning[0], min(study.fine_tuning)
        rates.append(
            f"Fine-tuned by {study.options.fine_tune} steps through the spikes: error of rates on "
            f"held-out validation items {before:.3f} before, {least:.3f} with the weights that are "
            "kept" + (", which are those before: nothing was gained." if least == before else ".")
        )
    if study.rate_fitted:
        rates.append(_time_constants(study))
    predicted = study.check.findings or ("Nothing that should harm the conversion.",)
    return {
        "Rates": rates,
        "Answers, as trained": answers,
        "Other networks": others,
        "Predicted before any spike": [
            *predicted,
            f"Spectral radius of diag(F')W: {study.check.spectral_radius:.2f}.",
        ],
    }


def _time_constants(study: Study) -> str:
    spikes = study.forms[study.converted][HELD]
    everyone = np.ones(study.trained.model.n, dtype=bool)
    before, after = (
        psth_r_squared(each, spikes, everyone) for each in (study.rate[HELD], study.rate_fitted)
    )
    return (
        "With time constants of the rates fitted to each class on validation items, R2 of PSTHs in "
        f"10 ms bins is {after:.3f} instead of {before:.3f} (time_constants.csv)."
    )


def _bound(study: Study) -> Iterator[str]:
    """What the spikes of the LGN allow."""
    shown, trained = study.shown[HELD], study.trained
    tasks = [task for task in shown.data.tasks if isinstance(task, FineOrientation)]
    if not tasks or not trained.setup.lgn:
        return
    cells = trained.model.cells_per_channel
    found = orientation_bound(
        tasks[0],
        v1.lgn(trained.network),
        shown.windows_ms,
        cells_per_channel=cells,
        items=shown.items,
        dt_ms=trained.setup.dt_ms,
    )
    each = ", ".join(
        f"{100 * right:.1f} % at {width:g} ms"
        for width, right in zip(shown.windows_ms, found, strict=True)
    )
    yield (
        f"An ideal observer of the LGN's spikes ({cells} cells a channel), who knows the phase and "
        f"the two orientations in question, is right in {each} of these items of {tasks[0].name}: "
        "no network that sees these spikes can do better."
    )


def _explained(form: str) -> str:
    return f" ({CONTROLS[form]})" if form in CONTROLS else ""


def _tasks(accuracy: Table) -> list[str]:
    return list(dict.fromkeys(accuracy["task"].tolist()))


def _own_timing(accuracy: Table, task: str, form: str) -> str:
    rate = row_of(accuracy, form="rate network", timing=OWN, task=task)
    spikes = row_of(accuracy, form=form, timing=OWN, task=task)
    counted = row_of(accuracy, form=SPIKES_IN, timing=OWN, task=task)
    return (
        f"{task}, {spikes['window_ms']:g} ms: {100 * rate['accuracy']:.1f} % as rates, "
        f"{100 * counted['accuracy']:.1f} % as rates that see spikes of the input, "
        f"{100 * spikes['accuracy']:.1f} % as spikes, {spikes['points_lost']:.1f} points lost "
        f"({spikes['lost_low']:.1f} to {spikes['lost_high']:.1f}) on {spikes['items']} items, "
        f"{spikes['trials']} trials each."
    )


def plain(value: Any) -> Any:
    """A number for JSON; null where it is not defined."""
    if isinstance(value, float | np.floating):
        return None if not math.isfinite(value) else float(value)
    return value
