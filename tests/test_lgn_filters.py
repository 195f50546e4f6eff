"""LGN filters: published kernels, direct convolution, and the analytic response to gratings."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from toolkit import stimuli
from toolkit.errors import InputError
from toolkit.lgn import LGN, Channels, Subfields, temporal_kernel

LAGS_MS = (3, 12, 30, 60, 100, 200)
# weights, kpeaks, delays, extra delay; then the published kernel (Billeh et al. 2020) at LAGS_MS
KERNELS: dict[str, tuple[Any, Any, Any, float, list[float]]] = {
    "sON_TF1": (
        (1.00003093, -0.44616057),
        (56.52557576, 137.44093312),
        (0, 15),
        0,
        [0.0, 0.0, 0.07708489, 0.1207494, 0.05132717, -0.02977814],
    ),
    "sON_TF2": (
        (4.28233151, -1.42754511),
        (31.20843844, 137.06239706),
        (0, 5),
        0,
        [0.0, 0.23250052, 0.72444184, 0.34328127, -0.05880761, -0.09710465],
    ),
    "sON_TF4": (
        (3.5940406, -1.81458312),
        (30.75886854, 58.35845979),
        (0, 25),
        0,
        [0.0, 0.20603158, 0.61219749, 0.14232744, -0.1758438, -0.0215953],
    ),
    "sON_TF8": (
        (3.70525968, -1.75383971),
        (12.94103321, 28.27807659),
        (0, 25),
        0,
        [0.09612947, 0.97247425, 0.28157752, -0.28729345, -0.05743409, 0.0],
    ),
    "sOFF_TF1": (
        (2.11424029, -1.22152557),
        (54.48070428, 127.92115512),
        (0, 5),
        0,
        [0.0, 0.0, 0.17691348, 0.22959121, 0.06538747, -0.07774751],
    ),
    "sOFF_TF2": (
        (3.18257937, -1.14071203),
        (19.84561655, 92.02360682),
        (0, 25),
        0,
        [0.0, 0.54505834, 0.50999067, 0.02804505, -0.10736915, -0.06147936],
    ),
    "sOFF_TF4": (
        (3.22981488, -1.65879752),
        (22.24619766, 56.10036268),
        (0, 15),
        0,
        [0.0, 0.45034533, 0.54884893, -0.092003, -0.16310711, -0.00891704],
    ),
    "sOFF_TF8": (
        (3.2506479, -1.68380989),
        (18.03400572, 51.21537413),
        (0, 15),
        0,
        [0.0, 0.64032029, 0.45910821, -0.19589961, -0.15301388, -0.0024171],
    ),
    "sOFF_TF15": (
        (10.0, -3.26057123),
        (4.73623985, 21.59707569),
        (0, 5),
        0,
        [4.28928844, 0.50909586, -0.63043594, -0.14291292, 0.0, 0.0],
    ),
    "tOFF_TF4": (
        (3.34598077, -2.18198978),
        (29.15797185, 59.36268031),
        (0, 15),
        0,
        [0.0, 0.2312164, 0.57898862, 0.01181233, -0.20791646, -0.0193298],
    ),
    "tOFF_TF8": (
        (4.21848979, -2.40498983),
        (8.52464523, 23.24681671),
        (0, 0),
        0,
        [0.69404791, 0.73978378, -0.40764943, -0.0965976, 0.0, 0.0],
    ),
    "tOFF_TF15": (
        (3.44166036, -2.11559948),
        (8.2697336, 19.99148791),
        (0, 0),
        0,
        [0.61383453, 0.47445224, -0.33697289, -0.03866256, 0.0, 0.0],
    ),
    "sONsOFF_001_dom_OFF": (
        (3.22981488, -1.65879752),
        (22.24619766, 56.10036268),
        (0, 15),
        61.0,
        [0.0, 0.0, 0.0, 0.0, 0.31462326, -0.07833702],
    ),
    "sONsOFF_001_nondom_ON": (
        (3.5940406, -1.81458312),
        (30.75886854, 58.35845979),
        (0, 25),
        51.0,
        [0.0, 0.0, 0.0, 0.06373659, 0.36431464, -0.0938562],
    ),
    "sONtOFF_001_dom_OFF": (
        (4.21848979, -2.40498983),
        (8.52464523, 23.24681671),
        (0, 0),
        45.8,
        [0.0, 0.0, 0.0, 0.35111846, -0.13572673, 0.0],
    ),
    "sONtOFF_001_nondom_ON": (
        (3.5940406, -1.81458312),
        (30.75886854, 58.35845979),
        (0, 25),
        23.5,
        [0.0, 0.0, 0.00424226, 0.57524654, -0.07627467, -0.04678862],
    ),
    "tON_TF4": (
        (3.34598077, -2.18198978),
        (29.15797185, 59.36268031),
        (0, 15),
        0,
        [0.0, 0.2312164, 0.57898862, 0.01181233, -0.20791646, -0.0193298],
    ),
    "tON_TF8": (
        (4.21848979, -2.40498983),
        (8.52464523, 23.24681671),
        (0, 0),
        0,
        [0.69404791, 0.73978378, -0.40764943, -0.0965976, 0.0, 0.0],
    ),
    "tON_TF15": (
        (3.44166036, -2.11559948),
        (8.2697336, 19.99148791),
        (0, 0),
        0,
        [0.61383453, 0.47445224, -0.33697289, -0.03866256, 0.0, 0.0],
    ),
}


def kernel_of(name: str) -> np.ndarray:
    weights, kpeaks, delays, extra, _ = KERNELS[name]
    return temporal_kernel(weights, kpeaks, delays, extra_delay_ms=extra)


SUSTAINED, TRANSIENT = kernel_of("sON_TF8"), kernel_of("tOFF_TF8")


def channels(**fields: Any) -> Channels:
    given: dict[str, Any] = {
        "x_deg": [0.0], "y_deg": 0.0, "sigma_deg": 2.0, "amplitude": 1.0,
        "spontaneous_Hz": 4.0, "kernel": 0, "kernels": [SUSTAINED, TRANSIENT],
    }  # fmt: skip
    return Channels(**(given | fields))


# ---- kernels -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KERNELS)
def test_kernel_at_pinned_lags(name: str) -> None:
    np.testing.assert_allclose(kernel_of(name)[list(LAGS_MS)], KERNELS[name][4], atol=1e-8, rtol=0)


def _published() -> Path | None:
    folders = [os.environ.get("STRIATE_DATA"), Path(__file__).parents[2] / "shared" / "data"]
    files = [Path(f) / "v1" / "lgn_temporal_kernels_1ms.csv" for f in folders if f]
    return next((file for file in files if file.is_file()), None)


@pytest.mark.skipif(_published() is None, reason="STRIATE_DATA names no folder with v1/lgn tables")
def test_kernels_equal_the_published_table_everywhere() -> None:
    file = _published()
    assert file is not None
    with file.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert set(rows[0]) - {"t_ms"} == set(KERNELS)
    for name in KERNELS:
        kernel, table = kernel_of(name), np.array([float(row[name]) for row in rows])
        padded = np.zeros(max(len(kernel), len(table)))
        padded[: len(table)] = table  # the table leaves out trailing zeros
        np.testing.assert_allclose(
            np.pad(kernel, (0, len(padded) - len(kernel))), padded, atol=1e-8, rtol=0
        )


def test_each_bump_has_unit_sum_of_squares_and_delays_only_shift() -> None:
    bump = temporal_kernel([1.0], [40.0], [0])
    assert np.square(bump).sum() == pytest.approx(1.0, rel=1e-12)
    assert bump.argmax() == 39  # 1.3 ms before its nominal peak, on the grid
    delayed = temporal_kernel([2.0], [40.0], [7.9], extra_delay_ms=3.9)
    assert len(delayed) == 610
    np.testing.assert_allclose(delayed[10:], 2 * bump, rtol=1e-12)
    assert not delayed[:10].any()


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        (([1.0], [10.0, 20.0], [0, 0]), {}, "as many weights"),
        (([], [], []), {}, "as many weights"),
        (([1.0], [0.0], [0]), {}, "kpeaks_ms"),
        (([1.0], [np.nan], [0]), {}, "kpeaks_ms"),
        (([np.inf], [10.0], [0]), {}, "weights"),
        (([1.0], [10.0], [-1]), {}, "foresee"),
        (([1.0], [10.0], [0]), {"extra_delay_ms": -1}, "foresee"),
        (([1.0], [10.0], [0]), {"n_ms": 0}, "n_ms"),
        (([1.0], [5000.0], [0]), {}, "no part"),
    ],
)
def test_bad_kernels(arguments: Any, options: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        temporal_kernel(*arguments, **options)


# ---- responses -----------------------------------------------------------------------------


def rates_of(lgn: LGN, movie: stimuli.Movie) -> np.ndarray:
    rates = lgn.respond(movie).rates_Hz
    assert rates is not None
    return rates


def gaussian_weights(movie: stimuli.Movie, x: float, y: float, sigma: float) -> np.ndarray:
    """A unit-volume Gaussian on the pixels, normalised on a lattice far beyond the movie."""
    side = movie.deg_per_px
    wide = [np.arange(at[0] - 60 * side, at[-1] + 60.5 * side, side)
            for at in (movie.x_deg, movie.y_deg)]  # fmt: skip

    def bell(at: np.ndarray, centre: float) -> np.ndarray:
        return np.exp(-((at - centre) ** 2) / (2 * sigma**2))

    return np.outer(
        bell(movie.y_deg, y) / bell(wide[1], y).sum(), bell(movie.x_deg, x) / bell(wide[0], x).sum()
    )


def direct(
    movie: stimuli.Movie, x: float, y: float, sigma: float, kernel: np.ndarray
) -> np.ndarray:
    drive = (movie.frames * gaussian_weights(movie, x, y, sigma)).sum(axis=(1, 2), dtype=np.float64)
    return np.convolve(drive, kernel)[: len(drive)]


def noise_movie(n_ms: int = 900, seed: int = 3) -> stimuli.Movie:
    frames = np.random.default_rng(seed).uniform(-1, 1, (n_ms, 14, 18))
    return stimuli.movie(frames, deg_per_px=1.5)


def test_grey_gives_exactly_the_resting_rates() -> None:
    second = Subfields(channel=[1], x_deg=1.0, y_deg=0.0, sigma_deg=2.0, amplitude=1.0, kernel=0)
    cells = channels(x_deg=[0, 3, -3], spontaneous_Hz=[4.0, 2.75, 0.0], second=second)
    rates = rates_of(LGN(cells), stimuli.grey(duration_ms=50))
    assert cells.resting_Hz.tolist() == [4.0, 5.5, 0.0]
    np.testing.assert_array_equal(rates, np.tile([4.0, 5.5, 0.0], (50, 1)))


def test_step_response_is_the_running_sum_of_the_kernel() -> None:
    step = stimuli.grey(duration_ms=300).then(
        stimuli.image(np.full((60, 60), 0.5), duration_ms=900)
    )
    rates = rates_of(LGN(channels(spontaneous_Hz=100.0)), step)
    expected = 100 + 0.5 * np.cumsum(np.pad(SUSTAINED, (0, 900)))[:900]
    np.testing.assert_allclose(rates[300:, 0], expected, rtol=1e-5)


def test_nothing_is_heard_before_its_cause() -> None:
    quiet = stimuli.grey(duration_ms=300, size_deg=(27, 21), deg_per_px=1.5)
    loud = quiet.then(noise_movie())
    rates = rates_of(LGN(channels(spontaneous_Hz=0.0, amplitude=1000.0)), loud)
    assert rates[300:].max() > 10
    assert rates[:300].max() < 1e-10  # single precision would leave 1e-5


def test_responses_equal_direct_convolution() -> None:
    movie, spontaneous = noise_movie(), [4.0, 0.5, 0.0, 20.0]
    x, y, sigma = [0.0, 5.2, -11.0, 3.0], [0.0, -4.1, 9.0, 2.0], [2.0, 0.8, 3.3, 1.0]
    amplitude, kernel = [1.0, -1.0, 1.0, -2.2], [0, 1, 1, 0]
    lgn = LGN(channels(x_deg=x, y_deg=y, sigma_deg=sigma, amplitude=amplitude,
                       spontaneous_Hz=spontaneous, kernel=kernel))  # fmt: skip
    rates = rates_of(lgn, movie)
    for i in range(4):
        linear = direct(movie, x[i], y[i], sigma[i], (SUSTAINED, TRANSIENT)[kernel[i]])
        expected = np.maximum(0, amplitude[i] * linear + spontaneous[i])
        np.testing.assert_allclose(rates[:, i], expected, atol=2e-5)
    assert (rates[:, 2] == 0).any()
    assert (rates[:, 2] > 0).any()


def test_windows_of_the_movie_lose_nothing() -> None:
    """Many channels, some beyond the border, against Gaussians over all pixels."""
    rng, n = np.random.default_rng(1), 300
    lgn = LGN(
        channels(
            x_deg=rng.uniform(-50, 50, n), y_deg=rng.uniform(-40, 40, n),
            sigma_deg=rng.triangular(2, 3, 10, n) / 3, spontaneous_Hz=0.0, kernels=[[1.0]],
        )
    )  # fmt: skip
    frames = np.concatenate([np.ones((1, 60, 90)), rng.uniform(-1, 1, (4, 60, 90))])
    movie = stimuli.movie(frames, deg_per_px=0.9)
    with pytest.warns(UserWarning, match="centred beyond"):
        rates = rates_of(lgn, movie)
    cells = lgn.channels
    weights = [
        gaussian_weights(movie, *place)
        for place in zip(cells.x_deg, cells.y_deg, cells.sigma_deg, strict=True)
    ]
    dense = np.einsum("cyx,tyx->tc", np.array(weights), movie.frames.astype(np.float64))
    assert 0.01 < (dense[0] < 0.5).mean() < 0.9  # white fills some of them, and not others
    np.testing.assert_allclose(rates, np.maximum(dense, 0), atol=1e-6)


def test_composite_adds_two_rectified_subfields() -> None:
    movie = noise_movie()
    second = Subfields(
        channel=[1], x_deg=[3.0], y_deg=[2.0], sigma_deg=[1.5], amplitude=[1.0], kernel=[0]
    )
    lgn = LGN(channels(x_deg=[0, 0], amplitude=-2.2, spontaneous_Hz=0.3, kernel=1, second=second))
    rates = rates_of(lgn, movie)
    first = np.maximum(0, -2.2 * direct(movie, 0, 0, 2.0, TRANSIENT) + 0.3)
    other = np.maximum(0, direct(movie, 3.0, 2.0, 1.5, SUSTAINED) + 0.3)
    np.testing.assert_allclose(rates[:, 0], first, atol=2e-5)
    np.testing.assert_allclose(rates[:, 1], first + other, atol=2e-5)


def test_on_and_off_mirror_each_other_under_contrast_reversal() -> None:
    movie = noise_movie()
    reversed_movie = stimuli.movie(-movie.frames, deg_per_px=1.5)
    on = rates_of(LGN(channels(amplitude=1.0)), movie)
    off = rates_of(LGN(channels(amplitude=-1.0)), reversed_movie)
    np.testing.assert_allclose(on, off, atol=1e-6)


@pytest.mark.parametrize(("temporal_Hz", "sigma"), [(2.0, 1.0), (4.0, 10 / 3), (8.0, 2.0)])
@pytest.mark.parametrize("kernel", [0, 1])
def test_f1_is_optics_times_kernel_transfer(temporal_Hz: float, sigma: float, kernel: int) -> None:
    spatial_cpd, contrast = 0.04, 0.8
    movie = stimuli.drifting_grating(
        orientation_deg=30, temporal_frequency_Hz=temporal_Hz, duration_ms=1700
    )
    lgn = LGN(channels(sigma_deg=sigma, kernel=kernel, spontaneous_Hz=100.0))  # never rectified
    rates = rates_of(lgn, movie)
    steady = rates[700:, 0] - 100  # one second, after the kernel has filled
    spectrum = np.abs(np.fft.rfft(steady)) * 2 / 1000
    taps = (SUSTAINED, TRANSIENT)[kernel]
    transfer = np.abs(
        (taps * np.exp(-2j * np.pi * temporal_Hz * np.arange(len(taps)) / 1000)).sum()
    )
    optics = np.exp(-2 * np.pi**2 * sigma**2 * spatial_cpd**2)
    assert spectrum.argmax() == temporal_Hz  # bins of 1 Hz
    assert spectrum.max() == pytest.approx(contrast * optics * transfer, rel=0.01)


@pytest.mark.parametrize("direction", [0.0, 180.0])
def test_direction_sets_the_sign_of_the_phase_gradient(direction: float) -> None:
    x = np.array([-6.0, -3.0, 0.0, 3.0, 6.0])
    movie = stimuli.drifting_grating(orientation_deg=direction, duration_ms=1500)
    rates = rates_of(LGN(channels(x_deg=x, spontaneous_Hz=100.0)), movie)
    f1 = np.fft.rfft(rates[500:], axis=0)[2]  # 2 Hz over one second
    lag_cycles = -np.unwrap(np.angle(f1)) / (2 * np.pi)
    gradient = np.polyfit(x, lag_cycles, 1)[0]
    assert gradient == pytest.approx(0.04 * np.cos(np.radians(direction)), rel=1e-3)


def test_longer_frames_equal_the_mean_of_a_held_fine_movie() -> None:
    coarse = stimuli.movie(np.random.default_rng(0).uniform(-1, 1, (80, 9, 9)), dt_ms=5.0)
    lgn = LGN(channels(x_deg=[0, 1], spontaneous_Hz=0.1))  # often rectified within a frame
    fine = rates_of(lgn, coarse.resampled(1.0))
    slow = lgn.respond(coarse)
    assert slow.rates_Hz is not None
    assert slow.dt_ms == 5
    np.testing.assert_allclose(slow.rates_Hz, fine.reshape(80, 5, 2).mean(axis=1), atol=1e-5)


def test_border_counts_as_grey() -> None:
    white = stimuli.image(np.ones((20, 20)), duration_ms=1000)
    lgn = LGN(channels(x_deg=[0.0, 10.0], sigma_deg=1.0, spontaneous_Hz=0.0, kernels=[[1.0]]))
    rates = rates_of(lgn, white)
    np.testing.assert_allclose(rates[-1], [1.0, 0.5], atol=1e-5)  # on the border: half the volume


def test_centres_beyond_the_movie_are_told() -> None:
    with pytest.warns(UserWarning, match="1 of 2 receptive fields"):
        LGN(channels(x_deg=[0, 40])).respond(stimuli.drifting_grating(duration_ms=5))


def test_nothing_is_told_of_grey(recwarn: pytest.WarningsRecorder) -> None:
    LGN(channels(x_deg=[0, 40])).respond(stimuli.grey(duration_ms=5))
    assert not recwarn.list


def test_drives_are_cached_by_content_and_few() -> None:
    lgn = LGN(channels())
    first = rates_of(lgn, noise_movie(50))
    again = rates_of(lgn, noise_movie(50))  # another object, the same content
    np.testing.assert_array_equal(first, again)
    assert len(lgn._drives) == 1
    for seed in (0, 1, 2, "first again", 4):
        lgn.respond(noise_movie(50) if seed == "first again" else noise_movie(5, int(seed)))
    kept = [noise_movie(5, 1), noise_movie(5, 2), noise_movie(50), noise_movie(5, 4)]
    assert list(lgn._drives) == [movie.digest for movie in kept]  # the least used one is gone


def test_large_drives_are_not_hoarded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolkit.lgn.filters._CACHED_BYTES", 2 * 4 * 50)
    lgn = LGN(channels())
    for seed in (0, 1, 2):
        lgn.respond(noise_movie(50, seed))
    assert list(lgn._drives) == [noise_movie(50, seed).digest for seed in (1, 2)]
    lgn.respond(noise_movie(500, 3))  # larger than all that may be kept
    assert list(lgn._drives) == [noise_movie(500, 3).digest]


def test_many_channels_in_batches_are_those_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    movie = noise_movie(200)
    cells = channels(x_deg=np.linspace(-5, 5, 7), kernel=[0, 1, 0, 1, 1, 0, 0],
                     amplitude=[1, -1, 1, 1, -1, 2, 3])  # fmt: skip
    whole = rates_of(LGN(cells), movie)
    monkeypatch.setattr("toolkit.lgn.filters._FFT_VALUES", 2100)
    np.testing.assert_allclose(rates_of(LGN(cells), movie), whole, atol=1e-5)


@pytest.mark.parametrize("dt", [0.1, 0.5, 1.5, 1000 / 60])
def test_other_time_steps_are_refused_with_the_fix(dt: float) -> None:
    with pytest.raises(InputError, match=r"resampled\(1.0\)"):
        LGN(channels()).respond(stimuli.movie(np.zeros((4, 9, 9)), dt_ms=dt))


def test_too_coarse_pixels_are_refused_with_the_fix() -> None:
    with pytest.raises(InputError, match="deg_per_px=2 or less"):
        LGN(channels(sigma_deg=0.5)).respond(stimuli.movie(np.zeros((4, 9, 9)), deg_per_px=3.0))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"x_deg": []}, "at least one"),
        ({"x_deg": [0, np.nan]}, "NaN"),
        ({"x_deg": [0, 1], "y_deg": [0, 1, 2]}, "y_deg must be one number or 2"),
        ({"sigma_deg": 0.0}, "sigma_deg"),
        ({"spontaneous_Hz": -1.0}, "spontaneous_Hz"),
        ({"kernel": 2}, "within 0 to 1"),
        ({"kernel": 0.5}, "whole numbers"),
        ({"amplitude": "ON"}, "amplitude"),
        ({"kernels": []}, "temporal_kernel"),
        ({"kernels": [[np.nan]]}, "NaN"),
        ({"kernels": [1.0, 2.0]}, "temporal_kernel"),
        ({"second": Subfields([1], 0, 0, 1, 1, 0)}, "channel of the second"),
        ({"second": Subfields([0], 0, 0, 1, 1, 7)}, "kernel of the second"),
    ],
)
def test_bad_channels(fields: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        channels(**fields)


def test_bad_subfields() -> None:
    with pytest.raises(InputError, match="twice"):
        Subfields([0, 0], 0, 0, 1, 1, 0)
    with pytest.raises(InputError, match="sigma_deg"):
        Subfields([0], 0, 0, 0, 1, 0)
