"""The configuration of a SONATA circuit: which files, by any program."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters.sonata.folder import CIRCUIT, SIMULATION, read_json
from toolkit.errors import DataError

NAMES = (CIRCUIT, SIMULATION, "config.json", "config.circuit.json")
NULL = {"", "NULL", "NONE", "None", "NaN", "nan"}  # what types' tables have for no value
MAX_TYPES_FILE = 2**28
Types = dict[int, dict[str, str]]


@dataclass(frozen=True)
class Config:
    """Files of a circuit, (HDF5, types or None) of nodes and of edges, and parameter folders."""

    path: Path
    nodes: list[tuple[Path, Path | None]]
    edges: list[tuple[Path, Path | None]]
    components: dict[str, Path]

    def parameters(self, component: str, name: str, where: str) -> dict[str, Any]:
        """A file of parameters; `where` names who asks for it."""
        if component not in self.components:
            raise DataError(f"{self.path}: 'components' lacks {component!r}, which {where} needs")
        values = read_json(self.components[component] / name)
        if not isinstance(values, dict):
            raise DataError(f"{self.components[component] / name} holds no parameters by name")
        return values


def find(path: str | Path) -> Path:
    """The configuration at `path`, which is its file or its folder."""
    path = Path(path)
    if path.is_file():
        return path
    if not path.is_dir():
        raise DataError(f"there is no SONATA folder or configuration {path}; to_sonata makes one")
    for name in NAMES:
        if (path / name).is_file():
            return path / name
    raise DataError(f"{path} holds no SONATA configuration ({', '.join(NAMES)})")


def read(path: Path) -> Config:
    """The configuration in a file, with that of its circuit where it names another file.

    Paths are relative to the configuration's folder; variables of ``manifest`` and BMTK's
    ``${configdir}`` and ``${workingdir}`` are put in.

    Raises
    ------
    DataError : a section that is missing, a variable that is not known
    """
    values = read_json(path)
    if not isinstance(values, dict):
        raise DataError(f"{path} is no SONATA configuration")
    resolve = _Resolver(path, values.get("manifest", {}))
    if isinstance(values.get("network"), str):
        return read(resolve(values["network"]))
    networks = values.get("networks")
    if not isinstance(networks, dict) or not isinstance(networks.get("nodes"), list):
        raise DataError(f"{path}: the list of files 'networks' / 'nodes' is missing")

    def files(kind: str) -> list[tuple[Path, Path | None]]:
        found: list[tuple[Path, Path | None]] = []
        entries = networks.get(f"{kind}s", [])
        for entry in entries if isinstance(entries, list) else [None]:
            if not isinstance(entry, dict) or not isinstance(entry.get(f"{kind}s_file"), str):
                raise DataError(f"{path}: an entry of 'networks' / '{kind}s' names no file")
            name = entry[f"{kind}s_file"]
            types = entry.get(f"{kind}_types_file")
            if not isinstance(types, str) or types in NULL:
                found.append((resolve(name), None))
            else:
                found.append((resolve(name), resolve(types)))
        return found

    components = values.get("components", {})
    if not isinstance(components, dict):
        raise DataError(f"{path}: 'components' must be folders by name")
    folders = {k: resolve(v) for k, v in components.items() if isinstance(v, str)}
    return Config(path, files("node"), files("edge"), folders)


class _Resolver:
    """Paths of a configuration: variables put in, relative to its folder."""

    def __init__(self, path: Path, manifest: Any):
        if not isinstance(manifest, dict) or not all(
            isinstance(value, str) for value in manifest.values()
        ):
            raise DataError(f"{path}: 'manifest' must be folders by variable")
        self._path = path
        self._variables = {
            "configdir": str(path.resolve().parent),
            "workingdir": os.getcwd(),
            **{name.strip("${}"): value for name, value in manifest.items()},
        }

    def __call__(self, text: str) -> Path:
        given = text
        for _ in range(20):  # variables may name others
            if "$" not in text:
                return self._path.resolve().parent / text
            for name in sorted(self._variables, key=len, reverse=True):
                for form in ("${" + name + "}", "$" + name):
                    text = text.replace(form, self._variables[name])
            if len(text) > 10_000:
                break
        raise DataError(f"{self._path}: the path {given!r} has a variable that 'manifest' lacks")


def read_types(path: Path | None, key: str) -> Types:
    """A table of types by their ids; fields without a value are left out.

    Raises
    ------
    DataError : no such column, an id that is no integer or comes twice, rows of other lengths
    """
    if path is None:
        return {}
    try:
        if path.stat().st_size > MAX_TYPES_FILE:
            raise DataError(f"{path} is too large for a table of types")
        with open(path, encoding="utf-8", newline="") as file:
            rows = [row for row in csv.reader(file, delimiter=" ", skipinitialspace=True) if row]
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from error
    except (ValueError, csv.Error) as error:
        raise DataError(f"{path} is no table of types ({error})") from error
    if not rows or key not in rows[0] or len(set(rows[0])) < len(rows[0]):
        raise DataError(
            f"{path} has no column {key!r}, or one twice; columns are separated by spaces"
        )
    found: Types = {}
    for line, row in enumerate(rows[1:], start=2):
        if row[-1] == "" and len(row) == len(rows[0]) + 1:
            row = row[:-1]  # a space at the end of the line
        if len(row) != len(rows[0]):
            raise DataError(f"{path}, row {line}: {len(row)} fields, {len(rows[0])} are needed")
        values = dict(zip(rows[0], row, strict=True))
        try:
            number = int(float(values.pop(key)))
        except (ValueError, OverflowError):
            raise DataError(f"{path}, row {line}: {key} is no integer") from None
        if number in found:
            raise DataError(f"{path}, row {line}: the {key} {number} comes twice")
        found[number] = {name: value for name, value in values.items() if value not in NULL}
    return found


def number(row: Mapping[str, str], name: str, where: str) -> float | None:
    """A number of a row of types, None where there is none."""
    if name not in row:
        return None
    try:
        return float(row[name])
    except ValueError:
        raise DataError(f"{where}: {name} must be a number, got {row[name]!r}") from None
