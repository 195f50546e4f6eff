"""Transfer functions: the rate of a neuron given the mean and fluctuation of its input."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy.optimize import isotonic_regression

from toolkit.errors import InputError

FLOOR_HZ = 1e-3  # added before the logarithm in which tables are interpolated

# rate_Hz = transfer(mu_mV, sigma_mV): mu is the mean of the free membrane potential above threshold,
# sigma its standard deviation, both of shape (..., neuron)
Transfer = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class TableTransfer(torch.nn.Module):
    r"""F(mu, sigma) of many neurons by interpolation in tables, one a cell model.

    Bilinear in log(F + 0.001 Hz) over (mu, sigma), constant beyond the ends of the grid: smooth where
    rates span decades, monotone in mu wherever the table is, differentiable almost everywhere.

    Parameters
    ----------
    rates_Hz : shape (model, mu, sigma)
    mu_mV : mean of the free membrane potential above threshold, ascending, shape (mu,)
    sigma_mV : its standard deviation, ascending, shape (sigma,)
    model : table of each neuron, shape (neuron,)

    Raises
    ------
    InputError : shapes that do not fit, a grid that does not ascend, negative rates

    Examples
    --------
    >>> table = np.array([[[0.0, 1.0], [5.0, 6.0]]])
    >>> transfer = TableTransfer(table, np.array([-1.0, 1.0]), np.array([0.0, 2.0]), np.array([0]))
    >>> transfer(torch.tensor([1.0]), torch.tensor([2.0])).round(decimals=3)
    tensor([6.])
    """

    def __init__(
        self, rates_Hz: np.ndarray, mu_mV: np.ndarray, sigma_mV: np.ndarray, model: np.ndarray
    ):
        super().__init__()
        rates_Hz = np.asarray(rates_Hz, dtype=np.float64)
        if rates_Hz.ndim != 3 or rates_Hz.shape[1:] != (len(mu_mV), len(sigma_mV)):
            raise InputError(
                f"rates of shape {rates_Hz.shape} do not fit a grid of {len(mu_mV)} x {len(sigma_mV)}"
            )
        if (np.diff(mu_mV) <= 0).any() or (np.diff(sigma_mV) <= 0).any():
            raise InputError("the grids of mu and sigma must ascend")
        if not np.isfinite(rates_Hz).all() or (rates_Hz < 0).any():
            raise InputError("tabulated rates must be finite and not negative")
        if len(model) and not (0 <= np.min(model) and np.max(model) < len(rates_Hz)):
            raise InputError(f"there are {len(rates_Hz)} tables; a neuron asks for another")
        log_rates = torch.from_numpy(np.log(rates_Hz + FLOOR_HZ)).float()
        self.register_buffer("log_rates", log_rates.reshape(-1).contiguous())
        self.register_buffer("mu_mV", torch.as_tensor(mu_mV, dtype=torch.float32))
        self.register_buffer("sigma_mV", torch.as_tensor(sigma_mV, dtype=torch.float32))
        offset = np.asarray(model, dtype=np.int64) * rates_Hz[0].size
        self.register_buffer("offset", torch.from_numpy(offset))

    def forward(self, mu_mV: torch.Tensor, sigma_mV: torch.Tensor) -> torch.Tensor:
        """Rates in Hz, shape of the arguments (..., neuron)."""
        i, x = _place(mu_mV, self.mu_mV)
        j, y = _place(sigma_mV, self.sigma_mV)
        n_sigma = len(self.sigma_mV)
        corner = self.offset + i * n_sigma + j
        low = torch.lerp(self.log_rates[corner], self.log_rates[corner + 1], y)
        high = torch.lerp(self.log_rates[corner + n_sigma], self.log_rates[corner + n_sigma + 1], y)
        return torch.clamp(torch.exp(torch.lerp(low, high, x)) - FLOOR_HZ, min=0.0)


def _place(values: torch.Tensor, grid: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Interval of the grid and the fraction of it, clamped to the grid's ends."""
    grid = grid.to(values.dtype)
    cell = (torch.bucketize(values.detach(), grid) - 1).clamp(0, len(grid) - 2)
    fraction = (values - grid[cell]) / (grid[cell + 1] - grid[cell])
    return cell, fraction.clamp(0.0, 1.0)


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
