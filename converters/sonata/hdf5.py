"""HDF5 files read by a process of their own.

The HDF5 library can end the whole process on a damaged file, or take any time and memory. Here it
works in a child process of limited memory, which puts plain numbers into a piece of shared memory;
if it dies or falls silent, that is a `DataError` like any other. It costs 0.2 s to start.
"""

from __future__ import annotations

import json
import mmap
import os
import selectors
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from toolkit.errors import DataError

ANSWER_S = 60.0  # longest wait for an answer of at most BLOCK rows
BLOCK = 2**20  # rows read at once
MAX_ROW = 16  # bytes: two 64-bit numbers
MAX_ANSWER = 2**28
# DEFLATE, the filter of all SONATA files known to us, compresses 1032 to 1 at best (zlib).
MAX_RATIO = 1100
_SCRIPT = Path(__file__).with_name("hdf5_process.py")


class Hdf5Reader:
    """The child process, started by the first file; a context manager that ends it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._n_files = 0
        self.memory: mmap.mmap | None = None

    def __enter__(self) -> Hdf5Reader:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    pipe.close()

    def _start(self) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            "OPENBLAS_NUM_THREADS": "1",
            "HDF5_PLUGIN_PRELOAD": "::",  # no filters from elsewhere
            "HDF5_USE_FILE_LOCKING": "FALSE",  # reading needs no write permission
        }
        with tempfile.TemporaryFile() as file:
            file.truncate(BLOCK * MAX_ROW)
            self.memory = mmap.mmap(file.fileno(), BLOCK * MAX_ROW)
            return subprocess.Popen(
                [sys.executable, "-P", str(_SCRIPT), str(file.fileno())],
                pass_fds=(file.fileno(),),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                bufsize=0,
                env=environment,
            )

    def open(self, path: str | Path) -> Hdf5File:
        """A file, with what is in it.

        Raises `DataError` where it is absent or cannot be read.
        """
        path = Path(path)
        if not path.is_file():
            raise DataError(f"there is no file {path}")
        with open(path, "rb") as raw:
            if raw.read(1) == b"":
                raise DataError(f"{path} is empty")
        items = self.ask({"do": "open", "path": str(path.resolve())}, path, "")
        self._n_files += 1
        return Hdf5File(self, self._n_files - 1, path, items)

    def ask(self, request: dict[str, Any], path: Path, name: str) -> Any:
        """The child's answer; `path` and `name` are for the error."""
        where = f"{path}: {name}" if name else f"{path}"
        self._process = self._process or self._start()
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            (size,) = struct.unpack("<Q", self._take(8))
            if size > MAX_ANSWER:
                raise EOFError
            answer = json.loads(self._take(size))
        except TimeoutError:
            raise DataError(
                f"{where} is damaged: the HDF5 library did not end in {ANSWER_S:g} s"
            ) from None
        except (EOFError, BrokenPipeError):
            raise DataError(f"{where} is damaged: the HDF5 library crashed on it") from None
        if "error" in answer:
            raise DataError(f"{where} cannot be read ({answer['error']})")
        return answer["is"]

    def _take(self, n: int) -> bytearray:
        """The next `n` bytes from the child."""
        assert self._process is not None and self._process.stdout is not None
        out = self._process.stdout
        taken, got, until = bytearray(n), 0, time.monotonic() + ANSWER_S
        with selectors.DefaultSelector() as selector:
            selector.register(out, selectors.EVENT_READ)
            while got < n:
                if not selector.select(max(until - time.monotonic(), 0)):
                    raise TimeoutError
                count = out.readinto(memoryview(taken)[got:])  # type: ignore[attr-defined]
                if not count:
                    raise EOFError
                got += count
        return taken


class Hdf5File:
    """A file opened by `Hdf5Reader`; names are paths with a leading ``/``."""

    def __init__(self, reader: Hdf5Reader, number: int, path: Path, items: dict[str, Any]):
        self._reader, self._number, self._items = reader, number, items
        self.path, self._size = path, path.stat().st_size

    def __contains__(self, name: object) -> bool:
        return name in self._items

    def names(self, group: str) -> list[str]:
        """Names directly in a group; `DataError` where it is missing or no group."""
        if group not in self._items or "shape" in self._items[group]:
            raise DataError(f"{self.path}: the group {group} is missing")
        start = f"{group}/"
        return [
            name[len(start) :]
            for name in self._items
            if name.startswith(start) and "/" not in name[len(start) :]
        ]

    def datasets(self, group: str) -> list[str]:
        """Names of the datasets directly in a group."""
        return [name for name in self.names(group) if "shape" in self._items[f"{group}/{name}"]]

    def attribute(self, item: str, name: str) -> Any:
        """An attribute; `DataError` where it is missing."""
        if name not in self._items[item]["attributes"]:
            raise DataError(f"{self.path}: the attribute {name!r} of {item or '/'} is missing")
        return self._items[item]["attributes"][name]

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a dataset; `DataError` where it is missing, or claims to be impossibly large."""
        item = self._items.get(name)
        if item is None:
            raise DataError(f"{self.path}: the dataset {name} is missing")
        if item.get("shape") is None or not item["type"]:
            raise DataError(f"{self.path}: {name} is no dataset of numbers or text")
        width = 1 if item["type"] == "text" else np.dtype(item["type"]).itemsize
        size = width
        if width * (item["shape"][1] if len(item["shape"]) > 1 else 1) > MAX_ROW:
            raise DataError(f"{self.path}: {name} has rows of more than {MAX_ROW} bytes")
        for n in item["shape"]:
            size *= n
        if size > MAX_RATIO * self._size:
            raise DataError(
                f"{self.path}: {name} of shape {tuple(item['shape'])} is more than a file of "
                f"{self._size} bytes can hold"
            )
        return tuple(item["shape"])

    def kind(self, name: str) -> str:
        """Kind of a dataset: ``"i"``, ``"u"``, ``"f"`` or ``"b"`` as in NumPy, ``"U"`` for text."""
        self.shape(name)
        kind = self._items[name]["type"]
        return "U" if kind == "text" else np.dtype(kind).kind

    def blocks(
        self, name: str, n: int, kinds: str, width: int | None = None
    ) -> Iterator[tuple[slice, np.ndarray]]:
        """The rows of a dataset, some at a time, each good until the next are asked for.

        Parameters
        ----------
        name : of the dataset
        n : number of rows that it must have
        kinds : NumPy kinds that it may have, e.g. ``"iu"``
        width : number of columns that it must have, None for a flat one

        Raises
        ------
        DataError : another shape or type, or what cannot be read
        """
        shape, needed = self.shape(name), (n,) if width is None else (n, width)
        if shape != needed:
            raise DataError(f"{self.path}: {name} has shape {shape}, {needed} is needed")
        if self.kind(name) not in kinds:
            words = {"iu": "integers", "U": "text"}.get(kinds, "numbers")
            what = "text" if self.kind(name) == "U" else self._items[name]["type"]
            raise DataError(f"{self.path}: {name} must be {words}, got {what}")
        text, columns = self.kind(name) == "U", width or 1
        for start in range(0, n, BLOCK):
            stop = min(start + BLOCK, n)
            request = {"do": "read", "file": self._number, "name": name, "text": text}
            words = self._reader.ask(request | {"start": start, "stop": stop}, self.path, name)
            if text:
                values = np.array(words, dtype=str)
            else:
                kind, count = self._items[name]["type"], (stop - start) * columns
                assert self._reader.memory is not None
                values = np.frombuffer(self._reader.memory, kind, count)
            yield slice(start, stop), values.reshape(-1, width) if width else values

    def read(self, name: str, n: int, kinds: str, width: int | None = None) -> np.ndarray:
        """All rows of a dataset; arguments and errors as of `blocks`."""
        if self.kind(name) == "U":
            parts = [values for _, values in self.blocks(name, n, kinds, width)]
            return np.concatenate([np.zeros(0, dtype=str), *parts])
        shape = n if width is None else (n, width)
        whole: np.ndarray | None = None
        for rows, values in self.blocks(name, n, kinds, width):
            if whole is None:
                whole = np.empty(shape, dtype=values.dtype)
            whole[rows] = values
        return np.empty(shape, dtype=self._items[name]["type"]) if whole is None else whole
