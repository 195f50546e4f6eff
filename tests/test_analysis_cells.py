"""Simple and complex cells: the measures on known responses, and the analysis of a network."""

from __future__ import annotations

import numpy as np
import pytest
from trained_column import small_column

from circuits.analysis import Options, cells, write
from toolkit.errors import InputError
from toolkit.metrics.modulation import modulation_ratio, phase_selectivity, preferred_orientation

TIME_S = np.arange(200) * 0.005  # two periods of 2 Hz
WAVE = 2 * np.pi * 2 * TIME_S
PHASES = np.arange(0, 360, 45)


@pytest.mark.parametrize(
    ("response", "ratio"),
    [
        (np.maximum(0, np.sin(WAVE)), np.pi / 2),
        (np.maximum(0, np.sin(WAVE + 1.0)), np.pi / 2),
        (np.full(200, 7.0), 0.0),
        (3 + 1.5 * np.cos(WAVE), 0.5),
        (np.abs(np.sin(WAVE)), 0.0),  # at twice the frequency only
        ((np.arange(200) % 100 == 3).astype(float), 2.0),  # an impulse a period
    ],
)
def test_f1_over_f0_of_known_responses(response, ratio):
    assert modulation_ratio(response[:, None], 2.0, 5.0)[0] == pytest.approx(ratio, abs=1e-3)


def test_silent_neurons_have_no_ratio_and_periods_must_be_whole():
    assert np.isnan(modulation_ratio(np.zeros((200, 1)), 2.0, 5.0)[0])
    for steps in (150, 40):
        with pytest.raises(InputError, match="whole number of periods"):
            modulation_ratio(np.ones((steps, 1)), 2.0, 5.0)
    with pytest.raises(InputError, match="0 or more"):
        modulation_ratio(-np.ones((200, 1)), 2.0, 5.0)


@pytest.mark.parametrize("phase", [0.0, 30.0, 250.0])
def test_the_phase_of_standing_gratings(phase):
    responses = 4 + 2 * np.cos(np.radians(PHASES - phase))
    index, preferred = phase_selectivity(np.stack([responses, 0 * responses], axis=1), PHASES)
    assert index[0] == pytest.approx(0.5) and np.isnan(index[1]) and np.isnan(preferred[1])
    assert (preferred[0] - phase + 180) % 360 - 180 == pytest.approx(0, abs=1e-9)
    with pytest.raises(InputError, match="cover 360 degrees evenly"):
        phase_selectivity(responses[:5], PHASES[:5])


@pytest.mark.parametrize("angle", [0.0, 75.0, 179.0])
def test_the_preferred_orientation(angle):
    directions = np.arange(0, 360, 30)
    rates = 5 + np.cos(2 * np.radians(directions - angle))
    found = preferred_orientation(np.stack([rates, 0 * rates + 1], axis=1), directions)
    assert found[0] == pytest.approx(angle) or found[0] == pytest.approx(angle + 180)
    assert np.isnan(found[1])
    with pytest.raises(InputError, match="one row for each"):
        preferred_orientation(rates[:5], directions)


def test_orientations_are_at_most_90_degrees_apart():
    found = cells.turned_deg(np.array([10.0, 0.0, 170.0]), np.array([100.0, 179.0, 10.0]))
    assert found.tolist() == [90, 1, 20]


def model_cells(_, task, what, __):
    """A simple cell, a complex cell and an untuned, silent and unmodulated one."""
    direction = np.arange(0, 361, task.step_deg)[what[:, 0].astype(int)]
    assert np.array_equal(task.orientations_deg, np.arange(0, 361, task.step_deg))
    steps = task.timing.n_steps(5.0)
    time_s = np.arange(steps) * 0.005
    moving = what[:, 1, None] - 2 * np.pi * task.temporal_frequency_Hz * time_s
    simple = np.maximum(0, np.cos(moving - 1.0)) * (
        1 + np.cos(2 * np.radians(direction - 60))[:, None]
    )
    complex_one = (3 + 2 * np.cos(np.radians(direction - 120)))[:, None] + 0 * moving
    return np.stack([4 * simple, complex_one, 0 * moving], axis=2)


def test_tuning_finds_what_model_cells_are(monkeypatch):
    monkeypatch.setattr(cells, "_rates", model_cells)
    found = cells.tuning(small_column())
    np.testing.assert_allclose(found.f1_f0[:2], [np.pi / 2, 0], atol=1e-3)
    np.testing.assert_allclose(found.osi[:2], [0.5, 0], atol=1e-9)
    np.testing.assert_allclose(found.dsi[:2], [0, 1 / 3], atol=1e-9)
    np.testing.assert_allclose(found.orientation_deg[0], 60)
    np.testing.assert_allclose(found.phase_deg[0], np.degrees(1.0), atol=1.5)
    # Eight samples of a half-rectified cosine; 0 for the complex cell.
    np.testing.assert_allclose(found.phase_f1_f0[:2], [np.pi / 2, 0], atol=0.1)
    np.testing.assert_allclose(found.best_Hz, [4 * 2 / np.pi, 5, 0], atol=1e-2)
    for name in ("osi", "dsi", "orientation_deg", "f1_f0", "phase_f1_f0", "phase_deg"):
        assert np.isnan(getattr(found, name)[2])


def test_alignment_of_orientations_is_told_from_chance():
    rng = np.random.default_rng(1)
    first = rng.uniform(0, 180, 200)
    near = (first + rng.normal(0, 10, 200)) % 180
    words = cells._alignment(first, near, "before training", 1)
    assert "(p = 0.001)" in words and "mean cos 2(difference) 0.9" in words
    words = cells._alignment(first, rng.uniform(0, 180, 200), "before training", 1)
    assert float(words.split("(p = ")[1][:-2]) > 0.02
    assert cells._alignment(first[:3], near[:3], "x", 1).startswith("Too few tuned neurons (3)")


@pytest.mark.parametrize("lgn", [False, True])
def test_the_analysis_as_a_whole(lgn, tmp_path):
    made = small_column(lgn)
    result = cells.analyse(made, Options(items=4))
    write(result, tmp_path / "cells")
    neurons = result.tables["tuning_of_neurons"]
    assert len(neurons.rows) == 300
    for when in ("before", "after"):
        ratio, best = neurons[f"f1_f0_{when}"], neurons[f"best_Hz_{when}"]
        assert np.array_equal(np.isnan(ratio), best == 0)
        assert np.nanmax(ratio) <= 2
    assert not np.array_equal(neurons["f1_f0_before"], neurons["f1_f0_after"])
    classes = result.tables["tuning_by_class"]
    assert classes["neurons"].sum() == 300 and "excitatory" in result.findings[0]
