"""From trained rates back to spikes: weights, replicas, and the way there and back."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import pytest
import torch
from model_networks import network_of
from rate_networks import dense, neuron_table, rate_network, smooth, two_kinds_of_cell

from circuits.training.setup import Setup, circuit
from converters import to_spiking
from converters.conversion import unit_means
from converters.trainable import trainable
from toolkit import Network, Recording, Synapses
from toolkit.errors import InputError
from toolkit.learning import TrainableRates
from toolkit.learning.weights import SMALLEST
from toolkit.rate_dynamics import DYNAMICS

POOLS = np.array([[0, 2]])
SCENARIOS = ("default", "uniform_neurons", "random_synapses", "no_dale")


def model_of(network: Network, dynamics: str = "low_pass", **options) -> TrainableRates:
    return trainable(network, POOLS, dynamics, **{"transfer": smooth, "noise": "none", **options})


def bounded(mu: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    return 50 * torch.sigmoid(mu / 10) + 0 * sigma


def train(model: TrainableRates, seed: int = 0) -> TrainableRates:
    """Weights moved as training might move them; free ones change signs."""
    draws = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weights in (model.recurrent, model.from_inputs):
            change = 0.5 * torch.randn(len(weights), generator=draws)
            if weights.constraint == "log":
                weights.trained.add_(change)
            else:
                weights.trained.mul_(1 + 4 * change)
    return model


def pair(kernel: str = "exponential", dynamics: str = "low_pass", **options):
    network = two_kinds_of_cell(kernel)
    return train(model_of(network, dynamics, **options)), network


@cache
def column(scenario: str) -> Network:
    return circuit(Setup(size=300, scenario=scenario))


def with_a_double(network: Network) -> Network:
    """One pair of neurons connected three times, by different receptors."""
    old = network.synapses
    arrays = (old.pre, old.post, old.weight, old.delay_ms, old.receptor)
    more = ([0, 0], [1, 1], [7.0, 9.0], [2.0, 3.0], [1, 0])
    both = (np.concatenate(each) for each in zip(arrays, more, strict=True))
    return network.replace(synapses=Synapses.sort(*both))


@pytest.mark.parametrize("dynamics", DYNAMICS)
@pytest.mark.parametrize(("kernel", "area"), [("exponential", 1.0), ("alpha", np.e)])
def test_a_spike_carries_the_charge_that_was_learnt(kernel, area, dynamics):
    model, network = pair(kernel, dynamics)
    W = model.weights().detach().double().numpy()
    place = model.connections.row.numpy() * 100 + model.connections.col.numpy()
    assert (np.diff(place) > 0).all()
    rows = model.connections.row.numpy() % network.n
    learnt = sorted(zip(rows, model.connections.col.tolist(), W, strict=True))
    made = to_spiking(model, network)
    tau_s = np.array([each.tau_ms for each in network.receptors.values()])
    drive = made.inputs["lgn"].synapses
    found = sorted(
        (post, first + pre, area * weight * tau_s[receptor] / 1000)
        for first, group in ((0, made.synapses), (network.n, drive))
        for pre, post, weight, receptor in zip(
            group.pre, group.post, group.weight.astype(float), group.receptor, strict=True
        )
    )
    assert [each[:2] for each in found] == [each[:2] for each in learnt]
    np.testing.assert_allclose([each[2] for each in found], [each[2] for each in learnt], rtol=1e-6)


def test_all_else_of_the_network_stays():
    model, network = pair()
    made = to_spiking(model, network)
    for name in ("pre", "post", "delay_ms", "receptor"):
        assert np.array_equal(getattr(made.synapses, name), getattr(network.synapses, name))
    assert not np.allclose(made.synapses.weight, network.synapses.weight)
    assert made.inputs["noise"] is network.inputs["noise"]
    assert dict(made.receptors) == dict(network.receptors)
    assert np.array_equal(made.neurons["replica_of"], [0, 1, 2])
    assert all(
        np.array_equal(made.neurons[name], network.neurons[name]) for name in network.neurons
    )
    done = made.provenance["to_spiking"]
    assert done["network"] == network.digest() and done["replicas"] == 1


@pytest.mark.parametrize("dynamics", DYNAMICS)
@pytest.mark.parametrize("change", [lambda network: network, with_a_double], ids=["", "doubles"])
def test_there_and_back(dynamics, change):
    network = change(two_kinds_of_cell("alpha").replace(dale=False))
    model = train(model_of(network, dynamics))
    again = model_of(to_spiking(model, network), dynamics)
    torch.testing.assert_close(again.weights(), model.weights(), rtol=2e-6, atol=0)
    assert torch.equal(again.connections.row, model.connections.row)
    assert torch.equal(again.connections.col, model.connections.col)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_there_and_back_in_every_scenario(scenario):
    network = column(scenario)
    model = train(model_of(network, transfer=bounded))
    spiking = to_spiking(model, network)
    assert spiking.dale == network.dale
    learnt = model.weights().detach()
    signs = model.recurrent().detach() * model.recurrent.sign
    assert bool((signs < 0).any()) == (scenario == "no_dale")
    rates = rate_network(spiking, "low_pass", transfer=bounded)
    right = model.connections.matrix(learnt).to_dense()
    both = torch.cat([rates.W.to_dense(), rates.W_in_lgn.to_dense()], dim=1)
    torch.testing.assert_close(both.float(), right, rtol=2e-6, atol=0)
    again = model_of(spiking, transfer=bounded).weights().detach()
    # A logarithm starts at SMALLEST of the median or above: weaker synapses are lifted there.
    kept = learnt.abs() > 2 * SMALLEST * learnt.abs().median()
    assert kept.float().mean() > 0.9
    torch.testing.assert_close(again[kept], learnt[kept], rtol=2e-6, atol=0)


def test_the_rate_network_of_the_result_has_the_weights():
    model, network = pair("alpha")
    rates = rate_network(to_spiking(model, network), "low_pass", transfer=smooth)
    learnt = model.connections.matrix(model.weights().detach()).to_dense()
    n = network.n
    torch.testing.assert_close(rates.W.to_dense().float(), learnt[:, :n], rtol=2e-6, atol=0)
    torch.testing.assert_close(rates.W_in_lgn.to_dense().float(), learnt[:, n:], rtol=2e-6, atol=0)


@pytest.mark.parametrize("wiring", ["all", "one_to_one"])
@pytest.mark.parametrize("M", [2, 3])
def test_replicas_get_the_mean_input_of_their_unit(wiring, M):
    network = with_a_double(two_kinds_of_cell("alpha"))
    model = train(model_of(network.replace(dale=False)))
    one = to_spiking(model, network.replace(dale=False))
    made = to_spiking(model, network.replace(dale=False), replicas=M, wiring=wiring)
    assert len(made.synapses) == len(one.synapses) * (M * M if wiring == "all" else M)
    single, many = (rate_network(each, "low_pass", transfer=smooth) for each in (one, made))
    unit = made.neurons["replica_of"]
    assert np.array_equal(unit, np.repeat(np.arange(network.n), M))
    slots = many.n_slots
    by_unit = dense(many.W).reshape(slots, network.n, M, network.n, M).sum(4)
    for replica in range(M):
        found = by_unit[:, :, replica].reshape(slots * network.n, -1)
        np.testing.assert_allclose(found, dense(single.W), rtol=1e-5)
    driven = dense(many.W_in_lgn).reshape(slots, network.n, M, -1)
    for replica in range(M):
        found = driven[:, :, replica].reshape(slots * network.n, -1)
        np.testing.assert_allclose(found, dense(single.W_in_lgn))
    # Recurrent variance: 1/M where all replicas are wired, that of the unit where one is.
    variance = dense(many.V).sum(1).reshape(network.n, M)
    share = 1 / M if wiring == "all" else 1.0
    expected = share * np.repeat(dense(single.V).sum(1)[:, None], M, axis=1)
    np.testing.assert_allclose(variance, expected, rtol=1e-5)


def test_one_to_one_makes_copies_that_do_not_meet():
    model, network = pair()
    made = to_spiking(model, network, replicas=2, wiring="one_to_one")
    assert np.array_equal(made.synapses.pre % 2, made.synapses.post % 2)


@pytest.mark.parametrize("wiring", ["all", "one_to_one"])
def test_every_replica_has_a_background_of_its_own(wiring):
    model, network = pair()
    made = to_spiking(model, network, replicas=2, wiring=wiring)
    assert made.inputs["lgn"].n == network.inputs["lgn"].n
    noise, old = made.inputs["noise"], network.inputs["noise"]
    assert noise.n == 6 and noise.rate_Hz == old.rate_Hz
    assert np.array_equal(noise.synapses.pre, np.arange(6))
    assert np.array_equal(noise.synapses.post, np.arange(6))
    assert np.array_equal(noise.synapses.weight, np.repeat(old.synapses.weight, 2))


@pytest.mark.parametrize("wiring", ["all", "one_to_one"])
def test_replicated_inputs_bring_the_mean_too(wiring):
    model, network = pair("alpha")
    made = to_spiking(model, network, replicas=3, wiring=wiring, inputs="replicated")
    assert made.inputs["lgn"].n == 3 * network.inputs["lgn"].n
    single, many = (
        rate_network(each, "low_pass", transfer=smooth)
        for each in (to_spiking(model, network), made)
    )
    x = np.array([20.0, 35.0])
    for letter, share in (("U", 1.0), ("V", 1 / 3 if wiring == "all" else 1.0)):
        right = share * dense(getattr(single, f"{letter}_in_lgn")) @ x
        found = dense(getattr(many, f"{letter}_in_lgn")) @ np.repeat(x, 3)
        np.testing.assert_allclose(found, np.repeat(right, 3), rtol=1e-5)


def test_means_over_replicas():
    model, network = pair()
    made = to_spiking(model, network, replicas=2)
    means = unit_means(np.array([[1.0, 3.0, 5.0, 5.0, 0.0, 8.0]]), made)
    assert means.tolist() == [[2.0, 5.0, 4.0]]
    with pytest.raises(InputError, match="a value a neuron"):
        unit_means(np.zeros(3), made)
    with pytest.raises(InputError, match="replica_of"):
        unit_means(np.zeros(3), network)


def test_the_delay_can_be_the_step_of_the_rates():
    model, network = pair(dt_ms=4.0)
    made = to_spiking(model, network, delays="dt")
    assert set(made.synapses.delay_ms.tolist()) == {4.0}
    assert set(made.inputs["lgn"].synapses.delay_ms.tolist()) == {1.0}


def test_another_glif_model_takes_the_weights():
    model, network = pair()
    kept = ("I_ext_pA", "C_m_pF", "g_nS", "E_L_mV", "V_th_mV", "t_ref_ms")
    cells = {name: network.neurons[name] for name in kept}
    neurons = neuron_table(network.n, sign=network.neurons["sign"], **cells)
    leaky = network.replace(neurons=neurons, model="glif1")
    assert np.array_equal(
        to_spiking(model, leaky).synapses.weight, to_spiking(model, network).synapses.weight
    )


def test_it_is_saved_and_runs(tmp_path):
    from converters import to_brian2

    model, network = pair("alpha")
    made = to_spiking(model, network, replicas=2)
    made.save(tmp_path / "spiking.h5")
    loaded = Network.load(tmp_path / "spiking.h5")
    assert loaded.digest() == made.digest()
    assert loaded.provenance["to_spiking"]["replicas"] == 2
    lgn = Recording.rates(np.full((5, 2), 50.0), dt_ms=1.0)
    assert to_brian2(loaded).run(lgn, seed=1).n == 6


def test_a_model_of_another_network_is_refused():
    model, network = pair()
    fewer = Synapses(*(getattr(network.synapses, name)[1:] for name in
                       ("pre", "post", "weight", "delay_ms", "receptor")))  # fmt: skip
    with pytest.raises(InputError, match=r"11 trained synapses; this one 3 neurons, .* 10 trained"):
        to_spiking(model, network.replace(synapses=fewer))
    pre = network.synapses.pre.copy()
    pre[0] = 2
    moved = dataclasses.replace(network.synapses, pre=pre)
    other = network.replace(
        synapses=Synapses.sort(moved.pre, moved.post, moved.weight, moved.delay_ms, moved.receptor),
        dale=False,
    )
    with pytest.raises(InputError, match="of its 11 synapses connect others"):
        to_spiking(model, other)
    model.connections.crow[1] -= 1
    with pytest.raises(InputError, match="1 of its 11 synapses connect others"):
        to_spiking(model, network)
    model.connections.crow[1] += 1
    heavier = network.neurons.replace(C_m_pF=2 * network.neurons["C_m_pF"])
    with pytest.raises(InputError, match="other membranes or receptors, or not in pA and Hz"):
        to_spiking(model, network.replace(neurons=heavier))


def test_normalised_units_need_their_scale():
    model, network = pair()
    right = to_spiking(model, network)
    r_0, I_0 = 200.0, 300.0
    with torch.no_grad():  # rates in units of r_0, currents in units of I_0
        model.recurrent.trained.add_(float(np.log(r_0 / I_0)))
        model.from_inputs.trained.add_(float(np.log(r_0 / I_0)))
        model.curve.rates.div_(r_0)
    with pytest.raises(InputError, match=r"normalised units: .* weight_unit_pA_per_Hz = I_0 / r_0"):
        to_spiking(model, network)
    made = to_spiking(model, network, weight_unit_pA_per_Hz=I_0 / r_0)
    np.testing.assert_allclose(made.synapses.weight, right.synapses.weight, rtol=1e-5)
    model.variance_per_square.mul_((I_0 / r_0) ** 2 * r_0)
    with pytest.raises(InputError, match="not in pA and Hz: a weight of 1 makes a variance"):
        to_spiking(model, network)


def test_signs_against_dales_law_are_refused():
    model, network = pair(constraint="free")
    with torch.no_grad():
        model.recurrent.trained[3] *= -1
    with pytest.raises(InputError, match=r"Dale's law: \d of 7 .* network.replace\(dale=False\)"):
        to_spiking(model, network)
    assert not to_spiking(model, network.replace(dale=False)).dale


def test_bad_input():
    model, network = pair()
    with pytest.raises(InputError, match="replicas must be a whole number"):
        to_spiking(model, network, replicas=0)
    with pytest.raises(InputError, match=r"unknown wiring 'one to one'.*Did you mean 'one_to_one'"):
        to_spiking(model, network, wiring="one to one")
    with pytest.raises(InputError, match="unknown inputs 'own'"):
        to_spiking(model, network, inputs="own")
    with pytest.raises(InputError, match="unknown delays 'dt_ms'"):
        to_spiking(model, network, delays="dt_ms")
    with pytest.raises(InputError, match="above 0 and finite"):
        to_spiking(model, network, weight_unit_pA_per_Hz=0.0)
    two = {**network.inputs, "more": network.inputs["lgn"]}
    with pytest.raises(InputError, match=r"one driven input can be converted; .* lgn, more"):
        to_spiking(model, network.replace(inputs=two))
    with torch.no_grad():
        model.recurrent.trained[2] = float("nan")
    with pytest.raises(InputError, match="1 of the 11 weights are not finite"):
        to_spiking(model, network)


def test_receptors_without_a_charge_are_refused():
    model, _ = pair()
    with pytest.raises(InputError, match="ports of their own, so that the charge"):
        to_spiking(model, network_of("lif_psc_exp"))
