"""The trainable rate network of a circuit: its equations, constraints, curve and pools."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from rate_networks import smooth, two_kinds_of_cell

from converters.rates import to_rate
from converters.trainable import trainable
from toolkit.errors import InputError
from toolkit.learning import TableCurve, Weights, localized_pools
from toolkit.rate_dynamics import DYNAMICS
from toolkit.scan.curves import with_tail
from toolkit.scan.system import Start

POOLS = np.array([[0, 2], [1, 2]])


def model(dynamics: str = "low_pass", **options):
    network = two_kinds_of_cell("exponential")
    return trainable(network, POOLS, dynamics, **{"transfer": smooth, "noise": "none", **options})


@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_untrained_it_is_the_rate_network_of_the_circuit(dynamics):
    made = model(dynamics, dt_ms=1.0)
    rates = to_rate(
        two_kinds_of_cell("exponential"), dynamics, dt_ms=1.0, transfer=smooth, noise="none"
    )
    inputs = 30 * torch.rand(1, 40, 2, generator=torch.Generator().manual_seed(0))
    state, right = rates.start(), []
    for k in range(40):
        state = rates.step(state, *rates.drive({"lgn": inputs[:, k]}))
        right.append(state.rates[0])
    # With h = 0.25 mV the curve is at most h^2 max|F"| / 8 = 0.01 Hz too high.
    torch.testing.assert_close(made(inputs)[0], torch.stack(right), rtol=0, atol=0.015)


def test_log_weights_keep_their_signs_whatever_the_steps_are():
    made = model()
    before = made.weights().detach().sign()
    optimiser = torch.optim.SGD(made.parameters(), lr=0.01)
    for _ in range(5):
        made(torch.full((2, 6, 2), 20.0)).square().mean().backward()
        optimiser.step()
    assert torch.equal(made.weights().sign(), before)


def test_training_lowers_a_loss():
    made = model()
    optimiser = torch.optim.Adam(made.parameters(), lr=0.05)
    losses = []
    for _ in range(30):
        optimiser.zero_grad()
        loss = (made(torch.full((2, 20, 2), 20.0))[:, -1].mean() - 20.0).square()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.05 * losses[0]


@pytest.mark.parametrize(("constraint", "left"), [("projected", [0.5, 0.0]), ("free", [0.5, 2.0])])
def test_projection_and_freedom(constraint, left):
    weights = Weights([0.5, -0.25], constraint=constraint)
    with torch.no_grad():
        weights.trained[1] = 2.0
    weights.project()
    assert weights().tolist() == left


def test_bad_weights():
    with pytest.raises(InputError, match="unknown constraint 'logs'"):
        Weights([1.0], constraint="logs")
    with pytest.raises(InputError, match="weight 1 is against its sign"):
        Weights([1.0, 1.0], np.array([1, -1]))
    with pytest.raises(InputError, match="finite"):
        Weights([np.nan])


def test_weights_of_zero_can_grow_again_in_log_space():
    assert Weights([0.0, 1.0])()[0].item() == pytest.approx(1e-4)


def test_the_curve_is_the_transfer_function_with_slopes_everywhere():
    g, threshold, sigma = np.array([5.0, 8.0]), np.array([20.0, 15.0]), np.array([1.0, 2.0])
    curve = TableCurve.at(smooth, sigma, g, threshold)
    current = torch.linspace(-150, 1500, 50).repeat(2, 1)
    value, slope = curve.value_and_slope(current)
    mu = current / torch.tensor(g)[:, None] - torch.tensor(threshold)[:, None]
    right = smooth(mu, mu).float()
    torch.testing.assert_close(value, right, rtol=1e-2, atol=0.05)
    assert (slope > 0).all()
    current.requires_grad_()
    (by_torch,) = torch.autograd.grad(curve.value_and_slope(current)[0].sum(), current)
    torch.testing.assert_close(by_torch, slope)


def test_rates_too_low_to_count_go_on_as_an_exponential():
    mu = np.arange(0, 10, 0.25)
    rates = np.where(mu < 5, 0.0, mu - 4.9)[None]
    made = with_tail(rates, 0.25)[0]
    assert (made > 0).all() and (np.diff(made) > 0).all()
    assert np.array_equal(made[mu >= 5], rates[0, mu >= 5])


def test_pool_rates_are_means_over_members_and_window():
    made = model()
    rates = torch.rand(2, 5, 3)
    response = torch.tensor([[False, True, True, False, False], [False, False, True, True, True]])
    found = made.pool_rates(rates, response)
    for item, pool in np.ndindex(2, 2):
        right = rates[item][response[item]][:, POOLS[pool]].mean()
        assert float(found[item, pool]) == pytest.approx(float(right))


@pytest.mark.parametrize("dynamics", ["low_pass", "equilibrium"])
def test_synaptic_variance_is_that_of_the_rate_network(dynamics):
    made = model(dynamics)
    network = two_kinds_of_cell("exponential")
    rates = to_rate(network, "low_pass", transfer=smooth)
    r, x = torch.tensor([5.0, 3.0, 9.0]), torch.tensor([10.0, 20.0])
    right = (rates.V @ r[:, None])[:, 0]
    torch.testing.assert_close(made.synaptic_variance(r).detach(), right)
    both = right + (rates.V_in_lgn @ x[:, None])[:, 0]
    torch.testing.assert_close(made.synaptic_variance(r, x).detach(), both)
    assert made.synaptic_variance(r).requires_grad


def test_pools_are_localized_and_share_no_neuron():
    rng = np.random.default_rng(0)
    x, z = rng.uniform(-100, 100, (2, 500))
    candidates = np.arange(50, 500)
    pools = localized_pools(x, z, candidates, 13)
    assert pools.shape == (13, 30) and len(np.unique(pools)) == 390
    assert pools.min() >= 50
    spread = np.hypot(x[pools].std(1), z[pools].std(1)).mean()
    assert spread < 0.6 * np.hypot(x.std(), z.std())
    with pytest.raises(InputError, match="16 pools of 30 neurons need 480 candidates"):
        localized_pools(x, z, candidates, 16)


def test_a_scan_goes_on_where_another_ended():
    made = model("equilibrium")
    inputs = 30 * torch.rand(1, 10, 2, generator=torch.Generator().manual_seed(0))
    whole, first = made(inputs), made(inputs[:, :4])
    start = Start(first[:, -1].T, torch.zeros(1, 3, 1))
    torch.testing.assert_close(made(inputs[:, 4:], start), whole[:, 4:])


def test_bad_input():
    with pytest.raises(InputError, match="unknown input 'lgm'"):
        model(source="lgm")
    with pytest.raises(InputError, match="neurons 0 to 2"):
        trainable(two_kinds_of_cell("exponential"), np.array([[3]]), transfer=smooth)
    with pytest.raises(InputError, match="tau_r_ms must be above 0"):
        model(tau_r_ms=0.0)
    with pytest.raises(InputError, match="double-alpha"):
        trainable(two_kinds_of_cell("double_alpha"), POOLS, transfer=smooth)
