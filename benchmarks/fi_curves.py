"""f-I curves of the shipped models: Brian2, NEST with the same NESTML text, NEST's own models.

    python benchmarks/fi_curves.py [--models lif_psc_exp,...] [--out FILE.csv] [--plot FILE.png]

Default parameters, a constant current from the start, 1 s at 0.1 ms. Exact models have to fire in
the same steps. Where a solver is involved a spike may come a step earlier or later, in a periodic
state every one of them: an interval is off by at most dt, so the rate f by f^2 dt, and the count by
one more at the end. The same holds for NEST's aeif_cond_exp, which resets within a step instead of
at its end.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

DT_MS, DURATION_MS = 0.1, 1000.0
N = 21
GLIF = ("C_m", "g", "E_L", "V_th", "t_ref")
GLIF_NAMES = {
    "V_reset": "V_reset", "reset_fraction": "voltage_reset_fraction",
    "reset_add": "voltage_reset_add", "th_spike_add": "th_spike_add",
    "th_spike_decay": "th_spike_decay", "th_voltage_index": "th_voltage_index",
    "th_voltage_decay": "th_voltage_decay",
}  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """Largest current in pA; NEST's own model, if any, and its names of the parameters."""

    largest_pA: float
    builtin: str = ""
    names: tuple[tuple[str, str], ...] = ()
    start: tuple[str, ...] = ("V_m=E_L",)


def _same(*names: str, **others: str) -> tuple[tuple[str, str], ...]:
    return tuple((name, name) for name in names) + tuple(others.items())


_LIF = _same("C_m", "tau_m", "E_L", "V_th", "V_reset", "t_ref")
OTHERS = {
    "lif_psc_exp": Setting(1600, "iaf_psc_exp", _LIF),
    "lif_psc_alpha": Setting(1600, "iaf_psc_alpha", _LIF),
    "lif_psc_delta": Setting(1600, "iaf_psc_delta", _LIF),
    "lif_cond_exp": Setting(
        1500, "iaf_cond_exp", _same("C_m", "g_L", "E_L", "V_th", "V_reset", "t_ref")
    ),
    "adex_cond_exp": Setting(
        1500, "aeif_cond_exp",
        _same("C_m", "g_L", "E_L", "V_th", "Delta_T", "V_peak", "V_reset", "t_ref", "a", "b")
        + _same("tau_w"),
    ),
    "izhikevich": Setting(20, "izhikevich", _same("a", "b", "c", "d", "V_th"), ()),
    "hh_psc_alpha": Setting(
        1500, "hh_psc_alpha", _same("C_m", "g_Na", "g_K", "g_L", "E_Na", "E_K", "E_L", "t_ref"), ()
    ),
}  # fmt: skip


def setting(model: str) -> Setting:
    """Of any shipped model."""
    if model in OTHERS:
        return OTHERS[model]
    builtin = {"alpha": "glif_psc", "double_alpha": "glif_psc_double_alpha", "exponential": ""}
    return Setting(600, builtin[model.partition("_psc_")[2]])


def currents(model: str) -> np.ndarray:
    return np.linspace(0, setting(model).largest_pA, N)


def _defaults(code: Any) -> dict[str, float]:
    from converters.nestml.group import constants

    values, _ = constants(code, {}, DT_MS)
    return {v.name: float(values[v.name]) for v in code.parameters}


def _current_name(code: Any) -> str:
    return next(v.name for v in code.parameters if v.name in ("I_e", "I_ext"))


def _counts(steps: np.ndarray, ids: np.ndarray) -> list[np.ndarray]:
    return [np.sort(steps[ids == k]) for k in range(N)]


def in_brian2(model: str) -> list[np.ndarray]:
    """Steps of the spikes of each neuron, as NEST counts."""
    import brian2 as b2

    from converters.nestml import neuron_group
    from converters.nestml.shipped import shipped

    b2.prefs.codegen.target = "numpy"
    code = shipped(model)
    group = neuron_group(code, N, {_current_name(code): currents(model)}, dt_ms=DT_MS)
    spikes = b2.SpikeMonitor(group)
    b2.Network(group, spikes).run(DURATION_MS * b2.ms + code.lag_steps * DT_MS * b2.ms)
    steps = np.round(np.asarray(spikes.t / b2.ms) / DT_MS).astype(int) + 1 - code.lag_steps
    return _counts(steps, np.asarray(spikes.i))


def in_nest(model: str) -> list[np.ndarray]:
    """Of the same text, compiled."""
    from converters.nest import kernel, module
    from converters.nest.compiled import SOLVERS
    from converters.nestml.shipped import MODELS, path, shipped

    name = f"{model}_striate"  # NEST has models of some of our names
    text = path(model).read_text(encoding="utf-8").replace(f"model {model}:", f"model {name}:")
    compiled = module.build(text, SOLVERS[MODELS[model][0]])
    with kernel.taken(DT_MS, 1) as nest:
        nest.Install(str(compiled.with_suffix("")))
        own = _current_name(shipped(model))
        neurons = nest.Create(name, N, [{own: value} for value in currents(model)])
        return _run(nest, neurons)


def in_nest_builtin(model: str) -> list[np.ndarray] | None:
    """Of NEST's own model, or None without one."""
    from converters.nest import kernel
    from converters.nestml.shipped import shipped

    chosen = setting(model)
    if not chosen.builtin:
        return None
    values = _defaults(shipped(model))
    glif = model.startswith("glif")
    given = _glif(model, values) if glif else {b: values[a] for a, b in chosen.names}
    for pair in chosen.start:
        given[pair.split("=")[0]] = values[pair.split("=")[1]]
    if model == "izhikevich":
        given |= {"V_m": -65.0, "U_m": -65.0 * values["b"]}
    if model == "adex_cond_exp":
        given["gsl_error_tol"] = 1e-9
    with kernel.taken(DT_MS, 1) as nest:
        neurons = nest.Create(chosen.builtin, N, given)
        late = 0
        if glif:  # without I_e; a generator starts a step late, and its current has a delay
            source = nest.Create("dc_generator", N, [{"amplitude": v} for v in currents(model)])
            nest.Connect(source, neurons, "one_to_one", {"delay": DT_MS})
            late = 2
        else:
            neurons.set([{"I_e": value} for value in currents(model)])
        last = round(DURATION_MS / DT_MS)
        return [(own - late)[own - late <= last] for own in _run(nest, neurons, late)]


def _glif(model: str, values: dict[str, float]) -> dict[str, Any]:
    level = int(model[4])
    given: dict[str, Any] = {name: values[name] for name in GLIF}
    given |= {theirs: values[own] for own, theirs in GLIF_NAMES.items() if own in values}
    given |= dict(
        spike_dependent_threshold=level in (2, 4, 5),
        after_spike_currents=level >= 3,
        adapting_threshold=level == 5,
    )
    if level >= 3:
        given["asc_decay"] = [values["asc_decay_1"], values["asc_decay_2"]]
        given["asc_amps"] = [values["asc_amp_1"], values["asc_amp_2"]]
        given |= dict(asc_r=[1.0, 1.0], asc_init=[0.0, 0.0])
    return given


def _run(nest: Any, neurons: Any, more_steps: int = 0) -> list[np.ndarray]:
    recorder = nest.Create("spike_recorder", params={"time_in_steps": True})
    nest.Connect(neurons, recorder)
    nest.Simulate(DURATION_MS + more_steps * DT_MS)
    events = recorder.get("events")
    return _counts(
        np.asarray(events["times"]), np.asarray(events["senders"]) - neurons[0].global_id
    )


def within(ours: np.ndarray, theirs: np.ndarray, exact: bool) -> bool:
    """Whether the spikes of a neuron are as the module's docstring asks."""
    if exact:
        return np.array_equal(ours, theirs)
    duration_s = DURATION_MS / 1000
    rate = max(len(ours), len(theirs)) / duration_s
    return abs(len(ours) - len(theirs)) <= 1 + rate**2 * DT_MS / 1000 * duration_s


def of_model(model: str) -> pd.DataFrame:
    """Rates of a model by current."""
    from converters.nestml.shipped import shipped

    exact = shipped(model).method == "exact"
    runs = {"nestml": in_nest(model), "builtin": in_nest_builtin(model)}
    ours = in_brian2(model)
    seconds = DURATION_MS / 1000
    rows = []
    for k, current_pA in enumerate(currents(model)):
        row: dict[str, Any] = {"model": model, "current_pA": current_pA}
        row["brian2_Hz"] = len(ours[k]) / seconds
        for name, run in runs.items():
            if run is None:
                continue
            row[f"{name}_Hz"] = len(run[k]) / seconds
            row[f"{name}_same_steps"] = np.array_equal(ours[k], run[k])
            row[f"{name}_within"] = within(ours[k], run[k], exact)
        rows.append(row)
    return pd.DataFrame(rows)


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """A line a model: neurons that agree, and the largest difference of rates."""
    lines = []
    for model, rows in table.groupby("model", sort=False):
        line: dict[str, Any] = {"model": model, "largest_Hz": rows["brian2_Hz"].max()}
        for name in ("nestml", "builtin"):
            if f"{name}_Hz" in rows and rows[f"{name}_Hz"].notna().any():
                line[f"{name}_same_steps"] = int(rows[f"{name}_same_steps"].sum())
                line[f"{name}_within"] = int(rows[f"{name}_within"].sum())
                apart = (rows[f"{name}_Hz"] - rows["brian2_Hz"]).abs().max()
                line[f"{name}_apart_Hz"] = apart
        lines.append(line)
    return pd.DataFrame(lines)


def figure(table: pd.DataFrame) -> bytes:
    """A panel a model; the kernels of a GLIF level, which share a curve, in one."""
    from toolkit import plots

    panels: dict[str, list[str]] = {}
    for model in table["model"].unique():
        title = model.partition("_psc_")[0].upper() if model.startswith("glif") else model
        panels.setdefault(title, []).append(model)
    columns = 4
    rows = -(-len(panels) // columns)
    with plots.style():
        drawn = plots.new_figure(8.2, 1.9 * rows + 0.35)
        grid = drawn.subplots(rows, columns, squeeze=False)
        for axes, (title, models) in zip(grid.flat, panels.items(), strict=False):
            for model in models:
                own = table[table["model"] == model]
                x = own["current_pA"]
                (line,) = axes.plot(x, own["brian2_Hz"], color=plots.INK, lw=1.2)
                (nestml,) = axes.plot(
                    x, own["nestml_Hz"], "o", mfc="none", color=plots.BLUE, ms=4.5
                )
                (cross,) = axes.plot(x, own["builtin_Hz"], "x", color=plots.VERMILION, ms=3.2)
            n = f" ({len(models)} receptors)" if len(models) > 1 else ""
            axes.set_title(f"{title}{n}")
            axes.set_ylim(bottom=0)
        for axes in list(grid.flat)[len(panels) :]:
            axes.set_axis_off()
        for axes in grid[-1]:
            axes.set_xlabel("current (pA)")
        for axes in grid[:, 0]:
            axes.set_ylabel("rate (Hz)")
        names = ["Brian2", "NEST, same NESTML", "NEST, built in"]
        drawn.legend([line, nestml, cross], names, loc="upper center", ncols=3)
        drawn.tight_layout(rect=(0, 0, 1, 1 - 0.3 / (1.9 * rows + 0.35)))
        return plots.png(drawn)


def main() -> None:
    from converters.nestml.shipped import MODELS

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--out", help="write the rates here as CSV, too")
    parser.add_argument("--plot", help="draw the curves here, as PNG")
    args = parser.parse_args()
    tables = []
    for model in args.models.split(","):
        tables.append(of_model(model))
        print(summary(tables[-1]).to_string(index=False, header=not tables[:-1]), flush=True)
    table = pd.concat(tables, ignore_index=True)
    if args.out:
        table.to_csv(args.out, index=False, float_format="%g")
    if args.plot:
        Path(args.plot).write_bytes(figure(table))


if __name__ == "__main__":
    main()
