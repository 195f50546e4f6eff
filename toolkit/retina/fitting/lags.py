"""Models whose memory is a number of past steps: the state is their features."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from toolkit.errors import DataError
from toolkit.retina.data import Steps
from toolkit.retina.fitting.model import EncodingModel, State
from toolkit.retina.fitting.patches import blobs, cosines, fields_of, patches, roughness

MEMORY_MS = 300.0  # of filters in time; our choice: the ganglion cells' filters are shorter
N_COSINES = 8


class Looking(EncodingModel):
    """Spatial filters at the receptive field of each cell: features (frame, cell, filter)."""

    blob: Tensor

    def __init__(
        self, steps: Steps, n_filters: int, seed: int, smooth: float, anchor: float = 0.0
    ) -> None:
        super().__init__()
        self.centre, half_width = fields_of(steps.experiment)
        self.shape, self.n_cells = steps.experiment.frames.shape[1:], steps.experiment.n_cells
        self.bin_ms, self.smooth, self.anchor = float(steps.bin_ms), smooth, anchor
        generator = torch.Generator().manual_seed(seed)
        blob = blobs(half_width)[:, None].repeat(1, n_filters, 1)
        blob[:, 1:] += 0.3 * blob[:, 1:] * torch.randn(blob[:, 1:].shape, generator=generator)
        self.spatial = nn.Parameter(blob)
        self.register_buffer("blob", blob.clone(), persistent=False)

    def prepare(self, contrast: np.ndarray) -> Tensor:
        """Patches around the fields."""
        if contrast.shape[1:] != self.shape:
            raise DataError(
                f"frames of {contrast.shape[1:]} pixels; the fields of this model lie in frames "
                f"of {self.shape}"
            )
        return patches(contrast, self.centre)

    def encode(self, prepared: Tensor) -> Tensor:
        """Contrast seen by each filter, (frame, cell, filter)."""
        return torch.einsum("fcp,cgp->fcg", prepared, self.spatial)

    def penalty(self) -> Tensor:
        """Roughness of the spatial filters, and their distance from the outline's Gaussian."""
        away = (self.spatial - self.blob).square().sum(dim=-1).mean()
        return self.smooth * roughness(self.spatial) + self.anchor * away


class Lagged(Looking):
    """With filters in time of features (sequence, step, ...): raised cosines over `MEMORY_MS`."""

    basis: Tensor

    def __init__(
        self, steps: Steps, n_filters: int, seed: int, smooth: float, anchor: float = 0.0
    ) -> None:
        super().__init__(steps, n_filters, seed, smooth, anchor)
        self.n_lags = max(2, round(MEMORY_MS / self.bin_ms))
        self.register_buffer("basis", cosines(min(N_COSINES, self.n_lags), self.n_lags))

    def start(self, n: int) -> State:
        """Grey before the first step."""
        return (torch.zeros(n, self.n_lags - 1, *self.feature_shape()),)

    def feature_shape(self) -> tuple[int, ...]:
        """Of one frame."""
        return (self.n_cells, self.spatial.shape[1])

    def filtered(self, features: Tensor, state: State) -> tuple[Tensor, State]:
        """Projections on the basis in time, (sequence, step, ..., basis), and the state after."""
        whole = torch.cat([state[0], features], dim=1)
        n = features.shape[1]
        flat = whole.flatten(2).transpose(1, 2).flatten(0, 1)[:, None]  # (sequence x feature, 1, t)
        out = nn.functional.conv1d(flat, self.basis.flip(1)[:, None])
        out = out.reshape(len(features), -1, len(self.basis), n).permute(0, 3, 1, 2)
        return out.reshape(*features.shape, -1), (whole[:, n:],)


def start_rates(steps: Steps, windows: np.ndarray | None = None) -> Tensor:
    """Mean counts a step of each cell in windows, at least one spike in all, (cell,)."""
    counts = steps.in_windows(steps.counts, windows)
    n = counts.shape[0] * counts.shape[1] * counts.shape[3]
    return torch.from_numpy((np.maximum(counts.sum(axis=(0, 1, 3)), 1) / n).astype("float32"))
