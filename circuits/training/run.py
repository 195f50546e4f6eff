"""Train a prepared column, and say how well it answers test items."""

from __future__ import annotations

import dataclasses
import math
import time
from pathlib import Path
from typing import Any

import torch

from circuits.training.setup import Prepared
from circuits.training.targets import targets_of
from toolkit.learning.evaluation import Counts, evaluate, wilson_interval
from toolkit.learning.hebbian import HebbianWithinLayers
from toolkit.learning.options import TrainingOptions
from toolkit.learning.processes import Processes
from toolkit.learning.training import Fitted, fit
from toolkit.scan import Backend
from toolkit.table import Table

RULE_WINDOW_MS = 50.0  # of each trial's end that the Hebbian rule sees: that of the answer
TRIED_STEPS = 8
MARGIN = 0.95  # of the time asked for, that is planned with


def train(
    prepared: Prepared,
    options: TrainingOptions,
    *,
    folder: str | Path | None = None,
    resume: bool = False,
    backend: Backend | None = None,
    processes: Processes | None = None,
    show_progress: bool | None = None,
) -> Fitted:
    """`toolkit.learning.fit` with a column's recorded rates, background and Hebbian rule.

    Parameters and errors are those of `fit`; the model of `prepared` is trained in place.

    >>> from circuits.training.setup import Setup, prepare
    >>> ready = prepare(Setup(size=300, tasks=["images"], images="digits"))
    >>> brief = TrainingOptions(max_steps=2, batch_size=16, validation_items=16)
    >>> train(ready, brief, show_progress=False).steps
    2
    """
    network, setup = prepared.network, prepared.setup
    rule = None
    if setup.scenario == "hybrid":
        rule = HebbianWithinLayers(
            prepared.model,
            prepared.layer,
            lr=setup.hebbian_rate,
            rule=setup.hebbian_rule,
            last=round(RULE_WINDOW_MS / setup.dt_ms),
        )
    return fit(
        prepared.model,
        prepared.data,
        options,
        cell_class=prepared.cell_class,
        excitatory=network.excitatory,
        targets=targets_of(network),
        local_rule=rule,
        folder=folder,
        resume=resume,
        fingerprint={
            "setup": dataclasses.asdict(setup),
            "network": network.digest(),
        },
        backend=backend,
        processes=processes,
        show_progress=show_progress,
    )


def steps_within(
    prepared: Prepared,
    options: TrainingOptions,
    minutes: float,
    processes: Processes | None = None,
) -> int:
    """How many steps a training of so many minutes has here, with its looks at validation items.

    Some steps and a look are tried and timed; the model is as it was before. For schedules that
    have to know their last step.
    """
    processes = processes or Processes()
    model, size = prepared.model, options.batch_size
    kept = {name: p.detach().clone() for name, p in model.named_parameters()}
    few = dataclasses.replace(
        options, epochs=None, max_steps=TRIED_STEPS, max_minutes=None, validation_items=1
    )
    fitted = train(prepared, few, processes=processes, show_progress=False)
    start = time.monotonic()
    how = dict(batch_size=size, max_items=2 * size, processes=processes)
    evaluate(model, prepared.data, "validation", **how)  # type: ignore[arg-type]
    batch_s = (time.monotonic() - start) / 2
    step_s = (fitted.seconds - 2 * batch_s) / TRIED_STEPS  # it looked twice, at a batch
    items = prepared.data.n_items("validation")
    look_s = batch_s * math.ceil(min(items, options.validation_items or items) / size)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(kept[name])
    each_s = step_s + look_s / options.evaluate_every
    steps = max(1, int(float(f"{MARGIN * 60 * minutes / each_s:.2g}")))
    return int(processes.from_first(steps))


def accuracies(
    prepared: Prepared,
    *,
    batch_size: int = 64,
    max_items: int | None = None,
    processes: Processes | None = None,
) -> Table:
    """Right answers to the test items, a row a task and one for ``"all"``.

    Columns: ``task``, ``items``, ``accuracy``, ``low``, ``high`` (95 % interval of Wilson).
    """
    counts = evaluate(
        prepared.model,
        prepared.data,
        "test",
        batch_size=batch_size,
        max_items=max_items,
        processes=processes,
    )
    return table_of(counts, [task.name for task in prepared.data.tasks])


def table_of(counts: Counts, names: list[str]) -> Table:
    """Counts as a table with intervals."""
    rows: dict[str, list[Any]] = {k: [] for k in ("task", "items", "accuracy", "low", "high")}
    for name, (n, accuracy, _) in counts.scores(names).items():
        low, high = wilson_interval(round(n * accuracy), n) if n else (0.0, 1.0)
        for column, value in zip(rows, (name, n, accuracy, low, high), strict=True):
            rows[column].append(value)
    return Table(rows)
