"""What would go wrong with a conversion, said before any spike is simulated."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from converters.conversion.predictions import Predictions, leading_eigenvalues, predict
from converters.conversion.weights import cells_of, entries_of
from toolkit.errors import InputError
from toolkit.learning import TrainableRates
from toolkit.network import Network
from toolkit.table import Table
from toolkit.transfer import Transfer

# Up to where a conversion is expected to be faithful; our choices.
NOISE_RATIO = 0.5  # recurrent sigma over the background's
INPUT_RATIO = 2.0  # sigma of the driven input over the background's
RATE_SHIFT, RATE_SHIFT_HZ = 0.1, 0.2  # of a class's rate, by sigma; the larger of the two
RADIUS = 0.9  # of diag(F')W; 1 is the edge of stability
STRONG_PSP = 0.2  # of the way from rest to threshold
STRONG_SHARE = 0.01  # of the synapses of a class that may be strong
SATURATED = 1 / 3  # of the refractory limit 1 / t_ref
SATURATED_SHARE = 0.05  # of the neurons of a class that may be saturated
SILENT_HZ = 0.05  # 10 spikes in the 200 s by which F is tabulated
SILENT_SHARE = 0.2  # of the neurons of a class that may be silent


@dataclass(frozen=True)
class ConversionCheck:
    """What is predicted of a conversion.

    Attributes
    ----------
    classes : a row a cell class; medians over its neurons where nothing else is said.
        ``neurons``; ``rate_Hz`` (mean); ``silent`` and ``saturated``, shares of neurons;
        ``sigma_recurrent_mV``, ``sigma_input_mV`` and ``sigma_background_mV`` of the free membrane;
        ``noise_ratio`` of the first and third, and ``replicas`` that would bring it to 0.5;
        ``sigma_F_mV`` at which the model's F was taken, and ``sigma_mV`` expected of spikes;
        ``rate_F_Hz`` and ``rate_expected_Hz``, means of F at these two and the same mean input;
        shares of synapses that are strong, ``strong_recurrent`` and ``strong_inputs``, and the
        largest responses to a spike, ``largest_recurrent`` and ``largest_inputs`` (1 is the
        distance from rest to threshold)
    spectral_radius : of diag(F')W at the mean currents
    leading_eigenvalue : of diag(F')W, that of the largest real part
    replicas : by which recurrent noise is at most half the background's in every class
    findings : what is wrong, in sentences; none if nothing is
    """

    classes: Table
    spectral_radius: float
    leading_eigenvalue: complex
    replicas: int
    findings: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return not self.findings


@torch.no_grad()
def check_conversion(
    model: TrainableRates,
    network: Network,
    rates_Hz: np.ndarray,
    inputs_Hz: np.ndarray,
    *,
    replicas: int = 1,
    cells_per_channel: int | None = None,
    transfer: Transfer | None = None,
) -> ConversionCheck:
    """Predict what spikes will do to a trained rate network.

    Spikes are taken as Poisson and independent (Campbell's theorem): too much for neurons that fire
    fast and regularly, too little where neurons share inputs (`converters.correlations`).

    Parameters
    ----------
    model, network : as in `converters.to_spiking`
    rates_Hz : mean rates of the model on items like those it is for, (neuron,)
    inputs_Hz : their mean inputs, (channel,), not multiplied by `cells_per_channel`
    replicas, cells_per_channel : of the conversion, replicas wired all to all; cells by default
        those that the model was trained with
    transfer : F(mu, sigma), by default the tabulated one

    Raises
    ------
    InputError : a model of another network, rates that do not fit, neurons without a background

    Time O(synapses), with some dozens of sparse products for the eigenvalues.
    """
    cells = cells_of(model, cells_per_channel)
    source, entries = entries_of(model, network)
    n, channels = network.n, network.inputs[source].n
    before = np.concatenate(
        [_rates("rates_Hz", rates_Hz, n), _rates("inputs_Hz", inputs_Hz, channels)]
    )
    found = predict(model, network, entries, before, replicas, cells, transfer)
    table = _by_class(network, found, entries.row % n, entries.col < n, replicas)
    radius, leading = leading_eigenvalues(model, entries, found.slope)
    wanted = int(table["replicas"].max())
    findings = (*_of_classes(table, wanted), *_of_stability(radius, leading))
    return ConversionCheck(table, radius, leading, wanted, findings)


def _rates(name: str, values: Any, n: int) -> np.ndarray:
    array = np.asarray(values, dtype=float)
    if array.shape != (n,):
        raise InputError(f"{name} of shape ({n},) are needed, got {array.shape}")
    if not (np.isfinite(array) & (array >= 0)).all():
        raise InputError(f"{name} must be finite and not negative")
    return array


def _by_class(
    network: Network, found: Predictions, post: np.ndarray, recurrent: np.ndarray, replicas: int
) -> Table:
    n, rates = network.n, found.rates_Hz
    limit_Hz = 1000 / np.maximum(network.neurons["t_ref_ms"], 1e-3)
    strong: dict[str, tuple[np.ndarray, ...]] = {}
    for kind, of_kind in (("recurrent", recurrent), ("inputs", ~recurrent)):
        psp, onto, largest = found.psp[of_kind], post[of_kind], np.zeros(n)
        np.maximum.at(largest, onto, psp)
        all_of, strong_of = (
            np.bincount(onto[these], minlength=n) for these in (psp >= 0, psp > STRONG_PSP)
        )
        strong[kind] = all_of, strong_of, largest
    sigma_mV = {
        name: np.sqrt(getattr(found, name)) for name in ("recurrent", "driven", "background")
    }
    ratio = sigma_mV["recurrent"] / sigma_mV["background"]
    rows = []
    for name in network.classes:
        mine = network.neurons["cell_class"] == name
        noise = float(np.median(ratio[mine]))
        row = {
            "cell_class": name,
            "neurons": int(mine.sum()),
            "rate_Hz": rates[mine].mean(),
            "silent": (rates[mine] < SILENT_HZ).mean(),
            "saturated": (rates[mine] > SATURATED * limit_Hz[mine]).mean(),
            "sigma_recurrent_mV": np.median(sigma_mV["recurrent"][mine]),
            "sigma_input_mV": np.median(sigma_mV["driven"][mine]),
            "sigma_background_mV": np.median(sigma_mV["background"][mine]),
            "noise_ratio": noise,
            "replicas": max(1, math.ceil(replicas * (noise / NOISE_RATIO) ** 2 - 1e-9)),
            "sigma_F_mV": np.median(found.sigma_F_mV[mine]),
            "sigma_mV": np.median(found.sigma_mV[mine]),
            "rate_F_Hz": found.rate_F_Hz[mine].mean(),
            "rate_expected_Hz": found.rate_expected_Hz[mine].mean(),
        }
        for kind, (synapses, strong_ones, largest) in strong.items():
            row[f"strong_{kind}"] = strong_ones[mine].sum() / max(synapses[mine].sum(), 1)
            row[f"largest_{kind}"] = largest[mine].max()
        rows.append(row)
    return Table({column: [row[column] for row in rows] for column in rows[0]})


def _of_classes(table: Table, replicas: int) -> Iterator[str]:
    """What is wrong in which classes."""

    def those(wrong: np.ndarray, each: str) -> str:
        rows = table.take(wrong)
        values = [{column: rows[column][k] for column in rows} for k in rows.rows]
        return "; ".join(each.format(**row) for row in values)

    noise = "{cell_class} {sigma_recurrent_mV:.2g} mV beside {sigma_background_mV:.2g} mV"
    if noisy := those(table["noise_ratio"] > NOISE_RATIO, noise):
        yield (
            f"Recurrent spikes make more than {NOISE_RATIO:g} of the background's noise: {noisy}. "
            f"{replicas} replicas (all to all) would bring it there in all classes; or train with "
            "a larger penalty on noise."
        )
    of_input = "{cell_class} {sigma_input_mV:.2g} mV beside {sigma_background_mV:.2g} mV"
    ratio = table["sigma_input_mV"] / table["sigma_background_mV"]
    if driven := those(ratio > INPUT_RATIO, of_input):
        yield (
            f"Spikes of the driven input make more than {INPUT_RATIO:g} times the background's "
            f"noise: {driven}. Replicas that share them do not help: replicate the inputs, too, or "
            "train with a penalty on their noise."
        )
    shift = np.abs(table["rate_expected_Hz"] - table["rate_F_Hz"])
    far = shift > np.maximum(RATE_SHIFT * table["rate_F_Hz"], RATE_SHIFT_HZ)
    rates = "{rate_F_Hz:.2g} to {rate_expected_Hz:.2g} Hz"
    if moved := those(far, f"{{cell_class}} {{sigma_mV:.2g}} for {{sigma_F_mV:.2g}} mV, {rates}"):
        yield (
            "The noise after training is not the one that F was taken at, which moves rates at the "
            f"same mean input: {moved}. Calibrate, or train with F at the noise of the trained "
            "network."
        )
    share = "{saturated:.0%} of {cell_class}"
    if saturated := those(table["saturated"] > SATURATED_SHARE, share):
        yield (
            "Neurons fire above a third of their refractory limit, where spikes are regular and F "
            f"is flat: {saturated}. Train with a cap on rates."
        )
    if silent := those(table["silent"] > SILENT_SHARE, "{silent:.0%} of {cell_class}"):
        yield (
            f"Neurons are silent (below {SILENT_HZ:g} Hz), so that nothing of them can be "
            f"compared: {silent}. Train with the loss of the rate distribution."
        )
    for kind, cure in (
        ("recurrent", "take replicas, all to all"),
        ("inputs", "replicate the inputs, too"),
    ):
        onto = (
            f"{{strong_{kind}:.1%}} of those onto {{cell_class}} (largest {{largest_{kind}:.0%}})"
        )
        if strong := those(table[f"strong_{kind}"] > STRONG_SHARE, onto):
            yield (
                f"A spike of single synapses ({kind}) moves the potential by more than "
                f"{STRONG_PSP:.0%} of the way to threshold, where input is no Gaussian noise: "
                f"{strong}. Clip weights and train on, or {cure}."
            )


def _of_stability(radius: float, leading: complex) -> Iterator[str]:
    if leading.real >= 1:
        yield (
            f"The steady state at the mean input is unstable: the leading eigenvalue of diag(F')W "
            f"has the real part {leading.real:.2f}. Spikes may run to another state; train with a "
            "weaker recurrence."
        )
    elif not radius < RADIUS:
        yield (
            f"The spectral radius of diag(F')W is {radius:.2f} (leading real part "
            f"{leading.real:.2f}): with delays and noise the spiking network may oscillate or "
            "amplify fluctuations. Look at its pairwise count correlation, or train with a weaker "
            "recurrence."
        )
