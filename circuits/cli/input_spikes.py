"""Recorded spikes that drive a simulation: CSV, or HDF5 as SONATA and our own runs have it."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from toolkit.errors import DataError, unknown
from toolkit.recording import Recording

HEADER = ("time_ms", "source")


def read_input_spikes(
    path: Path, n_sources: Mapping[str, int], duration_ms: float
) -> tuple[dict[str, Recording], int]:
    """The spikes of every input in a file, and how many came after `duration_ms` and are left out.

    Parameters
    ----------
    path : ``.csv`` with the columns ``time_ms``, ``source`` (0, 1, ...) and, if the network has
        several external inputs, ``input``; or ``.h5`` with the groups ``spikes/INPUT``, each
        ``timestamps`` in ms and ``node_ids``
    n_sources : number of sources of each external input of the network, by name
    duration_ms : length of the run

    Raises
    ------
    DataError : no such file, another format, a name, number or time that cannot be; names the row
    """
    if not path.is_file():
        raise DataError(f"there is no file {path}")
    if not n_sources:
        raise DataError("the network has no external input that spikes could drive")
    if path.suffix == ".csv":
        spikes = _from_csv(path, n_sources)
    elif path.suffix in (".h5", ".hdf5"):
        spikes = _from_hdf5(path, n_sources)
    else:
        raise DataError(f"{path}: input spikes are read from .csv and .h5 files")
    late, recordings = 0, {}
    for name, (times_ms, sources, rows) in spikes.items():
        n = n_sources[name]
        for wrong, what in (
            (~np.isfinite(times_ms) | (times_ms <= 0), "a time must be above 0 ms"),
            ((sources < 0) | (sources >= n), f"input {name!r} has the sources 0 to {n - 1}"),
        ):
            if wrong.any():
                at = int(np.argmax(wrong))
                raise DataError(
                    f"{path}, row {rows[at]}: {what}; got time {times_ms[at]:g} ms, source "
                    f"{sources[at]}"
                )
        kept = times_ms <= duration_ms * (1 + 1e-9)
        late += int((~kept).sum())
        recordings[name] = Recording.spikes(
            times_ms[kept], sources[kept], n=n, dt_ms=1.0, duration_ms=duration_ms
        )
    return recordings, late


# Times in ms, sources and rows of the file.
_Spikes = tuple[np.ndarray, np.ndarray, np.ndarray]


def _from_csv(path: Path, n_sources: Mapping[str, int]) -> dict[str, _Spikes]:
    found: dict[str, list[tuple[float, int, int]]] = {}
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = csv.reader(file)
            header = tuple(word.strip() for word in next(rows, []))
            if header not in (HEADER, (*HEADER, "input")):
                raise DataError(
                    f"{path}: the first row names the columns, {','.join(HEADER)} and, with "
                    f"several inputs, input; got {','.join(header) or 'nothing'}"
                )
            if len(header) == len(HEADER):
                only = _only(path, n_sources)
            for row in rows:
                if not row:
                    continue
                try:
                    time, source = float(row[0]), int(row[1])
                    if len(row) != len(header) or abs(source) > np.iinfo(np.int64).max:
                        raise ValueError
                except (ValueError, IndexError):
                    raise DataError(
                        f"{path}, row {rows.line_num}: a time in ms and the number of a source are "
                        f"needed{', and an input' if len(header) > len(HEADER) else ''}; got "
                        f"{','.join(row)!r}"
                    ) from None
                name = row[2].strip() if len(header) > len(HEADER) else only
                if name not in n_sources:
                    error = unknown("external input", name, n_sources)
                    raise DataError(f"{path}, row {rows.line_num}: {error}")
                found.setdefault(name, []).append((time, source, rows.line_num))
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is no CSV file ({error})") from error
    return {
        name: (np.array(times), np.array(sources, dtype=np.int64), np.array(rows))
        for name, spikes in found.items()
        for times, sources, rows in [zip(*spikes, strict=True)]
    }


def _from_hdf5(path: Path, n_sources: Mapping[str, int]) -> dict[str, _Spikes]:
    from converters.sonata.hdf5 import Hdf5Reader
    from converters.sonata.nodes import whole_numbers

    found = {}
    with Hdf5Reader() as reader:
        file = reader.open(path)
        populations = file.names("/spikes")
        for population in populations:
            name = population
            if name not in n_sources:
                if len(populations) > 1 or len(n_sources) > 1:
                    error = unknown("external input", name, n_sources)
                    raise DataError(f"{path}: of /spikes/{population}: {error}")
                name = next(iter(n_sources))
            where = f"/spikes/{population}"
            (n, *_) = file.shape(f"{where}/timestamps") or (0,)
            times_ms = file.read(f"{where}/timestamps", n, "fiu").astype(float)
            sources = whole_numbers(file, f"{where}/node_ids", n)
            found[name] = times_ms, sources, np.arange(n)
    return found


def _only(path: Path, n_sources: Mapping[str, int]) -> str:
    if len(n_sources) > 1:
        raise DataError(
            f"{path}: the network has the external inputs {', '.join(n_sources)}; a column 'input' "
            "must say which a spike is of"
        )
    return next(iter(n_sources))
