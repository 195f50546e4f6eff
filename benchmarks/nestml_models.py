"""NESTML's own neuron models: converted to Brian2, and compiled for NEST. A table.

    python benchmarks/nestml_models.py [--models iaf_psc_exp,izhikevich] [--out FILE.csv]

Three neurons of each model with its default parameters: a current step, spike trains at every port,
and half of both, over 1 s at 0.1 ms. What counts as agreement was fixed before anything was
compared; currents, weights and solvers' substeps below were changed after first runs where a model
did not fire or its solver was unstable:

- solved exactly in both: the same spikes in the same steps, potentials within 1e-6 mV;
- by a solver (NEST: GSL's rkf45 with adaptive steps, errors up to 1e-6 a step): as many spikes,
  each within one step, because a crossing close to the end of a step can fall to either side;
  potentials within 0.1 mV (root mean square) up to the first spike in another step.

Where a spike waits for the arrivals of its step (`Brian2Code.lag_steps`), steps in which something
arrives or a neuron fires are left out of the potentials. Some 30 s a model the first time.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

DT_MS = 0.1
N_STEPS = 10_000
N = 3
ON, OFF = 1000, 9000  # steps between which the current flows
RATE_PER_STEP = 0.01  # of spikes at a port: 100 Hz
EXACT_MV, RMS_MV, SHIFT_STEPS = 1e-6, 0.1, 1


@dataclass(frozen=True)
class Setting:
    """Current in pA, weight of the spikes at each port in the order of the text, solver.

    `given` are parameters and states at the start that are not the defaults.
    """

    current_pA: float
    weights: tuple[float, ...]
    method: str = "rk4"
    substeps: int = 1
    given: tuple[tuple[str, float], ...] = ()
    note: str = ""


@dataclass(frozen=True)
class Result:
    """Steps (as NEST counts) and ids of spikes, potentials of shape (step, neuron) or None."""

    steps: np.ndarray
    ids: np.ndarray
    V_mV: np.ndarray | None


SETTINGS = {
    "aeif_cond_alpha_alt": Setting(700, (8, 4), substeps=5),
    "aeif_cond_alpha": Setting(700, (80, 20), substeps=5),
    "aeif_cond_exp": Setting(700, (160, 40), substeps=5),
    "aeif_psc_alpha": Setting(700, (2000, 500), substeps=5),
    "aeif_psc_exp": Setting(700, (4000, 1000), substeps=5),
    "hh_cond_exp_destexhe": Setting(700, (10, 40), substeps=4),
    "hh_cond_exp_traub": Setting(700, (10, 40), substeps=4),
    "hh_moto_5ht": Setting(
        3000,
        (200, 1000),
        substeps=4,
        note="PyNESTML's C++ takes 0.01 s**-1, in the equation of Ca_in, for 0.01 per ms",
    ),
    "hh_psc_alpha": Setting(700, (1000, 200), substeps=8),
    "hill_tononi": Setting(
        30,
        (40, 40, 10, 10),
        substeps=4,
        note="PyNESTML's C++ lacks the factors IT_m, IT_h and Ih_m of the equation of V_m",
    ),
    "iaf_chxk_2008": Setting(1500, (20, 100), substeps=4),
    "iaf_cond_alpha": Setting(500, (30, 10)),
    "iaf_cond_beta": Setting(500, (30, 10)),
    "iaf_cond_exp": Setting(500, (30, 10)),
    "iaf_cond_exp_sfa_rr": Setting(700, (10, 40)),
    "iaf_psc_alpha": Setting(500, (800, 200)),
    "iaf_psc_delta_fixed_timestep": Setting(500, (5,)),
    "iaf_psc_delta": Setting(500, (5,)),
    # Its counter r_tot runs through 0 into the negative, so from rest it never fires: started late.
    "iaf_psc_exp_htum": Setting(
        500,
        (800, 200),
        given=(("r_tot", 2000),),
        note="fires once at most: r_tot is not stopped at 0",
    ),
    "iaf_psc_exp": Setting(500, (800, 200)),
    "ignore_and_fire": Setting(0, (1,)),
    "izhikevich": Setting(10, (5,), substeps=4),
    "izhikevich_psc_alpha": Setting(2000, (1000, 4000), substeps=4),
    "mat2_psc_exp": Setting(500, (800, 200)),
    "terub_gpe": Setting(20, (1, 1), substeps=4),
    "terub_stn": Setting(40, (1, 1), substeps=4),
    "traub_cond_multisyn": Setting(500, (100, 100, 30, 30), substeps=4),
    "traub_psc_alpha": Setting(500, (1000, 200), substeps=4),
    "wb_cond_exp": Setting(300, (10, 40), substeps=4),
    "wb_cond_multisyn": Setting(300, (30, 30, 10, 10), substeps=4),
}


def folder() -> Path:
    """Where the wheel of NESTML has put its models."""
    from importlib.metadata import files

    found = [
        f for f in files("nestml") or [] if str(f).endswith("neurons/iaf_psc_exp_neuron.nestml")
    ]
    return Path(str(found[0].locate())).resolve().parent


def arrivals(port: int) -> np.ndarray:
    """Whether a spike arrives, shape (step, neuron): at the same steps for neurons 1 and 2."""
    rng = np.random.default_rng([1, port])
    arrives = rng.random(N_STEPS) < RATE_PER_STEP
    arrives[:2] = arrives[-1] = False
    return np.stack([np.zeros(N_STEPS, bool), arrives, arrives], axis=1)


def sizes(weight: float) -> np.ndarray:
    """Weight of the spikes of each neuron."""
    return np.array([0, weight, weight / 2])


def current(setting: Setting) -> np.ndarray:
    """Current in each step, shape (step, neuron)."""
    value = np.zeros((N_STEPS, N))
    value[ON:OFF] = setting.current_pA * np.array([1, 0, 0.5])
    return value


def in_brian2(code: Any, setting: Setting) -> Result:
    import brian2 as b2

    from converters.nestml import neuron_group

    b2.prefs.codegen.target = "numpy"
    dt = DT_MS * b2.ms
    group = neuron_group(code, N, dict(setting.given), dt_ms=DT_MS)
    objects = [group]
    spiking = [port for port in code.ports if not port.continuous]
    for port, weight in zip(spiking, setting.weights, strict=True):
        table = b2.TimedArray(arrivals(spiking.index(port)) * sizes(weight), dt=dt)
        name = f"of_{port.name}"
        group.namespace[name] = table
        objects.append(
            group.run_regularly(f"in_{port.name} += {name}(t, i)", when="synapses", dt=dt)
        )
    for port in code.ports:
        if port.continuous:
            group.namespace["of_current"] = b2.TimedArray(current(setting), dt=dt)
            text = f"{code.renamed.get(port.name, port.name)} = of_current(t, i)"
            objects.append(group.run_regularly(text, when="start", dt=dt))
    spikes = b2.SpikeMonitor(group)
    objects.append(spikes)
    voltage = None
    if "V_m" in group.variables:
        voltage = b2.StateMonitor(group, "V_m", record=True, when="end", dt=dt)
        objects.append(voltage)
    b2.Network(*objects).run((N_STEPS + code.lag_steps) * dt)
    steps = np.round(np.asarray(spikes.t / dt)).astype(int) + 1 - code.lag_steps
    V = None if voltage is None else np.asarray(voltage.V_m).T[: N_STEPS - 1]
    return Result(steps, np.asarray(spikes.i), V)


def in_nest(text: str, code: Any, setting: Setting) -> Result:
    from converters.nest import kernel, module

    compiled = module.build(text)
    with kernel.taken(DT_MS, 1) as nest:
        nest.Install(str(compiled.with_suffix("")))
        neurons = nest.Create(module.model_name(text), N, dict(setting.given))
        known = nest.GetDefaults(module.model_name(text)).get("receptor_types") or {}
        spiking = [port for port in code.ports if not port.continuous]
        for k, (port, weight) in enumerate(zip(spiking, setting.weights, strict=True)):
            own = port.name.upper() in known
            sign = 1 if own else port.sign or 1
            receptor = known[port.name.upper()] if own else 0
            for neuron, size in enumerate(sizes(weight)):
                # A spike of step s arrives in step s + 1 and is in the record of that step's end.
                times = np.flatnonzero(arrivals(k)[:, neuron]) * DT_MS
                if len(times):
                    source = nest.Create("spike_generator", params={"spike_times": times.round(6)})
                    synapse = {"weight": size * sign, "delay": DT_MS, "receptor_type": receptor}
                    nest.Connect(source, neurons[neuron], syn_spec=synapse)
        if any(port.continuous for port in code.ports):
            for neuron, value in enumerate(current(setting)[ON]):
                # Switched on at T and connected with the delay d, it acts from T + d on.
                step = {
                    "amplitude_times": [(ON - 1) * DT_MS, (OFF - 1) * DT_MS],
                    "amplitude_values": [value, 0.0],
                }
                source = nest.Create("step_current_generator", params=step)
                nest.Connect(source, neurons[neuron], syn_spec={"delay": DT_MS})
        recorder = nest.Create("spike_recorder", params={"time_in_steps": True})
        nest.Connect(neurons, recorder)
        meter = None
        if "V_m" in {state.name for state in code.states}:
            meter = nest.Create("multimeter", params={"record_from": ["V_m"], "interval": DT_MS})
            nest.Connect(meter, neurons)
        nest.Simulate(N_STEPS * DT_MS)
        events = recorder.get("events")
        V = None
        if meter is not None:
            seen = meter.get("events")
            order = np.lexsort((seen["senders"], seen["times"]))
            V = np.asarray(seen["V_m"])[order].reshape(-1, N)[: N_STEPS - 1]
        return Result(
            np.asarray(events["times"]), np.asarray(events["senders"]) - neurons[0].global_id, V
        )


def compared(code: Any, brian2: Result, nest: Result) -> dict[str, Any]:
    """Spikes and potentials of both."""
    row: dict[str, Any] = {
        "spikes_brian2": len(brian2.steps), "spikes_nest": len(nest.steps)
    }  # fmt: skip
    shifts: list[int] = []
    squares, largest = [], 0.0
    counts_equal = True
    for neuron in range(N):
        ours = np.sort(brian2.steps[brian2.ids == neuron])
        theirs = np.sort(nest.steps[nest.ids == neuron])
        both = min(len(ours), len(theirs))
        shift = np.abs(ours[:both] - theirs[:both])
        shifts += shift.tolist()
        counts_equal &= len(ours) == len(theirs)
        end = N_STEPS - 1
        if shift.any() or len(ours) != len(theirs):
            first = int(np.argmax(shift > 0)) if shift.any() else both
            end = min([*ours[first : first + 1], *theirs[first : first + 1]]) - 2
        if brian2.V_mV is not None and nest.V_mV is not None:
            error = np.abs(brian2.V_mV[:end, neuron] - nest.V_mV[:end, neuron])
            if code.lag_steps:
                left_out = np.zeros(N_STEPS, bool)
                for k in range(sum(not port.continuous for port in code.ports)):
                    left_out |= np.roll(arrivals(k)[:, neuron], 1) | arrivals(k)[:, neuron]
                left_out[theirs - 1] = True
                error = error[~left_out[: len(error)]]
            squares.append(error**2)
            largest = max(largest, float(error.max(initial=0.0)))
    row["same_steps"] = counts_equal and not any(shifts)
    row["largest_shift_steps"] = max(shifts, default=0)
    rms = None
    if squares:
        rms = float(np.sqrt(np.concatenate(squares).mean()))
        row |= {"V_rms_mV": rms, "V_max_mV": largest}
    if code.method == "exact":
        row["agrees"] = row["same_steps"] and (rms is None or largest <= EXACT_MV)
    else:
        row["agrees"] = (
            counts_equal
            and row["largest_shift_steps"] <= SHIFT_STEPS
            and rms is not None
            and rms <= RMS_MV
        )
    row["agrees"] = bool(row["agrees"]) and len(nest.steps) > 0
    return row


def of_model(name: str) -> dict[str, Any]:
    """The row of a model."""
    from converters.nestml import brian2_code, read
    from toolkit.errors import StriateError

    text = (folder() / f"{name}_neuron.nestml").read_text(encoding="utf-8")
    setting = SETTINGS[name]
    row: dict[str, Any] = {"model": name, "converts": True}
    try:
        code = brian2_code(read(text), setting.method, setting.substeps)
    except StriateError as error:
        return row | {"converts": False, "agrees": False, "note": str(error)}
    row |= {"solver": code.method, "substeps": setting.substeps if code.method != "exact" else 0}
    row |= compared(code, in_brian2(code, setting), in_nest(text, code, setting))
    return row | {"note": setting.note}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default=",".join(SETTINGS))
    parser.add_argument("--out", help="write the table here as CSV, too")
    args = parser.parse_args()
    rows = []
    for name in args.models.split(","):
        rows.append(of_model(name))
        print(rows[-1], flush=True)
    table = pd.DataFrame(rows)
    print(table.to_string(index=False))
    print(f"{table['converts'].sum()} convert, {table['agrees'].sum()} agree, of {len(table)}")
    if args.out:
        table.to_csv(args.out, index=False, float_format="%.3g")


if __name__ == "__main__":
    main()
