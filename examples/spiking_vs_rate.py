"""Run one V1 column as spikes and as rates on the same grating, and see how far they agree.

python examples/spiking_vs_rate.py [--size 3k] [--seconds 10] [--out spiking_vs_rate.png]
"""

import argparse

import numpy as np
from matplotlib.figure import Figure

from circuits import v1
from converters import to_brian2, to_rate
from toolkit import metrics, stimuli

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--size", default="3k", help="3k, 6k or a number of neurons")
parser.add_argument("--seed", type=int, default=1)
parser.add_argument("--seconds", type=float, default=10.0, help="of the grating")
parser.add_argument("--device", default="cpp_standalone", help="or runtime")
parser.add_argument("--out", default="spiking_vs_rate.png")
args = parser.parse_args()
size = int(args.size) if args.size.isdigit() else args.size

# The circuit, and what its LGN makes of a drifting grating: rates of 832 channels in Hz.
column = v1.column(size, seed=args.seed)
grating = stimuli.drifting_grating(orientation_deg=45, duration_ms=1000 * args.seconds)
lgn = v1.lgn(column).respond(grating)

# As spikes, in Brian2; the toolkit draws the LGN's and the background's spikes from the seed.
spiking = to_brian2(column, device=args.device).run(lgn, seed=2)

# As rates, in PyTorch: the same weights as charge per spike, and the transfer functions
# F(mu, sigma) of the very same cell models.
rate = to_rate(column, dynamics="low_pass", dt_ms=1.0).run(lgn)

# How far do they agree, after the first half second?
start_ms = 500.0
comparison = metrics.compare(spiking, rate, classes=column.neurons["cell_class"], start_ms=start_ms)
print(comparison.per_class.to_pandas().round(3).to_string(index=False))

# One dot a neuron.
x, y = rate.mean_rates_Hz(start_ms), spiking.mean_rates_Hz(start_ms)
figure = Figure(figsize=(4.5, 4.5), layout="constrained")
axes = figure.subplots()
for label, mask, color in (
    ("excitatory", column.excitatory, "tab:red"),
    ("inhibitory", ~column.excitatory, "tab:blue"),
):
    axes.loglog(x[mask] + 0.1, y[mask] + 0.1, ".", ms=3, alpha=0.5, color=color, label=label)
limits = 0.1, 1.2 * max(x.max(), y.max())
axes.plot(limits, limits, "k-", lw=0.8)
axes.set(
    xlabel="rate network (Hz) + 0.1", ylabel="spiking network (Hz) + 0.1", xlim=limits, ylim=limits
)
axes.set_title(f"R2 {metrics.r_squared(y, x):.3f}, {args.seconds:g} s of grating")
axes.legend(frameon=False)
figure.savefig(args.out, dpi=150)
print(f"mean rates: spiking {np.mean(y):.2f} Hz, rate {np.mean(x):.2f} Hz; picture in {args.out}")
