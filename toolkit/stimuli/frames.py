"""`Movie`: contrast over time and a patch of the visual field."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from toolkit.errors import InputError

# Receptive fields spread over 37 x 37 degrees with sigmas up to 3.3 degrees lie inside this to
# 3 sigma, so the border of the patch is not felt.
PATCH_DEG = (60.0, 60.0)
_ROUNDING = 1e-6  # of contrast and of durations, so that float32 and steps of 0.1 ms pass


@dataclass(frozen=True, eq=False)
class Movie:
    """Contrast over time and visual field.

    Attributes
    ----------
    frames : contrast -1 to 1, shape (time, y, x), float32, read-only; row 0 is the lowest
        elevation; frame k is shown from k dt to (k + 1) dt
    dt_ms : duration of a frame
    deg_per_px : width and height of a pixel, degrees of visual angle

    Raises
    ------
    InputError : another rank, no frames or pixels, NaN, contrast outside -1 to 1, dt or pixel
        size not above 0

    Examples
    --------
    >>> flash = Movie(np.ones((20, 4, 6)), dt_ms=1.0, deg_per_px=2.0)
    >>> flash.duration_ms, flash.x_deg.tolist()
    (20.0, [-5.0, -3.0, -1.0, 1.0, 3.0, 5.0])
    """

    frames: np.ndarray
    dt_ms: float = 1.0
    deg_per_px: float = 1.0

    def __post_init__(self) -> None:
        positive("dt_ms", self.dt_ms)
        positive("deg_per_px", self.deg_per_px)
        frames = self.frames
        if getattr(frames, "dtype", None) != np.float32 or frames.flags.writeable:
            frames = np.array(frames, dtype=np.float32)
            frames.flags.writeable = False
        if frames.ndim != 3 or 0 in frames.shape:
            raise InputError(
                f"frames have shape (time, y, x), none of them 0, got {frames.shape}; "
                "one picture becomes a movie with stimuli.image(picture, duration_ms=...)"
            )
        # A held picture is a view with stride 0: looking at it once is enough.
        _check_contrast(frames if frames.strides[0] else frames[:1])
        object.__setattr__(self, "frames", frames)

    @property
    def duration_ms(self) -> float:
        """Length of the movie."""
        return len(self.frames) * self.dt_ms

    @property
    def x_deg(self) -> np.ndarray:
        """Azimuth of the pixel centres from the centre of the patch, shape (x,)."""
        return pixel_centres_deg(self.frames.shape[2], self.deg_per_px)

    @property
    def y_deg(self) -> np.ndarray:
        """Elevation of the pixel centres from the centre of the patch, shape (y,)."""
        return pixel_centres_deg(self.frames.shape[1], self.deg_per_px)

    @cached_property
    def changes(self) -> np.ndarray:
        """Numbers of the frames that differ from the one before, with 0 first."""
        if self.frames.strides[0] == 0:
            return np.zeros(1, dtype=np.int64)
        new = np.ones(len(self.frames), dtype=bool)
        for start in range(1, len(self.frames), 1024):  # in blocks: comparing takes memory
            block = self.frames[start - 1 : start + 1024]
            new[start : start + 1024] = (block[1:] != block[:-1]).any(axis=(1, 2))
        return np.flatnonzero(new)

    @cached_property
    def digest(self) -> str:
        """Hash of the content: movies of equal frames, dt and pixel size have equal digests."""
        content = hashlib.sha256(
            repr((self.frames.shape, float(self.dt_ms), float(self.deg_per_px))).encode()
        )
        content.update(self.changes.tobytes())
        for k in self.changes:
            content.update(self.frames[k].tobytes())
        return content.hexdigest()

    def then(self, other: Movie) -> Movie:
        """This movie followed by another of the same frame size, pixel size and dt.

        Raises `InputError` when they differ.
        """
        for what, mine, its in (
            ("frames of shape (y, x)", self.frames.shape[1:], other.frames.shape[1:]),
            ("deg_per_px", self.deg_per_px, other.deg_per_px),
            ("dt_ms", self.dt_ms, other.dt_ms),
        ):
            if mine != its:
                raise InputError(
                    f"movies joined by then() need equal {what}, got {mine} and {its}; give both "
                    "the same size_deg, deg_per_px and dt_ms, or use resampled(dt_ms)"
                )
        frames = np.concatenate([self.frames, other.frames])
        frames.flags.writeable = False
        return Movie(frames, self.dt_ms, self.deg_per_px)

    def resampled(self, dt_ms: float) -> Movie:
        """The same movie in frames of `dt_ms`, each showing what was on at its middle.

        The length becomes the nearest whole number of frames.

        >>> Movie(np.zeros((60, 8, 8)), dt_ms=1000 / 60).resampled(1.0).frames.shape
        (1000, 8, 8)
        """
        positive("dt_ms", dt_ms)
        n = max(1, round(self.duration_ms / dt_ms))
        shown = ((np.arange(n) + 0.5) * (dt_ms / self.dt_ms)).astype(np.int64)
        frames = self.frames[np.minimum(shown, len(self.frames) - 1)]
        frames.flags.writeable = False
        return Movie(frames, dt_ms, self.deg_per_px)


def held(frame: np.ndarray, duration_ms: float, dt_ms: float, deg_per_px: float) -> Movie:
    """A movie of one frame of shape (y, x), stored once whatever its length."""
    frame = np.array(frame, dtype=np.float32)
    n = n_frames(duration_ms, dt_ms)
    return Movie(np.broadcast_to(frame, (n, *frame.shape)), dt_ms, deg_per_px)


def pixel_centres_deg(n: int, deg_per_px: float) -> np.ndarray:
    """Centres of n pixels in a row, in degrees from the middle of the row."""
    return (np.arange(n) - (n - 1) / 2) * deg_per_px


def n_frames(duration_ms: float, dt_ms: float) -> int:
    """Number of frames of dt in a duration; `InputError` unless it is a whole number."""
    positive("dt_ms", dt_ms)
    positive("duration_ms", duration_ms)
    n = max(1, round(duration_ms / dt_ms))
    if abs(n * dt_ms - duration_ms) > _ROUNDING * duration_ms:
        raise InputError(
            f"duration_ms={duration_ms:g} is not a whole number of frames of dt_ms={dt_ms:g}; "
            f"the nearest is {n * dt_ms:g} ms"
        )
    return n


def n_pixels(size_deg: tuple[float, float], deg_per_px: float) -> tuple[int, int]:
    """Pixels (y, x) of a patch of (width, height) degrees; `InputError` if there are none."""
    positive("deg_per_px", deg_per_px)
    if np.shape(size_deg) != (2,):
        raise InputError(f"size_deg is (width, height) in degrees, got {size_deg!r}")
    width, height = (round(positive("size_deg", side) / deg_per_px) for side in size_deg)
    if min(width, height) < 1:
        raise InputError(f"size_deg={size_deg} holds no pixel of {deg_per_px:g} degrees")
    return height, width


def positive(name: str, value: float) -> float:
    """The value, or `InputError` unless it is above 0 and finite."""
    if not (value > 0 and math.isfinite(value)):
        raise InputError(f"{name} must be above 0 and finite, got {value}")
    return value


def _check_contrast(frames: np.ndarray) -> None:
    low, high = float(frames.min()), float(frames.max())
    if math.isnan(low + high):
        raise InputError("frames hold NaN; contrast must be -1 (black) to 1 (white), 0 is grey")
    if low < -1 - _ROUNDING or high > 1 + _ROUNDING:
        raise InputError(
            f"contrast must be within -1 to 1 (0 is grey), got {low:g} to {high:g}; "
            "grey values of 0 to 255 become contrast by v / 127.5 - 1"
        )
