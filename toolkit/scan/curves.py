"""F for training: the rate of every neuron given its total current."""

from __future__ import annotations

import numpy as np
import torch

from toolkit.errors import InputError
from toolkit.transfer import Transfer

STEP_MV = 0.25
LOW_MV, HIGH_MV = -60.0, 80.0  # of mu; the tables end at -24 and 80
RELIABLE_HZ = 0.05  # 10 spikes in the 200 s that a tabulated rate was counted over
TAIL_MV = 3.0  # our choice: e-fold of the tail of neurons whose table has no slope there


class TableCurve(torch.nn.Module):
    r"""F of a total current in pA, at a fixed fluctuation sigma of each neuron.

    F(mu, sigma) of the neuron's own cell model, mu = I/g - (V_th - E_L), read from the tables at
    the neuron's sigma into points h = 0.25 mV apart, which are the control points of a quadratic
    B-spline: monotone where they are, at most h^2/8 max|F''| off, with a continuous slope (at
    jumps of it gradients would depend on rounding). Value and slope cost three look-ups and no
    exponential, and the rates are those that the same neurons have as spiking ones.

    Two changes make it fit for training. Below the last rate that could be counted (0.05 Hz) it
    goes on as an exponential, with the slope that log F has there, so that silent neurons still
    have a gradient; above the end of the table it goes on as a straight line, so that a cap on
    rates can pull neurons back.

    Parameters
    ----------
    mu_mV : where F is known, even steps, (point,)
    rates_Hz : F there, not descending, (neuron, point)
    g_nS : leak conductance, (neuron,)
    threshold_mV : V_th - E_L, (neuron,)
    sigma_mV : of each neuron, which F was taken at, if that is known
    """

    rates: torch.Tensor
    scale: torch.Tensor
    shift: torch.Tensor

    def __init__(
        self,
        mu_mV: np.ndarray,
        rates_Hz: np.ndarray,
        g_nS: np.ndarray,
        threshold_mV: np.ndarray,
        sigma_mV: np.ndarray | None = None,
    ):
        super().__init__()
        self.sigma_mV = sigma_mV
        rates_Hz = np.asarray(rates_Hz, dtype=float)
        if rates_Hz.shape != (len(g_nS), len(mu_mV)) or len(mu_mV) < 3:
            raise InputError(
                f"rates of shape ({len(g_nS)} neurons, {len(mu_mV)} points) are needed, three "
                f"points or more; got {rates_Hz.shape}"
            )
        step = mu_mV[1] - mu_mV[0]
        self.register_buffer("rates", torch.tensor(rates_Hz, dtype=torch.float32))
        scale = 1 / (np.asarray(g_nS) * step)
        shift = -(np.asarray(threshold_mV) + mu_mV[0]) / step
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float32)[:, None])
        self.register_buffer("shift", torch.tensor(shift, dtype=torch.float32)[:, None])

    @classmethod
    def at(
        cls,
        transfer: Transfer,
        sigma_mV: np.ndarray,
        g_nS: np.ndarray,
        threshold_mV: np.ndarray,
    ) -> TableCurve:
        """The curve of F(mu, sigma) at each neuron's sigma."""
        mu = np.arange(LOW_MV, HIGH_MV + STEP_MV / 2, STEP_MV)
        sigma = torch.tensor(np.asarray(sigma_mV), dtype=torch.float32)
        with torch.no_grad():  # a point at a time: memory for one table, not for several
            columns = [
                transfer(torch.full_like(sigma, float(value)), sigma).numpy() for value in mu
            ]
        rates = np.stack(columns, axis=1)
        return cls(mu, with_tail(rates, STEP_MV), g_nS, threshold_mV, sigma.numpy())

    def value_and_slope(self, current_pA: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """F in Hz and dF/dI in Hz/pA of currents (neuron, item)."""
        place = torch.addcmul(self.shift, current_pA, self.scale).clamp(min=0.5)
        centre = place.detach().round().long().clamp_(min=1, max=self.rates.shape[1] - 2)
        left, middle, right = (self.rates.gather(1, centre + k) for k in (-1, 0, 1))
        t = place - (centre - 0.5)
        inside = t.clamp(max=1.0)
        rise, bend = middle - left, left - 2 * middle + right
        value = 0.5 * (left + middle) + inside * (rise + 0.5 * inside * bend)
        slope = rise + inside * bend
        # Past the last point t is above 1: a straight line from there on.
        return value + (t - inside) * slope.detach(), slope.detach() * self.scale


def with_tail(rates_Hz: np.ndarray, step_mV: float) -> np.ndarray:
    """Tables (neuron, point) whose rates below 0.05 Hz are an exponential instead of counts."""
    n, points = rates_Hz.shape
    at = np.minimum((rates_Hz < RELIABLE_HZ).sum(1), points - 2)
    each = np.arange(n)
    start = np.maximum(rates_Hz[each, at], 1e-6)
    ahead = np.minimum(at + round(1 / step_mV), points - 1)  # the slope over 1 mV
    growth = np.log(np.maximum(rates_Hz[each, ahead], 1e-6) / start) / ((ahead - at) * step_mV)
    growth = np.where(growth > 0, np.clip(growth, 0.1, 3.0), 1 / TAIL_MV)
    below = (np.arange(points) - at[:, None]) * step_mV
    tail = start[:, None] * np.exp(np.minimum(below, 0.0) * growth[:, None])
    return np.where(below < 0, tail, rates_Hz)
