"""Fit models of the retina, and compare the spikes they predict with those that were recorded.

python examples/retina_models.py [--data synthetic] [--models ln tecos-noisy] [--steps 80]
                                 [--out retina_models.png]

`synthetic` is a retina of known filters that needs no files; movie1_retina1 and others are
recordings in the data folder. Runs that are kept, resumed and put into tables: `striate retina`.
"""

import argparse

import matplotlib.pyplot as plt
import numpy as np

from circuits.retina.setup import experiment
from toolkit.metrics import trains_from_bins, victor_purpura
from toolkit.retina.data import Steps, ceiling, folds
from toolkit.retina.fitting import Options, evaluate, fit, predict
from toolkit.retina.fitting.scoring import in_scored_bins
from toolkit.retina.models import make_model

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--data", default="synthetic")
parser.add_argument("--models", nargs="+", default=["ln", "tecos-noisy"])
parser.add_argument("--steps", type=int, default=80, help="of the optimiser, at most")
parser.add_argument("--seed", type=int, default=1)
parser.add_argument("--out", default="retina_models.png")
args = parser.parse_args()

# Models run over the whole movie in steps of 10 ms; windows of 300 ms are trained on, chosen by,
# or tested on, and no part shares a stretch of the movie with another.
whole = experiment(args.data)
steps = Steps(whole.only(np.setdiff1d(np.arange(whole.n_cells), whole.silent)), bin_ms=10)
split = folds(steps.experiment, 5)[0]
trials = np.minimum(steps.in_windows(steps.counts, split.test), 1)  # (window, step, cell, trial)
largest = ceiling(in_scored_bins(steps.in_windows(steps.counts, split.test), 10)).largest_cc
cell = int(np.nanargmax(largest))
print(f"{steps.experiment.n_cells} cells, {len(split.test)} test windows; a perfect model's CC "
      f"would be {np.nanmean(largest):.3f}")  # fmt: skip


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """Mean Victor-Purpura distance of pairs of trials of a cell, in the first 20 windows."""
    found = [
        victor_purpura(*(trains_from_bins(x[w, :, cell].T, 10) for x in (a, b)), matched=True)
        for w in range(min(20, len(a)))
    ]
    return float(np.mean(found))


print(f"recorded trials are {distance(trials, np.roll(trials, 1, axis=3)):.2f} apart")
figure, panels = plt.subplots(len(args.models) + 1, 1, figsize=(8, 2 + 1.5 * len(args.models)),
                              sharex=True, layout="constrained")  # fmt: skip
rasters = {"recorded": trials}
for name in args.models:
    model = make_model(name, steps, split.train, seed=args.seed)
    fitted = fit(model, steps, split, Options(steps=args.steps, seed=args.seed))
    found = predict(model, steps, samples=trials.shape[3])
    scores = evaluate(found, steps, split.test)
    rasters[name] = steps.in_windows(found.spikes, split.test)
    print(f"{name}: {fitted.seconds:.0f} s, CC {scores['cc']:.3f} on test windows; its trains are "
          f"{distance(trials, rasters[name]):.2f} from recorded ones (cell {cell})")  # fmt: skip
for panel, (name, spikes) in zip(panels, rasters.items(), strict=True):
    step, trial = spikes[:6, :, cell].reshape(-1, spikes.shape[3]).nonzero()
    panel.plot(step / 100, trial, "|", color="k", ms=4)
    panel.set(title=name, ylabel="trial")
panels[-1].set_xlabel("time in test windows, one after another (s)")
figure.savefig(args.out, dpi=150)
print(args.out)
