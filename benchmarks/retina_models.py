"""Train all models of the retina on the recordings, and compare them on the same folds.

    STRIATE_DATA=... python benchmarks/retina_models.py --out runs/retina

What is finished in --out stays, so that it can be stopped and started again; several at once share
the work. Seed k is tested on block k of five, so that an interval is one over seeds and blocks of
windows, and differences from LN are those on the same blocks. Two recordings of movies have one
seed, tested on the same three blocks. Each recording is evaluated once, into OUT/compared; --tables
puts all together, into benchmarks/results/ and docs/retina_models.png.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import torch

from circuits.retina import figures
from circuits.retina.evaluation import evaluate_runs, runs_in
from circuits.retina.scores import OF_TRIALS
from circuits.retina.setup import Setup
from circuits.retina.training import train_run
from toolkit.errors import InputError
from toolkit.retina.fitting import Options
from toolkit.retina.models import MODELS

RECORDINGS = (
    "movie1_retina1",
    "movie2_retina2",
    "natural_images_retina1",
    "natural_images_retina2",
    "movie1_retina2",
    "movie2_retina1",
)
ONE_SEED = ("movie1_retina2", "movie2_retina1")
BLOCKS = (1, 2, 3)  # of five; the others were tuned on
ABLATION = ("movie1_retina1", "movie2_retina2")  # as published
STEPS = 200  # all but TeCoS models stop early
IMAGE_STEPS = {"tecos": 300, "tecos-rate": 300, "tecos-noisy": 600}  # they gain for so long there
# Published for spiking hidden units or none (Ma et al. 2023, table 2): CC, SPIKE, Victor-Purpura,
# van Rossum. Other cells and bins, and other scales of the distances: not comparable with ours.
PUBLISHED = {
    ("movie1_retina1", "tecos", "spiking"): (0.579, 0.124, 12.835, 127.346),
    ("movie1_retina1", "tecos", "not spiking"): (0.254, 0.259, 45.117, 3416.557),
    ("movie1_retina1", "tecos-noisy", "spiking"): (0.728, 0.155, 14.024, 238.614),
    ("movie1_retina1", "tecos-noisy", "not spiking"): (0.653, 0.167, 14.805, 291.706),
    ("movie2_retina2", "tecos", "spiking"): (0.616, 0.123, 22.666, 574.298),
    ("movie2_retina2", "tecos", "not spiking"): (0.471, 0.180, 35.080, 1890.910),
    ("movie2_retina2", "tecos-noisy", "spiking"): (0.822, 0.153, 28.441, 1135.805),
    ("movie2_retina2", "tecos-noisy", "not spiking"): (0.748, 0.159, 29.249, 1144.087),
}
MEASURES = ("cc", "spike", "victor_purpura", "van_rossum", "autocorrelogram", "mmd", "ssim")
KEY = ["data", "model", "hidden"]
RESULTS = Path(__file__).parent / "results"
FIGURE = Path(__file__).parents[1] / "docs" / "retina_models.png"


def setups(recordings: list[str]) -> Iterator[tuple[str, Setup]]:
    """Folders and setups of all runs; those of the first block first."""
    for block in BLOCKS:
        for data in recordings:
            seed = 1 if data in ONE_SEED else block
            for model in MODELS:
                yield f"{data}/{model}-{block}", Setup(data, model, fold=block - 1, seed=seed)
    for data in (each for each in ABLATION if each in recordings):
        for block in BLOCKS:
            for model in ("tecos", "tecos-noisy"):
                setup = Setup(data, model, fold=block - 1, seed=block, spiking=False)
                yield f"{data}/{model}-not-spiking-{block}", setup


def trained(out: Path, recordings: list[str]) -> None:
    """Train what is not finished, and is not being trained by another process."""
    for name, setup in setups(recordings):
        steps = IMAGE_STEPS.get(setup.model, STEPS) if "images" in setup.data else STEPS
        try:
            train_run(setup, Options(steps=steps), out / name, " ".join(sys.argv), {}, resume=True)
        except InputError as error:
            if "another training is writing" not in str(error):
                raise


def together(compared: Path, name: str) -> pd.DataFrame:
    """A table of all recordings that were evaluated, in their order."""
    paths = [compared / data / f"{name}.csv" for data in RECORDINGS]
    read = [
        pd.read_csv(path, keep_default_na=False, na_values=[""]) for path in paths if path.exists()
    ]
    return pd.concat(read).fillna({"hidden": ""})


def described(models: pd.DataFrame, against: pd.DataFrame) -> None:
    """Print a Markdown table a recording; below it what was published of the same stimulus."""
    for data, own in models.groupby("data", sort=False):
        print(f"\n{data}: CC of a perfect model {own['ceiling'].mean():.3f}")
        print("\n| model | CC | CC - LN (95 %) | " + " | ".join(MEASURES[1:]) + " |")
        print("|" + "---|" * (len(MEASURES) + 2))
        for _, row in own.iterrows():
            same = (against[KEY] == row[KEY]).all(axis=1) & (against["measure"] == "cc")
            more = interval(against[same].iloc[0]) if same.any() else ""
            name = row["model"] + (", not spiking" if row["hidden"] == "not spiking" else "")
            values = " | ".join(f"{row[m]:.3g}" for m in MEASURES[1:])
            print(f"| {name} | {row['cc']:.3f} | {more} | {values} |")
        own_trials = " | ".join(f"{own[m + OF_TRIALS].iloc[0]:.3g}" if m + OF_TRIALS in own else ""
                                for m in MEASURES[1:])  # fmt: skip
        print(f"| *recorded trials* | | | {own_trials} |")
        for (movie, model, hidden), published in PUBLISHED.items():
            if movie == data:
                print(f"\n{model}, {hidden}, published (other cells and bins: not comparable): CC, "
                      "SPIKE, Victor-Purpura, van Rossum", *published)  # fmt: skip


def interval(row: pd.Series[float]) -> str:
    """A difference with its interval; that of one seed has none."""
    more = f"{row['more']:+.3f}"
    if pd.isna(row["low"]):
        return more
    return f"{more} ({row['low']:+.3f} to {row['high']:+.3f})"


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recordings", nargs="*", default=list(RECORDINGS), help="all by default")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--threads", type=int, help="of PyTorch")
    parser.add_argument("--train-only", action="store_true", help="leave the tables for later")
    parser.add_argument("--tables", action="store_true", help="and the figure: write them")
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    trained(args.out, args.recordings)
    if args.train_only:
        return
    compared = args.out / "compared"
    for data in args.recordings:
        if not (compared / data / "models.csv").exists():
            (compared / data).mkdir(parents=True, exist_ok=True)
            evaluate_runs(runs_in([args.out / data]), compared / data)
    described(*(together(compared, name) for name in ("models", "against_ln")))
    if args.tables:
        names = ("models", "seeds", "against_ln", "against_tecos-rate", "ablation")
        tables = {name: together(compared, name) for name in names}
        FIGURE.write_bytes(figures.overview(tables["models"], tables.pop("seeds")))
        for name, table in tables.items():
            text = table.to_csv(index=False, float_format="%.4g")
            (RESULTS / f"retina_{name}.csv").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
