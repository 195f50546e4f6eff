"""Time and memory of building V1 columns up to the whole of it, beside BMTK's NetworkBuilder.

    python benchmarks/build.py [--sizes 3k,13000,core,full] [--bmtk 1000,3k] [--out FILE.csv]

Each size is built in a process of its own, so that its peak memory is its own. "connections only"
is the recurrent synapses with their weights; the whole column has LGN, background and checks
besides. BMTK builds the same neurons and draws the same recurrent connections (probability by
distance and orientation, 3 to 7 synapses each) with a vectorised rule a target and class pair, as
published V1 builders do; it leaves weights to the simulator. Needs `pip install bmtk`, or
`--bmtk ""`.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np
from sizes import answer_one, in_a_process, named, peak_MB, show

ROWS = {
    "size": "size",
    "neurons": "neurons",
    "synapses": "connections",
    "column_s": "column, s",
    "connect_s": "connections only, s",
    "us_a_synapse": "us a connection",
    "peak_MB": "peak memory, MB",
    "MB_imported": "of it before building, MB",
    "bytes_a_synapse": "bytes a connection at peak",
    "bmtk_s": "BMTK, s",
    "bmtk_peak_MB": "BMTK peak, MB",
    "bmtk_ratio": "BMTK / connections only",
}


def measure(size: str) -> dict[str, float]:
    """Our column."""
    from circuits import v1
    from circuits.v1 import recurrent
    from circuits.v1.recurrent import Cells

    v1.column(100, seed=1)
    before = peak_MB()
    tick = time.perf_counter()
    column = v1.column(named(size), seed=1, show_progress=False)
    out = {"column_s": time.perf_counter() - tick, "peak_MB": peak_MB(), "MB_imported": before}
    out |= {"neurons": column.n, "synapses": len(column.synapses)}
    out["bytes_a_synapse"] = (out["peak_MB"] - before) * 2**20 / out["synapses"]
    cells = cells_of(column, Cells)
    del column
    from circuits import allen

    tick = time.perf_counter()
    recurrent.connect(cells, allen.load(), seed=1, show_progress=False)
    out["connect_s"] = time.perf_counter() - tick
    out["us_a_synapse"] = out["connect_s"] / out["synapses"] * 1e6
    return out


def cells_of(column, cells):
    """What wiring needs of the column's neurons."""
    from circuits import allen

    tables, neurons = allen.load(), column.neurons
    row = {
        key: {name: i for i, name in enumerate(names.tolist())}
        for key, names in (
            ("cell_class", tables.classes["cell_class"]),
            ("cell", tables.cells["cell"]),
        )
    }
    position = {k: np.array([row[k][name] for name in neurons[k].tolist()]) for k in row}
    return cells(
        position["cell_class"],
        position["cell"],
        neurons["sign"],
        neurons["x_um"],
        neurons["z_um"],
        neurons["tuning_deg"],
    )


def measure_bmtk(size: str) -> dict[str, float]:
    """The same recurrent connections by BMTK's NetworkBuilder."""
    from bmtk.builder.networks import NetworkBuilder

    from circuits import allen, v1
    from circuits.v1.recurrent import ClassPair, fold

    tables = allen.load()
    column = v1.column(named(size), seed=1, show_progress=False)
    neurons, names = column.neurons, tables.classes["cell_class"].tolist()
    rng, connections = np.random.default_rng(1), [0]
    tick = time.perf_counter()
    net = NetworkBuilder("v1")
    for name in names:
        mine = np.flatnonzero(neurons["cell_class"] == name)
        if len(mine):
            net.add_nodes(
                N=len(mine),
                cell_class=name,
                model_type="point_neuron",
                model_template="nest:glif_psc",
                **{key: neurons[key][mine] for key in ("x_um", "z_um", "tuning_deg")},
            )

    def rule(sources, target, pair: ClassPair) -> np.ndarray:
        """Synapses from each source, by the pair's probability."""
        x, z, angle = np.array(
            [(s["x_um"], s["z_um"], s["tuning_deg"]) for s in sources], dtype=float
        ).T
        dx, dz = target["x_um"] - x, target["z_um"] - z
        turn = target["tuning_deg"] - angle
        p = pair.peak * np.exp(-(dx**2 + dz**2) / pair.sigma_um**2)
        p *= pair.intercept + pair.gradient * fold(turn, 180)
        n_synapses = rng.integers(3, 8, len(p)) * (rng.random(len(p)) < p)
        n_synapses[(dx == 0) & (dz == 0)] = 0
        connections[0] += int((n_synapses > 0).sum())
        return n_synapses.tolist()

    for post, post_name in enumerate(names):
        for pre, pre_name in enumerate(names):
            pair = ClassPair.of(pre, post, tables)
            if pair.peak > 0:
                net.add_edges(
                    source={"cell_class": pre_name},
                    target={"cell_class": post_name},
                    iterator="all_to_one",
                    connection_rule=rule,
                    connection_params={"pair": pair},
                    delay=pair.delay_ms,
                )
    net.build()
    return {
        "bmtk_s": time.perf_counter() - tick,
        "bmtk_peak_MB": peak_MB(),
        "bmtk_connections": connections[0],
    }


def main() -> None:
    answer_one({"column": measure, "bmtk": measure_bmtk})
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="3k,13000,core,full")
    parser.add_argument("--bmtk", default="1000,3k", help="sizes that BMTK builds, too")
    parser.add_argument("--out", help="write the table here as CSV, too")
    args = parser.parse_args()
    with_bmtk = [size for size in args.bmtk.split(",") if size]
    columns = []
    for size in dict.fromkeys([*with_bmtk, *args.sizes.split(",")]):
        column = {"size": size} | in_a_process(__file__, "column", size)
        if size in with_bmtk:
            column |= in_a_process(__file__, "bmtk", size)
            column["bmtk_ratio"] = column["bmtk_s"] / column["connect_s"]
            print(
                f"{size}: BMTK drew {column['bmtk_connections']:,} connections, "
                f"we {column['synapses']:,}",
                file=sys.stderr,
            )
        columns.append(column)
    show(ROWS, sorted(columns, key=lambda column: column["neurons"]), args.out)


if __name__ == "__main__":
    main()
