"""Distances of all pairs of spike trains beside elephant and pyspike, in the same process.

    python benchmarks/spike_metrics.py --csv benchmarks/results/spike_metrics.csv

Trains are Poisson, of 5 s at 10 Hz. elephant's Victor-Purpura is its `fast` algorithm; pyspike is
compiled, ours is NumPy.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from toolkit.metrics import spike_distance, van_rossum, victor_purpura
from toolkit.metrics.spike_distances import Q_PER_MS, TAU_MS

STOP_MS, RATE_HZ = 5000.0, 10.0


def seconds(work: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    started = time.perf_counter()
    found = work()
    return time.perf_counter() - started, found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trains", type=int, nargs="+", default=[50, 200])
    parser.add_argument("--csv", type=Path)
    given = parser.parse_args()
    warnings.filterwarnings("ignore")  # of elephant and what it imports
    import neo
    import pyspike
    import quantities as pq
    from elephant import spike_train_dissimilarity as elephant

    rng, rows = np.random.default_rng(1), []
    for n in given.trains:
        counts = rng.poisson(RATE_HZ * STOP_MS / 1000, n)
        trains = [np.sort(rng.uniform(0, STOP_MS, k)) for k in counts]
        theirs = [neo.SpikeTrain(x, units="ms", t_stop=STOP_MS) for x in trains]
        of_pyspike = [pyspike.SpikeTrain(x, [0, STOP_MS]) for x in trains]
        for metric, rival, ours, other in (
            (
                f"Victor-Purpura, q = {Q_PER_MS:g}/ms",
                "elephant",
                lambda trains=trains: victor_purpura(trains),
                lambda theirs=theirs: elephant.victor_purpura_distance(theirs, Q_PER_MS / pq.ms),
            ),
            (
                f"van Rossum, tau = {TAU_MS:g} ms",
                "elephant",
                lambda trains=trains: van_rossum(trains),
                lambda theirs=theirs: elephant.van_rossum_distance(theirs, TAU_MS * pq.ms),
            ),
            (
                "SPIKE-distance",
                "pyspike",
                lambda trains=trains: spike_distance(trains, stop_ms=STOP_MS),
                lambda some=of_pyspike: pyspike.spike_distance_matrix(some),
            ),
        ):
            (own_s, found), (rival_s, right) = seconds(ours), seconds(other)
            rows.append(
                {
                    "metric": metric,
                    "trains": n,
                    "spikes_a_train": round(float(counts.mean()), 1),
                    "ours_s": own_s,
                    "rival": rival,
                    "rival_s": rival_s,
                    "ratio": rival_s / own_s,
                    "largest_difference": float(np.abs(found - right).max()),
                }
            )
            print(pd.DataFrame(rows[-1:]).to_string(index=False, header=len(rows) == 1), flush=True)
    if given.csv:
        pd.DataFrame(rows).to_csv(given.csv, index=False, float_format="%.3g")


if __name__ == "__main__":
    main()
