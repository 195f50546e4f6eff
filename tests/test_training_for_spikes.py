"""Training for spikes: cells of a channel, small responses, F at the noise of the network."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from small_trainings import OPTIONS, SETUP, fresh, trained
from test_training import same, state_of

from circuits.training import Prepared, load_trained, prepare, save_weights, start_from, train
from converters.entries import Entries
from converters.rate_weights import Responses
from converters.slots import pack_receptors
from converters.trainable import trainable
from toolkit.errors import InputError
from toolkit.learning import TrainableRates, Weights, stepping
from toolkit.learning.evaluation import answer, evaluate
from toolkit.learning.losses import Penalties, Targets

CELLS, MAX_PSP_MV = 21, 1.0
HOW = {
    "noise_steps": 2,
    "counting_steps": 4,
    "penalties": Penalties(rate_distribution=0.1, noise=0.05, input_noise=True),
}


@pytest.fixture(scope="module")
def prepared() -> Prepared:
    return prepare(dataclasses.replace(SETUP, cells_per_channel=CELLS, max_psp_mV=MAX_PSP_MV))


def psps_mV(ready: Prepared) -> np.ndarray:
    """Peak of the response to a spike of a neuron, or of one cell of a channel, of all synapses."""
    network = ready.network
    slots = pack_receptors(network)
    of = Entries.of(network, "lgn", slots, Responses.of(network, slots), one_current=False)
    weights = ready.model.weights().detach().double().numpy()
    cells = np.where(of.col < network.n, 1, CELLS)
    return np.abs(weights) / of.charge * of.peak / cells


@pytest.mark.parametrize(
    ("constraint", "after"), [("log", [2.0, -0.5]), ("projected", [2.0, -0.5]), ("free", [2, -0.5])]
)
def test_weights_stay_below_their_limit(constraint: str, after: list[float]):
    weights = Weights([3.0, -0.25], constraint=constraint, largest=np.array([2.0, 0.5]))
    assert weights().tolist() == pytest.approx([2.0, -0.25])
    with torch.no_grad():
        weights.trained.copy_(torch.tensor([9.0, 9.0 if constraint == "log" else -9.0]))
    weights.project()
    assert weights().tolist() == pytest.approx(after)
    assert "limit" not in weights.state_dict()


def test_no_spike_moves_the_potential_further(prepared: Prepared):
    assert psps_mV(fresh(prepared)).max() == pytest.approx(MAX_PSP_MV, rel=1e-3)
    free = prepare(dataclasses.replace(SETUP, cells_per_channel=CELLS))
    assert psps_mV(free).max() > 2 * MAX_PSP_MV
    trained(prepared, how={"learning_rate": 1.0})
    assert psps_mV(prepared).max() <= MAX_PSP_MV * (1 + 1e-4)


def test_cells_of_a_channel_share_its_weight_and_average_its_noise():
    network = prepare(SETUP).network
    one, many = (
        trainable(network, np.array([[0]]), cells_per_channel=cells) for cells in (1, CELLS)
    )
    torch.testing.assert_close(one.weights(), many.weights())
    rest, inputs = torch.zeros(network.n), torch.full((network.inputs["lgn"].n,), 10.0)
    ratio = one.synaptic_variance(rest, inputs) / many.synaptic_variance(rest, inputs)
    torch.testing.assert_close(ratio, torch.full_like(ratio, CELLS), rtol=1e-4, atol=0)
    assert np.median(many.curve.sigma_mV) < 0.9 * np.median(one.curve.sigma_mV)


def test_sigma_is_that_of_background_neurons_and_inputs(prepared: Prepared):
    model = fresh(prepared).model
    rates, inputs = torch.full((model.n,), 5.0), torch.full((832,), 4.0)
    found = model.sigma_mV(rates, inputs)
    all_of = model.background_mV2 + model.synaptic_variance(rates, inputs)
    torch.testing.assert_close(found**2, all_of.detach())
    assert (model.sigma_mV(rates, 0 * inputs) < found).any()
    assert (model.sigma_mV(0 * rates, inputs) < found).any()


def test_f_is_that_of_the_noise_after_some_steps(prepared: Prepared, tmp_path: Path):
    model = fresh(prepared).model
    held = torch.full((model.n, 1), 300.0)
    before = model.curve.value_and_slope(held)[0].clone()
    trained(prepared, tmp_path, HOW)
    sigma_mV = state_of(tmp_path)["weights"]["sigma_mV"]
    assert not np.allclose(sigma_mV, prepared.start_sigma_mV)
    model.set_sigma(sigma_mV)
    assert not torch.allclose(before, model.curve.value_and_slope(held)[0])
    model.set_sigma(torch.from_numpy(prepared.start_sigma_mV))
    torch.testing.assert_close(model.curve.value_and_slope(held)[0], before)


@pytest.mark.parametrize("at", [4, 7])
def test_interrupted_it_goes_on_bit_for_bit(
    prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
):
    whole, half = tmp_path / "whole", tmp_path / "half"
    for folder in (whole, half):
        folder.mkdir()
    trained(prepared, whole, HOW)
    calls = iter(range(1000))
    with monkeypatch.context() as patch:
        patch.setattr(
            stepping, "answer", lambda *a, **o: answer(*a, **o) if next(calls) < at else 1 / 0
        )
        with pytest.raises(ZeroDivisionError):
            trained(prepared, half, HOW | {"max_steps": 8})
    trained(prepared, half, HOW | {"max_steps": 8})
    whole_again = tmp_path / "again"
    whole_again.mkdir()
    trained(prepared, whole_again, HOW | {"max_steps": 8})
    assert same(state_of(half), state_of(whole_again))
    assert not same(state_of(half), state_of(whole))


def test_counted_spikes_are_noisy_as_often_as_their_number_says(prepared: Prepared):
    ready = fresh(prepared)
    batch = next(ready.data.epoch("validation", 64))
    with torch.no_grad():
        exact = answer(ready.model, ready.data, batch).evidence_Hz
        noisy = torch.stack(
            [
                answer(
                    ready.model, ready.data, batch, counting=(0.5, torch.Generator().manual_seed(k))
                ).evidence_Hz
                for k in range(60)
            ]
        )
    window_s = float(batch.response[0].sum()) * ready.data.dt_ms / 1000
    members = ready.model.pools.shape[1]
    z = (noisy - exact) / (exact / (window_s * members)).sqrt()
    assert float(z.mean()) == pytest.approx(0, abs=0.03)
    assert float(z.std()) == pytest.approx(0.5, abs=0.015)


@pytest.mark.parametrize("cells", [1, CELLS])
def test_channels_are_as_noisy_as_their_cells_spikes(prepared: Prepared, monkeypatch, cells: int):
    """What the network is given: Poisson counts of so many cells in a step, none of them kept."""
    ready = fresh(prepared)
    monkeypatch.setattr(ready.model, "cells_per_channel", cells)
    given = given_to(ready.model, monkeypatch)
    batch = next(ready.data.epoch("validation", 64))
    with torch.no_grad():
        answer(ready.model, ready.data, batch)
        answer(ready.model, ready.data, batch, counting=(0.5, torch.Generator().manual_seed(1)))
    exact, noisy = given
    sd = (exact / (cells * ready.data.dt_ms / 1000)).sqrt()
    seen = sd > 0
    z = (noisy - exact)[seen] / sd[seen]
    assert float(z.mean()) == pytest.approx(0, abs=0.003)
    assert float(z.std()) == pytest.approx(0.5, abs=0.002)
    assert (noisy[~seen] == exact[~seen]).all()


def test_validation_has_all_the_noise_and_always_the_same(prepared: Prepared, monkeypatch):
    ready = fresh(prepared)
    given = given_to(ready.model, monkeypatch)
    how = dict(batch_size=16, max_items=16)
    for counting in (False, True, True):
        evaluate(ready.model, ready.data, "validation", counting=counting, **how)
    exact, noisy, again = given
    sd = (exact / (CELLS * ready.data.dt_ms / 1000)).sqrt()
    z = (noisy - exact)[sd > 0] / sd[sd > 0]
    assert float(z.std()) == pytest.approx(1, abs=0.005)
    assert (noisy == again).all()


def given_to(model: TrainableRates, monkeypatch) -> list[torch.Tensor]:
    """Inputs that the model is called with from now on."""
    given: list[torch.Tensor] = []
    run = model.forward

    def forward(inputs: torch.Tensor, **how):
        given.append(inputs)
        return run(inputs, **how)

    monkeypatch.setattr(model, "forward", forward)
    return given


def test_noise_of_inputs_costs_if_asked():
    ready = prepare(SETUP)
    model = ready.model
    rates, inputs = torch.full((model.n,), 5.0), torch.full((832,), 20.0)
    targets = Targets(ready.cell_class, background_mV2=np.ones(model.n))
    cost = [
        targets.penalty(model, rates, Penalties(noise=1.0, input_noise=each), inputs).item()
        for each in (False, True)
    ]
    variance = model.synaptic_variance(rates, inputs).detach()
    assert cost[1] == pytest.approx(float((variance - 0.25).clamp(min=0).mean()), rel=1e-5)
    assert cost[0] < cost[1]


def test_files_hold_the_noise(prepared: Prepared, tmp_path: Path):
    trained(prepared, how=HOW)
    prepared.model.set_sigma(torch.from_numpy(1.5 * prepared.start_sigma_mV))
    save_weights(tmp_path / "weights.npz", prepared)
    again = load_trained(tmp_path / "weights.npz").model
    held = torch.full((again.n, 1), 300.0)
    torch.testing.assert_close(again.weights(), prepared.model.weights(), rtol=0, atol=0)
    assert np.array_equal(again.curve.sigma_mV, prepared.model.curve.sigma_mV)
    for k in (0, 1):
        found, right = (m.curve.value_and_slope(held)[k] for m in (again, prepared.model))
        assert torch.equal(found, right)


def test_it_starts_from_trained_weights_within_its_limits(prepared: Prepared, tmp_path: Path):
    free = prepare(SETUP)
    with torch.no_grad():
        free.model.recurrent.trained.add_(5.0)
    save_weights(tmp_path / "weights.npz", free)
    start_from(tmp_path / "weights.npz", fresh(prepared))
    weights = prepared.model.recurrent
    torch.testing.assert_close(weights.trained, free.model.recurrent.trained, rtol=0, atol=1e-5)
    assert (weights.trained > weights.limit + np.log(16)).any()
    how = {"learning_rate": 1e-9, "evaluate_every": 1, "limit_steps": 4}
    for steps, slack in ((1, 8.0), (2, 4.0), (4, 1.0), (5, 1.0)):
        start_from(tmp_path / "weights.npz", prepared)
        options = dataclasses.replace(OPTIONS, **how, max_steps=steps)
        fitted = train(prepared, options, show_progress=False)
        above = weights.trained - weights.limit - np.log(slack)
        assert above.max().item() == pytest.approx(0, abs=1e-5)
        assert fitted.best_step == steps or (steps == 5 and fitted.best_step >= 4)
    start_from(tmp_path / "weights.npz", prepared)
    once = dataclasses.replace(OPTIONS, learning_rate=1e-9, max_steps=1)
    train(prepared, once, show_progress=False)
    assert (weights.trained <= weights.limit + 1e-5).all()
    other = prepare(dataclasses.replace(SETUP, seed=4))
    with pytest.raises(InputError, match="weights of another circuit"):
        start_from(tmp_path / "weights.npz", other)


def test_bad_input(prepared: Prepared):
    with pytest.raises(InputError, match="cells_per_channel must be 1 or more"):
        prepare(dataclasses.replace(SETUP, cells_per_channel=0))
    with pytest.raises(InputError, match="max_psp_mV above 0, got 1 and 0"):
        prepare(dataclasses.replace(SETUP, max_psp_mV=0.0))
    with pytest.raises(InputError, match="noise_steps and checkpoint_s must be 0 or more"):
        dataclasses.replace(OPTIONS, noise_steps=-1)
    model: TrainableRates = prepared.model
    known, model.curve_at = model.curve_at, None
    try:
        with pytest.raises(InputError, match="F is known at one sigma only"):
            model.set_sigma(torch.ones(model.n))
    finally:
        model.curve_at = known


def test_every_other_batch_holds_the_stimulus(prepared: Prepared, tmp_path: Path, monkeypatch):
    """Batches are functions of their number: a training that goes on sees the same ones."""
    how = {"held_ms": 100.0, "validation_items": 16, "evaluate_every": 1}
    seen: list[tuple[int, int]] = []
    made = stepping.answer

    def looking(model, data, batch, **given):
        seen.append((batch.inputs.shape[1], int(batch.response[0].sum())))
        return made(model, data, batch, **given)

    monkeypatch.setattr(stepping, "answer", looking)
    whole = trained(prepared, tmp_path, how={**how, "max_steps": 4, "schedule": "constant"})
    dt_ms = prepared.data.dt_ms
    window = [round(width / dt_ms) for width in (50, 100, 50, 100)]
    assert [width for _, width in seen] == window
    held = prepared.data.held(100.0)
    lengths = [each.tasks[0].timing.n_steps(dt_ms) for each in (prepared.data, held)]
    assert [length for length, _ in seen] == [lengths[0], lengths[1]] * 2
    rows = [r for r in whole.history if (r["split"], r["task"]) == ("validation", "all")]
    assert {row["items"] for row in rows} == {16}  # half of them held
    first = {**how, "max_steps": 3, "schedule": "constant"}
    (tmp_path / "parts").mkdir()
    trained(prepared, tmp_path / "parts", how=first)
    trained(prepared, tmp_path / "parts", how={**first, "max_steps": 4})
    assert same(state_of(tmp_path / "parts"), state_of(tmp_path))


def test_held_batches_have_the_same_items(prepared: Prepared):
    own = next(prepared.data.epoch("train", 8, seed=1, first=2))
    held = next(prepared.data.held(100.0).epoch("train", 8, seed=1, first=2))
    assert torch.equal(own.targets, held.targets)
    on = round(150 / prepared.data.dt_ms)  # until the stimulus would have ended
    assert torch.equal(own.inputs[:, :on], held.inputs[:, :on])
    assert not torch.equal(own.inputs[:, on : on + 10], held.inputs[:, on : on + 10])
    with pytest.raises(InputError, match="held_ms must be above 0"):
        dataclasses.replace(OPTIONS, held_ms=0.0)
