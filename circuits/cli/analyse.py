"""``striate analyse``: what training has made of a network."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from circuits.cli.options import Force, Out
from toolkit.errors import InputError

WEIGHTS = "weights.npz"


def analyse(
    trained: Annotated[
        Path, typer.Argument(help="Folder of `striate train`, or a file of weights.")
    ],
    out: Out,
    only: Annotated[
        str | None,
        typer.Option(
            help="Some of weights,rates,spectrum,learning_curves,robustness,rivals,output_layers,"
            "recurrency,cells."
        ),
    ] = None,
    with_runs: Annotated[
        list[Path] | None,
        typer.Option("--with", help="Another training to compare with; can be given again."),
    ] = None,
    items: Annotated[
        int, typer.Option(help="Test items of each task; some analyses take a multiple.", min=1)
    ] = 500,
    seed: Annotated[int, typer.Option(help="Of noise and bootstraps.")] = 0,
    threads: Annotated[
        int | None, typer.Option(help="Of PyTorch; all cores by default.", min=1)
    ] = None,
    force: Force = False,
) -> None:
    """Analyse a trained network: each analysis leaves CSV tables, a figure and sentences.

    The page analysis.html in --out shows all of them. A run that was stopped goes on when the
    command is given again: results that are there are kept.

    Example: striate analyse runs/first --out runs/first_analysis

    striate analyse runs/default_3k/seed_1 --only learning_curves --with runs/default_6k/seed_1
    --out runs/convergence
    """
    names = [name.strip() for name in only.split(",")] if only is not None else []
    import torch

    from circuits import cli
    from circuits.analysis import Options
    from circuits.analysis.study import PAGE, chosen, run_analyses
    from circuits.training import load_trained
    from toolkit.scan import fastest

    cli.plain_warnings()
    todo = chosen(names)
    runs = (*([trained] if trained.is_dir() else []), *(with_runs or []))
    for run in runs:
        if not run.is_dir():
            raise InputError(f"--with {run} is no folder; give that of a `striate train`")
    if out.is_file():
        raise InputError(f"--out {out} is a file; give a folder")
    options = Options(items=items, seed=seed, runs=runs)
    if threads is not None:
        torch.set_num_threads(threads)
    ready = load_trained(weights_file(trained))
    ready.model.with_backend(fastest(ready.model.connections, items=64))
    command = f"striate analyse {trained} --out {out}"
    command += f" --only {only}" if only else ""
    command += "".join(f" --with {run}" for run in with_runs or [])
    command += f" --items {items} --seed {seed}"
    typer.echo(f"{ready.network.n:,} neurons, {len(todo)} analyses")
    left_out = run_analyses(ready, out, options, names, force=force, command=command)
    for name, reason in left_out.items():
        typer.echo(f"{name} left out: {reason}")
    typer.echo(f"page: {out / PAGE}")


def weights_file(path: Path) -> Path:
    """The file of weights: the path itself, or ``weights.npz`` in a folder.

    Raises
    ------
    InputError : there is none
    """
    file = path / WEIGHTS if path.is_dir() else path
    if not file.is_file():
        hint = ""
        seeds = sorted(each.parent.name for each in path.glob(f"*/{WEIGHTS}"))
        if seeds:
            hint = f"; there are several runs in it: {', '.join(seeds)}. Give one of them"
        raise InputError(f"{file} does not exist{hint}")
    return file
