"""A made-up retina of known truth: for machines without recordings, and to test models on.

ON and OFF cells with linear filters, an exponential nonlinearity and after-spike filters see a
photograph through a moving eye. The true rates, and how well they predict the mean of the trials,
are computed exactly, not by more trials.

>>> retina = synthetic_retina(n_cells=4, n_trials=10, duration_s=6.0, seed=1)
>>> retina.experiment
Experiment(synthetic: 4 cells, 10 trials, 20 of 20 windows of 30 x 10 ms in 1 sequences of 6 s; ...
>>> retina.spatial.shape, retina.temporal.shape, retina.after_spike.shape
((4, 40, 40), (4, 30), (4, 8))
"""

from toolkit.retina.synthetic.history import binary_counts, exact_moments
from toolkit.retina.synthetic.movie import eye_movement_movie
from toolkit.retina.synthetic.retina import SyntheticRetina, synthetic_retina

__all__ = [
    "SyntheticRetina",
    "binary_counts",
    "exact_moments",
    "eye_movement_movie",
    "synthetic_retina",
]
