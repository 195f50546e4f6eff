"""A training as a run folder: unfinished beside it, resumed, tested and written whole."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuits.training.run import accuracies, steps_within, train
from circuits.training.setup import Prepared, Setup, prepare
from circuits.training.weight_files import round_weights, save_weights, start_from
from toolkit.errors import InputError
from toolkit.files import write_text
from toolkit.learning.options import TrainingOptions
from toolkit.learning.processes import Processes
from toolkit.learning.training import CHECKPOINT, Fitted
from toolkit.runs import run_folder
from toolkit.unfinished import UNFINISHED, unfinished_folder

if TYPE_CHECKING:
    import pandas as pd

PLAN, RESULTS, WEIGHTS = "plan.json", "results.csv", "weights.npz"


class TrainingRun:
    """A training from its setup to a folder with weights, accuracies, curves and manifest.

    While it is trained, checkpoint and curves are in ``OUT.unfinished``. When it has ended the
    checkpoint goes into the run's folder, from where it can be resumed with more steps.

    Parameters
    ----------
    setup, options : what is trained, and how; the seed of the setup is that of the items, too
    out : the run's folder
    minutes : of training that the number of steps is planned by, if it is not in `options`
    test_items : at the end; all by default
    device : ``"cpu"`` or ``"cuda"``
    start : file of the weights that the training begins with; by default those of the circuit
    processes : that train together
    say : what is called with lines of text
    """

    def __init__(
        self,
        setup: Setup,
        options: TrainingOptions,
        out: Path,
        *,
        planned: bool = False,
        test_items: int | None = None,
        device: str = "cpu",
        start: Path | None = None,
        processes: Processes | None = None,
        say: Callable[[str], object] = print,
    ):
        self.setup, self.out, self.device, self.start = setup, out, device, start
        self.processes = processes or Processes()
        self.planned, self.test_items = planned, test_items
        self.options = dataclasses.replace(options, seed=setup.seed)
        self.unfinished = out.with_name(out.name + UNFINISHED)
        self.say = say if self.processes.first else (lambda text: None)  # noqa: ARG005

    def __call__(
        self,
        command: str,
        parameters: Mapping[str, Any],
        *,
        resume: bool = False,
        force: bool = False,
    ) -> None:
        """Train, test, write.

        Parameters
        ----------
        command, parameters : for the manifest
        resume : go on where it stopped, or after its end with more steps
        force : begin anew, whatever is there

        Raises
        ------
        InputError : a run or an unfinished one is there without `resume` or `force`
        """
        if not self.processes.first:
            self.processes.from_first(None)  # the folder is there from now on
            self._train(None, resume)
            return
        work = unfinished_folder(self.out, resume=resume, force=force, kept=(CHECKPOINT, PLAN))
        with work:
            self.processes.from_first(None)
            with run_folder(self.out, command, parameters, force=force or resume) as folder:
                self._train(folder, resume)

    def _train(self, folder: Path | None, resume: bool) -> None:
        ready = prepare(self.setup, device=self.device)
        network, data = ready.network, ready.data
        if self.start is not None:
            start_from(self.start, ready)
        self.say(
            f"{network.n:,} neurons, {len(network.synapses):,} recurrent connections, "
            f"{data.n_items('train'):,} training items: "
            + "; ".join(f"{task.name} ({task.source})" for task in data.tasks)
        )
        options = self._planned(ready) if self.planned else self.options
        fitted = train(
            ready, options, folder=self.unfinished, resume=resume, processes=self.processes
        )
        self.say(
            f"{fitted.steps:,} steps in {fitted.seconds:.0f} s (ended by {fitted.stopped}); best "
            f"on validation items at step {fitted.best_step:,}: {100 * fitted.best_accuracy:.1f} %"
        )
        round_weights(ready)  # accuracies are those of the file
        found = accuracies(
            ready,
            batch_size=options.batch_size,
            max_items=self.test_items,
            processes=self.processes,
        )
        if folder is not None:
            self._write(ready, options, fitted, found.to_pandas(), folder)

    def _planned(self, ready: Prepared) -> TrainingOptions:
        """With the number of steps that the minutes are enough for, decided once."""
        steps, file = None, self.unfinished / PLAN
        if self.processes.first and file.exists():
            steps = int(json.loads(file.read_text(encoding="utf-8"))["steps"])
        steps = self.processes.from_first(steps)
        minutes = self.options.max_minutes
        if minutes is None:
            raise InputError("the number of steps can only be planned by max_minutes")
        if steps is None:
            steps = steps_within(ready, self.options, minutes, self.processes)
            if self.processes.first:
                write_text(file, json.dumps({"steps": steps}))
        self.say(f"{minutes:g} minutes, planned as {steps:,} steps")
        return dataclasses.replace(self.options, max_steps=steps)

    def _write(
        self,
        ready: Prepared,
        options: TrainingOptions,
        fitted: Fitted,
        found: pd.DataFrame,
        folder: Path,
    ) -> None:
        facts = {
            "size": ready.setup.size,
            "lgn": ready.setup.lgn,
            "scenario": ready.setup.scenario,
            "seed": ready.setup.seed,
            "steps": fitted.steps,
            "epochs": round(fitted.steps / fitted.steps_in_epoch, 3),
            "seconds": round(fitted.seconds, 1),
            "best_step": fitted.best_step,
            "validation": round(fitted.best_accuracy, 5),
        }
        for file in self.unfinished.iterdir():
            if file.is_file():
                shutil.copy(file, folder / file.name)
        test = dict(zip(found["task"].tolist(), found["accuracy"].tolist(), strict=True))
        trained = {**facts, "options": dataclasses.asdict(options), "test": test}
        save_weights(folder / WEIGHTS, ready, trained)
        table = found.assign(**facts)
        write_text(folder / RESULTS, table.to_csv(index=False, float_format="%.5g"))
        for _, row in found.iterrows():
            self.say(
                f"{row['task']}: {100 * row['accuracy']:.2f} % of {row['items']:,} test items "
                f"({100 * row['low']:.2f} to {100 * row['high']:.2f})"
            )
        self.say(f"{self.out}: {WEIGHTS}, {RESULTS}, learning_curves.csv and .png")
