"""Train a small firing-rate V1 to read digits, through its LGN.

python examples/train_rate_v1.py [--size 300] [--epochs 10] [--out train_rate_v1]

Written to the folder --out: learning_curves.csv and .png, and weights.npz, from which
`load_trained` makes the trained network again. The real thing is `striate train --size 3k
--tasks all --minutes 30 --out runs/3k`, with MNIST and CIFAR-10 in the data folder.
"""

import argparse
from pathlib import Path

from circuits.training import (
    Setup,
    TrainingOptions,
    accuracies,
    load_trained,
    prepare,
    save_weights,
    train,
)

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--size", default="300", help="3k, 6k or a number of neurons")
parser.add_argument("--epochs", type=float, default=10.0)
parser.add_argument("--seed", type=int, default=1)
parser.add_argument("--out", type=Path, default=Path("train_rate_v1"))
args = parser.parse_args()
args.out.mkdir(parents=True, exist_ok=True)

# What learns what: a column, its LGN, digits on a screen of 60 degrees for 100 ms. The answer is
# the pool of L5 cells with the highest rate from 50 to 100 ms after that.
size = int(args.size) if args.size.isdigit() else args.size
ready = prepare(Setup(size=size, seed=args.seed, tasks=("images",), images="digits"))
network, model = ready.network, ready.model
n_trained = len(model.recurrent) + len(model.from_inputs)
print(f"{network.n:,} neurons, {n_trained:,} synapses that are trained; {len(model.pools)} pools")
print(f"untrained: {100 * accuracies(ready)['accuracy'][-1]:.0f} % of the test items")

# Adam on the logarithms of the weights, so that Dale's law holds; neurons are kept near the rates
# recorded in their class. A training that was stopped goes on from its checkpoint.
options = TrainingOptions(
    epochs=args.epochs, learning_rate=0.1, warm_up_steps=20, evaluate_every=40, seed=args.seed
)
fitted = train(ready, options, folder=args.out, resume=True)
print(f"{fitted.steps} steps in {fitted.seconds:.0f} s; best at step {fitted.best_step}")

# Half precision, changes only: 2 bytes a synapse. The model is rounded to what the file holds.
save_weights(args.out / "weights.npz", ready)
again = load_trained(args.out / "weights.npz")
for task, items, accuracy, low, high in zip(*accuracies(again).values(), strict=True):
    print(f"{task}: {100 * accuracy:.1f} % of {items} test items "
          f"(95 % interval {100 * low:.1f} to {100 * high:.1f})")  # fmt: skip
print(f"learning curves: {args.out / 'learning_curves.png'}")
