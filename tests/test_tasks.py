"""Visual tasks: what is shown, what is right, and the rates that come of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from circuits import v1
from toolkit import stimuli, tasks
from toolkit.errors import DataError, InputError
from toolkit.lgn import LGN, Channels, Subfields, temporal_kernel
from toolkit.tasks import pictures
from toolkit.tasks.pictures import SPLITS

SUSTAINED = temporal_kernel([3.7, -1.75], [12.9, 28.3], [0, 25])
TRANSIENT = temporal_kernel([4.4, -4.1], [6.0, 10.0], [0, 8])
SMALL = tasks.Canvas(size_deg=(24, 18), deg_per_px=1.0)
FEW = {"train": 40, "validation": 10, "test": 12}

MAKE: dict[str, Callable[..., Any]] = {
    "orientation": tasks.fine_orientation,
    "digits": lambda **options: tasks.image_classification("digits", **options),
    "change": lambda **options: tasks.visual_change("photographs", **options),
}
every_task = pytest.mark.parametrize("name", MAKE)


def small_lgn(n: int = 24, gain: float = 1.0, composite: bool = True) -> LGN:
    """Channels of two kernels out of order, ON and OFF, some with a second subfield."""
    rng = np.random.default_rng(5)
    second = None
    if composite:
        second = Subfields(channel=[3, 10, 4], x_deg=[1, 2, 3], y_deg=0.0, sigma_deg=1.5,
                           amplitude=gain, kernel=[1, 0, 1])  # fmt: skip
    return LGN(
        Channels(
            x_deg=rng.uniform(-9, 9, n), y_deg=rng.uniform(-7, 7, n), sigma_deg=1.5,
            amplitude=gain * rng.choice([-1.0, 1.0, 1.7], n), spontaneous_Hz=rng.uniform(0, 6, n),
            kernel=rng.integers(2, size=n), kernels=[SUSTAINED, TRANSIENT], second=second,
        )
    )  # fmt: skip


def rates_of(source: Any, what: np.ndarray) -> np.ndarray:
    return source.rates(what).numpy()


# ---- timing ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dt_ms", [1.0, 5.0])
def test_default_trials_are_those_of_the_source(dt_ms: float) -> None:
    time_ms = np.arange(0, 600, dt_ms)
    for timing, onsets, answer in ((tasks.SINGLE, [50], 150), (tasks.PAIR, [50, 350], 500)):
        on = [(time_ms >= onset) & (time_ms < onset + 100) for onset in onsets]
        np.testing.assert_array_equal(timing.shown(dt_ms), on)
        window = (time_ms >= answer) & (time_ms < answer + 50)
        np.testing.assert_array_equal(timing.response(dt_ms), window)


def test_shorter_pauses_move_up_what_comes_after_them() -> None:
    three = tasks.Timing(onsets_ms=(50, 200, 400), response_ms=(500, 550))
    shorter = three.with_pauses(0.5)
    assert shorter.onsets_ms == (50, 175, 325) and shorter.response_ms == (425, 475)
    assert three.with_pauses(1) == three and tasks.SINGLE.with_pauses(0) == tasks.SINGLE
    data = tasks.Batches([tasks.fine_orientation(), tasks.visual_change("photographs")])
    lesson = data.with_pauses(0.13)  # 26 ms, 5 steps of 5 ms
    assert lesson.tasks[1].timing.onsets_ms == (50, 175) and lesson.tasks[0] is data.tasks[0]
    assert data.with_pauses(1) is data
    single = tasks.Batches(tasks.fine_orientation())
    assert single.with_pauses(0) is single
    a, b = (next(each.epoch("train", 8, seed=1)) for each in (data, lesson))
    assert torch.equal(a.targets, b.targets)
    # The same second picture, earlier.
    torch.testing.assert_close(a.inputs[4:, 70:90], b.inputs[4:, 35:55], rtol=0.1, atol=0.5)
    with pytest.raises(InputError, match="0 to 1, got 2"):
        tasks.PAIR.with_pauses(2)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (dict(onsets_ms=()), "at least one onset"),
        (dict(onsets_ms=(-5,)), "0 ms or later"),
        (dict(onsets_ms=(np.nan,)), "finite"),
        (dict(onsets_ms=(50, 100)), "one after the other"),
        (dict(onsets_ms=(550,)), "within the trial"),
        (dict(onsets_ms=(50,), stimulus_ms=0), "above 0 ms"),
        (dict(onsets_ms=(50,), response_ms=(200, 150)), "response window"),
        (dict(onsets_ms=(50,), response_ms=(150, 700)), "response window"),
    ],
)
def test_bad_timings(fields: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        tasks.Timing(**fields)


# ---- what is shown ---------------------------------------------------------------------------


@pytest.mark.parametrize("drift_Hz", [0.0, 2.0, 8.0])
def test_the_movie_of_an_orientation_is_the_grating(drift_Hz: float) -> None:
    task = tasks.fine_orientation(
        contrast=0.7, temporal_frequency_Hz=drift_Hz, canvas=SMALL, n_items=FEW
    )
    which, phase = what = task.draw("test").what[1]
    grating = stimuli.drifting_grating(
        orientation_deg=float(task.orientations_deg[int(which)]), phase_deg=np.rad2deg(phase),
        duration_ms=100, spatial_frequency_cpd=0.05, temporal_frequency_Hz=drift_Hz, contrast=0.7,
        size_deg=SMALL.size_deg, dt_ms=5.0,
    )  # fmt: skip
    frames = tasks.movie(task, what, 5.0).frames
    np.testing.assert_allclose(frames[10:30], grating.frames, atol=2e-6)
    assert not frames[:10].any()
    assert not frames[30:].any()


def test_pictures_are_upright_in_grey_and_as_large_as_fits() -> None:
    task = MAKE["digits"](contrast=0.5, canvas=SMALL)
    row = int(task.draw("test").what[0, 0])
    shown = tasks.movie(task, np.array([row]), 5.0).frames[15]
    assert shown.shape == (18, 24)
    np.testing.assert_array_equal(shown[:, :3], -0.5)  # 18 x 18 of the picture: black beside it
    np.testing.assert_array_equal(shown[:, -3:], -0.5)
    picture = task.images.grey[row] / 255 - 0.5
    blocks = shown[::-1, 3:21].reshape(18, 18)
    coarse = blocks[[1, 3, 5, 7, 10, 12, 14, 16]][:, [1, 3, 5, 7, 10, 12, 14, 16]]
    assert np.corrcoef(coarse.ravel(), picture.ravel())[0, 1] > 0.97
    assert -0.5 <= shown.min() < shown.max() <= 0.5


def test_white_stays_white_at_any_size() -> None:
    for shape in ((7, 7), (20, 26), (60, 60)):
        whole = tasks.Canvas().footprints((9, 9), shape).sum(axis=0)
        np.testing.assert_allclose(whole, 1, atol=1e-6)


def test_a_pair_shows_one_picture_after_the_other() -> None:
    task = MAKE["change"](contrast=1.0, canvas=SMALL, n_items=FEW)
    items = task.draw("test")
    for target in (0, 1):
        frames = tasks.movie(task, items.what[items.targets == target][0], 5.0).frames
        assert (frames[20] == frames[80]).all() == (target == 0)
        assert not frames[30:70].any()


# ---- splits, balance, order ------------------------------------------------------------------


@every_task
def test_nothing_is_in_two_splits(name: str) -> None:
    task = MAKE[name](n_items=None if name == "digits" else dict.fromkeys(SPLITS, 2000))
    column = slice(1, 2) if name == "orientation" else slice(None)  # phases; numbers of pictures
    seen = [set(task.draw(split).what[:, column].ravel().tolist()) for split in SPLITS]
    assert all(seen)
    assert not (seen[0] & seen[1] or seen[0] & seen[2] or seen[1] & seen[2])


@every_task
def test_classes_are_balanced(name: str) -> None:
    task = MAKE[name](n_items=None if name == "digits" else dict.fromkeys(SPLITS, 1000))
    for split in SPLITS:
        counts = np.bincount(task.draw(split).targets, minlength=task.n_classes)
        if task.n_classes == 2:
            assert counts.tolist() == [500, 500]
        else:
            assert counts.min() > 0.9 * counts.mean()


def test_the_answers_are_right() -> None:
    task = tasks.fine_orientation(n_items={"train": 40_000})
    items = task.draw("train")
    shown = task.orientations_deg[items.what[:, 0].astype(int)]
    np.testing.assert_array_equal(items.targets, shown > 45 + 1e-9)
    counts = np.bincount(items.what[:, 0].astype(int), minlength=41)
    # Half of the items in 19.5 steps above 45 degrees, half in 20.5 steps below or equal.
    expected = np.r_[0.5, np.ones(20), np.ones(19), 0.5]
    expected *= np.where(np.arange(41) > 20, 20_000 / 19.5, 20_000 / 20.5)
    assert (np.abs(counts - expected) < 5 * np.sqrt(expected)).all()

    digits = MAKE["digits"]()
    items = digits.draw("train", epoch=3)
    np.testing.assert_array_equal(items.targets, digits.images.labels[items.what[:, 0].astype(int)])
    assert sorted(items.what[:, 0].tolist()) == digits.images.rows["train"].tolist()

    change = MAKE["change"](n_items={"train": 3000})
    items = change.draw("train")
    np.testing.assert_array_equal(items.targets, items.what[:, 0] != items.what[:, 1])
    assert len(np.unique(items.what)) == len(change.images.rows["train"])  # all are shown


@every_task
def test_training_items_follow_seed_and_epoch_and_others_do_not(name: str) -> None:
    task = MAKE[name](n_items=FEW)

    def what(split: str, **options: int) -> list:
        return task.draw(split, **options).what.tolist()

    assert what("train", seed=1, epoch=2) == what("train", seed=1, epoch=2)
    assert what("train", seed=1, epoch=2) != what("train", seed=1, epoch=3)
    assert what("train", seed=1, epoch=2) != what("train", seed=2, epoch=2)
    for split in ("validation", "test"):
        assert what(split, seed=1, epoch=2) == what(split, seed=5)
    other = MAKE[name](n_items=FEW, seed=1)
    assert other.draw("test").what.tolist() != what("test")


# ---- rates -----------------------------------------------------------------------------------


@every_task
@pytest.mark.parametrize("dt_ms", [1.0, 5.0])
@pytest.mark.parametrize("composite", [False, True])
def test_rates_of_the_lgn_equal_those_of_the_whole_movie(
    name: str, dt_ms: float, composite: bool
) -> None:
    task = MAKE[name](contrast=1.0, canvas=SMALL, n_items=FEW)
    lgn = small_lgn(composite=composite)
    what = task.draw("test").what[:5]
    fast = rates_of(tasks.LGNInput(task, lgn, dt_ms, "cpu"), what)
    whole = rates_of(tasks.MovieInput(task, lgn.respond, dt_ms), what)
    assert fast.shape == (600 / dt_ms, 5, 24)
    assert 0.01 < (whole == 0).mean() < 0.6  # some are silenced
    assert whole.max() > 15
    np.testing.assert_allclose(fast, whole, atol=1e-4)


def test_contrast_is_a_gain_in_front_of_the_rectification() -> None:
    twice = MAKE["digits"](contrast=2.0, canvas=SMALL)
    what = twice.draw("test").what[:3]
    once = MAKE["digits"](contrast=1.0, canvas=SMALL)
    np.testing.assert_allclose(
        rates_of(tasks.LGNInput(twice, small_lgn(gain=1.0), 5.0, "cpu"), what),
        rates_of(tasks.LGNInput(once, small_lgn(gain=2.0), 5.0, "cpu"), what),
        atol=1e-4,
    )
    with pytest.raises(InputError, match="contrast must be within -1 to 1"):
        tasks.movie(twice, what[0])


@every_task
def test_the_lgn_of_a_column_drives_a_task(name: str) -> None:
    lgn = v1.lgn(v1.column(300, seed=1, lgn_layout="image"))
    data = tasks.Batches(MAKE[name](contrast=1.0, n_items=FEW), lgn)
    assert data.n_channels == 832
    task = data.tasks[0]
    batch, what = next(data.epoch("test", 2)), task.draw("test").what
    for rates, row in zip(batch.inputs, what, strict=False):
        whole = lgn.respond(tasks.movie(task, row)).rates_Hz
        np.testing.assert_allclose(rates, whole, atol=1e-4)


def test_recordings_of_anything_that_sees_are_inputs() -> None:
    def mean_brightness(movie: stimuli.Movie) -> np.ndarray:
        return 10 + 10 * movie.frames.mean(axis=(1, 2))[:, None]

    task = MAKE["digits"](contrast=1.0, n_items=FEW)
    batch = next(tasks.Batches(task, mean_brightness).epoch("test", 3))
    assert batch.inputs.shape == (3, 120, 1)
    assert batch.inputs[:, :10].unique().tolist() == [10.0]
    assert (batch.inputs[:, 10:30] < 10).all()  # mostly black


@every_task
@pytest.mark.parametrize("shape", [(26, 32), (5, 4)])
def test_pixels_are_luminances_z_scored_in_every_trial(name: str, shape: tuple[int, int]) -> None:
    task = MAKE[name](n_items=FEW)
    what = task.draw("test").what[:4]
    rates = rates_of(tasks.PixelInput(task, 5.0, shape, "cpu"), what)
    np.testing.assert_allclose(rates.mean(axis=(0, 2)), task.pixel_mean_Hz, rtol=1e-4)
    np.testing.assert_allclose(rates.std(axis=(0, 2)), task.pixel_sd_Hz, rtol=1e-3)
    assert rates.min() > 0
    parts = np.tensordot(task.coefficients(what), task.pictures(shape), 1).reshape(
        4, -1, rates[0, 0].size
    )
    on = task.timing.shown(5.0).any(axis=0)
    contrast = np.einsum("kt,ikc->tic", task.courses(5.0), parts)
    luminance = np.where(on[:, None, None], (contrast + 1) / 2, 0)
    for i in range(4):
        trial = luminance[:, i]
        z = (trial - trial.mean()) / trial.std()
        np.testing.assert_allclose(
            rates[:, i], z * task.pixel_sd_Hz + task.pixel_mean_Hz, rtol=2e-3, atol=2e-3
        )


def test_rates_of_pixels_do_not_fall_below_zero() -> None:
    long = tasks.Timing(onsets_ms=(10,), stimulus_ms=580, response_ms=(500, 550))
    task = tasks.fine_orientation(timing=long, n_items=FEW)
    rates = rates_of(tasks.PixelInput(task, 5.0, (26, 32), "cpu"), task.draw("test").what[:3])
    assert rates.min() == 0


# ---- batches ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def mixed() -> tasks.Batches:
    every = [make(n_items=FEW, canvas=SMALL) for make in MAKE.values()]
    return tasks.Batches(every, small_lgn())


def test_a_mixed_batch_is_made_of_the_tasks(mixed: tasks.Batches) -> None:
    first, second = list(mixed.epoch("train", 64, seed=3, epoch=1))[:2]
    assert mixed.n_items("train") == 120
    assert (len(first), len(second)) == (64, 56)
    assert first.inputs.shape == (64, 120, 24)
    assert first.inputs[:, 7].is_contiguous()
    counts = [torch.bincount(batch.task).tolist() for batch in (first, second)]
    assert counts == [[22, 21, 21], [18, 19, 19]]
    for number, task in enumerate(mixed.tasks):
        items = task.draw("train", seed=3, epoch=1)
        targets = torch.cat([b.targets[b.task == number] for b in (first, second)])
        np.testing.assert_array_equal(targets, items.targets)
        rates = rates_of(tasks.LGNInput(task, small_lgn(), 5.0, "cpu"), items.what[:4])
        np.testing.assert_allclose(
            first.inputs[first.task == number][:4], rates.swapaxes(0, 1), atol=1e-4
        )
        window = task.timing.response(5.0)
        assert (first.response[first.task == number].numpy() == window).all()


def test_a_run_can_go_on_and_can_be_shared(mixed: tasks.Batches) -> None:
    whole = list(mixed.epoch("train", 32, seed=3))
    rest = list(mixed.epoch("train", 32, seed=3, first=2))
    assert len(whole) == 4
    assert len(rest) == 2
    for batch, again in zip(whole[2:], rest, strict=True):
        for name, value in vars(batch).items():
            assert torch.equal(value, getattr(again, name))
    shares = [list(mixed.epoch("train", 32, seed=3, share=(k, 2))) for k in (0, 1)]
    for batch, *parts in zip(whole, *shares, strict=True):
        for number in range(3):
            one = batch.targets[batch.task == number]
            both = torch.cat([part.targets[part.task == number] for part in parts])
            assert torch.equal(one, both)
    lonely = [list(mixed.epoch("train", 7, share=(k, 3))) for k in range(3)]  # 120 = 17 x 7 + 1
    assert [len(batches) for batches in lonely] == [17, 17, 17]


def test_evidence_is_read_from_the_pools_of_the_task(mixed: tasks.Batches) -> None:
    assert mixed.pools == (slice(0, 1), slice(1, 11), slice(11, 12))
    assert mixed.n_pools == 12
    rates = torch.zeros(4, 12)
    rates[0, 0], rates[1, 0], rates[2, 4], rates[3, 11] = 10.5, 9.5, 2.0, 40.0
    rates[2, [0, 11]] = 100.0  # pools of other tasks
    task = torch.tensor([0, 0, 1, 2])
    rates.requires_grad_()
    evidence = mixed.evidence_Hz(rates, task)
    assert evidence.argmax(dim=1).tolist() == [1, 0, 3, 1]
    assert evidence[3, :2].tolist() == [10.0, 40.0]
    gain = torch.ones((), requires_grad=True)
    torch.nn.functional.cross_entropy(gain * evidence, torch.tensor([1, 0, 3, 1])).backward()
    assert gain.grad is not None
    assert torch.isfinite(gain.grad)
    assert rates.grad is not None
    assert (rates.grad[2, [0, 11]] == 0).all()
    assert torch.isfinite(evidence.half()).all()
    with pytest.raises(InputError, match="12 pools are needed for each of 4"):
        mixed.evidence_Hz(torch.zeros(4, 11), task)


@pytest.mark.parametrize(
    ("act", "words"),
    [
        (lambda: tasks.Batches([]), "at least one task"),
        (
            lambda: tasks.Batches(
                [
                    tasks.fine_orientation(),
                    tasks.fine_orientation(timing=tasks.Timing((50,), duration_ms=500)),
                ]
            ),
            r"equally long, got \[500, 600.0\] ms",
        ),
        (lambda: tasks.Batches(tasks.fine_orientation(), dt_ms=7.0), "whole number of frames"),
        (lambda: tasks.Batches(tasks.fine_orientation(), pixels=(0, 832)), "pixels must be"),
        (lambda: tasks.Batches(tasks.fine_orientation(), small_lgn(), dt_ms=2.5), "bins of 1 ms"),
        (
            lambda: tasks.Batches(tasks.fine_orientation(contrast=1.0), lambda movie: np.zeros(3)),
            r"rates of shape \(120, channel\), got float64 of \(3,\)",
        ),
        (lambda: tasks.Batches(tasks.fine_orientation()).epoch("tests"), "Did you mean 'test'"),
        (lambda: tasks.Batches(tasks.fine_orientation()).epoch("test", 0), "batch_size must be"),
        (lambda: tasks.Batches(tasks.fine_orientation()).epoch("test", first=-1), "first must be"),
        (lambda: tasks.Batches(tasks.fine_orientation()).epoch("test", share=(2, 2)), "k below n"),
        (lambda: tasks.fine_orientation(contrast=0), "contrast must be above 0"),
        (lambda: tasks.fine_orientation(timing=tasks.PAIR), "shows 1 stimuli"),
        (lambda: tasks.fine_orientation(range_deg=2, step_deg=0.3), "times step_deg"),
        (lambda: tasks.fine_orientation(spatial_frequency_cpd=0.6), "half a cycle a pixel"),
        (lambda: tasks.fine_orientation(temporal_frequency_Hz=-1), "0 or more"),
        (lambda: tasks.fine_orientation(n_items={"tests": 5}), "Did you mean 'test'"),
        (lambda: tasks.fine_orientation(n_items={"test": 1.5}), "whole number of 2 or more"),
        (lambda: tasks.visual_change(timing=tasks.SINGLE), "shows 2 stimuli"),
        (lambda: tasks.image_classification("minst"), "Did you mean 'mnist'"),
        (lambda: tasks.image_classification("digits", n_items={"validation": 1700}), "not 1700"),
        (lambda: tasks.Canvas(size_deg=(0.1, 60)), "no pixel"),
    ],
)
def test_bad_input(act: Callable[[], object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        act()


# ---- data ------------------------------------------------------------------------------------


def test_without_data_the_embedded_pictures_are_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STRIATE_DATA", str(tmp_path))
    assert tasks.image_classification().source.startswith("digits: digits of 8 x 8")
    assert tasks.visual_change().source.startswith("photographs: patches")
    with pytest.raises(DataError, match="mnist is not in the data folder"):
        tasks.image_classification("mnist")
    damaged = tmp_path / "vision" / "mnist.npz"
    damaged.parent.mkdir()
    damaged.write_bytes(b"PK damaged")
    with pytest.raises(DataError, match=r"mnist.npz is damaged"):  # and not digits in its place
        tasks.image_classification()


def test_photographs_are_worth_looking_at() -> None:
    patches = pictures.load("photographs")
    assert patches.grey.shape[1:] == (32, 32)
    assert len(patches.grey) > 250
    assert patches.grey.std(axis=(1, 2)).min() >= pictures.PATCH_SD
    assert len({patch.tobytes() for patch in patches.grey}) == len(patches.grey)


def test_division_keeps_the_shares_of_classes() -> None:
    digits = pictures.load("digits", n_validation=300, seed=4)
    of_all = np.bincount(digits.labels) / len(digits.labels)
    for split, rows in digits.rows.items():
        counts = np.bincount(digits.labels[rows])
        assert (np.abs(counts - of_all * len(rows)) <= 2).all(), split
    assert len(digits.rows["validation"]) == 300


def test_real_data() -> None:
    folder = os.environ.get("STRIATE_DATA")
    if not folder or not (Path(folder) / "vision").is_dir():
        pytest.skip("STRIATE_DATA names no folder with vision/mnist.npz and CIFAR-10")
    mnist = tasks.image_classification("mnist")
    assert [len(mnist.draw(split).targets) for split in SPLITS] == [54_000, 6_000, 6_000]
    assert mnist.images.rows["test"].min() == 60_000
    change = tasks.visual_change("cifar10")
    assert ("NOT the published pixels" in change.source) == (not change.images.exact)
    data = tasks.Batches([tasks.fine_orientation(), mnist, change])
    assert data.n_items("test") == 18_000
    batch = next(data.epoch("test"))
    assert batch.inputs.shape == (64, 120, 832)
    assert batch.inputs.min() > 0


def test_only_single_stimuli_are_held():
    data = tasks.Batches([tasks.fine_orientation(), tasks.visual_change("photographs")])
    held = data.held(200.0, singles_only=True)
    assert held.tasks[0].timing.response_ms == (150.0, 350.0)
    assert held.tasks[1].timing == data.tasks[1].timing
    before, after = (next(each.epoch("train", 8, seed=1)) for each in (data, held))
    pairs = before.task == 1
    assert torch.equal(before.inputs[pairs], after.inputs[pairs])
    assert not torch.equal(before.inputs[~pairs], after.inputs[~pairs])
