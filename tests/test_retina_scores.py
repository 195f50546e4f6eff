"""Scores of retina models against plain calculations."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
import small_retina

from circuits.retina import setup as retina_setup
from circuits.retina.figures import COLOURS, example_cells
from circuits.retina.scores import (
    Outcome,
    ablation,
    against,
    alike,
    by_cell,
    pooled,
    summary,
    with_distances,
)
from circuits.retina.setup import DATA, Setup
from circuits.retina.trains import (
    BY_WINDOW,
    between_trials,
    rhythm,
    rhythm_distance,
    train_distances,
)
from toolkit.metrics import code_similarity
from toolkit.metrics.spike_distances import spike_distance, van_rossum, victor_purpura
from toolkit.retina.data import Steps, ceiling, folds
from toolkit.retina.fitting import bits_per_spike
from toolkit.retina.models import MODELS


@pytest.fixture
def tested() -> Outcome:
    """A prediction that is right but for noise; one cell is silent, one prediction constant."""
    rng = np.random.default_rng(1)
    rate = rng.gamma(1.0, 0.2, (6, 30, 4)) * np.array([1, 1, 0, 1])
    counts = rng.poisson(np.broadcast_to(rate[..., None], (6, 30, 4, 20)))
    rate[..., 3] = 0.1
    spikes = (rng.random((6, 30, 4, 5)) < rate[..., None]).astype(np.uint8)
    pictures = rng.integers(0, 256, (6, 9, 8), dtype=np.uint8)
    cells = np.array([0, 2, 5, 7])
    return Outcome(Setup(model="ln", bin_ms=10), cells, counts, rate, spikes, pictures)


def test_cells_are_scored_in_bins_of_30_ms(tested: Outcome) -> None:
    found = by_cell(tested)
    y = tested.counts.reshape(6, 10, 3, 4, 20).sum(axis=2).reshape(60, 4, 20)
    r = tested.rates.reshape(6, 10, 3, 4).sum(axis=2).reshape(60, 4)
    right = [np.corrcoef(y[:, c].mean(axis=1), r[:, c])[0, 1] for c in (0, 1)]
    np.testing.assert_allclose(found["cc"], [*right, np.nan, 0.0])
    np.testing.assert_allclose(found["ceiling"], ceiling(y).largest_cc)
    np.testing.assert_allclose(found["cc_corrected"], found["cc"] / found["ceiling"])
    np.testing.assert_allclose(found["rate_Hz"], tested.counts.mean(axis=(0, 1, 3)) * 100)
    assert found["cell"].tolist() == [0, 2, 5, 7]


def test_codes_are_spikes_of_windows(tested: Outcome) -> None:
    found = alike(tested)
    recorded = tested.counts.mean(axis=3).sum(axis=1)
    right = code_similarity(tested.pictures, recorded, data_range=255)
    assert found["ssim_of_trials"] == pytest.approx(right)
    assert found["ssim"] == pytest.approx(
        code_similarity(tested.pictures, tested.rates.sum(axis=1), data_range=255)
    )
    assert found["ssim"] != found["ssim_of_trials"]
    nothing = dataclasses.replace(tested, rates=np.zeros_like(tested.rates))
    assert np.isnan(alike(nothing)["ssim"])


def test_models_are_compared_on_the_same_folds() -> None:
    """The reference of the same folds, of the same seed if there is one."""
    seeds = pd.DataFrame(
        [
            ("movie", 10.0, "ln", "", 1, "0", 0.2, 2.0),
            ("movie", 10.0, "ln", "", 2, "1", 0.5, 1.0),
            ("movie", 10.0, "cnn", "", 1, "0", 0.3, 2.5),
            ("movie", 10.0, "cnn", "", 2, "1", 0.7, 1.0),
            ("movie", 10.0, "cnn", "", 3, "2", 0.9, 0.0),  # of a fold without a reference
            ("movie", 10.0, "glm", "", 5, "1", 0.4, 1.5),
            ("other", 10.0, "glm", "", 1, "0", 0.4, 1.5),
        ],
        columns=["data", "bin_ms", "model", "hidden", "seed", "folds", "cc", "van_rossum"],
    )
    found = against(seeds, "ln").set_index(["model", "measure"])
    assert found.index.tolist() == [
        *(("cnn", "cc"), ("cnn", "van_rossum"), ("glm", "cc"), ("glm", "van_rossum"))
    ]
    assert found["seeds"].tolist() == [2, 2, 1, 1]
    np.testing.assert_allclose(found["more"], [0.15, 0.25, -0.1, 0.5])
    half = 12.7062 * 0.05  # Student's t with one degree of freedom, times the standard error
    np.testing.assert_allclose(
        found["high"] - found["more"], [half, 5 * half, np.nan, np.nan], rtol=1e-5
    )
    assert against(seeds, "tecos-rate").empty


def test_trains_without_probabilities_have_no_likelihood(tested: Outcome) -> None:
    assert by_cell(tested)["bits_per_spike"].notna().tolist() == [True, True, False, True]
    for model, known in (("tecos", False), ("tecos-noisy", True)):
        other = dataclasses.replace(tested, setup=Setup(model=model, bin_ms=10))
        assert by_cell(other)["bits_per_spike"].notna().any() == known


def test_bits_per_spike_are_a_difference_of_likelihoods() -> None:
    from scipy.stats import poisson

    rng = np.random.default_rng(2)
    rate = rng.gamma(2.0, 0.3, (500, 1))
    y = rng.poisson(rate)
    gain = poisson.logpmf(y, rate).sum() - poisson.logpmf(y, y.mean()).sum()
    assert bits_per_spike(y, rate)[0] == pytest.approx(gain / y.sum() / np.log(2))


def test_folds_are_pooled_window_after_window(tested: Outcome) -> None:
    both = pooled([tested, dataclasses.replace(tested, rates=2 * tested.rates)])
    assert both.counts.shape == (12, 30, 4, 20)
    assert np.array_equal(both.rates[6:], 2 * tested.rates)


def seeds_of(model: str, hidden: str, cc: list[float]) -> pd.DataFrame:
    row = {"data": "synthetic", "bin_ms": 10.0, "model": model, "hidden": hidden, "folds": "0"}
    return pd.DataFrame({"seed": range(len(cc)), "ceiling": 0.9, "cc": cc}).assign(
        **row, cc_corrected=cc, bits_per_spike=np.nan
    )


def test_means_over_seeds_and_the_ablation() -> None:
    seeds = pd.concat(
        [
            seeds_of("tecos", "spiking", [0.2, 0.3, 0.4]),
            seeds_of("tecos", "not spiking", [0.5, 0.5, 0.5]),
            seeds_of("ln", "", [0.3]),
        ]
    )
    models = summary(seeds)
    first = models.iloc[0]
    half = 4.302653 * 0.1 / np.sqrt(3)  # Student's t of 2 degrees of freedom, 97.5 %
    np.testing.assert_allclose(
        [first["cc"], first["cc_low"], first["cc_high"]], [0.3, 0.3 - half, 0.3 + half], rtol=1e-6
    )
    assert np.isnan(models.iloc[2]["cc_low"])
    found = ablation(seeds).set_index("measure")
    assert found.loc["cc", ["spiking", "not_spiking"]].tolist() == pytest.approx([0.3, 0.5])
    assert found.loc["cc", "better"] == "not spiking"
    assert found.loc["bits_per_spike", "better"] == ""
    more = found.loc["cc", ["low", "more", "high"]].tolist()
    assert more == pytest.approx([-0.2 - half, -0.2, -0.2 + half])  # 0.1 apart from seed to seed
    assert ablation(seeds[seeds["hidden"] != "not spiking"]).empty


def test_example_cells_are_reliable_and_told_apart(tested: Outcome) -> None:
    found = example_cells(tested).tolist()
    assert len(set(found)) == len(found)
    assert 2 not in found  # the silent one


def test_every_model_has_a_colour_and_every_recording_a_name() -> None:
    assert set(COLOURS) == set(MODELS)
    assert DATA[0] == "synthetic"


def test_cells_without_spikes_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retina_setup, "_synthetic", small_retina.retina)
    ready = retina_setup.prepare(Setup(bin_ms=30))
    assert ready.cells.tolist() == [0, 1, 3] and ready.silent.tolist() == [2]
    whole = Steps(small_retina.retina(), 30)
    assert np.array_equal(ready.steps.counts, whole.counts[:, :, [0, 1, 3]])
    assert np.array_equal(ready.split.test, folds(small_retina.retina(), 5)[0].test)


def test_distances_are_means_over_windows_and_pairs_of_trials(tested: Outcome) -> None:
    found = with_distances(tested)
    times = [np.flatnonzero(tested.counts[2, :, 1, i]) * 10.0 + 5 for i in range(5)]
    others = [np.flatnonzero(tested.spikes[2, :, 1, i]) * 10.0 + 5 for i in range(5)]
    pairs = list(zip(times, others, strict=True))
    for name, distance in (("victor_purpura", victor_purpura), ("van_rossum", van_rossum)):
        each = [distance([a], [b])[0, 0] for a, b in pairs]
        assert found.distances[name][2, 1] == pytest.approx(np.mean(each))
    each = [spike_distance([a], [b], stop_ms=300)[0, 0] for a, b in pairs]
    assert found.distances["spike"][2, 1] == pytest.approx(np.mean(each))
    table = by_cell(found)
    np.testing.assert_allclose(table["spike"], found.distances["spike"].mean(axis=0))
    assert np.isnan(table["autocorrelogram"][2])  # a silent cell has none


def test_trials_drawn_alike_are_as_near_as_recorded_ones() -> None:
    rng = np.random.default_rng(3)
    rate = 0.3 * rng.random((20, 30, 2, 1))
    recorded, alike = (rng.random((20, 30, 2, 30)) < rate for _ in range(2))
    flat = rng.random((20, 30, 2, 30)) < 0.5
    own = between_trials(recorded, 10)
    for name in BY_WINDOW:
        floor = own[name].mean()
        near, far = (train_distances(recorded, v, 10)[name].mean() for v in (alike, flat))
        assert near == pytest.approx(floor, rel=0.1, abs=0.02)
        assert far > near + 0.03
    assert (rhythm_distance(recorded, alike, 10) < rhythm_distance(recorded, flat, 10)).all()


def test_an_autocorrelogram_stays_within_windows() -> None:
    trials = np.zeros((2, 5, 1, 1))
    trials[0, 4] = trials[1, 0] = trials[1, 2] = 1
    lag, found = rhythm(trials, 10)
    assert lag.tolist() == [10, 20, 30, 40]
    assert found[:, 0].tolist() == [0, 1 / 3, 0, 0]
