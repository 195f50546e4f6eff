"""How far spikes and rates agree: the numbers of a `Study`."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd

from circuits import allen
from circuits.compare.study import RATE_FORM, Study
from toolkit import metrics

N_BOOTSTRAP = 200


def groups(study: Study) -> dict[str, np.ndarray]:
    """Masks of all, excitatory and inhibitory neurons."""
    excitatory = study.network.excitatory
    return {"all": np.ones(study.network.n, bool), "E": excitatory, "I": ~excitatory}


def conditions(study: Study) -> dict[str, tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]]:
    """Of each condition: counts by trial, spiking rates, and rates by form.

    Shapes (trial, stimulus, neuron), (stimulus, neuron) and (stimulus, neuron); Hz throughout.
    """
    protocol = study.protocol
    return {
        "evoked": (
            study.evoked_counts * (1000 / protocol.evoked_ms),
            study.spiking_evoked_Hz,
            study.evoked_Hz,
        ),
        "spontaneous": (
            study.grey_counts[:, None] * (1000 / protocol.grey_ms),
            study.spiking_grey_Hz[None],
            {name: rates[None] for name, rates in study.grey_Hz.items()},
        ),
    }


def agreement(study: Study) -> pd.DataFrame:
    """R2 and log-rate R2 across neurons (and directions), slope, ceilings; a row for each
    condition, form (the rate network and its controls) and group.

    R2 is 1 - SSE/SST, log rates are log10(r + 0.1 Hz); the interval is a bootstrap over neurons;
    the ceiling is the split-half reliability of the spiking rates.
    """
    rows = []
    for condition, (trials, spiking, forms) in conditions(study).items():
        for group, mask in groups(study).items():
            if not mask.any():
                continue
            for form, rates in forms.items():
                observed, predicted = spiking[:, mask], rates[:, mask]
                low, high = _over_neurons(observed, predicted, study.seed)
                rows.append(
                    {
                        "condition": condition,
                        "form": form,
                        "group": group,
                        "neurons": int(mask.sum()),
                        "R2": metrics.r_squared(observed, predicted),
                        "R2_low": low,
                        "R2_high": high,
                        "ceiling": _ceiling(trials[..., mask]),
                        "log_R2": metrics.log_rate_r_squared(observed, predicted),
                        "log_ceiling": _ceiling(trials[..., mask], log=True),
                        "slope": metrics.slope(observed, predicted),
                        "spiking_Hz": float(observed.mean()),
                        "rate_Hz": float(predicted.mean()),
                    }
                )
    return pd.DataFrame(rows)


def _over_neurons(observed: np.ndarray, predicted: np.ndarray, seed: int) -> tuple[float, float]:
    pairs = np.stack([observed, predicted]).transpose(2, 0, 1)  # (neuron, which, stimulus)

    if np.ptp(observed) == 0:
        return np.nan, np.nan

    def statistic(sample: np.ndarray) -> float:
        return metrics.r_squared(sample[:, 0], sample[:, 1])

    return metrics.bootstrap_interval(pairs, statistic, seed, n=N_BOOTSTRAP)


def by_class(study: Study, tables: allen.AllenTables | None = None) -> pd.DataFrame:
    """A row a class: mean rates of both forms, agreement, selectivity, and the recorded medians.

    OSI and DSI are medians over neurons that fire at 0.5 Hz or more at their best direction, in
    both forms. The PSTH correlation is that of the class's 10 ms PSTHs over all directions; its
    ceiling, that of a perfect rate form given the trials, is sqrt(2 h / (1 + h)) with h the
    correlation of the PSTHs of even and odd trials (Spearman-Brown).
    """
    tables = tables or allen.load()
    recorded = tables.neuropixels.to_pandas().set_index("cell_class").to_dict("index")
    targets = allen.spontaneous_targets(tables)
    target = dict(zip(targets["cell_class"], targets["rate_Hz"], strict=True))
    directions = study.protocol.directions_deg
    rows = []
    for k, name in enumerate(study.network.classes):
        mask = study.neurons["cell_class"] == name
        row: dict[str, float | str | int] = {"cell_class": name, "neurons": int(mask.sum())}
        for condition, (trials, spiking, forms) in conditions(study).items():
            observed, predicted = spiking[:, mask], forms[RATE_FORM][:, mask]
            row[f"{condition}_spiking_Hz"] = float(observed.mean())
            row[f"{condition}_rate_Hz"] = float(predicted.mean())
            row[f"{condition}_R2"] = metrics.r_squared(observed, predicted)
            row[f"{condition}_log_R2"] = metrics.log_rate_r_squared(observed, predicted)
            row[f"{condition}_ceiling"] = _ceiling(trials[..., mask])
            for control in forms:
                if control != RATE_FORM:
                    row[f"{condition}_R2_{control}"] = metrics.r_squared(
                        observed, forms[control][:, mask]
                    )
        row |= _selectivity(study, mask, directions)
        row["psth_correlation"] = _correlation(study.psth_spikes_Hz[k], study.psth_rates_Hz[k])
        halves = _correlation(*study.psth_halves_Hz[:, k])
        row["psth_ceiling"] = float(np.sqrt(max(2 * halves / (1 + halves), 0.0)))
        if name in recorded:
            row["recorded_units"] = int(recorded[name]["n_units"])
            row["spontaneous_target_Hz"] = float(target[name])
            for key in ("spontaneous", "evoked"):
                for quartile in ("p25", "median", "p75"):
                    row[f"recorded_{key}_{quartile}_Hz"] = recorded[name][f"{key}_{quartile}_Hz"]
            row["recorded_osi"] = recorded[name]["osi_median"]
            row["recorded_dsi"] = recorded[name]["dsi_median"]
        rows.append(row)
    return pd.DataFrame(rows)


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(metrics.psth_correlation(a.reshape(-1, 1), b.reshape(-1, 1))[0])


def _ceiling(trials: np.ndarray, log: bool = False) -> float:
    """Split-half ceiling; NaN where a single mean leaves nothing to explain."""
    if trials[0].size < 2:
        return np.nan
    return metrics.split_half_ceiling(trials, log=log).value


def _selectivity(study: Study, mask: np.ndarray, directions: np.ndarray) -> dict[str, float]:
    spiking, rates = study.spiking_evoked_Hz[:, mask], study.evoked_Hz[RATE_FORM][:, mask]
    active = (spiking.max(axis=0) >= 0.5) & (rates.max(axis=0) >= 0.5)
    out = {"active": float(active.mean())}
    for form, values in (("spiking", spiking), ("rate", rates)):
        for name, index in (("osi", metrics.osi), ("dsi", metrics.dsi)):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)
                selective = index(values[:, active], directions) if active.any() else np.nan
                out[f"{name}_{form}"] = float(np.nanmedian(selective))
    return out


def by_neuron(study: Study) -> pd.DataFrame:
    """A row a neuron: class, model, depth, and the rates of both forms in every condition, Hz."""
    neurons = study.neurons
    frame = pd.DataFrame(
        {
            "cell_class": neurons["cell_class"],
            "cell": neurons["cell"],
            "depth_um": -neurons["y_um"],
            "tuning_deg": neurons["tuning_deg"],
            "spontaneous_spiking_Hz": study.spiking_grey_Hz,
            "spontaneous_rate_Hz": study.grey_Hz[RATE_FORM],
        }
    )
    for k, direction in enumerate(study.protocol.directions_deg):
        frame[f"spiking_{direction:g}deg_Hz"] = study.spiking_evoked_Hz[k]
        frame[f"rate_{direction:g}deg_Hz"] = study.evoked_Hz[RATE_FORM][k]
    return frame.round(4)
