"""Pictures with noise: any task, shown with Gaussian noise on its pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from toolkit.errors import InputError
from toolkit.rng import stream
from toolkit.tasks.canvas import Canvas
from toolkit.tasks.images import ImageClassification, VisualChange
from toolkit.tasks.task import Items, Task, epoch_stream
from toolkit.tasks.timing import Timing

NOISE_PX = 30  # pixels of noise along a side of the canvas, 2 degrees, like those of the pictures


@dataclass(frozen=True, eq=False)
class NoisyTask:
    """A `Task`; made by `with_noise`."""

    task: Task
    sd: float
    seed: int

    @property
    def name(self) -> str:
        """Of the task."""
        return self.task.name

    @property
    def n_classes(self) -> int:
        """Number of answers."""
        return self.task.n_classes

    @property
    def threshold_Hz(self) -> float | None:
        """The rate that the pool of a two-way task is compared with."""
        return self.task.threshold_Hz

    @property
    def timing(self) -> Timing:
        """When stimuli are on and answers are read."""
        return self.task.timing

    @property
    def canvas(self) -> Canvas:
        """Where things are shown."""
        return self.task.canvas

    @property
    def contrast(self) -> float:
        """Half the difference of white and black."""
        return self.task.contrast

    @property
    def pixel_mean_Hz(self) -> float:
        """Mean of the inputs where pixels are the input."""
        return self.task.pixel_mean_Hz

    @property
    def pixel_sd_Hz(self) -> float:
        """Standard deviation of the same."""
        return self.task.pixel_sd_Hz

    @property
    def source(self) -> str:
        """In words, where the stimuli come from."""
        return f"{self.task.source}; with noise of {self.sd:g} of the range from black to white"

    @property
    def has_pixels(self) -> bool:
        """Whether the task's own pictures are pixels, to which noise can be added."""
        return isinstance(self.task, ImageClassification | VisualChange)

    def pictures(self, shape: tuple[int, int]) -> np.ndarray:
        """Those of the task, then pixels of noise if it has none of its own; (picture, y, x)."""
        own = self.task.pictures(shape)
        if self.has_pixels:
            return own
        # From black to white is 2 for a picture of contrast 1.
        return np.concatenate([own, 2 * self.canvas.footprints((NOISE_PX, NOISE_PX), shape)])

    def courses(self, dt_ms: float) -> np.ndarray:
        """Those of the task; noise of its own is there while a stimulus is, and stands still."""
        own = self.task.courses(dt_ms)
        return own if self.has_pixels else np.concatenate([own, self.timing.shown(dt_ms)])

    def draw(self, split: str, *, seed: int = 0, epoch: int = 0) -> Items:
        """The task's items, each with the number of its noise in a last column of `what`."""
        items = self.task.draw(split, seed=seed, epoch=epoch)
        own_seed, name, number = epoch_stream(self.seed, split, seed, epoch)
        keys = stream(own_seed, "tasks", "noise", name, number).integers(
            2**52, size=len(items.targets)
        )
        return Items(items.targets, np.column_stack([items.what, keys]))

    def coefficients(self, what: np.ndarray) -> np.ndarray:
        """Coefficients of the task with noise, float32 (item, part, picture)."""
        own = self.task.coefficients(what[:, :-1])
        n, n_parts, n_own = own.shape
        if self.has_pixels:  # the last picture is the black screen
            noisy = own[..., :-1] + self._noise(what, n_parts, n_own - 1)
            own[..., :-1] = noisy.clip(0, 1)
            return own
        n_stimuli = len(self.timing.onsets_ms)
        whole = np.zeros((n, n_parts + n_stimuli, n_own + NOISE_PX**2), dtype=np.float32)
        whole[:, :n_parts, :n_own] = own
        whole[:, n_parts:, n_own:] = self._noise(what, n_stimuli, NOISE_PX**2)
        return whole

    def _noise(self, what: np.ndarray, n_parts: int, n_pixels: int) -> np.ndarray:
        """Of every item by its number: the same whatever the batch, and for every sd."""
        size = (n_parts, n_pixels)
        each = [
            stream(self.seed, "tasks", "noise", int(key)).standard_normal(size, np.float32)
            for key in what[:, -1]
        ]
        return np.float32(self.sd) * np.stack(each)


def with_noise(task: Task, sd: float, *, seed: int = 0) -> NoisyTask:
    """The task with Gaussian noise on every pixel that is shown, new for each item and stimulus.

    Pictures get it on their own pixels, and are clipped to black and white. Gratings get it on
    30 x 30 pixels of their own, unclipped: a grating's black and white are no limits of a screen
    (beyond those of a `Movie`, which is for contrasts up to 1, `toolkit.tasks.movie` refuses it).
    Noise stands still while its stimulus is on; between stimuli there is none. The noise of an
    item has the same pattern for every `sd`.

    Parameters
    ----------
    task : without noise
    sd : standard deviation as a share of the range from the task's black to its white (twice its
        contrast)
    seed : of the noise of validation and test items; in training that of the epoch is used

    Raises
    ------
    InputError : a negative sd

    Examples
    --------
    >>> from toolkit.tasks import Batches, image_classification
    >>> task = with_noise(image_classification("digits"), 0.2)
    >>> next(Batches(task).epoch("test", batch_size=4)).inputs.shape
    torch.Size([4, 120, 832])
    """
    if not 0 <= sd < math.inf:
        raise InputError(f"the noise's sd must be 0 or more, got {sd}")
    return NoisyTask(task, float(sd), seed)
