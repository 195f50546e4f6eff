"""``striate data refresh``: tables with the parameters that the Cell Types Database has now."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from circuits.cli.options import Force
from toolkit.errors import InputError


def refresh(
    out: Annotated[
        Path | None, typer.Option(help="Folder to make for the tables.", show_default=False)
    ] = None,
    cells: Annotated[
        str, typer.Option(help="Specimen ids, with commas; default: all cells of the tables.")
    ] = "",
    lines: Annotated[
        str, typer.Option(help="Cre lines, with commas, of which all cells in V1 are asked for.")
    ] = "",
    skip: Annotated[str, typer.Option(help="Specimen ids to leave out, with commas.")] = "",
    url: Annotated[str, typer.Option(help="Address of the API.")] = "http://api.brain-map.org",
    python: Annotated[
        str,
        typer.Option(
            help="An interpreter that has allensdk; also STRIATE_ALLENSDK_PYTHON.",
            show_default="this one or that of --make-environment",
        ),
    ] = "",
    make_environment: Annotated[
        bool,
        typer.Option(
            "--make-environment",
            help="First make an environment with allensdk, unless it is there.",
        ),
    ] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Use the answers of earlier runs, however old.")
    ] = False,
    timeout_s: Annotated[float, typer.Option(help="Longest wait for an answer, s.")] = 60.0,
    attempts: Annotated[int, typer.Option(help="How often a question is asked.", min=1)] = 4,
    force: Force = False,
) -> None:
    """Get the current GLIF models and ephys features of cells from the Allen Cell Types Database.

    Writes a folder of tables to build from (`striate build --tables FOLDER`) and says what changed
    against those that come with Striate. Answers are kept for a day: an interrupted run goes on
    where it ended. allensdk, which asks, gets an environment of its own by --make-environment.

    Example: striate data refresh --out tables --make-environment
    """
    from circuits.allen import refresh as allen

    if make_environment:
        typer.echo(f"allensdk: {allen.make_environment()}")
    if out is None:
        if make_environment:
            return
        raise InputError("--out is needed: the folder to make for the tables")
    done = allen.refresh_tables(
        out,
        cells=_parts(cells),
        lines=_parts(lines),
        skip=_parts(skip),
        url=url,
        python=python or None,
        offline=offline,
        timeout_s=timeout_s,
        attempts=attempts,
        force=force,
    )
    answers = done.answers
    asked = f"asked at {answers.url}, {answers.oldest[:10]}"
    if answers.n_cached:
        asked += f"; {answers.n_cached} of {len(answers.models)} cells from the cache"
    typer.echo(f"{done.text()}\n({asked})\n{out}: striate build 3k --tables {out} --out column.h5")


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
