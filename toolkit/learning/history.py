"""Learning curves: what was measured in the course of a training, as a table and a picture."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from toolkit.files import whole_file, write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CURVES_CSV, CURVES_PNG = "learning_curves.csv", "learning_curves.png"


class Row(TypedDict):
    """Answers to some items at a step.

    step, epoch : done so far (epochs with a fraction)
    seconds : of training and evaluation so far
    split : ``"train"``: items since the row before, while weights changed; ``"validation"``
    task : its name, or ``"all"``
    items, accuracy, loss : number, share of right answers, mean cross-entropy in nats
    rate_E_Hz, rate_I_Hz : mean over neurons, items and steps, of all tasks
    learning_rate : of the last step
    """

    step: int
    epoch: float
    seconds: float
    split: str
    task: str
    items: int
    accuracy: float
    loss: float
    rate_E_Hz: float
    rate_I_Hz: float
    learning_rate: float


def write_curves(history: Sequence[Row], folder: str | Path) -> None:
    """Write ``learning_curves.csv``, a row a `Row`, and ``learning_curves.png`` to a folder."""
    from toolkit import plots

    folder, text = Path(folder), io.StringIO()
    writer = csv.DictWriter(text, list(Row.__annotations__), lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {k: f"{v:.6g}" if isinstance(v, float) else v for k, v in row.items()} for row in history
    )
    write_text(folder / CURVES_CSV, text.getvalue())
    with plots.style():
        figure = _figure(history)
        with whole_file(folder / CURVES_PNG) as aside:
            aside.write_bytes(plots.png(figure))


def _figure(history: Sequence[Row]) -> Figure:
    from toolkit import plots

    figure = plots.new_figure(7.2, 4.6)
    colours = (plots.INK, plots.VERMILION, plots.BLUE, plots.GREEN, plots.PURPLE, plots.ORANGE)
    names = list(dict.fromkeys(row["task"] for row in history))
    names.sort(key=lambda name: name != "all")
    accuracy, loss, rates, step_size = figure.subplots(2, 2, sharex=True).flat
    for name, colour in zip(names, colours, strict=False):
        for split, line in (("train", ":"), ("validation", "-")):
            mine = [row for row in history if (row["split"], row["task"]) == (split, name)]
            at = [row["step"] for row in mine]
            label = name if split == "validation" else None
            look = dict(color=colour, lw=1.6 if name == "all" else 1.0)
            accuracy.plot(at, [100 * row["accuracy"] for row in mine], line, label=label, **look)
            loss.plot(at, [row["loss"] for row in mine], line, **look)
    whole = [row for row in history if (row["split"], row["task"]) == ("validation", "all")]
    at = [row["step"] for row in whole]
    rates.plot(at, [row["rate_E_Hz"] for row in whole], color=plots.VERMILION, label="E")
    rates.plot(at, [row["rate_I_Hz"] for row in whole], color=plots.BLUE, label="I")
    step_size.plot(at, [row["learning_rate"] for row in whole], color=plots.INK)
    accuracy.set(ylabel="accuracy (%)", title="validation (line), training (dots)")
    loss.set(ylabel="cross-entropy (nats)", yscale="log")
    rates.set(ylabel="mean rate (Hz)", xlabel="step", ylim=(0, None))
    step_size.set(ylabel="learning rate", xlabel="step", ylim=(0, None))
    accuracy.legend(loc="lower right")
    rates.legend()
    figure.tight_layout()
    return figure
