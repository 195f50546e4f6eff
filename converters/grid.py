"""From physical times to the simulator's steps, once and for all backends."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np

from toolkit.errors import InputError
from toolkit.network import Input, Network
from toolkit.recording import Recording
from toolkit.rng import poisson_counts, stream_key


def delay_steps(delay_ms: np.ndarray, dt_ms: float, what: str) -> np.ndarray:
    """Delays in whole steps, at least one; a warning counts those that were off the grid.

    Rounding is to the nearest step (half a step up), as NEST does.
    """
    steps, moved_ms = nearest_steps(delay_ms, dt_ms)
    n_moved = int(np.count_nonzero(moved_ms))
    if n_moved:
        warn_of_moved(what, n_moved, len(steps), moved_ms.max(), dt_ms)
    return steps


def nearest_steps(delay_ms: np.ndarray, dt_ms: float) -> tuple[np.ndarray, np.ndarray]:
    """Delays in whole steps, at least one, and by how many ms each was off the grid."""
    exact = np.asarray(delay_ms, dtype=np.float64) / dt_ms
    steps = np.maximum(np.floor(exact + 0.5 + 1e-6), 1).astype(np.int32)
    moved = np.abs(exact - steps)
    return steps, np.where(moved > 1e-4, moved, 0.0) * dt_ms


def warn_of_moved(what: str, n_moved: int, n: int, worst_ms: float, dt_ms: float) -> None:
    """Warn that `n_moved` of `n` delays were rounded to the grid."""
    warnings.warn(
        f"{what}: {n_moved:,} of {n:,} delays are not multiples of "
        f"dt = {dt_ms:g} ms and were rounded, by {worst_ms:.3g} ms at most",
        stacklevel=4,
    )


def spike_steps(spikes: Recording, dt_ms: float) -> tuple[np.ndarray, np.ndarray]:
    """Steps (1, 2, ...) and source ids of input spikes: each at the end of the step it falls in."""
    assert spikes.spike_times_ms is not None and spikes.spike_ids is not None
    steps = np.ceil(spikes.spike_times_ms / dt_ms - 1e-6).astype(np.int64)
    return np.maximum(steps, 1), spikes.spike_ids


def poisson_key(seed: int, name: str) -> int:
    """Key of the counter-based stream of a Poisson input."""
    return stream_key(seed, "input", name)


def poisson_spikes(
    source: Input, name: str, seed: int, dt_ms: float, n_steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """Steps and source ids of a Poisson input that the toolkit draws, repeated by multiplicity.

    The counts are `toolkit.rng.poisson_counts` of steps 1 to n_steps, drawn in chunks.
    """
    assert source.rate_Hz is not None
    chunk = max(1, 20_000_000 // max(source.n, 1))
    steps, ids = [], []
    for first in range(1, n_steps + 1, chunk):
        counts = poisson_counts(
            poisson_key(seed, name),
            np.arange(source.n),
            np.arange(first, min(first + chunk, n_steps + 1)),
            source.rate_Hz * dt_ms / 1000,
        )
        row, col = np.nonzero(counts)
        times = counts[row, col]
        steps.append(np.repeat(row + first, times))
        ids.append(np.repeat(col, times))
    return np.concatenate(steps), np.concatenate(ids).astype(np.int32)


def drive(
    network: Network, inputs: Recording | Mapping[str, Recording] | None, seed: int
) -> tuple[dict[str, Recording], float | None]:
    """The spikes that drive each external input, and their duration (None without any).

    One `Recording` alone drives the only external input; an input without a recording is silent.
    Rates become Poisson spikes of the stream (seed, input name).

    Raises
    ------
    InputError : a name the network does not have, or a recording whose number of channels or
        duration does not fit
    """
    external = {name: source for name, source in network.inputs.items() if source.rate_Hz is None}
    if inputs is None:
        given: dict[str, Recording] = {}
    elif isinstance(inputs, Recording):
        if len(external) != 1:
            raise InputError(
                f"the network has {len(external)} external inputs "
                f"({', '.join(external) or 'none'}); give a mapping from input name to recording"
            )
        given = {next(iter(external)): inputs}
    else:
        given = dict(inputs)
    for name in given:
        if name not in external:
            raise InputError(
                f"{name!r} is no external input; the network has {', '.join(external) or 'none'}"
            )
    durations = {recording.duration_ms for recording in given.values()}
    if len(durations) > 1:
        raise InputError(f"the inputs have different durations: {sorted(durations)} ms")
    spikes = {}
    for name, recording in given.items():
        if recording.n != external[name].n:
            raise InputError(
                f"input {name!r} has {external[name].n} channels, the recording {recording.n}"
            )
        spikes[name] = recording.to_spikes(seed, name) if recording.kind == "rates" else recording
    return spikes, durations.pop() if durations else None


def run_steps(duration_ms: float | None, driven_ms: float | None, dt_ms: float) -> int:
    """Steps of a run: of `duration_ms`, by default as long as the input.

    Raises
    ------
    InputError : neither is known, or the duration is not above 0 or longer than the input
    """
    if duration_ms is None:
        duration_ms = driven_ms
    if duration_ms is None:
        raise InputError("without a driving recording, give duration_ms")
    if not duration_ms > 0 or not np.isfinite(duration_ms):
        raise InputError(f"duration_ms must be above 0, got {duration_ms}")
    if driven_ms is not None and duration_ms > driven_ms * (1 + 1e-9):
        raise InputError(f"duration_ms is {duration_ms:g}, but the input ends at {driven_ms:g} ms")
    return round(duration_ms / dt_ms)
