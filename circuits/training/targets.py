"""What a trained column's neurons are held to: recorded rates, and the background's noise."""

from __future__ import annotations

import numpy as np

from circuits import allen
from circuits.allen.targets import evoked_targets
from converters.rate_weights import background_variance_mV2
from toolkit.learning.losses import Targets
from toolkit.network import Network

MIN_UNITS = 10  # a class with fewer recorded units takes the quartiles of its type (our choice)
QUARTILE_SD = 0.67449  # of the standard normal distribution


def recorded_rates_Hz(tables: allen.AllenTables | None = None) -> dict[str, tuple[float, float]]:
    """Median (Hz) and spread (sd of the natural logarithm) of each class's recorded rates.

    Rates while gratings are shown; log-normal between the recorded quartiles:
    spread = ln(p75 / p25) / (2 x 0.674). Classes of fewer than 10 units take those of their type.

    Source: Siegle et al. 2021, Nature 592:86-92.

    >>> median, spread = recorded_rates_Hz()["e5"]
    >>> round(median, 2), round(spread, 2)
    (4.76, 1.13)
    """
    tables = tables or allen.load()
    medians = evoked_targets(tables, min_units=MIN_UNITS)
    types = tables.neuropixels_types
    row_of = {marker: i for i, marker in enumerate(types["marker"].tolist())}
    found = {}
    for row, name in enumerate(medians["cell_class"].tolist()):
        pooled = bool(medians["pooled"][row])
        at = row_of[str(tables.classes["marker"][row])] if pooled else row
        quartiles = types if pooled else tables.neuropixels
        low, high = (float(quartiles[f"evoked_p{p}_Hz"][at]) for p in (25, 75))
        spread = float(np.log(high / low) / (2 * QUARTILE_SD))
        found[name] = (float(medians["rate_Hz"][row]), spread)
    return found


def targets_of(network: Network) -> Targets:
    """Recorded rates and the background's variance, as `toolkit.learning.fit` takes them."""
    return Targets(
        network.neurons["cell_class"], recorded_rates_Hz(), background_variance_mV2(network)
    )
