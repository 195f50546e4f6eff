"""The recordings of Onken et al. 2016 as experiments."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from toolkit.datasets import (
    RECORDINGS,
    STIMULI,
    ReceptiveFields,
    RetinaRecording,
    RetinaStimulus,
)
from toolkit.datasets import onken2016 as read_recording
from toolkit.datasets import onken2016_stimulus as read_stimulus
from toolkit.errors import DataError, InputError, unknown
from toolkit.retina.data.experiment import Experiment
from toolkit.retina.data.windows import in_runs, inferred_starts_ms, window_shifts

EXPERIMENTS = tuple(name for name, about in RECORDINGS.items() if about.stimulus in STIMULI)

# Start of window 0 and from one window to the next, ms. Derived: the two numbers for which a linear
# model fits best; the common offset is uncertain by 60 ms, single windows by 40 ms.
WINDOWS_MS = {
    "movie1_retina1": (4010.0, 803.5),
    "movie1_retina2": (565.0, 806.0),
    "movie2_retina1": (4000.0, 805.0),
    "movie2_retina2": (565.0, 806.0),
}
PIXELS = 4  # in each direction, that pictures are averaged over, as the movies are; our choice
MOVIE_SIDE = 90  # pixels of an averaged movie
GREY_MS = 600.0  # of grey before a flashed picture; our choice
GREY = 127  # before and around flashed pictures: their mean is 126.5; our choice
INFERRED = "times of windows in the movie are inferred (common offset within 60 ms)"
FLASHED = "flashed pictures are taken to stay for the 300 ms of the window; grey before: our choice"
UNREGISTERED = "receptive fields are not registered to the gratings and left out"


def load(
    name: str = "movie1_retina1", *, form: str | None = None, folder: str | Path | None = None
) -> Experiment:
    """A recording of salamander retinal ganglion cells with its stimulus.

    **Movies.** The published trains are windows of 300 ms of a longer response; when in the movie
    they began is not published. The starts here are inferred: start_k = a + d k with a and d from
    a search for the best fit of a linear model, d = 803.5 to 806 ms in all four recordings. Runs of
    windows that are one window moved on share their spikes and are not usable. Frames are
    90 x 90 pixels, 30 a second.

    **Flashed pictures** (`natural_images_...`). A sequence each: 600 ms of grey, then the picture
    for 300 ms, which is the window. Pixels are averaged 4 x 4 and set into the 90 x 90 of the
    movies, grey around, so that a receptive field is at one place in all (derived: the offset
    between the two is 52 original pixels both ways).

    **Gratings** (`gratings_retina3`): likewise, but without receptive fields.

    Parameters
    ----------
    name : among `EXPERIMENTS`
    form, folder : of the responses, as in `toolkit.datasets.onken2016`; the frames are read in the
        form that is there

    Raises
    ------
    InputError : an unknown name
    DataError : files are not there (says which, and where they are looked for) or damaged

    Source: Onken et al. 2016, PLoS Comput Biol 12:e1005189; data doi:10.5061/dryad.4ch10.

    Examples
    --------
    >>> load("movie1_retina1")  # doctest: +SKIP
    Experiment(movie1_retina1: 38 cells, 30 trials, 44 of 60 windows of 30 x 10 ms in 1 sequences...
    """
    if name not in EXPERIMENTS:
        raise unknown("experiment", name, EXPERIMENTS)
    recording = read_recording(name, form=form, folder=folder)
    return joined(recording, read_stimulus(recording.stimulus, folder=folder))


def joined(recording: RetinaRecording, stimulus: RetinaStimulus) -> Experiment:
    """Responses and frames that belong together as an experiment; see `load`.

    Raises
    ------
    InputError : frames of another stimulus
    DataError : frames of another size, number or rate than those the receptive fields refer to
    """
    if recording.stimulus not in STIMULI or stimulus.name != recording.stimulus:
        raise InputError(
            f"{recording.name} was recorded with {recording.stimulus}, not with {stimulus.name}"
        )
    about, (n, *size) = STIMULI[stimulus.name], stimulus.frames.shape
    if stimulus.averaged not in (1, 2, PIXELS):
        raise DataError(
            f"pixels of {stimulus.name} are means of 1, 2 or {PIXELS} in each direction, not of "
            f"{stimulus.averaged}"
        )
    sides = {about.pixels // stimulus.averaged}
    if stimulus.averaged == about.averaged:
        sides.add(about.prepared_pixels)
    if n != about.n or size[0] != size[1] or size[0] not in sides:
        raise DataError(
            f"the frames of {stimulus.name} are {n} of {size[0]} x {size[1]} pixels; {about.n} of "
            f"{' or '.join(map(str, sorted(sides)))} pixels a side fit the receptive fields"
        )
    if stimulus.rate_Hz != about.rate_Hz:
        raise DataError(
            f"{stimulus.name} has {about.rate_Hz or 'no'} frames a second, not {stimulus.rate_Hz}"
        )
    if about.rate_Hz is None:
        return _flashed(recording, stimulus)
    return _movie(recording, stimulus, about.rate_Hz)


def _movie(recording: RetinaRecording, stimulus: RetinaStimulus, rate_Hz: float) -> Experiment:
    shifts = window_shifts(recording.counts)
    start, usable = recording.window_start_ms_inferred, ~in_runs(shifts)
    if start is None:
        start = inferred_starts_ms(
            recording.stimulus_index, shifts, *WINDOWS_MS[recording.name], recording.bin_ms
        )
    if recording.window_usable is not None:
        usable = usable & recording.window_usable
    factor = PIXELS // stimulus.averaged
    return Experiment(
        name=recording.name,
        frames=_averaged(stimulus.frames, factor),
        frame_ms=1000 / rate_Hz,
        shown=np.arange(len(stimulus.frames))[None],
        counts=recording.counts,
        bin_ms=recording.bin_ms,
        sequence=np.zeros(len(start)),
        start_ms=start,
        usable=usable,
        fields=recording.receptive_fields.averaged(PIXELS),
        source=f"Onken et al. 2016, {recording.source}",
        notes=(INFERRED,),
    )


def _flashed(recording: RetinaRecording, stimulus: RetinaStimulus) -> Experiment:
    counts, index = recording.counts, recording.stimulus_index.astype(np.int32)
    pictures = _averaged(stimulus.frames, PIXELS // stimulus.averaged)
    fields, notes = None, [FLASHED]
    if recording.stimulus == "natural_images":
        border = (MOVIE_SIDE - pictures.shape[1]) // 2
        pictures = np.pad(
            pictures, ((0, 0), (border, border), (border, border)), constant_values=GREY
        )
        fields = recording.receptive_fields.averaged(PIXELS)
        fields = ReceptiveFields(fields.centre + border, fields.half_width, fields.contour + border)
    else:
        notes.append(UNREGISTERED)
    window_ms = counts.shape[3] * recording.bin_ms
    grey = np.zeros((len(counts), round(GREY_MS / window_ms)), dtype=np.int32)
    return Experiment(
        name=recording.name,
        frames=np.concatenate([np.full_like(pictures[:1], GREY), pictures]),
        frame_ms=window_ms,
        shown=np.concatenate([grey, index[:, None] + 1], axis=1),
        counts=counts,
        bin_ms=recording.bin_ms,
        sequence=np.arange(len(counts)),
        start_ms=np.full(len(counts), GREY_MS),
        usable=np.full(len(counts), True),
        fields=fields,
        source=f"Onken et al. 2016, {recording.source}",
        notes=tuple(notes),
    )


def _averaged(frames: np.ndarray, n: int) -> np.ndarray:
    """Means of n x n pixels, uint8 (frame, y, x)."""
    if n == 1:
        return frames
    count, high, wide = frames.shape
    mean = np.empty((count, high // n, wide // n), dtype=np.uint8)
    for part, whole in zip(mean, frames, strict=True):  # one at a time: float of all is large
        blocks = whole.reshape(high // n, n, wide // n, n).mean(axis=(1, 3))
        part[:] = np.floor(blocks + 0.5)
    return mean
