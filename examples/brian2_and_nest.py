"""Run one V1 column in Brian2 and in NEST: the same spikes, one by one.

python examples/brian2_and_nest.py [--size 3k] [--seconds 1] [--threads 1]
"""

import argparse
import time

import numpy as np

from circuits import v1
from converters import to_brian2, to_nest
from toolkit import stimuli

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--size", default="3k", help="3k, 6k or a number of neurons")
parser.add_argument("--seed", type=int, default=1)
parser.add_argument("--seconds", type=float, default=1.0, help="of the grating")
parser.add_argument("--device", default="cpp_standalone", help="of Brian2; or runtime")
parser.add_argument("--threads", type=int, default=1, help="of NEST")
args = parser.parse_args()
size = int(args.size) if args.size.isdigit() else args.size

column = v1.column(size, seed=args.seed)
grating = stimuli.drifting_grating(orientation_deg=45, duration_ms=1000 * args.seconds)
lgn = v1.lgn(column).respond(grating)

# Both take the same input: LGN rates, made to spikes by the toolkit, and the background, whose
# every spike is a function of the seed. Both do the same update in every step.
recordings = {}
for name, make in (
    ("Brian2", lambda: to_brian2(column, args.device)),
    ("NEST", lambda: to_nest(column, threads=args.threads)),
):
    started = time.perf_counter()
    simulation = make()
    made = time.perf_counter()
    recordings[name] = simulation.run(lgn, seed=2)
    ended = time.perf_counter()
    print(
        f"{name}: {len(recordings[name].spike_ids):,} spikes; "
        f"{made - started:.1f} s to make it, {ended - made:.1f} s to run {args.seconds:g} s"
    )

brian2, nest = recordings.values()
same = np.array_equal(brian2.spike_times_ms, nest.spike_times_ms) and np.array_equal(
    brian2.spike_ids, nest.spike_ids
)
print("the identical spikes" if same else "the spikes differ")
