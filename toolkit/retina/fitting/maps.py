"""Feature maps around each cell and their filters in time, shared by all cells."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from toolkit.retina.fitting.lags import Lags
from toolkit.retina.fitting.layers import normal_weights
from toolkit.retina.fitting.patches import SIDE

KERNEL, STRIDE = 7, 3  # pixels: 3 x 3 places of each map within the patch of a cell
PLACES = ((SIDE - KERNEL) // STRIDE + 1) ** 2


class Maps(nn.Module):
    """Filters shared by all cells, at 3 x 3 places around the field of each.

    n : number of maps

    The same as a convolution of the frame that is read at the cell's place.
    """

    def __init__(self, n: int, generator: torch.Generator) -> None:
        super().__init__()
        self.weight = nn.Parameter(0.15 * torch.randn(n, 1, KERNEL, KERNEL, generator=generator))

    def features(self, patches: Tensor) -> Tensor:
        """Features (frame, cell, map, place) of patches (frame, cell, pixel)."""
        flat = patches.reshape(-1, 1, SIDE, SIDE)
        maps = nn.functional.conv2d(flat, self.weight, stride=STRIDE)
        return maps.reshape(*patches.shape[:2], len(self.weight), PLACES)


class TimeFilters(nn.Module):
    """A filter in time of each map; weight : (cosine, map)."""

    def __init__(self, n_maps: int, bin_ms: float, generator: torch.Generator) -> None:
        super().__init__()
        self.lags = Lags(bin_ms)
        self.weight = normal_weights(len(self.lags.basis), n_maps, generator=generator)

    def filtered(self, features: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """Of features (sequence, step, cell, map, place), and the past after them.

        Gives (map, step, sequence, cell, place).
        """
        whole, after = self.lags.joined(features, past)
        b, n, n_cells, n_maps, n_places = features.shape
        kernel = (self.lags.basis.T @ self.weight).T.flip(1)  # (map, lag), the oldest first
        flat = whole.permute(3, 1, 0, 2, 4).reshape(n_maps, whole.shape[1], -1)
        return (_moved_along(kernel, n) @ flat).reshape(n_maps, n, b, n_cells, n_places), after


def _moved_along(kernel: Tensor, n: int) -> Tensor:
    """Each kernel (map, lag) as the matrix (map, step, n - 1 + lag) of its sums over time.

    One product of matrices takes a seventh of the time of a convolution with a channel a map.
    """
    n_maps, n_lags = kernel.shape
    row = nn.functional.pad(kernel, (0, n))
    length = n_lags - 1 + n
    # Rows one longer than those of the matrix: each begins a step later than the one above.
    return row.repeat(1, n)[:, : n * length].reshape(n_maps, n, length)
