"""Take features from a V1 column: diverse neurons, data-based connections, Dale's law, a layer.

python examples/scenarios.py [--size 3k] [--seed 1] [--out class_graph.png]
"""

import argparse
from pathlib import Path

import numpy as np

from circuits import v1
from converters import to_networkx
from toolkit import plots
from toolkit.graph_plot import class_graph

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--size", default="3k", help="3k, 6k or a number of neurons")
parser.add_argument("--seed", type=int, default=1)
parser.add_argument("--out", default="class_graph.png")
args = parser.parse_args()
size = int(args.size) if args.size.isdigit() else args.size

column = v1.column(size, seed=args.seed)
random = v1.random_synapses(column, seed=args.seed)
circuits = {
    "column": column,
    "uniform neurons": v1.uniform_neurons(column),
    "random synapses": random,
    "no Dale": v1.no_dale(column, seed=args.seed),
    "random and no Dale": v1.no_dale(random, seed=args.seed),
    "without L1": v1.strip(column, layers="1"),
    "L4 alone": v1.select(column, layers="4"),
}
print(f"{'':20}{'neurons':>9}{'synapses':>10}{'models':>8}{'E to E':>8}{'against Dale':>14}")
for name, circuit in circuits.items():
    synapses, excitatory = circuit.synapses, circuit.excitatory
    models = len(np.unique(circuit.neurons["C_m_pF"]))
    e_to_e = np.mean(excitatory[synapses.pre] & excitatory[synapses.post])
    against = np.mean(synapses.weight * circuit.neurons["sign"][synapses.pre] < 0)
    print(f"{name:20}{circuit.n:9,}{len(synapses):10,}{models:8}{e_to_e:8.0%}{against:14.0%}")

# What was done to a circuit is part of it.
print()
for step in circuits["random and no Dale"].provenance["scenarios"]:
    print(step)

# The same circuit as a graph of its classes: the layers' connections go, chance is left.
print()
for name in ("column", "random synapses"):
    graph = to_networkx(circuits[name])
    edge = graph.edges["e4", "e23"]
    print(
        f"{name}: e4 connects to e23 with probability {edge['probability']:.3f}, "
        f"{edge['weight_pA']:.2f} +- {edge['weight_sd_pA']:.2f} pA"
    )

with plots.style():
    figure = plots.new_figure(7, 7)
    axes = figure.add_axes((0.01, 0.08, 0.98, 0.91))
    rows = {f"L{layer}": classes for layer, classes in v1.layers(column).items()}
    left_out = class_graph(axes, to_networkx(column), rows)
    Path(args.out).write_bytes(plots.png(figure))
print(f"\n{args.out}: the classes of the column; {left_out} weak connections are not drawn")
