"""What can be read from layers, and what recurrence does: the parts on known cases, then whole."""

from __future__ import annotations

import copy
import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from rate_networks import smooth, two_kinds_of_cell
from trained_column import small_column

from circuits.analysis import NotApplicable, Options, output_layers, recurrency, robustness, write
from converters.trainable import trainable
from toolkit.errors import DataError
from toolkit.rate_dynamics import DYNAMICS
from toolkit.table import Table
from toolkit.tasks import Batch

RNG = np.random.default_rng(1)
LABELS = np.repeat(np.arange(4), 50)


def test_a_linear_readout_of_separable_responses_is_always_right():
    rates = RNG.normal(size=(200, 20)) + 20 * np.eye(20)[LABELS]
    assert output_layers.linear_readout(rates, LABELS).all()


@pytest.mark.parametrize("n_neurons", [20, 400])
def test_a_linear_readout_of_shuffled_labels_is_at_chance(n_neurons):
    # With 400 neurons it could learn all labels by heart: items are held out.
    rates = RNG.normal(size=(200, n_neurons)) + 5 * np.eye(n_neurons)[LABELS]
    right = output_layers.linear_readout(rates, np.random.default_rng(2).permutation(LABELS))
    assert abs(right.mean() - 0.25) < 3 * np.sqrt(0.25 * 0.75 / 200)


def test_readouts_of_layers_use_equally_many_neurons(tmp_path):
    made = small_column()
    result = output_layers.analyse(made, Options(items=60))
    write(result, tmp_path / "layers")
    table = result.tables["readout_by_layer"]
    images = table.where(task="image classification")
    assert images["read_from"].tolist() == ["L2/3", "L4", "L5", "L6", "input", "trained pools"]
    excitatory = made.network.excitatory
    least = min((excitatory & (made.layer == name)).sum() for name in ("L2/3", "L4", "L5", "L6"))
    assert set(images["neurons"][:5]) == {least}
    # Digits can be read from 26 x 32 pixels: even from a few of them.
    assert images.where(read_from="input")["accuracy"][0] > 0.3
    with pytest.raises(NotApplicable, match="ask for more items"):
        output_layers.analyse(made, Options(items=3))


def run(folder, layer, accuracy):
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps({"parameters": {"output_layer": layer}}))
    (folder / "results.csv").write_text(f"task,items,accuracy\nall,100,{accuracy}\n")
    return folder


def test_runs_of_other_output_layers_are_put_side_by_side(tmp_path):
    runs = [run(tmp_path / name, f"L{name}", 0.1 * int(name)) for name in "645"]
    table = output_layers.compare_output_layers(runs)
    assert table["output_layer"].tolist() == ["L4", "L5", "L6"]
    assert table["run"].tolist() == [str(tmp_path / name) for name in "456"]
    assert table.columns.tolist() == ["run", "output_layer", "task", "items", "accuracy"]
    np.testing.assert_allclose(table["accuracy"], [0.4, 0.5, 0.6])
    (tmp_path / "6" / "manifest.json").write_text("{}")
    for bad in (tmp_path / "6", tmp_path / "none"):
        with pytest.raises(DataError, match="holds no whole training"):
            output_layers.compare_output_layers([bad])


def test_scaling_and_thinning_touch_recurrent_weights_only():
    made = small_column()
    weights = made.model.weights().detach()
    own = recurrency.recurrent(made.model.connections.col, made.model.n)
    assert int(own.sum()) == len(made.network.synapses)
    assert torch.equal(recurrency.scaled(made, 1.0), weights)
    half, quarter = (recurrency.thinned(made, kept, seed=1) for kept in (0.5, 0.25))
    for changed in (recurrency.scaled(made, 0.5), half, quarter):
        assert torch.equal(changed[~own], weights[~own])
    torch.testing.assert_close(recurrency.scaled(made, 0.5)[own], 0.5 * weights[own])
    kept = half[own] != 0
    assert kept.double().mean().item() == pytest.approx(0.5, abs=0.03)
    torch.testing.assert_close(half[own][kept], 2 * weights[own][kept])
    assert not (quarter[own] != 0)[~kept].any()  # a smaller share keeps some of the larger one's


@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_currents_are_those_of_the_equations(dynamics, monkeypatch):
    network = two_kinds_of_cell("exponential")
    model = trainable(network, np.array([[0]]), dynamics, transfer=smooth, noise="none", dt_ms=2.0)
    inputs = 30 * torch.rand(2, 12, 2, generator=torch.Generator().manual_seed(0))
    batch = Batch(inputs, torch.zeros(2), torch.ones(2, 12, dtype=torch.bool), torch.zeros(2))
    monkeypatch.setattr(recurrency, "presented", lambda *_: [batch])
    found = recurrency.currents(SimpleNamespace(model=model, data=None), 2)
    with torch.no_grad():
        rates = model(inputs).double().numpy()
        matrix = model.connections.matrix(model.weights()).to_dense().double().numpy()
    n_slots = len(matrix) // 3
    keep = np.exp(-2.0 / model.tau_s_ms.double().numpy()) if dynamics != "equilibrium" else 0.0
    all_parts = []
    for item in range(2):
        currents = np.zeros((2, n_slots, 3))
        before = np.zeros(3)
        for k in range(12):
            arriving = [matrix[:, :3] @ before, matrix[:, 3:] @ inputs[item, k].double().numpy()]
            new = np.reshape(arriving, (2, n_slots, 3))
            currents = keep * currents + (1 - keep) * new
            all_parts.append(currents.sum(axis=1))
            before = rates[item, k]
    parts = np.array(all_parts)
    rms = np.sqrt((parts**2).mean(axis=0))
    np.testing.assert_allclose(found.recurrent_rms, rms[0], rtol=1e-5)
    np.testing.assert_allclose(found.input_rms, rms[1], rtol=1e-5)
    np.testing.assert_allclose(found.recurrent_sd, parts[:, 0].std(axis=0), rtol=1e-4)
    share = found.recurrent_share
    np.testing.assert_allclose(share, rms[0] / rms.sum(axis=0), rtol=1e-5)


def test_neurons_without_input_have_no_share():
    silent = recurrency.Currents(np.array([0.0, 1.0]), np.array([0.0, 3.0]), np.zeros(2))
    assert np.isnan(silent.recurrent_share[0]) and silent.recurrent_share[1] == 0.25


def other_model(made):
    model = copy.deepcopy(made.model)
    with torch.no_grad():
        model.recurrent.trained -= np.log(2)
    return model


@pytest.mark.parametrize(
    ("slow", "words"),
    [
        ([1.0, 2.0, 3.0, 4.0], "1.00 for a and slow noise (p = 0, 4 runs)"),
        ([1.0, np.nan], "Too few"),
    ],
)
def test_recurrency_across_runs(slow, words):
    n = len(slow)
    columns = {"recurrent_share": 0.1 * np.arange(n), "half_gain_slow": slow}
    table = Table({"task": ["a"] * n, "half_gain_quick": [np.nan] * n, **columns})
    assert words in recurrency._across(table)


def test_recurrency_as_a_whole(monkeypatch, tmp_path):
    monkeypatch.setattr(recurrency, "SCALES", (0.0, 0.5))
    monkeypatch.setattr(recurrency, "KEPT", (0.5,))
    monkeypatch.setattr(recurrency, "AMPLITUDES", (0.0, 1.0))
    made = small_column()
    loaded = {"own": made, "other": dataclasses.replace(made, model=other_model(made))}
    monkeypatch.setattr(recurrency, "load_trained", lambda path: loaded[path.parent.name])
    runs = (tmp_path / "own", tmp_path / "other")
    result = recurrency.analyse(made, Options(items=24, runs=runs))
    write(result, tmp_path / "recurrency")
    table = result.tables["accuracy_changed_recurrence"]
    plain = [each[:, 0, 0, 0].mean() for each in robustness.answers(made, 8, (0.0,), ("slow",))]
    for task, right in zip(made.data.tasks, plain, strict=True):
        own = table.where(task=task.name, factor=1.0, noise="none")
        assert own["change"].tolist() == ["scale", "density"]
        assert own["accuracy"].tolist() == [right, right] and own["items"][0] == 8
        noises = table.where(task=task.name, change="scale", factor=0.5)["noise"]
        assert noises.tolist() == ["none", "slow", "quick"]
    runs = result.tables["recurrency_of_runs"]
    assert runs["run"].tolist() == [*2 * ["this"], *2 * [str(tmp_path / "other")]]
    share = runs["recurrent_share"]  # the other's recurrent weights are half as large
    assert share[0] == share[1] > share[2]
    assert "Too few runs" in result.findings[-1]
    shares = result.tables["recurrent_share"]
    assert ((shares["recurrent_share_median"] > 0) & (shares["recurrent_share_median"] < 1)).all()
