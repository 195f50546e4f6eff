"""The recordings of Onken et al. 2016: made-up files in their layout, and the real ones."""

from __future__ import annotations

import io
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit import datasets
from toolkit.datasets import onken2016_mat
from toolkit.datasets.recordings import RECORDINGS
from toolkit.errors import DataError

CELLS, TRIALS = 38, 30
RNG = np.random.default_rng(3)


def cells(shape: tuple[int, ...], fill: object = None) -> np.ndarray:
    """A MATLAB cell array."""
    array = np.empty(shape, dtype=object)
    for place in np.ndindex(shape):
        array[place] = np.zeros((0, 1), np.int32) if fill is None else fill
    return array


def outlines(n: int, points: int = 1000) -> np.ndarray:
    """Circles of radius 10 around (300 + cell, 290), in the files' x and y."""
    angle = 2 * np.pi * np.arange(points) / points
    array = np.empty((1, n), dtype=object)
    for cell in range(n):
        array[0, cell] = np.stack([300 + cell + 10 * np.cos(angle), 290 + 10 * np.sin(angle)])
    return array


def put(folder: Path, part: str, name: str, **variables: np.ndarray) -> Path:
    path = folder / "onken2016" / "NeuralData" / part / f"{name}.mat"
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, variables)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    put(tmp_path, "ReceptiveFields", "Movie1Exp1", ReceptiveFields=outlines(CELLS))
    return tmp_path


# ---- what comes out --------------------------------------------------------------------------


def test_a_movie_is_cut_into_its_windows(folder: Path) -> None:
    trains = cells((CELLS, TRIALS))
    for window in range(60):  # every window has a spike, or it would count as not shown
        trains[0, 0] = np.append(trains[0, 0], 300 * window + 11).reshape(-1, 1).astype(np.int32)
    trains[37, 29] = np.array([[1], [300], [301], [310], [311], [18000]], np.int32)
    put(folder, "Spikes", "Movie1Exp1", Spikes=trains)
    movie = datasets.onken2016("movie1_retina1", form="original", folder=folder)
    assert movie.counts.shape == (60, CELLS, TRIALS, 30)
    assert movie.counts.dtype == np.uint8
    assert movie.counts.sum() == 66
    np.testing.assert_array_equal(movie.counts[:, 0, 0, 1], np.ones(60))
    expected = {(0, 0): 1, (0, 29): 1, (1, 0): 2, (1, 1): 1, (59, 29): 1}
    for (window, bin_), n in expected.items():
        assert movie.counts[window, 37, 29, bin_] == n
    mine = movie.spikes.where(cell=37, trial=29)
    assert mine["stimulus"].tolist() == [0, 0, 1, 1, 1, 59]
    assert mine["time_ms"].tolist() == [1, 300, 1, 10, 11, 300]
    assert movie.stimulus_index.tolist() == list(range(60))
    assert movie.window_start_ms_inferred is None
    assert movie.rates_Hz[37] == pytest.approx(6 / (60 * TRIALS * 0.3))
    with pytest.raises(ValueError, match="read-only"):
        movie.counts[0] = 0


def test_receptive_fields_are_in_pixels_of_what_was_shown(folder: Path) -> None:
    spikes = cells((CELLS, TRIALS), np.array([[5]], np.int32))
    put(folder, "Spikes", "Movie1Exp1", Spikes=spikes)
    block = np.empty((2, 1), dtype=object)
    block[:, 0] = [spikes] * 2
    put(folder, "Spikes", "NaturalImages1", Spikes=block)
    fields = {
        stimulus: datasets.onken2016(f"{stimulus}_retina1", folder=folder).receptive_fields
        for stimulus in ("movie1", "natural_images")
    }
    # (x, y) = (300 + cell, 290) and the origins of `toolkit.datasets.recordings`
    np.testing.assert_allclose(fields["movie1"].centre[2], [483 - 290, 302 - 224], atol=1e-9)
    np.testing.assert_allclose(fields["natural_images"].centre[2], [431 - 290, 302 - 276])
    np.testing.assert_allclose(fields["movie1"].half_width, 10, atol=1e-3)
    assert fields["movie1"].contour.shape == (CELLS, 100, 2)
    np.testing.assert_allclose(fields["movie1"].contour[0, 0], [193, 86])
    np.testing.assert_allclose(fields["movie1"].contour[0, 25], [183, 76])
    # The centre of a block of 4 x 4 pixels lies 1.5 pixels from its first one.
    small = fields["movie1"].averaged(4)
    np.testing.assert_allclose(small.centre[2], [(193 - 1.5) / 4, (78 - 1.5) / 4])


def test_stimuli_without_a_spike_count_as_not_shown(folder: Path) -> None:
    blocks = np.empty((12, 1), dtype=object)
    for image in range(12):
        blocks[image, 0] = cells((CELLS, TRIALS))
        if image not in (5, 8):
            blocks[image, 0][3, image] = np.array([[image + 1]], np.uint8)
    put(folder, "Spikes", "NaturalImages1", Spikes=blocks)
    images = datasets.onken2016("natural_images_retina1", folder=folder)
    assert images.counts.shape[0] == 10
    assert 5 not in images.stimulus_index
    assert images.stimulus_index[5] == 6
    assert images.spikes["stimulus"].tolist() == list(range(10))
    assert images.spikes["time_ms"][5] == 7


def test_shifted_images_keep_shift_and_image(folder: Path) -> None:
    put(folder, "ReceptiveFields", "Shifts1", ReceptiveFields=outlines(23))
    blocks = np.empty((9, 9), dtype=object)
    for place in np.ndindex(9, 9):
        blocks[place] = cells((23, 19))
    blocks[2, 7][22, 18] = np.array([[300]], np.uint16)
    put(folder, "Spikes", "Shifts1", Spikes=blocks)
    shifted = datasets.onken2016("shifted_images_1", folder=folder)
    assert shifted.counts.shape == (81, 23, 19, 30)
    (row,) = np.flatnonzero(shifted.counts.sum(axis=(1, 2, 3)))
    assert shifted.stimulus_index[row].tolist() == [2, 7]
    assert shifted.counts[row, 22, 18, 29] == 1
    np.testing.assert_allclose(shifted.receptive_fields.centre[1], [290, 301])


def test_raw_frames_are_stored_by_column(tmp_path: Path) -> None:
    stimuli = tmp_path / "retina" / "onken2016_raw" / "Stimuli" / "NaturalImages"
    stimuli.mkdir(parents=True)
    images = RNG.integers(0, 256, (60, 256, 256)).astype(np.uint8)
    for k, image in enumerate(images, start=1):
        image.T.tofile(stimuli / f"image{k:03}.raw")
    shown = datasets.onken2016_stimulus("natural_images", folder=tmp_path)
    np.testing.assert_array_equal(shown.frames, images)
    assert (shown.form, shown.rate_Hz, shown.averaged) == ("original", None, 1)
    (stimuli / "image007.raw").write_bytes(bytes(100))
    with pytest.raises(DataError, match=r"image007.raw is damaged: 100 bytes; 256 x 256"):
        datasets.onken2016_stimulus("natural_images", folder=tmp_path)
    (stimuli / "image060.raw").unlink()
    with pytest.raises(DataError, match=r"NaturalImages is damaged: it has 59 files \*.raw; 60"):
        datasets.onken2016_stimulus("natural_images", folder=tmp_path)


# ---- what is refused -------------------------------------------------------------------------


def one_spike(time: float | int | str, dtype: str | None = None) -> np.ndarray:
    trains = cells((CELLS, TRIALS))
    trains[3, 4] = np.array([[time]], dtype)
    return trains


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"Other": np.zeros(3)}, "it has no variable 'Spikes'"),
        ({"Spikes": np.zeros((CELLS, TRIALS))}, "its Spikes is not a cell array"),
        ({"Spikes": cells((CELLS, 29))}, r"shape \(38, 29\); 38 cells x 30 trials are expected"),
        ({"Spikes": one_spike(0)}, "stimulus 0, cell 3, trial 4 are not whole ms from 1 to 18,000"),
        ({"Spikes": one_spike(18_001)}, "cell 3, trial 4 are not whole ms"),
        ({"Spikes": one_spike(1.5)}, "cell 3, trial 4 are not whole ms"),
        ({"Spikes": one_spike(np.nan)}, "cell 3, trial 4 are not whole ms"),
        ({"Spikes": one_spike("late")}, "cell 3, trial 4 are no numbers"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_another_layout_of_spikes(folder: Path, variables: dict, words: str) -> None:
    put(folder, "Spikes", "Movie1Exp1", **variables)
    with pytest.raises(DataError, match=rf"Spikes/Movie1Exp1.mat is damaged: .*{words}"):
        datasets.onken2016("movie1_retina1", folder=folder)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (outlines(CELLS - 1), "37 receptive fields; 38 are expected"),
        (outlines(CELLS, points=7), "the outline of cell 0 is not 2 x 1000 numbers"),
        (np.zeros((2, 2)), "its ReceptiveFields is not a cell array"),
    ],
    ids=["cells", "points", "numbers"],
)
def test_another_layout_of_fields(folder: Path, fields: np.ndarray, words: str) -> None:
    put(folder, "Spikes", "Movie1Exp1", Spikes=one_spike(1))
    put(folder, "ReceptiveFields", "Movie1Exp1", ReceptiveFields=fields)
    with pytest.raises(DataError, match=rf"ReceptiveFields/Movie1Exp1.mat is damaged: {words}"):
        datasets.onken2016("movie1_retina1", folder=folder)


@pytest.mark.parametrize("content", [b"", b"MATLAB 7.3 MAT-file", b"PK\3\4"])
def test_no_matlab_file_of_version_5(folder: Path, content: bytes) -> None:
    put(folder, "Spikes", "Movie1Exp1", Spikes=one_spike(1)).write_bytes(content)
    with pytest.raises(DataError, match=r"not a MATLAB file of version 5 \(save it with -v7\)"):
        datasets.onken2016("movie1_retina1", folder=folder)


@pytest.fixture(scope="module")
def matlab() -> bytes:
    out = io.BytesIO()
    trains = cells((2, 2), np.arange(1, 40, dtype=np.int32)[:, None])
    scipy.io.savemat(out, {"Spikes": trains, "n_trials": 2}, do_compression=True)
    return out.getvalue()


@given(data=st.data())
@settings(max_examples=100)
def test_a_damaged_matlab_file_is_an_error_or_read(
    tmp_path_factory: pytest.TempPathFactory, matlab: bytes, data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(matlab) - 1))
    flipped = matlab[place] ^ data.draw(st.integers(1, 255))
    content = matlab[:place] + bytes([flipped]) + matlab[place + 1 :]
    if data.draw(st.booleans()):
        content = matlab[:place]
    path = tmp_path_factory.getbasetemp() / "damaged.mat"
    path.write_bytes(content)
    try:
        table, n = onken2016_mat.spikes_of(path, 2, 2, 300)
    except DataError as error:
        assert "damaged.mat is damaged: " in str(error)
    else:  # a byte of the header's text
        assert (n, len(table.rows)) == (1, 4 * 39)


# ---- the real files --------------------------------------------------------------------------


def real_folder() -> Path:
    folder = os.environ.get("STRIATE_DATA")
    if not folder or not (Path(folder) / "retina" / "movie1_retina1.npz").exists():
        pytest.skip("STRIATE_DATA names no folder with retina/movie1_retina1.npz")
    return Path(folder)


@pytest.mark.parametrize("name", ["natural_images_retina1", "movie1_retina1", "gratings_retina3"])
def test_both_forms_of_a_recording_agree(name: str) -> None:
    forms = {
        form: datasets.onken2016(name, form=form, folder=real_folder())
        for form in ("original", "prepared")
    }
    original, prepared = forms["original"], forms["prepared"]
    np.testing.assert_array_equal(original.counts, prepared.counts)
    np.testing.assert_array_equal(original.stimulus_index, prepared.stimulus_index)
    for part in ("centre", "half_width", "contour"):
        mine, theirs = (getattr(form.receptive_fields, part) for form in (original, prepared))
        np.testing.assert_allclose(mine, theirs, atol=1e-4)
    assert len(original.spikes.rows) == prepared.counts.sum()


@pytest.mark.parametrize("name", [n for n in RECORDINGS if "shifted" not in n])
def test_the_prepared_recordings(name: str) -> None:
    recording = datasets.onken2016(name, form="prepared", folder=real_folder())
    stimulus = datasets.onken2016_stimulus(recording.stimulus, folder=real_folder())
    about = RECORDINGS[name]
    assert recording.counts.shape == (about.n_stimuli, about.n_cells, 30, 30)
    assert 0.8 < np.nanmedian(recording.reliability) <= 1
    usable = {"movie1_retina1": 44, "movie1_retina2": 40, "movie2_retina1": 46,
              "movie2_retina2": 44}.get(name)  # fmt: skip
    rate = {"movie1_retina1": 1.3, "movie2_retina1": 1.7, "movie2_retina2": 2.9}.get(name)
    if rate:
        assert recording.rates_Hz.mean() == pytest.approx(rate, abs=0.05)
    if usable:
        assert recording.window_usable.sum() == usable
        assert stimulus.rate_Hz == 30
        # Cells look at the movie, in its own pixels.
        centre = recording.receptive_fields.averaged(stimulus.averaged).centre
        assert ((centre > 0) & (centre < 89)).all()
    else:
        assert recording.stimulus_index.max() < len(stimulus.frames)
        assert recording.window_usable is None


def test_a_prepared_recording_of_another_shape(tmp_path: Path) -> None:
    (tmp_path / "retina").mkdir()
    shutil.copy(
        real_folder() / "retina" / "movie1_retina2.npz",
        tmp_path / "retina" / "movie1_retina1.npz",
    )
    with pytest.raises(DataError, match=r"movie1_retina1.npz is damaged: its array 'counts' "):
        datasets.onken2016("movie1_retina1", folder=tmp_path)
