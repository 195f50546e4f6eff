"""``striate convert``: a trained rate network as spikes, and how faithful they are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from circuits.cli.analyse import weights_file
from circuits.cli.options import Force, Out, Workers
from toolkit.errors import InputError


def convert(
    trained: Annotated[
        Path, typer.Argument(help="Folder of `striate train`, or a file of weights.")
    ],
    out: Out,
    items: Annotated[int, typer.Option(help="Test items of each task.", min=2)] = 500,
    trials: Annotated[
        int, typer.Option(help="Of each item; 2 or more tell noise from error.", min=1)
    ] = 4,
    replicas: Annotated[
        str, typer.Option(help="Spiking neurons for each rate unit: 1, or several as in 1,4.")
    ] = "1",
    windows: Annotated[
        str, typer.Option(help="Decision windows in ms while the stimulus is held.")
    ] = "20,50,100,200,500",
    pause: Annotated[
        float, typer.Option(help="Grey before every item of a spiking run, ms: a multiple of 10.")
    ] = 200.0,
    calibrate: Annotated[
        str | None,
        typer.Option(
            help="A gain and a current fitted on validation items, for each neuron or class."
        ),
    ] = None,
    fine_tune: Annotated[
        int,
        typer.Option(
            help="Steps of training through the spikes, after the calibration (slow).", min=0
        ),
    ] = 0,
    seed: Annotated[int, typer.Option(help="Of spikes, shuffling and bootstraps.", min=0)] = 0,
    backend: Annotated[
        str, typer.Option(help="Of the simulations: brian2, nest or cuda.")
    ] = "brian2",
    workers: Workers = 1,
    force: Force = False,
) -> None:
    """Convert a trained rate network to spikes, run both and write a report card.

    The page conversion.html in --out says how far they agree, how many answers are right by the
    width of the decision window, and the same of controls: no recurrence, shuffled recurrence, one
    factor for all weights. The converted network is converted.h5, for every command that takes a
    network. A run that was stopped goes on when the command is given again.

    Example: striate convert runs/first --out runs/first_spikes --items 100 --trials 2
    """
    from circuits import cli
    from circuits.conversion.page import PAGE, check_free, write_card
    from circuits.conversion.study import Options, run_study
    from circuits.training import load_trained
    from toolkit.scan import fastest

    cli.plain_warnings()
    options = Options(
        items=items,
        trials=trials,
        replicas=tuple(int(each) for each in numbers("--replicas", replicas, whole=True)),
        windows_ms=tuple(numbers("--windows", windows)),
        seed=seed,
        workers=workers,
        pause_ms=pause,
        calibrate=calibrate,
        fine_tune=fine_tune,
        backend=backend,
    )
    check_free(out, force)
    ready = load_trained(weights_file(trained))
    ready.model.with_backend(fastest(ready.model.connections, items=64))
    typer.echo(f"{ready.network.n:,} neurons, {items} items a task, {trials} trials")
    study = run_study(ready, out, options, force=force)
    command = (
        f"striate convert {trained} --out {out} --items {items} --trials {trials} --replicas "
        f"{replicas} --windows {windows} --pause {pause:g} --seed {seed}"
        + (f" --calibrate {calibrate}" if calibrate else "")
        + (f" --fine-tune {fine_tune}" if fine_tune else "")
        + (f" --backend {backend}" if backend != "brian2" else "")
    )
    study.network.save(out / "converted.h5")
    for text, _ in write_card(study, out, command=command):
        typer.echo(text)
    typer.echo(f"page: {out / PAGE}")


def numbers(option: str, text: str, *, whole: bool = False) -> list[float]:
    """The numbers in a list with commas.

    Raises
    ------
    InputError : something else

    >>> numbers("--windows", "20, 50")
    [20.0, 50.0]
    """
    try:
        found = [float(int(part) if whole else float(part)) for part in text.split(",")]
    except ValueError:
        kind = "whole numbers" if whole else "numbers"
        raise InputError(f"{option} takes {kind} with commas, as in 1,4; got {text!r}") from None
    return found
