"""Whether pictures that look alike have codes that are alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.distance import pdist

from toolkit.errors import InputError
from toolkit.metrics.checks import finite

WINDOW = 7  # pixels, of the SSIM; the default of Wang et al.'s uniform window


def code_similarity(
    pictures: ArrayLike, codes: ArrayLike, data_range: float | None = None
) -> float:
    """Correlation over pairs of the pictures' SSIM with the cosine distance of their codes.

    Below 0 where pictures that look alike have codes that are alike. NaN where either does not
    vary.

    Parameters
    ----------
    pictures : (picture, y, x), 7 pixels or more each way
    codes : (picture, feature), such as spike counts; none of them all 0
    data_range : of the pixels; by default from the lowest to the highest

    Raises
    ------
    InputError : other shapes, fewer than 3 pictures, small pictures, codes that are all 0

    Source: Wang et al. 2004, IEEE Trans Image Processing 13:600 (SSIM, uniform window of 7 pixels,
    by scikit-image); the measure is that of Ma et al. 2023 (TeCoS-LVM), who state no window.

    >>> pictures = np.random.default_rng(1).random((5, 8, 8))
    >>> code_similarity(pictures, pictures.reshape(5, -1)) < -0.5
    True
    """
    from skimage.metrics import structural_similarity

    x, z = finite("pictures", pictures), finite("codes", codes)
    if x.ndim != 3 or z.ndim != 2 or len(x) != len(z) or len(x) < 3:
        raise InputError(
            "pictures (picture, y, x) and codes (picture, feature) of 3 or more pictures are "
            f"needed, got {x.shape} and {z.shape}"
        )
    if min(x.shape[1:]) < WINDOW:
        raise InputError(f"pictures need {WINDOW} pixels each way, got {x.shape[1:]}")
    if not z.any(axis=1).all():
        silent = np.flatnonzero(~z.any(axis=1)).tolist()
        raise InputError(f"codes of the pictures {silent} are 0: their direction is not defined")
    size = float(np.ptp(x)) if data_range is None else data_range
    if not size > 0:
        raise InputError("the pictures are all of one grey: give a data_range above 0")
    first, second = np.triu_indices(len(x), 1)
    alike = [
        structural_similarity(x[i], x[j], win_size=WINDOW, data_range=size)
        for i, j in zip(first, second, strict=True)
    ]
    away = pdist(z, "cosine")
    if np.ptp(alike) == 0 or np.ptp(away) == 0:
        return float("nan")
    return float(np.corrcoef(alike, away)[0, 1])
