"""Movies: geometry, gratings, joining, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit import stimuli
from toolkit.errors import InputError


def test_pixels_are_centred_and_elevation_grows_with_the_row() -> None:
    upright = stimuli.static_grating(
        orientation_deg=90,
        phase_deg=-90,
        contrast=1.0,
        spatial_frequency_cpd=0.01,
        size_deg=(10, 6),
        deg_per_px=2.0,
    )
    assert upright.frames.shape[1:] == (3, 5)
    assert upright.y_deg.tolist() == [-2.0, 0.0, 2.0]
    assert upright.x_deg.tolist() == [-4.0, -2.0, 0.0, 2.0, 4.0]
    # sin(2 pi f y) on every column
    expected = np.sin(2 * np.pi * 0.01 * upright.y_deg)
    np.testing.assert_allclose(upright.frames[0], np.tile(expected[:, None], 5), atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(
    direction=st.floats(0, 360),
    phase=st.floats(-180, 180),
    spatial=st.floats(0, 0.4),
    temporal=st.floats(0, 20),
    contrast=st.floats(0, 1),
)
def test_grating_is_its_equation(
    direction: float, phase: float, spatial: float, temporal: float, contrast: float
) -> None:
    movie = stimuli.drifting_grating(
        orientation_deg=direction,
        phase_deg=phase,
        spatial_frequency_cpd=spatial,
        temporal_frequency_Hz=temporal,
        contrast=contrast,
        duration_ms=60,
        dt_ms=5,
        size_deg=(9, 7),
    )
    a = np.radians(direction)
    t = np.arange(12)[:, None, None] * 0.005
    along = movie.x_deg * np.cos(a) + movie.y_deg[:, None] * np.sin(a)
    expected = contrast * np.cos(2 * np.pi * (spatial * along - temporal * t) + np.radians(phase))
    np.testing.assert_allclose(movie.frames, expected, atol=5e-6)


@pytest.mark.parametrize(
    ("direction", "shift"), [(0, (0, 1)), (90, (1, 0)), (180, (0, -1)), (270, (-1, 0))]
)
def test_orientation_is_the_direction_of_motion(direction: int, shift: tuple[int, int]) -> None:
    # 2 Hz over 0.04 cpd is 50 degrees a second: 1 degree (a pixel) every 20 ms
    frames = stimuli.drifting_grating(orientation_deg=direction, duration_ms=40).frames
    moved = np.roll(frames[0], shift, axis=(0, 1))
    inside = (slice(1, -1), slice(1, -1))
    np.testing.assert_allclose(frames[20][inside], moved[inside], atol=1e-5)


def test_defaults_are_the_observatory_grating() -> None:
    movie = stimuli.drifting_grating()
    assert (movie.duration_ms, movie.dt_ms, movie.frames.shape) == (1000, 1, (1000, 60, 60))
    assert movie.frames.max() == pytest.approx(0.8, abs=1e-3)
    np.testing.assert_allclose(movie.frames[:500], movie.frames[500:], atol=1e-5)  # 2 Hz
    line = movie.frames[0, 0]
    np.testing.assert_allclose(line[:35], line[25:], atol=1e-5)  # 0.04 cycles per degree


def test_then_keeps_both_parts() -> None:
    first, second = stimuli.grey(duration_ms=5), stimuli.drifting_grating(duration_ms=7)
    both = first.then(second)
    assert both.duration_ms == 12
    np.testing.assert_array_equal(both.frames[:5], 0)
    np.testing.assert_array_equal(both.frames[5:], second.frames)
    assert both.changes.tolist() == [0, *range(5, 12)]


@pytest.mark.parametrize(
    "other",
    [
        stimuli.grey(duration_ms=5, size_deg=(60, 59)),
        stimuli.grey(duration_ms=5, dt_ms=5),
        stimuli.grey(duration_ms=5, size_deg=(120, 120), deg_per_px=2.0),
    ],
)
def test_then_refuses_other_geometry(other: stimuli.Movie) -> None:
    with pytest.raises(InputError, match="then"):
        stimuli.grey(duration_ms=5).then(other)


def test_image_is_held_without_copies_and_origin_flips_rows() -> None:
    picture = np.linspace(-1, 1, 12).reshape(3, 4)
    lower = stimuli.image(picture, duration_ms=600)
    upper = stimuli.image(picture, duration_ms=600, origin="upper")
    assert lower.frames.strides[0] == 0
    np.testing.assert_allclose(lower.frames[599], picture, atol=1e-7)
    np.testing.assert_array_equal(upper.frames[0], lower.frames[0, ::-1])
    clip = stimuli.movie(picture[None], origin="upper")
    np.testing.assert_array_equal(clip.frames[0], upper.frames[0])


def test_movie_is_safe_from_later_changes() -> None:
    frames = np.zeros((3, 2, 2), dtype=np.float32)
    movie = stimuli.Movie(frames)
    frames[:] = 1
    assert movie.frames.max() == 0
    with pytest.raises(ValueError, match="read-only"):
        movie.frames[0] = 1


def test_digest_follows_content_only() -> None:
    held = stimuli.image(np.full((4, 4), 0.5), duration_ms=20)
    spelled_out = stimuli.movie(np.full((20, 4, 4), 0.5))
    assert held.digest == spelled_out.digest
    changed = np.full((20, 4, 4), 0.5)
    changed[13, 2, 1] = 0.6
    others = [
        stimuli.movie(changed),
        stimuli.movie(np.full((20, 4, 4), 0.5), dt_ms=2.0),
        stimuli.movie(np.full((20, 4, 4), 0.5), deg_per_px=2.0),
        stimuli.movie(np.full((21, 4, 4), 0.5)),
        stimuli.movie(np.full((20, 2, 8), 0.5)),
    ]
    assert len({held.digest, *(other.digest for other in others)}) == 6


def test_changes_across_comparison_blocks() -> None:
    frames = np.zeros((2500, 1, 2), dtype=np.float32)
    frames[1024:] = 0.5
    frames[1025:, 0, 1] = 0.1
    frames[2048:] = -0.5
    assert stimuli.movie(frames).changes.tolist() == [0, 1024, 1025, 2048]


def test_resampled_shows_the_frame_at_the_middle() -> None:
    movie = stimuli.movie(np.linspace(-1, 1, 4)[:, None, None], dt_ms=2.5)
    fine = movie.resampled(1.0)
    assert fine.duration_ms == 10
    shown = [0, 0, 1, 1, 1, 2, 2, 3, 3, 3]  # middles 0.5, 1.5, 2.5, ... of frames of 2.5 ms
    np.testing.assert_array_equal(fine.frames, movie.frames[shown])


@pytest.mark.parametrize("duration", [0, -10, float("nan"), float("inf"), 10.5])
def test_bad_durations(duration: float) -> None:
    for make in (stimuli.grey, stimuli.drifting_grating, stimuli.static_grating):
        with pytest.raises(InputError, match="duration_ms"):
            make(duration_ms=duration)
    with pytest.raises(InputError, match="duration_ms"):
        stimuli.image(np.zeros((2, 2)), duration_ms=duration)


@pytest.mark.parametrize("dt", [0, -1, float("nan")])
def test_bad_dt(dt: float) -> None:
    for make in (stimuli.grey, stimuli.drifting_grating, stimuli.static_grating):
        with pytest.raises(InputError, match="dt_ms"):
            make(dt_ms=dt)
    with pytest.raises(InputError, match="dt_ms"):
        stimuli.movie(np.zeros((2, 2, 2)), dt_ms=dt)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"contrast": 1.1}, "contrast"),
        ({"contrast": -0.1}, "contrast"),
        ({"temporal_frequency_Hz": -1}, "temporal_frequency_Hz"),
        ({"temporal_frequency_Hz": 501}, "temporal_frequency_Hz"),
        ({"spatial_frequency_cpd": 0.51}, "spatial_frequency_cpd"),
        ({"orientation_deg": float("nan")}, "orientation_deg"),
        ({"phase_deg": float("inf")}, "phase_deg"),
        ({"size_deg": 60}, "size_deg"),
        ({"size_deg": (60, 0)}, "size_deg"),
        ({"size_deg": (60, 0.2)}, "no pixel"),
        ({"deg_per_px": 0}, "deg_per_px"),
    ],
)
def test_bad_gratings(options: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        stimuli.drifting_grating(duration_ms=10, **options)


@pytest.mark.parametrize(
    ("frames", "words"),
    [
        (np.zeros((3, 3)), "time, y, x"),
        (np.zeros((0, 3, 3)), "time, y, x"),
        (np.full((1, 2, 2), np.nan), "NaN"),
        (np.full((1, 2, 2), 200.0), "127.5"),
        (np.full((1, 2, 2), -1.01), "-1 to 1"),
    ],
)
def test_bad_frames(frames: np.ndarray, words: str) -> None:
    with pytest.raises(InputError, match=words):
        stimuli.movie(frames)


def test_bad_pictures() -> None:
    with pytest.raises(InputError, match=r"\(y, x\)"):
        stimuli.image(np.zeros((3, 3, 3)))
    with pytest.raises(InputError, match=r"Did you mean .upper."):
        stimuli.image(np.zeros((3, 3)), origin="uper")
    with pytest.raises(InputError, match="NaN"):
        stimuli.image([[0, np.nan]])
