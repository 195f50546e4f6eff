"""What is predicted of a conversion before it runs."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from rate_networks import linear, neuron_table, rate_network, smooth, two_kinds_of_cell

from converters import check_conversion
from converters.conversion import ConversionCheck
from converters.conversion.predictions import leading_eigenvalues
from converters.conversion.weights import entries_of
from converters.rate_weights import background_variance_mV2
from converters.trainable import trainable
from toolkit import Network
from toolkit.errors import InputError
from toolkit.learning import TrainableRates

RATES, INPUTS = np.array([5.0, 3.0, 9.0]), np.array([10.0, 20.0])


def by_sigma(mu: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    return smooth(mu, sigma) / 10 + sigma


def cells(network: Network) -> Network:
    """A class for each neuron."""
    return network.replace(neurons=network.neurons.replace(cell_class=["a", "b", "c"]))


def made(noise: str = "none", scale: float = 1.0, **options) -> tuple[TrainableRates, Network]:
    """A model whose recurrent weights are `scale` times those of the network."""
    network = cells(two_kinds_of_cell("alpha"))
    options = {"transfer": smooth, **options}
    model = trainable(network, np.array([[0]]), noise=noise, **options)
    with torch.no_grad():
        model.recurrent.trained.add_(float(np.log(scale)))
    return model, network


def check(scale: float = 1.0, rates=RATES, **options) -> ConversionCheck:
    model, network = made(scale=scale)
    options = {"transfer": smooth, **options}
    return check_conversion(model, network, rates, INPUTS, **options)


def test_variances_are_those_of_the_rate_network():
    found = check(scale=2.0).classes
    rates = rate_network(two_kinds_of_cell("alpha"), "low_pass", noise="correlated")
    by_neurons = 4 * rates.V.to_dense().numpy() @ RATES
    by_inputs = rates.V_in_lgn.to_dense().numpy() @ INPUTS
    background = rates.constant_variance.numpy()
    np.testing.assert_allclose(background_variance_mV2(two_kinds_of_cell("alpha")), background)
    for name, right in (
        ("recurrent_mV", by_neurons),
        ("input_mV", by_inputs),
        ("background_mV", background),
        ("mV", by_neurons + by_inputs + background),
    ):
        np.testing.assert_allclose(found[f"sigma_{name}"], np.sqrt(right), rtol=1e-5)
    np.testing.assert_allclose(found["noise_ratio"] ** 2, by_neurons / background, rtol=1e-5)


def test_the_replicas_that_it_asks_for_are_enough_and_one_less_is_not():
    one = check()
    assert one.replicas > 1 and any("replicas" in each for each in one.findings)
    enough, fewer = (check(replicas=M).classes for M in (one.replicas, one.replicas - 1))
    assert enough["noise_ratio"].max() <= 0.5 < fewer["noise_ratio"].max()
    assert check(replicas=one.replicas).replicas == one.replicas
    rows = one.classes
    needed = np.maximum(1, np.ceil((rows["noise_ratio"] / 0.5) ** 2))
    assert np.array_equal(rows["replicas"], needed)


def test_the_noise_that_f_was_made_at_is_remembered():
    model, network = made(noise="independent", transfer=by_sigma)
    found = check_conversion(model, network, RATES, INPUTS, transfer=by_sigma)
    np.testing.assert_allclose(found.classes["sigma_F_mV"], model.curve.sigma_mV)
    # by_sigma's only other difference between the two rates is sigma itself.
    rows = found.classes
    np.testing.assert_allclose(
        rows["rate_expected_Hz"] - rows["rate_F_Hz"],
        rows["sigma_mV"] - rows["sigma_F_mV"],
        rtol=1e-3,
    )
    moved = [each for each in found.findings if "F was taken at" in each]
    assert len(moved) == 1 and "retrain" not in moved[0]
    model.curve.sigma_mV = None
    unknown = check_conversion(model, network, RATES, INPUTS, transfer=by_sigma)
    assert np.isnan(unknown.classes["rate_F_Hz"]).all()
    assert not any("F was taken at" in each for each in unknown.findings)


@pytest.mark.parametrize("dynamics", ["low_pass", "equilibrium"])
def test_eigenvalues_are_those_of_the_linear_loop(dynamics):
    network = cells(two_kinds_of_cell("alpha"))
    model = trainable(network, np.array([[0]]), dynamics, transfer=linear, noise="none")
    rates = rate_network(network, "low_pass")
    loop = 2.0 * rates.U.to_dense().numpy() / network.neurons["g_nS"][:, None]
    values = np.linalg.eigvals(loop)
    found = check_conversion(model, network, RATES, INPUTS, transfer=linear)
    assert found.spectral_radius == pytest.approx(np.abs(values).max(), rel=1e-4)
    assert found.leading_eigenvalue.real == pytest.approx(values.real.max(), rel=1e-4)


def test_eigenvalues_of_large_networks_are_the_same(monkeypatch):
    model, network = ring(40)
    _, entries = entries_of(model, network)
    slope = np.full(40, 2.0)
    dense = leading_eigenvalues(model, entries, slope)
    monkeypatch.setattr("converters.conversion.predictions.DENSE", 10)
    sparse = leading_eigenvalues(model, entries, slope)
    assert sparse[0] == pytest.approx(dense[0], rel=1e-3)
    assert sparse[1].real == pytest.approx(dense[1].real, rel=1e-3)


def ring(n: int) -> tuple[TrainableRates, Network]:
    """Neurons that excite the next two of a ring."""
    from toolkit import Input, Receptor, Synapses

    each = np.arange(n)
    pre, post = np.tile(each, 2), np.concatenate([(each + 1) % n, (each + 2) % n])
    weight = np.random.default_rng(0).uniform(1, 9, 2 * n)
    recurrent = Synapses.sort(pre, post, weight, np.ones(2 * n), np.zeros(2 * n))
    alone = Synapses(each, each, np.ones(n), np.ones(n), np.zeros(n))
    inputs = {"lgn": Input(n, alone), "noise": Input(n, alone, rate_Hz=1000.0)}
    network = Network(neuron_table(n), recurrent, {"e": Receptor(5.0)}, inputs)
    return trainable(network, np.array([[0]]), transfer=smooth, noise="none"), network


def test_an_unstable_loop_is_said_to_be_one():
    quiet, loud = check(scale=1e-3), check(scale=50.0)
    assert quiet.spectral_radius < 0.1
    assert not any("diag(F')W" in each for each in quiet.findings)
    assert any("diag(F')W" in each for each in loud.findings)


def test_saturated_and_silent_classes_are_named():
    found = check(rates=np.array([5.0, 0.01, 400.0]))  # t_ref of 2 ms
    [saturated] = [each for each in found.findings if "refractory" in each]
    [silent] = [each for each in found.findings if "silent" in each]
    assert "100% of c" in saturated and "of a" not in saturated
    assert "100% of b" in silent and "of a" not in silent
    assert found.classes["saturated"].tolist() == [0, 0, 1]
    assert found.classes["silent"].tolist() == [0, 1, 0]


def test_strong_synapses_are_counted():
    rates = rate_network(two_kinds_of_cell("alpha"), "low_pass")
    threshold = rates.threshold_mV.numpy()[:, None]
    recurrent, inputs = (
        abs(getattr(rates, name).to_dense().numpy()) / threshold for name in ("P", "P_in_lgn")
    )
    onto_first = recurrent[0][recurrent[0] > 0]
    factor = 0.202 / onto_first.min()  # lifts all onto the first neuron
    model, network = made()
    with torch.no_grad():
        for weights in (model.recurrent, model.from_inputs):
            weights.trained.add_(float(np.log(factor)))
    found = check_conversion(model, network, RATES, INPUTS, transfer=smooth)
    for kind, psp in (("recurrent", recurrent), ("inputs", inputs)):
        right = [(factor * row[row > 0] > 0.2).mean() for row in psp]
        np.testing.assert_allclose(found.classes[f"strong_{kind}"], right)
        largest = found.classes[f"largest_{kind}"]
        np.testing.assert_allclose(largest, factor * psp.max(1), rtol=1e-5)
    texts = [each for each in found.findings if "synapses (recurrent)" in each]
    assert len(texts) == 1 and "100.0% of those onto a" in texts[0]
    fewer = check_conversion(model, network, RATES, INPUTS, replicas=2, transfer=smooth).classes
    np.testing.assert_allclose(
        2 * fewer["largest_recurrent"], found.classes["largest_recurrent"], rtol=1e-6
    )
    assert np.array_equal(fewer["largest_inputs"], found.classes["largest_inputs"])


def test_noise_of_the_input_is_named():
    model, network = made()
    with torch.no_grad():
        model.from_inputs.trained.add_(5.0)
    found = check_conversion(model, network, RATES, INPUTS, transfer=smooth)
    [text] = [each for each in found.findings if "driven input" in each]
    assert "a " in text and "replicate the inputs" in text


def test_nothing_is_wrong_where_nothing_is():
    network = cells(two_kinds_of_cell("alpha"))
    model = trainable(network, np.array([[0]]), transfer=by_sigma, noise="independent")
    with torch.no_grad():
        for weights in (model.recurrent, model.from_inputs):
            weights.trained.sub_(8.0)
    model.curve.sigma_mV = np.sqrt(background_variance_mV2(network))
    found = check_conversion(model, network, RATES, INPUTS, transfer=by_sigma)
    assert found.passed and found.findings == () and found.replicas == 1


def test_bad_input():
    with pytest.raises(InputError, match=r"rates_Hz of shape \(3,\) are needed, got \(2,\)"):
        check(rates=np.ones(2))
    with pytest.raises(InputError, match="rates_Hz must be finite and not negative"):
        check(rates=np.array([1.0, -1.0, 2.0]))
    model, network = made()
    no_noise = {"lgn": network.inputs["lgn"]}
    with pytest.raises(InputError, match="3 neurons have no background"):
        check_conversion(model, network.replace(inputs=no_noise), RATES, INPUTS, transfer=smooth)
