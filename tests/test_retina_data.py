"""Experiments of the retina: windows, steps, splits without leakage, ceilings, loading."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from retina_experiments import (
    chance,
    memorised,
    movie_counts,
    put_original,
    put_prepared,
    random_split,
    recorded_movie,
)

from toolkit.datasets import ReceptiveFields, RetinaRecording, RetinaStimulus
from toolkit.errors import DataError, InputError
from toolkit.retina.data import (
    EXPERIMENTS,
    Experiment,
    Steps,
    ceiling,
    folds,
    inferred_starts_ms,
    joined,
    load,
    rebinned,
    window_shifts,
)

MOVIES = [name for name in EXPERIMENTS if name.startswith("movie")]
MOVIE = recorded_movie()
DATA = os.environ.get("STRIATE_DATA")
recorded = pytest.mark.skipif(
    not DATA or not (Path(DATA) / "retina" / "movie1_retina1.npz").exists(),
    reason="the recordings are not in STRIATE_DATA",
)


# ---- windows and steps -----------------------------------------------------------------------


def test_runs_of_one_window_moved_are_found() -> None:
    assert np.flatnonzero(~MOVIE.usable).tolist() == list(range(15, 25))
    assert np.flatnonzero(window_shifts(MOVIE.counts)).tolist() == list(range(16, 25))
    different = MOVIE.counts.copy()
    moved = np.flatnonzero(different[20].reshape(-1))[0]
    different[20].reshape(-1)[moved] += 1  # one spike more, and it is not the same window
    assert np.count_nonzero(window_shifts(different)) < 9


def test_silence_is_not_a_run() -> None:
    assert not window_shifts(np.zeros((5, 3, 4, 30), np.uint8)).any()


def test_a_second_run_begins_where_it_begins() -> None:
    starts = inferred_starts_ms([0, 1, 2, 3, 4, 5], [0, 1, 0, 0, 3, 1], 100, 800)
    assert starts.tolist() == [100, 110, 900, 1700, 1730, 1740]


@pytest.mark.parametrize("bin_ms", [10, 20, 30, 50, 100])
def test_every_bin_of_a_window_has_the_frame_of_its_time(bin_ms: int) -> None:
    steps = Steps(MOVIE, bin_ms)
    shown = steps.in_windows(steps.shown)
    for row, k in enumerate(MOVIE.ordered):
        times = MOVIE.start_ms[k] + bin_ms * np.arange(300 // bin_ms)
        np.testing.assert_array_equal(shown[row], np.floor(times * 30 / 1000 + 1e-9))
        assert abs(steps.first[k] * bin_ms - MOVIE.start_ms[k]) <= bin_ms / 2
    change = np.diff(steps.time_ms[0])
    assert change.min() > 0
    assert change.max() < 2 * bin_ms
    before = steps.first[MOVIE.ordered[3]] - 1  # the clock of a window is that of what led to it
    assert steps.time_ms[0, before] == MOVIE.start_ms[MOVIE.ordered[3]] - bin_ms


@pytest.mark.parametrize("bin_ms", [10, 30, 60])
def test_spikes_are_where_they_were_and_none_is_lost(bin_ms: int) -> None:
    steps = Steps(MOVIE, bin_ms)
    assert steps.counts.sum(dtype=int) == MOVIE.counts[MOVIE.usable].sum(dtype=int)
    assert not steps.counts[~steps.mask()].any()
    kept = steps.in_windows(steps.counts)
    for row, k in enumerate(MOVIE.ordered):
        wide = MOVIE.counts[k].reshape(6, 10, -1, bin_ms // 10).sum(axis=-1)
        np.testing.assert_array_equal(kept[row], np.moveaxis(wide, -1, 0))
    np.testing.assert_allclose(steps.psth(), kept.mean(axis=-1))
    assert (steps.window[0, steps.first[30] + np.arange(steps.n_bins)] == 30).all()


def test_wider_bins_do_not_overflow() -> None:
    wide = rebinned(np.full((1, 30), 200, np.uint8), 30)
    assert wide.tolist() == [[6000]]
    assert rebinned(np.ones((2, 6), np.uint8), 2).dtype == np.uint8


def test_frames_come_as_contrast() -> None:
    steps = Steps(MOVIE, 30)
    part = steps.stimulus(0, 100, 110)
    assert part.dtype == np.float32
    assert part.shape == (10, 8, 8)
    grey = MOVIE.frames[steps.shown[0, 100:110]]
    np.testing.assert_allclose(part, grey / 127.5 - 1, atol=1e-6)
    assert (steps.contrast.min(), steps.contrast.max()) == (-1, 1)


def test_adjacent_windows_stay_adjacent() -> None:
    counts = np.random.default_rng(1).integers(0, 2, (4, 2, 3, 30))
    tiled = Experiment(
        "tiled", np.zeros((40, 2, 2)), 30.0, [np.arange(40)], counts, 10,
        np.zeros(4), 300.0 * np.arange(4), np.full(4, True),
    )  # fmt: skip
    steps = Steps(tiled, 30)
    assert steps.first.tolist() == [0, 10, 20, 30]
    np.testing.assert_array_equal(steps.shown[0], np.arange(40))


@pytest.mark.parametrize("call", [
    lambda: Steps(MOVIE, 40),
    lambda: Steps(MOVIE, 33.3),
    lambda: Steps(MOVIE, 0),
    lambda: Steps(MOVIE, 600),
    lambda: Steps(MOVIE, float("nan")),
    lambda: Steps(MOVIE).mask([16]),
    lambda: Steps(MOVIE).mask([40]),
    lambda: Steps(MOVIE).mask([-1]),
    lambda: Steps(MOVIE).mask([True]),
    lambda: Steps(MOVIE).in_windows(np.zeros((1, 3))),
    lambda: Steps(MOVIE).stimulus(1),
    lambda: rebinned(MOVIE.counts, 4),
    lambda: MOVIE.only([6]),
    lambda: MOVIE.only([]),
    lambda: MOVIE.only([0.5]),
])  # fmt: skip
def test_what_cannot_be_asked_for(call: Callable[[], object]) -> None:
    with pytest.raises(InputError):
        call()


# ---- splits ----------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 5, 10])
@pytest.mark.parametrize("validation", [0.0, 0.1, 0.25])
def test_folds_are_contiguous_blocks_of_usable_windows(n: int, validation: float) -> None:
    splits = folds(MOVIE, n, validation=validation)
    np.testing.assert_array_equal(np.concatenate([s.test for s in splits]), MOVIE.ordered)
    place = np.full(40, -1)
    place[MOVIE.ordered] = np.arange(30)
    for split in splits:
        parts = np.concatenate([split.train, split.validation, split.test])
        assert sorted(parts) == sorted(MOVIE.ordered)  # these windows are far enough apart
        assert len(split.validation) == round(30 * validation)
        assert (np.diff(place[split.test]) == 1).all()
        around = np.sort((place[split.validation] - place[split.test[-1]]) % 30)
        np.testing.assert_array_equal(around, 1 + np.arange(len(around)))


def test_windows_near_a_test_block_are_left_out() -> None:
    counts = np.random.default_rng(1).integers(0, 2, (20, 2, 3, 30))
    tiled = Experiment(
        "tiled", np.zeros((20, 2, 2)), 300.0, [np.arange(20)], counts, 10,
        np.zeros(20), 300.0 * np.arange(20), np.full(20, True),
    )  # fmt: skip
    split = folds(tiled, 5, gap_ms=300)[1]
    assert split.test.tolist() == [4, 5, 6, 7]
    assert split.validation.tolist() == [9, 10]
    assert split.train.tolist() == [0, 1, 2, *range(12, 20)]
    apart = folds(replace(tiled, shown=np.zeros((20, 1)), sequence=np.arange(20),
                          start_ms=np.zeros(20)), 5)[1]  # fmt: skip
    assert len(apart.train) == 14  # flashed one by one: nothing is near


@pytest.mark.parametrize("options", [
    {"n": 1}, {"n": 31}, {"validation": 1.0}, {"validation": -0.1}, {"gap_ms": -1.0},
    {"gap_ms": 1e6}, {"validation": 0.9}, {"gap_ms": float("nan")},
])  # fmt: skip
def test_impossible_folds_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(InputError):
        folds(MOVIE, **options)  # type: ignore[arg-type]


def assert_no_leakage(e: Experiment) -> None:
    for split in folds(e, 5):
        train = np.concatenate([split.train, split.validation])
        scored = memorised(e.counts, e.start_ms, train, split.test)
        by_chance = chance(e.counts, e.start_ms, train, split.test)
        assert scored < by_chance.mean() + 4 * by_chance.std()


def assert_naive_split_leaks(e: Experiment) -> None:
    scored, by_chance, moved = [], [], []
    for seed in range(5):  # few of a short run may be drawn
        train, test = random_split(len(e.counts), seed)
        scored.append(memorised(e.counts, e.start_ms, train, test))
        by_chance.extend(chance(e.counts, e.start_ms, train, test, n=5))
        test = test[~e.usable[test]]
        if len(test):
            moved.append(memorised(e.counts, e.start_ms, train, test))
    assert np.mean(scored) > np.mean(by_chance) + 4 * np.std(by_chance) / np.sqrt(5)
    assert np.mean(moved) > 0.7


def test_memorised_spikes_do_not_help() -> None:
    assert_no_leakage(MOVIE)


def test_memorised_spikes_do_help_with_a_naive_split() -> None:
    assert_naive_split_leaks(MOVIE)


@recorded
@pytest.mark.parametrize("name", MOVIES)
def test_memorised_spikes_of_recordings(name: str) -> None:
    e = load(name)
    assert_no_leakage(e)
    assert_naive_split_leaks(e)


# ---- ceiling ---------------------------------------------------------------------------------


def test_ceiling_is_that_of_a_perfect_model() -> None:
    rng = np.random.default_rng(1)
    rate = rng.gamma(2.0, [0.02, 0.1, 0.3], (20_000, 3))
    counts = rng.poisson(rate[..., None], (20_000, 3, 30))
    found, mean = ceiling(counts), counts.mean(axis=-1)
    true = [np.corrcoef(rate[:, c], mean[:, c])[0, 1] for c in range(3)]
    np.testing.assert_allclose(found.largest_cc, true, atol=0.01)
    np.testing.assert_allclose(found.reliability, np.square(true), atol=0.02)
    another = rng.poisson(rate[..., None], (20_000, 3, 30)).mean(axis=-1)
    again = [np.corrcoef(another[:, c], mean[:, c])[0, 1] for c in range(3)]
    np.testing.assert_allclose(found.reliability, again, atol=0.02)


def test_silent_and_noisy_cells_have_no_ceiling() -> None:
    counts = np.zeros((30, 3, 4))
    counts[3, 1, 0] = 1  # a single spike
    counts[7, 2] = 1  # all trials alike
    found = ceiling(counts)
    assert found.silent.tolist() == [0]
    np.testing.assert_array_equal(np.isnan(found.largest_cc), [True, True, False])
    assert found.largest_cc[2] == found.reliability[2] == 1
    assert np.isnan(found.reliability[0])
    for trial in range(30):  # two spikes in one trial: no rounding makes a signal of them
        counts = np.zeros((90, 1, 30))
        counts[[3, 50 + trial], 0, trial] = 1
        assert np.isnan(ceiling(counts).largest_cc[0])


@pytest.mark.parametrize("counts", [
    np.zeros((4, 3)), np.zeros((1, 3, 4)), np.zeros((5, 3, 1)), -np.ones((5, 3, 4)),
    np.full((5, 3, 4), np.nan),
])  # fmt: skip
def test_ceilings_of_nothing_are_refused(counts: np.ndarray) -> None:
    with pytest.raises(InputError):
        ceiling(counts)


# ---- loading ---------------------------------------------------------------------------------


def test_both_forms_give_the_same_experiment(tmp_path: Path) -> None:
    put_prepared(tmp_path)
    put_original(tmp_path)
    forms = [load("movie1_retina1", form=f, folder=tmp_path) for f in ("prepared", "original")]
    prepared, original = forms
    assert_same(prepared, original)
    assert prepared.usable.sum() == 50
    assert prepared.silent.tolist() == list(range(5, 38))
    assert any("inferred" in note for note in prepared.notes)
    np.testing.assert_allclose(prepared.fields.centre, (180 - 1.5) / 4, rtol=1e-6)
    assert prepared.only(np.arange(5)).silent.size == 0


def assert_same(a: Experiment, b: Experiment) -> None:
    for name in ("frames", "shown", "counts", "sequence", "start_ms", "usable"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    assert (a.frame_ms, a.bin_ms, a.notes) == (b.frame_ms, b.bin_ms, b.notes)
    assert (a.fields is None) == (b.fields is None)
    if a.fields is not None and b.fields is not None:
        for name in ("centre", "half_width", "contour"):
            np.testing.assert_allclose(
                getattr(a.fields, name), getattr(b.fields, name), atol=1e-4, err_msg=name
            )


def test_runs_are_found_even_if_the_file_calls_them_usable(tmp_path: Path) -> None:
    put_prepared(tmp_path, window_usable=np.full(60, True))
    assert load("movie1_retina1", folder=tmp_path).usable.sum() == 50


def test_flashed_pictures_become_sequences() -> None:
    pictures = np.random.default_rng(1).integers(0, 256, (60, 256, 256)).astype(np.uint8)
    fields = ReceptiveFields(*(np.full(shape, 100.0) for shape in ((38, 2), (38, 2), (38, 9, 2))))
    recording = RetinaRecording(
        "natural_images_retina1", "natural_images", np.ones((3, 38, 30, 30), np.uint8),
        np.array([0, 7, 59], np.int16), fields, "prepared", "test", (),
    )  # fmt: skip
    stimulus = RetinaStimulus("natural_images", pictures, None, 1, "prepared", "test", ())
    e = joined(recording, stimulus)
    assert e.frames.shape == (61, 90, 90)
    steps = Steps(e, 30)
    assert steps.shown[1].tolist() == 20 * [0] + 10 * [8]
    assert np.flatnonzero(steps.mask()[1]).tolist() == list(range(20, 30))
    assert (e.frames[0] == 127).all()
    assert (e.frames[5, :13] == 127).all()
    exact = pictures[4, 8:12, 40:44].mean()
    assert e.frames[5, 13 + 2, 13 + 10] == int(exact + 0.5)
    assert e.fields is not None
    np.testing.assert_allclose(e.fields.centre, (100 - 1.5) / 4 + 13)
    assert fields.centre[0, 0] == 100


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"STRIATE_DATA.*retina/movie1_retina1\.npz"):
        load("movie1_retina1", folder=tmp_path / "none")
    put_prepared(tmp_path)
    (tmp_path / "retina" / "stim_movie1_90x90.npz").unlink()
    with pytest.raises(DataError, match=r"retina/stim_movie1_90x90\.npz"):
        load("movie1_retina1", folder=tmp_path)
    with pytest.raises(DataError, match=r"Spikes/Movie1Exp1\.mat"):
        load("movie1_retina1", form="original", folder=tmp_path)
    with pytest.raises(InputError, match="Did you mean 'movie1_retina"):
        load("movie1_retina", folder=tmp_path)


@pytest.mark.parametrize(("change", "says"), [
    ({"rf_center_rowcol": np.full((38, 2), 400, np.float32)}, "averaged(n)"),
    ({"counts": np.zeros((60, 38, 30, 30), np.uint8)}, "no cell of movie1_retina1 has a spike"),
    ({"window_start_ms_inferred": 1500 * np.arange(60, dtype=np.float32)}, "frame rate"),
    ({"window_start_ms_inferred": 200 * np.arange(60, dtype=np.float32)}, "overlap"),
    ({"window_usable": np.full(60, False)}, "no usable window"),
    ({"counts": np.zeros((60, 38, 30, 29), np.uint8)}, "60 x 38 x 30 x 30 is needed"),
])  # fmt: skip
def test_data_that_cannot_be_right(tmp_path: Path, change: dict, says: str) -> None:
    put_prepared(tmp_path, **change)
    with pytest.raises(DataError, match=re.escape(says)):
        load("movie1_retina1", folder=tmp_path)


@pytest.mark.parametrize(("change", "says"), [
    ({"name": "movie2"}, "recorded with movie1, not with movie2"),
    ({"frames": np.zeros((1800, 45, 45), np.uint8)}, "1800 of 45 x 45 pixels"),
    ({"frames": np.zeros((1600, 90, 90), np.uint8)}, "1800 of 90 pixels a side fit"),
    ({"averaged": 1}, "1800 of 360 pixels a side fit"),
    ({"averaged": 8, "frames": np.zeros((1800, 45, 45), np.uint8)}, "1, 2 or 4"),
    ({"rate_Hz": 60.0}, "30.0 frames a second, not 60.0"),
])  # fmt: skip
def test_frames_must_be_those_of_the_recording(change: dict, says: str) -> None:
    fields = ReceptiveFields(*(np.full(shape, 100.0) for shape in ((38, 2), (38, 2), (38, 9, 2))))
    counts, _ = movie_counts()
    recording = RetinaRecording(
        "movie1_retina1", "movie1", counts, np.arange(60, dtype=np.int16), fields, "prepared",
        "test", (),
    )  # fmt: skip
    frames = np.zeros((1800, 90, 90), np.uint8)
    stimulus = RetinaStimulus("movie1", frames, 30.0, 4, "prepared", "test", ())
    assert joined(recording, stimulus).usable.sum() == 50
    with pytest.raises((DataError, InputError), match=re.escape(says)):
        joined(recording, replace(stimulus, **change))


@pytest.mark.parametrize("change", [
    {"counts": np.full((40, 6, 10, 30), 0.5)},
    {"counts": np.full((40, 6, 10, 30), -1)},
    {"counts": np.zeros((39, 6, 10, 30))},
    {"counts": np.zeros((40, 6, 0, 30))},
    {"frames": np.full((5, 8, 8), 0)},
    {"frames": np.full((2000, 8, 8), np.nan)},
    {"sequence": np.ones(40)},
    {"bin_ms": 0.0},
    {"frame_ms": float("nan")},
    {"start_ms": np.zeros((2, 20))},
    {"fields": ReceptiveFields(np.ones((5, 2)), np.ones((5, 2)), np.ones((5, 9, 2)))},
])  # fmt: skip
def test_arrays_that_do_not_fit(change: dict) -> None:
    with pytest.raises(InputError):
        replace(MOVIE, **change)


def test_arrays_are_read_only() -> None:
    with pytest.raises(ValueError, match="read-only"):
        MOVIE.counts[0] = 1
    own = np.ones((40, 6, 10, 30), np.uint8)
    replace(MOVIE, counts=own)
    own[0] = 2  # the caller's array stays the caller's


# ---- the recordings --------------------------------------------------------------------------


@recorded
@pytest.mark.parametrize(("name", "usable", "rate_Hz", "odd_even"), [
    ("movie1_retina1", 44, 1.3, 0.91), ("movie1_retina2", 40, 2.6, 0.96),
    ("movie2_retina1", 46, 1.7, 0.93), ("movie2_retina2", 44, 2.9, 0.95),
])  # fmt: skip
def test_recorded_movies(name: str, usable: int, rate_Hz: float, odd_even: float) -> None:
    e = load(name)
    assert e.usable.sum() == usable
    assert e.counts.mean() * 100 == pytest.approx(rate_Hz, abs=0.06)
    steps = Steps(e, 30)
    found = ceiling(steps.in_windows(steps.counts).reshape(-1, e.n_cells, 30))
    raw = found.reliability / (2 - found.reliability)  # without Spearman and Brown's correction
    assert np.nanmean(raw) == pytest.approx(odd_even, abs=0.012)


@recorded
@pytest.mark.parametrize("name", [
    "movie1_retina1", "movie2_retina1", "natural_images_retina1", "gratings_retina3"
])  # fmt: skip
def test_recorded_forms_agree(name: str) -> None:
    try:
        original = load(name, form="original")
    except DataError as error:
        pytest.skip(f"no originals: {error}")
    assert_same(load(name, form="prepared"), original)


@recorded
@pytest.mark.parametrize(("name", "expected"), [
    ("natural_images_retina1", -0.60), ("natural_images_retina2", -0.52)
])  # fmt: skip
def test_recorded_fields_lie_where_cells_see(name: str, expected: float) -> None:
    """Cells are OFF: they fire less to pictures that are bright where their fields are."""
    e = load(name)
    assert e.fields is not None
    row, column = np.rint(e.fields.centre).astype(int).T
    shown = Steps(e, 100).in_windows(Steps(e, 100).shown)[:, 0]
    bright = np.stack([
        e.frames[shown, r - 1 : r + 2, c - 1 : c + 2].mean(axis=(1, 2))
        for r, c in zip(row, column, strict=True)
    ], axis=1)  # fmt: skip
    n = e.counts.sum(axis=(2, 3))
    found = np.mean([np.corrcoef(bright[:, c], n[:, c])[0, 1] for c in range(e.n_cells)])
    assert found == pytest.approx(expected, abs=0.08)
