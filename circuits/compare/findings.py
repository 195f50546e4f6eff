"""What the numbers of a `Study` say, in words: every number is read from the tables."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

import numpy as np
import pandas as pd

from circuits.compare.measures import groups
from circuits.compare.responses import (
    ACTIVE_HZ,
    orientation_difference,
    population_psth_correlation,
)
from circuits.compare.study import CONTROLS, RATE_FORM, Study

POOR_R2 = 0.9
FAR_FACTOR = 2.0
TARGET_TOLERANCE = 0.2
MANY_NEURONS = 20
CONDITIONS = ("evoked", "spontaneous")
GROUPS = ("all", "E", "I")
MINUS, DASH = "\u2212", "\u2013"

Row = dict[Hashable, Any]


def number(value: float, digits: int = 3) -> str:
    """A number for readers: fixed digits, a true minus, a dash for NaN, never a false 1.

    >>> number(0.98765), number(12.0, 1), number(0.99991)
    ('0.988', '12.0', '>0.999')
    """
    if not np.isfinite(value):
        return DASH
    largest = 1 - 10.0**-digits
    if largest + 0.5 * 10.0**-digits <= value < 1:
        return f">{largest:.{digits}f}"
    return f"{value:.{digits}f}".replace("-", MINUS)


def hertz(value: float) -> str:
    """A rate with the digits that matter: two decimals, one from 10 Hz.

    >>> hertz(0.634), hertz(14.83)
    ('0.63', '14.8')
    """
    return f"{value:.{1 if value >= 9.995 else 2}f}" if np.isfinite(value) else DASH


def findings(study: Study, agreement: pd.DataFrame, classes: pd.DataFrame) -> dict[str, list[str]]:
    """Paragraphs of plain sentences by heading.

    Parameters
    ----------
    study : of `run_study`
    agreement, classes : `measures.agreement` and `measures.by_class` of it
    """
    return {
        "What was simulated": simulated(study),
        "How far spikes and rates agree": [
            *agreement_sentences(agreement),
            time_course(study, classes),
            tuning(study),
        ],
        "Where they do not": [*poor_classes(classes)],
        "Controls": [*control_sentences(agreement, classes)],
        "Beside the recordings": recorded_sentences(study, classes),
    }


def simulated(study: Study) -> list[str]:
    """The network, the stimuli, and the time counted."""
    network, protocol, n_E = study.network, study.protocol, int(study.network.excitatory.sum())
    trials = len(study.grey_counts)
    lgn = ""
    if "lgn" in network.inputs:
        source = network.inputs["lgn"]
        lgn = f", and {len(source.synapses):,} synapses from {source.n:,} LGN channels"
    sweeps_s = protocol.n_directions * protocol.sweep_ms / 1000
    trial_s = sweeps_s + (protocol.before_ms + protocol.grey_ms) / 1000
    evoked_s, grey_s = (trials * ms / 1000 for ms in (protocol.evoked_ms, protocol.grey_ms))
    circuit = (
        f"{network.n:,} neurons of {len(network.classes)} classes ({n_E:,} excitatory, "
        f"{network.n - n_E:,} inhibitory) with {len(network.synapses):,} recurrent synapses{lgn}."
    )
    stimuli = (
        f"Each of {trials} trials had a drifting grating ({protocol.temporal_frequency_Hz:g} Hz, "
        f"{protocol.spatial_frequency_cpd:g} cycles/degree, contrast {protocol.contrast:g}) in "
        f"{protocol.n_directions} directions, {protocol.grating_ms / 1000:g} s each after "
        f"{protocol.before_ms / 1000:g} s of grey, and a long grey; LGN and background spikes "
        "were drawn anew in every trial."
    )
    counted = (
        f"Evoked rates leave out the first {protocol.skip_ms / 1000:g} s of the grating: "
        f"{evoked_s:g} s a neuron and direction. Spontaneous rates are from {grey_s:g} s of grey "
        f"a neuron. In all, {trials * trial_s:,.0f} s of activity were simulated. The rate form, "
        "a discrete network of the same neurons and synapses, saw the same LGN rates; it is "
        "deterministic."
    )
    return [circuit, stimuli, counted]


def agreement_sentences(agreement: pd.DataFrame) -> Iterable[str]:
    """One sentence a condition, from the rows of the rate form."""
    what = {"evoked": "neurons and directions", "spontaneous": "neurons"}
    for condition in CONDITIONS:
        rows = by_group(agreement, condition, RATE_FORM)
        every, e, i = (rows[name] for name in GROUPS)
        yield (
            f"{condition.capitalize()}: across {what[condition]}, the rate form explains "
            f"R² = {number(every['R2'])} (95 % interval {interval(every)}) of the variance of the "
            f"spiking rates; E {number(e['R2'])} ({interval(e)}); I {number(i['R2'])} "
            f"({interval(i)}). The ceiling that the trials set is {number(every['ceiling'])}. "
            f"On log rates R² is {number(every['log_R2'])} (E {number(e['log_R2'])}, "
            f"I {number(i['log_R2'])}; ceiling {number(every['log_ceiling'])}). The slope of "
            f"spiking on rate is {number(every['slope'], 2)}; mean rates are "
            f"{hertz(every['spiking_Hz'])} Hz in spikes and {hertz(every['rate_Hz'])} Hz in the "
            "rate form."
        )


def time_course(study: Study, classes: pd.DataFrame) -> str:
    """How the PSTHs correlate."""
    both = population_psth_correlation(study)
    text = (
        f"In time ({study.protocol.bin_ms:g} ms bins, all directions), the mean PSTHs correlate at "
        + " and ".join(f"{number(value, 2)} ({name})" for name, value in both.items())
    )
    large = classes[(classes.neurons >= MANY_NEURONS) & classes.psth_correlation.notna()]
    if len(large):
        worst = large.sort_values("psth_correlation").to_dict("records")[0]
        text += (
            f"; of classes of {MANY_NEURONS} neurons or more the median is "
            f"{number(float(large.psth_correlation.median()), 2)}, the lowest "
            f"{number(worst['psth_correlation'], 2)} ({worst['cell_class']}); the trials' noise "
            f"leaves a perfect one a median of {number(float(large.psth_ceiling.median()), 2)}"
        )
    return text + "."


def tuning(study: Study) -> str:
    """How far the preferred orientations agree."""
    difference, parts = orientation_difference(study), []
    for name in ("E", "I"):
        own = difference[groups(study)[name] & ~np.isnan(difference)]
        if len(own):
            share = 100 * float((np.abs(own) <= 22.5).mean())
            parts.append(f"{share:.0f} % of {len(own):,} {name} neurons")
    if not parts:
        return f"No neuron fires at {ACTIVE_HZ:g} Hz in both forms: tuning is undefined."
    return (
        f"The preferred orientations of the two forms are within 22.5 degrees for "
        f"{' and '.join(parts)} that fire at {ACTIVE_HZ:g} Hz or more at their best direction in "
        "both forms."
    )


def poor_classes(classes: pd.DataFrame, limit: float = POOR_R2) -> Iterable[str]:
    """The classes below `limit`, with their size and ceiling, and those without an R2."""
    for condition in CONDITIONS:
        key, title = f"{condition}_R2", condition.capitalize()
        poor = [
            f"{row['cell_class']} {number(row[key])} ({_neurons(row['neurons'])}, ceiling "
            f"{number(row[f'{condition}_ceiling'])})"
            for row in classes.sort_values(key).to_dict("records")
            if row[key] < limit
        ]
        undefined = [
            f"{row['cell_class']} ({_neurons(row['neurons'])})"
            for row in classes.to_dict("records")
            if np.isnan(row[key])
        ]
        if poor:
            yield f"{title} R² within the class is below {limit:g} in {'; '.join(poor)}."
        else:
            yield f"{title}: no class has an R² below {limit:g}."
        if undefined:
            yield f"{title} R² is undefined (all rates equal) for {', '.join(undefined)}."


def control_sentences(agreement: pd.DataFrame, classes: pd.DataFrame) -> Iterable[str]:
    """Where a control does as well as the rate form, so that the figure shows little."""
    forms = [name for name in CONTROLS if name in set(agreement.form)]
    if not forms:
        yield "No controls were run."
        return
    what = "; ".join(f"“{spoken(name)}”, {CONTROLS[name]}" for name in forms)
    yield f"The controls are rate networks too: {what}."
    equal = []
    for condition in CONDITIONS:
        rate = by_group(agreement, condition, RATE_FORM)
        for form in forms:
            control = by_group(agreement, condition, form)
            equal += [
                f"{spoken(form)}, {condition}, {name} ({number(control[name]['R2'])} against "
                f"{number(rate[name]['R2'])})"
                for name in GROUPS
                if control[name]["R2"] >= rate[name]["R2_low"]
            ]
    if equal:
        yield (
            "A control does as well as the rate form (R² at or above the lower end of its "
            "interval), so that these figures say nothing for the recurrent circuit: "
            + "; ".join(equal)
            + "."
        )
    else:
        yield (
            "No control does as well as the rate form, for all neurons, E or I, evoked or "
            "spontaneous."
        )
    for condition in CONDITIONS:
        names = [
            f"{row['cell_class']} ({spoken(form)}, {number(row[f'{condition}_R2_{form}'], 2)} "
            f"against {number(row[f'{condition}_R2'], 2)})"
            for row in classes.to_dict("records")
            for form in forms
            if row[f"{condition}_R2_{form}"] >= row[f"{condition}_R2"]
        ]
        if names:
            yield f"{condition.capitalize()}, a control does as well within {'; '.join(names)}."


def recorded_sentences(study: Study, classes: pd.DataFrame) -> list[str]:
    """How the spiking rates stand to the recorded medians."""
    if "recorded_units" not in classes:
        return ["No class has recorded units to compare with."]
    known = classes[classes.recorded_units.notna()].to_dict("records")
    model, target = "spontaneous_spiking_Hz", "spontaneous_target_Hz"
    off = [row for row in known if abs(row[model] / row[target] - 1) > TARGET_TOLERANCE]
    rest = (
        f"{len(known) - len(off)} of {len(known)} classes are within "
        f"{100 * TARGET_TOLERANCE:.0f} % of their target (the recorded median, pooled over layers "
        "for classes of few units)"
    )
    if off:
        rest += "; the others: " + _against(off, model, target, "target")
    model, median = "evoked_spiking_Hz", "recorded_evoked_median_Hz"
    far = [row for row in known if not 1 / FAR_FACTOR <= row[model] / row[median] <= FAR_FACTOR]
    evoked = (
        f"Evoked rates were not calibrated. {len(known) - len(far)} of {len(known)} classes are "
        f"within a factor of {FAR_FACTOR:g} of the recorded median"
    )
    if far:
        evoked += "; far from it: " + _against(far, model, median, "recorded")
    calibration = study.network.provenance.get("background", "not known")
    terms = (
        "Recorded: medians of units in awake mice; model: class means of an untrained column. "
        "A mean lies above the median where rates are skewed, and few units stand behind the "
        "Sst and Htr3a classes: only large differences mean something."
    )
    calibrated = (
        "The background input is meant to bring spontaneous rates to the recorded medians "
        f"(weights: {calibration}), so that agreement at rest is no test of the model. At rest "
    )
    return [terms, f"{calibrated}{rest}.", f"{evoked}."]


def by_group(agreement: pd.DataFrame, condition: str, form: str) -> dict[str, Row]:
    """The rows of `measures.agreement` of a condition and form, by group."""
    rows = agreement[(agreement.condition == condition) & (agreement.form == form)]
    return {row["group"]: row for row in rows.to_dict("records")}


def interval(row: Row) -> str:
    """The interval of R2 of a row of `measures.agreement`."""
    return f"{number(row['R2_low'])} to {number(row['R2_high'])}"


def spoken(form: str) -> str:
    """The name of a form in prose.

    >>> spoken("no_recurrence")
    'no recurrence'
    """
    return form.replace("_", " ")


def _against(rows: list[Row], model: str, other: str, word: str) -> str:
    return "; ".join(
        f"{row['cell_class']} {hertz(row[model])} Hz ({word} {hertz(row[other])})" for row in rows
    )


def _neurons(count: int) -> str:
    return f"{count:,} neuron" + ("s" if count != 1 else "")
