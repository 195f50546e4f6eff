"""Selectivity for orientation and direction."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from toolkit.errors import InputError
from toolkit.metrics.checks import finite, not_negative, ratio


def osi(rates: ArrayLike, directions_deg: ArrayLike) -> np.ndarray:
    """Orientation selectivity index (1 - circular variance of orientation).

        OSI = |sum_k R_k exp(2 i theta_k)| / sum_k R_k

    A cell with R = a + b cos(2 (theta - theta0)) has b / (2 a).

    Parameters
    ----------
    rates : mean rates, Hz, shape (direction, ...), usually (direction, neuron)
    directions_deg : theta, direction of motion, evenly spaced, shape (direction,)

    Returns
    -------
    0 to 1, shape (...); NaN where all rates are 0

    Raises
    ------
    InputError : negative rates, another number of directions, or directions so uneven that an
        untuned cell would seem tuned

    Source: Siegle et al. 2021, Nature 592:86 (the index of the Allen Brain Observatory).

    Examples
    --------
    >>> directions_deg = np.arange(0, 360, 45)
    >>> round(float(osi(4 + 2 * np.cos(2 * np.radians(directions_deg)), directions_deg)), 6)
    0.25
    """
    return _selectivity(rates, directions_deg, 2)


def dsi(rates: ArrayLike, directions_deg: ArrayLike) -> np.ndarray:
    """Direction selectivity index.

        DSI = |sum_k R_k exp(i theta_k)| / sum_k R_k

    A cell with R = a + b cos(theta - theta0) has b / (2 a). Arguments, result, errors and source
    as for `osi`.

    >>> directions_deg = np.arange(0, 360, 45)
    >>> round(float(dsi(4 + 2 * np.cos(np.radians(directions_deg)), directions_deg)), 6)
    0.25
    """
    return _selectivity(rates, directions_deg, 1)


def preferred_direction(rates: ArrayLike, directions_deg: ArrayLike) -> np.ndarray:
    """The direction of the largest rate, degrees; NaN where all rates are equal.

    Of directions with the same largest rate the first one given is taken. Arguments and errors
    as for `osi`, but the directions need not be evenly spaced.

    >>> preferred_direction([[1.0, 2.0], [5.0, 2.0], [3.0, 2.0]], [0, 90, 180]).tolist()
    [90.0, nan]
    """
    r, directions = _checked(rates, directions_deg)
    return np.where(np.ptp(r, axis=0) > 0, directions[r.argmax(axis=0)], np.nan)


def _selectivity(rates: ArrayLike, directions_deg: ArrayLike, harmonic: int) -> np.ndarray:
    r, directions = _checked(rates, directions_deg)
    phasors = np.exp(1j * harmonic * np.radians(directions))
    if abs(phasors.sum()) > 1e-6 * len(phasors):
        what, period = {1: ("direction", 360), 2: ("orientation", 180)}[harmonic]
        raise InputError(
            f"directions {directions.tolist()} do not cover {period} degrees evenly, so that an "
            f"untuned cell would seem selective for {what}; use np.arange(0, 360, 45), say"
        )
    return ratio(np.abs(np.tensordot(phasors, r, axes=1)), r.sum(axis=0))


def _checked(rates: ArrayLike, directions_deg: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    r, directions = not_negative("rates", rates), finite("directions_deg", directions_deg)
    if directions.ndim != 1 or r.ndim < 1 or len(r) != len(directions):
        raise InputError(
            f"rates have shape (direction, ...) with one row a direction, got {r.shape} for "
            f"directions_deg of shape {directions.shape}; transpose (neuron, direction) with .T"
        )
    return r, directions
