"""A `Network` as one HDF5 file.

Layout: a block of 512 bytes with the checksum of what follows, which HDF5 skips; attributes
``format``, ``version``, ``model``, ``seed``, ``dale``, ``provenance`` (JSON) and ``receptors``
(JSON); groups ``neurons`` (a dataset a column), ``synapses`` and ``inputs/NAME`` (datasets ``pre
post weight delay_ms receptor``; attributes ``n``, ``rate_Hz``; group ``sources``).

The checksum comes first because the HDF5 library can end the whole process on a damaged file.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from toolkit.errors import DataError, InputError, StriateError
from toolkit.files import whole_file
from toolkit.network import Input, Network, Receptor, Synapses
from toolkit.table import Table

FORMAT, VERSION = "striate network", 1
BLOCK = 512
# What HDF5, JSON and numpy raise where bytes are not what they should be.
_DAMAGE = (
    *(OSError, RuntimeError, ValueError, TypeError, LookupError, AttributeError),
    *(MemoryError, ArithmeticError),
)
PARTS = ("pre", "post", "weight", "delay_ms", "receptor")
SynapsesOf = Callable[[h5py.Group, Path], Synapses]


def _new_group(parent: h5py.Group, name: str) -> h5py.Group:
    return parent.create_group(_checked(name), track_order=True)


def _checked(name: str) -> str:
    if not name or "/" in name or "\0" in name or set(name) == {"."}:
        raise InputError(f"an HDF5 file cannot hold the name {name!r}; use one without '/' or '.'")
    return name


def _json(what: str, value: Any) -> str:
    try:
        return json.dumps(value)
    except (TypeError, ValueError) as error:
        raise InputError(f"the {what} of a network must be plain JSON values: {error}") from error


def _plain(receptor: Receptor) -> list[Any]:
    """Its values for JSON; those of the slow component only where there is one."""
    values = dataclasses.astuple(receptor)
    return [value for value in values if value is not None]


def _receptor(tau_ms: float, kernel: str, *slow: float) -> Receptor:
    return Receptor(tau_ms, kernel, *slow)


def _write_table(group: h5py.Group, table: Table) -> None:
    for name, values in table.items():
        if values.dtype.kind == "U":
            values = np.char.encode(values, "utf-8").astype("S")  # also where empty
        group.create_dataset(_checked(name), data=values)


def _write_synapses(group: h5py.Group, synapses: Synapses) -> None:
    for part in PARTS:
        group.create_dataset(part, data=getattr(synapses, part))


def save(network: Network, path: str | Path) -> None:
    """Write `network` to `path`, whole or not at all.

    Raises
    ------
    InputError : no such folder, provenance that is not plain JSON, a name that HDF5 does not allow
    """
    with whole_file(path) as aside:
        with h5py.File(aside, "w", userblock_size=BLOCK) as file:
            _write(network, file)
        seal(aside)


def seal(path: str | Path) -> None:
    """Write the checksum of a network file again, after it was changed on purpose."""
    with open(path, "r+b") as file:
        start = _start(file)
        file.seek(0)
        file.write(start)


def _start(file: io.BufferedReader | io.BufferedRandom) -> bytes:
    """What the first block must be, given the rest."""
    file.seek(BLOCK)
    checksum = hashlib.file_digest(file, "sha256").hexdigest()
    return f"{FORMAT}\nsha256 {checksum}\n".encode().ljust(BLOCK, b"\0")


def _write(network: Network, file: h5py.File) -> None:
    file.attrs["format"], file.attrs["version"] = FORMAT, VERSION
    file.attrs["model"], file.attrs["seed"] = network.model, network.seed
    file.attrs["dale"] = network.dale
    file.attrs["provenance"] = _json("provenance", dict(network.provenance))
    file.attrs["receptors"] = json.dumps({k: _plain(r) for k, r in network.receptors.items()})
    _write_table(_new_group(file, "neurons"), network.neurons)
    _write_synapses(_new_group(file, "synapses"), network.synapses)
    inputs = _new_group(file, "inputs")
    for name, source in network.inputs.items():
        group = _new_group(inputs, name)
        group.attrs["n"] = source.n
        if source.rate_Hz is not None:
            group.attrs["rate_Hz"] = source.rate_Hz
        _write_synapses(group, source.synapses)
        if source.sources is not None:
            _write_table(_new_group(group, "sources"), source.sources)


def _group(parent: h5py.Group, name: str, path: Path) -> h5py.Group:
    group = parent.get(name)
    if not isinstance(group, h5py.Group):
        raise DataError(f"{path}: {parent.name}/{name} is missing or no group")
    return group


def _array(group: h5py.Group, name: str, path: Path) -> np.ndarray:
    """A dataset of one dimension."""
    try:
        item = group[name]
        if not isinstance(item, h5py.Dataset):
            raise ValueError("it is a group")
        # A damaged shape can ask for more memory than there is.
        if item.nbytes > path.stat().st_size:
            raise ValueError(f"of shape {item.shape}, which is more than the file holds")
        values = item[()]
        if not isinstance(values, np.ndarray) or values.ndim != 1:
            raise ValueError(f"of shape {item.shape}; one dimension is needed")
    except _DAMAGE as error:
        raise DataError(
            f"{path}: {group.name}/{name} is missing or unreadable ({error})"
        ) from error
    return values


def _attribute(item: Any, name: str, path: Path) -> Any:
    if name not in item.attrs:
        raise DataError(f"{path}: the attribute {name!r} of {item.name} is missing")
    return item.attrs[name]


def _whole_number(item: Any, name: str, path: Path) -> int:
    value = np.asarray(_attribute(item, name, path))
    whole = not value.shape and value.dtype.kind in "biuf" and np.isfinite(value)
    if not whole or value != np.rint(value):
        raise DataError(
            f"{path}: the attribute {name!r} of {item.name} must be a whole number, "
            f"got {value[()]!r}"
        )
    return int(value)


def _json_attribute(item: Any, name: str, path: Path) -> dict[str, Any]:
    try:
        found = json.loads(_attribute(item, name, path))
        if not isinstance(found, dict):
            raise TypeError(f"a JSON object is needed, got {found!r}")
        return found
    except DataError:
        raise
    except _DAMAGE as error:
        raise DataError(f"{path}: the attribute {name!r} of {item.name}: {error}") from error


def _read_receptors(file: h5py.File, path: Path) -> dict[str, Receptor]:
    try:
        listed = _json_attribute(file, "receptors", path)
        return {name: _receptor(*values) for name, values in listed.items()}
    except TypeError as error:
        raise DataError(f"{path}: the attribute 'receptors' of {file.name}: {error}") from error


def _read_table(group: h5py.Group, path: Path) -> Table:
    columns: dict[str, np.ndarray] = {}
    for name in group:
        values = _array(group, name, path)
        if values.dtype.kind == "S":
            try:
                values = np.char.decode(values, "utf-8").astype("U")
            except UnicodeDecodeError as error:
                raise DataError(f"{path}: {group.name}/{name} is no UTF-8 ({error})") from error
        n = len(next(iter(columns.values()), values))
        if len(values) != n:
            raise DataError(f"{path}: {group.name}/{name} has {len(values)} rows, others have {n}")
        columns[name] = values
    return Table(columns)


def read_synapses(group: h5py.Group, path: Path) -> Synapses:
    """All synapses of a group, checked."""
    return checked_synapses({part: _array(group, part, path) for part in PARTS}, group, path)


def checked_synapses(arrays: dict[str, np.ndarray], group: h5py.Group, path: Path) -> Synapses:
    """Synapses of the arrays by name that were read from a group; `DataError` if impossible."""
    lengths = [len(array) for array in arrays.values()]
    usual = max(lengths, key=lengths.count)
    for part, array in arrays.items():
        if array.dtype.kind not in ("f" if part in ("weight", "delay_ms") else "iu"):
            raise DataError(f"{path}: {group.name}/{part} has the wrong type {array.dtype}")
        if len(array) != usual:
            raise DataError(
                f"{path}: {group.name}/{part} has {len(array)} rows, the others have {usual}"
            )
    try:
        return Synapses(**arrays)
    except InputError as error:
        raise DataError(f"{path}: {group.name} is impossible: {error}") from error


def _read_input(group: h5py.Group, path: Path, synapses_of: SynapsesOf) -> Input:
    try:
        return Input(
            n=_whole_number(group, "n", path),
            synapses=synapses_of(group, path),
            rate_Hz=float(group.attrs["rate_Hz"]) if "rate_Hz" in group.attrs else None,
            sources=_read_table(_group(group, "sources", path), path)
            if "sources" in group
            else None,
        )
    except InputError as error:
        raise DataError(f"{path}: {group.name} is impossible: {error}") from error


def load(path: str | Path) -> Network:
    """Read a network file.

    Raises
    ------
    DataError : the file is absent, no network file, damaged, or holds an impossible network
    """
    with opened(path) as file:
        return read(file, Path(path), read_synapses)


def read(file: h5py.File, path: Path, synapses_of: SynapsesOf) -> Network:
    """The network in an open file, with the synapses that `synapses_of` takes of each group."""
    inputs = _group(file, "inputs", path)
    return Network(
        neurons=_read_table(_group(file, "neurons", path), path),
        synapses=synapses_of(_group(file, "synapses", path), path),
        receptors=_read_receptors(file, path),
        inputs={
            name: _read_input(_group(inputs, name, path), path, synapses_of) for name in inputs
        },
        model=str(_attribute(file, "model", path)),
        seed=_whole_number(file, "seed", path),
        provenance=_json_attribute(file, "provenance", path),
        dale=bool(_whole_number(file, "dale", path)),
    )


@contextmanager
def opened(path: str | Path) -> Iterator[h5py.File]:
    """A network file for reading, once its checksum, format and version are right.

    Raises
    ------
    DataError : see `load`; also in place of what HDF5 and numpy raise while it is read
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"there is no network file {path}; `striate build --out {path}` makes one")
    try:
        with open(path, "rb") as raw:
            start = raw.read(BLOCK)
            if not start.startswith(FORMAT.encode()):
                raise DataError(f"{path} is not the file of a Striate network")
            if start != _start(raw):
                raise DataError(
                    f"{path} is damaged or was changed after it was written: its checksum is wrong"
                )
        with h5py.File(path, "r") as file:
            if not np.array_equal(_attribute(file, "format", path), FORMAT):
                raise DataError(f"{path}: the attribute 'format' of / is not {FORMAT!r}")
            version = _whole_number(file, "version", path)
            if version != VERSION:
                raise DataError(f"{path} has version {version}; this Striate reads {VERSION}")
            yield file
    except DataError:
        raise
    except StriateError as error:
        raise DataError(f"{path} holds an impossible network: {error}") from error
    except _DAMAGE as error:
        raise DataError(f"{path} is damaged: {error}") from error
