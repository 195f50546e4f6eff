"""The program that reads HDF5 files for another process; see `converters.sonata.hdf5`.

It runs as a script and imports nothing of Striate. Requests come as lines of JSON; an answer is its
length and JSON. Numbers of a dataset go into the memory that both processes share, the file whose
number is the argument.
"""

from __future__ import annotations

import json
import mmap
import os
import resource
import struct
import sys
from typing import Any

MAX_MEMORY, MAX_CPU_S = 4 * 2**30, 3600
MAX_ITEMS, MAX_DEPTH, MAX_ATTRIBUTE = 20_000, 10, 1000
CHUNK_CACHE = 64 * 2**20


def _plain(value: Any) -> Any:
    """An attribute as a JSON value."""
    import numpy as np

    if isinstance(value, bytes):
        return value.decode("utf-8")
    if isinstance(value, np.ndarray | np.generic):
        if value.size > MAX_ATTRIBUTE:
            raise ValueError("too long")
        value = value.tolist()
        return value.decode("utf-8") if isinstance(value, bytes) else value
    return value


def _attributes(item: Any) -> dict[str, Any]:
    values = {}
    for name in item.attrs:
        try:
            value = _plain(item.attrs[name])
            json.dumps(value)
        except (OSError, RuntimeError, ValueError, TypeError, LookupError):
            continue  # as good as missing; whoever needs it says so
        values[name] = value
    return values


def _type(dataset: Any) -> str:
    """``"text"``, a NumPy type, or nothing for what is not read."""
    import h5py

    if dataset.is_virtual or dataset.external:  # these would read other files
        return ""
    if h5py.check_string_dtype(dataset.dtype) is not None:
        return "text"
    return dataset.dtype.str if dataset.dtype.kind in "iufb" else ""


def contents(file: Any) -> dict[str, dict[str, Any]]:
    """Everything in a file by its path: attributes of all, shape and type of datasets."""
    import h5py

    found: dict[str, dict[str, Any]] = {"": {"attributes": _attributes(file)}}
    groups = [("", file, 0)]
    while groups:
        above, group, depth = groups.pop()
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                continue  # soft and external links may lead anywhere
            item, path = group[name], f"{above}/{name}"
            if len(found) >= MAX_ITEMS or depth >= MAX_DEPTH:
                raise ValueError(f"more than {MAX_ITEMS} items or groups {MAX_DEPTH} deep")
            found[path] = {"attributes": _attributes(item)}
            if isinstance(item, h5py.Group):
                groups.append((path, item, depth + 1))
            elif isinstance(item, h5py.Dataset):
                found[path] |= {"shape": item.shape, "type": _type(item)}
            else:
                del found[path]
    return found


def answer(files: list[Any], memory: mmap.mmap, request: dict[str, Any]) -> Any:
    """What a request asks for: to ``open`` a file, or to ``read`` rows of a dataset."""
    import h5py
    import numpy as np

    if request["do"] == "open":
        files.append(h5py.File(request["path"], "r", rdcc_nbytes=CHUNK_CACHE))
        return contents(files[-1])
    dataset = files[request["file"]][request["name"]]
    rows = slice(request["start"], request["stop"])
    if request["text"]:
        return dataset.asstr()[rows].tolist()
    shape = (rows.stop - rows.start, *dataset.shape[1:])
    shared = np.frombuffer(memory, dataset.dtype, int(np.prod(shape))).reshape(shape)
    dataset.read_direct(shared, source_sel=np.s_[rows])
    return None


def serve() -> None:
    """Answer requests until there are no more."""
    for what, limit in ((resource.RLIMIT_AS, MAX_MEMORY), (resource.RLIMIT_CPU, MAX_CPU_S)):
        hard = resource.getrlimit(what)[1]
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(what, (limit, hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash is no news
    files: list[Any] = []
    memory = mmap.mmap(int(sys.argv[1]), 0)
    out = os.fdopen(os.dup(1), "wb")
    for line in sys.stdin.buffer:
        try:
            reply = json.dumps({"is": answer(files, memory, json.loads(line))})
        except Exception as error:  # noqa: BLE001  whatever it is, the other process says it
            reply = json.dumps({"error": f"{error}" or type(error).__name__})
        out.write(struct.pack("<Q", len(reply)) + reply.encode())
        out.flush()


if __name__ == "__main__":
    serve()
