"""`compare`: the report card of a prediction of spikes by rates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from toolkit.errors import InputError
from toolkit.metrics.agreement import log_rate_r_squared, psth_correlation, r_squared, slope
from toolkit.metrics.reliability import Ceiling, split_half_ceiling
from toolkit.recording import Recording
from toolkit.table import Table


@dataclass(frozen=True, eq=False)
class Comparison:
    """How well rates predict spikes.

    Attributes
    ----------
    n_trials, duration_ms : what was averaged: trials of spikes, and milliseconds of each
    per_neuron : table of ``spiking_Hz`` (mean over trials), ``rate_Hz``, and ``class`` if given
    per_class : one row a class, first ``all``: ``n``, ``spiking_Hz``, ``rate_Hz`` (means),
        ``r_squared``, ``log_rate_r_squared``, ``slope`` (across neurons), ``psth_correlation``
        (of the class means over time)
    ceiling, log_ceiling : of R2 across all neurons, from two or more trials; else None
    """

    n_trials: int
    duration_ms: float
    per_neuron: Table
    per_class: Table
    ceiling: Ceiling | None
    log_ceiling: Ceiling | None

    @property
    def r_squared(self) -> float:
        """R2 of mean rates across all neurons."""
        return float(self.per_class["r_squared"][0])

    @property
    def log_rate_r_squared(self) -> float:
        """R2 of log10(rate + 0.1 Hz) across all neurons."""
        return float(self.per_class["log_rate_r_squared"][0])

    @property
    def slope(self) -> float:
        """Slope of spiking on rate across all neurons."""
        return float(self.per_class["slope"][0])

    @property
    def psth_correlation(self) -> float:
        """Correlation over time of the population means."""
        return float(self.per_class["psth_correlation"][0])


def compare(
    spiking: Recording | Sequence[Recording],
    rate: Recording,
    classes: ArrayLike | None = None,
    *,
    start_ms: float = 0.0,
    bin_ms: float = 10.0,
) -> Comparison:
    """Compare what neurons did (spikes, observed) with what was predicted (rates).

    Parameters
    ----------
    spiking : one trial or several of the same stimulus; a recording of rates is taken as well
    rate : the prediction, of the same neurons and duration
    classes : class name of every neuron, shape (neuron,)
    start_ms : leave out what is before, a multiple of `bin_ms`
    bin_ms : bin of the PSTHs, a multiple of dt that divides the duration

    Raises
    ------
    InputError : unequal numbers of neurons or durations, fewer than 2 neurons, bins that do not
        fit

    Notes
    -----
    A class of one neuron has no R2 (NaN). Memory is that of two PSTHs, (bin, neuron).

    Examples
    --------
    >>> rates = Recording.rates(np.tile([5.0, 20.0, 40.0], (2000, 1)), dt_ms=1.0)
    >>> trials = [rates.to_spikes(seed) for seed in range(20)]
    >>> result = compare(trials, rates, classes=["a", "b", "b"])
    >>> result.r_squared > 0.95, result.n_trials, result.per_class["class"].tolist()
    (True, 20, ['all', 'a', 'b'])
    """
    trials = [spiking] if isinstance(spiking, Recording) else list(spiking)
    if not trials:
        raise InputError("compare needs at least one spiking recording, got an empty list")
    for trial in trials:
        if trial.n != rate.n or abs(trial.duration_ms - rate.duration_ms) > 1e-6 * rate.duration_ms:
            raise InputError(
                f"the spiking recording has {trial.n} neurons and {trial.duration_ms:g} ms, the "
                f"rates have {rate.n} and {rate.duration_ms:g} ms; they must be equal"
            )
    labels = _labels(classes, rate.n)
    first_bin = round(start_ms / bin_ms) if bin_ms > 0 else 0
    if not 0 <= start_ms < rate.duration_ms or abs(first_bin * bin_ms - start_ms) > 1e-6:
        raise InputError(
            f"start_ms must be a multiple of bin_ms={bin_ms:g} below {rate.duration_ms:g}, "
            f"got {start_ms:g}"
        )
    per_trial = np.zeros((len(trials), rate.n))
    observed = np.zeros(())
    for row, trial in enumerate(trials):
        binned = psth(trial, bin_ms)[first_bin:]
        per_trial[row] = binned.mean(axis=0)
        observed = observed + binned / len(trials)
    predicted = psth(rate, bin_ms)[first_bin:]
    spiking_Hz, rate_Hz = per_trial.mean(axis=0), predicted.mean(axis=0)

    groups = {"all": np.ones(rate.n, dtype=bool)}
    if labels is not None:
        groups |= {str(name): labels == name for name in dict.fromkeys(labels.tolist())}
    columns: dict[str, list[object]] = {}
    for name, members in groups.items():
        y, f = spiking_Hz[members], rate_Hz[members]
        over_time = psth_correlation(
            observed[:, members].mean(axis=1)[:, None], predicted[:, members].mean(axis=1)[:, None]
        )
        for column, value in {
            "class": name,
            "n": len(y),
            "spiking_Hz": y.mean(),
            "rate_Hz": f.mean(),
            "r_squared": r_squared(y, f),
            "log_rate_r_squared": log_rate_r_squared(y, f),
            "slope": slope(y, f),
            "psth_correlation": over_time[0],
        }.items():
            columns.setdefault(column, []).append(value)
    known = {} if labels is None else {"class": labels}
    several = len(trials) > 1 and rate.n > 1
    return Comparison(
        n_trials=len(trials),
        duration_ms=rate.duration_ms - start_ms,
        per_neuron=Table({**known, "spiking_Hz": spiking_Hz, "rate_Hz": rate_Hz}),
        per_class=Table(columns),
        ceiling=split_half_ceiling(per_trial) if several else None,
        log_ceiling=split_half_ceiling(per_trial, log=True) if several else None,
    )


def psth(recording: Recording, bin_ms: float = 10.0) -> np.ndarray:
    """Rates in bins of time, Hz, shape (bin, neuron), of a recording of either kind.

    Parameters
    ----------
    recording : spikes or rates
    bin_ms : a multiple of the recording's dt (of rates) that divides its duration

    Raises
    ------
    InputError : bins that do not fit

    Examples
    --------
    >>> psth(Recording.rates(np.array([[0.0], [4.0], [6.0], [6.0]]), dt_ms=5.0)).tolist()
    [[2.0], [6.0]]
    """
    n_bins = round(recording.duration_ms / bin_ms) if bin_ms > 0 else 0
    if n_bins < 1 or abs(n_bins * bin_ms - recording.duration_ms) > 1e-6 * bin_ms:
        raise InputError(
            f"{recording.duration_ms:g} ms is not a whole number of bins of bin_ms={bin_ms:g}"
        )
    if recording.rates_Hz is None:
        return recording.counts(np.arange(n_bins + 1) * bin_ms) * (1000 / bin_ms)
    if len(recording.rates_Hz) % n_bins:
        raise InputError(
            f"bin_ms={bin_ms:g} is not a multiple of the rates' dt_ms={recording.dt_ms:g}"
        )
    binned = recording.rates_Hz.reshape(n_bins, -1, recording.n)
    return binned.mean(axis=1, dtype=np.float64)


def _labels(classes: ArrayLike | None, n: int) -> np.ndarray | None:
    if classes is None:
        return None
    labels = np.asarray(classes).astype(str)
    if labels.shape != (n,):
        raise InputError(f"classes must name the class of each of {n} neurons, got {labels.shape}")
    if "all" in labels:
        raise InputError("a class cannot be called 'all', which stands for all neurons")
    return labels
