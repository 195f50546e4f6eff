r"""The discrete firing-rate dynamics: three regimes of synaptic and rate time constants.

The continuous model ("A Firing-Rate Neural Network Model for the Primary Visual Cortex", 2024) is
``tau_s dI/dt = -I + W r`` with one of three equations for the rate; each is discretised by the
first-order exponential integrator, with a_s = exp(-dt/tau_s) and a_r = exp(-dt/tau_r):

==================  ===============  ==========================================================
dynamics            when             update
==================  ===============  ==========================================================
``instantaneous``   tau_r << tau_s   I' = a_s I + (1 - a_s) W r;  r' = F(I')
``low_pass``        tau_r ~ tau_s    I' = a_s I + (1 - a_s) W r;  r' = a_r r + (1 - a_r) F(I)
``equilibrium``     tau_r >> tau_s   r' = a_r r + (1 - a_r) F(W r)
==================  ===============  ==========================================================

``low_pass`` uses the old current, as the source does. All functions are pure and element-wise: they
take a state and give the next one, for tensors of any broadcastable shape.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

DYNAMICS = ("instantaneous", "low_pass", "equilibrium")

Rate = Callable[[torch.Tensor], torch.Tensor]


def relax(old: torch.Tensor, target: torch.Tensor, decay: torch.Tensor) -> torch.Tensor:
    """One exponential-integrator step of tau dx/dt = -x + target: a x + (1 - a) target.

    Exact when `target` is constant over the step.

    >>> relax(torch.tensor(0.0), torch.tensor(8.0), torch.tensor(0.75))
    tensor(2.)
    """
    return decay * old + (1 - decay) * target


def instantaneous(
    current: torch.Tensor, drive: torch.Tensor, rate: Rate, a_s: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The next (current, rate): I' = a_s I + (1 - a_s) drive, r' = F(I')."""
    current = relax(current, drive, a_s)
    return current, rate(current)


def low_pass(
    current: torch.Tensor,
    rates: torch.Tensor,
    drive: torch.Tensor,
    rate: Rate,
    a_s: torch.Tensor,
    a_r: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The next (current, rate): I' = a_s I + (1 - a_s) drive, r' = a_r r + (1 - a_r) F(I)."""
    return relax(current, drive, a_s), relax(rates, rate(current), a_r)


def equilibrium(
    rates: torch.Tensor, drive: torch.Tensor, rate: Rate, a_r: torch.Tensor
) -> torch.Tensor:
    """The next rate: r' = a_r r + (1 - a_r) F(drive)."""
    return relax(rates, rate(drive), a_r)
