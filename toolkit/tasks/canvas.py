"""The patch of the visual field on which the tasks are shown."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from toolkit.stimuli.frames import PATCH_DEG, n_pixels


@dataclass(frozen=True)
class Canvas:
    """Size and resolution of what is shown.

    Attributes
    ----------
    size_deg : (width, height). Ours is the 60 x 60 degrees that the LGN's image layout covers; the
        released code has 240 x 120 degrees, half of them black beside a square picture
    deg_per_px : pixel size

    Raises `InputError` for sides that hold no pixel.

    >>> Canvas(size_deg=(240, 120)).shape
    (120, 240)
    """

    size_deg: tuple[float, float] = PATCH_DEG
    deg_per_px: float = 1.0

    def __post_init__(self) -> None:
        n_pixels(self.size_deg, self.deg_per_px)

    @property
    def shape(self) -> tuple[int, int]:
        """Pixels (y, x)."""
        return n_pixels(self.size_deg, self.deg_per_px)

    def centres_deg(self, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Centres (y, x), degrees from the middle, of the canvas cut into `shape` pixels."""
        y, x = (
            ((np.arange(n) + 0.5) / n - 0.5) * (n_canvas * self.deg_per_px)
            for n, n_canvas in zip(shape, self.shape, strict=True)
        )
        return y, x

    def footprints(self, picture: tuple[int, int], shape: tuple[int, int]) -> np.ndarray:
        """What each pixel of a picture adds to the canvas, shape (row x column, y, x), float32.

        The picture is as large as fits, centred, upright (row 0 of the canvas is the lowest).
        Interpolation is bilinear, with smoothing where it gets smaller: unlike the Lanczos filter
        of the released code it never leaves the range of the picture, so that nothing needs to be
        clipped and what is shown is linear in the pixels.

        >>> Canvas().footprints((2, 2), (4, 4))[:2].sum(axis=(0, 2)).tolist()  # the upper row
        [0.0, 1.0, 3.0, 4.0]
        """
        (rows, columns), (height, width) = picture, self.shape
        scale = min(width / columns, height / rows)
        inner = (
            max(1, round(rows * scale / height * shape[0])),
            max(1, round(columns * scale / width * shape[1])),
        )
        each = torch.eye(rows * columns).reshape(-1, 1, rows, columns)
        resized = torch.nn.functional.interpolate(each, inner, mode="bilinear", antialias=True)
        shown = np.zeros((rows * columns, *shape), dtype=np.float32)
        up, left = (shape[0] - inner[0]) // 2, (shape[1] - inner[1]) // 2
        shown[:, up : up + inner[0], left : left + inner[1]] = resized[:, 0].numpy()
        return np.ascontiguousarray(shown[:, ::-1])
