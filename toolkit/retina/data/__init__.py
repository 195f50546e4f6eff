"""Responses of a retina beside the frames that drove them, as models are given them.

`load` reads a recording (`toolkit.datasets`), `toolkit.retina.synthetic` makes one up; both give
an `Experiment`: frames, and spike counts in windows of them. `Steps` puts it on a grid of time
steps over the whole movie, on which models run; they are scored inside windows. `folds` divides
windows into training, validation and test; `ceiling` says how well the trials can be predicted.

>>> from toolkit.retina.synthetic import synthetic_retina
>>> retina = synthetic_retina(n_cells=4, n_trials=6, duration_s=6.0, seed=1)
>>> steps = Steps(retina.experiment, bin_ms=30)
>>> steps.counts.shape, steps.stimulus(0).shape      # (sequence, step, cell, trial), (step, y, x)
((1, 200, 4, 6), (200, 40, 40))
>>> fold = folds(retina.experiment, 5)[0]
>>> steps.mask(fold.test).sum() == len(fold.test) * steps.n_bins
np.True_
"""

from toolkit.retina.data.ceiling import Ceiling, ceiling
from toolkit.retina.data.experiment import Experiment, rebinned
from toolkit.retina.data.loading import EXPERIMENTS, joined, load
from toolkit.retina.data.splits import Split, folds
from toolkit.retina.data.steps import Steps
from toolkit.retina.data.windows import inferred_starts_ms, window_shifts

__all__ = [
    "EXPERIMENTS",
    "Ceiling",
    "Experiment",
    "Split",
    "Steps",
    "ceiling",
    "folds",
    "inferred_starts_ms",
    "joined",
    "load",
    "rebinned",
    "window_shifts",
]
