"""Fine orientation: does a grating drift towards more than 45 degrees?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from toolkit.errors import InputError
from toolkit.rng import stream
from toolkit.stimuli.frames import positive
from toolkit.tasks.canvas import Canvas
from toolkit.tasks.pictures import SPLITS
from toolkit.tasks.task import (
    THRESHOLD_HZ,
    Items,
    check_counts,
    check_task,
    epoch_stream,
)
from toolkit.tasks.timing import SINGLE, Timing

_PHASES = 2**20  # of each split


@dataclass(frozen=True, eq=False)
class FineOrientation:
    """A `Task`; made by `fine_orientation`, where its fields are described."""

    boundary_deg: float
    range_deg: float
    step_deg: float
    spatial_frequency_cpd: float
    temporal_frequency_Hz: float
    contrast: float
    timing: Timing
    canvas: Canvas
    n_items: Mapping[str, int]
    seed: int

    name = "fine orientation"
    n_classes = 2
    threshold_Hz = THRESHOLD_HZ
    source = "gratings, generated"
    # Measured: of our LGN with these gratings. The released code's has 16.5 and 22.0 Hz (0.02146
    # and 0.02855 a ms, a rate r being 1.3 r / 1000 there).
    pixel_mean_Hz = 4.26
    pixel_sd_Hz = 3.74

    @property
    def orientations_deg(self) -> np.ndarray:
        """The orientations that are shown, rising."""
        n = round(self.range_deg / self.step_deg)
        return self.boundary_deg + self.step_deg * np.arange(-n, n + 1)

    def pictures(self, shape: tuple[int, int]) -> np.ndarray:
        """Cosine gratings of all orientations, then sine gratings, float32 (picture, y, x)."""
        y, x = self.canvas.centres_deg(shape)
        angle = np.deg2rad(self.orientations_deg)[:, None, None]
        along = np.cos(angle) * x[None, None, :] + np.sin(angle) * y[None, :, None]
        phase = 2 * math.pi * self.spatial_frequency_cpd * along
        return np.concatenate([np.cos(phase), np.sin(phase)]).astype(np.float32)

    def courses(self, dt_ms: float) -> np.ndarray:
        """cos(2 pi f t) and sin(2 pi f t) from the onset on, float64 (2, step)."""
        on = self.timing.shown(dt_ms)[0]
        time_s = (np.cumsum(on) - 1) * on * (dt_ms / 1000)
        angle = 2 * math.pi * self.temporal_frequency_Hz * time_s
        return on * np.stack([np.cos(angle), np.sin(angle)])

    def draw(self, split: str, *, seed: int = 0, epoch: int = 0) -> Items:
        """Items of an epoch; `what` is the number of the orientation and the phase in radians.

        Half of the items are above the boundary. Phases come from three interleaved grids, one
        for each split, so that no stimulus is in two of them.
        """
        seed, name, number = epoch_stream(self.seed, split, seed, epoch)
        rng, n = stream(seed, "tasks", self.name, name, number), self.n_items[split]
        targets = rng.permutation(np.arange(n) % 2)
        half = (len(self.orientations_deg) - 1) // 2
        # Uniform numbers rounded to the step: the two ends come half as often as the others.
        least = np.where(targets, 0.5, -0.5)
        away = np.floor(least + rng.random(n) * (half - least) + 0.5).astype(np.int64)
        away = np.where(targets, away, -away)
        place = rng.integers(_PHASES, size=n) * len(SPLITS) + SPLITS.index(split)
        phase = place * (2 * math.pi / (_PHASES * len(SPLITS)))
        return Items(targets, np.stack([half + away, phase], axis=1))

    def coefficients(self, what: np.ndarray) -> np.ndarray:
        """cos(space + phase) and sin(space + phase) by cosine and sine gratings."""
        n, n_each = len(what), len(self.orientations_deg)
        row, which = np.arange(n), what[:, 0].astype(np.int64)
        cos, sin = np.cos(what[:, 1]), np.sin(what[:, 1])
        parts = np.zeros((n, 2, 2 * n_each), dtype=np.float32)
        parts[row, 0, which], parts[row, 0, n_each + which] = cos, -sin
        parts[row, 1, which], parts[row, 1, n_each + which] = sin, cos
        return parts


def fine_orientation(
    *,
    boundary_deg: float = 45.0,
    range_deg: float = 2.0,
    step_deg: float = 0.1,
    spatial_frequency_cpd: float = 0.05,
    temporal_frequency_Hz: float = 2.0,
    contrast: float = 1.0,
    timing: Timing = SINGLE,
    canvas: Canvas | None = None,
    n_items: Mapping[str, int] | None = None,
    seed: int = 0,
) -> FineOrientation:
    """Does a drifting grating of 43 to 47 degrees drift towards more than 45?

        S(x, y, t) = c cos(2 pi (f_s (x cos a + y sin a) - f_t t) + phase)

    with t from the onset, as `toolkit.stimuli.drifting_grating`. Orientations are rounded to
    `step_deg`; exactly `boundary_deg` counts as no. Phases are random.

    Parameters
    ----------
    boundary_deg, range_deg, step_deg : orientations lie within boundary +- range
    spatial_frequency_cpd : f_s, cycles per degree
    temporal_frequency_Hz : f_t. The released code passes 2 Hz and then shows a standing grating;
        the thesis says drifting, which is what 2 Hz does here and 0 Hz does not
    contrast : c; the LGN's filters are for 0 to 1
    timing : one stimulus
    canvas : 60 x 60 degrees by default
    n_items : by split; 54,000, 6,000 and 6,000 by default. Training items are drawn anew every
        epoch, half of each class (our choice: in the released code 51 % are no)
    seed : of the validation and test items

    Raises
    ------
    InputError : values outside those ranges, a range that is no whole number of steps

    Source: Chen, Scherr and Maass 2022, Sci Adv 8:eabq7592 (parameters, from the released code).

    Examples
    --------
    >>> task = fine_orientation()
    >>> task.orientations_deg[[0, 20, 40]].round(1).tolist(), task.draw("test").targets.mean()
    ([43.0, 45.0, 47.0], np.float64(0.5))
    """
    canvas = canvas or Canvas()
    check_task(contrast, timing, 1)
    positive("step_deg", step_deg)
    positive("range_deg", range_deg)
    n_steps = range_deg / step_deg
    if not 1 <= n_steps <= 1000 or abs(n_steps - round(n_steps)) > 1e-6:
        raise InputError(
            f"range_deg must be 1 to 1000 times step_deg, got {range_deg:g} and {step_deg:g}"
        )
    limit = 0.5 / canvas.deg_per_px
    if not 0 < spatial_frequency_cpd <= limit:
        raise InputError(
            f"spatial_frequency_cpd must be above 0 and at most {limit:g} (half a cycle a pixel), "
            f"got {spatial_frequency_cpd}"
        )
    if not (0 <= temporal_frequency_Hz < math.inf and math.isfinite(boundary_deg)):
        raise InputError(
            "temporal_frequency_Hz must be 0 or more and boundary_deg finite, got "
            f"{temporal_frequency_Hz} and {boundary_deg}"
        )
    return FineOrientation(
        boundary_deg,
        range_deg,
        step_deg,
        spatial_frequency_cpd,
        temporal_frequency_Hz,
        contrast,
        timing,
        canvas,
        check_counts(dict(n_items or {})),
        seed,
    )
