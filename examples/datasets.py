"""Look at the data sets for tasks and for models of the retina, where they are.

python examples/datasets.py [--folder /data]

Fetch them with `striate data fetch mnist cifar10 onken2016`, or name a folder that has them in
STRIATE_DATA.
"""

import argparse

import numpy as np

from toolkit import datasets
from toolkit.errors import DataError

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--folder", help="data folder; without it STRIATE_DATA, else a cache")
folder = parser.parse_args().folder
print("data folder:", datasets.data_folder(folder))

# Images with labels: one split at a time, read-only uint8.
for load in (datasets.mnist, datasets.cifar10):
    try:
        train, test = (load(split, folder=folder) for split in ("train", "test"))
    except DataError as missing:  # says which file, and how to get it
        print(f"\n{missing}")
        continue
    print(f"\n{train}\n{test}")
    print("images of each class:", np.bincount(test.labels).tolist())
    print(f"mean intensity {train.images.mean() / 255:.3f}; exact: {test.exact}")

# Ganglion cells of the salamander retina: counts in 10 ms bins, and where the cells look.
try:
    recording = datasets.onken2016("movie1_retina1", folder=folder)
    movie = datasets.onken2016_stimulus(recording.stimulus, folder=folder)
except DataError as missing:
    print(f"\n{missing}")
else:
    print(f"\n{recording}\n{movie}")
    fields = recording.receptive_fields.averaged(movie.averaged)
    for cell in range(3):
        row, column = fields.centre[cell]
        print(
            f"cell {cell}: {recording.rates_Hz[cell]:.1f} Hz, field at row {row:.0f}, "
            f"column {column:.0f} of {movie.frames.shape[1]}"
        )
    if recording.window_usable is not None:
        print(f"{recording.window_usable.sum()} of {len(recording.counts)} windows are usable")
