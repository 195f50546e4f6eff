"""The report card of a conversion, on spikes whose rates are known: Poisson spikes of the model."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from trained_column import small_column

from circuits.cli.convert import numbers
from circuits.conversion import (
    backends,
    calibration,
    controls,
    findings,
    fine_tuning,
    measures,
    study,
)
from circuits.conversion.page import PAGE, RECORD, check_free, write_card
from circuits.conversion.responses import (
    PAUSE_MS,
    Responses,
    Shown,
    binned_responses,
    own_timing,
    rate_responses,
    stimulus_held,
)
from circuits.conversion.study import HELD, NO_W, OWN, Options, Study, run_study
from circuits.training import Prepared
from converters import to_spiking
from toolkit import metrics
from toolkit.errors import DataError, InputError
from toolkit.network import Network
from toolkit.recording import Recording
from toolkit.scan import scan
from toolkit.table import Table
from toolkit.tasks import PAIR

OPTIONS = Options(items=6, trials=2, windows_ms=(20.0, 50.0, 200.0))


class PoissonTwin:
    """Stands for a compiled network: Poisson spikes of the rate network's rates."""

    made = 0

    def __init__(self, trained: Prepared, network: Network):
        self.trained, self.network = trained, network
        type(self).made += 1

    def job(self, inputs: dict[str, Recording], *, seed: int) -> tuple[Recording, int]:
        return inputs["lgn"], seed

    @torch.no_grad()
    def run_jobs(self, jobs: Iterator[Any], **_: Any) -> Iterator[Recording]:
        model = self.trained.model
        weights = model.weights().clone()
        if not len(self.network.synapses):
            weights[model.from_channel < len(model.recurrent)] = 0
        for driving, seed in jobs:
            inputs = torch.from_numpy(np.array(driving.rates_Hz))[None]
            rates = scan(model.connections, model.system, weights, model.constant_pA, inputs)[0]
            many = np.repeat(rates.numpy(), self.network.n // model.n, axis=1)
            yield Recording.rates(many, dt_ms=model.dt_ms).to_spikes(seed)


@pytest.fixture(scope="module")
def trained() -> Iterator[Prepared]:
    column = small_column(lgn=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            backends, "simulation", lambda network, *_, **__: PoissonTwin(column, network)
        )
        patch.setattr(study, "FACTORS", (1.0, 2.0))
        patch.setattr(study, "GRATING_TRIALS", 2)
        yield column


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("conversion") / "card"


@pytest.fixture(scope="module")
def found(trained: Prepared, folder: Path) -> Study:
    return run_study(trained, folder, OPTIONS, show_progress=False)


def test_a_card_of_spikes_that_have_the_rates(found: Study, folder: Path) -> None:
    verdicts = write_card(found, folder, command="striate convert <b>")
    record = json.loads((folder / RECORD).read_text())
    own = record["agreement"][0]
    assert (own["form"], own["group"], own["trials"]) == ("converted", "all", 2)
    assert own["R2"] > 0.95 and 0.9 < own["slope"] < 1.1
    assert abs(own["item_R2_pooled"] - 1) < 0.25  # 12 items of 2 trials of 200 ms
    assert abs(own["count_correlation"]) < 0.02
    page = (folder / PAGE).read_text()
    assert verdicts[0][0] in page and "&lt;b&gt;" in page and "<b>" not in page
    assert {each["form"] for each in record["accuracy"]} >= {
        "rate network", measures.SPIKES_IN, NO_W, "one factor"
    }  # fmt: skip
    lost = {each["form"]: each["lost_by_conversion"] for each in record["accuracy"]}
    assert lost[measures.SPIKES_IN] == 0 and lost["converted"] is not None
    for name in ("agreement.csv", "accuracy.csv", "neurons.csv", "figures/overview.png"):
        assert (folder / name).stat().st_size > 100


def test_the_rate_network_on_spikes_of_its_input(trained: Prepared) -> None:
    shown, model = own_timing(trained, 12), trained.model

    def deviation(cells: int, seed: int) -> np.ndarray:
        before, model.cells_per_channel = model.cells_per_channel, cells
        counted = rate_responses(model, shown, np.random.default_rng(seed))
        model.cells_per_channel = before
        exact = rate_responses(model, shown)
        return np.concatenate(
            [(a.rates_Hz - b.rates_Hz)[0] for a, b in zip(counted, exact, strict=True)]
        )

    few, many = deviation(5, 1), deviation(500, 1)
    assert np.array_equal(few, deviation(5, 1)) and not np.array_equal(few, deviation(5, 2))
    assert many.std() == pytest.approx(few.std() / 10, rel=0.3) and few.std() > 0.1


def test_a_run_goes_on_where_it_stopped(found: Study, trained: Prepared, folder: Path) -> None:
    PoissonTwin.made = 0
    again = run_study(trained, folder, OPTIONS, show_progress=False)
    assert PoissonTwin.made == 0
    before = found.forms["converted"][OWN][0].rates_Hz
    assert np.array_equal(again.forms["converted"][OWN][0].rates_Hz, before)
    (folder / "parts" / "converted_own_timing_1.npz").unlink()
    again = run_study(trained, folder, OPTIONS, show_progress=False)
    assert PoissonTwin.made == 1
    assert np.array_equal(again.forms["converted"][OWN][0].rates_Hz, before)
    with pytest.raises(InputError, match="other options"):
        run_study(trained, folder, Options(items=7, trials=2), show_progress=False)


def test_items_are_found_again_behind_their_pauses(trained: Prepared) -> None:
    network = to_spiking(trained.model, trained.network, replicas=2)

    class Clock(PoissonTwin):
        def run_jobs(self, jobs: Iterator[Any], **_: Any) -> Iterator[Recording]:
            for driving, _ in jobs:
                # One spike of neuron 0 (a replica of unit 0) 13 ms after the start of each item.
                starts = np.arange(PAUSE_MS, driving.duration_ms, PAUSE_MS + 50.0)
                yield Recording.spikes(
                    starts + 13.0, np.zeros(len(starts), int), n=self.network.n, dt_ms=0.25,
                    duration_ms=driving.duration_ms,
                )  # fmt: skip

    inputs = np.ones((3, 10, trained.data.n_channels), dtype=np.float32)
    (binned,) = binned_responses(Clock(trained, network), [inputs], 5.0, seed=1)  # type: ignore[arg-type]
    assert binned.shape == (3, 5, trained.network.n)
    assert binned[:, 1, 0].tolist() == [50.0] * 3  # 100 Hz, half of the replicas
    assert binned.sum() == 150.0


def test_the_last_stimulus_is_held(trained: Prepared) -> None:
    shown = stimulus_held(trained, 4, (50.0, 200.0))
    images, change = shown.data.tasks
    assert images.timing.response_ms == (150.0, 350.0)
    on = change.timing.shown(5.0)
    assert on.sum(axis=1).tolist() == [20, 70] and change.timing.duration_ms == 700.0
    assert shown.bins(1) == [slice(50, 55), slice(50, 70)]
    assert PAIR.held(50.0).shown(5.0).sum(axis=1).tolist() == [20, 40]
    assert own_timing(trained, 4).windows_ms == (50.0,)


@pytest.mark.parametrize("windows", [(), (15.0,), (50.0, 20.0), (50.0, 300.0)])
def test_windows_that_do_not_fit_are_refused(trained: Prepared, windows: tuple) -> None:
    shown = stimulus_held(trained, 4, (50.0, 200.0))
    with pytest.raises(InputError, match="window"):
        Shown(shown.data, windows, 4)


def test_controls_keep_what_they_say() -> None:
    network = small_column().network
    charge = network.synapses.weight * controls.charge_per_peak(network, network.synapses)
    moved = controls.shuffled(network, seed=1)
    other = moved.synapses.weight * controls.charge_per_peak(moved, moved.synapses)
    assert not np.allclose(charge, other)
    for neuron in np.unique(network.synapses.pre)[:20]:
        mine = network.synapses.pre == neuron
        assert np.allclose(np.sort(charge[mine]), np.sort(other[mine]), rtol=1e-5)
    assert len(controls.without_recurrence(network).synapses) == 0
    one = controls.one_factor(network, 1.0).synapses.weight
    assert np.ptp(one / charge) < 1e-4 * np.mean(one / charge)
    assert np.allclose(controls.one_factor(network, 2.0).synapses.weight, 2 * one, rtol=1e-6)
    with pytest.raises(InputError, match="above 0"):
        controls.one_factor(network, 0.0)


def responses(rates: np.ndarray) -> list[Responses]:
    """One task with these rates, (trial, item, neuron)."""
    trials, items, _ = rates.shape
    psth = rates.mean(axis=1)[:, None].repeat(3, axis=1)
    return [Responses(np.zeros(items, int), np.zeros((trials, items, 1, 1)), rates, psth)]


def test_the_verdict_names_what_failed_first(found: Study) -> None:
    agreement = measures.agreement(
        found.rate[HELD],
        {name: each[HELD] for name, each in found.forms.items()},
        found.trained.network.excitatory,
    )
    accuracy = measures.accuracies(found.shown, found.rate, found.forms)
    # The twin takes shuffled weights for the trained ones, so that this control must be as good.
    first, good = findings.verdicts(found, agreement, accuracy)[0]
    assert "THE CONTROL DOES AS WELL" in first and not good
    silent = agreement["spiking_Hz"].copy()
    silent[agreement["form"] == "converted"] = 0.0
    dead = agreement.replace(spiking_Hz=silent)
    assert findings.verdicts(found, dead, accuracy)[0][0].startswith("NOTHING WAS CONVERTED")
    others = agreement["form"] != "converted"
    bad = np.where(others, -1.0, 0.99)
    better = agreement.replace(item_R2_pooled=bad, item_R2_median=bad)
    assert "aims are reached" in findings.verdicts(found, better, accuracy)[0][0]


def test_agreement_of_one_trial_has_no_correction() -> None:
    rng = np.random.default_rng(1)
    rates = rng.gamma(2.0, 3.0, (1, 5, 8))
    table: Table = measures.agreement(
        responses(rates), {"same": responses(rates)}, np.arange(8) < 6
    )
    assert table["group"].tolist() == ["all", "E", "I"]
    assert table["R2"].tolist() == [1.0] * 3 and np.isnan(table["item_R2_median"]).all()
    assert table["item_R2_raw_median"].tolist() == [1.0] * 3


def test_noise_correction_is_unbiased_and_finds_errors() -> None:
    rng = np.random.default_rng(2)
    truth = rng.normal(10, 3, (400, 200))
    trials = truth + rng.normal(0, 6, (4, 400, 200))  # noise of the means as large as the signal
    assert abs(metrics.pooled_corrected_r_squared(trials, truth) - 1) < 0.01
    assert abs(np.nanmedian(metrics.noise_corrected_r_squared(trials, truth)) - 1) < 0.03
    assert np.median(metrics.per_neuron_r_squared(trials.mean(axis=0), truth)) < 0.6
    off = metrics.pooled_corrected_r_squared(trials, 10 + 0.5 * (truth - 10))
    assert abs(off - 0.75) < 0.02  # half the gain leaves a quarter of the variance
    noise = rng.normal(10, 6, (4, 400, 5))
    assert np.isnan(metrics.noise_corrected_r_squared(noise, truth[:, :5])).all()
    shared = rng.normal(0, 1, (4, 400, 1)) + rng.normal(0, 1, (4, 400, 50)) + 50
    assert abs(metrics.noise_correlation(shared) - 0.5) < 0.03
    assert metrics.rate_histogram_divergence(truth.clip(0), 3 * truth.clip(0)) > 0.5


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: Options(items=1), "items"),
        (lambda: Options(replicas=(1, 1)), "replicas"),
        (lambda: Options(trials=0), "trials"),
        (lambda: numbers("--replicas", "1,x", whole=True), "--replicas"),
        (lambda: metrics.noise_corrected_r_squared(np.ones((1, 3, 2)), np.ones((3, 2))), "trials"),
        (lambda: metrics.noise_correlation(np.ones((2, 3))), "counts"),
    ],
)
def test_bad_input_is_named(wrong: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        wrong()


def test_folders_of_other_things_are_refused(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match="other files"):
        check_free(tmp_path, force=False)
    with pytest.raises(InputError, match="is a file"):
        check_free(tmp_path / "mine.txt", force=True)
    check_free(tmp_path / "new", force=False)


def test_calibration_is_a_part_that_is_kept(
    trained: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def made(network: Network, *_: Any, **__: Any) -> PoissonTwin:
        return PoissonTwin(trained, network)

    monkeypatch.setattr(calibration, "simulation", made)
    quick = functools.partial(calibration.calibrate, items=8, max_steps=1)
    monkeypatch.setattr(study, "calibrate", quick)
    monkeypatch.setattr(study, "fit_tau_r", functools.partial(study.fit_tau_r, max_rounds=1))
    options = Options(items=4, trials=1, windows_ms=(50.0,), calibrate="class")
    first = run_study(trained, tmp_path, options, show_progress=False)
    assert 1 <= len(first.calibration) <= 2
    assert "I_ext_pA" in first.network.neurons
    verdicts = write_card(first, tmp_path)
    assert verdicts and "Calibrated by a gain and a current of each class" in (
        tmp_path / PAGE
    ).read_text(encoding="utf-8")
    page = (tmp_path / PAGE).read_text(encoding="utf-8")
    assert "Spectral radius" in page and "With time constants of the rates fitted" in page
    constants = pd.read_csv(tmp_path / "time_constants.csv")
    changed = constants.fitted_ms / constants.trained_ms
    assert changed.between(1 / 8, 8).all() and (changed != 1).any()
    predicted = pd.read_csv(tmp_path / "prediction.csv")
    assert set(predicted.cell_class) == set(trained.cell_class.tolist())
    monkeypatch.setattr(study, "calibrate", lambda *a, **k: 1 / 0)
    again = run_study(trained, tmp_path, options, show_progress=False)
    assert again.calibration == first.calibration
    assert again.network.digest() == first.network.digest()
    (tmp_path / "parts" / "calibration.npz").write_bytes(b"none of these")
    with pytest.raises(DataError, match=r"calibration\.npz is damaged"):
        run_study(trained, tmp_path, options, show_progress=False)
    with pytest.raises(InputError, match="fine-tuning is of one spiking neuron"):
        Options(fine_tune=5, replicas=(1, 4))
    with pytest.raises(InputError, match="unknown calibrate 'layer'"):
        Options(calibrate="layer")


def test_fine_tuning_is_a_part_that_is_kept(
    trained: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(fine_tuning, "HELD_OUT_ITEMS", 2)
    quick = functools.partial(fine_tuning.fine_tune, items=2, dt_ms=1.0, look_every=1)
    monkeypatch.setattr(study, "fine_tune", quick)
    options = Options(items=2, trials=1, windows_ms=(50.0,), fine_tune=2)
    first = run_study(trained, tmp_path, options, show_progress=False)
    assert len(first.fine_tuning) == 3 and np.isfinite(first.fine_tuning).all()
    write_card(first, tmp_path)
    page = (tmp_path / PAGE).read_text(encoding="utf-8")
    assert f"error of rates on held-out validation items {first.fine_tuning[0]:.3f} before" in page
    monkeypatch.setattr(study, "fine_tune", lambda *a, **k: 1 / 0)
    again = run_study(trained, tmp_path, options, show_progress=False)
    assert again.fine_tuning == first.fine_tuning
    assert again.network.digest() == first.network.digest()
    (tmp_path / "parts" / "fine_tuning.npz").write_bytes(b"none of these")
    with pytest.raises(DataError, match=r"fine_tuning\.npz is damaged"):
        run_study(trained, tmp_path, options, show_progress=False)
