"""Fitting of retina models: resumed bit for bit, stopped in time, kept apart from the test set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from toolkit.errors import InputError, SimulationError
from toolkit.retina.data import Split, Steps, folds
from toolkit.retina.fitting import Options, evaluate, fit, predict, training
from toolkit.retina.models import make_model
from toolkit.retina.synthetic import synthetic_retina

OPTIONS = Options(steps=6, look_every=2, run_in_ms=120, samples=2, checkpoint_s=0.0)


@pytest.fixture(scope="module")
def data() -> tuple[Steps, Split]:
    experiment = synthetic_retina(n_cells=3, n_trials=4, duration_s=9.0, seed=1).experiment
    return Steps(experiment, 30), folds(experiment, 5)[0]


def weights(model) -> list[torch.Tensor]:
    return [p.detach().clone() for p in model.parameters()]


@pytest.mark.parametrize("name", ["ln", "glm", "tecos", "tecos-noisy", "ib-gp"])
def test_a_stopped_training_goes_on_bit_for_bit(name: str, data, tmp_path: Path) -> None:
    steps, split = data
    whole = fit(make_model(name, steps), steps, split, OPTIONS, show=False)

    model = make_model(name, steps)
    loss, calls = model.loss, []

    def stops(*args):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return loss(*args)

    model.loss = stops
    with pytest.raises(KeyboardInterrupt):
        fit(model, steps, split, OPTIONS, folder=tmp_path, show=False)
    assert (tmp_path / training.CHECKPOINT).exists()
    again = fit(make_model(name, steps), steps, split, OPTIONS, folder=tmp_path, show=False)
    assert all(map(torch.equal, weights(whole.model), weights(again.model)))
    assert [h["cc"] for h in again.history] == [h["cc"] for h in whole.history]
    assert again.best_step == whole.best_step


def breaking(model, at: int, change) -> None:
    """Let the loss of the step `at` be another one."""
    loss, calls = model.loss, []

    def breaks(*args):
        calls.append(1)
        return change(loss(*args)) if len(calls) == at + 1 else loss(*args)

    model.loss = breaks


@pytest.mark.parametrize("what", ["loss", "gradient's norm"])
def test_a_number_that_is_none_never_reaches_the_weights(what: str, data, tmp_path: Path) -> None:
    steps, split = data
    model = make_model("ln", steps)
    zero = 0 * model.baseline.sum()
    change = {
        "loss": lambda loss: loss * float("nan"),
        "gradient's norm": lambda loss: loss + zero.sqrt(),  # 0, of infinite slope
    }[what]
    breaking(model, 3, change)
    with pytest.raises(SimulationError, match=rf"step 3: the {what} is nan.*as it was before.*Try"):
        fit(model, steps, split, OPTIONS, folder=tmp_path, show=False)
    assert all(w.isfinite().all() for w in weights(model))
    again = fit(make_model("ln", steps), steps, split, OPTIONS, folder=tmp_path, show=False)
    whole = fit(make_model("ln", steps), steps, split, OPTIONS, show=False)
    assert again.steps == 6
    assert all(map(torch.equal, weights(whole.model), weights(again.model)))


def test_a_checkpoint_of_another_training(data, tmp_path: Path) -> None:
    steps, split = data
    fit(make_model("ln", steps), steps, split, OPTIONS, folder=tmp_path, show=False)
    with pytest.raises(InputError, match="model is 'LN' there and 'GLM' here"):
        fit(make_model("glm", steps), steps, split, OPTIONS, folder=tmp_path, show=False)


def test_a_checkpoint_of_another_variant(data, tmp_path: Path) -> None:
    steps, split = data
    fit(make_model("tecos", steps), steps, split, OPTIONS, folder=tmp_path, show=False)
    with pytest.raises(InputError, match=r"settings.name is 'tecos' there and 'tecos-rate' here"):
        fit(make_model("tecos-rate", steps), steps, split, OPTIONS, folder=tmp_path, show=False)


def test_spikes_of_the_test_windows_change_nothing(data) -> None:
    from dataclasses import replace

    steps, split = data
    counts = steps.experiment.counts.copy()
    counts[split.test] = counts[split.test][::-1]
    other = Steps(replace(steps.experiment, counts=counts), 30)
    one, two = (
        fit(make_model("tecos", s, split.train), s, split, OPTIONS, show=False).model
        for s in (steps, other)
    )
    assert all(map(torch.equal, weights(one), weights(two)))


def test_pieces_hold_their_windows(data) -> None:
    steps, split = data
    cut = training.pieces(steps, split.train, 120)
    for k, window in enumerate(split.train):
        shown = cut.shown[k][cut.batch.mask[k]]
        first = steps.first[window]
        assert np.array_equal(shown, steps.shown[0, first : first + steps.n_bins])
        expected = steps.counts[0, first : first + steps.n_bins]
        assert np.array_equal(cut.batch.counts[k][cut.batch.mask[k]], expected)


def test_the_best_look_is_kept(data) -> None:
    steps, split = data
    fitted = fit(make_model("ln", steps, split.train), steps, split, OPTIONS, show=False)
    assert fitted.best_cc == max(h["cc"] for h in fitted.history)
    found = evaluate(predict(fitted.model, steps, samples=1), steps, split.validation)["cc"]
    assert found == pytest.approx(fitted.best_cc, abs=0.05)  # its run-in was shorter


@pytest.mark.parametrize(
    ("name", "kept"), [("tecos", ("steps", 3, 0.1)), ("ln", ("patience", 1, 0.3))]
)
def test_weights_that_are_kept(name: str, kept: tuple, data, monkeypatch) -> None:
    """Those of the best look; the last ones of models without early stopping."""
    steps, split = data
    worse = iter((0.3, 0.2, 0.1))
    monkeypatch.setattr(training._Training, "_validation_cc", lambda _: next(worse))
    options = Options(steps=3, look_every=1, patience=1, samples=1)
    fitted = fit(make_model(name, steps, split.train), steps, split, options, show=False)
    assert (fitted.stopped, fitted.best_step, fitted.best_cc) == kept


def test_training_helps(data) -> None:
    steps, split = data
    options = Options(steps=60, look_every=10, run_in_ms=300)
    fitted = fit(make_model("ln", steps, split.train), steps, split, options, show=False)
    assert fitted.best_cc > 0.3


def test_options_that_cannot_be() -> None:
    with pytest.raises(InputError, match="steps must be 1 or more"):
        Options(steps=0)
    with pytest.raises(InputError, match="learning_rate"):
        Options(learning_rate=float("nan"))


def test_no_validation_windows(data) -> None:
    steps, split = data
    none = Split(split.train, split.validation[:0], split.test)
    with pytest.raises(InputError, match="no validation windows"):
        fit(make_model("ln", steps), steps, none, OPTIONS, show=False)
