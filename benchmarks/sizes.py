"""Run a benchmark for several sizes, each in a process of its own, and show one table."""

from __future__ import annotations

import csv
import json
import os
import platform
import resource
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

Measured = dict[str, float | int | str]


def peak_MB() -> float:
    """Peak memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def named(size: str) -> str | int:
    """A size as `v1.column` takes it."""
    return int(size) if size.isdigit() else size


def answer_one(measures: Mapping[str, Callable[..., Measured]]) -> None:
    """If this process was started by `in_a_process`: measure, print, and end it."""
    if len(sys.argv) > 2 and sys.argv[1] == "--one":
        name, *arguments = sys.argv[2:]
        print(json.dumps(measures[name](*arguments)))
        raise SystemExit


def in_a_process(script: str, measure: str, *arguments: str) -> Measured:
    """What one of the `measures` of a script finds in a new process."""
    command = [sys.executable, script, "--one", measure, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def show(rows: Mapping[str, str], columns: Sequence[Measured], out: str | Path | None) -> None:
    """Print a table with a line for each of `rows` (key to label); write it as CSV, too."""
    print(f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}")
    lines = [
        [label, *(_text(column.get(key)) for column in columns)] for key, label in rows.items()
    ]
    width = max(len(line[0]) for line in lines)
    for label, *cells in lines:
        print(label.ljust(width), *(cell.rjust(12) for cell in cells))
    if out:
        with open(out, "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([cell.replace(",", "") for cell in line] for line in lines)


def _text(value: float | int | str | None) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.4g}"
    return value if isinstance(value, str) else f"{value:,}"
