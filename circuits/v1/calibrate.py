"""Calibrate the background of V1 columns in closed loop, until spontaneous rates are the recorded
ones.

The weight of each cell model, apart for neurons with and without LGN input, is nudged on a
logarithmic scale after every run by how far these neurons' mean rate is from the recorded median
of their class, with the recurrence and the LGN at rest on. Several columns (seeds) are run
together, so that the table is that of the size and not of one draw. One weight a class would meet
the class means too, but leave most cells of some classes silent, because the cell models of a
class differ in rheobase, and neurons with LGN input from those without.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from circuits import allen
from circuits.v1.background import RATE_HZ, has_lgn
from circuits.v1.lgn import lgn
from converters import to_brian2
from toolkit import progress, stimuli
from toolkit.errors import InputError
from toolkit.network import Network
from toolkit.table import Table

# Number of runs, their length (s) and gain: quick steps to the neighbourhood, then long ones that
# settle; the weights of the last stage are averaged. Our choice, seen to converge.
STAGES = ((16, 2.5, 0.20), (12, 5.0, 0.08), (10, 12.0, 0.04))
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
    Table with two rows a cell model, without and with LGN input: ``cell``, ``cell_class``,
        ``lgn`` (0 or 1), ``weight_pA``, ``neurons`` (in all columns) and ``rate_Hz`` (mean over
        the last stage; NaN without neurons). A row that no neuron stands for gets the weight that
        its rheobase predicts from its class's others.

    Raises
    ------
    InputError : no columns
    """
    if not columns:
        raise InputError("calibrate needs at least one column")
    tables = tables or allen.load()
    groups = [_groups(column, tables) for column in columns]
    n = 2 * len(tables.cells.rows)
    neurons = np.bincount(np.concatenate(groups), minlength=n)
    target = np.repeat(_target_by_model(tables), 2)
    start = _from_rheobase(columns, groups, n)
    log_weight = np.log(start)
    simulations = [to_brian2(column, device="cpp_standalone") for column in columns]
    rest = lgn(columns[0], tables)
    weights: list[np.ndarray] = []
    rates: list[np.ndarray] = []
    run = 0
    total_s = sum(n_runs * (length_s + WARM_UP_S) for n_runs, length_s, _ in stages)

    with (
        ThreadPoolExecutor(workers) as pool,
        progress.bar(total_s, "calibrate", " s", show_progress) as shown,
    ):
        for n_runs, length_s, gain in stages:
            grey = rest.respond(stimuli.grey(duration_ms=1000 * (WARM_UP_S + length_s)))
            weights, rates = [], []
            for _ in range(n_runs):
                run += 1

                def mean_rates(k: int, log_weight=log_weight, run=run, grey=grey) -> np.ndarray:
                    simulation, weight = simulations[k], np.exp(log_weight)[groups[k]]
                    recording = simulation.run(
                        grey,
                        seed=seed * 1_000_003 + run * 101 + k,
                        values=simulation.background_values("background", weight),
                        show_progress=False,
                    )
                    return recording.mean_rates_Hz(1000 * WARM_UP_S)

                summed = np.zeros(n)
                for k, rate in enumerate(pool.map(mean_rates, range(len(columns)))):
                    summed += np.bincount(groups[k], weights=rate, minlength=n)
                rate = summed / np.maximum(neurons, 1)
                weights.append(log_weight)
                rates.append(rate)
                off = np.log((target + FLOOR_HZ) / (rate + FLOOR_HZ))
                log_weight = log_weight + gain * np.clip(off, -1.5, 1.5) * (neurons > 0)
                shown.update(length_s + WARM_UP_S)
    weight = _fill(np.exp(np.mean(weights, axis=0)), neurons, tables)
    return Table(
        {
            "cell": np.repeat(tables.cells["cell"], 2),
            "cell_class": np.repeat(tables.cells["cell_class"], 2),
            "lgn": np.tile([0, 1], n // 2),
            "weight_pA": weight,
            "neurons": neurons,
            "rate_Hz": np.where(neurons > 0, np.mean(rates, axis=0), np.nan),
        }
    )


def _groups(column: Network, tables: allen.AllenTables) -> np.ndarray:
    """Row of the result for every neuron: twice its cell model, plus one with LGN input."""
    row = {cell: k for k, cell in enumerate(tables.cells["cell"].tolist())}
    model = np.array([row[cell] for cell in column.neurons["cell"].tolist()])
    return 2 * model + has_lgn(column.n, column.inputs["lgn"])


def _target_by_model(tables: allen.AllenTables) -> np.ndarray:
    targets = allen.spontaneous_targets(tables)
    by_class = dict(zip(targets["cell_class"], targets["rate_Hz"], strict=True))
    return np.array([by_class[c] for c in tables.cells["cell_class"]])


def _from_rheobase(columns: Sequence[Network], groups: Sequence[np.ndarray], n: int) -> np.ndarray:
    """Weight (pA) whose mean current, with that of the resting LGN, is 85 % of rheobase.

    The mean current of weight w at rate r is w r times the charge per weight. At least a tenth of
    rheobase.
    """
    summed, count = np.zeros(n), np.zeros(n)
    for column, group in zip(columns, groups, strict=True):
        neurons, synapses = column.neurons, column.inputs["lgn"].synapses
        per_peak = np.array([each.charge_per_peak for each in column.receptors.values()])
        # pA of mean current for a weight of 1 pA at 1 Hz.
        charge = per_peak[column.inputs["background"].synapses.receptor] / 1000
        resting_Hz = lgn(column).channels.resting_Hz[synapses.pre]
        thalamic = np.bincount(
            synapses.post, weights=synapses.weight * resting_Hz, minlength=column.n
        )
        rheobase = neurons["g_nS"] * (neurons["V_th_mV"] - neurons["E_L_mV"])
        missing = np.maximum(0.85 * rheobase - thalamic * charge, 0.1 * rheobase)
        summed += np.bincount(group, weights=missing / (charge * RATE_HZ), minlength=n)
        count += np.bincount(group, minlength=n)
    return np.where(count > 0, summed / np.maximum(count, 1), 1.0)


def _fill(weight: np.ndarray, neurons: np.ndarray, tables: allen.AllenTables) -> np.ndarray:
    """Weights of rows without neurons: as the class's others, by rheobase current."""
    cells = tables.cells
    rheobase = np.repeat(cells["g_nS"] * (cells["V_th_mV"] - cells["E_L_mV"]), 2)
    cell_class = np.repeat(cells["cell_class"], 2)
    filled = weight.copy()
    for name in tables.classes["cell_class"]:
        mine = cell_class == name
        known = mine & (neurons > 0) & np.isfinite(rheobase)
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
        f"# Background weights of {what}: peak (pA) of the alpha current of a spike of a neuron's",
        f"# {RATE_HZ:g} Hz Poisson source, by cell model, for neurons without (0) and with (1) LGN",
        "# input. Calibrated in closed loop to recorded spontaneous medians (Siegle et al. 2021).",
        "# neurons: in the columns used (0: weight inferred from the class); rate_Hz: reached.",
        f"# Made by: {command}",
        "cell,cell_class,lgn,weight_pA,neurons,rate_Hz",
    ]
    for row in table.rows:
        rate = table["rate_Hz"][row]
        lines.append(
            f"{table['cell'][row]},{table['cell_class'][row]},{table['lgn'][row]},"
            f"{table['weight_pA'][row]:.5f},{table['neurons'][row]},"
            f"{'' if np.isnan(rate) else f'{rate:.3f}'}"
        )
    return "\n".join(lines) + "\n"
