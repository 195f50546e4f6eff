"""Trained 3k columns as spikes: trainings for conversion, report cards, tables over seeds.

    STRIATE_DATA=... python benchmarks/trained_conversion.py [--seeds 1 2 3] [--items 500]
    STRIATE_DATA=... python benchmarks/trained_conversion.py --train    trains anew first

Each seed is one network that comes with Striate (`circuits.training.weight_files.shipped`, seeds 1
to 3, ``for_spikes=True``) and a folder of ``striate convert --calibrate neuron``; with --train it
is trained as they were, in three runs of ``striate train`` from the shipped weights of the default
column. What was stopped goes on. --cards prints the tables of cards that are there. Printed, in
Markdown, are means over seeds with the half width of a 95 % interval (t); --csv FOLDER writes what
every card found.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import t

from circuits.training.weight_files import shipped

TASKS = {"size": "3k", "tasks": "all", "batch": 96, "threads": 1, "max-gradient-norm": 10}
POOLS = {"output-layer": "all", "pool-size": 150, "cells-per-channel": 21}
# One after the other, each from the weights of the one before; our choices.
STAGES: dict[str, dict[str, object]] = {
    "pools": {"steps": 250, "learning-rate": 0.05, "warm-up": 30, "rate-distribution": 0.01},
    "spikes": {
        "for-spikes": True, "steps": 1000, "learning-rate": 0.1,
        "counting-steps": 600, "limit-steps": 500,
    },
    "held": {
        "for-spikes": True, "steps": 1200, "learning-rate": 0.1, "held": 200,
        "counting-steps": 1, "limit-steps": 1,
    },
}  # fmt: skip
WINDOWS = "20,50,100,200"
FORMS = {
    "rate network": "rate network",
    "rate network on input spikes": "rates that see spikes of the LGN",
    "converted": "**spikes**",
    "W = 0": "W = 0",
    "shuffled W": "shuffled W",
    "one factor": "one factor",
}
AGREEMENT = {
    "item_R2_p25": "R2 of a neuron, 25 %",
    "item_R2_median": "median",
    "item_R2_p75": "75 %",
    "log_R2": "log rates, R2",
    "slope": "slope",
    "psth_R2": "PSTH, 10 ms, R2",
    "histogram_KL": "KL, nats",
    "count_correlation": "pairs of counts, r",
}


def striate(command: str, *words: object, **options: object) -> None:
    """A command of Striate in a process of its own."""
    given = [
        f"--{name}" if value is True else f"--{name}={value}" for name, value in options.items()
    ]
    start = [sys.executable, "-c", "from circuits.cli import main; main()", command]
    subprocess.run([*start, *map(str, words), *given], check=True)


def trained(seed: int, folder: Path) -> Path:
    """Folder of a network trained as the shipped ones were."""
    start = shipped(seed)
    for stage, options in STAGES.items():
        out = folder / f"{stage}_{seed}"
        if not (out / "weights.npz").is_file():
            given = {**TASKS, **POOLS, **options, "seed": seed, "start": start, "out": out}
            striate("train", "--resume", **given)
        start = out / "weights.npz"
    return start


def interval(values: np.ndarray, digits: int, scale: float = 1.0) -> str:
    """Mean and half width."""
    values = scale * np.asarray(values, dtype=float)
    mean = f"{values.mean():.{digits}f}"
    if len(values) < 2:
        return mean
    width = t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return f"{mean} ± {width:.{digits}f}"


def markdown(rows: list[list[str]]) -> None:
    """A table, the first row its head."""
    print("\n| " + " | ".join(rows[0]) + " |\n|" + len(rows[0]) * "---|")
    for row in rows[1:]:
        print("| " + " | ".join(row) + " |")


def agreement_table(found: pd.DataFrame) -> None:
    """Rows are networks and groups of neurons."""
    rows = [["200 ms, the stimulus held", *AGREEMENT.values()]]
    for form, group in [("converted", g) for g in ("all", "E", "I")] + [
        (form, "all") for form in list(FORMS)[3:]
    ]:
        own = found[(found.form == form) & (found.group == group)]
        digits = {"count_correlation": 4, "histogram_KL": 3}
        cells = [interval(own[name], digits.get(name, 3)) for name in AGREEMENT]
        name = FORMS[form] if group == "all" else f"{FORMS[form]}, {group} cells"
        rows.append([name, *cells])
    markdown(rows)


def accuracy_table(found: pd.DataFrame) -> None:
    """Rows are tasks, timings and windows."""
    rows = [["right answers, %", *FORMS.values(), "points lost", "by the conversion"]]
    for (timing, task, window), part in found.groupby(["timing", "task", "window_ms"], sort=False):
        own = part.set_index("form")
        cells = [interval(own.loc[[form], "accuracy"], 1, 100) for form in FORMS]
        lost = [
            interval(own.loc[["converted"], name], 1)
            for name in ("points_lost", "lost_by_conversion")
        ]
        rows.append([f"{task}, {timing}, {window:g} ms", *cells, *lost])
    markdown(rows)


def main() -> None:
    """Train if asked, convert what is missing, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--items", type=int, default=500, help="test items of each task")
    parser.add_argument("--trials", type=int, default=2)
    parser.add_argument("--runs", type=Path, default=Path("runs/trained_conversion"))
    parser.add_argument("--train", action="store_true", help="do not take the shipped weights")
    parser.add_argument("--cards", type=Path, nargs="+", help="folders of cards, one a seed")
    parser.add_argument("--csv", type=Path, help="folder for conversion_{agreement,accuracy}.csv")
    args = parser.parse_args()
    cards = dict(zip(args.seeds, args.cards or (), strict=False))
    args.runs.mkdir(parents=True, exist_ok=True)
    for seed in args.seeds if not args.cards else ():
        weights = trained(seed, args.runs) if args.train else shipped(seed, for_spikes=True)
        cards[seed] = args.runs / f"card_{seed}"
        if not (cards[seed] / "conversion.json").is_file():
            options = {"items": args.items, "trials": args.trials, "windows": WINDOWS}
            striate("convert", weights, out=cards[seed], calibrate="neuron", **options)
    tables = {}
    for name in ("agreement", "accuracy"):
        parts = [pd.read_csv(each / f"{name}.csv").assign(seed=k) for k, each in cards.items()]
        tables[name] = pd.concat(parts, ignore_index=True)
        if args.csv:
            path = args.csv / f"trained_conversion_{name}.csv"
            tables[name].to_csv(path, index=False, float_format="%.5g")
    agreement_table(tables["agreement"])
    accuracy_table(tables["accuracy"])


if __name__ == "__main__":
    main()
