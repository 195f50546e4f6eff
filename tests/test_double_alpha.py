"""Double-alpha receptors: against closed forms, published potentials, plain Python and NEST.

The kinetics are those of the V1 model with Campagnola et al. 2022 (Science 375:eabj5861) synapses.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import reference_circuit as circuit
import reference_glif3 as reference
from rate_networks import neuron_table
from scipy.integrate import quad
from scipy.linalg import expm

from converters import to_brian2, to_rate
from converters.slots import pack_receptors
from toolkit import Input, Network, Receptor, Recording, Synapses
from toolkit.errors import InputError
from toolkit.neurons import glif3

# Of (presynaptic, postsynaptic) type: tau fast, tau slow (ms), relative peak of the slow component.
KINETICS = {
    ("exc", "e23"): (1.71394429, 4.38793859, 0.59116673),
    ("pv", "e23"): (1.37036011, 6.16135206, 0.39024847),
    ("sst", "e23"): (2.51084461, 3.73098634, 1.00343365),
    ("vip", "e23"): (1.53665908, 5.13578333, 0.5992863),
    ("exc", "sst"): (1.27579767, 2.9502059, 0.33696813),
    ("e5it", "sst"): (1.23222786, 2.69208555, 0.35885089),
    ("pv", "sst"): (1.6485923, 2.46113933, 1.20851946),
    ("vip", "vip"): (2.45633212, 3.16928913, 0.66029446),
    ("pv", "vip"): (1.05980968, 3.54702135, 0.31971082),
}
DT_MS = 0.1
MEMBRANES = [(96.4, 4.66), (37.1, 4.08), (300.0, 3.0), (10.0, 20.0)]


def double(pre: str, post: str) -> Receptor:
    fast, slow, amp = KINETICS[pre, post]
    return Receptor(fast, "double_alpha", slow, amp)


E23 = double("exc", "e23")
FAR_APART = Receptor(1.0, "double_alpha", tau_slow_ms=200.0, amp_slow=0.9)


def current(t: np.ndarray, receptor: Receptor) -> np.ndarray:
    """The definition, pA for a weight of 1 pA."""
    assert receptor.tau_slow_ms is not None and receptor.amp_slow is not None
    fast, slow = t / receptor.tau_ms, t / receptor.tau_slow_ms
    return fast * np.exp(1 - fast) + receptor.amp_slow * slow * np.exp(1 - slow)


def exact_psp(t: np.ndarray, C: float, g: float, receptor: Receptor) -> np.ndarray:
    """mV for a weight of 1 pA, by the matrix exponential of both currents and the membrane."""
    fast, slow, amp = receptor.tau_ms, receptor.tau_slow_ms, receptor.amp_slow
    assert slow is not None and amp is not None
    A = np.diag([-1 / fast, -1 / fast, -1 / slow, -1 / slow, -g / C])
    A[1, 0] = A[3, 2] = 1
    A[4, 1] = A[4, 3] = 1 / C
    start = np.array([np.e / fast, 0, amp * np.e / slow, 0, 0])
    return np.array([(expm(A * each) @ start)[4] for each in t])


# ---- the receptor --------------------------------------------------------------------------


@pytest.mark.parametrize("receptor", [E23, double("pv", "sst"), FAR_APART])
def test_charge_and_mean_time_constant(receptor: Receptor) -> None:
    charge = quad(lambda t: current(t, receptor), 0, np.inf, limit=200)[0]
    assert receptor.charge_per_peak == pytest.approx(charge, rel=1e-8)
    # The centre of an alpha current is at 2 tau.
    centre = quad(lambda t: t * current(t, receptor), 0, np.inf, limit=200)[0] / charge
    assert receptor.mean_tau_ms == pytest.approx(centre / 2, rel=1e-8)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((2.0, "double_alpha"), "needs tau_slow_ms and amp_slow: got tau_slow_ms = None"),
        ((2.0, "double_alpha", 5.0), "amp_slow = None"),
        ((2.0, "alpha", 5.0, 0.5), "and no other.*tau_slow_ms = 5.0, amp_slow = 0.5 with 'alpha'"),
        ((2.0, "exponential", None, 0.5), "and no other"),
        ((0.0, "double_alpha", 5.0, 0.5), "tau_ms must be above 0 and below 10,000, got 0.0"),
        ((2.0, "double_alpha", -5.0, 0.5), "tau_slow_ms must be above 0"),
        ((2.0, "double_alpha", np.nan, 0.5), "tau_slow_ms must be above 0"),
        ((2.0, "double_alpha", 5.0, 0.0), "amp_slow must be above 0 and below 1,000, got 0.0"),
        ((2.0, "double_alpha", 5.0, np.inf), "amp_slow"),
        ((2.0, "double-alpha", 5.0, 0.5), "Did you mean 'double_alpha'"),
    ],
)
def test_values_out_of_range_are_named(values: tuple, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Receptor(*values)


@pytest.mark.parametrize("change", [(1.8, 4.4, 0.6), (1.7, 4.5, 0.6), (1.7, 4.4, 0.7), None])
def test_digest_and_file_know_the_slow_component(
    change: tuple[float, float, float] | None, tmp_path: Path
) -> None:
    network = Network(
        neuron_table(2), Synapses.none(), {"e": Receptor(1.7, "double_alpha", 4.4, 0.6)}
    )
    network.save(tmp_path / "network.h5")
    assert dict(Network.load(tmp_path / "network.h5").receptors) == dict(network.receptors)
    tau, slow, amp = change or (1.7, 4.4, 0.6)
    other = Receptor(tau, "double_alpha", slow, amp) if change else Receptor(1.7)
    assert network.replace(receptors={"e": other}).digest() != network.digest()


# ---- postsynaptic potentials ---------------------------------------------------------------


@pytest.mark.parametrize("receptor", [E23, double("vip", "vip"), FAR_APART])
@pytest.mark.parametrize(("C", "g"), MEMBRANES)
def test_peak_and_square_integral(C: float, g: float, receptor: Receptor) -> None:
    longest = max(C / g, *(tau for _, tau in receptor.components))
    shortest = min(C / g, *(tau for _, tau in receptor.components))
    t = np.unique(np.concatenate([np.linspace(0, 30 * d, 400) for d in (shortest, longest)]))
    psp = exact_psp(t, C, g, receptor)
    peak = receptor.psp_peak_mV(np.array(C), np.array(g))
    assert peak == pytest.approx(psp.max(), rel=2e-3)
    assert peak >= psp.max() * (1 - 1e-12)

    def square(t: float) -> float:
        parts = (a * glif3.alpha_psp(t, C, g, tau) for a, tau in receptor.components)
        return float(sum(parts)) ** 2

    edges = [0, shortest, longest, 5 * longest, 40 * longest]
    integral = sum(
        quad(square, low, high, limit=200, epsabs=0, epsrel=1e-10)[0]
        for low, high in pairwise(edges)
    )
    found = receptor.psp_square_integral(np.array(C), np.array(g))
    assert found == pytest.approx(integral, rel=1e-7)


def test_a_component_of_the_same_time_constant_only_adds_height() -> None:
    C, g = np.array([96.4, 37.1]), np.array([4.66, 4.08])
    same, alpha = Receptor(2.0, "double_alpha", 2.0, 0.5), Receptor(2.0)
    assert same.psp_peak_mV(C, g) == pytest.approx(1.5 * alpha.psp_peak_mV(C, g), rel=1e-12)
    square = 1.5**2 * alpha.psp_square_integral(C, g)
    assert same.psp_square_integral(C, g) == pytest.approx(square, rel=1e-12)


# C (pF), g (nS) of Allen's GLIF3 models 484509440 (Cux2), 475585413 (Htr3a) and 475057898 (Sst),
# and their unitary potentials (mV per pA) as recomputed for the V1 model from these kinetics and
# the passive membrane; five decimals, cut or rounded.
UNITARY = [
    (96.36480859, 4.66304371, "exc", "e23", 0.07379),
    (96.36480859, 4.66304371, "pv", "e23", 0.05563),
    (96.36480859, 4.66304371, "sst", "e23", 0.11261),
    (96.36480859, 4.66304371, "vip", "e23", 0.07334),
    (37.11078733, 4.07747272, "pv", "vip", 0.08122),
    (37.11078733, 4.07747272, "vip", "vip", 0.16959),
    (102.64095649, 3.39742511, "exc", "sst", 0.04536),
    (102.64095649, 3.39742511, "e5it", "sst", 0.04469),
    (102.64095649, 3.39742511, "pv", "sst", 0.09391),
]


def test_unitary_potentials_of_published_cells() -> None:
    """Of the closed form, and of neurons that get one spike of 1,000 pA."""
    n = len(UNITARY)
    C, g = (np.array([row[k] for row in UNITARY]) for k in (0, 1))
    published = [row[4] for row in UNITARY]
    kinds = {f"{pre}_to_{post}": double(pre, post) for *_, pre, post, _ in UNITARY}
    names = [f"{pre}_to_{post}" for *_, pre, post, _ in UNITARY]
    receptor = np.array([list(kinds).index(name) for name in names])
    peaks = [
        kinds[name].psp_peak_mV(np.array(C[i]), np.array(g[i]))[0] for i, name in enumerate(names)
    ]
    assert peaks == pytest.approx(published, abs=1e-5)
    cells = neuron_table(n, C_m_pF=C, g_nS=g, V_th_mV=1e5)
    synapses = Synapses(np.zeros(n), np.arange(n), np.full(n, 1e3), np.full(n, 0.5), receptor)
    network = Network(cells, Synapses.none(), kinds, {"drive": Input(1, synapses)})
    simulation = to_brian2(network, dt_ms=0.05, record_voltage=range(n))
    simulation.run(Recording.spikes([1.0], [0], n=1, dt_ms=0.05, duration_ms=60.0))
    assert simulation.voltage_mV is not None
    highest = (simulation.voltage_mV - cells["E_L_mV"]).max(axis=0) / 1e3
    assert highest == pytest.approx(published, abs=1e-5)
    # The whole course, not its peak alone.
    t = np.arange(1, 500) * 0.05
    U = simulation.voltage_mV[30 : 30 + len(t), 0] - cells["E_L_mV"][0]
    assert U == pytest.approx(1e3 * exact_psp(t, C[0], g[0], kinds[names[0]]), rel=1e-8)


# ---- slots ---------------------------------------------------------------------------------


def test_neurons_keep_only_what_they_use_and_equal_kinetics_once() -> None:
    """Of 120 named receptors a neuron uses three, two of which are the same."""
    receptors = {
        f"r{k}": Receptor(1 + 0.05 * (k // 2), "double_alpha", 4.0, 0.5) for k in range(60)
    }
    receptors |= {f"s{k}": Receptor(1 + 0.05 * k) for k in range(60)}
    n = 50
    post = np.repeat(np.arange(n), 3)
    receptor = np.column_stack([np.arange(n), np.arange(n) ^ 1, 60 + np.arange(n)]).ravel()
    synapses = Synapses(np.tile([0, 1, 2], n), post, np.ones(3 * n), np.ones(3 * n), receptor)
    network = Network(neuron_table(n), synapses, receptors)
    slots = pack_receptors(network)
    assert slots.n == 2
    assert [current.name for current in slots.currents] == ["0", "1", "0_slow"]
    for i in range(n):
        assert slots.of_receptor[i, [i, i ^ 1, 60 + i]].tolist() == [0, 0, 1]
        assert (slots.of_receptor[i] >= 0).sum() == 3
        kept = [slots.kinds[k] for k in slots.receptor[:, i]]
        assert kept == [receptors[f"r{i}"], receptors[f"s{i}"]]
        values = [(c.peak[i], c.tau_ms[i], c.alpha[i]) for c in slots.currents]
        fast, alpha = 1 + 0.05 * (i // 2), 1 + 0.05 * i
        assert values == [(1.0, fast, True), (1.0, alpha, True), (0.5, 4.0, True)]


# ---- spikes --------------------------------------------------------------------------------

MIXED = {
    "double": E23,
    "alpha": Receptor(5.5),
    "exponential": Receptor(3.0, "exponential"),
    "inhibitory": double("pv", "e23"),
}


def test_mixed_receptors_give_the_spikes_and_potentials_of_plain_python() -> None:
    """Alpha, exponential and double-alpha receptors on every neuron, and on some not all."""
    n, n_channels, n_steps = 8, 60, 3000
    rng = np.random.default_rng(5)
    pre, post = (a.ravel() for a in np.meshgrid(np.arange(n_channels), np.arange(n)))
    receptor = pre % len(MIXED)
    kept = (post < 4) | (receptor != post % 4)
    pre, post, receptor = pre[kept], post[kept], receptor[kept]
    scale = np.array([160.0, 90.0, 120.0, -90.0])[receptor]
    weight = np.round(scale * rng.lognormal(0, 0.5, len(pre)) * 64) / 64
    delay = rng.integers(1, 40, len(pre))
    order = np.lexsort((pre, post))
    pre, post, receptor, weight, delay = (a[order] for a in (pre, post, receptor, weight, delay))
    cells = neuron_table(
        n,
        C_m_pF=np.linspace(40, 160, n),
        asc_amp_1_pA=-10.0,
        asc_amp_2_pA=-80.0,
        V_init_mV=-70.0,
        I_ext_pA=np.linspace(0, 80, n),
    )
    drive = Synapses(pre, post, weight, delay * DT_MS, receptor)
    network = Network(cells, Synapses.none(), MIXED, {"drive": Input(n_channels, drive)})
    count = rng.random((n_steps, n_channels)) < 25 * DT_MS / 1000
    step, channel = np.nonzero(count)
    spikes = Recording.spikes(
        (step + 1) * DT_MS, channel, n=n_channels, dt_ms=DT_MS, duration_ms=n_steps * DT_MS
    )
    simulation = to_brian2(network, dt_ms=DT_MS, record_voltage=range(n))
    fired = simulation.run(spikes, target="numpy")
    assert simulation.voltage_mV is not None
    parts = [
        (k, peak, (tau, "exponential" if each.kernel == "exponential" else "alpha"))
        for k, each in enumerate(MIXED.values())
        for peak, tau in each.components
    ]
    for i in range(n):
        arrivals = np.zeros((n_steps + 40, len(MIXED)))
        for s in np.flatnonzero(post == i):
            arrivals[delay[s] : delay[s] + n_steps, receptor[s]] += count[:, pre[s]] * weight[s]
        arriving = np.column_stack([peak * arrivals[:n_steps, k] for k, peak, _ in parts])
        cell = {name: float(cells[name][i]) for name in cells if cells[name].dtype.kind == "f"}
        V, steps = reference.run(cell, arriving, [kind for *_, kind in parts], DT_MS)
        ours = np.round(fired.spike_times_ms[fired.spike_ids == i] / DT_MS).astype(int)
        assert len(steps) > 3
        assert np.array_equal(ours, steps), f"cell {i}"
        assert simulation.voltage_mV[:, i] == pytest.approx(V, abs=1e-9), f"cell {i}"


def recurrent_circuit() -> tuple[Network, Recording]:
    """300 neurons, 60 synapses each; even ones with double-alpha receptors, odd ones with alpha.

    Excitation of a neuron comes by three receptors and inhibition by two, by presynaptic neuron.
    """
    network, drive = circuit.make(300, n_channels=100, in_degree=60, gain=2.0)
    doubles = [
        *(double("exc", post) for post in ("e23", "sst")),
        double("e5it", "sst"),
        *(double(pre, "e23") for pre in ("pv", "sst")),
    ]
    alphas = [Receptor(tau) for tau in (5.5, 2.8, 4.0, 8.5, 5.8)]
    receptors = {f"r{k}": each for k, each in enumerate([*doubles, *alphas])}
    charge = np.array([each.charge_per_peak for each in receptors.values()])

    def spread(synapses: Synapses) -> Synapses:
        inhibitory = synapses.weight < 0
        kind = np.where(inhibitory, 3 + synapses.pre % 2, synapses.pre % 3)
        kind = kind + 5 * (synapses.post % 2)
        # About the charges of the circuit as it was, and more drive: shorter currents give less.
        weight = synapses.weight * np.e * np.where(inhibitory, 8.5, 8.0) / charge[kind]
        return Synapses(
            synapses.pre, synapses.post, np.round(weight * 64) / 64, synapses.delay_ms, kind
        )

    return network.replace(
        synapses=spread(network.synapses),
        receptors=receptors,
        inputs={"drive": Input(100, spread(network.inputs["drive"].synapses))},
    ), drive


# SHA-256 of NEST 3.10's sorted (step, id) rows for `recurrent_circuit`, and their number.
OF_NEST = "957e1be9b529a9fc9141cb543e53f85773ada67a4876a3ef117d202d16a42ee1", 2_190


def spikes_of_nest(network: Network, drive: Recording, folder: Path) -> np.ndarray:
    if importlib.util.find_spec("nest") is None:
        pytest.skip("NEST is not installed here (nest-simulator 3.10)")
    receptors = list(network.receptors.values())
    steps = np.round(drive.spike_times_ms / circuit.DT_MS).astype(np.int64)
    arrays = dict(
        dt_ms=circuit.DT_MS,
        n_steps=round(drive.duration_ms / circuit.DT_MS),
        n_channels=network.inputs["drive"].n,
        double=np.arange(network.n) % 2 == 0,
        tau_ms=[each.tau_ms for each in receptors],
        # NEST wants values for the ports that are not used, too.
        tau_slow_ms=[each.tau_slow_ms or 1.0 for each in receptors],
        amp_slow=[each.amp_slow or 1.0 for each in receptors],
        spike_step=steps,
        spike_channel=drive.spike_ids,
    )
    for name in ("V_init_mV", *(p.name for p in glif3.PARAMETERS if p.default is None)):
        arrays[f"neurons_{name}"] = network.neurons[name]
    groups = (("recurrent", network.synapses), ("drive", network.inputs["drive"].synapses))
    for name, synapses in groups:
        for part in ("pre", "post", "weight", "delay_ms", "receptor"):
            arrays[f"{name}_{part}"] = getattr(synapses, part)
    np.savez(folder / "circuit.npz", **arrays)
    program = Path(__file__).parent / "nest_glif.py"
    files = [str(folder / name) for name in ("circuit.npz", "spikes.npz")]
    done = subprocess.run(
        [sys.executable, str(program), *files], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    with np.load(files[1], allow_pickle=False) as stored:
        return circuit.in_order(stored["steps"], stored["ids"])


@pytest.fixture(scope="module")
def fired() -> np.ndarray:
    network, drive = recurrent_circuit()
    simulation = to_brian2(network, dt_ms=circuit.DT_MS)
    return circuit.steps_and_ids(simulation.run(drive, target="numpy"))


def test_a_recurrent_circuit_fires_the_known_spikes_of_nest(fired: np.ndarray) -> None:
    assert (circuit.digest(fired), len(fired)) == OF_NEST


def test_nest_fires_the_identical_spikes(fired: np.ndarray, tmp_path: Path) -> None:
    theirs = spikes_of_nest(*recurrent_circuit(), tmp_path)
    assert set(map(tuple, fired.tolist())) == set(map(tuple, theirs.tolist()))
    assert (circuit.digest(theirs), len(theirs)) == OF_NEST


@pytest.mark.slow
def test_compiled_brian2_fires_the_identical_spikes(fired: np.ndarray) -> None:
    network, drive = recurrent_circuit()
    simulation = to_brian2(network, "cpp_standalone", dt_ms=circuit.DT_MS)
    assert np.array_equal(circuit.steps_and_ids(simulation.run(drive)), fired)


# ---- rates ---------------------------------------------------------------------------------


def test_variance_and_mean_are_those_of_a_driven_membrane() -> None:
    """Poisson input to membranes that cannot fire. Both components come of the same spikes: the
    sum of their variances would be little more than half."""
    copies, rate_Hz, seconds = 60, 800.0, 4.0
    weight = np.repeat([8.0, 20.0], copies)
    C = np.repeat([120.0, 60.0], copies)
    n = len(weight)
    who = np.arange(n)
    noise = Synapses(who, who, weight, np.ones(n), np.repeat([0, 1], copies))
    network = Network(
        neuron_table(n, C_m_pF=C, V_th_mV=1e5),
        Synapses.none(),
        {"slow": Receptor(2.0, "double_alpha", 15.0, 0.5), "e23": E23},
        {"noise": Input(n, noise, rate_Hz=rate_Hz)},
    )
    made = to_rate(network, transfer=lambda mu, sigma: 0 * mu)
    simulation = to_brian2(network, dt_ms=0.25, record_voltage=who)
    simulation.run(duration_ms=1000 * (seconds + 0.2), seed=1, target="numpy")
    assert simulation.voltage_mV is not None
    U = simulation.voltage_mV[800:] - network.neurons["E_L_mV"]
    mean, variance = made.constant_pA.numpy() / 5.0, made.constant_variance.numpy()
    for k in range(2):
        mine = slice(k * copies, (k + 1) * copies)
        assert U[:, mine].mean() == pytest.approx(mean[mine].mean(), rel=0.02)
        assert U[:, mine].var() == pytest.approx(variance[mine].mean(), rel=0.08)
    alone = sum(
        peak**2 * glif3.psp_square_integral(np.array(60.0), np.array(5.0), tau)
        for peak, tau in E23.components
    )
    assert alone * 20.0**2 * rate_Hz / 1000 < 0.6 * variance[-1]


def test_a_double_alpha_network_is_that_of_two_alpha_synapses() -> None:
    """In all but the variance of what one spike brings: mean currents, step by step."""
    rng = np.random.default_rng(2)
    n, each = 20, 8
    post, pre = np.repeat(np.arange(n), each), rng.integers(0, n, n * each)
    weight, delay = rng.uniform(2, 10, n * each), np.ones(n * each)
    one = Synapses.sort(pre, post, weight, delay, np.zeros(n * each))
    assert E23.amp_slow is not None and E23.tau_slow_ms is not None
    two = Synapses.sort(
        np.tile(pre, 2),
        np.tile(post, 2),
        np.concatenate([weight, E23.amp_slow * weight]),
        np.tile(delay, 2),
        np.repeat([0, 1], n * each),
    )
    neurons = neuron_table(n, I_ext_pA=rng.uniform(0, 60, n))
    networks = [
        Network(neurons, one, {"e": E23}),
        Network(neurons, two, {"fast": Receptor(E23.tau_ms), "slow": Receptor(E23.tau_slow_ms)}),
    ]
    for noise in ("none", "external"):
        runs = []
        for network in networks:
            made = to_rate(network, noise=noise, transfer=lambda mu, sigma: (mu + 20).clamp(min=0))
            state = made.start()
            courses = []
            for _ in range(60):
                state = made.step(state, *made.drive({}))
                courses.append(state.rates[0].numpy())
            runs.append(np.array(courses))
        assert runs[0] == pytest.approx(runs[1], rel=1e-4, abs=1e-4)
        assert np.ptp(runs[0][:, 0]) > 1
