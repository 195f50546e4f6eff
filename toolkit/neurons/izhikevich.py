"""Izhikevich's neuron: parameters of ``izhikevich.nestml``.

Izhikevich 2003, IEEE Trans Neural Netw 14:1569. Names are those of the NESTML file with the unit;
defaults those of NEST's izhikevich; ranges our choice, wide enough for any cell.
"""

from __future__ import annotations

from toolkit.neurons.schema import Parameter

IZHIKEVICH = (
    Parameter("a", "", "rate of recovery, 1/ms", -1e3, 1e3, 0.02),
    Parameter("b", "", "sensitivity of recovery to V_m", -1e3, 1e3, 0.2),
    Parameter("c_mV", "mV", "reset potential", -200.0, 200.0, -65.0),
    Parameter("d_mV", "mV", "jump of recovery at a spike", -200.0, 200.0, 8.0),
    Parameter("V_th_mV", "mV", "spike threshold", -200.0, 200.0, 30.0),
    Parameter("I_e_pA", "pA", "constant external current", -1e6, 1e6, 0.0),
)
MODELS = {"izhikevich": IZHIKEVICH}
