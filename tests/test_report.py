"""The report of a comparison: files whole, numbers those of the measures, page self-contained."""

from __future__ import annotations

import numpy as np

from circuits import v1
from circuits.compare.protocol import Protocol
from circuits.compare.study import RATE_FORM, Study, class_mean
from toolkit.network import Network
from toolkit.recording import Recording


def synthetic_study(
    network: Network, *, trials: int = 6, seed: int = 1, noise: float = 0.15
) -> Study:
    """A study with made-up rates: tuned, log-normal within a class, spikes by Poisson."""
    rng = np.random.default_rng(seed)
    protocol = Protocol(trials=trials)
    neurons, n = network.neurons, network.n
    typical = np.where(neurons["sign"] > 0, 2.0, 8.0)
    rest = typical * rng.lognormal(0, 0.8, n)
    away = np.radians(protocol.directions_deg[:, None] - neurons["tuning_deg"])
    sharp = rng.uniform(0.1, 0.9, n)
    true = 1.8 * rest * (1 + sharp * np.cos(2 * away) + 0.1 * np.cos(away)).clip(0.02)

    def alike(rates: np.ndarray, by: float) -> np.ndarray:
        return rates * rng.lognormal(0, by, n)

    def shuffled(rates: np.ndarray) -> np.ndarray:
        mixed = rates.copy()
        for name in network.classes:
            own = np.flatnonzero(neurons["cell_class"] == name)
            mixed[..., own] = rates[..., rng.permutation(own)]
        return mixed

    bins = round(protocol.sweep_ms / protocol.bin_ms)
    time_s = (np.arange(bins) * protocol.bin_ms - protocol.before_ms) / 1000
    course = np.where(time_s < 0, 0.55, 1 + 0.5 * np.sin(2 * np.pi * 2 * time_s))
    mean = class_mean(true, network)[:, :, None] * course
    size = class_mean(np.eye(n), network).max(axis=1)  # one over the neurons of the class
    per_spike = size[:, None, None] * (1000 / protocol.bin_ms) / trials
    psth_spikes = rng.poisson(mean / per_spike) * per_spike

    expected = true[0] * course[:, None] * (protocol.bin_ms / 1000)
    row, ids = np.nonzero(rng.random((bins, n)) < expected)
    times = (row + 1 - rng.random(len(row)) * 0.9) * protocol.bin_ms
    return Study(
        network=network,
        protocol=protocol,
        seed=seed,
        evoked_counts=rng.poisson(true * protocol.evoked_ms / 1000, (trials, *true.shape)),
        grey_counts=rng.poisson(rest * protocol.grey_ms / 1000, (trials, n)),
        evoked_Hz={
            RATE_FORM: alike(true, noise),
            "no_recurrence": alike(0.5 * true, 0.9),
            "shuffled": shuffled(true),
        },
        grey_Hz={
            RATE_FORM: alike(rest, noise * 1.5),
            "no_recurrence": alike(0.5 * rest, 0.9),
            "shuffled": shuffled(rest),
        },
        psth_spikes_Hz=psth_spikes,
        psth_rates_Hz=mean,
        raster=Recording.spikes(
            times, ids, n=n, dt_ms=0.25, duration_ms=protocol.sweep_ms
        ),
        seconds={"spiking simulation": 61.2, "rate network, gratings": 4.1},
    )
