"""Transfer functions: the rate of a neuron given the mean and fluctuation of its input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import isotonic_regression

from toolkit.errors import InputError

FLOOR_HZ = 1e-3  # added before the logarithm in which tables are interpolated

# rate_Hz = transfer(mu_mV, sigma_mV): mu is the mean of the free membrane potential above
# threshold, sigma its standard deviation, both of shape (..., neuron)
Transfer = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class TableTransfer(torch.nn.Module):
    r"""F(mu, sigma) of many neurons by interpolation in tables, one a cell model.

    Bilinear in log(F + 0.001 Hz) over (mu, sigma), constant beyond the ends of the grid: smooth
    where rates span decades, monotone in mu wherever the table is, differentiable almost
    everywhere. The grids may be uneven as long as their points are multiples of a common step; they
    are filled up to even ones, so that a look-up needs no search.

    Parameters
    ----------
    rates_Hz : shape (model, mu, sigma)
    mu_mV : mean of the free membrane potential above threshold, ascending, shape (mu,)
    sigma_mV : its standard deviation, ascending, shape (sigma,)
    model : table of each neuron, shape (neuron,)

    Raises
    ------
    InputError : shapes that do not fit, a grid that does not ascend or has no common step, negative
        rates

    Examples
    --------
    >>> table = np.array([[[0.0, 1.0], [5.0, 6.0]]])
    >>> transfer = TableTransfer(table, np.array([-1.0, 1.0]), np.array([0.0, 2.0]), np.array([0]))
    >>> transfer(torch.tensor([1.0]), torch.tensor([2.0])).round(decimals=3)
    tensor([6.])
    """

    log_rates: torch.Tensor
    offset: torch.Tensor

    def __init__(
        self, rates_Hz: np.ndarray, mu_mV: np.ndarray, sigma_mV: np.ndarray, model: np.ndarray
    ):
        super().__init__()
        rates_Hz = np.asarray(rates_Hz, dtype=np.float64)
        if rates_Hz.ndim != 3 or rates_Hz.shape[1:] != (len(mu_mV), len(sigma_mV)):
            raise InputError(
                f"rates of shape {rates_Hz.shape} do not fit a grid of "
                f"{len(mu_mV)} x {len(sigma_mV)}"
            )
        if not np.isfinite(rates_Hz).all() or (rates_Hz < 0).any():
            raise InputError("tabulated rates must be finite and not negative")
        if len(model) and not (0 <= np.min(model) and np.max(model) < len(rates_Hz)):
            raise InputError(f"there are {len(rates_Hz)} tables; a neuron asks for another")
        self.mu = _EvenGrid.filling(mu_mV, "mu")
        self.sigma = _EvenGrid.filling(sigma_mV, "sigma")
        log_rates = np.log(rates_Hz + FLOOR_HZ)
        log_rates = self.mu.fill(log_rates, mu_mV, axis=1)
        log_rates = self.sigma.fill(log_rates, sigma_mV, axis=2)
        self.register_buffer("log_rates", torch.from_numpy(log_rates).float().reshape(-1))
        offset = np.asarray(model, dtype=np.int64) * (self.mu.n * self.sigma.n)
        self.register_buffer("offset", torch.from_numpy(offset))

    def forward(self, mu_mV: torch.Tensor, sigma_mV: torch.Tensor) -> torch.Tensor:
        """Rates in Hz, shape of the arguments (..., neuron)."""
        i, x = self.mu.place(mu_mV)
        j, y = self.sigma.place(sigma_mV)
        corner = self.offset + i * self.sigma.n + j
        low = torch.lerp(self.log_rates[corner], self.log_rates[corner + 1], y)
        corner = corner + self.sigma.n
        high = torch.lerp(self.log_rates[corner], self.log_rates[corner + 1], y)
        return torch.clamp(torch.exp(torch.lerp(low, high, x)) - FLOOR_HZ, min=0.0)


@dataclass(frozen=True)
class _EvenGrid:
    """n points from `first`, `step` apart."""

    first: float
    step: float
    n: int

    @classmethod
    def filling(cls, points: np.ndarray, name: str) -> _EvenGrid:
        """The coarsest even grid that has all `points`."""
        gaps = np.diff(np.asarray(points, dtype=np.float64))
        if not len(gaps) or (gaps <= 0).any():
            raise InputError(f"the grid of {name} must ascend and have two points or more")
        micro = np.round(gaps * 1e6).astype(np.int64)
        step = int(np.gcd.reduce(micro))
        n = int(micro.sum()) // max(step, 1) + 1
        if step == 0 or n > 100 * len(points):
            raise InputError(f"the points of {name} must be multiples of a common step")
        return cls(float(points[0]), step / 1e6, n)

    def fill(self, values: np.ndarray, points: np.ndarray, axis: int) -> np.ndarray:
        """Values at `points` along an axis, interpolated linearly to the even grid."""
        even = self.first + self.step * np.arange(self.n)
        right = np.clip(np.searchsorted(points, even - 1e-9), 1, len(points) - 1)
        points = np.asarray(points, dtype=np.float64)
        x = (even - points[right - 1]) / (points[right] - points[right - 1])
        shape = [1] * values.ndim
        shape[axis] = self.n
        x = np.clip(x, 0.0, 1.0).reshape(shape)
        return (1 - x) * values.take(right - 1, axis) + x * values.take(right, axis)

    def place(self, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Interval and the fraction of it, clamped to the grid's ends."""
        position = ((values - self.first) / self.step).clamp(0.0, self.n - 1)
        interval = position.detach().long().clamp(max=self.n - 2)
        return interval, position - interval


def monotone(rates_Hz: np.ndarray, seconds: float) -> np.ndarray:
    """Tables (..., mu, sigma) made non-decreasing in mu by weighted isotonic regression.

    The weight of a point is the inverse variance of its rate, counted over `seconds`. Unlike a
    running maximum this has no bias.
    """
    rates = np.asarray(rates_Hz, dtype=np.float64)
    flat = np.moveaxis(rates, -2, -1).reshape(-1, rates.shape[-2])
    weights = seconds / (flat + 1.0 / seconds)
    fitted = np.array(
        [isotonic_regression(row, weights=w).x for row, w in zip(flat, weights, strict=True)]
    )
    shape = np.moveaxis(rates, -2, -1).shape
    return np.moveaxis(fitted.reshape(shape), -1, -2)
