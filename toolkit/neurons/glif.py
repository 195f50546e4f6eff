"""GLIF1 to GLIF5 with alpha, exponential or double-alpha receptors, as NESTML text.

    C dV/dt = -g (V - E_L) + sum_k I_k + I_asc1 + I_asc2 + I_ext,   spike when V > threshold

| level | has | |
|---|---|---|
| 1 | LIF | V -> V_reset |
| 2 | R | V -> E_L + fraction (V before the step - E_L) + add; a threshold that jumps at spikes |
| 3 | ASC | two after-spike currents; V -> V_reset |
| 4 | R, ASC | |
| 5 | R, ASC, A | and a threshold that follows V |

Model and equations: Teeter et al. 2018, Nat Commun 9:709. The discrete step is that of NEST's
``glif_psc`` and ``glif_psc_double_alpha`` (see `toolkit.neurons.glif3`), with propagators that hold
for equal time constants, too. The files ``glif*.nestml`` beside this one are what `nestml` writes
for four ports, the number of receptors of the published V1 models.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from toolkit.errors import InputError, unknown
from toolkit.neurons.schema import Parameter

LEVELS = (1, 2, 3, 4, 5)
KERNELS = ("alpha", "exponential", "double_alpha")
MAX_PORTS = 100

# Defaults are those of NEST's glif_psc (an Sst cell of the Allen Cell Types Database); ranges are
# our choice, wide enough for every published cell model.
MEMBRANE = (
    Parameter("C_m_pF", "pF", "membrane capacitance", 1e-3, 1e5, 58.72),
    Parameter("g_nS", "nS", "leak conductance", 1e-3, 1e4, 9.43),
    Parameter("E_L_mV", "mV", "resting potential", -150.0, 50.0, -78.85),
    Parameter("V_th_mV", "mV", "spike threshold", -150.0, 1e6, -51.68),
    Parameter("t_ref_ms", "ms", "refractory period", 0.0, 1e3, 3.75),
    Parameter("I_ext_pA", "pA", "constant external current", -1e6, 1e6, 0.0),
)
RESET = (Parameter("V_reset_mV", "mV", "reset potential", -150.0, 50.0, -78.85),)
RESET_RULES = (
    Parameter("reset_fraction", "", "part of V - E_L kept at a spike", 0.0, 1.0, 0.2),
    Parameter("reset_add_mV", "mV", "added to V at a spike", -200.0, 200.0, 18.51),
    Parameter("th_spike_add_mV", "mV", "jump of the threshold at a spike", -200.0, 200.0, 0.37),
    Parameter("th_spike_decay_per_ms", "1/ms", "decay rate of that jump", 1e-6, 1e3, 0.009),
)
AFTER_SPIKE = tuple(
    parameter
    for k, decay, amp in ((1, 0.003, -9.18), (2, 0.1, -198.94))
    for parameter in (
        Parameter(
            f"asc_decay_{k}_per_ms",
            "1/ms",
            f"decay rate of after-spike current {k}",
            1e-6,
            1e3,
            decay,
        ),
        Parameter(
            f"asc_amp_{k}_pA", "pA", f"jump of after-spike current {k} at a spike", -1e5, 1e5, amp
        ),
    )
)
ADAPTATION = (
    Parameter("th_voltage_index_per_ms", "1/ms", "pull of V on the threshold", -1e3, 1e3, 0.005),
    Parameter("th_voltage_decay_per_ms", "1/ms", "decay rate of that part", 1e-6, 1e3, 0.09),
)


def cell_parameters(level: int) -> tuple[Parameter, ...]:
    """The parameters of a GLIF cell: all but those of its receptors.

    >>> len(cell_parameters(3))
    11
    """
    if level not in LEVELS:
        raise unknown("GLIF level", level, LEVELS)
    found = [*MEMBRANE, *(RESET_RULES if level in (2, 4, 5) else RESET)]
    found += AFTER_SPIKE if level >= 3 else ()
    found += ADAPTATION if level == 5 else ()
    return tuple(found)


def parameters(level: int, kernels: str | Sequence[str], ports: int = 4) -> tuple[Parameter, ...]:
    """The parameters of a GLIF model; arguments as of `nestml`.

    >>> [p.name for p in parameters(1, "alpha", 1)][-1]
    'tau_syn_1_ms'
    """
    found = list(cell_parameters(level))
    for k, kernel in enumerate(_each(kernels, ports), start=1):
        found.append(
            Parameter(f"tau_syn_{k}_ms", "ms", f"time constant of port {k}", 1e-3, 1e4, 2.0)
        )
        if kernel == "double_alpha":
            found += [
                Parameter(f"tau_slow_{k}_ms", "ms", f"slow one of port {k}", 1e-3, 1e4, 6.0),
                Parameter(f"amp_slow_{k}", "", f"relative slow peak of port {k}", -1e3, 1e3, 0.3),
            ]
    return tuple(found)


def name(level: int, kernels: str | Sequence[str], ports: int = 4) -> str:
    """A model's name: that of its file for four ports of one kernel.

    >>> name(3, "alpha"), name(3, ("double_alpha", "alpha", "alpha"))
    ('glif3_psc_alpha', 'glif3_psc_1_double_alpha_2_alpha')
    """
    runs = [(kernel, len(list(run))) for kernel, run in groupby(_each(kernels, ports))]
    if len(runs) == 1 and runs[0][1] == 4:
        return f"glif{level}_psc_{runs[0][0]}"
    return f"glif{level}_psc_" + "_".join(f"{n}_{kernel}" for kernel, n in runs)


def nestml_name(parameter: Parameter) -> str:
    """A parameter's name in NESTML: that of the table without the unit.

    >>> nestml_name(MEMBRANE[0])
    'C_m'
    """
    return parameter.name.removesuffix(f"_{parameter.unit}").removesuffix("_per_ms")


def nestml(level: int, kernels: str | Sequence[str], ports: int = 4) -> str:
    """NESTML text of a GLIF model with receptor ports ``spikes_1``, ``spikes_2``, ...

    Parameters
    ----------
    level : 1 to 5
    kernels : "alpha", "exponential" or "double_alpha": that of every port, or of each
    ports : number of receptor ports, if all have one kernel

    Raises
    ------
    InputError : there is no such model
    """
    reset, currents, adapts = level in (2, 4, 5), level >= 3, level == 5
    listed = _each(kernels, ports)
    declared = [
        f"{nestml_name(p)} {p.unit or 'real'} = {_literal(p)}  # {p.meaning}"
        for p in parameters(level, listed)
    ]
    state = ["U mV = 0 mV  # V - E_L", "r integer = 0  # refractory steps left"]
    internal = [
        "h ms = resolution()",
        "tau_m ms = C_m / g",
        "P33 real = exp(-h / tau_m)",
        "P30 GOhm = 1 / C_m * (1 - P33) * tau_m",
        "U_th mV = V_th - E_L",
        "refractory_steps integer = steps(t_ref)",
    ]
    # Port by port, so that what a port needs stands together; U is held while refractory.
    free: list[str] = []
    step, spike, threshold, drive = [], ["r = refractory_steps"], ["U_th"], "I_ext"
    if reset:
        state.append("th_spike mV = 0 mV")
        internal += [
            "th_spike_P real = exp(-th_spike_decay * h)",
            "th_spike_after real = exp(-th_spike_decay * t_ref)",
        ]
        step.append("th_spike = th_spike * th_spike_P")
        spike += [
            "U = reset_fraction * U_old + reset_add",
            "th_spike = th_spike * th_spike_after + th_spike_add",
        ]
        threshold.insert(0, "th_spike")
    else:
        internal.append("U_reset mV = V_reset - E_L")
        spike.append("U = U_reset")
    if currents:
        drive = "drive"
        state += ["asc_1 pA = 0 pA", "asc_2 pA = 0 pA"]
        free.append("drive pA = I_ext + (asc_M_1 * asc_1 + asc_M_2 * asc_2)")
        for k in (1, 2):
            internal += [
                f"asc_P_{k} real = exp(-asc_decay_{k} * h)",
                f"asc_M_{k} real = ((1.0 / asc_decay_{k}) / h) * (1.0 - asc_P_{k})",
                f"asc_after_{k} real = exp(-asc_decay_{k} * t_ref)",
            ]
            spike.append(f"asc_{k} = asc_amp_{k} + asc_{k} * asc_after_{k}")
        step += [f"asc_{k} = asc_{k} * asc_P_{k}" for k in (1, 2)]
    free.append(f"U_free mV = U * P33 + {drive} * P30")
    if reset or adapts:
        step.append("U_old mV = U")
    step.append("U = U_free")
    if adapts:
        state.append("th_voltage mV = 0 mV")
        internal += [
            "th_voltage_P real = exp(-th_voltage_decay * h)",
            "z real = h * (th_voltage_decay - 1 / tau_m)",
            # The response to V - beta, which decays with tau_m: (P33 - th_voltage_P) / (z / h).
            (
                "th_voltage_M real = th_voltage_index * h * th_voltage_P * (abs(z) < 0.001 ? "
                "1 + z / 2 + z**2 / 6 + z**3 / 24 : expm1(z) / z)"
            ),
            "th_voltage_ratio real = th_voltage_index / th_voltage_decay * (1 - th_voltage_P)",
        ]
        threshold.insert(1, "th_voltage")
    receive = []
    for k, kernel in enumerate(listed, start=1):
        receive.append(f"onReceive(spikes_{k}):")
        for branch in ("f", "s") if kernel == "double_alpha" else ("",):
            code = _port(kernel, k, branch)
            state += code["state"]
            internal += code["internal"]
            free += code["step"]
            receive.append(f"    {code['jump'][0]}")
    if adapts:
        step.append(
            f"th_voltage = th_voltage_P * th_voltage + th_voltage_M * (U_old - {drive} / g) "
            f"+ th_voltage_ratio * {drive} / g"
        )
    features = [
        n for n, used in (("reset rules", reset), ("after-spike currents", currents)) if used
    ]
    features += ["an adapting threshold"] if adapts else []
    lines = [
        f"# GLIF{level}: leaky integrate-and-fire"
        + (f" with {', '.join(features)}" if features else "")
        + f"; {' and '.join(dict.fromkeys(listed)).replace('_', '-')} receptors.",
        "# Teeter et al. 2018, Nat Commun 9:709; the discrete step of NEST's glif_psc.",
        "# Written by toolkit/neurons/glif.py: change that, not this.",
        f"model {name(level, listed)}:",
        *_block("state", state),
        *_block("parameters", declared),
        *_block("internals", internal),
        *_block("equations", ["recordable inline V_m mV = U + E_L"]),
        *_block("input", [f"spikes_{k} <- spike" for k in range(1, len(listed) + 1)]),
        *_block("output", ["spike"]),
        *_block(
            "update",
            [
                *free,
                "if r == 0:",
                *(f"    {line}" for line in step),
                f"    if U > {' + '.join(threshold)}:",
                *(f"        {line}" for line in spike),
                "        emit_spike()",
                "else:",
                "    r = r - 1",
            ],
        ),
        *(f"    {line}" for line in receive),
    ]
    return "\n".join(lines) + "\n"


def _port(kernel: str, k: int, branch: str) -> dict[str, list[str]]:
    """Lines for one current: that of port k, or its fast ("f") or slow ("s") component."""
    i = f"{branch}_{k}" if branch else f"_{k}"
    tau = f"tau_slow_{k}" if branch == "s" else f"tau_syn_{k}"
    alpha = kernel != "exponential"
    internal = [
        f"P11{i} real = exp(-h / {tau})",
        f"x{i} real = h * ((tau_m - {tau}) / ({tau} * tau_m))",
        f"beta{i} ms = h / x{i}",
        f"em{i} real = expm1(x{i})",
        # By their series where tau_m and tau_syn are nearly equal.
        (
            f"P32{i} GOhm = abs(x{i}) < 0.001 ? h / C_m * P11{i} * "
            f"(1 + x{i} / 2 + x{i}**2 / 6 + x{i}**3 / 24) : beta{i} / C_m * P11{i} * em{i}"
        ),
    ]
    if not alpha:
        return {
            "state": [f"y{i} pA = 0 pA"],
            "internal": internal,
            "step": [f"U_free += P32{i} * y{i}", f"y{i} = y{i} * P11{i}"],
            "jump": [f"y{i} += 1 pA * spikes_{k} * 1 s"],
        }
    peak = f"amp_slow_{k} * " if branch == "s" else ""
    internal += [
        f"P21{i} ms = h * P11{i}",
        (
            f"P31{i} GOhm*ms = abs(x{i}) < 0.001 ? h**2 / C_m * P11{i} * "
            f"(0.5 + x{i} / 6 + x{i}**2 / 24 + x{i}**3 / 120) : "
            f"beta{i} / C_m * P11{i} * (beta{i} * em{i} - h)"
        ),
        f"jump{i} 1/ms = {peak}e / {tau}",
    ]
    return {
        "state": [f"y1{i} pA/ms = 0 pA/ms", f"y2{i} pA = 0 pA"],
        "internal": internal,
        "step": [
            f"U_free += P31{i} * y1{i} + P32{i} * y2{i}",
            f"y2{i} = P21{i} * y1{i} + P11{i} * y2{i}",
            f"y1{i} = y1{i} * P11{i}",
        ],
        "jump": [f"y1{i} += jump{i} * (1 pA * spikes_{k} * 1 s)"],
    }


def _block(name: str, lines: list[str]) -> list[str]:
    return [f"    {name}:", *(f"        {line}" for line in lines)]


def _literal(parameter: Parameter) -> str:
    value = repr(parameter.default)
    return {"": value, "1/ms": f"{value} / 1 ms"}.get(parameter.unit, f"{value} {parameter.unit}")


def _each(kernels: str | Sequence[str], ports: int) -> tuple[str, ...]:
    """The kernel of each port."""
    listed = (kernels,) * ports if isinstance(kernels, str) else tuple(kernels)
    for kernel in (kernels,) if isinstance(kernels, str) else listed:
        if kernel not in KERNELS:
            raise unknown("synaptic kernel", kernel, KERNELS)
    if not 1 <= len(listed) <= MAX_PORTS:
        raise InputError(f"ports must be 1 to {MAX_PORTS}, got {len(listed)}")
    return listed
