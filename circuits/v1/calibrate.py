"""Calibrate the background of V1 columns in closed loop, until spontaneous rates are the recorded
ones.

For each cell model one weight, on a multiplicative scale, is nudged after every run by how far the
model's mean rate is from the recorded median of its class, with the recurrence and the LGN at rest
on. Several columns (seeds) are run together, so that the table is that of the size and not of one
draw. One weight a class would meet the class means too, but leave most cells of some classes
silent, because the cell models of a class differ in rheobase.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from circuits import allen
from circuits.v1.background import RATE_HZ
from circuits.v1.lgn import lgn
from converters import to_brian2
from toolkit import stimuli
from toolkit.errors import InputError
from toolkit.network import Network
from toolkit.table import Table

# Length (s) and gain of the runs: quick steps to the neighbourhood, then long ones that settle;
# the weights of the last stage are averaged. Our choice, seen to converge.
STAGES = ((16, 3.0, 0.20), (12, 6.0, 0.08), (10, 15.0, 0.04))
WARM_UP_S = 0.5
FLOOR_HZ = 0.1  # added to rates before logarithms


def calibrate(
    columns: Sequence[Network],
    tables: allen.AllenTables | None = None,
    *,
    stages: Sequence[tuple[int, float, float]] = STAGES,
    seed: int = 0,
    workers: int = 2,
    show_progress: bool | None = None,
) -> Table:
    """Background weights that give `columns` their recorded spontaneous rates.

    Parameters
    ----------
    columns : columns of one size, selection and compensation, of different seeds
    tables : Allen tables
    stages : (number of runs, length in s, gain) each
    seed : of the runs' random input
    workers : simulations at a time

    Returns
    -------
    Table with a row a cell model: ``cell``, ``cell_class``, ``weight_pA``, ``neurons`` (in all
    columns) and ``rate_Hz`` (mean over the last stage; NaN without neurons). A model that no column
    has gets the weight that its rheobase predicts from its class's others.

    Raises
    ------
    InputError : no columns
    """
    if not columns:
        raise InputError("calibrate needs at least one column")
    tables = tables or allen.load()
    names = tables.cells["cell"].tolist()
    model = [np.array([names.index(c) for c in column.neurons["cell"]]) for column in columns]
    neurons = np.bincount(np.concatenate(model), minlength=len(names))
    target = _target_by_model(tables)
    start = _from_rheobase(columns, model, len(names))
    log_weight = np.log(start)

    simulations = [to_brian2(column, device="cpp_standalone") for column in columns]
    rest = lgn(columns[0], tables)
    settled_weight, settled_rate, run = [], [], 0
    for n_runs, length_s, gain in stages:
        grey = rest.respond(stimuli.grey(duration_ms=1000 * (WARM_UP_S + length_s)))
        settled_weight, settled_rate = [], []
        for _ in range(n_runs):
            spikes = np.zeros(len(names))
            run += 1
            for k, simulation in enumerate(simulations):
                values = simulation.background_values("background", np.exp(log_weight)[model[k]])
                job = simulation.job(grey, seed=seed * 1_000_003 + run * 101 + k, values=values)
                recording = next(
                    simulation.run_jobs([job], workers=workers, show_progress=show_progress)
                )
                rate = recording.mean_rates_Hz(1000 * WARM_UP_S)
                spikes += np.bincount(model[k], weights=rate, minlength=len(names))
            rate = spikes / np.maximum(neurons, 1)
            settled_weight.append(log_weight.copy())
            settled_rate.append(rate)
            off = np.log((target + FLOOR_HZ) / (rate + FLOOR_HZ))
            log_weight = log_weight + gain * np.clip(off, -1.5, 1.5) * (neurons > 0)
    weight = np.exp(np.mean(settled_weight, axis=0))
    weight = _fill(weight, start, neurons, tables)
    return Table(
        {
            "cell": tables.cells["cell"],
            "cell_class": tables.cells["cell_class"],
            "weight_pA": weight,
            "neurons": neurons,
            "rate_Hz": np.where(neurons > 0, np.mean(settled_rate, axis=0), np.nan),
        }
    )


def _target_by_model(tables: allen.AllenTables) -> np.ndarray:
    targets = allen.spontaneous_targets(tables)
    by_class = dict(zip(targets["cell_class"], targets["rate_Hz"], strict=True))
    return np.array([by_class[c] for c in tables.cells["cell_class"]])


def _from_rheobase(
    columns: Sequence[Network], model: Sequence[np.ndarray], n_models: int
) -> np.ndarray:
    """Weight (pA) whose mean current, with that of the resting LGN, is 85 % of rheobase.

    The mean current of peak w at rate r is w e tau r. At least a tenth of rheobase.
    """
    summed, count = np.zeros(n_models), np.zeros(n_models)
    for column, row in zip(columns, model, strict=True):
        neurons, synapses = column.neurons, column.inputs["lgn"].synapses
        tau = column.receptor_tau_ms()
        charge = np.e * tau[column.inputs["background"].synapses.receptor] / 1000  # pA per pA Hz
        resting_Hz = lgn(column).channels.resting_Hz[synapses.pre]
        thalamic = np.bincount(
            synapses.post, weights=synapses.weight * resting_Hz, minlength=column.n
        )
        rheobase = neurons["g_nS"] * (neurons["V_th_mV"] - neurons["E_L_mV"])
        missing = np.maximum(0.85 * rheobase - thalamic * charge, 0.1 * rheobase)
        summed += np.bincount(row, weights=missing / (charge * RATE_HZ), minlength=n_models)
        count += np.bincount(row, minlength=n_models)
    return np.where(count > 0, summed / np.maximum(count, 1), 1.0)


def _fill(
    weight: np.ndarray, start: np.ndarray, neurons: np.ndarray, tables: allen.AllenTables
) -> np.ndarray:
    """Weights of models without neurons: as the class's others, by rheobase current."""
    cells = tables.cells
    rheobase = cells["g_nS"] * (cells["V_th_mV"] - cells["E_L_mV"])
    filled = weight.copy()
    for name in tables.classes["cell_class"]:
        mine = cells["cell_class"] == name
        known = mine & (neurons > 0)
        missing = mine & (neurons == 0)
        if not known.any():
            raise InputError(f"no column has a neuron of class {name}; use larger columns")
        ratio = np.median(weight[known] / rheobase[known])
        own = np.where(np.isfinite(rheobase), rheobase, np.median(rheobase[known]))
        filled[missing] = ratio * own[missing]
    return filled


def table_text(table: Table, what: str, command: str) -> str:
    """The table as CSV with a heading that says what it is and how it was made."""
    lines = [
        f"# Background weights of {what}: peak (pA) of the alpha current of one spike of a neuron's",
        f"# {RATE_HZ:g} Hz Poisson source, by cell model. Calibrated in closed loop to the recorded",
        "# spontaneous medians (Siegle et al. 2021); neurons: in the columns used; rate_Hz: reached.",
        f"# Made by: {command}",
        "cell,cell_class,weight_pA,neurons,rate_Hz",
    ]
    for row in table.rows:
        rate = table["rate_Hz"][row]
        lines.append(
            f"{table['cell'][row]},{table['cell_class'][row]},{table['weight_pA'][row]:.5f},"
            f"{table['neurons'][row]},{'' if np.isnan(rate) else f'{rate:.3f}'}"
        )
    return "\n".join(lines) + "\n"
