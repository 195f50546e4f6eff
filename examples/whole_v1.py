"""Build the whole of mouse V1, compare it with the published network, cut a piece out, export it.

python examples/whole_v1.py [--size full] [--seed 1] [--data billeh2020] [--out v1_sonata]

"full" has 230,924 neurons and 70 million connections (a minute, 4 GB); "core" a quarter of that.
"""

import argparse
import time

import numpy as np

from circuits import allen, v1
from converters import to_networkx, to_sonata

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--size", default="full", help="full, core, 6k, 3k or a number of neurons")
parser.add_argument("--seed", type=int, default=1)
parser.add_argument("--data", default="billeh2020", help="or v1dd, the second generation")
parser.add_argument("--out", help="write the part that is cut out as SONATA to this folder")
args = parser.parse_args()
size = int(args.size) if args.size.isdigit() else args.size

# No loop over pairs: the time is that of the connections. Threads do not change the circuit.
tick = time.perf_counter()
column = v1.column(size, seed=args.seed, data=args.data)
seconds = time.perf_counter() - tick
synapses = column.synapses
print(f"{column.n:,} neurons, {len(synapses):,} connections in {seconds:.1f} s")
print(f"in-degree {len(synapses) / column.n:.1f}, radius {column.provenance['radius_um']} um")

# Beside the published network: connections of each pair of classes.
pairs = allen.load().class_pairs
if f"n_edges_{size}" in pairs and args.data == "billeh2020":
    published = pairs[f"n_edges_{size}"].sum()
    print(f"published: {published:,} connections, {len(synapses) / published - 1:+.2%}")
graph = to_networkx(column)
print(f"\n{'from':>8} {'to':>9} {'connections':>12} {'probability':>12} {'mean pA':>8}")
for pre, post in (("e23", "e23"), ("e4", "e23"), ("e5", "e23"), ("i4Pvalb", "e4"), ("e6", "e6")):
    edge = graph.edges[pre, post]
    print(
        f"{pre:>8} {post:>9} {edge['synapses']:12,} {edge['probability']:12.4f} "
        f"{edge['weight_pA']:8.3f}"
    )

# Distance over which neurons connect, from a sample of connections.
x, z = column.neurons["x_um"], column.neurons["z_um"]
some = np.random.default_rng(0).integers(len(synapses), size=min(len(synapses), 100_000))
apart = np.hypot(*(p[synapses.pre[some]] - p[synapses.post[some]] for p in (x, z)))
print(f"\nhalf of all connections are shorter than {np.median(apart):.0f} um")

# The LGN and what it sees: larger columns listen to the published 17,400 cells.
lgn = column.inputs["lgn"]
print(f"LGN: {lgn.n:,} cells, {len(lgn.synapses):,} connections")

# A piece of it, with all that connects its neurons: layer 4 around the axis.
near = np.hypot(x, z) < 100
piece = v1.select(column, layers="4", where=near)
print(f"layer 4 within 100 um: {piece.n:,} neurons, {len(piece.synapses):,} connections")
if args.out:
    to_sonata(piece, args.out)
    print(f"written to {args.out}")
