"""Feature maps of frames, and the CNN and the two CRNNs that read them.

CNN (McIntosh et al. 2016) and CRNN (Zheng et al. 2021). Those have a first layer over 20 frames and
dense read-outs; here the first layer is separable in space and time, and each cell reads the maps
at its receptive field only, which is our choice: it fits 13 s of responses and one processor.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from toolkit.retina.data import Steps
from toolkit.retina.fitting.lags import Lagged, start_rates
from toolkit.retina.fitting.model import Noise, Outputs, State
from toolkit.retina.fitting.patches import SIDE

KERNEL, STRIDE = 7, 3  # pixels: 3 x 3 places of each map within the patch of a cell


class Maps(Lagged):
    """Filters shared by all cells, at 3 x 3 places around the field of each.

    ``features[frame, cell, map, place]``; the same as a convolution read at the cell's place.
    """

    def __init__(self, steps: Steps, windows: np.ndarray | None, n_maps: int, seed: int) -> None:
        super().__init__(steps, 1, seed, 0.0)
        del self.spatial
        generator = torch.Generator().manual_seed(seed)
        self.n_maps, self.places = n_maps, ((SIDE - KERNEL) // STRIDE + 1) ** 2
        self.maps = nn.Parameter(0.15 * torch.randn(n_maps, 1, KERNEL, KERNEL, generator=generator))
        self.baseline = nn.Parameter(start_rates(steps, windows).expm1().log())
        self.generator = generator
        self.temporal = self.weights(len(self.basis), n_maps)
        self.offset = nn.Parameter(torch.full((n_maps, 1), 0.1))

    def feature_shape(self) -> tuple[int, ...]:
        """Of one frame."""
        return (self.n_cells, self.n_maps, self.places)

    def encode(self, prepared: Tensor) -> Tensor:
        """The maps around each cell."""
        flat = prepared.reshape(-1, 1, SIDE, SIDE)
        maps = nn.functional.conv2d(flat, self.maps, stride=STRIDE)
        return maps.reshape(len(prepared), *self.feature_shape())

    def rectified(self, features: Tensor, state: State) -> tuple[Tensor, State]:
        """Maps filtered in time and rectified, (map, sequence, step, cell, place)."""
        whole, n = torch.cat([state[0], features], dim=1), features.shape[1]
        kernel = (self.basis.T @ self.temporal).T.flip(1)  # (map, lag)
        flat = whole.permute(0, 2, 4, 3, 1).flatten(0, 2)
        seen = nn.functional.conv1d(flat, kernel[:, None], groups=self.n_maps)
        seen = seen.reshape(len(features), self.n_cells, self.places, self.n_maps, n)
        seen = seen.permute(3, 0, 4, 1, 2) + self.offset[:, None, None, None]
        return seen.relu(), (whole[:, n:],)

    def penalty(self) -> Tensor:
        """Squares of the weights (L2 1e-3 in the published code of CRNN)."""
        return 1e-3 * sum((p.square().mean() for p in self.parameters()), torch.zeros(()))

    def weights(self, *shape: int) -> nn.Parameter:
        """Normal ones, of variance 1 / fan-in (the axis before the last)."""
        return nn.Parameter(torch.randn(shape, generator=self.generator) / shape[-2] ** 0.5)


class CNN(Maps):
    """Maps, a filter in time for each, ReLU, and a read-out at each cell's field; softplus."""

    def __init__(
        self, steps: Steps, windows: np.ndarray | None = None, *, seed: int = 1, n_maps: int = 8
    ) -> None:
        super().__init__(steps, windows, n_maps, seed)
        self.read = nn.Parameter(0.1 * self.weights(self.n_cells, n_maps * self.places, 1).data)

    def forward(self, features: Tensor, state: State, noise: Noise = ()) -> tuple[Outputs, State]:  # noqa: ARG002
        """Rates."""
        seen, state = self.rectified(features, state)
        read = self.read.reshape(self.n_cells, self.n_maps, self.places)
        drive = torch.einsum("mbtcp,cmp->btc", seen, read)
        return Outputs(nn.functional.softplus(drive + self.baseline)), state


class CRNN(Maps):
    """The published form: recurrence over feature maps (not over time), with filters in time.

    A tanh network of `units` goes through the maps of a step, one after another; each cell reads
    its states. The published one has 64 maps and 32 units (confirmed in its code); 16 and 8 here.
    """

    def __init__(
        self,
        steps: Steps,
        windows: np.ndarray | None = None,
        *,
        seed: int = 1,
        n_maps: int = 16,
        units: int = 8,
    ) -> None:
        super().__init__(steps, windows, n_maps, seed)
        self.inward, self.around = self.weights(self.places, units), self.weights(units, units)
        self.read = nn.Parameter(0.1 * self.weights(self.n_cells, n_maps * units, 1).data)

    def forward(self, features: Tensor, state: State, noise: Noise = ()) -> tuple[Outputs, State]:  # noqa: ARG002
        """Rates."""
        seen, state = self.rectified(features, state)
        maps = seen @ self.inward
        h, states = torch.zeros_like(maps[0]), []
        for now in maps:
            h = torch.tanh(now + h @ self.around)
            states.append(h)
        drive = torch.einsum("btcj,cj->btc", torch.cat(states, -1), self.read[..., 0])
        return Outputs(nn.functional.softplus(drive + self.baseline)), state


class TemporalCRNN(Maps):
    """The form whose recurrence runs over time: gated units at each cell, fed by its maps."""

    def __init__(
        self,
        steps: Steps,
        windows: np.ndarray | None = None,
        *,
        seed: int = 1,
        n_maps: int = 8,
        units: int = 8,
    ) -> None:
        super().__init__(steps, windows, n_maps, seed)
        del self.temporal, self.offset  # the recurrence takes their place
        self.units = units
        self.inward = self.weights(n_maps * self.places, 3 * units)
        self.around = self.weights(units, 3 * units)
        self.bias = nn.Parameter(torch.tensor([0.0, 2.0, 0.0]).repeat_interleave(units))
        self.read = nn.Parameter(0.1 * self.weights(self.n_cells, units, 1).data)

    def start(self, n: int) -> State:
        """No memory."""
        return (torch.zeros(n, self.n_cells, self.units),)

    def forward(self, features: Tensor, state: State, noise: Noise = ()) -> tuple[Outputs, State]:  # noqa: ARG002
        """Rates."""
        x, h, u = features.flatten(3) @ self.inward + self.bias, state[0], self.units
        states = []
        for now in x.unbind(1):
            back = h @ self.around
            gates = torch.sigmoid(now[..., : 2 * u] + back[..., : 2 * u])
            new = torch.tanh(now[..., 2 * u :] + gates[..., :u] * back[..., 2 * u :])
            h = torch.lerp(new, h, gates[..., u:])
            states.append(h)
        drive = torch.einsum("btcj,cj->btc", torch.stack(states, 1), self.read[..., 0])
        return Outputs(nn.functional.softplus(drive + self.baseline)), (h,)
