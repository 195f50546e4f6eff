"""What a scan computes, apart from weights: the equations and their constants."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch

from toolkit.errors import InputError, unknown
from toolkit.rate_dynamics import DYNAMICS


class Curve(Protocol):
    """F: the rate of every neuron given the total current into it."""

    def value_and_slope(self, current_pA: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """F in Hz and dF/dI in Hz/pA; shape of the argument, (neuron, item)."""


@dataclass(frozen=True)
class System:
    """The equations of `toolkit.rate_dynamics`, with one synaptic current a slot and neuron.

    With I the currents, m = sum of I over slots + constant, and J (r, x) what arrives in a step:

    ``instantaneous``: I' = a_s I + (1 - a_s) J (r, x);  r' = F(m')
    ``low_pass``:      I' = a_s I + (1 - a_s) J (r, x);  r' = a_r r + (1 - a_r) F(m)
    ``equilibrium``:   m = sum of J (r, x) + constant;   r' = a_r r + (1 - a_r) F(m)

    Attributes
    ----------
    dynamics : one of them
    a_s : exp(-dt/tau_s), (slot, neuron, 1)
    a_r : exp(-dt/tau_r), (neuron, 1)
    curve : F
    """

    dynamics: str
    a_s: torch.Tensor
    a_r: torch.Tensor
    curve: Curve

    def __post_init__(self) -> None:
        if self.dynamics not in DYNAMICS:
            raise unknown("dynamics", self.dynamics, DYNAMICS)


@dataclass(frozen=True)
class Start:
    """Where a scan begins; no gradient goes back into it.

    rates : Hz, (neuron, item)
    currents : pA, (slot, neuron, item)
    """

    rates: torch.Tensor
    currents: torch.Tensor


def silence(system: System, items: int) -> Start:
    """No rates and no currents."""
    n_slots, n, _ = system.a_s.shape
    return Start(system.a_s.new_zeros((n, items)), system.a_s.new_zeros((n_slots, n, items)))


def check_inputs(inputs: torch.Tensor, n_channels: int) -> None:
    """`InputError` unless inputs are (item, step, channel)."""
    if inputs.ndim != 3 or inputs.shape[2] != n_channels or not inputs.shape[1]:
        raise InputError(
            f"inputs of shape (item, step, {n_channels}) are needed, got {tuple(inputs.shape)}"
        )
