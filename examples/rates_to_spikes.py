"""Train a small firing-rate V1 for spikes, convert it, and see what it says as a spiking network.

python examples/rates_to_spikes.py [--size 300] [--epochs 10] [--items 60] [--out rates_to_spikes]

Written to the folder --out: weights.npz, and converted.h5, an ordinary network for `striate
simulate`, `to_brian2` and `to_nest`. The real thing is `striate train --for-spikes` on weights of
a first training, and `striate convert --calibrate neuron`, which writes a report card.
"""

import argparse
from pathlib import Path

import numpy as np

from circuits.conversion.responses import (
    accuracy_of_items,
    own_timing,
    rate_responses,
    spiking_responses,
)
from circuits.training import Setup, TrainingOptions, load_trained, prepare, save_weights, train
from converters import to_brian2, to_spiking
from toolkit.metrics import log_rate_r_squared, slope
from toolkit.network import Synapses

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--size", default="300", help="3k, 6k or a number of neurons")
parser.add_argument("--epochs", type=float, default=10.0)
parser.add_argument("--items", type=int, default=60, help="test items that are simulated")
parser.add_argument("--seed", type=int, default=1)
parser.add_argument("--out", type=Path, default=Path("rates_to_spikes"))
args = parser.parse_args()
args.out.mkdir(parents=True, exist_ok=True)

# F holds for many small spikes: 21 cells stand behind an LGN channel, no spike moves a potential by
# more than 1 mV, and F is taken at the noise that spikes would make. Answers are trained with it.
size = int(args.size) if args.size.isdigit() else args.size
ready = prepare(
    Setup(size=size, seed=args.seed, tasks=("images",), images="digits",
          cells_per_channel=21, max_psp_mV=1.0)
)  # fmt: skip
options = TrainingOptions(
    epochs=args.epochs, learning_rate=0.1, warm_up_steps=20, evaluate_every=40, seed=args.seed,
    noise_steps=20, counting_steps=100,
)  # fmt: skip
fitted = train(ready, options, folder=args.out, resume=True)
print(f"{fitted.steps} steps in {fitted.seconds:.0f} s; best at step {fitted.best_step}")
save_weights(args.out / "weights.npz", ready)
trained = load_trained(args.out / "weights.npz")

# By arithmetic: the charge of a spike in pA ms is the rate weight in pA/Hz times 1000 ms/s.
spiking = to_spiking(trained.model, trained.network)
spiking.save(args.out / "converted.h5")

shown, pools = own_timing(trained, args.items), trained.model.pools.numpy()
rates = rate_responses(trained.model, shown)[0]
print(f"rate network: {100 * accuracy_of_items(shown, 0, rates).mean():.0f} % right")
for name, network in (
    ("as spikes", spiking),
    ("as spikes without recurrence", spiking.replace(synapses=Synapses.none())),
):
    simulation = to_brian2(network, device="cpp_standalone")
    spikes = spiking_responses(simulation, shown, pools, trial=0, seed=args.seed)[0]
    expected, found = (np.mean(each.rates_Hz, axis=(0, 1)) for each in (rates, spikes))
    print(f"{name}: {100 * accuracy_of_items(shown, 0, spikes).mean():.0f} % right; mean rates of "
          f"neurons: R2 of logarithms {log_rate_r_squared(found, expected):.2f}, slope "
          f"{slope(found, expected):.2f}")  # fmt: skip
