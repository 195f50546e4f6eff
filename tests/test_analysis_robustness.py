"""Accuracy with noise: inside the network, on the images, and of the networks beside it."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from trained_column import small_column

from circuits.analysis import Options, rivals, robustness, write
from circuits.analysis.accuracy import Estimate, accuracy, half_gain, half_gain_words
from circuits.analysis.trials import presented, respond, right, start_weights
from toolkit import tasks
from toolkit.errors import InputError
from toolkit.learning import rivals as networks
from toolkit.tasks.ends import by_response_end
from toolkit.tasks.noise import with_noise

DIGITS = tasks.image_classification("digits")
PHOTOGRAPHS = tasks.visual_change("photographs", n_items={"train": 64, "test": 64})


def test_an_accuracy_has_the_interval_of_wilson():
    found = accuracy(np.arange(10) < 9)
    # (p + z^2/2n +- z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n) with z = 1.96
    assert found == Estimate(0.9, pytest.approx(0.5958, abs=1e-4), pytest.approx(0.9821, abs=1e-4))
    with pytest.raises(InputError, match="got none"):
        accuracy(np.zeros(0, bool))


def falling(*shares: float) -> np.ndarray:
    return np.arange(100)[:, None] < 100 * np.array(shares)


@pytest.mark.parametrize(
    ("shares", "chance", "right_value"),
    [
        ((0.9, 0.7, 0.5), 0.5, 0.1),  # half of .4 is left at the second amplitude
        ((1.0, 0.8, 0.6), 0.5, 0.15),
        ((0.9, 0.9, 0.8), 0.5, np.inf),
        ((0.55, 0.5, 0.5), 0.5, np.nan),
        ((0.9, 0.1, 0.1), 0.1, 0.05),
    ],
)
def test_half_of_the_gain_is_where_the_line_between_amplitudes_says(shares, chance, right_value):
    found = half_gain(falling(*shares), np.array([0.0, 0.1, 0.3]), chance, seed=1)
    assert found.value == pytest.approx(right_value, nan_ok=True)
    if np.isfinite(right_value):
        assert found.low <= found.value <= found.high and found.low < found.high


def test_words_and_limits_of_half_gains():
    got = half_gain(falling(0.9, 0.75, 0.71), np.array([0.0, 0.1, 0.2]), 0.5, seed=1)
    assert np.isinf(got.value) and np.isfinite(got.low) and np.isinf(got.high)
    assert half_gain_words(got, 0.2, "x") == "above 0.2 x"
    assert half_gain_words(Estimate(0.1, 0.05, np.inf), 0.2, "x") == "0.1 x (0.05 to above 0.2)"
    for amplitudes in ([0.1, 0.2, 0.3], [0.0, 0.2, 0.2]):
        with pytest.raises(InputError, match="rise from 0"):
            half_gain(falling(0.9, 0.8, 0.7), np.array(amplitudes), 0.5, seed=1)


@pytest.mark.parametrize(
    ("kind", "alike"), [("slow, shared", (1, 1)), ("slow", (1, 5)), ("quick", (4, 5))]
)
def test_kinds_of_noise_differ_in_what_they_share(kind, alike):
    draw = robustness.noise_draw(kind, 4, 5, 20000, torch.Generator().manual_seed(1))
    assert draw.shape == (*alike, 20000)
    assert draw.std().item() == pytest.approx(1, abs=0.02)


def test_noise_of_amplitude_zero_changes_nothing():
    made = small_column()
    plain = [
        right(made.model, made.data, batch, respond(made.model, batch))
        for batch in presented(made.data, 40)
    ]
    tasks_of = [batch.task.numpy() for batch in presented(made.data, 40)]
    plain, task = np.concatenate(plain), np.concatenate(tasks_of)
    found = robustness.answers(made, 40, (0.0, 1e-7))
    for number in (0, 1):
        assert found[number].shape == (40, 1, 3, 2)
        assert (found[number] == plain[task == number][:, None, None, None]).all()


def test_amplitudes_are_in_rheobases(monkeypatch):
    made = small_column()
    monkeypatch.setattr(robustness, "noise_draw", lambda *_: torch.ones(1, 1, 1))
    seen = []
    monkeypatch.setattr(robustness, "respond", lambda *a, **kw: seen.append(kw["noise_pA"]))
    monkeypatch.setattr(robustness, "right", lambda *_: True)
    robustness.answers(made, 4, (0.5,), ("quick",))
    neurons = made.network.neurons
    rheobase = neurons["g_nS"] * (neurons["V_th_mV"] - neurons["E_L_mV"])
    np.testing.assert_allclose(seen[0][0, :, 0], 0.5 * rheobase, rtol=1e-6)


def test_noise_follows_its_seed_and_takes_accuracy_away():
    made = small_column()
    first, same, other = (
        robustness.answers(made, 40, (0.0, 5.0), ("quick",), seed=seed) for seed in (1, 1, 2)
    )
    assert all(np.array_equal(a, b) for a, b in zip(first, same, strict=True))
    assert any((a != b).any() for a, b in zip(first, other, strict=True))
    with pytest.raises(InputError, match="unknown kind of noise 'fast'"):
        robustness.answers(made, 4, (1.0,), ("fast",))
    with pytest.raises(InputError, match="0 or more"):
        robustness.answers(made, 4, (-1.0,))


def test_the_weights_before_training_are_those_of_the_start():
    made = small_column()
    log = {name: value.exp() for name, value in made.start.items()}
    size = torch.cat([log["recurrent.trained"], log["from_inputs.trained"]])
    start = start_weights(made)
    torch.testing.assert_close(start.abs(), size[made.model.from_channel])
    now = made.model.weights().detach()
    assert torch.equal(start.sign(), now.sign()) and not torch.equal(start, now)


def test_items_are_always_the_same_and_what_is_cut_off_changes_no_answer():
    made = small_column()
    whole = next(made.data.epoch("test", batch_size=20))
    parts = list(by_response_end(whole))
    assert [part.inputs.shape[1] for part in parts] == [40, 110]
    with torch.no_grad():
        rates = made.model(whole.inputs)
        evidence = made.data.evidence_Hz(made.model.pool_rates(rates, whole.response), whole.task)
    right_answers = (evidence.argmax(dim=1) == whole.targets).numpy()
    for part in parts:
        got = right(made.model, made.data, part, respond(made.model, part))
        assert np.array_equal(got, right_answers[np.isin(whole.task, part.task)])
    first, second = ([b.inputs for b in presented(made.data, 7)] for _ in range(2))
    assert sum(len(each) for each in first) == 14
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    with pytest.raises(InputError, match="1 or more"):
        next(presented(made.data, 0))


@pytest.mark.parametrize(
    "task", [DIGITS, PHOTOGRAPHS, tasks.fine_orientation()], ids=lambda t: t.name
)
def test_pictures_without_noise_are_those_of_the_task(task):
    noisy = with_noise(task, 0.0)
    items, own = noisy.draw("test"), task.draw("test")
    assert np.array_equal(items.targets, own.targets)
    plain = tasks.movie(task_of(task), own.what[0]).frames
    np.testing.assert_allclose(tasks.movie(task_of(noisy), items.what[0]).frames, plain, atol=1e-6)


def task_of(task):
    """The task with contrast 1, as movies ask for."""
    if hasattr(task, "task"):
        return dataclasses.replace(task, task=task_of(task.task))
    return dataclasses.replace(task, contrast=1.0)


def test_noise_has_the_sd_that_was_asked_for_and_is_clipped():
    strong, weak = (with_noise(DIGITS, sd) for sd in (0.5, 0.01))
    what = strong.draw("test").what[:200]
    plain = DIGITS.coefficients(what[:, :-1])
    assert np.array_equal(strong.coefficients(what)[..., -1], plain[..., -1])  # the black screen
    found, grey = strong.coefficients(what)[..., :-1], plain[..., :-1]
    assert found.min() == 0 and found.max() == 1
    black = found[grey == 0]
    assert (black == 0).mean() == pytest.approx(0.5, abs=0.02)
    inside = (grey > 0.3) & (grey < 0.7)
    little = weak.coefficients(what)[..., :-1] - grey
    assert little[inside].std() == pytest.approx(0.01, rel=0.03)
    # The same pattern for every sd, the same item whatever the batch, another one each.
    linear = inside & (found > 0) & (found < 1)
    np.testing.assert_allclose((found - grey)[linear], 50 * little[linear], atol=1e-4)
    assert np.array_equal(strong.coefficients(what[7:9])[..., :-1], found[7:9])
    assert abs(np.corrcoef(little[0, 0], little[1, 0])[0, 1]) < 0.5


def test_both_pictures_of_a_pair_and_gratings_get_noise_while_they_are_shown():
    noisy = with_noise(PHOTOGRAPHS, 0.1)
    same = noisy.draw("test").what[noisy.draw("test").targets == 0][:1]
    first, second = noisy.coefficients(same)[0]
    assert not np.array_equal(first, second)
    grating = tasks.fine_orientation(contrast=0.5)
    noisy = with_noise(grating, 0.1)
    what = noisy.draw("test").what[0]
    change = tasks.movie(noisy, what).frames - tasks.movie(grating, what[:-1]).frames
    assert not change[:10].any() and not change[30:].any()  # on from 50 to 150 ms
    assert change[10:30].any() and np.abs(np.diff(change[10:30], axis=0)).max() < 1e-5
    coefficients = noisy.coefficients(what[None])[0]
    assert coefficients[2, 82:].std() == pytest.approx(0.1, rel=0.1)
    # A pixel of 1 is the whole range from black to white: 2 for a contrast of 1.
    pictures = noisy.pictures((30, 30))[82:]
    np.testing.assert_allclose(pictures.sum(axis=0), 2, atol=1e-5)
    for bad in (-0.1, np.inf, np.nan):
        with pytest.raises(InputError, match="0 or more"):
            with_noise(grating, bad)


def test_noise_in_training_follows_seed_and_epoch():
    noisy = with_noise(DIGITS, 0.1)
    keys = [noisy.draw("train", seed=s, epoch=e).what[:, -1] for s, e in ((1, 0), (1, 1), (2, 0))]
    assert not np.array_equal(keys[0], keys[1]) and not np.array_equal(keys[0], keys[2])
    assert np.array_equal(noisy.draw("test", seed=1).what, noisy.draw("test", seed=2).what)


@pytest.mark.parametrize("kind", [networks.Perceptrons, networks.SpikingNeurons])
def test_rivals_learn(kind):
    data = tasks.Batches([DIGITS])
    made = kind(data, 2, n_hidden=64, seed=1)
    networks.train_rivals([made], data, 960, batch_size=32, seed=1)
    with torch.no_grad():
        batch = next(by_response_end(next(data.epoch("test", batch_size=128))))
        own = networks.own_answers(data, made(batch), batch.task)
    got = (own.argmax(dim=2) == batch.targets).double().mean(dim=1)
    assert own.shape == (2, 128, 10) and (got > 0.5).all()
    with pytest.raises(InputError, match="32 or more"):
        networks.train_rivals([made], data, 10, batch_size=32)


def test_an_epoch_of_a_rival_can_be_passed_and_is_reported():
    data, seen = tasks.Batches([PHOTOGRAPHS]), []
    made = networks.Perceptrons(data, 1, n_hidden=4)
    networks.train_rivals([made], data, 160, batch_size=32, report=seen.append)
    assert seen == [32] * 5


def test_spikes_have_the_surrogate_gradient():
    above = torch.tensor([-0.5, 0.0, 0.2], requires_grad=True)
    spikes = networks._spikes(above)
    spikes.sum().backward()
    assert spikes.tolist() == [0, 0, 1]
    torch.testing.assert_close(above.grad, 1 / (1 + 3 * above.detach().abs()) ** 2)


def test_a_perceptron_sees_mean_rates_of_both_stimuli():
    data = tasks.Batches([DIGITS, PHOTOGRAPHS])
    made = networks.Perceptrons(data, 1, n_hidden=4)
    spans = made.get_buffer("spans")
    assert [row.nonzero().flatten()[[0, -1]].tolist() for row in spans[1]] == [[10, 69], [70, 109]]
    assert spans[0, 0].nonzero().flatten()[[0, -1]].tolist() == [10, 39] and not spans[0, 1].any()
    torch.testing.assert_close(spans.sum(2), torch.tensor([[1.0, 0.0], [1.0, 1.0]]))


def test_own_answers_are_those_of_the_task():
    data = SimpleNamespace(tasks=[SimpleNamespace(n_classes=2), SimpleNamespace(n_classes=3)])
    scores = torch.arange(10.0).reshape(1, 2, 5)
    own = networks.own_answers(data, scores, torch.tensor([0, 1]))
    assert own.tolist() == [[[0, 1, -np.inf], [7, 8, 9]]]


LOW, MIDDLE, HIGH = (Estimate(x, x - 0.4, x + 0.4) for x in (1.0, 2.0, 3.0))
WIDE = Estimate(2.0, 0.0, 4.0)


@pytest.mark.parametrize(
    ("v1", "ann", "snn", "words"),
    [
        (MIDDLE, LOW, HIGH, "V1 is between the two."),
        (MIDDLE, HIGH, LOW, "V1 is between the two."),
        (HIGH, LOW, MIDDLE, "V1 is more robust than both."),
        (LOW, HIGH, MIDDLE, "V1 is less robust than both."),
        (MIDDLE, LOW, MIDDLE, "V1 is more robust than the ANN, and cannot be told from the SNN."),
        (LOW, WIDE, HIGH, "V1 is less robust than the SNN, and cannot be told from the ANN."),
        (MIDDLE, WIDE, WIDE, "V1 cannot be told from either."),
        (Estimate(np.nan, np.nan, np.nan), LOW, HIGH, "Where V1 is cannot be said."),
        (Estimate(np.inf, 4.0, np.inf), LOW, HIGH, "V1 is more robust than both."),
    ],
)
def test_where_v1_is_placed(v1, ann, snn, words):
    assert rivals.placed(V1=v1, ANN=ann, SNN=snn) == words


def test_intervals_over_copies():
    assert rivals.over_copies([0.5, np.inf, 1.0]) == Estimate(np.inf, 0.5, np.inf)
    assert rivals.within(Estimate(0.99, 0.9, 1.1)).high == 1


@pytest.mark.parametrize("module", [robustness, rivals])
def test_the_analyses_as_a_whole(module, monkeypatch, tmp_path):
    monkeypatch.setattr(rivals, "TRAINING_ITEMS", 64)
    monkeypatch.setattr(rivals, "SDS", (0.0, 0.3))
    monkeypatch.setattr(rivals.with_image_noise, "__defaults__", ((0.0, 0.3),))
    monkeypatch.setattr(robustness, "AMPLITUDES", (0.0, 1.0))
    monkeypatch.setattr(robustness.answers, "__defaults__", ((0.0, 1.0), robustness.KINDS))
    result = module.analyse(small_column(lgn=module is rivals), Options(items=16))
    record = write(result, tmp_path / module.NAME)
    assert len(record["tables"]) == 2 and len(record["findings"]) == 3
    table = next(iter(result.tables.values()))
    assert len(table.rows) == 2 * 3 * 2  # tasks, kinds, amplitudes
    assert (table["low"] <= table["accuracy"]).all() and (table["accuracy"] <= table["high"]).all()
    clean = table.where(task="image classification").take(np.array([0]))
    assert clean["items"][0] == 16
