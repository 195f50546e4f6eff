"""Simple and complex cells: how far responses follow the phase of a grating."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from toolkit.errors import InputError
from toolkit.metrics.checks import finite, not_negative, of_rank, ratio

SIMPLE = 1.0  # F1/F0 above which a cell is called simple; Skottun et al. 1991


def modulation_ratio(rates: ArrayLike, frequency_Hz: float, dt_ms: float) -> np.ndarray:
    """F1/F0: the amplitude at the frequency of a drifting grating over the mean.

        F1 = |2/T sum_t r(t) exp(-2 pi i f t)|,  F0 = mean of r

    0 for a response that does not follow the bars, pi/2 for a half-rectified sinusoid, 2 for
    impulses. The spontaneous rate is not subtracted (our choice: otherwise the ratio has no bound,
    and no value for neurons that a grating suppresses).

    Parameters
    ----------
    rates : Hz, (step, neuron), whole periods of the grating without its beginning
    frequency_Hz : f
    dt_ms : step

    Returns
    -------
    0 to 2, (neuron,); NaN for silent neurons

    Raises
    ------
    InputError : negative rates, a time that is no whole number of periods, or less than one

    Source: Skottun et al. 1991, Vision Research 31:1079.

    Examples
    --------
    >>> time_s = np.arange(200) * 0.005
    >>> wave = np.maximum(0, np.sin(2 * np.pi * 2 * time_s))
    >>> modulation_ratio(np.stack([wave, 0 * wave + 3], axis=1), 2.0, 5.0).round(3) + 0
    array([1.571, 0.   ])
    """
    r = of_rank("rates", not_negative("rates", rates), 2)
    periods = len(r) * dt_ms / 1000 * frequency_Hz
    if round(periods) < 1 or abs(periods - round(periods)) > 1e-6:
        raise InputError(
            f"{len(r)} steps of {dt_ms:g} ms are {periods:g} periods of {frequency_Hz:g} Hz; "
            "a whole number of periods is needed"
        )
    wave = np.exp(-2j * np.pi * periods * np.arange(len(r)) / len(r))
    return ratio(2 * np.abs(wave @ r), r.sum(axis=0))


def phase_selectivity(rates: ArrayLike, phases_deg: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """F1/F0 over the phase of standing gratings, and the preferred phase in degrees.

        z = 2 sum_k R_k exp(i phase_k) / sum_k R_k,   F1/F0 = |z|, preferred phase = arg z

    Parameters
    ----------
    rates : mean rates, Hz, (phase, ...)
    phases_deg : evenly spaced around the circle

    Returns
    -------
    (F1/F0, preferred phase 0 to 360), NaN for silent neurons

    Raises
    ------
    InputError : negative rates, phases that do not cover 360 degrees evenly

    >>> phases = np.arange(0, 360, 45)
    >>> index, preferred = phase_selectivity(5 + 2 * np.cos(np.radians(phases - 90)), phases)
    >>> round(float(index), 6), round(float(preferred), 6)
    (0.4, 90.0)
    """
    r, phases = not_negative("rates", rates), finite("phases_deg", phases_deg)
    phasors = np.exp(1j * np.radians(phases))
    if phases.ndim != 1 or len(r) != len(phases) or abs(phasors.sum()) > 1e-6 * len(phases):
        raise InputError(
            f"rates {r.shape} need phases that cover 360 degrees evenly, one a row, got "
            f"{phases.tolist()}; use np.arange(0, 360, 45), say"
        )
    total = np.tensordot(phasors, r, axes=1)
    preferred = np.where(r.sum(axis=0) > 0, np.degrees(np.angle(total)) % 360, np.nan)
    return ratio(2 * np.abs(total), r.sum(axis=0)), preferred


def preferred_orientation(rates: ArrayLike, directions_deg: ArrayLike) -> np.ndarray:
    """Half the angle of sum_k R_k exp(2 i theta_k), 0 to 180 degrees; NaN where that is 0.

    Parameters
    ----------
    rates : mean rates, Hz, (direction, ...)
    directions_deg : theta, (direction,)

    Raises
    ------
    InputError : negative rates, another number of directions

    >>> directions = np.arange(0, 360, 45)
    >>> tuned = 3 + np.cos(2 * np.radians(directions - 30))
    >>> round(float(preferred_orientation(tuned, directions)), 6)
    30.0
    """
    r, directions = not_negative("rates", rates), finite("directions_deg", directions_deg)
    if directions.ndim != 1 or len(r) != len(directions):
        raise InputError(f"rates {r.shape} need one row for each of {directions.size} directions")
    total = np.tensordot(np.exp(2j * np.radians(directions)), r, axes=1)
    tuned = np.abs(total) > 1e-9 * r.sum(axis=0)
    return np.where(tuned, np.degrees(np.angle(total)) / 2 % 180, np.nan)
