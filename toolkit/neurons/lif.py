"""Leaky integrate-and-fire: parameters of the ``lif_*.nestml`` models.

Names are those of the NESTML files with the unit; defaults those of NEST's iaf_psc_exp,
iaf_psc_alpha, iaf_psc_delta and iaf_cond_exp; ranges our choice, wide enough for any cell.
"""

from __future__ import annotations

from toolkit.neurons.schema import Parameter

_MEMBRANE = (
    Parameter("C_m_pF", "pF", "membrane capacitance", 1e-3, 1e5, 250.0),
    Parameter("tau_m_ms", "ms", "membrane time constant", 1e-3, 1e4, 10.0),
    Parameter("E_L_mV", "mV", "resting potential", -200.0, 200.0, -70.0),
    Parameter("V_th_mV", "mV", "spike threshold", -200.0, 200.0, -55.0),
    Parameter("V_reset_mV", "mV", "reset potential", -200.0, 200.0, -70.0),
    Parameter("t_ref_ms", "ms", "refractory period", 0.0, 1e3, 2.0),
    Parameter("I_e_pA", "pA", "constant external current", -1e6, 1e6, 0.0),
)
LIF_PSC_DELTA = _MEMBRANE
LIF_PSC_EXP = LIF_PSC_ALPHA = (
    *_MEMBRANE,
    Parameter("tau_syn_exc_ms", "ms", "time constant of excitatory currents", 1e-3, 1e4, 2.0),
    Parameter("tau_syn_inh_ms", "ms", "time constant of inhibitory currents", 1e-3, 1e4, 2.0),
)
LIF_COND_EXP = (
    Parameter("C_m_pF", "pF", "membrane capacitance", 1e-3, 1e5, 250.0),
    Parameter("g_L_nS", "nS", "leak conductance", 0.0, 1e6, 16.6667),
    Parameter("E_exc_mV", "mV", "excitatory reversal potential", -200.0, 200.0, 0.0),
    Parameter("E_inh_mV", "mV", "inhibitory reversal potential", -200.0, 200.0, -85.0),
    Parameter("E_L_mV", "mV", "resting potential", -200.0, 200.0, -70.0),
    Parameter("V_th_mV", "mV", "spike threshold", -200.0, 200.0, -55.0),
    Parameter("V_reset_mV", "mV", "reset potential", -200.0, 200.0, -60.0),
    Parameter("t_ref_ms", "ms", "refractory period", 0.0, 1e3, 2.0),
    Parameter("I_e_pA", "pA", "constant external current", -1e6, 1e6, 0.0),
    Parameter("tau_syn_exc_ms", "ms", "time constant of excitatory conductances", 1e-3, 1e4, 0.2),
    Parameter("tau_syn_inh_ms", "ms", "time constant of inhibitory conductances", 1e-3, 1e4, 2.0),
)
MODELS = {
    "lif_psc_exp": LIF_PSC_EXP,
    "lif_psc_alpha": LIF_PSC_ALPHA,
    "lif_psc_delta": LIF_PSC_DELTA,
    "lif_cond_exp": LIF_COND_EXP,
}
