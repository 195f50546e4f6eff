"""``striate compare``: a column as spikes and as rates, and how far they agree."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from circuits.cli.options import Compensation, Force, Out, Seed, Selection, Workers, size_of


def compare(
    out: Out,
    size: Annotated[
        str, typer.Argument(help="3k, 6k, core, full, or a number of neurons.", metavar="[SIZE]")
    ] = "3k",
    seed: Seed = 1,
    selection: Selection = "compact",
    compensation: Compensation = "none",
    trials: Annotated[int, typer.Option(help="Trials of eight directions and grey.")] = 20,
    grey_s: Annotated[float, typer.Option(help="Grey of a trial that is counted, s.")] = 8.0,
    dynamics: Annotated[
        str, typer.Option(help="Of the rates: instantaneous, low_pass or equilibrium.")
    ] = "low_pass",
    dt_ms: Annotated[float, typer.Option(help="Time step of the rates.")] = 1.0,
    spiking_dt_ms: Annotated[float, typer.Option(help="Time step of the spikes.")] = 0.25,
    device: Annotated[
        str, typer.Option(help="Of the spikes: cpp_standalone or runtime.")
    ] = "cpp_standalone",
    network: Annotated[
        Path | None, typer.Option(help="A column of `striate build`, instead of building one.")
    ] = None,
    workers: Workers = 2,
    force: Force = False,
) -> None:
    """Run a V1 column as a spiking and as a firing-rate network on the same LGN input; compare.

    Eight drifting gratings and grey, several trials; the report stands beside its tables, figures
    and manifest in the folder --out. About two minutes for 3k on two cores.

    Example: striate compare 3k --seed 1 --out runs/3k
    """
    from circuits import cli, v1
    from circuits.compare import Protocol, run_study
    from circuits.compare.report import write_report
    from toolkit.network import Network
    from toolkit.runs import run_folder

    cli.plain_warnings()
    parameters: dict[str, str | int | float | None] = {
        name: value for name, value in locals().items() if isinstance(value, str | int | float)
    }
    parameters["out"], parameters["network"] = str(out), str(network) if network else None
    words = [f"striate compare {size} --seed {seed} --trials {trials} --out {out}"]
    defaults = {"selection": "compact", "compensation": "none", "grey_s": 8.0,
                "dynamics": "low_pass", "dt_ms": 1.0, "spiking_dt_ms": 0.25,
                "device": "cpp_standalone", "network": None}  # fmt: skip
    words += [
        f"--{name.replace('_', '-')} {parameters[name]}"
        for name, default in defaults.items()
        if parameters[name] != default
    ]
    command = " ".join(words)
    protocol = Protocol(trials=trials, grey_ms=1000 * grey_s)
    with run_folder(out, command, parameters, force=force) as folder:
        if network is not None:
            column = Network.load(network)
        else:
            column = v1.column(
                size_of(size), seed=seed, selection=selection, compensation=compensation
            )
        typer.echo(f"{column.n:,} neurons, {len(column.synapses):,} recurrent connections")
        study = run_study(
            column,
            protocol,
            seed=seed,
            dynamics=dynamics,
            dt_ms=dt_ms,
            spiking_dt_ms=spiking_dt_ms,
            device=device,
            workers=workers,
        )
        write_report(study, folder, command=command)
    from circuits.compare.measures import agreement

    table = agreement(study)
    chosen = table[table["form"] == "rate"]
    columns = ["condition", "group", "R2", "ceiling", "log_R2", "slope", "spiking_Hz", "rate_Hz"]
    typer.echo(chosen[columns].round(3).to_string(index=False))
    typer.echo(f"report: {out / 'report.html'}")
