"""The scenarios of the firing-rate V1 as trainable networks."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch

from circuits.training.setup import (
    Prepared,
    Setup,
    circuit,
    layer_of,
    prepare,
    time_constants_ms,
)
from converters.trainable import trainable
from toolkit.learning import TrainableRates
from toolkit.learning.evaluation import answer
from toolkit.learning.hebbian import HebbianWithinLayers
from toolkit.learning.losses import Readout
from toolkit.network import Network
from toolkit.rate_dynamics import DYNAMICS

SCENARIOS = ("default", "uniform_neurons", "random_synapses", "no_dale")
N = 600


# F of mean cells takes 25 s to be tabulated, once.
WITH_THEIR_F = [
    pytest.param(name, marks=[pytest.mark.slow] if name == "uniform_neurons" else [])
    for name in SCENARIOS
]


def bounded(mu: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    return 50 * torch.sigmoid(mu / 10) + 0 * sigma


@cache
def made(scenario: str, lgn: bool = True) -> Prepared:
    names = {"tasks": ("orientation", "images"), "images": "digits"}
    return prepare(Setup(size=N, scenario=scenario, lgn=lgn, **names))


@cache
def plain(scenario: str) -> tuple[Network, TrainableRates]:
    """Circuit and model of a scenario, with an F that needs no tables."""
    setup = Setup(size=N, scenario=scenario)
    network = circuit(setup)
    tau_r = time_constants_ms(setup, network)
    pools = np.arange(30)[None]
    return network, trainable(network, pools, tau_r_ms=tau_r, transfer=bounded)


def entries(model: TrainableRates) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Presynaptic and postsynaptic neuron, and slot, of the recurrent weights."""
    recurrent = model.connections.col < N
    row = model.connections.row[recurrent].numpy()
    return model.connections.col[recurrent].numpy(), row % N, row // N


def batch_of(ready: Prepared):
    return next(ready.data.epoch("train", 16, seed=1))


@pytest.mark.parametrize("lgn", [True, False], ids=["lgn", "pixels"])
@pytest.mark.parametrize("scenario", WITH_THEIR_F)
def test_untrained_nothing_is_silent_or_explodes(scenario, lgn):
    ready = made(scenario, lgn)
    with torch.no_grad():
        rates = ready.model(batch_of(ready).inputs)
    E = torch.from_numpy(ready.network.excitatory)
    for mine, low, high in ((E, 1.0, 30.0), (~E, 5.0, 120.0)):
        assert low < float(rates[:, 10:, mine].mean()) < high
    per_neuron = rates.mean((0, 1))
    assert float((per_neuron < 0.01).float().mean()) < 0.2
    assert float((per_neuron > 200).float().mean()) < 0.02


@pytest.mark.parametrize("scenario", WITH_THEIR_F)
def test_the_gradient_reaches_every_weight(scenario):
    ready = made(scenario)
    model, data, batch = ready.model, ready.data, batch_of(ready)
    found = answer(model, data, batch)
    losses = Readout(2).losses(found.evidence_Hz, batch.targets, batch.task)
    model.zero_grad()
    losses.mean().backward()
    pre, post, _ = entries(model)
    E = ready.network.excitatory
    gradient = model.recurrent.trained.grad
    assert torch.isfinite(gradient).all()
    reached = (gradient != 0).numpy()
    for start in (E, ~E):
        for end in (E, ~E):
            assert reached[start[pre] & end[post]].mean() > 0.99
    assert (model.from_inputs.trained.grad != 0).float().mean() > 0.99


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_synapses_are_as_many_and_signs_as_the_scenario_says(scenario):
    network, model = plain(scenario)
    pre, _, _ = entries(model)
    assert len(pre) == len(plain("default")[0].synapses)
    weights = model.recurrent().detach().numpy()
    assert (weights * network.neurons["sign"][pre] >= 0).all()  # before training, in all of them
    assert model.recurrent.constraint == ("free" if scenario == "no_dale" else "log")
    assert model.from_inputs.constraint == "log"


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_excitation_and_inhibition_have_their_own_time_constants(scenario):
    network, model = plain(scenario)
    pre, post, slot = entries(model)
    tau, E = model.tau_s_ms.numpy()[slot, post], network.excitatory
    # Of Billeh et al. 2020; the weights of random synapses bring their receptors with them.
    for start, end, right in ((E, E, 5.5), (~E, E, 8.5), (E, ~E, 2.8), (~E, ~E, 5.8)):
        assert np.allclose(tau[start[pre] & end[post]], right)


def test_uniform_neurons_are_of_two_kinds():
    network, model = plain("uniform_neurons")
    tau_r = model.tau_r_ms.numpy()
    for mine in (network.excitatory, ~network.excitatory):
        for name in ("C_m_pF", "g_nS", "V_th_mV", "t_ref_ms"):
            assert len(np.unique(network.neurons[name][mine])) == 1
        assert len(np.unique(tau_r[mine])) == 1
    assert len(np.unique(tau_r)) == 2
    assert len(np.unique(plain("default")[1].tau_r_ms.numpy())) == N


def test_random_synapses_do_not_know_layers():
    layer, share = layer_of(plain("default")[0]), {}
    for scenario in ("default", "random_synapses"):
        pre, post, _ = entries(plain(scenario)[1])
        share[scenario] = (layer[pre] == layer[post]).mean()
    expected = sum((layer == name).mean() ** 2 for name in np.unique(layer))
    assert share["random_synapses"] == pytest.approx(expected, abs=0.02)
    assert share["default"] > expected + 0.1


def test_a_free_weight_may_change_its_sign_and_stays_in_its_current():
    _, model = plain("no_dale")
    _, post, slot = entries(model)
    k = int(np.argmax(model.recurrent().detach().numpy()))
    inputs = torch.full((1, 12, 832), 20.0)

    def current(weight: float) -> torch.Tensor:
        with torch.no_grad():
            model.recurrent.trained[k] = weight
            model.project()
            rates = torch.ones(1, 12, N)
            return model.final_state(rates, inputs).currents[:, post[k], 0]

    with torch.no_grad():
        before = model.recurrent.trained[k].clone()
    changed = current(-1.0) - current(1.0)
    with torch.no_grad():
        model.recurrent.trained[k] = before
    assert changed[slot[k]] < -1.0 and changed[1 - slot[k]] == 0


@pytest.mark.parametrize("rule", ["oja", "bcm"])
def test_hebbian_learning_keeps_the_network_in_its_range(rule):
    ready = prepare(Setup(size=300, tasks=("images",), images="digits"))
    model, network = ready.model, ready.network
    hebbian = HebbianWithinLayers(model, layer_of(network), lr=0.05, rule=rule)
    batches = ready.data.epoch("train", 16, seed=1)
    means = []
    for _, batch in zip(range(15), batches, strict=False):
        with torch.no_grad():
            rates = model(batch.inputs[:, :40])
        hebbian.update(rates)
        means.append(float(rates.mean()))
    pre = model.connections.col[model.connections.col < model.n].numpy()
    sign = torch.from_numpy(network.neurons["sign"][pre]).float()
    assert (model.recurrent().detach() * sign >= 0).all()
    assert 0.5 * means[0] < means[-1] < 2 * means[0]


@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_a_sequence_goes_on_from_the_final_state(dynamics):
    model = trainable(plain("default")[0], np.arange(30)[None], dynamics, transfer=bounded)
    inputs = 20 * torch.rand(2, 12, 832, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole = model(inputs)
        first = model(inputs[:, :5])
        middle = model.final_state(first, inputs[:, :5])
        second = model(inputs[:, 5:9], middle)
        end = model.final_state(second, inputs[:, 5:9], middle)
        third = model(inputs[:, 9:], end)
    torch.testing.assert_close(torch.cat([first, second, third], 1), whole, rtol=1e-4, atol=1e-3)
