"""What data sets there are, where their files lie and whether they are whole.

The facts are in ``registry.toml`` beside this file: addresses, sizes, SHA-256 and where each of
them was confirmed, licence and citation.
"""

from __future__ import annotations

import hashlib
import os
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from toolkit.errors import DataError, InputError, unknown

REGISTRY = Path(__file__).with_name("registry.toml")
FORMS = ("original", "prepared")


@dataclass(frozen=True)
class DataFile:
    """One file of a data set.

    path : place in the data folder, with ``/``
    form : ``"original"`` as published, or ``"prepared"``: arrays made from the originals
    size : bytes
    sha256 : of the whole file, in hexadecimal
    urls : where it can be fetched, in the order to try; empty if nowhere
    """

    path: str
    form: str
    size: int
    sha256: str
    urls: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rsplit("/", 1)[-1]

    def damage(self, there: Path) -> str:
        """What is wrong with the file lying `there`; empty if its SHA-256 is the registered one."""
        size = there.stat().st_size
        if size != self.size:
            return f"{size:,} bytes instead of {self.size:,}"
        with open(there, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        return "" if found == self.sha256 else f"SHA-256 {found[:12]}... is not the registered one"


@dataclass(frozen=True)
class DataSet:
    """A data set: what it is, on what terms, and its files.

    also : beginnings of paths and what may stand in their place in a data folder
    by_hand : what is not fetched and why; empty if everything is
    """

    name: str
    title: str
    page: str
    licence: str
    citation: str
    files: tuple[DataFile, ...]
    also: Mapping[str, str]
    by_hand: str = ""

    def of_form(self, form: str) -> tuple[DataFile, ...]:
        """Its files of one form."""
        return tuple(file for file in self.files if file.form == form)

    def places(self, path: str, folder: Path) -> Iterator[Path]:
        """Where in the data folder the file or folder `path` of this data set may lie."""
        yield folder / path
        for start, other in self.also.items():
            if path.startswith(start):
                yield folder / (other + path.removeprefix(start))

    def find(self, path: str, folder: Path) -> Path | None:
        """Where in the data folder `path` does lie, or None."""
        return next((place for place in self.places(path, folder) if place.exists()), None)


def load_registry(path: Path) -> dict[str, DataSet]:
    """The data sets of a registry file by name, in its order."""
    with open(path, "rb") as file:
        tables = tomllib.load(file)
    return {
        name: DataSet(
            name=name,
            files=tuple(
                DataFile(**{**entry, "urls": tuple(entry.get("urls", ()))})
                for entry in table.pop("files")
            ),
            also=table.pop("also", {}),
            **table,
        )
        for name, table in tables.items()
    }


def data_sets() -> dict[str, DataSet]:
    """All data sets by name.

    >>> list(data_sets())
    ['mnist', 'cifar10', 'onken2016']
    """
    return load_registry(REGISTRY)


def data_set(name: str) -> DataSet:
    """One data set.

    >>> data_set("mnist").title
    'MNIST: 70,000 handwritten digits, 28 x 28 pixels, grey'

    Raises
    ------
    InputError : there is none of that name
    """
    known = data_sets()
    if name not in known:
        raise unknown("data set", name, known)
    return known[name]


def data_folder(folder: str | Path | None = None) -> Path:
    """The folder with the data sets: `folder`, else ``STRIATE_DATA``, else a cache of the user's.

    The cache is the folder ``data`` in ``STRIATE_CACHE`` or, without that, in the place for
    caches of the operating system (``~/.cache/striate`` on Linux). Nothing is made here.

    Raises
    ------
    InputError : it is not a folder
    """
    if folder is None:
        folder = os.environ.get("STRIATE_DATA") or None
    if folder is None:
        cache = os.environ.get("STRIATE_CACHE")
        if not cache:
            import pooch

            cache = pooch.os_cache("striate")
        folder = Path(cache) / "data"
    folder = Path(folder).expanduser().absolute()
    if folder.exists() and not folder.is_dir():
        raise InputError(f"the data folder {folder} is a file; name a folder, as in STRIATE_DATA")
    return folder


def choose(
    name: str,
    wanted: Mapping[str, Sequence[str]],
    form: str | None = None,
    folder: str | Path | None = None,
) -> tuple[str, list[Path]]:
    """Which form of a data set to read, and the files of it.

    Parameters
    ----------
    name : of the data set
    wanted : the paths that are needed of each form, the preferred form first
    form : the one to take; None for the first that is there
    folder : data folder (`data_folder`)

    Returns
    -------
    the form, and where its files lie, in the order of `wanted`

    Raises
    ------
    InputError : a form that is not in `wanted`
    DataError : files are not there; says which, and how to get them
    """
    if form is not None and form not in wanted:
        raise unknown(f"form of {name}", form, wanted)
    chosen = data_set(name)
    root = data_folder(folder)
    for candidate in wanted if form is None else (form,):
        found = [chosen.find(path, root) for path in wanted[candidate]]
        if all(found):
            return candidate, [path for path in found if path]
    raise DataError(_missing(chosen, wanted, form, root))


def _missing(
    chosen: DataSet, wanted: Mapping[str, Sequence[str]], form: str | None, root: Path
) -> str:
    """Which files are missing, from where they come, where to put them."""
    state = "" if root.is_dir() else ", which does not exist"
    text = (
        f"{chosen.name} is not in the data folder {root}{state} (set STRIATE_DATA to name another)."
    )
    for candidate in wanted if form is None else (form,):
        absent = [path for path in wanted[candidate] if chosen.find(path, root) is None]
        more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
        text += f" The {candidate} form lacks {absent[0]}{more}."
    fetched = {file.path: file for file in chosen.files if file.urls}
    lacking = [
        path
        for path in wanted.get("original", ())
        if form != "prepared" and chosen.find(path, root) is None
    ]
    if lacking and all(path in fetched for path in lacking):
        first = fetched[lacking[0]]
        return (
            f"{text} Fetch it with `striate data fetch {chosen.name}`; without internet, get "
            f"{first.urls[0]} elsewhere and put it at {root / first.path}."
        )
    if lacking and chosen.by_hand:
        return f"{text} {chosen.by_hand.format(folder=root)} Page: {chosen.page}"
    return f"{text} Prepared files are not published: name the folder that has them."
