"""Single neurons in Brian2 by NESTML, and the same ones by NEST's built-in models."""

from __future__ import annotations

from dataclasses import dataclass

import brian2 as b2
import numpy as np

from converters.nestml import Brian2Code, neuron_group

DT_MS = 0.1
N_STEPS = 5000
N = 6


@dataclass(frozen=True)
class Case:
    """`given` by NESTML's names, `nest` by NEST's; `ports` are (port, receptor, weight sign)."""

    model: str
    builtin: str
    given: dict[str, list[float]]
    nest: dict[str, list[float]]
    ports: tuple[tuple[str, int, int], ...]
    weight: float
    rate_per_step: float = 0.1
    seed: int = 1

    def spikes(self) -> np.ndarray:
        """Rows of step of arrival, neuron, weight, number of the port."""
        rng = np.random.default_rng(self.seed)
        rows = []
        for neuron in range(N):
            for port, (_, _, sign) in enumerate(self.ports):
                steps = np.flatnonzero(rng.random(N_STEPS) < self.rate_per_step) + 1
                steps = steps[(steps > 2) & (steps < N_STEPS)]
                size = np.round(rng.uniform(0.3, 1.0, len(steps)) * self.weight * 64) / 64
                weight = np.where(sign < 0, -0.4, 1.0) * size
                rows += [(s, neuron, w, port) for s, w in zip(steps, weight, strict=True)]
        return np.array(rows, dtype=float)

    def for_nest(self) -> dict:
        """What `nest_neurons` reads."""
        rows = self.spikes()
        rows[:, 3] = np.array([receptor for _, receptor, _ in self.ports])[rows[:, 3].astype(int)]
        neurons = [{k: v[i] for k, v in self.nest.items()} for i in range(N)]
        return dict(
            model=self.builtin, dt_ms=DT_MS, n_steps=N_STEPS, neurons=neurons, spikes=rows.tolist()
        )

    def brian2(self, code: Brian2Code, target: str = "numpy") -> dict[str, np.ndarray]:
        """Steps and ids as NEST counts them, and potentials."""
        b2.prefs.codegen.target = target
        given = {k: np.array(v) for k, v in self.given.items()}
        group = neuron_group(code, N, given, dt_ms=DT_MS)
        rows = self.spikes()
        objects = [group]
        signs = {port.name: port.sign or 1 for port in code.ports}
        for k, (port, _, _) in enumerate(self.ports):
            own = rows[rows[:, 3] == k]
            table = np.zeros((N_STEPS + 2, N))
            # Brian2 stamps the start of a step, NEST its end.
            table[own[:, 0].astype(int) - 1, own[:, 1].astype(int)] = own[:, 2] * signs[port]
            arriving = b2.TimedArray(table, dt=DT_MS * b2.ms, name=f"arriving_{k}")
            group.namespace[f"arriving_{k}"] = arriving
            objects.append(
                group.run_regularly(
                    f"in_{port} = arriving_{k}(t, i)", when="synapses", dt=DT_MS * b2.ms
                )
            )
        monitor = b2.SpikeMonitor(group)
        state = "V_m" if "V_m" in group.variables else "U"
        voltage = b2.StateMonitor(group, state, record=True, when="end", dt=DT_MS * b2.ms)
        b2.Network(*objects, monitor, voltage).run((N_STEPS + code.lag_steps) * DT_MS * b2.ms)
        steps = np.round(np.asarray(monitor.t / b2.ms) / DT_MS).astype(int) + 1 - code.lag_steps
        V = np.asarray(getattr(voltage, state)).T.copy()
        if state == "U":
            V += np.array(self.given["E_L"])
        return dict(steps=steps, ids=np.asarray(monitor.i), V=V)


def spread(low: float, high: float) -> list[float]:
    """Values of the N neurons."""
    return [float(x) for x in np.round(np.linspace(low, high, N), 3)]


def same(*values: float) -> list[float]:
    return [values[k % len(values)] for k in range(N)]


LIF = dict(
    C_m=spread(200, 300), tau_m=[10.0, 12.0, 2.0, 15.0, 8.0, 20.0], E_L=spread(-72, -68),
    V_reset=spread(-70, -66), V_th=spread(-57, -53), t_ref=[2.0, 0.7, 3.75, 5.0, 0.04, 9.9],
    I_e=spread(0, 300),
)  # fmt: skip
NEST_LIF = {**LIF, "V_m": LIF["E_L"]}
SYNAPSES = dict(tau_syn_exc=[2.0, 3.0, 2.0, 0.5, 8.0, 4.0], tau_syn_inh=same(2.0, 5.0, 8.0))
NEST_SYNAPSES = dict(tau_syn_ex=SYNAPSES["tau_syn_exc"], tau_syn_in=SYNAPSES["tau_syn_inh"])
SIGNED = (("exc_spikes", 0, 1), ("inh_spikes", 0, -1))


def glif(level: int, kernel: str) -> Case:
    """One of the five levels in NEST's ``glif_psc`` or ``glif_psc_double_alpha``."""
    given = dict(
        C_m=spread(58, 240), g=[9.43, 8.9, 5.2, 29.0, 7.0, 12.0], E_L=spread(-78, -70),
        V_th=spread(-51, -45), t_ref=[3.75, 3.1, 1.8, 0.04, 2.5, 5.0],
    )  # fmt: skip
    given["g"][3] = given["C_m"][3] / 5.5  # tau_m is tau_syn of the first port
    nest = dict(given)
    flags = dict(
        spike_dependent_threshold=level in (2, 4, 5),
        after_spike_currents=level >= 3,
        adapting_threshold=level == 5,
    )
    nest |= {k: [v] * N for k, v in flags.items()}
    if level in (2, 4, 5):
        reset = dict(fraction=spread(0.1, 0.4), add=spread(5, 12))
        given |= dict(reset_fraction=reset["fraction"], reset_add=reset["add"])
        nest |= dict(voltage_reset_fraction=reset["fraction"], voltage_reset_add=reset["add"])
        both = dict(th_spike_add=spread(0.3, 3), th_spike_decay=spread(0.009, 0.1))
        given |= both
        nest |= both
    else:
        given["V_reset"] = nest["V_reset"] = spread(-79, -72)
    if level >= 3:
        decay, amp = (spread(0.003, 0.1), spread(0.1, 0.3)), (spread(-60, 9), spread(-198, -40))
        for k in (0, 1):
            given |= {f"asc_decay_{k + 1}": decay[k], f"asc_amp_{k + 1}": amp[k]}
        nest["asc_decay"] = [list(each) for each in zip(*decay, strict=True)]
        nest["asc_amps"] = [list(each) for each in zip(*amp, strict=True)]
        nest["asc_r"] = [[1.0, 1.0]] * N
        nest["asc_init"] = [[0.0, 0.0]] * N
    if level == 5:
        both = dict(th_voltage_index=spread(0.005, 0.02), th_voltage_decay=spread(0.03, 0.09))
        given |= both
        nest |= both
    tau = [5.5, 8.5, 2.8, 5.8]
    given |= {f"tau_syn_{k + 1}": [t] * N for k, t in enumerate(tau)}
    if kernel == "alpha":
        nest["tau_syn"] = [tau] * N
    else:
        slow, size = [9.0, 12.0, 6.0, 20.0], [0.3, 0.5, 0.1, 0.6]
        given |= {f"tau_slow_{k + 1}": [t] * N for k, t in enumerate(slow)}
        given |= {f"amp_slow_{k + 1}": [a] * N for k, a in enumerate(size)}
        nest |= dict(tau_syn_fast=[tau] * N, tau_syn_slow=[slow] * N, amp_slow=[size] * N)
    ports = tuple((f"spikes_{k}", k, 1 if k % 2 else -1) for k in range(1, 5))
    builtin = "glif_psc" if kernel == "alpha" else "glif_psc_double_alpha"
    nest["V_m"] = given["E_L"]
    return Case(f"glif{level}_psc_{kernel}", builtin, given, nest, ports, 250.0, 0.05, level)


def _lif(model: str, builtin: str, **other) -> Case:
    return Case(model, builtin, {**LIF, **SYNAPSES}, {**NEST_LIF, **NEST_SYNAPSES}, SIGNED, **other)


_COND = dict(
    C_m=spread(200, 300), g_L=spread(12, 20), E_L=spread(-72, -68), V_reset=spread(-65, -60),
    V_th=spread(-57, -53), t_ref=[2.0, 0.7, 3.75, 5.0, 0.04, 9.9], I_e=spread(200, 400),
)  # fmt: skip
_ADEX = dict(
    C_m=spread(200, 300), g_L=spread(20, 35), E_L=spread(-72, -68), V_th=spread(-52, -48),
    V_reset=spread(-62, -58), Delta_T=spread(1.5, 3), a=spread(2, 6), b=spread(40, 100),
    tau_w=spread(100, 200), t_ref=same(0.0, 2.0, 3.75), I_e=spread(500, 900),
)  # fmt: skip
_IZHIKEVICH = dict(
    a=same(0.02, 0.1), b=same(0.2, 0.25), c=spread(-65, -50), d=spread(2, 8), I_e=spread(4, 12)
)
_HH = dict(C_m=spread(90, 120), I_e=spread(600, 1000), t_ref=same(2.0, 3.75))
_TAU = dict(tau_syn_exc=same(0.2, 2.0), tau_syn_inh=same(2.0, 5.0))
_NEST_TAU = dict(tau_syn_ex=_TAU["tau_syn_exc"], tau_syn_in=_TAU["tau_syn_inh"])

EXACT = [glif(level, kernel) for level in range(1, 6) for kernel in ("alpha", "double_alpha")] + [
    _lif("lif_psc_exp", "iaf_psc_exp", weight=700.0),
    _lif("lif_psc_alpha", "iaf_psc_alpha", weight=400.0),
    Case("lif_psc_delta", "iaf_psc_delta", LIF, NEST_LIF, (("spikes", 0, 0),), 2.0),
]  # fmt: skip
SOLVED = [
    Case(
        "izhikevich", "izhikevich", _IZHIKEVICH,
        {**_IZHIKEVICH, "V_m": [-65.0] * N,
         "U_m": [b * -65.0 for b in _IZHIKEVICH["b"]]},
        (("spikes", 0, 0),), 0.0,
    ),
    Case("lif_cond_exp", "iaf_cond_exp", {**_COND, **_TAU},
         {**_COND, **_NEST_TAU, "V_m": _COND["E_L"], "E_ex": [0.0] * N}, SIGNED, 4.0),
    Case("adex_cond_exp", "aeif_cond_exp", {**_ADEX, **_TAU},
         {**_ADEX, **_NEST_TAU, "V_m": _ADEX["E_L"], "gsl_error_tol": [1e-9] * N}, SIGNED, 4.0),
    Case("hh_psc_alpha", "hh_psc_alpha", {**_HH, **_TAU}, {**_HH, **_NEST_TAU}, SIGNED, 60.0),
]  # fmt: skip
