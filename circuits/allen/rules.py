"""Constants and formulas that go with the tables: connection probability and its orientation rule.

Source of all: Billeh et al. 2020, Neuron 106:388-403. Units are in the names.
"""

from __future__ import annotations

import numpy as np

INNER_RADIUS_UM = 1.0  # of the column: somata lie between this and the radius of the core ...
CORE_RADIUS_UM = 400.0  # ... for the counts n_core
FULL_RADIUS_UM = 845.0  # ... for the counts n_full
PROBABILITY_RADIUS_UM = 75.0  # disc over which the measured probabilities are means

DEFAULT_LGN_TYPES = (
    "sON_TF1",
    "sON_TF2",
    "sON_TF4",
    "sON_TF8",
    "sOFF_TF1",
    "sOFF_TF2",
    "sOFF_TF4",
    "sOFF_TF8",
    "sOFF_TF15",
    "tOFF_TF4",
    "tOFF_TF8",
    "tOFF_TF15",
    "tON_TF8",
)
"""The 13 LGN types of the 13 x 64 channels: our choice, to be changed by option.

No public list has 13: the published networks have 14, of which two are composites of an ON and an
OFF subfield. The 12 with one subfield and tON_TF8 make 13 plain ON or OFF filters, none of which
needs an axis angle; tON_TF8 is the only transient ON group among the recorded cells, and without
it there would be no transient ON channel at all.
"""


def peak_probability(p_within_75um: np.ndarray | float, sigma_um: np.ndarray | float) -> np.ndarray:
    """Probability A0 at distance 0 of the fall-off A0 exp(-(d/sigma)^2).

    A0 = min(1, p / [(sigma/R)^2 (1 - exp(-(R/sigma)^2))]), so that the mean over a disc of radius
    R = 75 um is p. Note that the exponent has no factor 1/2.

    Parameters
    ----------
    p_within_75um, sigma_um : arrays of one shape (or numbers); probability, um

    >>> peak_probability(0.16, 114.0).round(4)
    np.float64(0.1971)
    """
    ratio = (np.asarray(sigma_um, dtype=float) / PROBABILITY_RADIUS_UM) ** 2
    return np.minimum(1.0, p_within_75um / (ratio * -np.expm1(-1 / ratio)))


def orientation_rule(
    A0: np.ndarray | float, b_ratio: np.ndarray | float
) -> tuple[np.ndarray, np.ndarray]:
    """Intercept B1 and gradient (1/deg) of the factor B1 + gradient dori on the probability.

    B1 = 2/(1+b), B2 = b B1, gradient = (B2 - B1)/90 with dori from 0 to 90 degrees: the mean is 1
    and the ends have the ratio b. Where A0 B1 would exceed 1, B1 is lowered to 1/A0 and B2 raised
    by as much, which keeps the mean.

    Parameters
    ----------
    A0 : peak probability (`peak_probability`)
    b_ratio : probability at 90 degrees over that at 0; NaN for no rule (1 and 0 are returned)

    >>> B1, gradient = orientation_rule(0.1971, 0.5)
    >>> B1.round(4), gradient.round(6)
    (np.float64(1.3333), np.float64(-0.007407))
    """
    A0, b = np.broadcast_arrays(np.asarray(A0, dtype=float), np.asarray(b_ratio, dtype=float))
    b = np.where(np.isnan(b), 1.0, b)
    with np.errstate(divide="ignore"):
        B1 = np.minimum(2 / (1 + b), np.where(A0 > 0, 1 / A0, np.inf))
    return B1[()], ((2 - 2 * B1) / 90)[()]
