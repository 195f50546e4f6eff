"""Time from the weights of a rate network to a spiking network, by size.

    python benchmarks/conversion.py [--csv FILE] [3k 6k core]

The rate network has the circuit's own weights; with trained ones the arithmetic is the same.
"""

from __future__ import annotations

import argparse
import csv
import time
import warnings

import numpy as np

from circuits import v1
from converters import to_spiking
from converters.trainable import trainable

REPEATS = 3

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("sizes", nargs="*", default=["3k", "6k", "core"])
parser.add_argument("--csv", help="where the table goes, too")
args = parser.parse_args()
warnings.filterwarnings("ignore", category=UserWarning)

rows = []
print("size  synapses  to_spiking s  ns a synapse")
for size in args.sizes:
    network = v1.column(size, seed=1)
    model = trainable(network, np.zeros((1, 1), dtype=int))
    took = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        spiking = to_spiking(model, network)
        took.append(time.perf_counter() - start)
    synapses = len(spiking.synapses) + sum(
        len(each.synapses) for each in spiking.inputs.values() if each.rate_Hz is None
    )
    rows.append((size, synapses, min(took), 1e9 * min(took) / synapses))
    print(f"{size}  {synapses:,}  {min(took):.3g}  {1e9 * min(took) / synapses:.0f}", flush=True)
if args.csv:
    with open(args.csv, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["size", "synapses", "to_spiking_s", "ns_per_synapse"])
        writer.writerows(rows)
