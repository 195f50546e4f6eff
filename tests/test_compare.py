"""The comparison: its protocol, its controls, and a whole small study."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from circuits import v1
from circuits.compare import Protocol, Study, run_study
from circuits.compare.measures import agreement, by_class, by_neuron
from circuits.compare.study import RATE_FORM, class_mean, controls
from circuits.v1.lgn import lgn
from toolkit.errors import InputError
from toolkit.network import Network

SMALL = Protocol(
    trials=3, n_directions=4, before_ms=100, grating_ms=200, skip_ms=50, grey_ms=300, bin_ms=10
)


@pytest.fixture(scope="module")
def column() -> Network:
    return v1.column(250, seed=3)


@pytest.fixture(scope="module")
def study(column: Network) -> Study:
    return run_study(column, SMALL, seed=5, device="runtime", show_progress=False)


def test_windows_lie_where_the_trial_has_them(column: Network) -> None:
    thalamus = lgn(column)
    sweeps = SMALL.sweeps(thalamus)
    rest = thalamus.channels.resting_Hz
    trial = SMALL.trial(sweeps, rest)
    windows = SMALL.windows_ms()
    assert windows.shape == (5, 2)
    assert trial.duration_ms == windows[-2, 1]
    assert np.allclose(trial.mean_rates_Hz(*windows[-1]), rest, rtol=1e-5)
    for sweep, window in zip(sweeps, windows[:-1], strict=True):
        expected = sweep.mean_rates_Hz(150, 300)
        assert np.allclose(trial.mean_rates_Hz(*window), expected, rtol=1e-5)
    assert not np.allclose(sweeps[0].mean_rates_Hz(150, 300), sweeps[1].mean_rates_Hz(150, 300))


def test_sweeps_begin_at_rest(column: Network) -> None:
    thalamus = lgn(column)
    for sweep in SMALL.sweeps(thalamus):
        assert sweep.rates_Hz is not None
        assert np.allclose(sweep.rates_Hz[:100], thalamus.channels.resting_Hz, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"trials": 1}, "trials"),
        ({"grating_ms": -1.0}, "grating_ms"),
        ({"grey_ms": 0.0}, "grey_ms"),
        ({"n_directions": 1}, "directions"),
        ({"skip_ms": 5000.0}, "skip_ms"),
    ],
)
def test_bad_protocols(change: dict, word: str) -> None:
    with pytest.raises(InputError, match=word):
        Protocol(**change)


def test_controls_remove_recurrence_or_who_talks_to_whom(column: Network) -> None:
    made = controls(column, seed=1)
    assert set(made) == {"no_recurrence", "shuffled"}
    assert (made["no_recurrence"].synapses.weight == 0).all()
    before, after = column.synapses, made["shuffled"].synapses
    cls = column.neurons["cell_class"]

    def weights_by_pair(synapses) -> pd.Series:
        frame = pd.DataFrame(
            {"pre": cls[synapses.pre], "post": cls[synapses.post], "weight": synapses.weight}
        )
        return frame.groupby(["pre", "post"])["weight"].apply(lambda w: tuple(sorted(w)))

    assert weights_by_pair(before).equals(weights_by_pair(after))
    pairs = set(zip(before.pre.tolist(), before.post.tolist(), strict=True))
    kept = sum(pair in pairs for pair in zip(after.pre.tolist(), after.post.tolist(), strict=True))
    assert kept < 0.6 * len(before)
    again = controls(column, seed=1)["shuffled"].synapses
    assert (again.weight == after.weight).all() and (again.post == after.post).all()


def test_class_mean(column: Network) -> None:
    values = np.arange(2 * column.n).reshape(2, -1)
    means = class_mean(values, column)
    assert means.shape == (len(column.classes), 2)
    e4 = column.neurons["cell_class"] == "e4"
    assert means[column.classes.index("e4"), 1] == values[1, e4].mean()


def test_a_study_has_what_was_shown(study: Study, column: Network) -> None:
    n, bins = column.n, 30
    assert study.evoked_counts.shape == (3, 4, n)
    assert study.grey_counts.shape == (3, n)
    assert study.psth_halves_Hz.shape == (2, len(column.classes), 4, bins)
    assert study.psth_rates_Hz.shape == (len(column.classes), 4, bins)
    assert set(study.evoked_Hz) == {RATE_FORM, "no_recurrence", "shuffled"} == set(study.grey_Hz)
    assert study.raster.duration_ms == SMALL.sweep_ms
    assert study.evoked_counts.sum() > 100
    # Spikes after the skipped part, counted twice: by window, and in the bins of the PSTH.
    skipped = round((SMALL.before_ms + SMALL.skip_ms) / SMALL.bin_ms)
    by_bins = study.psth_spikes_Hz[:, :, skipped:].mean(axis=-1)
    assert np.allclose(by_bins, class_mean(study.spiking_evoked_Hz, column))


def test_a_study_is_reproducible(study: Study, column: Network) -> None:
    again = run_study(column, SMALL, seed=5, device="runtime", show_progress=False)
    assert (again.evoked_counts == study.evoked_counts).all()
    assert (again.evoked_Hz[RATE_FORM] == study.evoked_Hz[RATE_FORM]).all()


def test_measures_of_a_study(study: Study) -> None:
    table = agreement(study)
    assert len(table) == 2 * 3 * 3
    row = table.query("condition == 'evoked' and form == 'rate' and group == 'all'").iloc[0]
    observed, predicted = study.spiking_evoked_Hz, study.evoked_Hz[RATE_FORM]
    sse = np.square(observed - predicted).sum()
    assert row["R2"] == pytest.approx(1 - sse / np.square(observed - observed.mean()).sum())
    assert row["R2_low"] <= row["R2"] <= row["R2_high"]
    classes = by_class(study)
    assert classes["neurons"].sum() == study.network.n
    assert {"recorded_evoked_median_Hz", "psth_ceiling", "osi_rate"} <= set(classes)
    assert len(by_neuron(study)) == study.network.n


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"device": "gpu"}, "unknown device 'gpu'"),
        ({"dynamics": "lowpass"}, "Did you mean 'low_pass'"),
        ({"dt_ms": 20.0}, "does not divide"),
        ({"dt_ms": 0.0}, "does not divide"),
    ],
)
def test_bad_options_are_refused(column: Network, options: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        run_study(column, SMALL, **options)
