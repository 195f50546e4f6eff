"""Write a neuron and a plastic synapse in NESTML, and run them in Brian2.

python examples/nestml_neuron.py [--seconds 200] [--out weights.png]

A neuron of one's own, with an after-hyperpolarising conductance, gets 200 Poisson inputs through
synapses that learn from pairs of spikes. Competition drives weights to both ends of their range
(Song, Miller and Abbott 2000, Nat Neurosci 3:919), after some minutes of simulated time.
"""

import argparse

import brian2 as b2
import numpy as np

from converters.nestml import brian2_code, neuron_group, read, synapse_code, synapses
from toolkit import plots

NEURON = """
model lif_ahp:
    state:
        V_m mV = E_L
        g_exc nS = 0 nS
        g_ahp nS = 0 nS
        r integer = 0
    equations:
        g_exc' = -g_exc / tau_exc
        g_ahp' = -g_ahp / tau_ahp
        V_m' = (g_L * (E_L - V_m) - g_exc * V_m + g_ahp * (E_K - V_m)) / C_m
    parameters:
        C_m pF = 200 pF
        g_L nS = 10 nS
        E_L mV = -70 mV
        E_K mV = -80 mV
        V_th mV = -54 mV
        V_reset mV = -60 mV
        t_ref ms = 2 ms
        tau_exc ms = 5 ms
        tau_ahp ms = 40 ms
    internals:
        refractory_steps integer = steps(t_ref)
    input:
        spikes <- spike
    output:
        spike
    update:
        integrate_odes()
        if r > 0:
            r = r - 1
            V_m = V_reset
    onReceive(spikes):
        g_exc += 1 nS * spikes * 1 s
    onCondition(V_m >= V_th):
        r = refractory_steps
        V_m = V_reset
        g_ahp += 1 nS
        emit_spike()
"""
SYNAPSE = """
model additive_stdp:
    state:
        w real = 1.
        pre_trace real = 0.
        post_trace real = 0.
    parameters:
        A_plus real = 0.005
        A_minus real = 0.00525
        tau ms = 20 ms
        Wmax real = 0.6
    equations:
        pre_trace' = -pre_trace / tau
        post_trace' = -post_trace / tau
    input:
        pre_spikes <- spike
        post_spikes <- spike
    output:
        spike
    onReceive(post_spikes):
        post_trace += 1
        w = min(Wmax, w + A_plus * Wmax * pre_trace)
    onReceive(pre_spikes):
        pre_trace += 1
        w = max(0, w - A_minus * Wmax * post_trace)
        emit_spike(w)
    update:
        integrate_odes()
"""
parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--seconds", type=float, default=200.0, help="simulated")
parser.add_argument("--inputs", type=int, default=200)
parser.add_argument("--rate-hz", type=float, default=20.0, help="of each input")
parser.add_argument("--out", default="weights.png", help="histogram of the weights")
args = parser.parse_args()
dt_ms, n = 0.5, args.inputs

b2.prefs.codegen.target = "numpy"
b2.seed(1)
neuron = neuron_group(brian2_code(read(NEURON), method="rk4"), 1, dt_ms=dt_ms)
source = b2.PoissonGroup(n, args.rate_hz * b2.Hz, dt=dt_ms * b2.ms)
start = np.random.default_rng(1).uniform(0, 0.6, n)
plastic = synapses(
    synapse_code(SYNAPSE),
    source,
    neuron,
    {"w": start},
    port="spikes",
    pre=np.arange(n),
    post=np.zeros(n, dtype=int),
    delay_ms=1.0,
    dt_ms=dt_ms,
)
fired = b2.SpikeMonitor(neuron)
network = b2.Network(neuron, source, plastic, fired)
network.run(args.seconds * b2.second, report="text")

weights = np.asarray(plastic.w)
ends = ((weights < 0.06) | (weights > 0.54)).mean()
rate_hz = len(fired.t) / args.seconds
print(f"{rate_hz:.1f} Hz; {ends:.0%} of the weights are near an end of the range")
with plots.style():
    figure = plots.new_figure(4, 3)
    axes = figure.add_axes((0.15, 0.17, 0.8, 0.78))
    bins = np.linspace(0, 0.6, 31)
    axes.hist(start, bins, histtype="step", label="at the start")
    axes.hist(weights, bins, alpha=0.6, label=f"after {args.seconds:g} s")
    axes.set(xlabel="weight (nS)", ylabel="synapses")
    axes.legend(frameon=False)
    with open(args.out, "wb") as file:
        file.write(plots.png(figure))
