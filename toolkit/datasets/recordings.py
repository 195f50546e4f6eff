"""Recordings of the retina: what the loaders of Onken et al. 2016 return, and which there are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from toolkit.table import Table

BIN_MS = 10  # of the prepared counts; our choice
WINDOW_MS = 300  # confirmed: flashed images and gratings; found in the data: the movies' windows
N_BINS = WINDOW_MS // BIN_MS
CONTOUR = 10  # every tenth of the 1,000 points of an original contour is kept in the prepared one


@dataclass(frozen=True)
class Stimulus:
    """A set of frames shown to the retina.

    n : frames
    pixels : rows, and columns, of the original
    rate_Hz : frames a second of a movie; None for pictures flashed one by one
    files, prepared : folder of the original; file and array of the prepared one
    averaged : pixels of the original, in each direction, that a prepared one is the mean of
    prepared_pixels : rows, and columns, of the prepared one
    """

    n: int
    pixels: int
    rate_Hz: float | None
    files: str
    prepared: tuple[str, str]
    averaged: int = 1
    prepared_pixels: int = 0


@dataclass(frozen=True)
class Recording:
    """What was recorded with one stimulus from one retina.

    stimulus : a name among `STIMULI`, or ``"shifted_images"``, whose frames are not published
    spikes, fields : original files; of the fields the first that is there (a retina's are the same)
    n_stimuli, n_trials : of the prepared counts, or of the originals where there are no such
    origin : (x, y) such that column = field x - origin x and row = origin y - field y are pixels
        of the stimulus (derived: reproduces the prepared fields to 1e-4 pixel); None if unknown
    """

    stimulus: str
    spikes: str
    fields: tuple[str, ...]
    n_cells: int
    n_stimuli: int
    n_trials: int
    origin: tuple[float, float] | None


# Confirmed: numbers, sizes and kinds in the authors' README; 30 Hz as in Zheng et al. 2021.
STIMULI = {
    "natural_images": Stimulus(
        60, 256, None, "NaturalImages", ("stim_natural_images_256.npz", "images"), 1, 256
    ),
    "movie1": Stimulus(1800, 360, 30.0, "Movie1", ("stim_movie1_90x90.npz", "frames"), 4, 90),
    "movie2": Stimulus(1600, 360, 30.0, "Movie2", ("stim_movie2_90x90.npz", "frames"), 4, 90),
    "gratings": Stimulus(
        60, 360, None, "Gratings", ("gratings_retina3.npz", "stim_300x300"), 1, 300
    ),
}
IMAGE, MOVIE, GRATING = (276.0, 431.0), (224.0, 483.0), (100.0, 599.0)
FIELDS = {1: "Movie1Exp1", 2: "Movie1Exp2"}  # of retina 1 and 2
RECORDINGS = {
    "natural_images_retina1": Recording(
        "natural_images", "NaturalImages1", ("NaturalImages1", FIELDS[1]), 38, 60, 30, IMAGE
    ),
    "natural_images_retina2": Recording(
        "natural_images", "NaturalImages2", ("NaturalImages2", FIELDS[2]), 49, 48, 30, IMAGE
    ),
    "movie1_retina1": Recording("movie1", "Movie1Exp1", ("Movie1Exp1",), 38, 60, 30, MOVIE),
    "movie1_retina2": Recording("movie1", "Movie1Exp2", ("Movie1Exp2",), 49, 50, 30, MOVIE),
    "movie2_retina1": Recording(
        "movie2", "Movie2Exp1", ("Movie2Exp1", FIELDS[1]), 38, 60, 30, MOVIE
    ),
    "movie2_retina2": Recording(
        "movie2", "Movie2Exp2", ("Movie2Exp2", FIELDS[2]), 49, 50, 30, MOVIE
    ),
    "gratings_retina3": Recording("gratings", "Gratings", ("Gratings",), 54, 60, 30, GRATING),
    "shifted_images_1": Recording("shifted_images", "Shifts1", ("Shifts1",), 23, 81, 19, None),
    "shifted_images_2": Recording("shifted_images", "Shifts2", ("Shifts2",), 37, 81, 19, None),
}


@dataclass(frozen=True, eq=False)
class ReceptiveFields:
    """Outlines of receptive fields, float (cell, ...), the last axis being (row, column).

    In pixels of the original stimulus, row 0 at the top, pixel centres at whole numbers; for the
    shifted images in the file's own (y, x), whose place on the images is unknown.

    centre : (cell, 2), the mean of the outline
    half_width : (cell, 2), half the outline's extent
    contour : (cell, point, 2)
    """

    centre: np.ndarray
    half_width: np.ndarray
    contour: np.ndarray

    def averaged(self, n: int) -> ReceptiveFields:
        """The fields in pixels that are means of n x n pixels.

        >>> point = np.array([[5.5, 5.5]])
        >>> ReceptiveFields(point, point, point[:, None]).averaged(4).centre
        array([[1., 1.]])
        """
        shift = (n - 1) / 2
        return ReceptiveFields(
            (self.centre - shift) / n, self.half_width / n, (self.contour - shift) / n
        )


@dataclass(frozen=True, eq=False)
class RetinaRecording:
    """Responses of retinal ganglion cells to one stimulus; the arrays are read-only.

    name : among `RECORDINGS`
    stimulus : name of what was shown
    counts : uint8 (stimulus, cell, trial, bin), spikes in bins of `bin_ms` from the onset of the
        image, or of the window of the movie. **A movie's windows are 300 ms each and not
        consecutive; some overlap** (see `window_usable`)
    bin_ms : width of a bin
    stimulus_index : int16 (stimulus,), the number of the image, grating or window from 0; for
        shifted images (stimulus, 2): shift and image
    receptive_fields : of the cells
    spikes : a row a spike, by stimulus, cell, trial and time: ``stimulus`` (row of `counts`),
        ``cell``, ``trial`` and ``time_ms``, whole ms after the onset, 1 to 300; of the original
        form only
    reliability : float32 (cell,), Spearman-Brown correlation of odd and even trials at 10 ms
        (NaN where undefined); of the prepared form only
    window_start_ms_inferred : float32 (window,), when each window began in the movie: **inferred**,
        unpublished, uncertain by some 60 ms in common and 40 ms each; of prepared movies only
    window_usable : bool (window,); False for the windows that are one window moved by 10 ms at a
        time, which share most of their spikes: never split training and test inside a run of them
    form, source, files : what was read
    """

    name: str
    stimulus: str
    counts: np.ndarray
    stimulus_index: np.ndarray
    receptive_fields: ReceptiveFields
    form: str
    source: str
    files: tuple[Path, ...]
    spikes: Table | None = None
    reliability: np.ndarray | None = None
    window_start_ms_inferred: np.ndarray | None = None
    window_usable: np.ndarray | None = None
    bin_ms: float = BIN_MS

    @property
    def rates_Hz(self) -> np.ndarray:
        """Mean rate of each cell over stimuli, trials and bins."""
        return self.counts.mean(axis=(0, 2, 3)) / (self.bin_ms / 1000)

    def __repr__(self) -> str:
        n_stimuli, n_cells, n_trials, n_bins = self.counts.shape
        return (
            f"RetinaRecording({self.name}: {n_stimuli} stimuli, {n_cells} cells, {n_trials} "
            f"trials, {n_bins} bins of {self.bin_ms:g} ms; {self.source})"
        )


@dataclass(frozen=True, eq=False)
class RetinaStimulus:
    """Frames shown to the retina; read-only.

    name : among `STIMULI`
    frames : uint8 (frame, row, column), 0 black to 255 white, row 0 at the top
    rate_Hz : frames a second of a movie; None for pictures flashed one by one
    averaged : pixels of the original, in each direction, that one of these is the mean of:
        compare with ``recording.receptive_fields.averaged(averaged)``
    form, source, files : what was read
    """

    name: str
    frames: np.ndarray
    rate_Hz: float | None
    averaged: int
    form: str
    source: str
    files: tuple[Path, ...]

    def __repr__(self) -> str:
        size = " x ".join(map(str, self.frames.shape))
        return f"RetinaStimulus({self.name}: {size}; {self.source})"
