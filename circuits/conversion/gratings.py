"""Selectivity of the rate network and of a spiking one for drifting gratings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from circuits import v1
from circuits.conversion.backends import Simulation
from circuits.conversion.responses import BIN_MS, binned_responses, in_bins
from circuits.training.setup import Prepared
from toolkit import metrics
from toolkit.scan import scan
from toolkit.tasks import LGNInput, PixelInput, Timing, fine_orientation
from toolkit.tasks.inputs import PIXEL_INPUTS

N_DIRECTIONS = 12
FREQUENCY_HZ, GREY_MS, GRATING_MS = 2.0, 50.0, 1500.0
SKIP_MS = 500.0  # of the grating: its onset is not counted
ACTIVE_HZ = 0.5  # at the best direction, in both forms; quieter neurons have no tuning here


@dataclass(frozen=True, eq=False)
class Selectivity:
    """Tuning in both forms: rates (direction, neuron), Hz; OSI and DSI (neuron,), NaN if quiet."""

    rate_Hz: np.ndarray
    spiking_Hz: np.ndarray
    osi: tuple[np.ndarray, np.ndarray]
    dsi: tuple[np.ndarray, np.ndarray]

    def correlation(self, index: str) -> float:
        """Of ``"osi"`` or ``"dsi"`` in both forms, over active neurons; NaN for fewer than 3."""
        a, b = getattr(self, index)
        known = np.isfinite(a) & np.isfinite(b)
        if known.sum() < 3 or np.ptp(a[known]) == 0 or np.ptp(b[known]) == 0:
            return float("nan")
        return float(np.corrcoef(a[known], b[known])[0, 1])

    @property
    def n_active(self) -> int:
        """Neurons that count."""
        return int(np.isfinite(self.osi[0]).sum())


def inputs_of(trained: Prepared) -> np.ndarray:
    """Input rates of gratings in 12 directions, Hz, (direction, step, channel)."""
    duration = GREY_MS + GRATING_MS
    task = fine_orientation(
        boundary_deg=180.0,
        range_deg=180.0,
        step_deg=360 / N_DIRECTIONS,
        temporal_frequency_Hz=FREQUENCY_HZ,
        timing=Timing((GREY_MS,), GRATING_MS, (GREY_MS, duration), duration),
    )
    what = np.stack([np.arange(N_DIRECTIONS), np.zeros(N_DIRECTIONS)], axis=1)
    dt_ms, device = trained.setup.dt_ms, trained.data.device
    made: LGNInput | PixelInput
    if trained.setup.lgn:
        made = LGNInput(task, v1.lgn(trained.network), dt_ms, device)
    else:
        made = PixelInput(task, dt_ms, PIXEL_INPUTS, device)
    rates: np.ndarray = made.rates(what).transpose(0, 1).cpu().numpy()
    return rates


@torch.no_grad()
def selectivity(
    trained: Prepared, simulation: Simulation, *, trials: int, seed: int, **how: Any
) -> Selectivity:
    """Show gratings to both; `how` as in `circuits.conversion.responses.binned_responses`."""
    model, inputs = trained.model, inputs_of(trained)
    rates = scan(
        model.connections,
        model.system,
        model.weights(),
        model.constant_pA,
        torch.as_tensor(inputs, device=trained.data.device),
        backend=model.backend,
    )
    first = round((GREY_MS + SKIP_MS) / BIN_MS)
    predicted = in_bins(rates.cpu().numpy(), model.dt_ms)[:, first:].mean(axis=1, dtype=float)
    runs = binned_responses(simulation, [inputs] * trials, trained.setup.dt_ms, seed=seed, **how)
    observed = sum(run[:, first:].mean(axis=1, dtype=float) for run in runs) / trials
    return of_rates(predicted, np.asarray(observed))


def of_rates(rate_Hz: np.ndarray, spiking_Hz: np.ndarray) -> Selectivity:
    """Indices of rates (direction, neuron), of neurons active in both forms."""
    directions = np.arange(len(rate_Hz)) * (360 / len(rate_Hz))
    active = np.minimum(rate_Hz.max(axis=0), spiking_Hz.max(axis=0)) >= ACTIVE_HZ
    pairs = [
        tuple(np.where(active, index(r, directions), np.nan) for r in (rate_Hz, spiking_Hz))
        for index in (metrics.osi, metrics.dsi)
    ]
    return Selectivity(rate_Hz, spiking_Hz, *pairs)  # type: ignore[arg-type]
