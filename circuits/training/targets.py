"""What a trained column's neurons are held to: recorded rates, and the background's noise."""

from __future__ import annotations

import numpy as np

from circuits import allen
from circuits.allen.targets import evoked_targets
from converters.rate_weights import Responses
from converters.slots import pack_receptors
from toolkit.errors import InputError
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


def background_variance_mV2(network: Network) -> np.ndarray:
    """Variance of the free membrane that Poisson inputs make by Campbell's theorem, (neuron,).

    Raises
    ------
    InputError : neurons without such an input
    """
    slots = pack_receptors(network)
    square = Responses.of(network, slots).square
    total = np.zeros(network.n)
    for source in network.inputs.values():
        if source.rate_Hz is not None:
            post = source.synapses.post.astype(np.int64)
            slot = slots.of_receptor[post, source.synapses.receptor].astype(np.int64)
            each = source.synapses.weight.astype(float) ** 2 * square[slot, post]
            total += source.rate_Hz * np.bincount(post, weights=each, minlength=network.n)
    if not (total > 0).all():
        raise InputError(
            f"{int((total <= 0).sum())} neurons have no background, which recurrent noise is "
            "compared with"
        )
    return total


def targets_of(network: Network) -> Targets:
    """Recorded rates and the background's variance, as `toolkit.learning.fit` takes them."""
    return Targets(
        network.neurons["cell_class"], recorded_rates_Hz(), background_variance_mV2(network)
    )
