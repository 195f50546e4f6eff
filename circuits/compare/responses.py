"""Tuning and time courses of both forms of a `Study`: what figures and words need of them."""

from __future__ import annotations

import numpy as np

from circuits.compare.measures import groups
from circuits.compare.study import RATE_FORM, Study
from toolkit import metrics

ACTIVE_HZ = 0.5


def active_neurons(study: Study, min_Hz: float = ACTIVE_HZ) -> np.ndarray:
    """Mask of the neurons that fire at `min_Hz` or more at their best direction in both forms."""
    spiking, rates = study.spiking_evoked_Hz, study.evoked_Hz[RATE_FORM]
    return (spiking.max(axis=0) >= min_Hz) & (rates.max(axis=0) >= min_Hz)


def modulated_direction(study: Study) -> int:
    """The direction in which the rate form follows the grating's frequency most.

    By the amplitude at that frequency over the mean, averaged over classes.
    """
    protocol = study.protocol
    counted = round((protocol.before_ms + protocol.skip_ms) / protocol.bin_ms)
    rates = study.psth_rates_Hz[..., counted:]
    time_s = np.arange(rates.shape[-1]) * protocol.bin_ms / 1000
    wave = np.exp(-2j * np.pi * protocol.temporal_frequency_Hz * time_s)
    mean = rates.mean(axis=-1)
    depth = 2 * np.abs(rates @ wave / len(time_s)) / np.where(mean > 0, mean, np.inf)
    return int(depth.mean(axis=0).argmax())


def orientation_difference(study: Study) -> np.ndarray:
    """Preferred orientation of the rate form less that of the spikes, degrees, -90 to 90.

    The preferred orientation is half the angle of sum_k R_k exp(2 i theta_k); NaN for neurons that
    are not active in both forms.
    """
    phasors = np.exp(2j * np.radians(study.protocol.directions_deg))
    turn = (phasors @ study.evoked_Hz[RATE_FORM]) * np.conj(phasors @ study.spiking_evoked_Hz)
    return np.where(active_neurons(study) & (turn != 0), np.degrees(np.angle(turn)) / 2, np.nan)


def population_psths(study: Study) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Mean PSTHs (direction, bin) of E and of I neurons, of spikes and of rates."""
    cls, out = study.neurons["cell_class"], {}
    for name in ("E", "I"):
        members = cls[groups(study)[name]]
        if len(members):
            share = np.array([(members == each).mean() for each in study.network.classes])
            out[name] = (
                np.tensordot(share, study.psth_spikes_Hz, axes=1),
                np.tensordot(share, study.psth_rates_Hz, axes=1),
            )
    return out


def population_psth_correlation(study: Study) -> dict[str, float]:
    """Correlation over time and directions of the mean PSTHs of E and of I neurons."""
    return {
        name: float(metrics.psth_correlation(*(each.reshape(-1, 1) for each in pair))[0])
        for name, pair in population_psths(study).items()
    }
