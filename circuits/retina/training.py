"""A training of a retina model as a run folder: unfinished beside it, resumed, written whole."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from circuits.retina.scores import by_cell, outcome
from circuits.retina.setup import Prepared, Setup, prepare
from circuits.retina.weights import WEIGHTS, read, save_model
from toolkit.errors import InputError
from toolkit.files import write_text
from toolkit.learning.checkpoints import differences
from toolkit.retina.fitting import Options, fit
from toolkit.runs import run_folder
from toolkit.unfinished import unfinished_folder

HISTORY, RESULTS, PLAN = "learning_curve.csv", "results.csv", "plan.json"
TIMED_STEPS = 5  # after as many that are not timed


def train_run(
    setup: Setup,
    options: Options,
    out: Path,
    command: str,
    parameters: Mapping[str, Any],
    *,
    minutes: float | None = None,
    resume: bool = False,
    force: bool = False,
    say: Callable[[str], object] = print,
    show: bool | None = None,
) -> None:
    """Train a model and write weights, learning curve, test CC and manifest into a folder.

    Parameters
    ----------
    setup, options : what is trained, and how; the seed of the setup is that of the training, too
    out : the run's folder; what is not finished is in ``OUT.unfinished``
    command, parameters : for the manifest
    minutes : of training, that the number of steps is planned by; that of the options by default
    resume : go on where it stopped; a run that is finished stays as it is
    force : begin anew, whatever is there
    say : what is called with lines of text
    show : progress bar, on a terminal by default

    Raises
    ------
    InputError : a run is there without `resume` or `force`, or one of another setup or options
    SimulationError : numbers that are not finite in the training; the last checkpoint stays
    """
    options = dataclasses.replace(options, seed=setup.seed)
    if resume and (out / WEIGHTS).is_file():
        _check_same(out, setup, options, minutes)
        say(f"{out}: finished before")
        return
    with (
        unfinished_folder(out, resume=resume, force=force) as kept,
        run_folder(out, command, parameters, force=force) as folder,
    ):
        ready = prepare(setup)
        say(_described(ready))
        if minutes is not None:
            options = _planned(ready, options, minutes, kept, say)
        model = ready.model()
        fitted = fit(model, ready.steps, ready.split, options, folder=kept, show=show)
        say(
            f"{fitted.steps:,} steps in {fitted.seconds:.0f} s (ended by {fitted.stopped}); kept "
            f"is step {fitted.best_step:,}, CC on validation windows {fitted.best_cc:.3f}"
        )
        facts = {
            "options": dataclasses.asdict(options),
            "minutes": minutes,
            "steps": fitted.steps,
            "seconds": round(fitted.seconds, 1),
            "best_step": fitted.best_step,
            "validation_cc": fitted.best_cc,
        }
        save_model(folder / WEIGHTS, model, ready, facts)
        curve = pd.DataFrame(fitted.history)
        write_text(folder / HISTORY, curve.to_csv(index=False, float_format="%.5g"))
        cells = by_cell(outcome(ready, model))
        write_text(folder / RESULTS, cells.to_csv(index=False, float_format="%.5g"))
        say(
            f"test CC {cells['cc'].mean():.3f} (a perfect model: {cells['ceiling'].mean():.3f}), "
            f"mean over {cells['cc'].notna().sum()} cells, {len(ready.split.test)} windows"
        )
    say(f"{out}: {WEIGHTS}, {RESULTS}, {HISTORY}")


def _described(ready: Prepared) -> str:
    e, split = ready.steps.experiment, ready.split
    said = (
        f"{ready.setup.data}: {e.n_cells} cells, {e.counts.shape[2]} trials, windows to train on "
        f"{len(split.train)}, to validate {len(split.validation)}, to test {len(split.test)}; "
        f"{ready.setup.name}, fold {ready.setup.fold}, seed {ready.setup.seed}"
    )
    if len(ready.silent):
        said += f". Without spikes and left out: cells {', '.join(map(str, ready.silent))}"
    return ". ".join([said, *e.notes])


def _planned(
    ready: Prepared, options: Options, minutes: float, kept: Path, say: Callable[[str], object]
) -> Options:
    """With as many steps as the minutes are enough for, decided once for all resumptions."""
    file = kept / PLAN
    if not file.exists():
        few = dataclasses.replace(options, steps=2 * TIMED_STEPS, look_every=TIMED_STEPS)
        warm, timed = fit(ready.model(), ready.steps, ready.split, few, show=False).history
        a_step = (timed["seconds"] - warm["seconds"]) / TIMED_STEPS
        write_text(file, json.dumps({"steps": max(1, int(60 * minutes / a_step))}))
    steps = int(json.loads(file.read_text(encoding="utf-8"))["steps"])
    say(f"{minutes:g} minutes, planned as {steps:,} steps")
    return dataclasses.replace(options, steps=steps)


def _check_same(out: Path, setup: Setup, options: Options, minutes: float | None) -> None:
    about, _ = read(out / WEIGHTS)
    there = {"minutes": about["trained"]["minutes"], **about["trained"]["options"]}
    here = {"minutes": minutes, **dataclasses.asdict(options)}
    if minutes is not None and there["minutes"] == minutes:
        here["steps"] = there["steps"]  # as they were planned then
    found = differences(
        {**about["setup"], **there}, json.loads(json.dumps({**dataclasses.asdict(setup), **here}))
    )
    if found:
        raise InputError(
            f"{out} holds a finished run of another training: {'; '.join(found)}. Use another "
            "--out, or --force without --resume to replace it"
        )
