"""Trained weights: a sign for each synapse, kept by construction, by projection, or not at all."""

from __future__ import annotations

import math

import numpy as np
import torch

from toolkit.errors import InputError, unknown

CONSTRAINTS = ("log", "projected", "free")
SMALLEST = 1e-4  # of the median magnitude: where logarithms of weights of 0 start (our choice)


class Weights(torch.nn.Module):
    """Weights of fixed synapses.

    ``"log"``: w = sign exp(theta), theta is trained. Dale's law holds whatever the optimiser does,
    steps are relative (exponentiated gradient), and log-normal weights stay so. ``"projected"``: w
    is trained, and `project` sets what has changed its sign to 0 after each step, as the released
    code of Chen et al. 2022 (Sci Adv 8:eabq7592) does. ``"free"``: w is trained.

    Parameters
    ----------
    values : initial weights, pA/Hz
    sign : +1 or -1 of each; those of `values` by default
    constraint : one of the three
    largest : magnitude that each may have, pA/Hz; where initial weights are above, they start there

    Raises
    ------
    InputError : an unknown constraint, a weight against its sign, a weight that is not finite

    >>> weights = Weights([0.5, -0.25], constraint="log")
    >>> weights().tolist()
    [0.5, -0.25]
    """

    sign: torch.Tensor
    limit: torch.Tensor | None

    def __init__(
        self,
        values: np.ndarray | list[float],
        sign: np.ndarray | None = None,
        *,
        constraint: str = "log",
        largest: np.ndarray | None = None,
    ):
        super().__init__()
        if constraint not in CONSTRAINTS:
            raise unknown("constraint", constraint, CONSTRAINTS)
        self.constraint = constraint
        values = np.asarray(values, dtype=float)
        if not np.isfinite(values).all():
            raise InputError("weights must be finite")
        sign = np.where(values < 0, -1.0, 1.0) if sign is None else np.asarray(sign, dtype=float)
        if constraint != "free" and (values * sign < 0).any():
            raise InputError(
                f"weight {int(np.argmax(values * sign < 0))} is against its sign; "
                "constraint 'free' allows that"
            )
        self.register_buffer("sign", torch.tensor(sign, dtype=torch.float32))
        limit = None
        if largest is not None:
            largest = np.asarray(largest, dtype=float)
            values = np.clip(values, -largest, largest)
            limit = torch.tensor(np.log(largest) if constraint == "log" else largest)
            limit = limit.to(torch.float32)
        self.register_buffer("limit", limit, persistent=False)
        if constraint == "log":
            size = np.abs(values)
            least = SMALLEST * np.median(size[size > 0]) if (size > 0).any() else 1.0
            values = np.log(np.maximum(size, least))
        self.trained = torch.nn.Parameter(torch.tensor(values, dtype=torch.float32))

    def __len__(self) -> int:
        return len(self.trained)

    def forward(self) -> torch.Tensor:
        """The weights, pA/Hz."""
        return self.sign * self.trained.exp() if self.constraint == "log" else self.trained

    @torch.no_grad()
    def project(self, slack: float = 1.0) -> None:
        """After a step of the optimiser: too large ones shrink; projected ones keep their sign.

        Those against it become 0. Too large is above `slack` times the limit.
        """
        if self.limit is not None:
            log = self.constraint == "log"
            limit = self.limit + math.log(slack) if log else self.limit * slack
            self.trained.clamp_(min=None if log else -limit, max=limit)
        if self.constraint == "projected":
            self.trained.copy_(self.sign * (self.sign * self.trained).clamp(min=0.0))
