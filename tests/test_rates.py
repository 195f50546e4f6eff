"""`to_rate`: its discrete updates against closed forms and the continuous equations.

With a linear transfer function a step is an affine map, of which matrix powers give any number of
steps; with a smooth one, an ODE solver gives the limit of small steps. Both are written here from
the equations, with dense matrices.
"""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from rate_networks import (
    DRIVE,
    INPUT_HZ,
    N_IN,
    RECEPTORS,
    TAUS_MS,
    Equations,
    N,
    affine_map,
    dense,
    linear,
    neuron_table,
    rate_network,
    smooth,
    spread,
    two_kinds_of_cell,
)
from scipy.integrate import quad, solve_ivp
from scipy.signal import fftconvolve

from circuits import allen
from converters import correlations, to_brian2
from converters.rates import KERNELS, RateNetwork, to_rate
from toolkit import Input, Network, Receptor, Recording, Synapses
from toolkit.errors import InputError
from toolkit.neurons import glif3
from toolkit.rate_dynamics import DYNAMICS

# ---- weights -------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", RECEPTORS)
def test_weights_are_charges_and_variances(kernel: str) -> None:
    """W is the charge of a spike (pA/Hz = pC), V follows from the PSP by Campbell's theorem."""
    network = two_kinds_of_cell(kernel)
    made = rate_network(network, "low_pass")
    s = network.synapses
    t = np.arange(0.01, 300, 0.02)
    W, V = np.zeros((2 * N, N)), np.zeros((N, N))
    for pre, post, weight, number in zip(s.pre, s.post, s.weight, s.receptor, strict=True):
        receptor = RECEPTORS[kernel][number]
        shape = np.zeros(len(t))
        for peak, tau in receptor.components:
            alpha = receptor.kernel != "exponential"
            shape += peak * (t / tau * np.exp(1 - t / tau) if alpha else np.exp(-t / tau))
        C, g = (float(network.neurons[k][post]) for k in ("C_m_pF", "g_nS"))
        membrane = np.exp(-t * g / C) / C
        psp = fftconvolve(shape, membrane)[: len(t)] * 0.02
        W[number * N + post, pre] += weight * shape.sum() * 0.02 / 1000
        V[post, pre] += weight**2 * (psp**2).sum() * 0.02 / 1000
    assert dense(made.W) == pytest.approx(W, rel=1e-3)
    assert dense(made.V) == pytest.approx(V, rel=5e-3)
    # The background's mean current joins the constant one.
    charge = network.receptors["e"].charge_per_peak / 1000
    expected = network.neurons["I_ext_pA"] + np.array([1.0, 2.0, 0.5]) * charge * 800
    assert made.constant_pA.numpy() == pytest.approx(expected, rel=1e-6)


def test_drive_of_an_input() -> None:
    made = rate_network(two_kinds_of_cell("alpha"), "low_pass")
    current, variance = made.drive({"lgn": torch.tensor([[20.0, 35.0], [0.0, 10.0]]).double()})
    per_Hz = np.e * TAUS_MS[0] / 1000
    first = [20 * 40.0, 20 * 20.0, 35 * 60.0 + 20 * 10.0]
    assert current.shape == (2, 2 * N) and variance.shape == (2, N)
    assert current[0].numpy() == pytest.approx([*(np.array(first) * per_Hz), 0, 0, 0], rel=1e-6)
    assert current[1].numpy() == pytest.approx([0, 0, 600 * per_Hz, 0, 0, 0], rel=1e-6)
    neurons = two_kinds_of_cell("alpha").neurons
    square = glif3.psp_square_integral(neurons["C_m_pF"], neurons["g_nS"], np.array(5.5)) / 1000
    expected = square * [20 * 40.0**2, 20 * 20.0**2, 35 * 60.0**2 + 20 * 10.0**2]
    assert variance[0].numpy() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("noise", ["none", "external", "independent"])
def test_what_enters_sigma(noise: str) -> None:
    """F here is sigma itself, so the rates of the fixed point are the standard deviations."""
    network = two_kinds_of_cell("alpha")
    made = rate_network(network, "equilibrium", transfer=spread, noise=noise)
    rates = made.fixed_point(DRIVE, tolerance_Hz=1e-12)[0].numpy()
    neurons = network.neurons
    square = glif3.psp_square_integral(neurons["C_m_pF"], neurons["g_nS"], np.array(5.5)) / 1000
    external = square * [20 * 40.0**2, 20 * 20.0**2, 35 * 60.0**2 + 20 * 10.0**2]
    external = external + square * np.array([1.0, 2.0, 0.5]) ** 2 * 800
    variance = {
        "none": np.zeros(N),
        "external": external,
        "independent": external + dense(made.V) @ rates,
    }[noise]
    assert rates == pytest.approx(np.sqrt(variance), rel=1e-6, abs=1e-12)
    if noise == "independent":
        assert (dense(made.V) @ rates).min() > 1e-3 * variance.min()
    # The steps agree with the fixed point.
    state = made.start()
    for _ in range(600):
        state = made.step(state, *made.drive(DRIVE))
    assert state.rates[0].numpy() == pytest.approx(rates, rel=1e-6, abs=1e-9)


def test_correlations_are_those_of_responses_to_single_spikes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With y = M (x + K_in z), M = (1 - K)^-1, by dense matrices (and many random probes)."""
    monkeypatch.setattr(correlations, "N_PROBES", 40_000)
    network = two_kinds_of_cell("alpha")
    made = rate_network(network, "low_pass", noise="correlated", transfer=smooth)
    state = made.at_steady_state(DRIVE, tolerance_Hz=1e-9)
    rates, g = state.rates[0].numpy(), made.g_nS.numpy()
    mu = made.working_point(state.currents, state.variance)[0][0].numpy()
    W, W_in = (
        dense(matrix).reshape(len(TAUS_MS), N, -1).sum(0) for matrix in (made.W, made.W_in_lgn)
    )

    def secant(at: float, peak: float) -> float:
        def mean_slope(x: float) -> float:
            rise = np.logaddexp(0, at + x + 20) - np.logaddexp(0, at + 20)
            return 5 * rise / x  # of `smooth`, Hz/mV

        return quad(mean_slope, 0, peak)[0] / peak if peak else 0.0

    def extra_spikes(charge: np.ndarray, peaks: torch.Tensor) -> np.ndarray:
        slopes = [[secant(mu[i], peak) for peak in row] for i, row in enumerate(dense(peaks))]
        return np.clip(charge / g[:, None] * slopes, -1, 1)

    K, K_in = extra_spikes(W, made.P), extra_spikes(W_in, made.P_in_lgn)
    assert np.abs(np.linalg.eigvals(K)).max() > 0.2, "no echo: the test is too weak"
    M = np.linalg.inv(np.eye(N) - K)
    Q, Q_in = (
        np.sqrt(dense(V)) * np.sign(each) for V, each in ((made.V, W), (made.V_in_lgn, W_in))
    )
    echo = (Q @ M) ** 2 @ rates + (Q @ M @ K_in + Q_in) ** 2 @ INPUT_HZ
    direct = Q**2 @ rates + Q_in**2 @ INPUT_HZ
    synapses = network.synapses
    for i in range(N):
        into = synapses.post == i
        tau_s = np.average(
            np.array(TAUS_MS)[synapses.receptor[into]], weights=np.abs(synapses.weight[into])
        )
        response = tau_s + network.neurons["C_m_pF"][i] / g[i]
        share = response / (response + correlations.RESPONSE_MS)
        expected = 1 + share * (echo[i] - direct[i]) / direct[i]
        assert state.correlation[0, i].item() == pytest.approx(expected, abs=0.03)
    assert np.abs(echo / direct - 1).max() > 0.1
    independent = rate_network(network, "low_pass", noise="independent", transfer=smooth)
    assert (independent.at_steady_state(DRIVE).correlation == 1).all()


def test_variance_relaxes_with_half_the_membrane_time_constant() -> None:
    network = two_kinds_of_cell("exponential").replace(synapses=Synapses.none())
    made = rate_network(network, "equilibrium", transfer=spread, noise="independent", dt_ms=0.5)
    _, variance = made.drive(DRIVE)
    state = made.start()
    for k in range(1, 30):
        state = made.step(state, *made.drive(DRIVE))
        tau_v = 0.5 * network.neurons["C_m_pF"] / network.neurons["g_nS"]
        exact = variance[0].numpy() * (1 - np.exp(-0.5 * k / tau_v))
        assert state.variance[0].numpy() == pytest.approx(exact, rel=1e-9)


# ---- closed forms --------------------------------------------------------------------------


@pytest.mark.parametrize("dt_ms", [0.5, 2.0])
@pytest.mark.parametrize("kernel", RECEPTORS)
@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_many_steps_are_powers_of_the_affine_map(dynamics: str, kernel: str, dt_ms: float) -> None:
    made = rate_network(two_kinds_of_cell(kernel), dynamics, dt_ms)
    M, b = affine_map(made, dynamics, kernel)
    size, n_currents = len(M), (len(M) - N) // 2
    whole = np.block([[M, b[:, None]], [np.zeros((1, size)), np.ones((1, 1))]])
    start = np.random.default_rng(0).uniform(1, 50, size)
    state = dataclasses.replace(
        made.start(),
        rates=torch.tensor(start[None, :N]),
        currents=torch.tensor(start[None, N : N + n_currents]),
        rising=torch.tensor(start[None, N + n_currents :]),
    )
    for n_steps in range(1, 41):
        state = made.step(state, *made.drive(DRIVE))
        x = np.linalg.matrix_power(whole, n_steps) @ np.append(start, 1)
        assert state.rates[0].numpy() == pytest.approx(x[:N], rel=1e-6)
        currents = x[N : N + n_currents]
        assert state.currents[0].numpy() == pytest.approx(currents, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_without_recurrence_currents_and_rates_are_exact_for_any_step(dynamics: str) -> None:
    """From silence I(t) = u (1 - exp(-t / tau_s)); rates likewise, each with its own tau_r."""
    network = two_kinds_of_cell("exponential").replace(synapses=Synapses.none())
    tau_r = np.array([3.0, 10.0, 40.0])
    for dt_ms in (0.5, 7.0):
        made = rate_network(network, dynamics, dt_ms, tau_r_ms=tau_r)
        eq = Equations(made, INPUT_HZ, "exponential")
        G, h = eq.slope_and_offset()
        state = made.start()
        for k in range(1, 8):
            state = made.step(state, *made.drive(DRIVE))
            current = eq.u * (1 - np.exp(-k * dt_ms / eq.tau_s))
            if dynamics == "equilibrium":
                expected = (G @ eq.u + h) * (1 - np.exp(-k * dt_ms / tau_r))
            else:
                assert state.currents[0].numpy() == pytest.approx(current, rel=1e-12)
                expected = G @ current + h
            if dynamics != "low_pass":
                assert state.rates[0].numpy() == pytest.approx(expected, rel=1e-12)


def test_rate_time_constants_are_one_a_neuron_and_by_default_three_ms() -> None:
    network = two_kinds_of_cell("exponential").replace(synapses=Synapses.none(), inputs={})
    for tau_r in (np.array([3.0, 10.0, 40.0]), 12.0, None):
        options = {} if tau_r is None else {"tau_r_ms": tau_r}
        made = rate_network(network, "low_pass", 2.0, **options)
        tau = 3.0 if tau_r is None else tau_r
        state, steady = made.start(), made.fixed_point()[0].numpy()
        for k in range(1, 6):
            state = made.step(state, *made.drive({}))
            expected = steady * (1 - np.exp(-2.0 * k / np.broadcast_to(tau, N)))
            assert state.rates[0].numpy() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("kernel", RECEPTORS)
def test_fixed_point_solves_the_linear_equations_and_is_that_of_every_dynamics(
    kernel: str,
) -> None:
    for dynamics in DYNAMICS:
        for dt_ms in (0.5, 3.0):
            made = rate_network(two_kinds_of_cell(kernel), dynamics, dt_ms)
            eq = Equations(made, INPUT_HZ, kernel)
            G, h = eq.slope_and_offset()
            exact = np.linalg.solve(np.eye(N) - G @ eq.W, G @ eq.u + h)
            rates = made.fixed_point(DRIVE, tolerance_Hz=1e-11)
            assert rates[0].numpy() == pytest.approx(exact, rel=1e-6)
            state = made.at_steady_state(DRIVE)
            after = made.step(state, *made.drive(DRIVE))
            assert after.rates[0].numpy() == pytest.approx(exact, rel=1e-4)
            state = made.start()
            for _ in range(round(400 / dt_ms)):
                state = made.step(state, *made.drive(DRIVE))
            assert state.rates[0].numpy() == pytest.approx(exact, rel=1e-6)
    assert np.ptp(exact) > 5 and exact.min() > 1


def test_fixed_points_of_a_batch_are_those_of_its_members() -> None:
    made = rate_network(two_kinds_of_cell("alpha"), "low_pass", transfer=smooth)
    inputs = torch.tensor([[20.0, 35.0], [0.0, 0.0], [80.0, 5.0]]).double()
    together = made.fixed_point(inputs, tolerance_Hz=1e-10)
    assert together.shape == (3, N)
    for k in range(3):
        one = made.fixed_point(inputs[k : k + 1], tolerance_Hz=1e-10)
        assert together[k].numpy() == pytest.approx(one[0].numpy(), rel=1e-8)


# ---- the continuous equations --------------------------------------------------------------


def _continuous(made: RateNetwork, dynamics: str, kernel: str, times: np.ndarray) -> np.ndarray:
    """Rates at `times` by an ODE solver, starting without currents and with the rates F(0)."""
    eq = Equations(made, INPUT_HZ, kernel)
    size = eq.size

    def F(current: np.ndarray) -> np.ndarray:
        return 5 * np.logaddexp(0, eq.to_mu @ current + eq.mu_0 + 20)

    def slope(t: float, x: np.ndarray) -> np.ndarray:
        r, current, rising = x[:N], x[N : N + size], x[N + size :]
        if dynamics == "instantaneous":
            r = F(current)
        target = eq.W @ r + eq.u
        dr = np.zeros(N)
        if dynamics == "low_pass":
            dr = (F(current) - r) / eq.tau_r
        elif dynamics == "equilibrium":
            dr = (F(target) - r) / eq.tau_r
        d_rising = (target - rising) / eq.tau_s
        source = np.where(eq.two_poles, rising, target)
        return np.concatenate([dr, (source - current) / eq.tau_s, d_rising])

    start = np.concatenate([F(np.zeros(size)), np.zeros(2 * size)])
    x = solve_ivp(slope, (0, times[-1]), start, t_eval=times, rtol=1e-10, atol=1e-12).y
    if dynamics == "instantaneous":
        return np.array([F(current) for current in x[N : N + size].T])
    return x[:N].T


@pytest.mark.parametrize("kernel", RECEPTORS)
@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_small_steps_converge_to_the_continuous_equations(dynamics: str, kernel: str) -> None:
    """First order: half the step, half the error."""
    times = np.array([4.0, 8.0, 16.0, 32.0])
    errors = []
    for dt_ms in (0.4, 0.2, 0.1, 0.05):
        made = rate_network(
            two_kinds_of_cell(kernel), dynamics, dt_ms, transfer=smooth, tau_r_ms=20.0
        )
        state = made.start()
        rates = made.rate(state.currents, state.variance)
        state = dataclasses.replace(state, rates=rates)
        at = []
        for k in range(1, round(times[-1] / dt_ms) + 1):
            state = made.step(state, *made.drive(DRIVE))
            if np.isclose(times, k * dt_ms, atol=dt_ms / 4).any():
                at.append(state.rates[0].numpy())
        exact = _continuous(made, dynamics, kernel, times)
        errors.append(np.abs(np.array(at) - exact).max())
    moved = np.ptp(exact, axis=0).max()
    assert moved > 2, "nothing happens: the test is too weak"
    assert errors[-1] < 0.01 * moved
    ratios = np.array(errors[:-1]) / errors[1:]
    assert (ratios > 1.8).all() and (ratios < 2.2).all(), ratios


# ---- runs ----------------------------------------------------------------------------------


@pytest.mark.parametrize("dynamics", DYNAMICS)
def test_a_run_starts_in_the_steady_state_and_stays_there(dynamics: str) -> None:
    made = rate_network(two_kinds_of_cell("alpha"), dynamics, transfer=smooth, noise="independent")
    rates = made.run(Recording.rates(np.tile(INPUT_HZ, (50, 1)), dt_ms=1.0))
    assert (rates.kind, rates.n, rates.dt_ms, rates.duration_ms) == ("rates", N, 1.0, 50.0)
    steady = made.fixed_point(DRIVE, tolerance_Hz=1e-9)[0].numpy()
    assert rates.rates_Hz == pytest.approx(np.tile(steady, (50, 1)), abs=0.01)
    assert made.constant_pA.dtype == torch.float64, "the check of stability keeps the precision"


def test_a_run_follows_its_input_step_by_step() -> None:
    changing = np.repeat([[0.0, 0.0], [60.0, 40.0]], 10, axis=0)
    made = rate_network(two_kinds_of_cell("exponential"), "instantaneous", transfer=smooth)
    run = made.run(Recording.rates(changing, dt_ms=1.0))
    state = made.at_steady_state({"lgn": torch.zeros(1, N_IN).double()})
    for k in range(20):
        state = made.step(state, *made.drive({"lgn": torch.tensor(changing[None, k])}))
        assert run.rates_Hz[k] == pytest.approx(state.rates[0].numpy(), rel=1e-5)
    assert np.ptp(run.rates_Hz[:10], axis=0).max() < 0.05 < np.ptp(run.rates_Hz[10:])


def test_inputs_are_resampled_to_the_step() -> None:
    made = rate_network(two_kinds_of_cell("exponential"), "instantaneous", transfer=smooth)
    rng = np.random.default_rng(0)
    fine = rng.uniform(0, 80, (40, N_IN))
    coarse = fine.reshape(20, 2, N_IN).mean(1)
    runs = [
        made.run(Recording.rates(coarse, dt_ms=1.0)),
        made.run(Recording.rates(fine, dt_ms=0.5)),
    ]
    assert runs[0].rates_Hz.shape == (20, N)
    assert runs[0].rates_Hz == pytest.approx(runs[1].rates_Hz, rel=1e-5)
    held = [
        made.run(Recording.rates(fine[:4], dt_ms=5.0)),
        made.run(Recording.rates(np.repeat(fine[:4], 5, axis=0), dt_ms=1.0)),
    ]
    assert held[0].rates_Hz == pytest.approx(held[1].rates_Hz, rel=1e-5)
    with pytest.raises(InputError, match=r"0.7 ms and rate steps of 1 ms.*whole multiple"):
        made.run(Recording.rates(fine, dt_ms=0.7))


def test_spikes_as_input_are_counted_in_steps() -> None:
    made = rate_network(two_kinds_of_cell("exponential"), "instantaneous", transfer=smooth)
    rates = Recording.rates(np.full((60, N_IN), 150.0), dt_ms=1.0)
    spikes = rates.to_spikes(1)
    assert made.run(spikes).rates_Hz == pytest.approx(
        made.run(spikes.to_rates(1.0)).rates_Hz, rel=1e-6
    )


def test_a_batch_gives_what_its_members_give() -> None:
    made = rate_network(
        two_kinds_of_cell("alpha"), "low_pass", transfer=smooth, noise="independent"
    )
    inputs = [
        Recording.rates(np.random.default_rng(k).uniform(0, 60, (30, N_IN)), dt_ms=1.0)
        for k in range(3)
    ]
    for one, given in zip(made.run_batch(inputs), inputs, strict=True):
        assert one.rates_Hz == pytest.approx(made.run(given).rates_Hz, rel=1e-4)


def test_without_input_a_duration_is_enough() -> None:
    made = rate_network(two_kinds_of_cell("alpha").replace(inputs={}), "low_pass", transfer=smooth)
    assert made.run(duration_ms=25).rates_Hz.shape == (25, N)


def test_rates_and_spikes_of_poisson_driven_cells_agree() -> None:
    """Four published cells without recurrence: mean rates of many copies, by the shipped tables."""
    table = allen.load().cells
    ready = np.flatnonzero(np.isfinite(table["C_m_pF"]))
    rows = ready[[5, 30, 60, 90]]
    copies, seconds, n_channels = 60, 3.0, 40
    names = [p.name for p in glif3.PARAMETERS if p.name in table]
    parameters = {name: np.repeat(table[name][rows], copies) for name in names}
    n = copies * len(rows)
    C, g = parameters["C_m_pF"], parameters["g_nS"]
    # Each neuron hears 20 of 40 channels of 30 Hz and a background of 400 Hz of its own: together
    # a Poisson train of 1 kHz that makes sigma 3 mV, around means 1 to 4 mV below threshold.
    weight = 3.0 / np.sqrt(glif3.psp_square_integral(C, g, np.array(5.5)))
    below = np.tile([1.0, 2.0, 3.0, 4.0], n // 4)
    needed = g * (parameters["V_th_mV"] - below - parameters["E_L_mV"])
    parameters["I_ext_pA"] = needed - weight * np.e * 5.5
    rng = np.random.default_rng(0)
    pre = np.concatenate([rng.permutation(n_channels)[:20] for _ in range(n)])
    post = np.repeat(np.arange(n), 20)
    drive = Synapses.sort(pre, post, weight[post], np.full(len(pre), 1.0), np.zeros(len(pre)))
    who = np.arange(n)
    noise = Synapses(who, who, weight, np.full(n, 1.0), np.zeros(n))
    network = Network(
        neuron_table(n, **parameters),
        Synapses.none(),
        {"e": Receptor(5.5)},
        {"lgn": Input(n_channels, drive), "noise": Input(n, noise, rate_Hz=400.0)},
    )
    lgn = Recording.rates(np.full((round(1000 * (seconds + 1)), n_channels), 30.0), dt_ms=1.0)
    spikes = to_brian2(network).run(lgn, seed=4, target="numpy")
    counted = spikes.mean_rates_Hz(1000).reshape(len(rows), copies)
    rates = to_rate(network).run(lgn).mean_rates_Hz().reshape(len(rows), copies)
    for cell in range(len(rows)):
        expected = rates[cell].mean()
        # Fano factor at most 1; input shared by half makes trains correlated: a tenth more.
        error = np.sqrt(expected / (seconds * copies)) + 0.05 * expected
        assert 1 < expected < 60
        assert counted[cell].mean() == pytest.approx(expected, abs=2 * error)
    assert np.corrcoef(rates.ravel(), counted.ravel())[0, 1] > 0.9


# ---- what is refused -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(dynamics="lowpass"), r"unknown dynamics 'lowpass'.*Did you mean 'low_pass'"),
        (dict(noise="self"), r"unknown noise 'self'; accepted: correlated, independent, external"),
        (dict(kernel="beta"), r"unknown kernel 'beta'; accepted: exponential, alpha"),
        (dict(dt_ms=0.0), "dt_ms must be above 0 .* got 0.0"),
        (dict(dt_ms=-1.0), "dt_ms must be above 0"),
        (dict(dt_ms=np.nan), "dt_ms must be above 0"),
        (dict(dt_ms=1000.0), "at most 100 ms"),
        (dict(tau_r_ms=0.0), "tau_r_ms must be above 0"),
        (dict(tau_r_ms=np.array([1.0, -1.0, 1.0])), "tau_r_ms must be above 0"),
    ],
)
def test_bad_options(options: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        to_rate(two_kinds_of_cell("alpha"), **{"transfer": linear, **options})


def test_bad_inputs() -> None:
    made = rate_network(two_kinds_of_cell("alpha"), "low_pass", transfer=smooth)
    with pytest.raises(InputError, match=r"'lgn' wants \(batch, 2\) rates, got \(1, 3\)"):
        made.run(Recording.rates(np.zeros((10, 3)), dt_ms=1.0))
    with pytest.raises(InputError, match=r"'lgn' wants \(batch, 2\) rates"):
        made.fixed_point(torch.zeros(2).double())
    with pytest.raises(InputError, match=r"unknown input 'LGN'.*Did you mean 'lgn'"):
        made.run({"LGN": Recording.rates(np.zeros((10, 2)), dt_ms=1.0)})
    with pytest.raises(InputError, match="give a duration_ms above 0, got None"):
        made.run()
    with pytest.raises(InputError, match="duration_ms above 0, got -3"):
        made.run(duration_ms=-3)
    bare = rate_network(two_kinds_of_cell("alpha").replace(inputs={}), "low_pass", transfer=smooth)
    with pytest.raises(InputError, match="one of none"):
        bare.run(Recording.rates(np.zeros((10, 2)), dt_ms=1.0))
    several = [Recording.rates(np.zeros((steps, 2)), dt_ms=1.0) for steps in (10, 12)]
    with pytest.raises(InputError, match=r"different numbers of steps: \[10, 12\]"):
        made.run_batch(several)


@pytest.mark.parametrize("given", [None, *KERNELS])
@pytest.mark.parametrize("kernel", RECEPTORS)
def test_the_kernel_is_by_default_that_of_each_receptor(kernel: str, given: str | None) -> None:
    made = to_rate(two_kinds_of_cell(kernel), transfer=linear, kernel=given)
    if given is None:
        own = [receptor.kernel != "exponential" for receptor in RECEPTORS[kernel]]
        own += [own[slot] for slot in made.slow_slots]
    else:
        own = [given == "alpha"] * (2 + len(made.slow_slots))
    assert made.two_poles.reshape(-1, N).tolist() == [[each] * N for each in own]
    assert made.kernel == ("alpha" if any(own) else "exponential")
