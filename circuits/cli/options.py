"""What several commands share: options, and checks of them before the work starts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from toolkit.errors import InputError

if TYPE_CHECKING:
    from toolkit.network import Network

Size = Annotated[
    str, typer.Argument(help="3k, 6k, core, full, or a number of neurons.", metavar="SIZE")
]
Seed = Annotated[int, typer.Option(help="Of the circuit: the same seed, the same circuit.")]
Selection = Annotated[
    str, typer.Option(help="compact: the cells nearest the axis; random: any of the core.")
]
Compensation = Annotated[
    str,
    typer.Option(
        help="Of recurrent input lost with the cells left out: none, sqrt, full, full_except_ee."
    ),
]
Out = Annotated[Path, typer.Option(help="Where to write.", show_default=False)]
Force = Annotated[bool, typer.Option("--force", help="Replace what is there.")]
Workers = Annotated[int, typer.Option(help="Simulations at a time.", min=1)]


def size_of(text: str) -> str | int:
    """A size as `circuits.v1.column` takes it: a name, or a whole number.

    >>> size_of("3k"), size_of("1_000"), size_of("450")
    ('3k', 1000, 450)
    """
    try:
        return int(text)
    except ValueError:
        return text


def seeds_of(text: str) -> list[int]:
    """The seeds in a list with commas and ranges.

    >>> seeds_of("1,2, 3"), seeds_of("5,1-3")
    ([1, 2, 3], [5, 1, 2, 3])
    """
    seeds: list[int] = []
    try:
        for part in text.split(","):
            first, _, last = part.strip().partition("-")
            seeds += range(int(first), int(last or first) + 1)
    except ValueError:
        seeds = []
    if not seeds:
        raise InputError(f"--seeds takes whole numbers, as in 1,2,3 or 1-3; got {text!r}")
    if len(set(seeds)) < len(seeds):
        raise InputError(f"--seeds has a seed twice: {text!r}")
    return seeds


def new_file(path: Path, force: bool) -> Path:
    """`path`, if a file may be written there: known before the work starts, not after it.

    Raises
    ------
    InputError : it exists (unless `force`), is a folder, or lies in a folder that does not exist
    """
    if path.is_dir():
        raise InputError(f"--out {path} is a folder; give the name of a file in it")
    if path.exists() and not force:
        raise InputError(f"--out {path} exists: use another name, or --force to replace it")
    if not path.parent.is_dir():
        raise InputError(f"--out {path}: the folder {path.parent} does not exist; make it first")
    return path


def network_of(path: Path) -> Network:
    """The network of a network file, a SONATA folder or its ``circuit_config.json``.

    Raises
    ------
    DataError : there is none, or it is damaged
    """
    if path.is_dir() or path.suffix == ".json":
        from converters import from_sonata

        return from_sonata(path)
    from toolkit.network import Network

    return Network.load(path)
