"""The three discrete updates as functions of tensors, against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit import rate_dynamics
from toolkit.rate_dynamics import equilibrium, instantaneous, low_pass, relax

few = settings(max_examples=60, deadline=None)
numbers = st.floats(-100, 100)


def _tensor(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def square(current: torch.Tensor) -> torch.Tensor:
    return current**2


@few
@given(start=numbers, target=numbers, tau=st.floats(0.5, 50), dt=st.floats(0.01, 100))
def test_relaxation_is_exact_for_a_constant_target(
    start: float, target: float, tau: float, dt: float
) -> None:
    """One step of any length, and many short ones, end where the differential equation ends."""
    exact = target + (start - target) * np.exp(-dt / tau)
    one = relax(_tensor(start), _tensor(target), _tensor(np.exp(-dt / tau)))
    assert one.item() == pytest.approx(exact, abs=1e-10)
    x = _tensor(start)
    for _ in range(7):
        x = relax(x, _tensor(target), _tensor(np.exp(-dt / 7 / tau)))
    assert x.item() == pytest.approx(exact, abs=1e-10)


def test_each_update_as_it_is_written() -> None:
    current, rates, drive = _tensor(2.0), _tensor(10.0), _tensor(6.0)
    a_s, a_r = _tensor(0.75), _tensor(0.5)
    relaxed = 0.75 * 2 + 0.25 * 6  # 3
    new, rate = instantaneous(current, drive, square, a_s)
    assert (new.item(), rate.item()) == (relaxed, 9.0)
    new, rate = low_pass(current, rates, drive, square, a_s, a_r)
    assert (new.item(), rate.item()) == (relaxed, 0.5 * 10 + 0.5 * 4), "F of the old current"
    rate = equilibrium(rates, drive, square, a_r)
    assert rate.item() == 0.5 * 10 + 0.5 * 36


def test_fast_limits_agree() -> None:
    """a_r = 0: the rate follows its current at once, one step later for low_pass; a_s = 0 as well:
    all are F of the drive."""
    current, rates, drive, zero = _tensor(2.0), _tensor(10.0), _tensor(6.0), _tensor(0.0)
    assert instantaneous(current, drive, square, zero)[1].item() == 36
    assert equilibrium(rates, drive, square, zero).item() == 36
    new, rate = low_pass(current, rates, drive, square, zero, zero)
    assert rate.item() == 4
    assert low_pass(new, rate, drive, square, zero, zero)[1].item() == 36


def test_updates_broadcast_over_batches_and_neurons() -> None:
    rng = np.random.default_rng(0)
    current, rates, drive = (torch.from_numpy(rng.normal(size=(4, 3))) for _ in range(3))
    a_s, a_r = _tensor(0.1, 0.5, 0.9), _tensor(0.2, 0.6, 0.8)
    new, rate = low_pass(current, rates, drive, square, a_s, a_r)
    assert new.shape == rate.shape == (4, 3)
    for b in range(4):
        for i in range(3):
            one = low_pass(current[b, i], rates[b, i], drive[b, i], square, a_s[i], a_r[i])
            assert (new[b, i], rate[b, i]) == one


def test_states_are_values() -> None:
    current, rates = _tensor(2.0), _tensor(10.0)
    low_pass(current, rates, _tensor(6.0), square, _tensor(0.5), _tensor(0.5))
    assert (current.item(), rates.item()) == (2.0, 10.0)


def test_gradients_flow_through_every_update() -> None:
    for name in rate_dynamics.DYNAMICS:
        drive = _tensor(6.0).requires_grad_()
        current, rates, half = _tensor(2.0), _tensor(10.0), _tensor(0.5)
        if name == "instantaneous":
            rate = instantaneous(current, drive, square, half)[1]
            slope = 2 * 4 * 0.5  # F' at I' = 4, dI'/d(drive) = 1 - a_s
        elif name == "low_pass":
            new, rate = low_pass(current, rates, drive, square, half, half)
            rate = low_pass(new, rate, drive, square, half, half)[1]
            slope = 0.5 * 2 * 4 * 0.5
        else:
            rate = equilibrium(rates, drive, square, half)
            slope = 0.5 * 2 * 6
        assert torch.autograd.grad(rate, drive)[0].item() == pytest.approx(slope)
