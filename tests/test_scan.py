"""The time scan: rates and gradients against automatic differentiation, on every backend."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from toolkit.errors import InputError
from toolkit.rate_dynamics import DYNAMICS
from toolkit.scan import Backend, Connections, System, choice, fastest, plain_scan, scan
from toolkit.scan.system import Start

N, N_SLOTS, N_CHANNELS, ITEMS, STEPS = 12, 2, 3, 4, 9


class Softplus:
    """Smooth, with a slope that is not F itself."""

    def value_and_slope(self, current):
        return 2.0 * torch.nn.functional.softplus(current), 2.0 * torch.sigmoid(current)


def case(dynamics: str, dtype: torch.dtype = torch.float64, n: int = N, density: float = 0.3):
    """A random network with two entries for one pair, an empty row and an unused column."""
    rng = np.random.default_rng(3)
    row, col = np.nonzero(rng.random((N_SLOTS * n, n + N_CHANNELS)) < density)
    keep = (row != 5) & (col != 2)
    row, col = np.insert(row[keep], 0, row[keep][0]), np.insert(col[keep], 0, col[keep][0])
    shape = dict(n_neurons=n, n_slots=N_SLOTS, n_channels=N_CHANNELS)
    connections = Connections(row, col, **shape)
    generator = torch.Generator().manual_seed(1)

    def draw(*size: int) -> torch.Tensor:
        return torch.randn(size, generator=generator, dtype=torch.float64).to(dtype)

    tau = lambda *size: torch.exp(-1 / (1 + draw(*size).abs()))  # noqa: E731
    system = System(dynamics, tau(N_SLOTS, n, 1), tau(n, 1), Softplus())
    start = Start(draw(n, ITEMS).abs(), draw(N_SLOTS, n, ITEMS))
    arguments = dict(
        values=(draw(len(row)) / np.sqrt(n * density)).requires_grad_(),
        constant_pA=draw(n).requires_grad_(),
        inputs=draw(ITEMS, STEPS, N_CHANNELS).requires_grad_(),
    )
    noise = draw(STEPS, n, ITEMS)
    weight = draw(ITEMS, STEPS, n)  # of every rate in the loss
    return SimpleNamespace(
        connections=connections, system=system, start=start, noise=noise, weight=weight,
        arguments=arguments,
    )  # fmt: skip


def gradients(made, rates: torch.Tensor) -> list[torch.Tensor]:
    loss = (made.weight * rates).sum()
    return list(torch.autograd.grad(loss, list(made.arguments.values())))


def plain(made) -> torch.Tensor:
    values = made.arguments["values"]
    row, col = made.connections.row.long(), made.connections.col.long()
    J = values.new_zeros(made.connections.shape).index_put((row, col), values, accumulate=True)
    return plain_scan(
        made.connections, made.system, J.__matmul__, made.arguments["constant_pA"],
        made.arguments["inputs"], made.start, made.noise,
    )  # fmt: skip


def fast(made, backend: Backend) -> torch.Tensor:
    return scan(
        made.connections, made.system, **made.arguments, start=made.start, noise_pA=made.noise,
        backend=backend,
    )  # fmt: skip


def relative(found: torch.Tensor, right: torch.Tensor) -> float:
    return float((found - right).norm() / right.norm())


@pytest.mark.parametrize("dynamics", DYNAMICS)
@pytest.mark.parametrize("product", ["csr", "dense"])
@pytest.mark.parametrize("gradient", ["sampled", "dense"])
def test_rates_and_gradients_are_those_of_automatic_differentiation(dynamics, product, gradient):
    made = case(dynamics)
    # 3 steps of 4 items a block; 9 steps: whole blocks
    rates, right = fast(made, Backend(product, gradient, block=12)), plain(made)
    assert rates.shape == (ITEMS, STEPS, N)
    torch.testing.assert_close(rates, right, rtol=1e-12, atol=1e-12)
    for found, expected in zip(gradients(made, rates), gradients(made, right), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("block", [1, 8, 16, 1000])
def test_any_block_gives_the_same_gradient(block):
    made = case("low_pass")
    found, right = gradients(made, fast(made, Backend(block=block))), gradients(made, plain(made))
    assert max(map(relative, found, right)) < 1e-12


@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_gradcheck(dynamics):
    made = case(dynamics, n=5, density=0.5)

    def rates(values, constant_pA, inputs):
        made.arguments = dict(values=values, constant_pA=constant_pA, inputs=inputs)
        return fast(made, Backend())

    assert torch.autograd.gradcheck(rates, tuple(made.arguments.values()))


@pytest.mark.parametrize("product", ["csr", "dense"])
@pytest.mark.parametrize("gradient", ["sampled", "dense"])
def test_single_precision(product, gradient):
    made = case("low_pass", torch.float32, n=100)
    found = gradients(made, fast(made, Backend(product, gradient)))
    right = gradients(made, plain(made))
    assert max(map(relative, found, right)) < 1e-5


def test_bfloat16_points_the_same_way():
    made = case("low_pass", torch.float32, n=100)
    found = gradients(made, fast(made, Backend("dense_bf16", "dense_bf16")))
    right = gradients(made, plain(made))
    for a, b in zip(found, right, strict=True):
        assert torch.cosine_similarity(a.flatten(), b.flatten(), dim=0) > 0.999


def test_a_gradient_that_is_not_contiguous_or_partial():
    made = case("low_pass")
    for rates in (fast(made, Backend()), plain(made)):
        rates[:, 2:5, 1:].mean().backward()
    values = made.arguments["values"].grad
    made_again = case("low_pass")
    fast(made_again, Backend())[:, 2:5, 1:].mean().backward()
    torch.testing.assert_close(values, 2 * made_again.arguments["values"].grad)


def test_without_gradients_the_rates_are_the_same_and_nothing_is_kept():
    made = case("instantaneous")
    with torch.no_grad():
        rates = fast(made, Backend())
    assert rates.grad_fn is None
    torch.testing.assert_close(rates, plain(made))


def test_a_scan_goes_on_from_silence_by_default():
    made = case("low_pass")
    made.start = None
    torch.testing.assert_close(fast(made, Backend()), plain(made))


@pytest.mark.parametrize("shape", [(ITEMS, STEPS), (ITEMS, STEPS, 2), (ITEMS, 0, N_CHANNELS)])
def test_inputs_that_do_not_fit(shape):
    made = case("low_pass")
    made.arguments["inputs"] = torch.zeros(shape)
    with pytest.raises(InputError, match=r"\(item, step, 3\)"):
        fast(made, Backend())


def test_bad_connections_and_names():
    shape = dict(n_neurons=2, n_slots=1, n_channels=0)
    with pytest.raises(InputError, match="ascending"):
        Connections([1, 0], [0, 0], **shape)
    with pytest.raises(InputError, match="column is outside 0 to 1"):
        Connections([0], [2], **shape)
    with pytest.raises(InputError, match="Did you mean 'dense'"):
        Backend("dens")
    with pytest.raises(InputError, match="unknown dynamics"):
        System("lowpass", torch.ones(1, 2, 1), torch.ones(2, 1), Softplus())


def test_the_fastest_backend_is_measured_once(tmp_path, monkeypatch):
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path))
    connections = case("low_pass").connections
    first = fastest(connections, ITEMS)
    assert not first.product.endswith("bf16") and not first.gradient.endswith("bf16")
    monkeypatch.setattr(choice, "_measured", lambda *_: pytest.fail("measured again"))
    assert fastest(connections, ITEMS) == first
    monkeypatch.setattr(choice, "_measured", lambda *_: Backend("dense"))
    assert fastest(connections, ITEMS + 1) == Backend("dense")
    file = tmp_path / "scan_backends.json"
    assert len(json.loads(file.read_text())) == 2
    for damaged in ("{", "[1]", '{"x": 1}'):
        file.write_text(damaged)
        assert fastest(connections, ITEMS) == Backend("dense")


def test_a_large_network_is_not_made_dense(tmp_path, monkeypatch):
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path))
    monkeypatch.setitem(choice.DENSE_LIMIT_BYTES, "cpu", 100)
    found = fastest(case("low_pass").connections, ITEMS, bf16=True)
    assert (found.product, found.gradient) == ("csr", "sampled")
