"""Spikes as SONATA files: what drives an exported network in another simulator."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from converters.sonata.edges import sonata_file
from toolkit.errors import InputError
from toolkit.files import whole_file
from toolkit.recording import Recording


def write_spikes(recording: Recording, path: str | Path, population: str) -> None:
    """Write the spikes of an input as a SONATA file, whole or not at all.

    Parameters
    ----------
    recording : spikes of the input's sources; times in ms, at the end of the step, as NEST has them
    path : the file; ``inputs/NAME_spikes.h5`` in a folder of `to_sonata` is where its
        ``simulation_config.json`` looks for them
    population : name of the input

    Raises
    ------
    InputError : a recording of rates
    """
    if recording.spike_times_ms is None or recording.spike_ids is None:
        raise InputError("this is a recording of rates; to_spikes(seed) gives one of spikes")
    with whole_file(path) as aside, sonata_file(aside) as file:
        spikes = file.create_group(f"spikes/{population}")
        spikes["timestamps"] = recording.spike_times_ms
        spikes["timestamps"].attrs["units"] = "milliseconds"
        spikes["node_ids"] = recording.spike_ids.astype(np.uint64)
