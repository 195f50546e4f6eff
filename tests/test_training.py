"""Training: steps that repeat, stops, goes on; checkpoints; what is said when it fails."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import small_trainings
import torch
from small_trainings import OPTIONS, SETUP, fresh, trained

from circuits.training import Penalties, Prepared, Setup, prepare, train
from toolkit.errors import DataError, InputError, SimulationError
from toolkit.learning import memory, stepping, training
from toolkit.learning.checkpoints import load_checkpoint, save_checkpoint
from toolkit.learning.evaluation import Counts, answer, evaluate, wilson_interval
from toolkit.learning.losses import Readout
from toolkit.learning.options import TrainingOptions
from toolkit.learning.training import CHECKPOINT, Fitted


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    return prepare(SETUP)


@pytest.fixture(scope="module")
def whole(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training without interruption."""
    folder = tmp_path_factory.mktemp("whole")
    trained(prepared, folder)
    return folder


def state_of(folder: Path) -> dict:
    """What a checkpoint holds but for times."""
    content = (folder / CHECKPOINT).read_bytes()
    at = content.index(b"\n", content.index(b"\n") + 1) + 1
    (folder / "plain.pt").write_bytes(content[at:])
    state = torch.load(folder / "plain.pt", weights_only=True)["state"]
    state.pop("seconds")
    for row in state["history"]:
        row.pop("seconds")
    return state


def same(a, b) -> bool:
    """Equal bit for bit."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


# ---- answers ---------------------------------------------------------------------------------


def test_an_answer_needs_no_step_after_its_window(prepared: Prepared):
    both = prepare(dataclasses.replace(SETUP, tasks=("images", "change"), change_images="digits"))
    batch = next(both.data.epoch("train", 8))
    model = both.model
    with torch.no_grad():
        found, rates = answer(model, both.data, batch), model(batch.inputs)
    right = both.data.evidence_Hz(model.pool_rates(rates, batch.response), batch.task)
    torch.testing.assert_close(found.evidence_Hz, right)
    ends = torch.where(batch.task == 0, 40, 110)
    summed = sum(rates[i, :end].sum(0) for i, end in enumerate(ends.tolist()))
    assert found.n_item_steps == int(ends.sum())
    torch.testing.assert_close(found.mean_rates_Hz, summed / ends.sum(), rtol=1e-4, atol=1e-4)


def test_noise_goes_to_its_items(prepared: Prepared):
    batch = next(prepared.data.epoch("train", 4))
    noise = torch.zeros(1, 1, 4)
    noise[:, :, 2] = 100.0
    with torch.no_grad():
        still, moved = (answer(prepared.model, prepared.data, batch, n) for n in (None, noise))
    changed = (still.evidence_Hz != moved.evidence_Hz).any(1).tolist()
    assert changed == [False, False, True, False]


def test_counts_and_intervals(prepared: Prepared):
    counts = evaluate(prepared.model, prepared.data, "test", max_items=100)
    n, accuracy, loss = counts.scores(["images"])["all"]
    assert n == 128  # whole batches
    right, total = 0, 0.0
    with torch.no_grad():
        for batch in [*prepared.data.epoch("test")][:2]:
            evidence = answer(prepared.model, prepared.data, batch).evidence_Hz
            right += int((evidence.argmax(1) == batch.targets).sum())
            total += float(Readout(1).losses(evidence, batch.targets, batch.task).sum())
    assert accuracy == right / 128 and loss == pytest.approx(total / 128)
    assert counts.mean_rates_Hz.shape == (300,)
    assert wilson_interval(0, 10)[0] == 0 and wilson_interval(10, 10)[1] == pytest.approx(1)
    low, high = wilson_interval(30, 100)
    assert (low, high) == (pytest.approx(0.2189, abs=1e-4), pytest.approx(0.3958, abs=1e-4))
    assert Counts(1, 3).scores(["a"])["a"] == (0, 0.0, 0.0)


# ---- steps -----------------------------------------------------------------------------------


def test_it_learns(prepared: Prepared):
    how = dict(
        max_steps=30, batch_size=32, evaluate_every=30, validation_items=200, learning_rate=0.1,
        penalties=Penalties(),
    )  # fmt: skip
    fitted = trained(prepared, how=how)
    first, *_, last = [row for row in fitted.history if row["split"] == "validation"]
    assert last["accuracy"] > 0.4 > 3 * first["accuracy"]
    assert last["loss"] < 0.8 * first["loss"]


def test_the_same_again(prepared: Prepared, whole: Path, tmp_path: Path):
    trained(prepared, tmp_path)
    assert same(state_of(tmp_path), state_of(whole))
    other = tmp_path / "other"
    other.mkdir()
    trained(prepared, other, {"seed": 1})
    assert not same(state_of(other)["weights"], state_of(whole)["weights"])


@pytest.mark.parametrize("at", [1, 4, 8, 9])
def test_interrupted_it_goes_on_bit_for_bit(
    prepared: Prepared, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
):
    """By the at-th answer, of a step or in the middle of a look at validation items."""
    calls = iter(range(1000))

    def answer_or_stop(*arguments, **options):
        if next(calls) == at:
            raise KeyboardInterrupt
        return answer(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(stepping, "answer", answer_or_stop)
        patch.setattr("toolkit.learning.evaluation.answer", answer_or_stop)
        with pytest.raises(KeyboardInterrupt):
            trained(prepared, tmp_path)
    assert state_of(tmp_path)["looked_at"] < OPTIONS.max_steps
    fitted = trained(prepared, tmp_path)
    assert same(state_of(tmp_path), state_of(whole))
    assert fitted.steps == OPTIONS.max_steps


def test_lessons_begin_with_short_pauses_and_go_on_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    pairs = prepare(Setup(size=300, seed=3, tasks=("change",), change_images="photographs"))
    ends, how = [], {"lesson_steps": 1, "evaluate_every": 3}

    def noted(model, data, batch, **options):
        ends.append(int(batch.response[0].nonzero().max()) + 1)
        return answer(model, data, batch, **options)

    monkeypatch.setattr(stepping, "answer", noted)
    trained(pairs, tmp_path, how)
    assert ends == [70, 80, 90, 100, 110, 110]  # steps of 5 ms; validation items are as ever
    half = tmp_path / "half"
    half.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(
            stepping, "answer", lambda *a, **o: noted(*a, **o) if len(ends) < 9 else 1 / 0
        )
        with pytest.raises(ZeroDivisionError):
            trained(pairs, half, how)
    trained(pairs, half, how)
    assert ends[6:] == [70, 80, 90, 100, 110, 110]
    assert same(state_of(half), state_of(tmp_path))


def test_time_decides_when_it_ends_and_nothing_else(
    prepared: Prepared, whole: Path, tmp_path: Path
):
    for budget in (1e-9, 1e-9, 60.0):
        fitted = trained(prepared, tmp_path, {"max_minutes": budget})
        assert fitted.stopped == ("steps" if budget == 60.0 else "minutes")
    assert same(state_of(tmp_path), state_of(whole))


def test_the_best_weights_are_kept(prepared: Prepared, monkeypatch: pytest.MonkeyPatch):
    accuracies = iter([0.1, 0.5, 0.5, 0.2])
    look = training._Run.look
    seen = {}

    def told(run):
        look(run)
        row = run.history[-1]
        row["accuracy"] = next(accuracies)
        better = row["accuracy"] > told.best
        told.best = max(told.best, row["accuracy"])
        seen[row["step"]] = run.model.recurrent.trained.detach().clone()
        if better:
            run.best_accuracy, run.best_step, run.best = (
                row["accuracy"], row["step"], run.stepper.weights(),
            )  # fmt: skip

    told.best = -1.0
    monkeypatch.setattr(training._Run, "look", told)
    fitted = trained(prepared)
    assert len(seen) == 4 and fitted.steps == 6
    assert torch.equal(fitted.model.recurrent.trained, seen[fitted.best_step])


def test_it_stops_when_nothing_gets_better(prepared: Prepared):
    how = dict(max_steps=50, evaluate_every=1, patience=3, learning_rate=1e-12)
    fitted = trained(prepared, how=how)
    assert (fitted.stopped, fitted.best_step, fitted.steps) == ("patience", 0, 3)


def test_test_items_are_never_looked_at(prepared: Prepared, monkeypatch: pytest.MonkeyPatch):
    splits = []
    task = prepared.data.tasks[0]
    draw = type(task).draw

    def seen(self, split, **how):
        splits.append(split)
        return draw(self, split, **how)

    monkeypatch.setattr(type(task), "draw", seen)
    trained(prepared, how={"patience": 1})
    assert set(splits) == {"train", "validation"}


def test_curves_are_written(prepared: Prepared, whole: Path):
    lines = (whole / "learning_curves.csv").read_text().splitlines()
    assert lines[0].startswith("step,epoch,seconds,split,task,items,accuracy,loss,rate_E_Hz")
    rows = [dict(zip(lines[0].split(","), line.split(","), strict=True)) for line in lines[1:]]
    looks = [(row["step"], row["split"]) for row in rows if row["task"] == "all"]
    assert looks == [("0", "validation")] + [
        (str(step), split) for step in (2, 4, 6) for split in ("train", "validation")
    ]
    assert {row["items"] for row in rows if row["split"] == "train"} == {"16"}
    assert (whole / "learning_curves.png").read_bytes().startswith(b"\x89PNG")


def test_learning_rates():
    options = TrainingOptions(learning_rate=0.1, max_steps=100, warm_up_steps=10)
    rates = [options.learning_rate_at(k, 100) for k in range(100)]
    assert rates[0] == pytest.approx(0.01) and max(rates) < 0.1
    assert rates[50] == pytest.approx(0.05) and 0 < rates[99] < 1e-4
    constant = TrainingOptions(learning_rate=0.1, max_minutes=1, schedule="constant")
    assert constant.learning_rate_at(500, math.inf) == 0.1
    assert constant.n_steps(10) == math.inf
    assert TrainingOptions(epochs=2.5, max_steps=30).n_steps(10) == 25


def test_the_hybrid_scenario_goes_on_bit_for_bit(tmp_path: Path):
    ready = prepare(dataclasses.replace(SETUP, scenario="hybrid"))
    halves, whole = tmp_path / "halves", tmp_path / "whole"
    for folder in (halves, whole):
        folder.mkdir()
    trained(ready, whole)
    for budget in (1e-9, 60.0):
        trained(ready, halves, {"max_minutes": budget})
    assert same(state_of(halves), state_of(whole))
    rule = state_of(whole)["rule"]
    assert rule["batches"] == 6 and len(rule["start"]) > 1000


def test_weights_that_are_not_logarithms_get_steps_of_their_own_size(prepared: Prepared):
    ready = prepare(dataclasses.replace(SETUP, scenario="no_dale"))
    start = ready.start["recurrent.trained"]
    train(ready, dataclasses.replace(OPTIONS, max_steps=1), show_progress=False)
    first = OPTIONS.learning_rate_at(0, 1) * start.abs().mean()
    moved = (ready.model.recurrent.trained.detach() - start).abs()
    assert float(moved.max()) <= 1.001 * float(first)


# ---- failures --------------------------------------------------------------------------------


def test_a_loss_that_is_not_finite(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    calls = iter(range(1000))

    def exploding(model, data, batch, **options):
        found = answer(model, data, batch, **options)
        if next(calls) < 3:
            return found
        rows = torch.from_numpy(prepared.cell_class == "e4")
        scale = torch.where(rows, math.inf, 1.0)
        return dataclasses.replace(
            found, evidence_Hz=found.evidence_Hz * math.nan, rate_sum_Hz=found.rate_sum_Hz * scale
        )

    monkeypatch.setattr(stepping, "answer", exploding)
    with pytest.raises(SimulationError) as error:
        trained(prepared, tmp_path)
    for part in ("step 3: ", "not finite", "rates of e4", "of its 59 neurons", CHECKPOINT):
        assert part in str(error.value)
    kept = state_of(tmp_path)
    assert kept["step"] == 3
    assert all(torch.isfinite(value).all() for value in kept["weights"].values())


def test_another_network_options_or_tasks(prepared: Prepared, whole: Path):
    with pytest.raises(InputError, match=r"options.seed is 0 there and 7 here"):
        trained(prepared, whole, {"seed": 7})
    other = prepare(dataclasses.replace(SETUP, seed=4))
    with pytest.raises(InputError, match=r"setup.seed is 3 there and 4 here; network is '"):
        trained(other, whole)
    pixels = prepare(dataclasses.replace(SETUP, tasks=("orientation",), images=None))
    with pytest.raises(InputError, match=r"setup.tasks is \['images'\] there and \['orientation"):
        trained(pixels, whole)


def test_a_checkpoint_is_not_passed_over(prepared: Prepared, whole: Path):
    with pytest.raises(InputError, match="--resume"):
        train(fresh(prepared), OPTIONS, folder=whole, show_progress=False)
    with pytest.raises(InputError, match="does not exist"):
        train(fresh(prepared), OPTIONS, folder=whole / "nowhere", show_progress=False)


@pytest.mark.parametrize("damage", ["cut", "bit", "empty", "other"])
def test_a_damaged_checkpoint(prepared: Prepared, whole: Path, tmp_path: Path, damage: str):
    content = bytearray((whole / CHECKPOINT).read_bytes())
    if damage == "bit":
        content[len(content) // 2] ^= 1
    changed = {"cut": content[:-100], "bit": content, "empty": b"", "other": b"PK" + content}
    (tmp_path / CHECKPOINT).write_bytes(bytes(changed[damage]))
    with pytest.raises(DataError, match=r"checkpoint.pt is (damaged|no checkpoint)"):
        trained(prepared, tmp_path)


def test_checkpoints_hold_no_code(tmp_path: Path):
    file = tmp_path / "a.pt"
    save_checkpoint(file, {"weights": torch.ones(2), "step": 3}, {"n": 1})
    assert load_checkpoint(file, {"n": 1})["weights"].tolist() == [1, 1]
    save_checkpoint(file, {"path": Path("x")}, {})
    with pytest.raises(Exception, match=r"[Ww]eights.only"):
        load_checkpoint(file, {})


def test_other_threads_are_mentioned(prepared: Prepared, whole: Path, tmp_path: Path):
    (tmp_path / CHECKPOINT).write_bytes((whole / CHECKPOINT).read_bytes())
    before = torch.get_num_threads()
    torch.set_num_threads(before + 1)
    try:
        with pytest.warns(UserWarning, match="not bit for bit"):
            trained(prepared, tmp_path)
    finally:
        torch.set_num_threads(before)


def test_a_batch_that_does_not_fit(prepared: Prepared, monkeypatch: pytest.MonkeyPatch):
    each = memory.bytes_per_item(prepared.model, prepared.data)
    monkeypatch.setattr(memory, "available_bytes", lambda device: 5.5 * each)
    with pytest.raises(InputError, match=r"8 items does not fit.*a batch of 4 would fit"):
        trained(prepared)
    monkeypatch.setattr(memory, "available_bytes", lambda device: 0.5 * each)
    with pytest.raises(InputError, match="not even one item fits"):
        trained(prepared)
    monkeypatch.setattr(memory, "available_bytes", lambda device: None)

    def failing(*_, **__):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to")

    monkeypatch.setattr(stepping, "answer", failing)
    with pytest.raises(InputError, match="a batch of 4 would fit"):
        trained(prepared)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"max_steps": None}, "needs an end"),
        ({"schedule": "linear"}, "unknown schedule 'linear'"),
        ({"precision": "float16"}, "unknown precision"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0"),
        ({"batch_size": 0}, "batch_size must be a whole number"),
        ({"warm_up_steps": -1}, "warm_up_steps"),
    ],
)
def test_bad_options(given, message):
    with pytest.raises(InputError, match=message):
        dataclasses.replace(OPTIONS, **given)


def test_a_result_says_what_it_is(prepared: Prepared):
    fitted = trained(prepared)
    assert isinstance(fitted, Fitted) and fitted.model is prepared.model
    assert fitted.steps_in_epoch == math.ceil(1257 / 8)
    assert np.isfinite(fitted.seconds) and fitted.seconds > 0
    assert small_trainings.OPTIONS.max_steps == fitted.steps
