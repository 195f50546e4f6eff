"""How near predictions come to the recorded trials: cell by cell, by seed, and over seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from circuits.retina.setup import Prepared, Setup
from circuits.retina.trains import between_trials, rhythm_distance, train_distances
from toolkit.metrics import code_similarity
from toolkit.retina.data import ceiling
from toolkit.retina.fitting import EncodingModel, bits_per_spike, predict
from toolkit.retina.fitting.scoring import cell_scores, in_scored_bins

LEVEL = 0.95
SAMPLES = 30  # predicted trials; the recordings have as many
RATE_SAMPLES = 100  # of predicted rates, at least; the noise of 30 takes 0.05 off TeCoS-LVM's CC
WHITE = 255.0  # range of the grey levels of frames


class Measure(NamedTuple):
    """A column of the tables: what it is called, its unit, and whether more is better."""

    title: str
    unit: str = ""
    more_is_better: bool = True


MEASURES = {
    "cc": Measure("CC with the PSTH"),
    "cc_corrected": Measure("CC / ceiling"),
    "bits_per_spike": Measure("Log-likelihood", "bits a spike"),
    "spike": Measure("SPIKE-distance", more_is_better=False),
    "victor_purpura": Measure("Victor-Purpura", "q = 0.1 / ms", more_is_better=False),
    "van_rossum": Measure("van Rossum", "tau = 10 ms", more_is_better=False),
    "autocorrelogram": Measure("Autocorrelogram", "rms to 100 ms", more_is_better=False),
    "mmd": Measure("Spike-train MMD²", "linear kernel", more_is_better=False),
    "ssim": Measure("SSIM-code distance r", more_is_better=False),
}
OF_TRIALS = "_of_trials"  # ending of a distance's name: that of recorded trials from each other
BY = ["data", "bin_ms", "model", "hidden"]  # what seeds and folds are put together within


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a model predicts for the test windows of its fold, and what was recorded there.

    setup, cells : of the training; cells are numbers in the recording
    counts : (window, step, cell, trial), spikes
    rates : (window, step, cell), expected spikes a step
    spikes : (window, step, cell, sample), 0 or 1
    pictures : uint8 (window, y, x), the frame in the middle of each window
    distances : (window, cell) each, of `with_distances`
    """

    setup: Setup
    cells: np.ndarray
    counts: np.ndarray
    rates: np.ndarray
    spikes: np.ndarray
    pictures: np.ndarray
    distances: Mapping[str, np.ndarray] = field(default_factory=dict)


def outcome(
    ready: Prepared, model: EncodingModel, *, samples: int = SAMPLES, seed: int | None = None
) -> Outcome:
    """Predict whole sequences, and keep what lies in the test windows.

    samples : predicted trials; rates are means over 100 of them at least
    seed : of the draws; None for that of the training
    """
    steps, windows = ready.steps, ready.split.test
    seed = ready.setup.seed if seed is None else seed
    found = predict(model, steps, samples=max(samples, RATE_SAMPLES), seed=seed)
    counts, rates, spikes = (steps.in_windows(v, windows) for v in (steps.counts, *found))
    spikes = spikes[..., :samples]
    middle = steps.in_windows(steps.shown, windows)[:, steps.n_bins // 2]
    pictures = steps.experiment.frames[middle]
    return Outcome(ready.setup, ready.cells, counts, rates, spikes, pictures)


def with_distances(tested: Outcome) -> Outcome:
    """With the distances of its spike trains from the recorded ones, and of those from each other.

    Takes some seconds: time is that of windows x cells x trials pairs of trains.
    """
    bin_ms = tested.setup.bin_ms
    found = train_distances(tested.counts, tested.spikes, bin_ms)
    own = between_trials(tested.counts, bin_ms)
    found |= {name + OF_TRIALS: value for name, value in own.items()}
    return replace(tested, distances=found)


def pooled(parts: Sequence[Outcome]) -> Outcome:
    """The windows of several folds of one model and seed, one after another."""
    first = parts[0]
    return replace(
        first,
        counts=np.concatenate([part.counts for part in parts]),
        rates=np.concatenate([part.rates for part in parts]),
        spikes=np.concatenate([part.spikes for part in parts]),
        pictures=np.concatenate([part.pictures for part in parts]),
        distances={
            name: np.concatenate([part.distances[name] for part in parts])
            for name in first.distances
        },
    )


def correlations(tested: Outcome) -> np.ndarray:
    """CC of the predicted rate with the mean of the trials, in bins of 30 ms, (cell,)."""
    return cell_scores(tested.counts.mean(axis=-1), tested.rates, tested.setup.bin_ms)


def by_cell(tested: Outcome) -> pd.DataFrame:
    """A row a cell, in bins of 30 ms.

    ``cc``, correlation of the predicted rate with the mean of the trials over all windows (0 where
    the prediction does not vary); ``ceiling``, that of a perfect model
    (`toolkit.retina.data.ceiling`); ``cc_corrected``, their ratio; ``bits_per_spike``, of the
    trials in the model's own steps, but for TeCoS-LVM, which draws trains and states no
    probability. With distances those of spike trains (`circuits.retina.trains`), means over
    windows, and those of recorded trials from each other (``..._of_trials``). NaN where something
    is not defined, such as the CC of a cell that did not fire.
    """
    s, t = tested.setup, tested
    observed, seconds = t.counts.mean(axis=-1), t.counts[..., 0, 0].size * t.setup.bin_ms / 1000
    cc = correlations(t)
    bound = ceiling(in_scored_bins(t.counts, s.bin_ms)).largest_cc
    flat = (v.reshape(-1, len(t.cells)) for v in (observed, t.rates))
    table = pd.DataFrame(
        {
            "cell": t.cells,
            "rate_Hz": observed.sum(axis=(0, 1)) / seconds,
            "predicted_rate_Hz": t.rates.sum(axis=(0, 1), dtype=float) / seconds,
            "cc": cc,
            "ceiling": bound,
            "cc_corrected": cc / bound,
            "bits_per_spike": np.nan if s.model == "tecos" else bits_per_spike(*flat),
        }
    )
    for name, values in t.distances.items():
        table[name] = values.mean(axis=0)
    if t.distances:
        table["autocorrelogram"] = rhythm_distance(t.counts, t.spikes, s.bin_ms)
    return table


def means(cells: pd.DataFrame) -> dict[str, float]:
    """Means over cells; those without a value are left out."""
    return {str(name): float(cells[name].mean()) for name in cells.columns.drop("cell")}


def alike(tested: Outcome) -> dict[str, float]:
    """``ssim``: whether windows with similar pictures have similar codes, below 0 where they do.

    Correlation over pairs of windows of their pictures' SSIM with the cosine distance of their
    codes, the expected spikes of each cell in the window (our choice); ``ssim_of_trials`` with the
    mean of the recorded ones. NaN of fewer than 3 windows, or if a code is 0.
    """
    codes = {"ssim": tested.rates, "ssim" + OF_TRIALS: tested.counts.mean(axis=-1)}
    found = dict.fromkeys(codes, np.nan)
    for name, values in codes.items():
        code = values.sum(axis=1)
        if len(code) > 2 and code.any(axis=1).all():
            found[name] = code_similarity(tested.pictures, code, data_range=WHITE)
    return found


def over_seeds(values: pd.Series[Any]) -> tuple[float, float, float]:
    """Mean and its 95 % interval (Student's t), NaN for one seed.

    >>> [round(v, 3) for v in over_seeds(pd.Series([0.2, 0.3, 0.4]))]
    [0.3, 0.052, 0.548]
    """
    known = values.dropna()
    if len(known) < 2:
        return float(known.mean()), np.nan, np.nan
    half = stats.t.ppf(0.5 + LEVEL / 2, len(known) - 1) * known.std() / np.sqrt(len(known))
    return float(known.mean()), float(known.mean() - half), float(known.mean() + half)


def summary(seeds: pd.DataFrame) -> pd.DataFrame:
    """A row a model: mean over seeds of each column, and the interval of measures.

    seeds : a row a model and seed: `BY`, ``seed``, ``folds``, and numbers
    """
    rows = []
    for key, own in seeds.groupby(BY, sort=False):
        row: dict[str, Any] = {**dict(zip(BY, key, strict=True)), "seeds": len(own)}
        row["folds"] = "; ".join(sorted(set(own["folds"])))
        for name in own.columns.drop([*BY, "seed", "folds"]):
            row[name], low, high = over_seeds(own[name])
            if name in (*MEASURES, "cc_of_folds"):
                row |= {f"{name}_low": low, f"{name}_high": high}
        rows.append(row)
    return pd.DataFrame(rows)


def against(seeds: pd.DataFrame, reference: str) -> pd.DataFrame:
    """How much more each model has than another one of the same folds, a row a model and measure.

    Means over seeds of the differences with their intervals. Folds that differ in difficulty
    widen the intervals of the models, but not these.

    Parameters
    ----------
    seeds : as for `summary`
    reference : the model that the others are compared with; of several seeds of its folds that of
        the same seed, or the lowest
    """
    rows = []
    same = ["data", "bin_ms", "folds"]
    others = seeds[seeds["model"] == reference].sort_values("seed")
    for key, own in seeds[seeds["model"] != reference].groupby(BY, sort=False):
        pairs = []
        for _, row in own.iterrows():
            there = others[(others[same] == row[same]).all(axis=1)]
            if len(there):
                of_seed = there[there["seed"] == row["seed"]]
                pairs.append((row, (of_seed if len(of_seed) else there).iloc[0]))
        for measure in (name for name in MEASURES if pairs and name in seeds):
            more = pd.Series([float(a[measure]) - float(b[measure]) for a, b in pairs])
            mean, low, high = over_seeds(more)
            about = {"measure": measure, "seeds": len(more), "more": mean, "low": low, "high": high}
            rows.append(dict(zip(BY, key, strict=True)) | about)
    return pd.DataFrame(rows)


def ablation(seeds: pd.DataFrame) -> pd.DataFrame:
    """TeCoS models whose hidden units fire beside those whose do not, a row a measure.

    Means over seeds; ``more`` is how much more the spiking ones have on the same seeds and folds,
    with its interval.

    Parameters
    ----------
    seeds : as for `summary`; nothing comes of a model that is not there in both forms
    """
    rows = []
    same = ["seed", "folds"]
    for key, both in seeds.groupby(BY[:-1], sort=False):
        forms = {hidden: own.set_index(same) for hidden, own in both.groupby("hidden")}
        if not {"spiking", "not spiking"} <= set(forms):
            continue
        for measure, about in MEASURES.items():
            if measure not in both:
                continue
            fires, other = (forms[name][measure] for name in ("spiking", "not spiking"))
            more, low, high = over_seeds(fires - other)
            rows.append(
                {
                    **dict(zip(BY, key, strict=False)),
                    "measure": measure,
                    "spiking": fires.mean(),
                    "not_spiking": other.mean(),
                    "more": more,
                    "low": low,
                    "high": high,
                    "better": _better(fires.mean(), other.mean(), about.more_is_better),
                }
            )
    return pd.DataFrame(rows)


def _better(spiking: float, other: float, more: bool) -> str:
    if np.isnan(spiking) or np.isnan(other) or spiking == other:
        return ""
    return "spiking" if (spiking > other) == more else "not spiking"
