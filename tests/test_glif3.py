"""GLIF3: propagators against matrix exponentials and quadrature, steps against plain Python."""

from __future__ import annotations

import numpy as np
import pytest
import reference_glif3 as reference
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad, solve_ivp

from circuits import allen
from converters import to_brian2
from converters.nestml.expressions import steps
from converters.nestml.group import constants
from converters.nestml.shipped import shipped
from toolkit import Input, Network, Receptor, Recording, Synapses, Table
from toolkit.errors import InputError
from toolkit.neurons import glif, glif3

DT_MS = 0.1
CELL = {  # ordinary values
    "C_m_pF": 120.0,
    "g_nS": 6.0,
    "E_L_mV": -75.0,
    "V_th_mV": -50.0,
    "V_reset_mV": -75.0,
    "t_ref_ms": 2.5,
    "asc_decay_1_per_ms": 0.01,
    "asc_decay_2_per_ms": 0.3,
    "asc_amp_1_pA": -10.0,
    "asc_amp_2_pA": -80.0,
}
few = settings(max_examples=60, deadline=None)
# Membranes from fast to slow, time constants on both sides of the membrane's and equal to it.
MEMBRANES = [(96.36480859, 4.66304371), (79.0, 5.2), (300.0, 3.0), (40.0, 20.0)]
TAUS_MS = [0.5, 2.8, 5.5, 8.5, 30.0]


def _network(
    cells: list[dict[str, float]],
    receptors: dict[str, Receptor],
    drive: Synapses | None = None,
    n_channels: int = 1,
) -> Network:
    n = len(cells)
    columns: dict = {name: np.array([cell[name] for cell in cells]) for name in cells[0]}
    columns |= dict(population=["p"] * n, cell_class=["c"] * n, sign=np.ones(n, dtype=int))
    inputs = {} if drive is None else {"drive": Input(n_channels, drive)}
    return Network(Table(columns), Synapses.none(), receptors, inputs, dale=False)


def _spikes(steps: np.ndarray, ids: np.ndarray, n: int, n_steps: int) -> Recording:
    return Recording.spikes(
        np.asarray(steps) * DT_MS, ids, n=n, dt_ms=DT_MS, duration_ms=n_steps * DT_MS
    )


# ---- constants of one step -----------------------------------------------------------------


def constants_of(dt_ms: float, **changes: float) -> dict[str, np.ndarray]:
    """Internal constants of the NESTML model for one cell and a port of time constant tau_syn_1."""
    model = shipped("glif3_psc_alpha")
    named = {glif.nestml_name(p): p.name for p in glif.cell_parameters(3)}
    given = {name: CELL[own] for name, own in named.items() if own in CELL}
    return constants(model, given | changes, dt_ms)[0]


def alpha_propagators(C: float, g: float, tau: float, dt: float) -> list[np.ndarray]:
    values = constants_of(dt, C_m=C, g=g, tau_syn_1=tau)
    return [values[name] for name in ("P11_1", "P31_1", "P32_1")]


@few
@given(
    C=st.floats(20, 500),
    g=st.floats(1, 40),
    tau=st.floats(0.5, 30),
    dt=st.sampled_from([0.01, 0.1, 0.25, 1.0, 5.0]),
)
def test_alpha_propagators_are_the_matrix_exponential(
    C: float, g: float, tau: float, dt: float
) -> None:
    P11, P31, P32 = alpha_propagators(C, g, tau, dt)
    exact = reference.alpha_step(C, g, tau, dt)
    assert P11 == pytest.approx(exact[0, 0], rel=1e-12)
    assert P31 == pytest.approx(exact[2, 0], rel=1e-10)
    assert P32 == pytest.approx(exact[2, 1], rel=1e-10)
    assert dt * P11 == pytest.approx(exact[1, 0], rel=1e-12)


@pytest.mark.parametrize("nearness", [0.0, 1e-12, -1e-9, 1e-6, -1e-4, 9e-4, -1.1e-3, 5e-3, 1e-2])
def test_alpha_propagators_where_both_time_constants_meet(nearness: float) -> None:
    C, g = 100.0, 10.0
    tau = C / g * (1 + nearness)
    for dt in (0.1, 1.0, 5.0):
        _, P31, P32 = alpha_propagators(C, g, tau, dt)
        exact = reference.alpha_step(C, g, tau, dt)
        assert P31 == pytest.approx(exact[2, 0], rel=1e-11)
        assert P32 == pytest.approx(exact[2, 1], rel=1e-11)


def test_alpha_propagators_solve_the_differential_equations() -> None:
    C, g, tau, dt = 110.0, 7.0, 5.8, 2.0

    def slope(t: float, state: np.ndarray) -> list[float]:
        y1, y2, U = state
        return [-y1 / tau, y1 - y2 / tau, -U * g / C + y2 / C]

    P11, P31, P32 = alpha_propagators(C, g, tau, dt)
    end = solve_ivp(slope, (0, dt), [3.0, 2.0, 1.5], rtol=1e-11, atol=1e-12).y[:, -1]
    P33 = np.exp(-dt * g / C)
    assert end[2] == pytest.approx(P31 * 3.0 + P32 * 2.0 + P33 * 1.5, rel=1e-9)
    assert end[1] == pytest.approx(dt * P11 * 3.0 + P11 * 2.0, rel=1e-9)


def test_membrane_and_after_spike_constants() -> None:
    step = constants_of(DT_MS)
    tau_m = CELL["C_m_pF"] / CELL["g_nS"]
    assert step["P33"] == pytest.approx(np.exp(-DT_MS / tau_m), rel=1e-15)
    # A constant current for one step.
    assert step["P30"] == pytest.approx((1 - np.exp(-DT_MS / tau_m)) / CELL["g_nS"], rel=1e-12)
    for k in (1, 2):
        decay = CELL[f"asc_decay_{k}_per_ms"]
        mean = quad(lambda t, k=decay: np.exp(-k * t), 0, DT_MS)[0] / DT_MS
        assert step[f"asc_M_{k}"] == pytest.approx(mean, rel=1e-10)
        assert step[f"asc_P_{k}"] == pytest.approx(np.exp(-decay * DT_MS))
        assert step[f"asc_after_{k}"] == pytest.approx(np.exp(-decay * CELL["t_ref_ms"]))
    assert (step["U_th"], step["U_reset"]) == (25.0, 0.0)


@pytest.mark.parametrize("dt_ms", [0.1, 0.05, 0.25, 0.01])
def test_refractory_steps_on_the_grid_have_no_float_traps(dt_ms: float) -> None:
    count = np.arange(1, 101)
    for t_ref in (count * dt_ms, np.round(count * dt_ms, 2), np.cumsum(np.full(100, dt_ms))):
        assert np.array_equal(steps(t_ref, dt_ms), count)


@few
@given(hundredths=st.integers(0, 2000), dt=st.sampled_from([0.1, 0.25, 0.05, 0.2]))
def test_refractory_steps_round_up(hundredths: int, dt: float) -> None:
    t_ref = hundredths / 100
    rounded = constants_of(dt, t_ref=t_ref)["refractory_steps"]
    assert rounded == reference.refractory_steps(t_ref, dt)
    assert rounded.dtype == np.int64


# ---- postsynaptic potentials ---------------------------------------------------------------


def test_psp_of_a_published_cell() -> None:
    """Cell 484509440: 1 pA gives 0.0838 mV."""
    peak = glif3.psp_peak_mV(np.array(96.36480859), np.array(4.66304371), np.array(5.5))
    assert peak == pytest.approx(0.0838, abs=5e-5)


@pytest.mark.parametrize("tau", TAUS_MS)
@pytest.mark.parametrize(("C", "g"), MEMBRANES)
def test_alpha_psp_solves_the_differential_equations(C: float, g: float, tau: float) -> None:
    times = np.linspace(0.5, 60, 40)

    def slope(t: float, U: np.ndarray) -> np.ndarray:
        return (-g * U + t / tau * np.exp(1 - t / tau)) / C

    exact = solve_ivp(slope, (0, 60), [0.0], t_eval=times, rtol=1e-10, atol=1e-13).y[0]
    psp = glif3.alpha_psp(times, np.array(C), np.array(g), np.array(tau))
    assert psp == pytest.approx(exact, rel=1e-6, abs=1e-10)
    fine = glif3.alpha_psp(np.arange(0, 300, 0.01), np.array(C), np.array(g), np.array(tau))
    peak = glif3.psp_peak_mV(np.array(C), np.array(g), np.array(tau))
    assert peak == pytest.approx(fine.max(), rel=1e-5)


@pytest.mark.parametrize("nearness", [0.0, 1e-7, 1e-5, -1e-4, 1e-3, -0.01, 0.1, 2.0])
def test_psp_formulas_near_equal_time_constants(nearness: float) -> None:
    C, g = 100.0, 10.0
    tau = np.array(C / g * (1 + nearness))
    for t in (0.3, 3.0, 30.0):
        step = reference.alpha_step(C, g, float(tau), t)
        exact = step[2, 0] * np.e / tau
        assert glif3.alpha_psp(np.array(t), C, g, tau) == pytest.approx(exact, rel=1e-10)


@pytest.mark.parametrize("tau", [*TAUS_MS, 10.0, 10.001])
@pytest.mark.parametrize(("C", "g"), [*MEMBRANES, (100.0, 10.0)])
def test_psp_square_integrals(C: float, g: float, tau: float) -> None:
    args = np.array(C), np.array(g), np.array(tau)
    shortest, longest = sorted((tau, C / g))

    def alpha(t: float) -> float:
        return float(glif3.alpha_psp(np.array(t), *args)) ** 2

    def exponential(t: float) -> float:
        x = t * (1 / shortest - 1 / longest)
        fraction = -np.expm1(-x) / x if x else 1.0
        return (t / C * np.exp(-t / longest) * fraction) ** 2

    def integral(square) -> float:
        limits = 0, 60 * longest
        return quad(square, *limits, epsabs=0, epsrel=1e-9, limit=300, points=[tau, 5 * longest])[0]

    assert glif3.psp_square_integral(*args) == pytest.approx(integral(alpha), rel=1e-7)
    found = glif3.exponential_psp_square_integral(*args)
    assert found == pytest.approx(integral(exponential), rel=1e-7)


# ---- a Brian2 run --------------------------------------------------------------------------


def test_subthreshold_potential_is_the_exact_solution_for_current_steps() -> None:
    currents = np.array([-80.0, 0.0, 35.0, 120.0, 149.0])  # rheobase is 150 pA
    cells = [dict(CELL, I_ext_pA=pA, V_init_mV=-75.0) for pA in currents]
    cells.append(dict(CELL, I_ext_pA=20.0, V_init_mV=-55.0))
    network = _network(cells, {"e": Receptor(5.5)})
    simulation = to_brian2(network, dt_ms=DT_MS, record_voltage=range(len(cells)))
    spikes = simulation.run(duration_ms=100)
    assert len(spikes.spike_ids) == 0
    t = np.arange(1, 1001)[:, None] * DT_MS
    decay = np.exp(-t * CELL["g_nS"] / CELL["C_m_pF"])
    current = network.neurons["I_ext_pA"]
    start = network.neurons["V_init_mV"] - CELL["E_L_mV"]
    exact = CELL["E_L_mV"] + start * decay + current / CELL["g_nS"] * (1 - decay)
    assert simulation.voltage_mV == pytest.approx(exact, abs=1e-9)


@pytest.mark.parametrize("kernel", ["alpha", "exponential"])
def test_one_spike_gives_the_psp_at_the_end_of_its_delay(kernel: str) -> None:
    weights, delay_ms, step = np.array([40.0, -25.0]), np.array([1.0, 2.3]), 51
    synapses = Synapses(np.zeros(2), np.arange(2), weights, delay_ms, np.zeros(2))
    network = _network([CELL, CELL], {"e": Receptor(5.5, kernel)}, synapses)
    simulation = to_brian2(network, dt_ms=DT_MS, record_voltage=[0, 1])
    simulation.run(_spikes(np.array([step]), np.array([0]), 1, 600))
    assert simulation.voltage_mV is not None
    for k in (0, 1):
        arrival = step + round(delay_ms[k] / DT_MS)
        U = simulation.voltage_mV[:, k] - CELL["E_L_mV"]
        assert np.abs(U[:arrival]).max() < 1e-12
        t = np.arange(1, 600 - arrival + 1) * DT_MS
        if kernel == "alpha":
            psp = glif3.alpha_psp(t, CELL["C_m_pF"], CELL["g_nS"], np.array(5.5))
        else:
            tau_m = CELL["C_m_pF"] / CELL["g_nS"]
            a = 1 / 5.5 - 1 / tau_m
            psp = (np.exp(-t / tau_m) - np.exp(-t / 5.5)) / (CELL["C_m_pF"] * a)
        assert U[arrival:] == pytest.approx(weights[k] * psp, abs=1e-9)


def test_two_spikes_of_one_source_in_a_step_count_twice() -> None:
    synapses = Synapses(np.zeros(1), np.zeros(1), np.array([10.0]), np.array([1.0]), np.zeros(1))
    network = _network([CELL], {"e": Receptor(5.5)}, synapses)
    traces = []
    for at in ([20], [20, 20], [20, 20, 20]):
        simulation = to_brian2(network, dt_ms=DT_MS, record_voltage=[0])
        simulation.run(_spikes(np.array(at), np.zeros(len(at), int), 1, 200))
        assert simulation.voltage_mV is not None
        traces.append(simulation.voltage_mV[:, 0] - CELL["E_L_mV"])
    assert traces[0].max() > 0.1
    assert traces[1] == pytest.approx(2 * traces[0], abs=1e-12)
    assert traces[2] == pytest.approx(3 * traces[0], abs=1e-12)


def test_threshold_is_strict() -> None:
    """U stays exactly at threshold: P33 + (1 - P33) is 1 with these numbers."""
    at = dict(CELL, C_m_pF=1.0, g_nS=1.0, E_L_mV=-70.0, V_th_mV=-69.0, V_reset_mV=-70.0)
    cells = [dict(at, V_init_mV=-69.0, I_ext_pA=pA) for pA in (1.0, 1.0 + 1e-12)]
    network = _network(cells, {"e": Receptor(5.5)})
    simulation = to_brian2(network, dt_ms=DT_MS, record_voltage=[0])
    spikes = simulation.run(duration_ms=3)
    assert simulation.voltage_mV is not None and (simulation.voltage_mV == -69.0).all()
    assert set(spikes.spike_ids.tolist()) == {1}


def _random_cells() -> list[dict[str, float]]:
    """Published cells and the corners: equal time constants, refractory times off the grid, a
    reset above rest, excitatory after-spike currents, no refractoriness at all."""
    table = allen.load().cells
    names = [p.name for p in glif3.PARAMETERS if p.name in table]
    ready = np.flatnonzero(np.isfinite(table["C_m_pF"]))
    cells = [{k: float(table[k][r]) for k in names} for r in ready[[0, 20, 45, 70]]]
    cells = [dict(cell, V_init_mV=cell["E_L_mV"], I_ext_pA=0.0) for cell in cells]
    plain = dict(CELL, V_init_mV=-60.0, I_ext_pA=0.0)
    return [
        *cells,
        dict(plain, C_m_pF=55.0, g_nS=10.0),  # tau_m = 5.5 ms
        dict(plain, t_ref_ms=3.07, I_ext_pA=100.0),
        dict(plain, t_ref_ms=0.04, V_reset_mV=-60.0),
        dict(plain, t_ref_ms=0.3, asc_amp_1_pA=30.0, asc_amp_2_pA=-200.0),
        dict(plain, t_ref_ms=0.0, asc_amp_1_pA=0.0, asc_amp_2_pA=0.0, I_ext_pA=160.0),
    ]


def test_random_input_gives_the_spikes_and_potentials_of_plain_python() -> None:
    """Timing, refractoriness and after-spike currents, with alpha and exponential receptors."""
    cells = _random_cells()
    kinds = [(5.5, "alpha"), (8.5, "alpha"), (3.0, "exponential")]
    receptors = {f"r{k}": Receptor(tau, kernel) for k, (tau, kernel) in enumerate(kinds)}
    rng = np.random.default_rng(3)
    n_channels, n_steps, n = 60, 4000, len(cells)
    pre, post = (a.ravel() for a in np.meshgrid(np.arange(n_channels), np.arange(n)))
    receptor = pre % 3
    scale = np.array([120.0, -60.0, 120.0])[receptor]
    # Multiples of 1/64, as float32 keeps them exactly; delays on the grid.
    weight = np.round(scale * rng.lognormal(0, 0.5, len(pre)) * 64) / 64
    delay = rng.integers(1, 40, len(pre))
    synapses = Synapses.sort(pre, post, weight, delay * DT_MS, receptor)
    network = _network(cells, receptors, synapses, n_channels)
    count = rng.poisson(20 * DT_MS / 1000, (n_steps, n_channels))
    row, channel = np.nonzero(count)
    times = count[row, channel]
    drive = _spikes(np.repeat(row + 1, times), np.repeat(channel, times), n_channels, n_steps)
    simulation = to_brian2(network, dt_ms=DT_MS, record_voltage=range(n))
    spikes = simulation.run(drive, target="numpy")
    assert simulation.voltage_mV is not None

    counted = []
    for i, cell in enumerate(cells):
        arrivals = np.zeros((n_steps + 40, 3))
        for s in np.flatnonzero(post == i):
            # `count` row k is step k + 1, and so is row k of `arrivals`.
            arrivals[delay[s] : delay[s] + n_steps, receptor[s]] += count[:, pre[s]] * weight[s]
        V, steps = reference.run(cell, arrivals[:n_steps], kinds, DT_MS)
        ours = np.round(spikes.spike_times_ms[spikes.spike_ids == i] / DT_MS).astype(int)
        assert np.array_equal(ours, steps), f"cell {i}"
        assert simulation.voltage_mV[:, i] == pytest.approx(V, abs=1e-9), f"cell {i}"
        counted.append(len(steps))
    assert min(counted) >= 2 and sum(counted) > 100, counted


# ---- bad parameters ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (dict(C_m_pF=0.0), "C_m_pF of neuron 0"),
        (dict(t_ref_ms=-1.0), "t_ref_ms"),
        (dict(V_th_mV=np.nan), "V_th_mV"),
        (dict(asc_decay_1_per_ms=0.0), "asc_decay_1_per_ms"),
    ],
)
def test_a_parameter_out_of_range_is_named(change: dict[str, float], words: str) -> None:
    with pytest.raises(InputError, match=words):
        _network([dict(CELL, **change)], {"e": Receptor(5.5)})


def test_a_missing_parameter_is_named() -> None:
    cell = {name: value for name, value in CELL.items() if name != "g_nS"}
    with pytest.raises(InputError, match=r"g_nS .*leak conductance"):
        _network([cell], {"e": Receptor(5.5)})


@pytest.mark.parametrize("tau_syn_ms", [2.8, 8.5, 20.0])
def test_peak_of_an_exponential_psp(tau_syn_ms: float) -> None:
    C, g = 100.0, 5.0  # tau_m is 20 ms
    t = np.arange(0, 200, 0.001)
    a = 1 / tau_syn_ms - g / C
    if abs(a) < 1e-9:
        psp = t * np.exp(-t * g / C) / C
    else:
        psp = (np.exp(-t * g / C) - np.exp(-t / tau_syn_ms)) / (C * a)
    peak = glif3.exponential_psp_peak_mV(np.array(C), np.array(g), np.array(tau_syn_ms))
    assert peak == pytest.approx(psp.max(), rel=1e-5)
