"""Grey screens, held pictures and movies of any array."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from toolkit.errors import InputError, unknown
from toolkit.stimuli.frames import PATCH_DEG, Movie, held, n_pixels


def grey(
    *,
    duration_ms: float = 500.0,
    size_deg: tuple[float, float] = PATCH_DEG,
    deg_per_px: float = 1.0,
    dt_ms: float = 1.0,
) -> Movie:
    """A grey screen: contrast 0 for `duration_ms`, over (width, height) `size_deg`.

    >>> float(np.abs(grey(duration_ms=500).frames).max())
    0.0
    """
    return held(np.zeros(n_pixels(size_deg, deg_per_px)), duration_ms, dt_ms, deg_per_px)


def image(
    picture: ArrayLike,
    *,
    duration_ms: float = 250.0,
    deg_per_px: float = 1.0,
    dt_ms: float = 1.0,
    origin: str = "lower",
) -> Movie:
    """A picture held for a time, shown at its own resolution.

    Parameters
    ----------
    picture : contrast -1 to 1, shape (y, x); grey values of 0 to 255 become it by v / 127.5 - 1
    duration_ms : length, a whole number of dt
    deg_per_px : pixel size; 60 x 60 pixels of 1 degree cover the default patch of the gratings
    dt_ms : duration of a frame
    origin : where row 0 is, ``"lower"`` (as in `Movie`) or ``"upper"`` (as in picture files)

    Raises
    ------
    InputError : another rank, NaN, contrast outside -1 to 1, an unknown origin

    Examples
    --------
    >>> image([[1, 0], [0, 0]], duration_ms=100, origin="upper").frames[0].tolist()
    [[0.0, 0.0], [1.0, 0.0]]
    """
    frame = np.asarray(picture, dtype=np.float32)
    if frame.ndim != 2:
        raise InputError(
            f"a picture has shape (y, x), got {frame.shape}; average colours first, and give "
            "many frames to stimuli.movie"
        )
    return held(_lower_first(frame, origin), duration_ms, dt_ms, deg_per_px)


def movie(
    frames: ArrayLike, *, dt_ms: float = 1.0, deg_per_px: float = 1.0, origin: str = "lower"
) -> Movie:
    """A movie of any array of contrast -1 to 1, shape (time, y, x).

    `origin` says where row 0 is, as in `image`. Filters work in whole milliseconds: use
    ``movie(...).resampled(1.0)`` for the frame rate of a camera.

    >>> movie(np.zeros((30, 8, 8)), dt_ms=10.0).duration_ms
    300.0
    """
    array = np.asarray(frames)
    return Movie(_lower_first(array, origin) if array.ndim == 3 else array, dt_ms, deg_per_px)


def _lower_first(array: np.ndarray, origin: str) -> np.ndarray:
    if origin not in ("lower", "upper"):
        raise unknown("origin", origin, ["lower", "upper"])
    return array[..., ::-1, :] if origin == "upper" else array
