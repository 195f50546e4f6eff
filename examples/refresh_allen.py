"""Get the current GLIF3 models of a cre line from the Allen Cell Types Database; build with them.

python examples/refresh_allen.py [--line Scnn1a-Tg3-Cre] [--out allen_tables]

Needs the internet, and allensdk in an environment of its own: once,
striate data refresh --make-environment
"""

import argparse

import numpy as np

from circuits import allen, v1
from circuits.allen.refresh import refresh_tables

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--line", default="Scnn1a-Tg3-Cre")
parser.add_argument("--out", default="allen_tables")
parser.add_argument("--url", default="http://api.brain-map.org")
parser.add_argument("--python", help="an interpreter that has allensdk")
args = parser.parse_args()

# Every cell of the line in V1 is asked for; answers are kept for a day. The folder has all tables:
# those that come with Striate, with the parameters that the database has now.
refreshed = refresh_tables(
    args.out, lines=[args.line], url=args.url, python=args.python, force=True
)
print(refreshed.text())
print()

# The cells as the database has them, with the population of the column that they stand for.
found = refreshed.found.to_pandas()
columns = ["cell", "in_tables", "population", "layer", "C_m_pF", "vrest_mV", "rheobase_pA"]
print(found[columns].round(1).to_string(index=False))
print()

# Rheobase as recorded, with current steps of a second, and that of the model for steady current.
model_pA = found["g_nS"] * (found["V_th_mV"] - found["E_L_mV"])
print(f"model's over recorded rheobase: median {np.nanmedian(model_pA / found['rheobase_pA']):.2f}")

# The column from these tables; the same seed gives the same neurons, but for their parameters.
column = v1.column("3k", seed=1, tables=allen.load(args.out))
print(f"{column.n:,} neurons, {len(column.synapses):,} connections, from the tables in {args.out}")
