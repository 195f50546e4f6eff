"""Damage to files, drawn at random: bytes, HDF5 items, JSON, tables of types."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

Rng = np.random.Generator


def bytes_of(file: Path, rng: Rng) -> str:
    """Cut a file, or change, clear or repeat some of its bytes; says what was done."""
    content = bytearray(file.read_bytes())
    place = int(rng.integers(len(content)))
    how = rng.choice(["cut", "flip", "flip", "clear", "insert"])
    if how == "cut":
        del content[place:]
    elif how == "flip":
        content[place] ^= int(rng.integers(1, 256))
    elif how == "clear":
        content[place : place + 64] = bytes(len(content[place : place + 64]))
    else:
        content[place:place] = content[place : place + 16] or b"x"
    file.write_bytes(bytes(content))
    return f"{file.name}: {how} at {place}"


def _replace(file: h5py.File, name: str, values: Any) -> None:
    attributes = dict(file[name].attrs)
    del file[name]
    file[name] = values
    file[name].attrs.update(attributes)


def _shapes(values: np.ndarray, rng: Rng) -> Any:
    """Values in another shape: shorter, longer, two-dimensional, single, none."""
    options: list[Any] = [
        values[:-1],
        np.concatenate([values, values[:1]]),
        np.stack([values, values]),
        values[0],
        h5py.Empty("f8"),
    ]
    return options[int(rng.integers(len(options)))]


def _types(values: np.ndarray, rng: Rng) -> Any:
    """Values of a type that they cannot have."""
    n = len(values)
    options: list[Any] = [
        np.array([b"word"] * n),
        np.full(n, 1 + 2j),
        np.zeros(n, dtype=[("a", "i4"), ("b", "f8")]),
        np.array([b"\xff\xfe"] * n),
    ]
    return options[int(rng.integers(len(options)))]


def _numbers(values: np.ndarray, rng: Rng) -> Any:
    """Numbers of the right type that cannot be: not finite, or ids of nothing."""
    changed = values.copy()
    k = int(rng.integers(len(values)))
    if values.dtype.kind == "f":
        changed[k] = rng.choice([np.nan, np.inf, -np.inf])
        return changed
    if rng.random() < 0.3:
        return changed.astype(np.float64) + 0.5
    if values.dtype.kind == "u" and values.dtype.itemsize < 8:
        changed[k] = np.iinfo(values.dtype).max
        return changed
    changed = changed.astype(np.int64)
    changed[k] = rng.choice([-1, 1000, 2**31, 2**40, -(2**62)])
    return changed


def _giant(file: h5py.File, name: str) -> None:
    """Claim 1 TB; nothing of it is stored."""
    kind = file[name].dtype
    attributes = dict(file[name].attrs)
    del file[name]
    file.create_dataset(name, shape=(2**40,), dtype=kind, chunks=(1024,))
    file[name].attrs.update(attributes)


def item_of(file: Path, names: Iterable[str], rng: Rng, *, missing: bool = True) -> str:
    """Damage one of the named datasets or groups of an HDF5 file; says what was done."""
    listed = list(names)
    name = listed[int(rng.integers(len(listed)))]
    with h5py.File(file, "r+") as opened:
        item = opened[name]
        if isinstance(item, h5py.Group):
            how = rng.choice(["missing", "an array"])
            del opened[name]
            if how == "an array":
                opened[name] = np.arange(3)
            return f"{file.name}: {name} {how}"
        values = item[()]
        options = ["shape", "type", "number", "giant", "a group"] + ["missing"] * missing
        if values.dtype.kind not in "iuf":
            options.remove("number")
        how = str(rng.choice(options))
        if how in ("missing", "a group"):
            del opened[name]
            if how == "a group":
                opened.create_group(name)
        elif how == "giant":
            _giant(opened, name)
        else:
            change = {"shape": _shapes, "type": _types, "number": _numbers}[how]
            _replace(opened, name, change(values, rng))
    return f"{file.name}: {name} {how}"


def attribute_of(file: Path, names: Iterable[tuple[str, str]], rng: Rng) -> str:
    """Take one of the (item, attribute) of an HDF5 file away, or make it another kind."""
    listed = list(names)
    item, name = listed[int(rng.integers(len(listed)))]
    values: list[Any] = [None, "x", 7.5, [1, 2, 3], np.bytes_(b"\xff"), h5py.Empty("f8"), np.nan]
    value = values[int(rng.integers(len(values)))]
    with h5py.File(file, "r+") as opened:
        del opened[item].attrs[name]
        if value is not None:
            opened[item].attrs[name] = value
    return f"{file.name}: attribute {name} of {item} made {value!r}"


def json_of(
    file: Path, rng: Rng, *, optional: Iterable[str] = (), spared: Iterable[str] = ()
) -> str:
    """Take a value of a JSON file away, or make it another kind; says what was done.

    What is named in `optional` is not taken away, what is in `spared` not touched.
    """
    content = json.loads(file.read_text())
    places: list[tuple[Any, Any]] = []

    def walk(inside: Any) -> None:
        pairs = inside.items() if isinstance(inside, dict) else enumerate(inside)
        for key, value in list(pairs):
            if key in set(spared):
                continue
            places.append((inside, key))
            if isinstance(value, dict | list):
                walk(value)

    walk(content)
    inside, key = places[int(rng.integers(len(places)))]
    old = inside[key]
    if isinstance(inside, dict) and key not in set(optional) and rng.random() < 0.4:
        del inside[key]
        how = "missing"
    else:
        others = [v for v in (None, "x", 7.5, True, [], {}, [[]]) if type(v) is not type(old)]
        inside[key] = others[int(rng.integers(len(others)))]
        how = f"{old!r} made {inside[key]!r}"[:80]
    file.write_text(json.dumps(content))
    return f"{file.name}: {key} {how}"


def table_of(file: Path, rng: Rng) -> str:
    """Damage a table of types in a way that cannot be another good table; says what was done."""
    rows = [line.split(" ") for line in file.read_text().splitlines()]
    row = int(rng.integers(1, len(rows)))
    changes: dict[str, Callable[[], Any]] = {
        "a row less": lambda: rows.pop(row),
        "a row twice": lambda: rows.append(rows[row]),
        "a field less": lambda: rows[row].pop(),
        "a field more": lambda: rows[row].append("more"),
        "an id that is none": lambda: rows[row].__setitem__(0, "a1"),
        "another id": lambda: rows[row].__setitem__(0, "77"),
        "no header": lambda: rows.pop(0),
        "a column twice": lambda: rows[0].__setitem__(2, rows[0][1]),
        "an open quote": lambda: rows[row].__setitem__(1, '"open'),
        "bytes": lambda: rows[row].__setitem__(1, "\udcff"),
        "empty": rows.clear,
    }
    how = str(rng.choice(list(changes)))
    changes[how]()
    text = "\n".join(" ".join(fields) for fields in rows) + "\n"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    return f"{file.name}: {how} (row {row})"
