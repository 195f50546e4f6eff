"""Convergence: the learning curves of several trainings, of other sizes or inputs.

Read from the ``learning_curves.csv`` of their folders; what each training was is read from the
``weights.npz`` beside it.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from circuits.analysis.accuracy import tabulated
from circuits.analysis.result import NotApplicable, Options, Result
from toolkit import plots
from toolkit.errors import DataError
from toolkit.learning.history import CURVES_CSV
from toolkit.table import Table

if TYPE_CHECKING:
    from circuits.training import Prepared

NAME = "learning_curves"
SHARE = 0.9  # of the final accuracy above that of the first look
COLUMNS = ("step", "epoch", "seconds", "split", "task", "accuracy", "loss")
_COLOURS = (plots.INK, plots.VERMILION, plots.BLUE, plots.GREEN, plots.PURPLE, plots.ORANGE)


@dataclass(frozen=True)
class Run:
    """The learning curves of a training.

    Attributes
    ----------
    folder : where they are
    setup : what was trained (`circuits.training.Setup` as plain values); empty if unknown
    curves : `COLUMNS` of ``learning_curves.csv``
    """

    folder: Path
    setup: dict[str, Any]
    curves: Table

    @property
    def label(self) -> str:
        """In words: size, input, scenario and seed, or the folder's name."""
        if not self.setup:
            return self.folder.name
        driven = "LGN" if self.setup["lgn"] else "no LGN"
        words = [f"{self.setup['size']}, {driven}"]
        if self.setup["scenario"] != "default":
            words.append(str(self.setup["scenario"]).replace("_", " "))
        if self.setup["output_layer"] != "L5":
            words.append(f"output {self.setup['output_layer']}")
        return f"{', '.join(words)}, seed {self.setup['seed']}"


def read_run(folder: str | Path) -> Run:
    """Read the curves in the folder of a training.

    Raises
    ------
    DataError : no ``learning_curves.csv`` there, or one that lacks columns or values
    """
    import pandas as pd

    folder = Path(folder)
    file = folder / CURVES_CSV
    try:
        frame = pd.read_csv(file)
    except FileNotFoundError as error:
        raise DataError(
            f"{folder} has no {CURVES_CSV}: give a folder of `striate train`"
        ) from error
    except (ValueError, OSError) as error:
        raise DataError(f"{file} cannot be read: {error}") from error
    missing = [name for name in COLUMNS if name not in frame]
    if missing:
        raise DataError(f"{file} lacks the columns {', '.join(missing)}")
    frame = frame[list(COLUMNS)]
    for name in ("step", "epoch", "seconds", "accuracy"):
        if not np.isfinite(pd.to_numeric(frame[name], errors="coerce")).all():
            raise DataError(f"{file}: the column {name!r} has values that are no finite numbers")
    return Run(folder, _setup_in(folder), Table({c: frame[c].to_numpy() for c in COLUMNS}))


def _setup_in(folder: Path) -> dict[str, Any]:
    try:
        with np.load(folder / "weights.npz", allow_pickle=False) as file:
            return dict(json.loads(str(file["about"]))["setup"])
    except FileNotFoundError:
        return {}  # a training that has not ended
    except (ValueError, KeyError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{folder / 'weights.npz'} is damaged: {error}") from error


def time_to_share(steps: np.ndarray, accuracy: np.ndarray, share: float = SHARE) -> float:
    """Where accuracy first reaches a share of the way from its first to its best value.

    Linear between looks, so that it is comparable for runs that look unequally often.

    Parameters
    ----------
    steps : of the looks, rising (or epochs, or seconds)
    accuracy : at each of them
    share : 0 to 1

    Returns
    -------
    NaN where accuracy never rises

    >>> round(time_to_share(np.array([0, 100, 200]), np.array([0.1, 0.5, 0.6])), 6)
    150.0
    """
    goal = accuracy[0] + share * (accuracy.max() - accuracy[0])
    if not accuracy.max() > accuracy[0]:
        return float("nan")
    k = int((accuracy >= goal).argmax())
    part = (goal - accuracy[k - 1]) / (accuracy[k] - accuracy[k - 1])
    return float(steps[k - 1] + part * (steps[k] - steps[k - 1]))


def convergence_table(runs: list[Run]) -> Table:
    """A row a run and task: best validation accuracy, and steps, epochs and seconds to 90 % of it.

    "To 90 %" is of the way from the first look to the best one (`time_to_share`). Setups that are
    unknown are ``"?"``.
    """
    rows = []
    for run in runs:
        curves = run.curves.where(split="validation")
        for task in dict.fromkeys(curves["task"].tolist()):
            own = curves.where(task=task)
            accuracy = own["accuracy"].astype(float)
            row: dict[str, Any] = {"run": str(run.folder), "label": run.label}
            row |= {
                name: str(run.setup.get(name, "?")) for name in ("size", "lgn", "scenario", "seed")
            }
            row |= {"task": task, "looks": len(accuracy), "best_accuracy": float(accuracy.max())}
            row["last_accuracy"] = float(accuracy[-1])
            for name in ("step", "epoch", "seconds"):
                row[f"{name}_to_90"] = time_to_share(own[name].astype(float), accuracy)
            rows.append(row)
    return tabulated(rows)


def analyse(trained: Prepared, options: Options) -> Result:  # noqa: ARG001  its folder says it all
    """Learning curves of the runs of `options`, and when each has converged."""
    if not options.runs:
        raise NotApplicable("it reads the folders of trainings, and only weights were given")
    runs = [read_run(folder) for folder in dict.fromkeys(options.runs)]
    for run in runs:
        if not len(run.curves.where(split="validation").rows):
            raise NotApplicable(f"{run.folder} has not looked at validation items yet")
    table = convergence_table(runs)
    curves = Table(
        {
            "label": np.concatenate([[run.label] * len(run.curves.rows) for run in runs]),
            **{c: np.concatenate([run.curves[c] for run in runs]) for c in COLUMNS},
        }
    )
    return Result(
        "Learning curves",
        {"convergence": table, "curves": curves},
        tuple(_findings(table)),
        lambda: _figure(runs),
        "Accuracy on validation items of each task against the steps of training. Diamonds: 90 % "
        "of the way from the first look to the best one.",
    )


def _findings(table: Table) -> list[str]:
    whole = table.where(task="all") if (table["task"] == "all").any() else table
    found = [
        f"{label}: best validation accuracy {100 * best:.1f} %; "
        + (
            f"90 % of the gain after {steps:,.0f} steps ({epochs:.2f} epochs, "
            f"{seconds / 60:.1f} minutes)."
            if np.isfinite(steps)
            else "no later look was better than the first."
        )
        for label, best, steps, epochs, seconds in zip(
            *(whole[c] for c in ("label", "best_accuracy", "step_to_90", "epoch_to_90")),
            whole["seconds_to_90"],
            strict=True,
        )
    ]
    for column, words in (("lgn", "with LGN input {}"), ("size", "size {}")):
        values = list(dict.fromkeys(whole[column].tolist()))
        if len(values) > 1:
            parts = [
                f"{risen.mean():,.0f} steps ({words.format(value)}, {len(risen)} runs)"
                for value in values
                if len(risen := _risen(whole.where(**{column: value})))
            ]
            if parts:
                found.append(f"Mean time to 90 % of the gain: {', '.join(parts)}.")
    return found


def _risen(table: Table) -> np.ndarray:
    steps: np.ndarray = table["step_to_90"]
    return steps[np.isfinite(steps)]


def _figure(runs: list[Run]) -> Figure:
    names = list(dict.fromkeys(t for run in runs for t in run.curves["task"].tolist()))
    names.sort(key=lambda name: name != "all")
    figure = plots.new_figure(3.0 * len(names) + 0.8, 3.4)
    panels = figure.subplots(1, len(names), squeeze=False)[0]
    for axes, name in zip(panels, names, strict=True):
        for k, run in enumerate(runs):
            own = run.curves.where(split="validation", task=name)
            if not len(own.rows):
                continue
            steps, accuracy = own["step"].astype(float), 100 * own["accuracy"].astype(float)
            colour, line = _COLOURS[k % len(_COLOURS)], ("-", "--", ":")[k // len(_COLOURS) % 3]
            axes.plot(steps, accuracy, line, color=colour, lw=1.3, label=run.label)
            at = time_to_share(steps, accuracy)
            if np.isfinite(at):
                axes.plot(at, np.interp(at, steps, accuracy), "D", ms=4, color=colour)
        axes.set(title=name, xlabel="step", ylim=(0, 102))
    panels[0].set_ylabel("validation accuracy (%)")
    panels[0].legend(loc="lower right", fontsize=7)
    figure.tight_layout()
    return figure
