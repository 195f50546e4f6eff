"""The folder of a SONATA network that Striate wrote: what is in it, and whether it is unchanged.

``striate.json`` holds what SONATA has no place for (receptors, seed, provenance, exact types of
columns) and the SHA-256 of every other file. Other programs pass it by.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from toolkit.errors import DataError, InputError

STRIATE, FORMAT, VERSION = "striate.json", "striate sonata", 1
CIRCUIT, SIMULATION = "circuit_config.json", "simulation_config.json"


def read_json(path: Path) -> Any:
    """A JSON file; `DataError` where it is absent or no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path} is no JSON ({error})") from error


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file; `InputError` for what is no plain value."""
    try:
        text = json.dumps(value, indent=1)
    except (TypeError, ValueError) as error:
        raise InputError(f"a network's provenance must be plain JSON values: {error}") from error
    path.write_text(text + "\n", encoding="utf-8")


def is_striate(path: Path) -> bool:
    """Whether a folder has the file that only Striate writes."""
    return (path / STRIATE).is_file()


def seal(folder: str | Path) -> None:
    """Write the checksums of a folder again, after it was changed on purpose."""
    folder = Path(folder)
    write_about(folder, read_json(folder / STRIATE))


def write_about(folder: Path, about: dict[str, Any]) -> None:
    """Write ``striate.json`` with the checksums of all files and its own."""
    about = about | {"format": FORMAT, "version": VERSION, "files": _checksums(folder)}
    write_json(folder / STRIATE, about | {"checksum": _own_checksum(about)})


def _own_checksum(about: dict[str, Any]) -> str:
    """SHA-256 of a description but for its checksum, whatever its spaces and order."""
    values = {name: value for name, value in about.items() if name != "checksum"}
    try:
        text = json.dumps(values, sort_keys=True)
    except (TypeError, ValueError) as error:
        raise InputError(f"a network's provenance must be plain JSON values: {error}") from error
    return hashlib.sha256(text.encode()).hexdigest()


def _checksums(folder: Path) -> dict[str, str]:
    """SHA-256 of every file but ``striate.json``, by its path in the folder."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {
        file.relative_to(folder).as_posix(): _sha256(file)
        for file in files
        if file != folder / STRIATE
    }


def _sha256(file: Path) -> str:
    with open(file, "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def verified(folder: Path) -> dict[str, Any]:
    """What ``striate.json`` says, after a look at every file that it names.

    Raises
    ------
    DataError : a file that is missing or was changed, another version, no such description
    """
    path = folder / STRIATE
    about = read_json(path)
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        raise DataError(f"{path} holds something else than the description of a Striate network")
    if about.get("version") != VERSION:
        raise DataError(f"{path} has version {about.get('version')}; this Striate reads {VERSION}")
    if about.get("checksum") != _own_checksum(about):
        raise DataError(
            f"{path} is damaged or was changed after it was written: its checksum is wrong"
        )
    files = about.get("files")
    if not isinstance(files, dict) or not files:
        raise DataError(f"{path}: the list 'files' is missing")
    for name, sha256 in files.items():
        file = folder / name
        if not file.is_file():
            raise DataError(f"{file} is missing")
        if _sha256(file) != sha256:
            raise DataError(
                f"{file} is damaged or was changed after it was written: its checksum is wrong. If "
                f"the change was meant, remove {path}: then the folder is read as that of any "
                "other program"
            )
    return about


def check_replaceable(folder: Path, overwrite: bool) -> None:
    """Raise `InputError` unless `folder` is a network of ours, nothing else, and may go."""
    names = sorted(item.name for item in folder.iterdir())
    some = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    if not is_striate(folder):
        raise InputError(
            f"the folder {folder} holds something else ({some}); name one that does not exist yet"
        )
    if not overwrite:
        raise InputError(f"{folder} holds a network; overwrite=True replaces it")
    try:
        files = read_json(folder / STRIATE)["files"]
        known = {STRIATE, *files}
    except (DataError, LookupError, TypeError) as error:
        raise InputError(
            f"the folder {folder} has a damaged {STRIATE}, so that it is not known whose its files "
            f"are ({some}); remove it yourself"
        ) from error
    others = sorted(
        str(file.relative_to(folder))
        for file in folder.rglob("*")
        if not file.is_dir() and file.relative_to(folder).as_posix() not in known
    )
    if others:
        raise InputError(
            f"the folder {folder} holds files that to_sonata did not write ({others[0]}"
            f"{', ...' if len(others) > 1 else ''}); move them away first"
        )
