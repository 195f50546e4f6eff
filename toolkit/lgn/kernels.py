"""Temporal kernels made of cosine bumps in logarithmic time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from toolkit.errors import InputError

_OFFSET_MS = 0.3  # keeps the logarithm of lag 0 finite
_HALF_WIDTH = math.log(200.3 / 100.3)  # of every bump, in units of log time


def temporal_kernel(
    weights: Sequence[float],
    kpeaks_ms: Sequence[float],
    delays_ms: Sequence[float] = (0, 0),
    *,
    extra_delay_ms: float = 0,
    n_ms: int = 600,
) -> np.ndarray:
    """A weighted sum of delayed cosine bumps, one value a millisecond of lag.

        b_j(t) = (1 + cos(clip(pi (ln(t + 1.3) - ln k_j) / (2 D), -pi, pi))) / 2,  t = 0, 1, ... ms
        K(t) = sum_j w_j b_j(t - delay_j) / sqrt(sum_t b_j(t)^2),  D = ln(200.3 / 100.3)

    The unit of K belongs to bins of 1 ms: the response to contrast S(t) is the plain sum
    ``sum_lag K[lag] S[t - lag]``, in Hz.

    Parameters
    ----------
    weights : w_j, Hz, one a bump
    kpeaks_ms : k_j, where the bumps peak (1.3 ms later than the lag), above 0
    delays_ms : delay_j, 0 or more, truncated to whole milliseconds
    extra_delay_ms : delay of the whole kernel, truncated likewise
    n_ms : lags before the delays; a bump ends at 3.99 k_j, so 600 holds k_j up to 150 ms

    Returns
    -------
    shape (n_ms + largest delay + extra delay,), float64

    Raises
    ------
    InputError : unequal numbers of weights, peaks and delays, or values outside those ranges

    Source: Billeh et al. 2020, Neuron 106:388 (bmtk FilterNet's cosine-bump filter).

    Examples
    --------
    >>> kernel = temporal_kernel([3.7, -1.75], [12.9, 28.3], [0, 25])
    >>> int(kernel.argmax()), int(kernel.argmin()), kernel.shape
    (12, 52, (625,))
    """
    w, k = np.asarray(weights, dtype=np.float64), np.asarray(kpeaks_ms, dtype=np.float64)
    delays = np.asarray(delays_ms, dtype=np.float64)
    if w.ndim != 1 or not len(w) or not w.shape == k.shape == delays.shape:
        raise InputError(
            "a kernel needs as many weights as peaks and delays, got shapes "
            f"{w.shape}, {k.shape} and {delays.shape}"
        )
    if not np.isfinite(w).all():
        raise InputError(f"kernel weights must be finite, got {w.tolist()}")
    if not (np.isfinite(k).all() and (k > 0).all()):
        raise InputError(f"kpeaks_ms must be above 0, got {k.tolist()}")
    if not (np.isfinite(delays).all() and (delays >= 0).all() and 0 <= extra_delay_ms < math.inf):
        raise InputError(
            "delays must be 0 ms or more (a filter cannot foresee), got "
            f"delays_ms={delays.tolist()}, extra_delay_ms={extra_delay_ms}"
        )
    if n_ms < 1:
        raise InputError(f"n_ms must be 1 or more, got {n_ms}")
    shifts = delays.astype(int) + int(extra_delay_ms)
    lag_ms = np.arange(n_ms)
    kernel = np.zeros(n_ms + int(shifts.max()))
    for weight, peak, shift in zip(w, k, shifts, strict=True):
        phase = math.pi * (np.log(lag_ms + 1 + _OFFSET_MS) - math.log(peak)) / (2 * _HALF_WIDTH)
        bump = 0.5 * (1 + np.cos(np.clip(phase, -math.pi, math.pi)))
        size = math.sqrt(np.square(bump).sum())
        if size == 0:
            raise InputError(f"a bump peaking at {peak:g} ms has no part in the first {n_ms} ms")
        kernel[shift : shift + n_ms] += weight * bump / size
    return kernel
