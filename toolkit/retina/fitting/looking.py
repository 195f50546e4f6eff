"""Models that see frames as patches around receptive fields, and filters of these patches."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from toolkit.errors import DataError
from toolkit.retina.data import Steps
from toolkit.retina.fitting.model import EncodingModel
from toolkit.retina.fitting.patches import blobs, fields_of, patches, roughness


class Looking(EncodingModel):
    """Sees frames as ``patches[frame, cell, pixel]`` around the receptive field of each cell.

    steps : data it is for

    Raises `InputError` for an experiment without receptive fields.
    """

    def __init__(self, steps: Steps) -> None:
        super().__init__()
        self.centre, self.half_width = fields_of(steps.experiment)
        self.shape, self.n_cells = steps.experiment.frames.shape[1:], steps.experiment.n_cells
        self.bin_ms = float(steps.bin_ms)

    def prepare(self, contrast: np.ndarray) -> Tensor:
        """Patches around the fields, (frame, cell, pixel).

        Raises `DataError` for frames of another size than the fields lie in.
        """
        if contrast.shape[1:] != self.shape:
            raise DataError(
                f"frames of {contrast.shape[1:]} pixels; the fields of this model lie in frames "
                f"of {self.shape}"
            )
        return patches(contrast, self.centre)


class SpatialFilters(nn.Module):
    """Filters in space of each cell, which start as the Gaussian of its field's outline.

    Parameters
    ----------
    half_width : (cell, 2), pixels
    n : filters of a cell; all but the first start with noise
    seed : of that noise
    smooth, anchor : weights in `penalty` of roughness, and of the distance from the Gaussian

    Attributes
    ----------
    weight : (cell, filter, pixel)
    """

    blob: Tensor

    def __init__(
        self, half_width: np.ndarray, n: int, seed: int, smooth: float, anchor: float
    ) -> None:
        super().__init__()
        self.smooth, self.anchor = smooth, anchor
        generator = torch.Generator().manual_seed(seed)
        blob = blobs(half_width)[:, None].repeat(1, n, 1)
        blob[:, 1:] += 0.3 * blob[:, 1:] * torch.randn(blob[:, 1:].shape, generator=generator)
        self.weight = nn.Parameter(blob)
        self.register_buffer("blob", blob.clone(), persistent=False)

    def features(self, patches: Tensor) -> Tensor:
        """Contrast seen by each filter, (frame, cell, filter)."""
        return torch.einsum("fcp,cgp->fcg", patches, self.weight)

    def penalty(self) -> Tensor:
        """Roughness, and mean squared distance from the outline's Gaussian."""
        away = (self.weight - self.blob).square().sum(dim=-1).mean()
        return self.smooth * roughness(self.weight) + self.anchor * away
