"""The scan written step by step for automatic differentiation: slow, and plainly right."""

from __future__ import annotations

from collections.abc import Callable

import torch

from toolkit import rate_dynamics
from toolkit.scan.connections import Connections
from toolkit.scan.system import Start, System, check_inputs, silence

Product = Callable[[torch.Tensor], torch.Tensor]


def plain_scan(
    connections: Connections,
    system: System,
    product: Product,
    constant_pA: torch.Tensor,
    inputs: torch.Tensor,
    start: Start | None = None,
    noise_pA: torch.Tensor | None = None,
) -> torch.Tensor:
    """Rates of all steps, Hz, (item, step, neuron), as `toolkit.scan.scan`.

    Parameters
    ----------
    product : J z of presynaptic rates z, (neuron + channel, item); ``J.__matmul__`` of a dense
        matrix or of a torch CSR one
    others : as in `toolkit.scan.scan`
    """
    check_inputs(inputs, connections.n_channels)
    state = start or silence(system, len(inputs))
    rates, currents = state.rates, state.currents
    every = []
    for k in range(inputs.shape[1]):
        constant = constant_pA[:, None]
        if noise_pA is not None:
            constant = constant + noise_pA[min(k, len(noise_pA) - 1)]

        def rate(slots: torch.Tensor, constant: torch.Tensor = constant) -> torch.Tensor:
            value, _ = system.curve.value_and_slope(slots.sum(0) + constant)
            return value

        arriving = product(torch.cat([rates, inputs[:, k].T])).view_as(currents)
        if system.dynamics == "instantaneous":
            currents, rates = rate_dynamics.instantaneous(currents, arriving, rate, system.a_s)
        elif system.dynamics == "low_pass":
            currents, rates = rate_dynamics.low_pass(
                currents, rates, arriving, rate, system.a_s, system.a_r
            )
        else:
            rates = rate_dynamics.equilibrium(rates, arriving, rate, system.a_r)
        every.append(rates)
    return torch.stack(every).permute(2, 0, 1)
