"""Build a mouse V1 column, look at it, save it and read it back.

python examples/build_v1_column.py [--size 3k] [--seed 1] [--out v1_3k.h5]
"""

import argparse

import numpy as np

from circuits import v1
from toolkit import Network

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--size", default="3k", help="3k, 6k or a number of neurons")
parser.add_argument("--seed", type=int, default=1)
parser.add_argument("--out", default="v1_column.h5")
args = parser.parse_args()
size = int(args.size) if args.size.isdigit() else args.size

# A Network: neurons, synapses and inputs as plain tables in physical units.
column = v1.column(size, seed=args.seed)
print(column.summary().round(1).to_string())
print()

# Every neuron is a GLIF3 cell model of the Allen Cell Types Database, at a place in the column.
neurons = column.neurons
print("columns of the neuron table:", ", ".join(neurons))
e4 = neurons.where(cell_class="e4")
print(
    f"L4 excitatory: {len(e4.rows)} neurons of {len(set(e4['cell']))} cell models, "
    f"membrane time constants {np.percentile(e4['C_m_pF'] / e4['g_nS'], [10, 90]).round(1)} ms"
)

# Synapses are flat arrays, sorted by target; a weight is the peak current in pA.
synapses = column.synapses
excitatory = neurons["sign"][synapses.pre] > 0
print(f"{len(synapses):,} connections, {np.mean(excitatory):.0%} of them excitatory")
median = np.median(synapses.weight[excitatory])
print(f"strongest connection {synapses.weight.max():.0f} pA, median of E {median:.2f} pA")

# Like connects to like: E-to-E weights by difference of preferred direction.
to_excitatory = excitatory & (neurons["sign"][synapses.post] > 0)
turn = neurons["tuning_deg"][synapses.post] - neurons["tuning_deg"][synapses.pre]
turn = np.abs((turn + 180) % 360 - 180)
for low in range(0, 180, 45):
    mean = synapses.weight[to_excitatory & (turn >= low) & (turn < low + 45)].mean()
    print(f"  {low:3d} to {low + 45:3d} deg apart: mean E-to-E weight {mean:.3f} pA")

# The LGN input: 832 channels of 13 types; the background: a 1 kHz Poisson source a neuron.
lgn = column.inputs["lgn"]
n_targets = len(np.unique(lgn.synapses.post))
print(f"LGN: {lgn.n} channels, {len(lgn.synapses):,} connections onto {n_targets:,} neurons")

# One file, written whole or not at all. The same seed gives the same circuit, byte for byte.
column.save(args.out)
assert Network.load(args.out).digest() == v1.column(size, seed=args.seed).digest()
print(f"saved to {args.out} and read back identical")
