"""Data sets for tasks and for models of the retina: fetch them, list them, verify them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from circuits.cli.refresh import refresh
from toolkit.errors import DataError, StriateError

if TYPE_CHECKING:
    from toolkit.datasets import DataFile, DataSet

EXAMPLE = "Example: striate data fetch mnist cifar10"
ALL = "all"
INTERRUPTED = 130

Names = Annotated[
    list[str], typer.Argument(help="mnist, cifar10, onken2016, or all.", metavar="NAMES...")
]
Folder = Annotated[
    Path | None,
    typer.Option(
        help="The data folder; without it STRIATE_DATA, else a cache of yours.",
        show_default=False,
    ),
]


def fetch(names: Names, folder: Folder = None) -> None:
    """Fetch data sets from where they are published, and check their SHA-256.

    What is there already is left alone, and an interrupted download is continued. Files that are
    not published, or of which no checksum is, are not fetched: it says which, and what to do.

    Example: striate data fetch mnist cifar10
    """
    from toolkit import datasets

    errors: list[StriateError] = []
    try:
        for chosen in _chosen(names):
            try:
                datasets.fetch(chosen.name, folder, say=typer.echo)
            except DataError as error:
                errors.append(error)  # the others may still come
            else:
                _by_hand(chosen, folder)
    except KeyboardInterrupt:
        typer.echo("striate: interrupted; what came is kept, and continued next time", err=True)
        raise typer.Exit(INTERRUPTED) from None
    if errors:
        raise errors[0] if len(errors) == 1 else DataError(" ".join(map(str, errors)))


def list_(folder: Folder = None) -> None:
    """List the data sets: what of them is there, where, how large, on what terms.

    Example: striate data list --folder /data
    """
    from toolkit.datasets import data_folder, data_sets

    root = data_folder(folder)
    typer.echo(f"data folder: {root}{'' if root.is_dir() else ' (does not exist yet)'}")
    for chosen in data_sets().values():
        typer.echo(f"\n{chosen.name}  {chosen.title}")
        for form in ("original", "prepared"):
            files = chosen.of_form(form)
            there = [place for file in files if (place := chosen.find(file.path, root))]
            where = ", ".join(sorted({str(place.parent) for place in there}))
            typer.echo(
                f"  {form}: {len(there)} of {len(files)} files there, "
                f"{sum(file.size for file in files) / 1e6:,.1f} MB in all"
                + (f", in {where}" if where else "")
            )
        typer.echo(f"  licence: {chosen.licence}")
        typer.echo(f"  from {chosen.page}; please cite {chosen.citation}")


def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="mnist, cifar10, onken2016; without one, all.", metavar="[NAMES]..."),
    ] = None,
    folder: Folder = None,
) -> None:
    """Compare the SHA-256 of every file that is there; exits with 2 if one is wrong.

    Example: striate data verify mnist
    """
    from toolkit.datasets import data_folder

    root = data_folder(folder)
    wrong, n = [], 0
    for chosen in _chosen(names or [ALL]):
        for file, place in _there(chosen, root):
            damage = file.damage(place)
            typer.echo(f"{'WRONG' if damage else 'right'}  {place}{damage and f': {damage}'}")
            n += 1
            if damage:
                wrong.append(place)
    if wrong:
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise DataError(
            f"{wrong[0]}{more} of {n} files: not what was published; delete it and run `striate "
            "data fetch`, or get it again from where it came"
        )
    if not n:
        raise DataError(
            f"there are no files of {', '.join(names or ['any data set'])} in the data folder "
            f"{root}; fetch them with `striate data fetch`, or name another folder in STRIATE_DATA"
        )
    typer.echo(f"{n} files, all right")


def _chosen(names: list[str]) -> list[DataSet]:
    """The data sets of these names, in the order given; all names are checked first."""
    from toolkit.datasets import data_sets
    from toolkit.errors import unknown

    known = data_sets()
    for name in names:
        if name not in (*known, ALL):
            raise unknown("data set", name, [*known, ALL])
    return list(known.values()) if ALL in names else [known[name] for name in dict.fromkeys(names)]


def _there(chosen: DataSet, root: Path) -> list[tuple[DataFile, Path]]:
    return [
        (file, place)
        for file in chosen.files
        for place in chosen.places(file.path, root)
        if place.is_file()
    ]


def _by_hand(chosen: DataSet, folder: Path | None) -> None:
    from toolkit.datasets import data_folder

    if chosen.by_hand:
        root = data_folder(folder)
        typer.echo(f"note: {chosen.by_hand.format(folder=root)} Page: {chosen.page}", err=True)


COMMANDS = {"fetch": fetch, "list": list_, "verify": verify, "refresh": refresh}
