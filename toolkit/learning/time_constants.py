"""Time constants of rates that differ between neurons."""

from __future__ import annotations

import math

import numpy as np

from toolkit.errors import InputError
from toolkit.rng import stream

SPREAD = 0.36  # s.d. of ln(C/g) over the neurons of a class (3k column, seed 1; derived)


def sampled_tau_r_ms(
    tau_s_ms: np.ndarray, seed: int, *, mean_ms: float, spread: float = SPREAD
) -> np.ndarray:
    """Time constants of rates, sampled around what the synapses' say, ms, (neuron,).

        tau_r = mean_ms (tau_s / mean tau_s) exp(spread z - spread^2 / 2),  z normal

    In the source tau_r is "sampled based on" tau_s; how is not said. Our choice: proportional to
    it, times a log-normal factor of mean 1. Time constants are positive, and differ by factors. The
    spread is that of membrane time constants within a class, as the membrane is what makes neurons
    of like synapses differ in how fast they answer. `mean_ms` sets the mean, since a rate follows
    its input faster than the membrane does.

    Parameters
    ----------
    tau_s_ms : synaptic time constant of each neuron, (neuron,)
    seed : of the sample
    mean_ms : expected mean over the neurons
    spread : standard deviation of ln(tau_r / tau_s)

    Raises
    ------
    InputError : time constants not above 0, a spread below 0

    >>> sampled_tau_r_ms(np.array([5.0, 10.0]), 1, mean_ms=3.0, spread=0.0).tolist()
    [2.0, 4.0]
    """
    if not 0 <= spread < math.inf:
        raise InputError(f"spread must be 0 or more and finite, got {spread}")
    expected = _proportional(tau_s_ms, mean_ms)
    z = stream(seed, "tau_r").standard_normal(len(expected))
    return expected * np.exp(spread * z - spread**2 / 2)


def uniform_tau_r_ms(tau_s_ms: np.ndarray, excitatory: np.ndarray, *, mean_ms: float) -> np.ndarray:
    """One time constant of rates for E and one for I, the means of the sampled ones, ms, (neuron,).

    Parameters
    ----------
    tau_s_ms, mean_ms : as of `sampled_tau_r_ms`
    excitatory : which neurons are, bool (neuron,)

    Raises
    ------
    InputError : time constants not above 0, arrays that do not fit

    >>> uniform_tau_r_ms(np.array([4.0, 6.0, 2.0]), np.array([True, True, False]), mean_ms=3.0)
    array([3.75, 3.75, 1.5 ])
    """
    tau = _proportional(tau_s_ms, mean_ms)
    excitatory = np.asarray(excitatory, dtype=bool)
    if excitatory.shape != tau.shape:
        raise InputError(f"excitatory has shape {excitatory.shape}, tau_s_ms {tau.shape}")
    for mine in (excitatory, ~excitatory):
        if mine.any():
            tau[mine] = tau[mine].mean()
    return tau


def _proportional(tau_s_ms: np.ndarray, mean_ms: float) -> np.ndarray:
    tau_s = np.asarray(tau_s_ms, dtype=float)
    if tau_s.ndim != 1 or not len(tau_s):
        raise InputError(f"a tau_s_ms for each neuron is needed, got shape {tau_s.shape}")
    if not ((tau_s > 0) & np.isfinite(tau_s)).all() or not 0 < mean_ms < math.inf:
        raise InputError("tau_s_ms and mean_ms must be above 0 and finite")
    return mean_ms * tau_s / tau_s.mean()
