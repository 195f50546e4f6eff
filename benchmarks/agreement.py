"""Agreement of spikes and rates over seeds: mean and range of R2, as a table.

    python benchmarks/agreement.py [--size 3k] [--seeds 1,2,3,4,5] [--trials 20] [--out FILE.csv]

Each seed is another column and other random input. Two minutes a seed for 3k on two cores. Folders
of `striate compare` made earlier are read instead with --runs DIR [DIR ...].
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats


def of_seed(size: str, seed: int, trials: int) -> pd.DataFrame:
    from circuits import v1
    from circuits.compare import Protocol, run_study
    from circuits.compare.measures import agreement

    column = v1.column(int(size) if size.isdigit() else size, seed=seed)
    return agreement(run_study(column, Protocol(trials=trials), seed=seed))


def summary(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """Mean over seeds, half-width of its 95 % interval (Student's t), smallest and largest."""
    stacked = pd.concat(tables, keys=range(len(tables)), names=["seed"]).reset_index(level=0)
    rows = []
    groups = ["condition", "form", "group"]
    for key, group in stacked.groupby(groups, sort=False):
        row = dict(zip(groups, key, strict=True), seeds=len(group))
        for name in ("R2", "log_R2", "slope"):
            values = group[name].to_numpy()
            t = stats.t.ppf(0.975, len(values) - 1) if len(values) > 1 else np.nan
            row[name] = values.mean()
            row[f"{name}_half_95"] = t * values.std(ddof=1) / np.sqrt(len(values))
            row[f"{name}_min"], row[f"{name}_max"] = values.min(), values.max()
        row["ceiling"] = group["ceiling"].mean()
        rows.append(row)
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", default="3k")
    parser.add_argument("--seeds", default="1,2,3,4,5")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--runs", nargs="*", type=Path, default=[])
    parser.add_argument("--out", help="write the table here as CSV, too")
    args = parser.parse_args()
    if args.runs:
        tables = [pd.read_csv(run / "agreement.csv") for run in args.runs]
    else:
        seeds = [int(seed) for seed in args.seeds.split(",")]
        tables = [of_seed(args.size, seed, args.trials) for seed in seeds]
    table = summary(tables).round(4)
    print(table.to_string(index=False))
    if args.out:
        table.to_csv(args.out, index=False)


if __name__ == "__main__":
    main()
