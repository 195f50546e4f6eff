"""What the numbers of a `Study` say, in words: every number is read from the tables."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from circuits.compare.measures import groups
from circuits.compare.study import CONTROLS, RATE_FORM, Study
from toolkit import metrics

POOR_R2 = 0.9
FAR_FACTOR = 2.0
TARGET_TOLERANCE = 0.2
MANY_NEURONS = 20
ACTIVE_HZ = 0.5
CONDITIONS = ("evoked", "spontaneous")
GROUPS = ("all", "E", "I")


def number(value: float, digits: int = 3) -> str:
    """A number for readers: fixed digits, a true minus, a dash for NaN, never a false 1.

    >>> number(0.98765), number(-1.5, 2), number(float("nan")), number(0.99991)
    ('0.988', '−1.50', '–', '>0.999')
    """
    if not np.isfinite(value):
        return "–"
    largest = 1 - 10.0**-digits
    if largest + 0.5 * 10.0**-digits <= value < 1:
        return f">{largest:.{digits}f}"
    return f"{value:.{digits}f}".replace("-", "−")


def hertz(value: float) -> str:
    """A rate with the digits that matter: two decimals, one from 10 Hz.

    >>> hertz(0.634), hertz(14.83), hertz(float("nan"))
    ('0.63', '14.8', '–')
    """
    return f"{value:.{1 if value >= 9.995 else 2}f}" if np.isfinite(value) else "–"


def active_neurons(study: Study, min_Hz: float = ACTIVE_HZ) -> np.ndarray:
    """Mask of the neurons that fire at `min_Hz` or more at their best direction in both forms."""
    spiking, rates = study.spiking_evoked_Hz, study.evoked_Hz[RATE_FORM]
    return (spiking.max(axis=0) >= min_Hz) & (rates.max(axis=0) >= min_Hz)


def modulated_direction(study: Study) -> int:
    """The direction in which the rate form follows the grating's frequency most.

    By the amplitude at that frequency over the mean, averaged over classes.
    """
    protocol = study.protocol
    counted = round((protocol.before_ms + protocol.skip_ms) / protocol.bin_ms)
    rates = study.psth_rates_Hz[..., counted:]
    time_s = np.arange(rates.shape[-1]) * protocol.bin_ms / 1000
    wave = np.exp(-2j * np.pi * protocol.temporal_frequency_Hz * time_s)
    mean = rates.mean(axis=-1)
    depth = 2 * np.abs(rates @ wave / len(time_s)) / np.where(mean > 0, mean, np.inf)
    return int(depth.mean(axis=0).argmax())


def orientation_difference(study: Study) -> np.ndarray:
    """Preferred orientation of the rate form less that of the spikes, degrees, -90 to 90.

    The preferred orientation is half the angle of sum_k R_k exp(2 i theta_k); NaN for neurons that
    are not active in both forms.
    """
    phasors = np.exp(2j * np.radians(study.protocol.directions_deg))
    turn = (phasors @ study.evoked_Hz[RATE_FORM]) * np.conj(phasors @ study.spiking_evoked_Hz)
    return np.where(active_neurons(study) & (turn != 0), np.degrees(np.angle(turn)) / 2, np.nan)


def population_psths(study: Study) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Mean PSTHs (direction, bin) of E and of I neurons, of spikes and of rates."""
    cls, out = study.neurons["cell_class"], {}
    for name in ("E", "I"):
        members = cls[groups(study)[name]]
        if len(members):
            share = np.array([(members == each).mean() for each in study.network.classes])
            out[name] = (
                np.tensordot(share, study.psth_spikes_Hz, axes=1),
                np.tensordot(share, study.psth_rates_Hz, axes=1),
            )
    return out


def population_psth_correlation(study: Study) -> dict[str, float]:
    """Correlation over time and directions of the mean PSTHs of E and of I neurons."""
    return {
        name: float(metrics.psth_correlation(*(each.reshape(-1, 1) for each in pair))[0])
        for name, pair in population_psths(study).items()
    }


def findings(
    study: Study, agreement: pd.DataFrame, classes: pd.DataFrame
) -> dict[str, list[str]]:
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
            tuning(study, classes),
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
    return [
        f"{network.n:,} neurons of {len(network.classes)} classes ({n_E:,} excitatory, "
        f"{network.n - n_E:,} inhibitory) with {len(network.synapses):,} recurrent synapses{lgn}.",
        f"Each of {trials} trials had a drifting grating ({protocol.temporal_frequency_Hz:g} Hz, "
        f"{protocol.spatial_frequency_cpd:g} cycles/degree, contrast {protocol.contrast:g}) in "
        f"{protocol.n_directions} directions, {protocol.grating_ms / 1000:g} s each after "
        f"{protocol.before_ms / 1000:g} s of grey, and a long grey; LGN and background spikes were "
        "drawn anew in every trial.",
        f"Evoked rates leave out the first {protocol.skip_ms / 1000:g} s of the grating: "
        f"{evoked_s:g} s a neuron and direction. Spontaneous rates are from {grey_s:g} s of grey a "
        f"neuron. In all, {trials * trial_s:,.0f} s of activity were simulated. The rate form, a "
        "discrete network of the same neurons and synapses, saw the same LGN rates; it is "
        "deterministic.",
    ]


def agreement_sentences(agreement: pd.DataFrame) -> Iterable[str]:
    """One sentence a condition, from the rows of the rate form."""
    what = {"evoked": "neurons and directions", "spontaneous": "neurons"}
    for condition in CONDITIONS:
        rows = _rows(agreement, condition, RATE_FORM)
        each = rows.loc["all"]
        parts = "; ".join(
            f"{name} {number(rows.R2[name])} ({_interval(rows.loc[name])})" for name in ("E", "I")
        )
        yield (
            f"{condition.capitalize()}: across {what[condition]}, the rate form explains "
            f"R² = {number(each.R2)} (95 % interval {_interval(each)}) of the variance of the "
            f"spiking rates; {parts}. The ceiling that the trials set is {number(each.ceiling)}. "
            f"On log rates R² is {number(each.log_R2)} (E {number(rows.log_R2['E'])}, "
            f"I {number(rows.log_R2['I'])}; ceiling {number(each.log_ceiling)}). The slope of "
            f"spiking on rate is {number(each.slope, 2)}; mean rates are {hertz(each.spiking_Hz)} "
            f"Hz in spikes and {hertz(each.rate_Hz)} Hz in the rate form."
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
        worst = large.loc[large.psth_correlation.idxmin()]
        text += (
            f"; of classes of {MANY_NEURONS} neurons or more the median is "
            f"{number(large.psth_correlation.median(), 2)}, the lowest "
            f"{number(worst.psth_correlation, 2)} ({worst.cell_class})"
        )
    return text + ". The noise of finite trials lowers these; they have no ceiling of their own."


def tuning(study: Study, classes: pd.DataFrame) -> str:
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
        column = f"{condition}_R2"
        poor = classes[classes[column] < limit].sort_values(column)
        if len(poor):
            names = "; ".join(
                f"{row.cell_class} {number(row[column])} ({_neurons(row.neurons)}, ceiling "
                f"{number(row[f'{condition}_ceiling'])})"
                for _, row in poor.iterrows()
            )
            yield f"{condition.capitalize()} R² within the class is below {limit:g} in {names}."
        else:
            yield f"{condition.capitalize()}: no class has an R² below {limit:g}."
        undefined = classes[classes[column].isna()]
        if len(undefined):
            names = ", ".join(
                f"{row.cell_class} ({_neurons(row.neurons)})" for _, row in undefined.iterrows()
            )
            yield f"{condition.capitalize()} R² is undefined (all rates equal) for {names}."


def control_sentences(agreement: pd.DataFrame, classes: pd.DataFrame) -> Iterable[str]:
    """Where a control does as well as the rate form, so that the figure shows little."""
    forms = [name for name in CONTROLS if name in set(agreement.form)]
    if not forms:
        yield "No controls were run."
        return
    yield (
        "The controls are rate networks too: "
        + "; ".join(f"“{_title(name)}”, {CONTROLS[name]}" for name in forms)
        + "."
    )
    equal = []
    for condition in CONDITIONS:
        rate = _rows(agreement, condition, RATE_FORM)
        for form in forms:
            control = _rows(agreement, condition, form)
            equal += [
                f"{_title(form)}, {condition}, {name} ({number(control.R2[name])} against "
                f"{number(rate.R2[name])})"
                for name in GROUPS
                if name in rate.index and control.R2[name] >= rate.R2_low[name]
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
            f"{row.cell_class} ({_title(form)}, {number(row[f'{condition}_R2_{form}'], 2)} against "
            f"{number(row[f'{condition}_R2'], 2)})"
            for _, row in classes.iterrows()
            for form in forms
            if row[f"{condition}_R2_{form}"] >= row[f"{condition}_R2"]
        ]
        if names:
            yield f"{condition.capitalize()}, within classes, a control does as well in " + (
                "; ".join(names) + "."
            )


def recorded_sentences(study: Study, classes: pd.DataFrame) -> list[str]:
    """How the spiking rates stand to the recorded medians."""
    if "recorded_units" not in classes:
        return ["No class has recorded units to compare with."]
    known = classes[classes.recorded_units.notna()]
    calibration = study.network.provenance.get("background", "not known")
    ratio = known.spontaneous_spiking_Hz / known.spontaneous_target_Hz
    off = known[(ratio - 1).abs() > TARGET_TOLERANCE]
    rest = (
        f"At rest {len(known) - len(off)} of {len(known)} classes are within "
        f"{100 * TARGET_TOLERANCE:.0f} % of their target (the recorded median, pooled over layers "
        "for classes of few units)"
    )
    if len(off):
        rest += "; the others are " + _against(
            off, "spontaneous_spiking_Hz", "spontaneous_target_Hz", "target"
        )
    ratio = known.evoked_spiking_Hz / known.recorded_evoked_median_Hz
    far = known[(ratio > FAR_FACTOR) | (ratio < 1 / FAR_FACTOR)]
    evoked = (
        f"Evoked rates were not calibrated: {len(known) - len(far)} of {len(known)} classes are "
        f"within a factor of {FAR_FACTOR:g} of the recorded median"
    )
    if len(far):
        evoked += "; far from it are " + _against(
            far, "evoked_spiking_Hz", "recorded_evoked_median_Hz", "recorded"
        )
    return [
        "Recorded: medians of units in awake mice; model: class means of an untrained column. "
        "A mean lies above the median where rates are skewed, and few units stand behind the "
        "Sst and Htr3a classes: only large differences mean something.",
        "The background input is meant to bring spontaneous rates to the recorded medians "
        f"(weights: {calibration}), so that agreement at rest is no test of the model. {rest}.",
        evoked + ".",
    ]


def _against(rows: pd.DataFrame, model: str, other: str, word: str) -> str:
    return "; ".join(
        f"{row.cell_class} {hertz(row[model])} Hz ({word} {hertz(row[other])})"
        for _, row in rows.iterrows()
    )


def _rows(agreement: pd.DataFrame, condition: str, form: str) -> pd.DataFrame:
    rows = agreement[(agreement.condition == condition) & (agreement.form == form)]
    return rows.set_index("group")


def _interval(row: pd.Series) -> str:
    return f"{number(row.R2_low)} to {number(row.R2_high)}"


def _neurons(count: int) -> str:
    return f"{count:,} neuron" + ("s" if count != 1 else "")


def _title(form: str) -> str:
    return form.replace("_", " ")
