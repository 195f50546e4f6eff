"""Salamander retinal ganglion cells with images, movies and gratings (Onken et al. 2016)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from toolkit.datasets.arrays import damaged, frozen, read_npz
from toolkit.datasets.onken2016_mat import fields_of, spikes_of
from toolkit.datasets.recordings import (
    BIN_MS,
    CONTOUR,
    N_BINS,
    RECORDINGS,
    STIMULI,
    WINDOW_MS,
    ReceptiveFields,
    Recording,
    RetinaRecording,
    RetinaStimulus,
)
from toolkit.datasets.registry import choose, data_folder, data_set
from toolkit.errors import unknown
from toolkit.table import Table

ORIGINALS = "onken2016"  # the archive's folder; NeuralData and Stimuli lie in it
SOURCES = {"original": "original files", "prepared": "prepared arrays"}


def onken2016(
    recording: str = "movie1_retina1",
    *,
    form: str | None = None,
    folder: str | Path | None = None,
) -> RetinaRecording:
    """Responses of salamander retinal ganglion cells, 30 trials each (shifted images: 19).

    Parameters
    ----------
    recording : ``natural_images_retina1`` and ``2`` (flashed), ``movie1_retina1``,
        ``movie1_retina2``, ``movie2_retina1``, ``movie2_retina2``, ``gratings_retina3`` (flashed),
        ``shifted_images_1`` and ``2`` (retinas of 23 and 37 cells, originals only)
    form : ``"prepared"`` (``retina/*.npz``: counts, reliability, the inferred times of a movie's
        windows) or ``"original"`` (``onken2016/NeuralData``, ``.mat``: spike times); None for the
        first that is there
    folder : data folder; None for ``STRIATE_DATA`` or the user's cache

    The two forms give the same counts and receptive fields. A stimulus without a spike of any
    cell in any trial counts as not shown (our reading: retina 2 saw 48 of the 60 images and has
    50 of the 60 windows; its original spikes were not at hand to check it).

    Raises
    ------
    InputError : an unknown recording or form
    DataError : the files are not there or damaged

    Source: Onken et al. 2016, PLoS Comput Biol 12:e1005189; data doi:10.5061/dryad.4ch10. The
    file names are right about which movie it is; the authors' README exchanges two of them.

    Examples
    --------
    >>> movie = onken2016("movie1_retina1")  # doctest: +SKIP
    >>> movie.counts.shape, round(movie.rates_Hz.mean(), 1)  # doctest: +SKIP
    ((60, 38, 30, 30), np.float64(1.3))
    """
    if recording not in RECORDINGS:
        raise unknown("recording", recording, RECORDINGS)
    about = RECORDINGS[recording]
    wanted = {}
    if about.stimulus in STIMULI:
        wanted["prepared"] = [f"retina/{recording}.npz"]
    neural = f"{ORIGINALS}/NeuralData"
    fields = _first(about.fields, neural, folder)
    wanted["original"] = [f"{neural}/Spikes/{about.spikes}.mat", fields]
    form, files = choose("onken2016", wanted, form, folder)
    read = _prepared if form == "prepared" else _original
    return RetinaRecording(
        recording,
        about.stimulus,
        form=form,
        source=SOURCES[form],
        files=tuple(files),
        **read(about, *files),
    )


def _first(names: tuple[str, ...], neural: str, folder: str | Path | None) -> str:
    """The first of these files of receptive fields that is there, else the last."""
    chosen, root = data_set("onken2016"), data_folder(folder)
    paths = [f"{neural}/ReceptiveFields/{name}.mat" for name in names]
    return next((path for path in paths if chosen.find(path, root)), paths[-1])


def _prepared(about: Recording, path: Path) -> dict[str, Any]:
    n, cells = about.n_stimuli, about.n_cells
    wanted: dict[str, tuple[str, tuple[int | None, ...]]] = {
        "counts": ("uint8", (n, cells, about.n_trials, N_BINS)),
        "bin_ms": ("int64", ()),
        "rf_center_rowcol": ("float32", (cells, 2)),
        "rf_halfwidth_rowcol": ("float32", (cells, 2)),
        "rf_contour_rowcol": ("float32", (cells, None, 2)),
        "reliability_10ms": ("float32", (cells,)),
    }
    movie = about.stimulus.startswith("movie")
    index = {"natural_images": "image_index", "gratings": None}.get(about.stimulus, "window_index")
    if index:
        wanted[index] = ("int16", (n,))
    if movie:
        wanted["window_start_ms_inferred"] = ("float32", (n,))
        wanted["window_usable"] = ("bool", (n,))
    arrays = read_npz(path, **wanted)
    if arrays["bin_ms"] != BIN_MS:
        raise damaged(path, f"its bins are {arrays['bin_ms']} ms wide; {BIN_MS} ms are expected")
    shown = arrays[index] if index else frozen(np.arange(n, dtype=np.int16))
    if shown.min() < 0 or shown.max() >= 60 or len(np.unique(shown)) < n:
        raise damaged(path, "the numbers of its stimuli are not different ones from 0 to 59")
    return {
        "counts": arrays["counts"],
        "stimulus_index": shown,
        "receptive_fields": ReceptiveFields(
            arrays["rf_center_rowcol"], arrays["rf_halfwidth_rowcol"], arrays["rf_contour_rowcol"]
        ),
        "reliability": arrays["reliability_10ms"],
        "window_start_ms_inferred": arrays.get("window_start_ms_inferred"),
        "window_usable": arrays.get("window_usable"),
    }


def _original(about: Recording, spikes: Path, fields: Path) -> dict[str, Any]:
    shifted = about.stimulus == "shifted_images"
    movie = about.stimulus.startswith("movie")
    # A movie's file has one train of 60 windows laid end to end for each cell and trial.
    n_windows = 60 if movie else 1
    table, n = spikes_of(spikes, about.n_cells, about.n_trials, n_windows * WINDOW_MS)
    stimulus, time = table["stimulus"], table["time_ms"]
    if movie:
        n, stimulus, time = n_windows, (time - 1) // WINDOW_MS, (time - 1) % WINDOW_MS + 1
    shown = np.arange(n) if shifted else np.unique(stimulus)
    rows = Table(
        {
            "stimulus": np.searchsorted(shown, stimulus).astype(np.int16),
            "cell": table["cell"],
            "trial": table["trial"],
            "time_ms": time.astype(np.int16),
        }
    )
    rows = rows.take(np.lexsort((rows["time_ms"], rows["trial"], rows["cell"], rows["stimulus"])))
    shape = (len(shown), about.n_cells, about.n_trials, N_BINS)
    place = (rows["stimulus"], rows["cell"], rows["trial"], (rows["time_ms"] - 1) // BIN_MS)
    counts = np.bincount(np.ravel_multi_index(place, shape), minlength=int(np.prod(shape)))
    if counts.max(initial=0) > np.iinfo(np.uint8).max:
        raise damaged(spikes, f"{counts.max()} spikes in {BIN_MS} ms of one trial")
    index = np.stack(np.divmod(shown, 9), axis=1) if shifted else shown  # 9 shifts x 9 images
    return {
        "counts": frozen(counts.astype(np.uint8).reshape(shape)),
        "stimulus_index": frozen(index.astype(np.int16)),
        "receptive_fields": _fields(about, fields),
        "spikes": rows,
    }


def _fields(about: Recording, path: Path) -> ReceptiveFields:
    outline = fields_of(path, about.n_cells)  # (cell, point, xy), y upwards
    if about.origin is None:
        pixels = outline[..., ::-1]
    else:
        x, y = about.origin
        pixels = np.stack([y - outline[..., 1], outline[..., 0] - x], axis=-1)
    low, high = pixels.min(axis=1), pixels.max(axis=1)
    return ReceptiveFields(
        frozen(pixels.mean(axis=1)),
        frozen((high - low) / 2),
        frozen(np.ascontiguousarray(pixels[:, ::CONTOUR])),
    )


def onken2016_stimulus(
    name: str, *, form: str | None = None, folder: str | Path | None = None
) -> RetinaStimulus:
    """The frames of a stimulus: ``natural_images``, ``movie1``, ``movie2`` or ``gratings``.

    Prepared movies are means of 4 x 4 pixels (90 x 90); prepared gratings are 300 x 300. The
    originals are raw bytes of square matrices (``onken2016/Stimuli``: 256 or 360 pixels a side,
    movies 233 and 207 MB in memory), stored column by column as the authors' README reads them;
    that this puts the top in row 0 was not checked, for want of the files.

    Raises
    ------
    InputError : an unknown stimulus or form
    DataError : the files are not there or damaged

    Examples
    --------
    >>> onken2016_stimulus("movie1").frames.shape  # doctest: +SKIP
    (1800, 90, 90)
    """
    if name not in STIMULI:
        raise unknown("stimulus", name, STIMULI)
    about = STIMULI[name]
    file, array = about.prepared
    wanted = {
        "prepared": [f"retina/{file}"],
        "original": [f"{ORIGINALS}/Stimuli/{about.files}"],
    }
    form, files = choose("onken2016", wanted, form, folder)
    if form == "prepared":
        side = about.prepared_pixels
        frames = read_npz(files[0], **{array: ("uint8", (about.n, side, side))})[array]
    else:
        files = sorted(files[0].glob("*.raw"))
        frames = _raw(files, about.n, about.pixels, where=data_folder(folder) / wanted[form][0])
    averaged = about.averaged if form == "prepared" else 1
    return RetinaStimulus(name, frames, about.rate_Hz, averaged, form, SOURCES[form], tuple(files))


def _raw(files: list[Path], n: int, pixels: int, where: Path) -> np.ndarray:
    if len(files) != n:
        raise damaged(where, f"it has {len(files)} files *.raw; {n} are expected")
    frames = np.empty((n, pixels, pixels), np.uint8)
    for frame, file in zip(frames, files, strict=True):
        content = np.fromfile(file, np.uint8)
        if content.size != pixels * pixels:
            raise damaged(file, f"{content.size:,} bytes; {pixels} x {pixels} are expected")
        frame[:] = content.reshape(pixels, pixels).T
    return frozen(frames)
