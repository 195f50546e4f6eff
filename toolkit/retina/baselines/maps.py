"""The CNN and the two CRNNs, which read feature maps of frames.

CNN (McIntosh et al. 2016) and CRNN (Zheng et al. 2021). Those have a first layer over 20 frames and
dense read-outs; here the first layer is separable in space and time, each cell reads the maps at
its receptive field only, and cells share their read-outs in part, which is our choice: it fits 13 s
of responses and one processor.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from toolkit.retina.data import Steps
from toolkit.retina.fitting.lags import MEMORY_MS
from toolkit.retina.fitting.layers import CellWeights, SoftplusRate, normal_weights, start_rates
from toolkit.retina.fitting.looking import Looking
from toolkit.retina.fitting.maps import PLACES, Maps, TimeFilters
from toolkit.retina.fitting.model import Noise, Outputs, State

SQUARES = 1e-3  # weight of the squares of common weights; confirmed in the code of CRNN
POOLING = 0.03  # weight of the squared differences of cells' read-outs; our choice


class RectifiedFilters(TimeFilters):
    """A filter in time of each map, an offset (map, 1), ReLU."""

    def __init__(self, n_maps: int, bin_ms: float, generator: torch.Generator) -> None:
        super().__init__(n_maps, bin_ms, generator)
        self.offset = nn.Parameter(torch.full((n_maps, 1), 0.1))

    def filtered(self, features: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """Gives (map, sequence, step, cell, place), and the past after it."""
        seen, after = super().filtered(features, past)
        return (seen.transpose(1, 2) + self.offset[:, None, None, None]).relu(), after


class MapModel(Looking):
    """What the three models share: maps, a read-out, a softplus output, and the penalty.

    n_maps : number of maps; n_read : values that each cell reads
    """

    def __init__(
        self,
        steps: Steps,
        windows: np.ndarray | None,
        n_maps: int,
        n_read: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__(steps)
        self.n_maps = n_maps
        self.maps = Maps(n_maps, generator)
        start = normal_weights(n_read, 1, generator=generator, scale=0.1)
        self.read = CellWeights(start[:, 0], self.n_cells)
        self.output = SoftplusRate(start_rates(steps, windows))

    def encode(self, prepared: Tensor) -> Tensor:
        """The maps around each cell, (frame, cell, map, place)."""
        return self.maps.features(prepared)

    def penalty(self) -> Tensor:
        """Squares of the common weights, and of differences from them."""
        shared = [p for p in self.parameters() if p is not self.read.own]
        squares = torch.stack([p.square().sum() for p in shared if p is not self.output.baseline])
        return SQUARES * squares.sum() + POOLING * self.read.penalty()


class CNN(MapModel):
    """Maps, a filter in time for each, ReLU, and a read-out at each cell's field; softplus.

    Parameters
    ----------
    steps : data it is for
    windows : training windows, whose mean rates it starts at
    seed : of the initial weights
    n_maps : number of maps; the read-out of a cell has 9 weights a map
    """

    memory_ms = MEMORY_MS

    def __init__(
        self, steps: Steps, windows: np.ndarray | None = None, *, seed: int = 1, n_maps: int = 8
    ) -> None:
        generator = torch.Generator().manual_seed(seed)
        super().__init__(steps, windows, n_maps, n_maps * PLACES, generator)
        self.in_time = RectifiedFilters(n_maps, self.bin_ms, generator)

    def start(self, n: int) -> State:
        """Grey before."""
        return (self.in_time.lags.start(n, self.n_cells, self.n_maps, PLACES),)

    def forward(self, features: Tensor, state: State, noise: Noise = ()) -> tuple[Outputs, State]:  # noqa: ARG002
        """Rates."""
        seen, past = self.in_time.filtered(features, state[0])
        read = self.read().reshape(self.n_cells, self.n_maps, PLACES)
        return Outputs(self.output.rates(torch.einsum("mbtcp,cmp->btc", seen, read))), (past,)


class CRNN(MapModel):
    """The published form: recurrence over feature maps (not over time), with filters in time.

    A tanh network of `units` goes through the maps of a step, one after another; each cell reads
    its states. The published one has 64 maps and 32 units (confirmed in its code); 8 and 8 here, so
    that a training takes less than five minutes on two cores.

    Parameters
    ----------
    steps : data it is for
    windows : training windows, whose mean rates it starts at
    seed : of the initial weights
    n_maps, units : number of maps and of units; a cell reads n_maps x units states
    """

    memory_ms = MEMORY_MS

    def __init__(
        self,
        steps: Steps,
        windows: np.ndarray | None = None,
        *,
        seed: int = 1,
        n_maps: int = 8,
        units: int = 8,
    ) -> None:
        generator = torch.Generator().manual_seed(seed)
        super().__init__(steps, windows, n_maps, n_maps * units, generator)
        self.in_time = RectifiedFilters(n_maps, self.bin_ms, generator)
        draw = partial(normal_weights, generator=generator)
        self.inward, self.around = draw(PLACES, units), draw(units, units)

    def start(self, n: int) -> State:
        """Grey before."""
        return (self.in_time.lags.start(n, self.n_cells, self.n_maps, PLACES),)

    def forward(self, features: Tensor, state: State, noise: Noise = ()) -> tuple[Outputs, State]:  # noqa: ARG002
        """Rates."""
        seen, past = self.in_time.filtered(features, state[0])
        maps = seen @ self.inward
        h, states = torch.zeros_like(maps[0]), []
        for now in maps:
            h = torch.tanh(now + h @ self.around)
            states.append(h)
        drive = torch.einsum("btcj,cj->btc", torch.cat(states, -1), self.read())
        return Outputs(self.output.rates(drive)), (past,)


class TemporalCRNN(MapModel):
    """The form whose recurrence runs over time: gated units at each cell, fed by its maps.

    Their memory takes the place of filters in time.

    Parameters
    ----------
    steps : data it is for
    windows : training windows, whose mean rates it starts at
    seed : of the initial weights
    n_maps : number of maps
    units : of each cell, with weights that all cells share
    """

    def __init__(
        self,
        steps: Steps,
        windows: np.ndarray | None = None,
        *,
        seed: int = 1,
        n_maps: int = 8,
        units: int = 8,
    ) -> None:
        generator = torch.Generator().manual_seed(seed)
        super().__init__(steps, windows, n_maps, units, generator)
        self.units = units
        draw = partial(normal_weights, generator=generator)
        self.inward = draw(n_maps * PLACES, 3 * units)
        self.around = draw(units, 3 * units)
        self.bias = nn.Parameter(torch.tensor([0.0, 2.0, 0.0]).repeat_interleave(units))

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
        drive = torch.einsum("btcj,cj->btc", torch.stack(states, 1), self.read())
        return Outputs(self.output.rates(drive)), (h,)
