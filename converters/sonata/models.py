"""GLIF3 parameters as NEST and the Allen Cell Types Database name them, and back.

NEST 3.10 ``glif_psc`` and ``glif_psc_double_alpha``: https://nest-simulator.readthedocs.io (mV, ms,
pF, nS, pA, 1/ms; no conversion of units). Allen GLIF files: https://celltypes.brain-map.org
(SI units, and factors ``coeffs`` that multiply).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from toolkit.errors import DataError
from toolkit.receptor import Receptor

SINGLE, DOUBLE = "nest:glif_psc", "nest:glif_psc_double_alpha"
# For what NEST's models cannot run; other programs refuse the name rather than run another model.
OWN = "striate:glif3"
NEST_NAMES = {
    "C_m_pF": "C_m",
    "g_nS": "g",
    "E_L_mV": "E_L",
    "V_th_mV": "V_th",
    "V_reset_mV": "V_reset",
    "t_ref_ms": "t_ref",
    "V_init_mV": "V_m",
    "I_ext_pA": "I_e",
}
FLAGS = {"spike_dependent_threshold": False, "adapting_threshold": False}
# What NEST 3.10 uses where a file says nothing (`nest.GetDefaults`). They are absolute: a file that
# gives E_L alone leaves V_m, V_reset and V_th as they are here.
DEFAULTS: dict[str, Any] = {
    **dict(C_m=58.72, g=9.43, E_L=-78.85, V_th=-51.68, V_reset=-78.85, V_m=-78.85),
    **dict(t_ref=3.75, I_e=0.0, asc_init=[0.0, 0.0], asc_decay=[0.003, 0.1]),
    **dict(asc_amps=[-9.18, -198.94], asc_r=[1.0, 1.0], after_spike_currents=False),
    **dict(tau_syn=[2.0], tau_syn_fast=[2.0], tau_syn_slow=[6.0], amp_slow=[0.3]),
}
_ALLEN_LEVEL = {"nest:glif_lif_psc": False, "nest:glif_lif_asc_psc": True}  # after-spike currents?
ALLEN_TAU_SYN = [5.5, 8.5, 2.8, 5.8]  # that BMTK gives cells with Allen files, ms


def template_of(receptors: Iterable[Receptor]) -> str:
    """NEST's model for neurons of these receptors."""
    kernels = {receptor.kernel for receptor in receptors}
    if "exponential" in kernels:
        return OWN
    return DOUBLE if "double_alpha" in kernels else SINGLE


def to_nest(values: Mapping[str, Any], receptors: Iterable[Receptor]) -> dict[str, Any]:
    """Parameters of one cell model under NEST's names; the potential starts at E_L by default.

    `values` are those of `toolkit.neurons.glif3.PARAMETERS` that the cell model has.
    """
    listed = list(receptors)
    named = {nest: float(values[own]) for own, nest in NEST_NAMES.items() if own in values}
    if "E_L" in named:
        named.setdefault("V_m", named["E_L"])
    asc: dict[str, Any] = {"asc_init": [0.0, 0.0], "asc_r": [1.0, 1.0]}
    for nest, own in (("asc_decay", "asc_decay_{}_per_ms"), ("asc_amps", "asc_amp_{}_pA")):
        both = [own.format(k) for k in (1, 2)]
        if all(name in values for name in both):
            asc[nest] = [float(values[name]) for name in both]
    taus = [receptor.tau_ms for receptor in listed]
    synapses: dict[str, Any] = {"tau_syn": taus}
    if template_of(listed) == DOUBLE:
        synapses = {
            "tau_syn_fast": taus,
            # A single alpha is a double one without a slow part.
            "tau_syn_slow": [r.tau_slow_ms or r.tau_ms for r in listed],
            "amp_slow": [r.amp_slow or 0.0 for r in listed],
        }
    return {**named, **asc, **synapses, **FLAGS, "after_spike_currents": True}


def from_nest(
    template: str, given: Mapping[str, Any], where: str
) -> tuple[dict[str, float], list[Receptor]]:
    """GLIF3 parameters and receptors of a cell model; `where` names it for errors.

    Raises
    ------
    DataError : another model, or a GLIF of a level that we do not have
    """
    if template in _ALLEN_LEVEL and given.get("type") == "GLIF":
        given = _from_allen(given, _ALLEN_LEVEL[template], where)
        template = SINGLE
    if template not in (SINGLE, DOUBLE):
        raise DataError(
            f"{where}: the model {template!r} is not among ours, which are {SINGLE}, {DOUBLE} and "
            f"Allen GLIF files as {', '.join(_ALLEN_LEVEL)}. sonata_tables reads nodes, edges and "
            "parameters without making a network; or give these nodes one of our models"
        )
    allowed = {*DEFAULTS, *FLAGS}
    strange = sorted(set(given) - allowed)
    if strange:
        raise DataError(f"{where}: {template} has no parameter {', '.join(strange)}")
    both = DEFAULTS | FLAGS | dict(given)
    for flag in (*FLAGS, "after_spike_currents"):
        if not isinstance(both[flag], bool):
            raise DataError(f"{where}: {flag} must be true or false, got {both[flag]!r}")
    for flag in FLAGS:
        if both[flag]:
            raise DataError(
                f"{where}: {flag} is on, which makes it GLIF2, 4 or 5; ours is GLIF3, and GLIF1 as "
                "its special case. sonata_tables reads the parameters without making a network"
            )
    values = {own: _number(both[nest], nest, where) for own, nest in NEST_NAMES.items()}
    if both["after_spike_currents"]:
        amps, decay, ratio, start = (
            _numbers(both[name], name, where)
            for name in ("asc_amps", "asc_decay", "asc_r", "asc_init")
        )
        if not len(amps) == len(decay) == len(ratio) <= 2:
            raise DataError(
                f"{where}: {len(amps)} asc_amps, {len(decay)} asc_decay and {len(ratio)} asc_r; "
                "there must be as many of each, two at most"
            )
        if any(r != 1 for r in ratio) or any(start):
            raise DataError(
                f"{where}: asc_r = {ratio} and asc_init = {start}; ours are 1 and 0, which have no "
                "parameters"
            )
    else:
        amps, decay = [], []
    for k in range(2):
        values[f"asc_amp_{k + 1}_pA"] = amps[k] if k < len(amps) else 0.0
        # Without a jump the rate has no effect.
        values[f"asc_decay_{k + 1}_per_ms"] = decay[k] if k < len(decay) else 1.0
    if template == SINGLE:
        return values, [Receptor(tau) for tau in _numbers(both["tau_syn"], "tau_syn", where)]
    fast, slow, amp = (
        _numbers(both[name], name, where) for name in ("tau_syn_fast", "tau_syn_slow", "amp_slow")
    )
    if not len(fast) == len(slow) == len(amp):
        raise DataError(f"{where}: tau_syn_fast, tau_syn_slow and amp_slow differ in length")
    return values, [
        Receptor(f, "double_alpha", tau_slow_ms=s, amp_slow=a) if a else Receptor(f)
        for f, s, a in zip(fast, slow, amp, strict=True)
    ]


def _from_allen(config: Mapping[str, Any], currents: bool, where: str) -> dict[str, Any]:
    """An Allen file in NEST's units, as BMTK converts it.

    The file's reset of the voltage and its threshold, which make GLIF2, 4 and 5, are not in these
    templates.
    """

    def si(name: str, part: Mapping[str, Any] = config) -> float:
        return _number(part.get(name), name, where)

    coeffs = config.get("coeffs")
    if not isinstance(coeffs, Mapping):
        raise DataError(f"{where}: 'coeffs' is missing")
    reference_mV = si("El_reference") * 1e3
    resistance = si("R_input")
    if not resistance:
        raise DataError(f"{where}: R_input is 0")
    resting_mV = si("El") * 1e3 + reference_mV
    nest: dict[str, Any] = {
        "C_m": si("C", coeffs) * si("C") * 1e12,
        "g": si("G", coeffs) / resistance * 1e9,
        "E_L": resting_mV,
        "V_m": resting_mV,
        "V_th": si("th_inf", coeffs) * si("th_inf") * 1e3 + reference_mV,
        "V_reset": reference_mV,
        "t_ref": si("spike_cut_length") * si("dt") * 1e3,
        "tau_syn": ALLEN_TAU_SYN,
        "after_spike_currents": currents,
    }
    if currents:
        taus = _numbers(config.get("asc_tau_array"), "asc_tau_array", where)
        amps = _numbers(config.get("asc_amp_array"), "asc_amp_array", where)
        factors = _numbers(coeffs.get("asc_amp_array"), "coeffs.asc_amp_array", where)
        start = _numbers(config.get("init_AScurrents"), "init_AScurrents", where)
        if not len(taus) == len(amps) == len(factors) or not all(taus):
            raise DataError(f"{where}: the arrays of after-spike currents do not fit together")
        nest |= {
            "asc_init": [value * 1e12 for value in start],
            "asc_decay": [1e-3 / tau for tau in taus],
            "asc_amps": [a * f * 1e12 for a, f in zip(amps, factors, strict=True)],
            "asc_r": [1.0] * len(taus),
        }
    return nest


def _number(value: Any, name: str, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise DataError(f"{where}: {name} must be a number, got {value!r}")
    return float(value)


def _numbers(values: Any, name: str, where: str) -> list[float]:
    if not isinstance(values, list | tuple):
        raise DataError(f"{where}: {name} must be a list of numbers, got {values!r}")
    return [_number(value, name, where) for value in values]
