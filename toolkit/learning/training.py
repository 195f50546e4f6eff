"""`fit`: train a rate network on tasks, in steps that can be repeated bit for bit."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import math
import time
import warnings
from collections.abc import Generator, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from toolkit import progress
from toolkit.errors import InputError, SimulationError
from toolkit.learning.checkpoints import load_checkpoint, save_checkpoint
from toolkit.learning.evaluation import Counts, evaluate
from toolkit.learning.history import Row, write_curves
from toolkit.learning.losses import Readout, Targets
from toolkit.learning.memory import check_batch, explained_memory
from toolkit.learning.model import TrainableRates
from toolkit.learning.options import TrainingOptions
from toolkit.learning.processes import Processes
from toolkit.learning.stepping import LocalRule, Stepper
from toolkit.scan import Backend, fastest
from toolkit.tasks import Batch, Batches

CHECKPOINT = "checkpoint.pt"


@dataclass(frozen=True, eq=False)
class Fitted:
    """A training's result; the model has its best weights.

    model, readout : trained in place
    history : rows of the learning curves
    steps, seconds : that were made, and took
    steps_in_epoch : how many an epoch has
    best_step, best_accuracy : where accuracy on the validation items was highest; of the looks
        since weights kept their limit, if there were any
    stopped : ``"steps"``, ``"minutes"`` or ``"patience"``
    """

    model: TrainableRates
    readout: Readout
    history: list[Row]
    steps: int
    seconds: float
    steps_in_epoch: int
    best_step: int
    best_accuracy: float
    stopped: str


def fit(
    model: TrainableRates,
    data: Batches,
    options: TrainingOptions,
    *,
    cell_class: np.ndarray,
    excitatory: np.ndarray,
    targets: Targets | None = None,
    local_rule: LocalRule | None = None,
    folder: str | Path | None = None,
    resume: bool = False,
    fingerprint: Mapping[str, Any] | None = None,
    backend: Backend | None = None,
    processes: Processes | None = None,
    show_progress: bool | None = None,
) -> Fitted:
    """Lower the cross-entropy of the answers and the penalties, by Adam.

    Weights with the best accuracy on validation items are kept. Test items are never looked at.
    On a CPU a training that was killed goes on bit for bit, with as many threads: items and their
    order are functions of seed and epoch, and there is no other randomness.

    Parameters
    ----------
    model : trained in place, on the device where it is
    data : its tasks
    options : `TrainingOptions`
    cell_class, excitatory : of each neuron, for what is said of rates
    targets : what penalties refer to; without them nothing but the answers counts
    local_rule : for weights that backpropagation leaves alone; in one process only
    folder : for checkpoints and learning curves; must exist
    resume : go on from the checkpoint in `folder`, if there is one
    fingerprint : plain values by which a checkpoint of something else is known, besides options,
        network and tasks
    backend : of the scan; measured by default. A checkpoint's own goes first
    processes : that make each step together (`toolkit.learning.processes.together`)
    show_progress : a bar; by default on a terminal

    Raises
    ------
    InputError : a batch that does not fit into memory; a checkpoint of something else, or one
        that is there without `resume`
    DataError : a damaged checkpoint
    SimulationError : a loss or gradient that is not finite; the last checkpoint stays as it was
    """
    run = _Run(model, data, options, cell_class, excitatory, targets, local_rule, processes)
    run.prepare(Path(folder) if folder else None, resume, dict(fingerprint or {}), backend)
    with contextlib.ExitStack() as stack:
        if model.connections.col.is_cuda and options.precision == "mixed":
            before = torch.get_float32_matmul_precision()
            torch.set_float32_matmul_precision("high")  # TF32
            stack.callback(torch.set_float32_matmul_precision, before)
        stack.enter_context(explained_memory(model, data, options.batch_size))
        return run.finish(run.train(show_progress))


class _Run:
    """A training in progress. What `state` gives is all that the next step depends on."""

    def __init__(
        self,
        model: TrainableRates,
        data: Batches,
        options: TrainingOptions,
        cell_class: np.ndarray,
        excitatory: np.ndarray,
        targets: Targets | None,
        local_rule: LocalRule | None,
        processes: Processes | None,
    ):
        self.processes = processes or Processes()
        if len(cell_class) != model.n or len(excitatory) != model.n:
            raise InputError(f"cell_class and excitatory must have {model.n} entries, one a neuron")
        self.model, self.data, self.options = model, data, options
        self.excitatory = np.asarray(excitatory)
        self.stepper = Stepper(
            model, data, options, np.asarray(cell_class), targets, local_rule, self.processes
        )
        self.held = None
        if options.held_ms is not None:
            self.held = data.held(options.held_ms, singles_only=True)
        self.names = [task.name for task in data.tasks]
        n_items, size = data.n_items("train"), options.batch_size
        left = n_items % size
        self.steps_in_epoch = n_items // size + (left >= self.processes.n)
        self.n_steps = options.n_steps(self.steps_in_epoch)
        self.step_number, self.looked_at, self.seconds = 0, -1, 0.0
        self.counts = Counts(len(self.names), model.n)
        self.history: list[Row] = []
        self.best_step, self.best_accuracy = -1, -1.0
        self.best = self.stepper.weights()
        self.folder: Path | None = None

    def prepare(
        self, folder: Path | None, resume: bool, given: dict[str, Any], backend: Backend | None
    ) -> None:
        """Choose a backend, or take up a checkpoint."""
        self.folder = folder
        if folder is not None and not folder.is_dir():
            raise InputError(f"the folder {folder} does not exist; make it first")
        check_batch(self.model, self.data, -(-self.options.batch_size // self.processes.n))
        self.fingerprint = {**given, **self._fingerprint()}
        file = None if folder is None else folder / CHECKPOINT
        if file is not None and self.processes.from_first(file.exists()):
            if not resume:
                raise InputError(
                    f"{file} is the checkpoint of a training that can be resumed (resume=True, "
                    "--resume); to begin anew take another folder, or remove it"
                )
            self.restore(load_checkpoint(file, self.fingerprint, self.stepper.device))
        else:
            chosen = vars(backend or self._fastest()) if self.processes.first else None
            self.model.with_backend(Backend(**self.processes.from_first(chosen)))

    def _fastest(self) -> Backend:
        items = max(1, self.options.batch_size // self.processes.n)
        bf16 = self.options.precision == "mixed"
        return fastest(self.model.connections, items, bf16=bf16, device=self.stepper.device)

    def _fingerprint(self) -> dict[str, Any]:
        options = dataclasses.asdict(self.options)
        # What ends a training sooner or later changes no step before that.
        free = ["max_minutes", "checkpoint_s"]
        if self.options.schedule == "constant":
            free += ["epochs", "max_steps", "patience"]
        options = {name: value for name, value in options.items() if name not in free}
        model = self.model

        def digest(*tensors: torch.Tensor) -> str:
            sha = hashlib.sha256()
            for tensor in tensors:
                sha.update(np.ascontiguousarray(tensor.detach().cpu().numpy()).tobytes())
            return sha.hexdigest()[:16]

        return {
            "options": options,
            "tasks": [[task.name, task.source] for task in self.data.tasks],
            "neurons": model.n,
            "dynamics": [model.dynamics, model.dt_ms],
            "connections": digest(model.connections.crow, model.connections.col),
            "constants": digest(*model.buffers()),
            "initial weights": digest(*model.parameters()),
            "processes": self.processes.n,
        }

    def train(self, show_progress: bool | None) -> str:
        """Steps, and looks at validation items, until something ends it; says what."""
        started, saved = time.monotonic() - self.seconds, time.monotonic()
        total = 1.0 if math.isinf(self.n_steps) else self.n_steps
        shown = show_progress if self.processes.first else False
        first = self.step_number
        with (
            progress.bar(total, "training", " steps", enabled=shown) as bar,
            contextlib.closing(self._batches()) as batches,
        ):
            bar.update(self.step_number)
            while True:
                self.seconds = time.monotonic() - started
                due = self.step_number % self.options.evaluate_every == 0
                if (due or self.step_number >= self.n_steps) and self.looked_at < self.step_number:
                    self.look()
                    self.save()
                    saved = time.monotonic()
                    bar.set_description(self._words())
                stopped = self.processes.from_first(self._ended())
                if stopped:
                    if stopped == "minutes":
                        self.save()  # the look at the end is no part of what goes on from here
                        self.look()
                    return stopped
                self.step(next(batches))
                bar.update(1)
                made = self.step_number - first
                bar.total = self._expected_end((time.monotonic() - started) / max(made, 1))
                late = time.monotonic() - saved > self.options.checkpoint_s
                if self.processes.from_first(late):
                    self.seconds = time.monotonic() - started
                    self.save()
                    saved = time.monotonic()

    def _ended(self) -> str:
        """Why there is no further step, or nothing."""
        if self.step_number >= self.n_steps:
            return "steps"
        whole = [r for r in self.history if (r["split"], r["task"]) == ("validation", "all")]
        since = sum(row["step"] > self.best_step for row in whole)
        if self.options.patience is not None and since >= self.options.patience:
            return "patience"
        minutes = self.options.max_minutes
        return "minutes" if minutes is not None and self.seconds >= 60 * minutes else ""

    def _expected_end(self, s_per_step: float) -> float:
        """Number of the last step, as far as it can be known."""
        if self.options.max_minutes is None:
            return self.n_steps
        left = max(60 * self.options.max_minutes - self.seconds, 0)
        return min(self.n_steps, self.step_number + round(left / s_per_step))

    def _words(self) -> str:
        row = next(r for r in reversed(self.history) if r["task"] == "all")
        return (
            f"loss {row['loss']:.3f}, {100 * row['accuracy']:.1f} % right, "
            f"E {row['rate_E_Hz']:.1f} I {row['rate_I_Hz']:.1f} Hz"
        )

    def _batches(self) -> Generator[Batch]:
        """Batches from the next step on; each is made while the one before is being used."""

        def made() -> Iterator[Batch]:
            step, last = self.step_number, -1.0
            while True:
                if step >= last:
                    share, last = self.options.lesson_at(step)
                    data = self.data.with_pauses(share)
                for batch in self._epoch(data, step):
                    yield batch
                    step += 1
                    if step == last:
                        break

        source = made()
        with ThreadPoolExecutor(1) as worker:
            coming = worker.submit(next, source)
            while True:
                batch = coming.result()
                coming = worker.submit(next, source)
                yield batch.to(self.stepper.device)

    def _epoch(self, data: Batches, step: int) -> Iterator[Batch]:
        """The rest of the epoch of a step, every other batch with stimuli held if that is asked."""
        epoch, first = divmod(step, self.steps_in_epoch)
        options, share = self.options, self.processes.share
        how: dict[str, Any] = dict(seed=options.seed, epoch=epoch, share=share)
        if self.held is None:
            yield from data.epoch("train", options.batch_size, first=first, **how)
            return
        for number in range(first, self.steps_in_epoch):
            shown = self.held if (step + number - first) % 2 else data
            yield next(shown.epoch("train", options.batch_size, first=number, **how))

    def step(self, batch: Batch) -> None:
        """One step of the optimiser."""
        rate = self.options.learning_rate_at(self.step_number, self.n_steps)
        try:
            self.stepper.step(self.step_number, batch, rate, self.counts)
        except SimulationError as error:
            kept = f"{self.folder / CHECKPOINT} is as it was before. " if self.folder else ""
            raise SimulationError(f"step {self.step_number}: {kept}{error}") from None
        self.step_number += 1

    def look(self) -> None:
        """Answers to the validation items; rows of the history; the best weights so far."""
        found = Counts(len(self.names), self.model.n)
        forms = [self.data] if self.held is None else [self.data, self.held]
        most = self.options.validation_items
        for data in forms:
            one = evaluate(
                self.model,
                data,
                "validation",
                readout=self.stepper.readout,
                batch_size=self.options.batch_size,
                max_items=None if most is None else -(-most // len(forms)),
                counting=self.options.counting_steps is not None,
                processes=self.processes,
            )
            found.add_all(one)
        trained = self.counts.summed(self.processes)
        for split, counts in (("train", trained), ("validation", found)):
            self.history += self._rows(split, counts)
        self.counts = Counts(len(self.names), self.model.n)
        self.looked_at = self.step_number
        accuracy = found.scores(self.names)["all"][1]
        too_large = self.options.slack_at(self.best_step - 1) > 1
        if accuracy > self.best_accuracy or too_large:
            self.best_accuracy, self.best_step = accuracy, self.step_number
            self.best = self.stepper.weights()
        if self.folder is not None and self.processes.first:
            write_curves(self.history, self.folder)

    def _rows(self, split: str, counts: Counts) -> list[Row]:
        rates, E = counts.mean_rates_Hz, self.excitatory
        return [
            Row(
                step=self.step_number,
                epoch=self.step_number / self.steps_in_epoch,
                seconds=self.seconds,
                split=split,
                task=name,
                items=n,
                accuracy=accuracy,
                loss=loss,
                rate_E_Hz=float(rates[E].mean()) if E.any() else 0.0,
                rate_I_Hz=float(rates[~E].mean()) if not E.all() else 0.0,
                learning_rate=self.options.learning_rate_at(
                    max(self.step_number - 1, 0), self.n_steps
                ),
            )
            for name, (n, accuracy, loss) in counts.scores(self.names).items()
            if n
        ]

    def state(self) -> dict[str, Any]:
        """All that the next step depends on."""
        return {
            "step": self.step_number,
            "looked_at": self.looked_at,
            "seconds": self.seconds,
            **self.stepper.state(),
            "counts": [self.counts.of_tasks, self.counts.rates],
            "history": [dict(row) for row in self.history],
            "best": [self.best_step, self.best_accuracy, self.best],
            "backend": dict(vars(self.model.backend)),
            "threads": torch.get_num_threads(),
        }

    def save(self) -> None:
        """Write a checkpoint; counts of all processes go to the first."""
        self.counts.summed(self.processes)
        if not self.processes.first:
            self.counts = Counts(len(self.names), self.model.n)
        elif self.folder is not None:
            save_checkpoint(self.folder / CHECKPOINT, self.state(), self.fingerprint)

    def restore(self, state: dict[str, Any]) -> None:
        """Be where `state` was taken."""
        self.stepper.restore(state)
        self.step_number, self.looked_at = state["step"], state["looked_at"]
        self.seconds, self.history = state["seconds"], state["history"]
        if self.processes.first:
            of_tasks, rates = state["counts"]
            self.counts.of_tasks, self.counts.rates = of_tasks.cpu(), rates.cpu()
        self.best_step, self.best_accuracy, self.best = state["best"]
        self.model.with_backend(Backend(**state["backend"]))
        if state["threads"] != torch.get_num_threads():
            warnings.warn(
                f"the training had {state['threads']} threads and has {torch.get_num_threads()} "
                "now: it goes on, but not bit for bit",
                stacklevel=2,
            )

    def finish(self, stopped: str) -> Fitted:
        """Take the best weights."""
        self.stepper.set_weights(self.best)
        return Fitted(
            self.model,
            self.stepper.readout,
            self.history,
            self.step_number,
            self.seconds,
            self.steps_in_epoch,
            self.best_step,
            self.best_accuracy,
            stopped,
        )
