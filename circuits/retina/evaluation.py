"""Runs of `striate retina train` scored together: tables and figures in one folder."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from circuits.retina import figures
from circuits.retina.scores import (
    BY,
    SAMPLES,
    Outcome,
    ablation,
    against,
    alike,
    by_cell,
    correlations,
    means,
    outcome,
    pooled,
    summary,
    with_distances,
)
from circuits.retina.setup import Setup, prepare
from circuits.retina.weights import WEIGHTS, Trained, load_model
from toolkit.errors import InputError
from toolkit.files import write_text
from toolkit.progress import bar
from toolkit.retina.fitting import Options, cc_by_length, fit

REFERENCE, REFERENCE_OPTIONS = "ln", Options()
LENGTHS_MS = (1000, 2000, 5000, 10_000, 20_000, 50_000)
Study = tuple[str, float, int]  # data, steps in ms, number of folds: what can be compared


def runs_in(paths: Sequence[Path]) -> list[Path]:
    """Folders of runs: those given, or all below them.

    Raises
    ------
    InputError : a folder that does not exist or holds no run
    """
    found: list[Path] = []
    for path in paths:
        if not path.is_dir():
            raise InputError(f"{path} is no folder; give that of a `striate retina train`")
        own = [path] if (path / WEIGHTS).is_file() else []
        below = sorted(file.parent for file in path.glob(f"**/*/{WEIGHTS}"))
        own += [run for run in below if not any(p[0] == "." for p in run.relative_to(path).parts)]
        if not own:
            raise InputError(f"{path} holds no run of `striate retina train` (no {WEIGHTS})")
        found += [run for run in own if run not in found]
    return found


def evaluate_runs(
    runs: Sequence[Path],
    folder: Path,
    *,
    samples: int = SAMPLES,
    reference: bool = True,
    lengths: bool = False,
    say: Callable[[str], object] = print,
    show: bool | None = None,
) -> pd.DataFrame:
    """Score runs on the test windows of their folds and write tables and figures.

    Parameters
    ----------
    runs : folders, of `runs_in`
    folder : where ``models.csv``, ``seeds.csv``, ``folds.csv``, ``cells.csv``, ``against_ln.csv``,
        ``against_tecos-rate.csv``, ``ablation.csv``, ``lengths.csv`` and the figures go
    samples : predicted trials
    reference : fit an LN to the folds that no run among `runs` has one for
    lengths : score windows after ever longer runs through the movie, too
    say, show : lines of text; progress bar, on a terminal by default

    Returns
    -------
    ``models.csv``: mean over seeds of each model with its interval, folds pooled

    Raises
    ------
    InputError : two runs of the same model, seed and fold
    """
    tested: dict[Setup, Outcome] = {}
    by_length: list[dict[str, Any]] = []
    with bar(len(runs), "runs", enabled=show) as progress:
        for run in runs:
            trained = load_model(run / WEIGHTS)
            setup = trained.prepared.setup
            if setup in tested:
                raise InputError(f"{run} is a second run of the same model, seed and fold: {setup}")
            found = outcome(trained.prepared, trained.model, samples=samples)
            tested[setup] = with_distances(found)
            by_length += _lengths(trained) if lengths else []
            progress.update(1)
    if reference:
        tested |= _references(tested, samples, say, show)
    folds, cells, seeds = _tables(tested)
    models = summary(seeds)
    tables = {
        "models": models,
        "seeds": seeds,
        "folds": folds,
        "cells": cells,
        "against_ln": against(seeds, REFERENCE),
        "against_tecos-rate": against(seeds, "tecos-rate"),
        "ablation": ablation(seeds),
        "lengths": pd.DataFrame(by_length),
    }
    for name, table in tables.items():
        if len(table):
            write_text(folder / f"{name}.csv", table.to_csv(index=False, float_format="%.5g"))
    images = figures.draw(tested, cells, seeds, models)
    if by_length:
        images["lengths"] = figures.lengths(tables["lengths"])
    for name, image in images.items():
        (folder / f"{name}.png").write_bytes(image)
    return models


def study(setup: Setup) -> Study:
    """What runs share that can be compared."""
    return setup.data, setup.bin_ms, setup.folds


def _lengths(trained: Trained) -> list[dict[str, Any]]:
    """CC in the test windows at the end of pieces of 1, 2, 5, ... s and of the whole sequence."""
    setup, steps = trained.prepared.setup, trained.prepared.steps
    whole_ms = steps.experiment.duration_ms
    chosen = [ms for ms in LENGTHS_MS if ms < whole_ms] + [whole_ms]
    cc = cc_by_length(trained.model, steps, trained.prepared.split.test, chosen, seed=setup.seed)
    facts = {**_facts(setup), "seed": setup.seed, "fold": setup.fold}
    return [
        {**facts, "length_s": ms / 1000, "cc": value} for ms, value in zip(chosen, cc, strict=True)
    ]


def _references(
    tested: dict[Setup, Outcome], samples: int, say: Callable[[str], object], show: bool | None
) -> dict[Setup, Outcome]:
    """An LN of each fold that has none."""
    there = {(study(s), s.fold) for s in tested if s.model == REFERENCE}
    missing = sorted({(study(s), s.fold) for s in tested} - there)
    if missing:
        say(f"LN, the reference, is fitted to {len(missing)} folds")
    found = {}
    with bar(len(missing), "LN", enabled=show) as progress:
        for (data, bin_ms, n), fold in missing:
            setup = Setup(data=data, model=REFERENCE, fold=fold, folds=n, bin_ms=bin_ms)
            ready = prepare(setup)
            fitted = fit(ready.model(), ready.steps, ready.split, REFERENCE_OPTIONS, show=False)
            found[setup] = with_distances(outcome(ready, fitted.model, samples=samples))
            progress.update(1)
    return found


def _tables(tested: dict[Setup, Outcome]) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Of folds, of cells with folds pooled, and of seeds."""
    folds, cells, seeds = [], [], []
    for key, own in grouped(tested).items():
        facts = {**_facts(key), "seed": key.seed}
        of_folds = [means(by_cell(part)) | alike(part) for part in own.values()]
        for setup, row in zip(own, of_folds, strict=True):
            folds.append({**facts, "fold": setup.fold, "windows": len(own[setup].counts), **row})
        numbers = ", ".join(str(setup.fold) for setup in own)
        together = pooled(list(own.values()))
        whole = by_cell(together)
        cells.append(whole.assign(**facts, folds=numbers)[[*facts, "folds", *whole.columns]])
        row = means(whole) | alike(together)
        row["cc_of_folds"] = sum(each["cc"] for each in of_folds) / len(of_folds)
        same = _reference_of(tested, list(own))
        row["ln_cc"] = float(np.nanmean(correlations(pooled(same)))) if same else np.nan
        seeds.append({**facts, "folds": numbers, **row})
    return pd.DataFrame(folds), pd.concat(cells, ignore_index=True), pd.DataFrame(seeds)


def _facts(setup: Setup) -> dict[str, Any]:
    return dict(zip(BY, (setup.data, setup.bin_ms, setup.name, setup.hidden), strict=True))


def grouped(tested: dict[Setup, Outcome]) -> dict[Setup, dict[Setup, Outcome]]:
    """Folds of the same model and seed together, in their order; keys have fold 0."""
    found: dict[Setup, dict[Setup, Outcome]] = {}
    for setup in sorted(tested, key=lambda s: s.fold):
        key = dataclasses.replace(setup, fold=0)
        found.setdefault(key, {})[setup] = tested[setup]
    return {
        key: found[key] for key in dict.fromkeys(dataclasses.replace(s, fold=0) for s in tested)
    }


def _reference_of(tested: dict[Setup, Outcome], setups: Sequence[Setup]) -> list[Outcome]:
    """The LN of the lowest seed of each of the folds; nothing if one has none."""
    found: list[Any] = []
    for setup in setups:
        own = [
            s
            for s in tested
            if s.model == REFERENCE and study(s) == study(setup) and s.fold == setup.fold
        ]
        found += [tested[min(own, key=lambda s: s.seed)]] if own else []
    return found if len(found) == len(setups) else []
