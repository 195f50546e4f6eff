"""Accuracies of the trained 3k column in every scenario, beside the published ones.

Each training is a run of ``striate train`` in a folder of its own, on one thread, several at a
time; one that was stopped goes on, one that has ended is not made again. The table has our
accuracies on test items with 95 % intervals, the published ones, and what both took.

    STRIATE_DATA=... python benchmarks/thesis.py [--runs FOLDER] [--at-once 2] [NAME ...]

Published: "A Firing-Rate Neural Network Model for the Primary Visual Cortex" (2024), slides. One
figure a scenario, without seeds or intervals, and per column perhaps of its best epoch; neither F,
timing, losses nor the number of steps are given there. CIFAR-10 is a lossy JPEG subset here
(10,000 training and 2,000 test pictures).
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd

OPTIONS = {  # chosen by looking at validation items of seed 1, with the LGN
    "size": "3k",
    "tasks": "all",
    "learning-rate": 0.1,
    "batch": 96,
    "warm-up": 30,
    "lesson": 80,
    "evaluate-every": 100,
    "validation-items": 1152,
    "rate-distribution": 0.01,
    "noise": 0.02,
    "max-gradient-norm": 10,
    "threads": 1,
    "steps": 1500,
}
# After it, for the default scenario: fine orientation was 0.1 points below the published figure
# after the first training (mean of three seeds), its validation items still getting better.
LONGER = {"learning-rate": 0.03, "warm-up": 10, "lesson": 0, "steps": 400}
TASKS = ("all", "fine orientation", "image classification", "visual change")
# (scenario, LGN): seeds, published accuracies of TASKS in per cent
SCENARIOS = {
    ("default", True): ((1, 2, 3), (85.07, 99.82, 68.00, 89.40)),
    ("random_synapses", True): ((1,), (95.45, 100.0, 87.75, 99.17)),
    ("no_dale", True): ((1,), (95.01, 100.0, 86.37, 98.95)),
    ("uniform_neurons", True): ((1,), (80.84, 96.73, 66.62, 82.90)),
    # Labelled "6k no LGN" there; its default row is that of 3k with LGN.
    ("hybrid", True): ((1,), (76.61, 98.02, 55.35, 79.90)),
    ("default", False): ((1,), (81.13, 100.0, 76.48, 68.07)),
    ("random_synapses", False): ((1,), (95.35, 100.0, 90.05, 96.48)),
}


def runs() -> dict[str, tuple[str, bool, int, str]]:
    """Scenario, LGN, seed and run whose weights it starts from of each run, by name."""
    found = {
        f"{scenario}_{'lgn' if lgn else 'pixels'}_{seed}": (scenario, lgn, seed, "")
        for (scenario, lgn), (seeds, _) in SCENARIOS.items()
        for seed in seeds
    }
    longer = {
        f"{name}_longer": (scenario, lgn, seed, name)
        for name, (scenario, lgn, seed, _) in found.items()
        if (scenario, lgn) == ("default", True)
    }
    return found | longer


def train(names: list[str], folder: Path, at_once: int) -> None:
    """Make the runs that are not there."""
    waiting = [name for name in names if not (folder / name / "results.csv").exists()]
    running: dict[str, subprocess.Popen[bytes]] = {}
    folder.mkdir(parents=True, exist_ok=True)
    while waiting or running:
        ready = [
            name
            for name in waiting
            if not (start := runs()[name][3]) or (folder / start / "results.csv").exists()
        ]
        if waiting and not ready and not running:
            raise SystemExit(f"{waiting[0]} starts from {runs()[waiting[0]][3]}, which is missing")
        for name in ready[: at_once - len(running)]:
            waiting.remove(name)
            scenario, lgn, seed, start = runs()[name]
            own = [f"--scenario={scenario}", "--lgn" if lgn else "--no-lgn", f"--seed={seed}"]
            own += [f"--start={folder / start}"] if start else []
            command = [sys.executable, "-c", "from circuits.cli import main; main()", "train"]
            options = {**OPTIONS, **(LONGER if start else {})}
            command += [f"--{option}={value}" for option, value in options.items()]
            command += [*own, "--resume", f"--out={folder / name}"]
            with open(folder / f"{name}.log", "a", encoding="utf-8") as log:
                running[name] = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
            print(f"{name}: begun, see {folder / name}.log", flush=True)
        for name, process in list(running.items()):
            if process.poll() is not None:
                del running[name]
                how = "done" if process.returncode == 0 else f"failed ({process.returncode})"
                print(f"{name}: {how}", flush=True)
        time.sleep(1)


def table(folder: Path) -> pd.DataFrame:
    """A row a run and task."""
    parts = []
    for name, (scenario, lgn, seed, start) in runs().items():
        file = folder / name / "results.csv"
        if not file.exists():
            continue
        found = pd.read_csv(file).set_index("task")
        steps, epochs, seconds = found.loc["all", ["steps", "epochs", "seconds"]]
        if start:
            before = pd.read_csv(folder / start / "results.csv").set_index("task").loc["all"]
            steps, epochs, seconds = (
                now + before[column]
                for now, column in ((steps, "steps"), (epochs, "epochs"), (seconds, "seconds"))
            )
        for task, published in zip(TASKS, SCENARIOS[scenario, lgn][1], strict=True):
            row = found.loc[task]
            parts.append(
                {
                    "scenario": scenario,
                    "lgn": lgn,
                    "seed": seed,
                    "task": task,
                    "accuracy_percent": round(100 * row["accuracy"], 2),
                    "low": round(100 * row["low"], 2),
                    "high": round(100 * row["high"], 2),
                    "test_items": int(row["items"]),
                    "published_percent": published,
                    "difference": round(100 * row["accuracy"] - published, 2),
                    "steps": int(steps),
                    "epochs": round(epochs, 3),
                    "minutes": round(seconds / 60, 1),
                    "hardware": f"1 of {os.cpu_count()} cores, {platform.machine()}",
                }
            )
    return pd.DataFrame(parts)


def main() -> None:
    """Train what is missing, then print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=list(runs()), metavar="NAME")
    parser.add_argument("--runs", type=Path, default=Path("runs/thesis"))
    parser.add_argument("--at-once", type=int, default=2, help="trainings side by side")
    parser.add_argument("--csv", type=Path)
    options = parser.parse_args()
    train(options.names, options.runs, options.at_once)
    found = table(options.runs)
    print(found.to_string(index=False))
    if options.csv:
        found.to_csv(options.csv, index=False)


if __name__ == "__main__":
    main()
