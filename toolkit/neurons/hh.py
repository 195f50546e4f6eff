"""Hodgkin and Huxley's neuron: parameters of ``hh_psc_alpha.nestml``.

Hodgkin and Huxley 1952, J Physiol 117:500. Names are those of the NESTML file with the unit;
defaults those of NEST's hh_psc_alpha; ranges our choice, wide enough for any cell.
"""

from __future__ import annotations

from toolkit.neurons.schema import Parameter

HH_PSC_ALPHA = (
    Parameter("C_m_pF", "pF", "membrane capacitance", 1e-3, 1e5, 100.0),
    Parameter("g_Na_nS", "nS", "peak sodium conductance", 0.0, 1e6, 12000.0),
    Parameter("g_K_nS", "nS", "peak potassium conductance", 0.0, 1e6, 3600.0),
    Parameter("g_L_nS", "nS", "leak conductance", 0.0, 1e6, 30.0),
    Parameter("E_Na_mV", "mV", "sodium reversal potential", -200.0, 200.0, 50.0),
    Parameter("E_K_mV", "mV", "potassium reversal potential", -200.0, 200.0, -77.0),
    Parameter("E_L_mV", "mV", "leak reversal potential", -200.0, 200.0, -54.402),
    Parameter("t_ref_ms", "ms", "no second spike within", 0.0, 1e3, 2.0),
    Parameter("I_e_pA", "pA", "constant external current", -1e6, 1e6, 0.0),
    Parameter("tau_syn_exc_ms", "ms", "time constant of excitatory currents", 1e-3, 1e4, 0.2),
    Parameter("tau_syn_inh_ms", "ms", "time constant of inhibitory currents", 1e-3, 1e4, 2.0),
)
MODELS = {"hh_psc_alpha": HH_PSC_ALPHA}
