"""Spikes in PyTorch: those of the other backends, and their surrogate gradients."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from model_networks import network_of
from rate_networks import N_IN, N, two_kinds_of_cell
from torch.func import functional_call

from circuits import v1
from converters import to_brian2
from converters.torch_spiking import HEIGHT_PER_MS, WIDTH, to_torch_spiking
from toolkit import Network, Recording
from toolkit.errors import InputError


def glif1() -> Network:
    """Leaky integrate-and-fire neurons with exponential currents."""
    network = two_kinds_of_cell("exponential")
    return network.replace(model="glif1")


def driven(network: Network, rate_Hz: float, dt_ms: float, n_steps: int) -> torch.Tensor:
    n = next(each.n for each in network.inputs.values() if each.rate_Hz is None)
    draws = np.random.default_rng(2).random((n_steps, n))
    return torch.from_numpy((draws < rate_Hz * dt_ms / 1000).astype(float))


@pytest.mark.parametrize(
    ("make", "dt_ms", "rate_Hz"),
    [
        (lambda: v1.column(300, seed=1), 0.25, 8.0),
        (lambda: two_kinds_of_cell("alpha"), 0.1, 2000.0),
        (lambda: two_kinds_of_cell("exponential"), 0.5, 900.0),
        (glif1, 0.25, 900.0),
    ],
    ids=["column", "alpha", "exponential", "glif1"],
)
def test_spikes_are_those_of_brian2(make, dt_ms: float, rate_Hz: float):
    network, n_steps = make(), round(200 / dt_ms)
    counts = driven(network, rate_Hz, dt_ms, n_steps)
    step, channel = np.nonzero(counts.numpy())
    given = Recording.spikes(
        (step + 1) * dt_ms, channel, n=counts.shape[1], dt_ms=dt_ms, duration_ms=n_steps * dt_ms
    )
    right = to_brian2(network, dt_ms=dt_ms).run(given, seed=3)
    circuit = to_torch_spiking(network, dt_ms=dt_ms, dtype=torch.float64)
    with torch.no_grad():
        both = circuit(torch.stack([counts, 0 * counts]), seeds=[3, 4]).numpy()
    found = np.zeros((n_steps, network.n))
    found[np.rint(right.spike_times_ms / dt_ms).astype(int) - 1, right.spike_ids] = 1
    assert found.sum() > 20
    np.testing.assert_array_equal(both[0], found)
    assert (both[1] != found).any()


def plain_spikes(network: Network, counts: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """LIF neurons with exponential currents, delays of 1 ms and steps of 0.5, (step, neuron)."""
    h, late = 0.5, 2
    column = {
        name: torch.tensor(network.neurons[name]) for name in network.neurons if name[-1] in "FSVA"
    }
    C, g = column["C_m_pF"], column["g_nS"]
    threshold, taus = column["V_th_mV"] - column["E_L_mV"], (5.5, 8.0)
    leak = torch.exp(-h * g / C)
    recurrent, into = network.synapses, network.inputs["lgn"].synapses
    dense = []
    for each, n, part in (
        (recurrent, N, weight[: len(recurrent)]),
        (into, N_IN, weight[len(recurrent) :]),
    ):
        for k in (0, 1):
            own = torch.from_numpy(each.receptor == k)
            at = (torch.tensor(each.post).long()[own], torch.tensor(each.pre).long()[own])
            dense.append(torch.zeros(N, n, dtype=torch.float64).index_put(at, part[own]))
    U, r = torch.zeros(N, dtype=torch.float64), torch.zeros(N)
    y, spikes = [torch.zeros(N, dtype=torch.float64) for _ in taus], []
    for t in range(len(counts)):
        free = U * leak + column["I_ext_pA"] / g * (1 - leak)
        for k, tau in enumerate(taus):
            free = free + y[k] / C * (leak - np.exp(-h / tau)) / (1 / tau - g / C)
            y[k] = y[k] * np.exp(-h / tau)
        v = (free - threshold) / threshold
        near = v.clamp(-WIDTH, WIDTH)
        slope = HEIGHT_PER_MS * h  # of this at 0; it falls to both sides as the surrogate does
        smooth = slope * (near - near * near.abs() / (2 * WIDTH))
        z = ((v > 0).double() + smooth - smooth.detach()) * (r == 0)
        fired = z.detach() > 0
        U = torch.where(
            fired, column["V_reset_mV"] - column["E_L_mV"], torch.where(r == 0, free, U)
        )
        r = torch.where(fired, 4.0, (r - 1).clamp(min=0))
        spikes.append(z)
        if t >= late:
            for k in (0, 1):
                y[k] = y[k] + dense[k] @ spikes[t - late] + dense[2 + k] @ counts[t - late]
    return torch.stack(spikes)


def test_gradients_are_those_of_a_plain_loop():
    network = glif1()
    network = network.replace(inputs={"lgn": network.inputs["lgn"]})
    counts = driven(network, 1500.0, 0.5, 160)
    circuit = to_torch_spiking(network, dt_ms=0.5, dtype=torch.float64)
    found = circuit(counts[None], seeds=[0])[0]
    weight = circuit.weight.detach().clone().requires_grad_()
    right = plain_spikes(network, counts, weight)
    np.testing.assert_allclose(found.detach(), right.detach(), atol=1e-12)
    assert found.sum() > 10
    by = torch.randn(found.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    (found * by).sum().backward()
    (right * by).sum().backward()
    assert weight.grad.abs().min() > 0
    np.testing.assert_allclose(circuit.weight.grad, weight.grad, rtol=1e-9)
    assert circuit.current_pA.grad.abs().min() > 0


def test_gradients_are_near_finite_differences():
    """Of the mean rate of a column by all its currents, and by all its weights."""
    network = v1.column(300, seed=1)
    circuit = to_torch_spiking(network)
    mV = torch.tensor(network.neurons["g_nS"], dtype=torch.float32)
    start = {name: value.detach().clone() for name, value in circuit.named_parameters()}
    draws = torch.Generator().manual_seed(0)
    counts = torch.poisson(torch.full((4, 250, 832), 5e-3), draws)

    def rate_Hz(**changed: torch.Tensor) -> torch.Tensor:
        spikes = functional_call(circuit, {**start, **changed}, (counts, [0, 1, 2, 3]))
        return 1000 * spikes[:, 50:].mean()

    for name, direction in (("current_pA", mV), ("weight", 0.1 * start["weight"])):
        with torch.no_grad():
            up, down = (rate_Hz(**{name: start[name] + k * direction}) for k in (1, -1))
        held = start[name].clone().requires_grad_()
        rate_Hz(**{name: held}).backward()
        assert 0.6 < (held.grad * direction).sum() / ((up - down) / 2) < 1.6


def test_bad_input():
    column = v1.column(100, seed=1)
    circuit = to_torch_spiking(column)
    with pytest.raises(InputError, match=r"counts \(item, step, 832\) and a seed an item"):
        circuit(torch.zeros(2, 10, 832), seeds=[1])
    with pytest.raises(InputError, match="GLIF1 or GLIF3 neurons are needed, this network has lif"):
        to_torch_spiking(network_of("lif_psc_exp"))
    with pytest.raises(InputError, match="receptors must be alpha or exponential"):
        to_torch_spiking(network_of("glif3"))
    with pytest.raises(InputError, match="one driven input is needed, this network has none"):
        to_torch_spiking(column.replace(inputs={"background": column.inputs["background"]}))
    noise = column.inputs["background"]
    twice = dataclasses.replace(column.inputs["lgn"], rate_Hz=5.0)
    with pytest.raises(InputError, match="the background 'more' must have one synapse a neuron"):
        to_torch_spiking(
            column.replace(inputs={"lgn": column.inputs["lgn"], "more": twice, "noise": noise})
        )
