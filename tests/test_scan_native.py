"""The compiled scan: rates and gradients against automatic differentiation of the plain one."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from test_scan import Softplus, case, relative

from toolkit.errors import InputError, MissingDependency
from toolkit.rate_dynamics import DYNAMICS
from toolkit.scan import Backend, TableCurve, choice, fastest, native, plain_scan, scan

pytestmark = pytest.mark.skipif(not native.available(), reason="there is no C++ compiler")
NATIVE = Backend("native", "native")
N = 70  # some rows of more than 16 entries, some of less


def table(n: int) -> TableCurve:
    """A bent curve whose ends currents pass on both sides."""
    points = np.linspace(-3, 3, 41)
    gain = np.linspace(0.1, 0.4, n)[:, None]
    rates = gain * np.exp(points)
    rates[:, 0] = rates[:, 1]  # level where currents pass the lower end, as tables of cells are
    return TableCurve(points, rates, np.linspace(0.8, 1.2, n), np.zeros(n))


def made(dynamics: str, items: int, steps: int = 9, *, noise: tuple[int, int] | None = None):
    """A network in single precision; how its rates are weighed in the loss; its arguments."""
    its = case(dynamics, torch.float32, n=N)
    system = type(its.system)(dynamics, its.system.a_s, its.system.a_r, table(N))
    generator = torch.Generator().manual_seed(2)
    draw = lambda *shape: torch.randn(shape, generator=generator)  # noqa: E731
    arguments = dict(
        values=its.arguments["values"],
        constant_pA=its.arguments["constant_pA"],
        inputs=draw(steps, items, 3).transpose(0, 1).requires_grad_(),
    )
    start = type(its.start)(draw(N, items).abs(), draw(2, N, items))
    drawn = None if noise is None else draw(*noise, items)
    return its.connections, system, arguments, start, drawn, draw(items, steps, N)


def double(thing):
    """A copy in double precision."""
    return copy.deepcopy(thing).double()


def plain(connections, system, arguments, start, noise, weight):
    """Rates and gradients by automatic differentiation, in double precision."""
    values, constant, inputs = (a.detach().double().requires_grad_() for a in arguments.values())
    row, col = connections.row.long(), connections.col.long()
    J = values.new_zeros(connections.shape).index_put((row, col), values, accumulate=True)
    exact = type(system)(
        system.dynamics, system.a_s.double(), system.a_r.double(), double(system.curve)
    )
    begin = type(start)(start.rates.double(), start.currents.double())
    noise = None if noise is None else noise.double()
    rates = plain_scan(connections, exact, J.__matmul__, constant, inputs, begin, noise)
    loss = (rates * weight).sum()
    return rates, torch.autograd.grad(loss, [values, constant, inputs])


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("dynamics", DYNAMICS)
@pytest.mark.parametrize("items", [1, 16, 37, 64])
@pytest.mark.parametrize("noise", [None, (9, N), (1, 1)])
def test_rates_and_gradients_are_those_of_automatic_differentiation(dynamics, items, noise):
    connections, system, arguments, start, drawn, weight = made(dynamics, items, noise=noise)
    rates = scan(connections, system, **arguments, start=start, noise_pA=drawn, backend=NATIVE)
    found = torch.autograd.grad((rates * weight).sum(), list(arguments.values()))
    right, expected = plain(connections, system, arguments, start, drawn, weight)
    assert rates.shape == right.shape
    assert relative(rates, right) < 1e-5
    assert max(map(relative, found, expected)) < 1e-5


@pytest.mark.parametrize("steps", [1, 2, 9])
@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_nothing_depends_on_the_number_of_threads(threads, steps, n):
    connections, system, arguments, start, _, weight = made("low_pass", 64, steps)
    results = []
    for number in (4, n):
        threads(number)
        rates = scan(connections, system, **arguments, start=start, backend=NATIVE)
        results.append([rates, *torch.autograd.grad((rates * weight).sum(), [*arguments.values()])])
    for first, second in zip(*results, strict=True):
        assert torch.equal(first, second)


def test_without_gradients_nothing_is_kept():
    connections, system, arguments, start, _, _ = made("low_pass", 5)
    with torch.no_grad():
        rates = scan(connections, system, **arguments, start=start, backend=NATIVE)
    again = scan(connections, system, **arguments, start=start, backend=NATIVE)
    assert rates.grad_fn is None and again.grad_fn is not None
    assert torch.equal(rates, again)


def test_a_rate_that_is_no_number_stays_one():
    connections, system, arguments, start, _, _ = made("low_pass", 5)
    with torch.no_grad():
        arguments["constant_pA"][3] = float("nan")
        rates = scan(connections, system, **arguments, start=start, backend=NATIVE)
    assert rates[:, :, 3].isnan().all()


def test_what_it_cannot_do_is_said(monkeypatch):
    connections, system, arguments, start, _, _ = made("low_pass", 5)
    with pytest.raises(InputError, match="float32 on a CPU"):
        scan(connections, system, **{**arguments, "values": arguments["values"].double()},
             start=start, backend=NATIVE)  # fmt: skip
    other = type(system)(system.dynamics, system.a_s, system.a_r, Softplus())
    with pytest.raises(InputError, match="TableCurve only"):
        scan(connections, other, **arguments, start=start, backend=NATIVE)
    with pytest.raises(InputError, match="both or neither"):
        Backend("native", "sampled")
    native._library.cache_clear()
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(MissingDependency, match="apt-get install g"):
        scan(connections, system, **arguments, start=start, backend=NATIVE)
    assert not native.available()
    native._library.cache_clear()


def test_the_fastest_may_be_native(tmp_path, monkeypatch):
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path))
    monkeypatch.setattr(choice, "_seconds", lambda job, _: 0.0 if "native" in str(job) else 1.0)
    monkeypatch.setattr(choice, "available", lambda: True)
    connections = made("low_pass", 5)[0]
    assert fastest(connections, 64) == NATIVE
    assert fastest(connections, 64, native=False).product != "native"
