"""Time, memory and size of a V1 column as a SONATA folder. Prints a table.

    python benchmarks/sonata.py [--sizes 3k,6k,core] [--out FILE.csv]

Each size is measured in a process of its own. The peak memory is that of the whole process: the
network, its copy that is read back, and Python with its packages (some 0.4 GB).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from sizes import answer_one, in_a_process, named, peak_MB, show

ROWS = {
    "size": "size",
    "synapses": "synapses, with those of inputs",
    "build_s": "build the column, s",
    "write_s": "write, s",
    "read_s": "read, s",
    "round_trip_s": "write and read, s",
    "bytes": "bytes a synapse on the disk",
    "h5_bytes": "the same, network file of `save`",
    "built_MB": "peak memory after building, MB",
    "peak_MB": "peak memory of all, MB",
}


def measure(size: str) -> dict[str, float]:
    from circuits import v1
    from converters import from_sonata, to_sonata

    out: dict[str, float] = {}
    tick = time.perf_counter()
    column = v1.column(named(size), seed=1)
    out["build_s"], out["built_MB"] = time.perf_counter() - tick, peak_MB()
    groups = [column.synapses, *(source.synapses for source in column.inputs.values())]
    out["synapses"] = sum(map(len, groups))
    with tempfile.TemporaryDirectory() as place:
        folder, file = Path(place) / "sonata", Path(place) / "net.h5"
        tick = time.perf_counter()
        to_sonata(column, folder)
        out["write_s"] = time.perf_counter() - tick
        tick = time.perf_counter()
        again = from_sonata(folder)
        out["read_s"] = time.perf_counter() - tick
        out["round_trip_s"] = out["write_s"] + out["read_s"]
        out["peak_MB"] = peak_MB()
        n_bytes = sum(item.stat().st_size for item in folder.rglob("*") if item.is_file())
        out["bytes"] = n_bytes / out["synapses"]
        if again.digest() != column.digest():
            raise SystemExit(f"{size}: another network was read")
        column.save(file)
        out["h5_bytes"] = file.stat().st_size / out["synapses"]
    return out


def main() -> None:
    answer_one({"size": measure})
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="3k,6k,core")
    parser.add_argument("--out", help="write the table here as CSV, too")
    args = parser.parse_args()
    columns = [
        {"size": size} | in_a_process(__file__, "size", size) for size in args.sizes.split(",")
    ]
    show(ROWS, columns, args.out)


if __name__ == "__main__":
    main()
