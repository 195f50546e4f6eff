"""Write a mouse V1 column as a SONATA folder, read it back, and run it in BMTK's PointNet.

python examples/sonata_round_trip.py [--size 3k] [--seed 1] [--out v1_sonata]
"""

import argparse
from pathlib import Path

import numpy as np

from circuits import v1
from converters import from_sonata, to_sonata
from converters.sonata import sonata_tables, write_spikes
from toolkit import Recording

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--size", default="3k", help="3k, 6k, core, full or a number of neurons")
parser.add_argument("--seed", type=int, default=1)
parser.add_argument("--out", default="v1_sonata", help="a new folder")
args = parser.parse_args()
size = int(args.size) if args.size.isdigit() else args.size

column = v1.column(size, seed=args.seed)

# PointNet starts all neurons of a cell model alike: at rest, if a simulation is to be compared.
rest = column.neurons["E_L_mV"]
column = column.replace(neurons=column.neurons.replace(V_init_mV=rest))

# The folder appears whole or not at all. overwrite=True would replace a network of to_sonata, but
# nothing else, and not if spikes or results lie in its folder.
to_sonata(column, args.out)
n_bytes = sum(file.stat().st_size for file in Path(args.out).rglob("*") if file.is_file())
n_edges = len(column.synapses) + sum(len(i.synapses) for i in column.inputs.values())
print(f"{args.out}: {column.n:,} nodes, {n_edges:,} edges, {n_bytes / n_edges:.0f} bytes an edge")

# Exactly the same network comes back: every bit of it, and what it was built from.
again = from_sonata(args.out)
assert again.digest() == column.digest() and again.provenance == column.provenance
print("read back identical")

# What any program finds in it: NEST's parameters of a cell model, weights in pA, delays in ms.
tables = sonata_tables(args.out)
first = tables.node_types["v1"][0]
print(f"node type 0: {first['model_template']}, {first['cell_class']}, {first['dynamics_params']}")
parameters = tables.parameters[first["dynamics_params"]]
print({name: parameters[name] for name in ("C_m", "g", "V_th", "tau_syn", "asc_amps")})

# Spikes that drive it. Here 10 Hz for the LGN, and a background like the column's own.
folder = Path(args.out) / "inputs"
folder.mkdir(exist_ok=True)
for name, source in column.inputs.items():
    rate_Hz = 10.0 if source.rate_Hz is None else source.rate_Hz
    rates = Recording.rates(np.full((1000, source.n), rate_Hz), dt_ms=1.0)
    spikes = rates.to_spikes(args.seed, name)
    on_grid = np.maximum(np.ceil(spikes.spike_times_ms / 0.25), 1) * 0.25  # NEST wants whole steps
    spikes = Recording.spikes(on_grid, spikes.spike_ids, n=source.n, dt_ms=0.25, duration_ms=1000.0)
    write_spikes(spikes, folder / f"{name}_spikes.h5", name)

print(f"""
With BMTK and NEST (pip install '.[nest,sonata]'), a second of it:

    from bmtk.simulator import pointnet
    config = pointnet.Config.from_json("{args.out}/simulation_config.json")
    config.build_env()
    network = pointnet.PointNetwork.from_config(config)
    pointnet.PointSimulator.from_config(config, network).run()

The spikes are then in {args.out}/output/spikes.h5. from_sonata reads networks of BMTK's builder as
well, if their neurons are GLIF models.""")
