"""Models of the retina: train them on recordings, compare them, predict spikes."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Annotated, Any

import typer

from circuits.cli.options import Force, Out, seeds_of
from toolkit.errors import InputError

EXAMPLE = "Example: striate retina train --model ln --out runs/ln"
ALL = "all"
DEFAULTS: dict[str, Any] = {
    **dict(data="synthetic", model="tecos", fold="0", folds=5, bin_ms=10.0, seed=1, seeds=None),
    **dict(spiking=True, loss=None, steps=300, minutes=None, learning_rate=None),
    **dict(run_in_ms=700.0, look_every=20, patience=8, threads=None),
}

Threads = Annotated[int | None, typer.Option(help="Of PyTorch; all cores by default.", min=1)]
Samples = Annotated[int, typer.Option(help="Predicted trials.", min=1)]


def train(
    out: Out,
    data: Annotated[
        str,
        typer.Option(
            help="synthetic (needs no files), or a recording: movie1_retina1, "
            "natural_images_retina1, ..."
        ),
    ] = DEFAULTS["data"],
    model: Annotated[
        str,
        typer.Option(
            help="Some of tecos,tecos-noisy,tecos-rate,ln,glm,cnn,ib-disjoint,ib-gp,crnn,"
            "crnn-time; or all."
        ),
    ] = DEFAULTS["model"],
    fold: Annotated[
        str, typer.Option(help="Which block of windows is tested on, as 0, 0,2 or 0-4; or all.")
    ] = DEFAULTS["fold"],
    folds: Annotated[int, typer.Option(help="Blocks that windows are divided into.")] = DEFAULTS[
        "folds"
    ],
    bin_ms: Annotated[float, typer.Option(help="Width of a time step, ms.")] = DEFAULTS["bin_ms"],
    seed: Annotated[int, typer.Option(help="Of initial weights and training.")] = DEFAULTS["seed"],
    seeds: Annotated[str | None, typer.Option(help="Several, as 1,2 or 1-3.")] = DEFAULTS["seeds"],
    spiking: Annotated[
        bool, typer.Option(help="TeCoS models: whether hidden units fire.")
    ] = DEFAULTS["spiking"],
    loss: Annotated[
        str | None,
        typer.Option(help="TeCoS models: distribution, gaussian, single or bernoulli."),
    ] = DEFAULTS["loss"],
    steps: Annotated[int, typer.Option(help="Of the optimiser, at most.")] = DEFAULTS["steps"],
    minutes: Annotated[
        float | None, typer.Option(help="Of training, that the number of steps is planned by.")
    ] = DEFAULTS["minutes"],
    learning_rate: Annotated[
        float | None, typer.Option(help="Of Adam; the model's own by default.")
    ] = DEFAULTS["learning_rate"],
    run_in_ms: Annotated[
        float, typer.Option(help="Of the movie before each window, in training.")
    ] = DEFAULTS["run_in_ms"],
    look_every: Annotated[
        int, typer.Option(help="Steps between looks at validation windows.")
    ] = DEFAULTS["look_every"],
    patience: Annotated[
        int, typer.Option(help="Looks without a better CC that end the training.")
    ] = DEFAULTS["patience"],
    threads: Threads = DEFAULTS["threads"],
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where it stopped; what is finished stays.")
    ] = False,
    force: Force = False,
) -> None:
    """Train models of the retina on a recording, or on a synthetic retina.

    The folder --out gets weights.npz, results.csv (each cell's CC on the test windows and its
    ceiling), learning_curve.csv and a manifest; of several models, folds or seeds a folder each in
    --out. What is not finished is in OUT.unfinished; --resume goes on from there, bit for bit on a
    CPU.

    Example: striate retina train --model ln --out runs/ln

    striate retina train --data movie1_retina1 --model tecos-noisy --fold 0 --seeds 1-3
    --out runs/noisy
    """
    given = {name: value for name, value in locals().items() if name in DEFAULTS}
    import torch

    from circuits.retina import Setup, train_run
    from toolkit.retina.fitting import Options
    from toolkit.retina.models import MODELS

    if minutes is not None and (not minutes > 0 or steps != DEFAULTS["steps"]):
        raise InputError(f"--minutes are above 0 and take the place of --steps; got {minutes}")
    _use(threads)
    models = list(MODELS) if model == ALL else [name.strip() for name in model.split(",")]
    numbers = [seed] if seeds is None else seeds_of(seeds)
    blocks = list(range(folds)) if fold == ALL else _blocks(fold)
    options = Options(
        steps=steps,
        learning_rate=learning_rate,
        run_in_ms=run_in_ms,
        look_every=look_every,
        patience=patience,
    )
    setups = [
        Setup(data, name, block, folds, bin_ms, number, spiking, loss)
        for name, block, number in itertools.product(models, blocks, numbers)
    ]
    for setup in setups:
        folder = out
        folder = folder / setup.model if len(models) > 1 else folder
        folder = folder / f"fold_{setup.fold}" if len(blocks) > 1 else folder
        folder = folder / f"seed_{setup.seed}" if seeds is not None else folder
        own = {**given, "model": setup.model, "fold": str(setup.fold), "seed": setup.seed}
        own["seeds"] = None
        words = [_option(name, own[name]) for name in own if own[name] != DEFAULTS[name]]
        train_run(
            setup,
            options,
            folder,
            " ".join([f"striate retina train --out {folder}", *words]),
            {"out": folder, **own, "torch_threads": torch.get_num_threads()},
            minutes=minutes,
            resume=resume,
            force=force,
            say=typer.echo,
        )


def evaluate(
    runs: Annotated[
        list[Path],
        typer.Argument(help="Folders of `striate retina train`, or of several.", metavar="RUN..."),
    ],
    out: Out,
    samples: Samples = 30,
    reference: Annotated[
        bool, typer.Option(help="Fit an LN, the reference, to folds that no run has one of.")
    ] = True,
    lengths: Annotated[
        bool, typer.Option("--lengths", help="Score after ever longer runs through the movie, too.")
    ] = False,
    threads: Threads = None,
    force: Force = False,
) -> None:
    """Compare trained models on the test windows of their folds, beside an LN of the same folds.

    The folder --out gets models.csv (means over seeds with 95 % intervals, folds pooled),
    seeds.csv, folds.csv, cells.csv, against_ln.csv and against_tecos-rate.csv (differences from
    these models on the same folds), ablation.csv (hidden units that fire or do not) and figures:
    trials recorded and predicted, PSTHs, CC of each cell against a perfect model's, all models.

    Example: striate retina evaluate runs/noisy runs/rate --out runs/compared
    """
    from circuits.retina.evaluation import evaluate_runs, runs_in
    from toolkit.runs import run_folder

    _use(threads)
    folders = runs_in(runs)
    command = f"striate retina evaluate {' '.join(map(str, runs))} --out {out} --samples {samples}"
    command += "" if reference else " --no-reference"
    command += " --lengths" if lengths else ""
    options: dict[str, Any] = {"samples": samples, "reference": reference, "lengths": lengths}
    facts = {"runs": folders, "out": out, **options}
    with run_folder(out, command, facts, force=force) as folder:
        models = evaluate_runs(folders, folder, **options, say=typer.echo)
        names = sorted(file.name for file in folder.iterdir())
    for _, row in models.iterrows():
        name = f"{row['model']}{', ' * bool(row['hidden'])}{row['hidden']}"
        interval = f" ({row['cc_low']:.3f} to {row['cc_high']:.3f})" if row["seeds"] > 1 else ""
        folds = f"folds {row['folds']} pooled" if "," in row["folds"] else f"fold {row['folds']}"
        typer.echo(
            f"{row['data']}, {name}: CC {row['cc']:.3f}{interval}, {folds}, "
            f"{row['seeds']} seed{'s' * (row['seeds'] > 1)}; LN {row['ln_cc']:.3f}, a perfect "
            f"model {row['ceiling']:.3f}"
        )
    typer.echo(f"{out}: {', '.join(names)}")


def predict(
    run: Annotated[Path, typer.Argument(help="Folder of a `striate retina train`.", metavar="RUN")],
    out: Out,
    data: Annotated[
        str | None,
        typer.Option(help="Another recording of the same cells; that of the training by default."),
    ] = None,
    samples: Samples = 30,
    seed: Annotated[int, typer.Option(help="Of the draws.")] = 1,
    threads: Threads = None,
    force: Force = False,
) -> None:
    """Predict spikes and rates for the whole of a recording, every sequence from its first step.

    The file --out (.npz) gets spike_times_ms, spike_ids, spike_trials and spike_sequences (a value
    a spike), rates_Hz (sequence, step, cell), cells (their numbers in the recording), bin_ms and
    duration_ms.

    Example: striate retina predict runs/noisy/seed_1 --out spikes.npz
    """
    from circuits.cli.options import new_file
    from circuits.retina.predictions import predict_file

    new_file(out, force)
    _use(threads)
    typer.echo(predict_file(run, out, data=data, samples=samples, seed=seed))


def _use(threads: int | None) -> None:
    import torch

    from circuits import cli

    cli.plain_warnings()
    if threads is not None:
        torch.set_num_threads(threads)


def _blocks(text: str) -> list[int]:
    try:
        return seeds_of(text)
    except InputError:
        raise InputError(
            f"--fold takes whole numbers, each once, as in 0 or 0-4, or all; got {text!r}"
        ) from None


def _option(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return f"--{name}" if value else f"--no-{name}"
    return f"--{name.replace('_', '-')} {value}"


COMMANDS = {"train": train, "evaluate": evaluate, "predict": predict}
