"""Adaptive exponential integrate-and-fire: parameters of ``adex_cond_exp.nestml``.

Brette and Gerstner 2005, J Neurophysiol 94:3637. Names are those of the NESTML file with the unit;
defaults those of NEST's aeif_cond_exp; ranges our choice, wide enough for any cell.
"""

from __future__ import annotations

from toolkit.neurons.schema import Parameter

ADEX_COND_EXP = (
    Parameter("C_m_pF", "pF", "membrane capacitance", 1e-3, 1e5, 281.0),
    Parameter("g_L_nS", "nS", "leak conductance", 0.0, 1e6, 30.0),
    Parameter("E_L_mV", "mV", "resting potential", -200.0, 200.0, -70.6),
    Parameter("V_th_mV", "mV", "threshold of the exponential", -200.0, 200.0, -50.4),
    Parameter("Delta_T_mV", "mV", "slope of the exponential", 1e-3, 200.0, 2.0),
    Parameter("V_peak_mV", "mV", "a spike is where V_m reaches this", -200.0, 200.0, 0.0),
    Parameter("V_reset_mV", "mV", "reset potential", -200.0, 200.0, -60.0),
    Parameter("t_ref_ms", "ms", "refractory period", 0.0, 1e3, 0.0),
    Parameter("a_nS", "nS", "adaptation to the potential", 0.0, 1e6, 4.0),
    Parameter("b_pA", "pA", "adaptation at a spike", -1e6, 1e6, 80.5),
    Parameter("tau_w_ms", "ms", "time constant of adaptation", 1e-3, 1e4, 144.0),
    Parameter("E_exc_mV", "mV", "excitatory reversal potential", -200.0, 200.0, 0.0),
    Parameter("E_inh_mV", "mV", "inhibitory reversal potential", -200.0, 200.0, -85.0),
    Parameter("tau_syn_exc_ms", "ms", "time constant of excitatory conductances", 1e-3, 1e4, 0.2),
    Parameter("tau_syn_inh_ms", "ms", "time constant of inhibitory conductances", 1e-3, 1e4, 2.0),
    Parameter("I_e_pA", "pA", "constant external current", -1e6, 1e6, 0.0),
)
MODELS = {"adex_cond_exp": ADEX_COND_EXP}
