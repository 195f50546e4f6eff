"""Sinusoidal gratings that drift or stand."""

from __future__ import annotations

import math

import numpy as np

from toolkit.errors import InputError
from toolkit.stimuli.frames import (
    PATCH_DEG,
    Movie,
    held,
    n_frames,
    n_pixels,
    pixel_centres_deg,
    positive,
)


def drifting_grating(
    *,
    orientation_deg: float = 0.0,
    duration_ms: float = 1000.0,
    spatial_frequency_cpd: float = 0.04,
    temporal_frequency_Hz: float = 2.0,
    contrast: float = 0.8,
    phase_deg: float = 0.0,
    size_deg: tuple[float, float] = PATCH_DEG,
    deg_per_px: float = 1.0,
    dt_ms: float = 1.0,
) -> Movie:
    """A full-field sinusoidal grating that drifts towards `orientation_deg`.

        S(x, y, t) = c cos(2 pi (f_s (x cos a + y sin a) - f_t t) + phase)

    The defaults are those of the Allen Brain Observatory's gratings at 2 Hz.

    Parameters
    ----------
    orientation_deg : a, the direction of motion, counter-clockwise: 0 moves to the right, 90 up,
        180 to the left; the bars stand at a right angle to it
    duration_ms : length, a whole number of dt
    spatial_frequency_cpd : f_s, cycles per degree, 0 to half a cycle a pixel
    temporal_frequency_Hz : f_t, 0 to half a cycle a frame
    contrast : c, 0 to 1
    phase_deg : phase at the centre of the patch at t = 0
    size_deg : (width, height) of the patch
    deg_per_px : pixel size
    dt_ms : duration of a frame; frame k shows t = k dt

    Raises
    ------
    InputError : a value outside those ranges

    Source: de Vries et al. 2020, Nature Neuroscience 23:138 (stimulus).

    Examples
    --------
    >>> drifting_grating(orientation_deg=45, duration_ms=100).frames.shape
    (100, 60, 60)
    """
    n = n_frames(duration_ms, dt_ms)
    height, width = n_pixels(size_deg, deg_per_px)
    _check_range("contrast", contrast, 1.0)
    _check_range("temporal_frequency_Hz", temporal_frequency_Hz, 500 / dt_ms)
    _check_range("spatial_frequency_cpd", spatial_frequency_cpd, 0.5 / deg_per_px)
    angle, phase = _radians(orientation_deg=orientation_deg), _radians(phase_deg=phase_deg)
    along = np.add.outer(
        pixel_centres_deg(height, deg_per_px) * math.sin(angle),
        pixel_centres_deg(width, deg_per_px) * math.cos(angle),
    )
    space = 2 * math.pi * spatial_frequency_cpd * along.ravel() + phase
    time = 2 * math.pi * temporal_frequency_Hz * np.arange(n) * (dt_ms / 1000)
    # cos(space - time) as two outer products: far cheaper than a cosine a pixel and frame
    waves = np.stack([np.cos(time), np.sin(time)], axis=1).astype(np.float32)
    bars = contrast * np.stack([np.cos(space), np.sin(space)]).astype(np.float32)
    frames = (waves @ bars).reshape(n, height, width)
    frames.flags.writeable = False
    return Movie(frames, dt_ms, deg_per_px)


def static_grating(
    *,
    orientation_deg: float = 0.0,
    duration_ms: float = 250.0,
    spatial_frequency_cpd: float = 0.04,
    contrast: float = 0.8,
    phase_deg: float = 0.0,
    size_deg: tuple[float, float] = PATCH_DEG,
    deg_per_px: float = 1.0,
    dt_ms: float = 1.0,
) -> Movie:
    """A grating that stands still: the first frame of `drifting_grating`, held.

    Contrast varies along `orientation_deg`; the bars stand at a right angle to it. Arguments and
    errors are those of `drifting_grating`.

    >>> static_grating(orientation_deg=90, duration_ms=250).changes.tolist()
    [0]
    """
    positive("dt_ms", dt_ms)
    first = drifting_grating(
        orientation_deg=orientation_deg,
        duration_ms=dt_ms,
        spatial_frequency_cpd=spatial_frequency_cpd,
        temporal_frequency_Hz=0.0,
        contrast=contrast,
        phase_deg=phase_deg,
        size_deg=size_deg,
        deg_per_px=deg_per_px,
        dt_ms=dt_ms,
    )
    return held(first.frames[0], duration_ms, dt_ms, deg_per_px)


def _check_range(name: str, value: float, high: float) -> None:
    if not 0 <= value <= high:
        raise InputError(f"{name} must be within 0 to {high:g}, got {value}")


def _radians(**degrees: float) -> float:
    (name, value), *_ = degrees.items()
    if not math.isfinite(value):
        raise InputError(f"{name} must be a finite angle in degrees, got {value}")
    return math.radians(value)
