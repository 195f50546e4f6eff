"""Memory of a number of past steps: the state is the features that were seen in them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from toolkit.retina.fitting.patches import cosines

MEMORY_MS = 300.0  # of filters in time; our choice: the ganglion cells' filters are shorter
N_COSINES = 8


class Lags(nn.Module):
    """Features of the last `MEMORY_MS`, on raised cosines.

    Attributes
    ----------
    n_lags : steps that are looked back at, the present one among them
    basis : (cosine, lag), orthonormal rows, lag 0 being the same step
    """

    basis: Tensor

    def __init__(self, bin_ms: float) -> None:
        super().__init__()
        self.n_lags = max(2, round(MEMORY_MS / bin_ms))
        self.register_buffer("basis", cosines(min(N_COSINES, self.n_lags), self.n_lags))

    def start(self, n: int, *shape: int) -> Tensor:
        """Grey before the first step of n sequences; `shape` is that of a frame's features."""
        return torch.zeros(n, self.n_lags - 1, *shape)

    def joined(self, features: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """Past and features (sequence, step, ...) one after the other, and the past after them."""
        whole = torch.cat([past, features], dim=1)
        return whole, whole[:, features.shape[1] :]

    def projected(self, features: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """Projections on the basis, (sequence, step, ..., cosine), and the past after them."""
        whole, after = self.joined(features, past)
        n = features.shape[1]
        flat = whole.flatten(2).transpose(1, 2).flatten(0, 1)[:, None]  # (sequence x feature, 1, t)
        out = nn.functional.conv1d(flat, self.basis.flip(1)[:, None])
        out = out.reshape(len(features), -1, len(self.basis), n).permute(0, 3, 1, 2)
        return out.reshape(*features.shape, -1), after

    def weights_of(self, filter_of_ms: Callable[[Tensor], Tensor]) -> Tensor:
        """Weights (cosine,) of a filter like a function of the lag in ms, absolute values sum to 1.

        Features that do not change come out no larger than they are.
        """
        bin_ms = MEMORY_MS / self.n_lags
        weights = self.basis @ filter_of_ms(torch.arange(self.n_lags) * bin_ms)
        return weights / (weights @ self.basis).abs().sum()
