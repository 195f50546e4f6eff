"""Stability of the one-step map of rate networks."""

from __future__ import annotations

import re

import numpy as np
import pytest
from rate_networks import (
    DRIVE,
    GAIN,
    RECEPTORS,
    N,
    affine_map,
    neuron_table,
    rate_network,
    two_kinds_of_cell,
)

from converters.stability import spectral_radius
from toolkit import Network, Receptor, Synapses
from toolkit.errors import InputError
from toolkit.rate_dynamics import DYNAMICS


@pytest.mark.parametrize("kernel", RECEPTORS)
@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_spectral_radius_is_that_of_the_affine_map(dynamics: str, kernel: str) -> None:
    for dt_ms in (0.5, 4.0):
        made = rate_network(two_kinds_of_cell(kernel), dynamics, dt_ms)
        M, _ = affine_map(made, dynamics, kernel)
        if kernel == "exponential" or dynamics == "equilibrium":
            used = N + (len(M) - N) // 2  # the first pole is not
            M = M[:used, :used]
        variance = np.exp(
            -dt_ms / (0.5 * two_kinds_of_cell(kernel).neurons["C_m_pF"] / made.g_nS.numpy())
        )
        expected = max(np.abs(np.linalg.eigvals(M)).max(), variance.max())
        assert spectral_radius(made, DRIVE) == pytest.approx(expected, rel=1e-3)


LOOP = 5.0


def _loop(gain: float = LOOP) -> Network:
    """Two neurons that inhibit both: the sum sees a loop of gain -g, the difference none."""
    tau, g_nS = 5.5, 5.0
    # W r / g_nS x GAIN has the eigenvalue -gain for the sum of the two.
    weight = -gain / 2 * g_nS / GAIN * 1000 / tau
    both = np.array([0, 1, 0, 1]), np.array([0, 0, 1, 1])
    synapses = Synapses(*both, np.full(4, weight), np.ones(4), np.zeros(4))
    neurons = neuron_table(2, sign=[-1, -1], C_m_pF=20.0, I_ext_pA=150.0)
    return Network(neurons, synapses, {"i": Receptor(tau, "exponential")})


@pytest.mark.parametrize("dt_ms", [1.0, 1.9, 2.5, 6.0])
def test_spectral_radius_of_an_inhibitory_loop(dt_ms: float) -> None:
    """The sum's eigenvalue is a - (1 - a) g, the difference's a."""
    made = rate_network(_loop(), "instantaneous", dt_ms)
    a = np.exp(-dt_ms / 5.5)
    variance = np.exp(-dt_ms / (0.5 * 20 / 5))
    expected = max(abs(a - (1 - a) * LOOP), a, variance)
    assert spectral_radius(made, {}) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("factor", [1.1, 2.0, 4.0])
def test_an_unstable_step_is_refused_with_the_largest_stable_one(factor: float) -> None:
    """(1 - a)(1 + g) < 2, so dt < -tau_s ln(1 - 2 / (1 + g))."""
    bound = -5.5 * np.log(1 - 2 / (1 + LOOP))
    made = rate_network(_loop(), "instantaneous", factor * bound)
    words = rf"dt_ms = {factor * bound:g} is unstable .* largest stable step is about ([0-9.]+) ms"
    with pytest.raises(InputError, match=words) as caught:
        made.run(duration_ms=50)
    allowed = float(re.search(words, str(caught.value)).group(1))
    assert 0.95 * bound < allowed < bound
    assert made.dt_ms == pytest.approx(factor * bound), "the network is left as it was"
    assert made.a_s.numpy() == pytest.approx(np.exp(-factor * bound / 5.5))
    made.set_dt(allowed)
    assert spectral_radius(made, {}) < 1
    made.run(duration_ms=5 * allowed)


def _pair(gain: float, taus_ms: tuple[float, float], **columns) -> Network:
    """An excitatory and an inhibitory neuron in a loop with the eigenvalues +-i gain."""
    weight = gain * 5.0 / GAIN * 1000 / (np.e * taus_ms[0])
    synapses = Synapses.sort(
        np.array([0, 1]), np.array([1, 0]), np.array([weight, -weight]), np.ones(2), np.zeros(2)
    )
    neurons = neuron_table(2, sign=[1, -1], C_m_pF=5.0 * taus_ms[1], **columns)
    return Network(neurons, synapses, {"r": Receptor(taus_ms[0])})


@pytest.mark.parametrize(("gain", "stable"), [(1.4, True), (1.8, False)])
def test_a_loop_that_is_unstable_at_any_step_is_refused(gain: float, stable: bool) -> None:
    """Three poles of 10 ms, (1 + s)^3 = i g: unstable where g^(1/3) cos 30 deg is above 1."""
    made = rate_network(_pair(gain, (10.0, 10.0), I_ext_pA=[450.0, 0.0]), "low_pass", 0.1)
    assert (gain ** (1 / 3) * np.cos(np.pi / 6) < 1) == stable
    if stable:
        made.run(duration_ms=1)
        return
    words = r"no stable steady state .* at any time step.*check_stability=False"
    with pytest.raises(InputError, match=words):
        made.run(duration_ms=1)
    assert made.run(duration_ms=1, check_stability=False).rates_Hz.shape == (10, 2)


def test_a_fixed_point_that_is_not_reached_is_told() -> None:
    made = rate_network(_pair(5.0, (10.0, 10.0)), "low_pass", 0.1)
    with pytest.warns(UserWarning, match=r"fixed point.* moves by .* Hz a step after 100 steps"):
        made.fixed_point(max_steps=100)
