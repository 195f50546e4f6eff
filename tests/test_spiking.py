"""`to_brian2`: the same spikes on every device, input as the toolkit draws it, and clear errors.

One network is compiled once for the whole file: a recurrent part under LGN-like input and two
Poisson backgrounds, twenty unconnected relays that fire once for an input spike, and three probes
that cannot fire and so show the sum of their postsynaptic potentials.
"""

from __future__ import annotations

import gc
import importlib.util
import re
import shutil
import tempfile
import time
import warnings
from pathlib import Path

import brian2  # noqa: F401  (first of all: on import it redirects warnings, even recorded ones)
import numpy as np
import pytest
import reference_glif3 as reference

from converters import brian2_standalone, to_brian2
from converters.brian2_model import is_one_to_one
from converters.grid import delay_steps
from converters.spiking import StandaloneSimulation
from toolkit import Input, Network, Receptor, Recording, Synapses, Table
from toolkit.errors import InputError, MissingDependency, SimulationError
from toolkit.rng import poisson_counts, stream_key

DT_MS = 0.1
N_RECURRENT, N_RELAYS = 30, 20
RELAYS = np.arange(N_RECURRENT, N_RECURRENT + N_RELAYS)
PROBES = RELAYS[-1] + 1 + np.arange(3)
N = int(PROBES[-1]) + 1
KINDS = [(5.5, "alpha"), (8.5, "alpha"), (2.0, "exponential"), (0.02, "exponential")]
EXCITATORY, INHIBITORY, EXPONENTIAL, INSTANT = range(4)
NOISE_HZ, SHARED_HZ, N_SHARED, N_LGN = 1000.0, 300.0, 4, 12
RELAY_REFRACTORY_STEPS = 20


def _neurons() -> Table:
    rng = np.random.default_rng(0)
    inhibitory = (np.arange(N) >= 24) & (np.arange(N) < N_RECURRENT)
    columns = {
        "C_m_pF": rng.uniform(80, 200, N),
        "g_nS": rng.uniform(5, 10, N),
        "E_L_mV": rng.uniform(-80, -70, N),
        "V_th_mV": rng.uniform(-52, -45, N),
        "t_ref_ms": np.round(rng.uniform(1, 4, N), 2),
        "asc_decay_1_per_ms": np.full(N, 0.01),
        "asc_decay_2_per_ms": np.full(N, 0.2),
        "asc_amp_1_pA": np.full(N, -8.0),
        "asc_amp_2_pA": np.full(N, -60.0),
    }
    for name in ("asc_amp_1_pA", "asc_amp_2_pA"):
        columns[name][RELAYS] = 0.0
    columns["t_ref_ms"][RELAYS] = RELAY_REFRACTORY_STEPS * DT_MS
    columns["V_th_mV"][PROBES] = 1e6
    columns["V_reset_mV"] = columns["E_L_mV"]
    kind = np.where(inhibitory, "i", "e")
    return Table(
        dict(population=kind, cell_class=kind, sign=np.where(inhibitory, -1, 1), **columns)
    )


def _recurrent(neurons: Table) -> Synapses:
    rng = np.random.default_rng(1)
    pre, post = np.nonzero(rng.random((N_RECURRENT, N_RECURRENT)) < 0.3)
    sign = neurons["sign"][pre]
    weight = sign * np.where(sign > 0, 40.0, 80.0) * rng.lognormal(0, 0.5, len(pre))
    receptor = np.where(sign > 0, EXCITATORY, INHIBITORY)
    return Synapses.sort(pre, post, weight, rng.integers(10, 30, len(pre)) * DT_MS, receptor)


def _inputs(neurons: Table) -> dict[str, Input]:
    rng = np.random.default_rng(2)
    pre, post = np.nonzero(rng.random((N_LGN, N_RECURRENT)) < 0.4)
    n = len(pre)
    lgn = Synapses.sort(
        pre, post, rng.uniform(20, 60, n), rng.integers(5, 20, n) * DT_MS, np.zeros(n)
    )
    # One source a neuron, not in the neurons' order, with delays and receptors that differ.
    receptor = np.where(np.arange(N) % 3 == 0, EXPONENTIAL, EXCITATORY)
    weight = rng.uniform(4, 8, N)
    receptor[RELAYS], weight[RELAYS] = INSTANT, 5e6
    receptor[PROBES] = EXCITATORY, EXPONENTIAL, EXCITATORY
    posts = np.delete(np.arange(N), PROBES[2])
    noise = Synapses.sort(
        N - 1 - posts,
        posts,
        weight[posts],
        rng.integers(1, 90, len(posts)) * DT_MS,  # longer than one chunk of drawn steps, too
        receptor[posts],
    )
    to = np.concatenate([np.arange(0, N_RECURRENT, 2), PROBES[1:]])
    pre, post = (a.ravel() for a in np.meshgrid(np.arange(N_SHARED), to))
    n = len(pre)
    shared = Synapses.sort(
        pre, post, rng.uniform(10, 25, n), rng.integers(1, 15, n) * DT_MS, np.zeros(n)
    )
    return {
        "lgn": Input(N_LGN, lgn),
        "noise": Input(N, noise, rate_Hz=NOISE_HZ),
        "shared": Input(N_SHARED, shared, rate_Hz=SHARED_HZ),
    }


@pytest.fixture(scope="module")
def network() -> Network:
    neurons = _neurons()
    receptors = {f"r{k}": Receptor(tau, kernel) for k, (tau, kernel) in enumerate(KINDS)}
    return Network(neurons, _recurrent(neurons), receptors, _inputs(neurons), dale=False)


@pytest.fixture(scope="module")
def lgn() -> Recording:
    """Rates that vary between channels and in time; several spikes of a channel share a step."""
    t = np.arange(300)[:, None]
    rates = 250 * (1 + np.sin(t / 20 + np.arange(N_LGN)))
    return Recording.rates(rates, dt_ms=1.0)


@pytest.fixture(scope="module")
def compiled(network: Network) -> StandaloneSimulation:
    return to_brian2(network, "cpp_standalone", dt_ms=DT_MS, record_voltage=[0, 3, 24, *PROBES])


@pytest.fixture(scope="module")
def silent(lgn: Recording) -> Recording:
    return Recording.rates(np.zeros_like(lgn.rates_Hz), dt_ms=lgn.dt_ms)


def _same(a: Recording, b: Recording) -> bool:
    return np.array_equal(a.spike_times_ms, b.spike_times_ms) and np.array_equal(
        a.spike_ids, b.spike_ids
    )


# ---- devices -------------------------------------------------------------------------------


def test_devices_fire_the_identical_spikes(
    network: Network, lgn: Recording, compiled: StandaloneSimulation
) -> None:
    assert is_one_to_one(network.inputs["noise"]) and not is_one_to_one(network.inputs["shared"])
    spikes = lgn.to_spikes(7, "lgn")
    shared_a_step = np.diff(np.ceil(spikes.spike_times_ms / DT_MS)) == 0
    assert shared_a_step.any(), "no two input spikes in a step: the test is too weak"
    runtime = to_brian2(network, dt_ms=DT_MS, record_voltage=[0, 3, 24, *PROBES])
    a = runtime.run(lgn, seed=7, target="numpy")
    b = compiled.run(lgn, seed=7)
    recurrent = a.spike_ids < N_RECURRENT
    assert recurrent.sum() > 150 and len(np.unique(a.spike_ids[recurrent])) > 20
    assert _same(a, b)
    assert runtime.voltage_mV is not None
    assert compiled.voltage_mV == pytest.approx(runtime.voltage_mV, abs=1e-9)
    assert (a.n, a.dt_ms, a.duration_ms) == (b.n, b.dt_ms, b.duration_ms)
    assert (a.n, a.duration_ms) == (N, pytest.approx(lgn.duration_ms))


def test_recurrent_inhibition_and_excitation_reach_their_targets(
    network: Network, lgn: Recording
) -> None:
    """The comparison above means little unless the synapses matter."""
    alone = network.replace(synapses=Synapses.none())
    runs = [
        to_brian2(each, dt_ms=DT_MS).run(lgn, seed=7, target="numpy") for each in (network, alone)
    ]
    assert not _same(*runs)


def test_same_seed_same_spikes_another_seed_others(
    compiled: StandaloneSimulation, lgn: Recording
) -> None:
    jobs = [compiled.job(lgn, seed=seed) for seed in (3, 3, 4)]
    a, again, other = compiled.run_jobs(jobs, workers=1)
    assert _same(a, again)
    for ids in (range(N_RECURRENT), RELAYS):
        ours, theirs = (
            each.spike_times_ms[np.isin(each.spike_ids, ids)].tolist() for each in (a, other)
        )
        assert ours != theirs


def test_workers_change_nothing_and_jobs_may_come_from_a_generator(
    compiled: StandaloneSimulation, lgn: Recording
) -> None:
    seeds = range(5)
    one = list(compiled.run_jobs([compiled.job(lgn, seed=s) for s in seeds], workers=1))
    made = []

    def jobs():
        for seed in seeds:
            made.append(seed)
            yield compiled.job(lgn, seed=seed)

    results = compiled.run_jobs(jobs(), workers=2, total_s=1.5)
    two = [next(results)]
    assert len(made) <= 4, "jobs were taken far ahead"
    two += list(results)
    assert len(one) == len(two) == 5
    assert all(_same(a, b) for a, b in zip(one, two, strict=True))


def test_stopping_early_ends_the_programs_that_still_run(
    compiled: StandaloneSimulation, silent: Recording
) -> None:
    short = compiled.job(silent, duration_ms=10)
    long = brian2_standalone.Job(5 * 10**7, {}, short.values)
    results = compiled.run_jobs([short, long], workers=2)
    next(results)
    start = time.perf_counter()
    results.close()
    assert time.perf_counter() - start < 20


# ---- random input --------------------------------------------------------------------------


def _arrivals(network: Network, neuron: int, seed: int, n_steps: int) -> np.ndarray:
    """Summed weight of the Poisson input that reaches a neuron at the end of each step, pA,
    (step, receptor)."""
    arriving = np.zeros((n_steps, len(KINDS)))
    for name in ("noise", "shared"):
        source = network.inputs[name]
        steps, key = np.arange(1, n_steps + 1), stream_key(seed, "input", name)
        counts = poisson_counts(key, np.arange(source.n), steps, source.rate_Hz * DT_MS / 1000)
        synapses = source.synapses
        for row in np.flatnonzero(synapses.post == neuron):
            delay = round(float(synapses.delay_ms[row]) / DT_MS)
            spikes = counts[: n_steps - delay, synapses.pre[row]]
            arriving[delay:, synapses.receptor[row]] += float(synapses.weight[row]) * spikes
    return arriving


@pytest.mark.parametrize(
    ("probe", "receptors"),
    [(0, [EXCITATORY]), (1, [EXCITATORY, EXPONENTIAL]), (2, [EXCITATORY])],
    ids=["one to one", "both", "shared"],
)
@pytest.mark.parametrize("device", ["runtime", "cpp_standalone"])
def test_background_is_what_the_toolkit_draws(
    network: Network,
    compiled: StandaloneSimulation,
    silent: Recording,
    device: str,
    probe: int,
    receptors: list[int],
) -> None:
    """The potential of a neuron that cannot fire is the sum of the PSPs of `poisson_counts`."""
    seed, n_steps = 5, 1000
    if device == "runtime":
        simulation = to_brian2(network, dt_ms=DT_MS, record_voltage=PROBES)
    else:
        simulation = compiled
    simulation.run(silent, seed=seed, duration_ms=n_steps * DT_MS)
    assert simulation.voltage_mV is not None
    measured = simulation.voltage_mV[:, probe - 3]
    neuron = PROBES[probe]
    cell = {k: float(v[neuron]) for k, v in network.neurons.items() if v.dtype.kind == "f"}
    arriving = _arrivals(network, neuron, seed, n_steps)
    assert ((arriving > 0).sum(axis=0) > 50).nonzero()[0].tolist() == receptors
    expected, _ = reference.run(cell, arriving, KINDS, DT_MS)
    assert measured == pytest.approx(expected, abs=1e-9)


def test_spikes_of_poisson_driven_neurons_are_rate_times_time(
    compiled: StandaloneSimulation, silent: Recording
) -> None:
    """A relay fires in the step after an arrival, then not for n steps: 1/rate = dt (n + 1/q)."""
    seconds = 10.0
    quiet = Recording.rates(np.zeros((round(seconds * 1000), N_LGN)), dt_ms=1.0)
    spikes = compiled.run(quiet, seed=11)
    counts = np.bincount(spikes.spike_ids, minlength=N)[RELAYS]
    q = 1 - np.exp(-NOISE_HZ * DT_MS / 1000)
    mean = RELAY_REFRACTORY_STEPS + 1 / q  # of an interval, in steps
    expected = seconds * 1000 / DT_MS / mean
    # Of a renewal process: variance of the count = time x variance / mean^3 of the intervals.
    deviation = np.sqrt(seconds * 1000 / DT_MS * (1 - q) / q**2 / mean**3)
    assert counts.mean() == pytest.approx(expected, abs=4 * deviation / np.sqrt(N_RELAYS))
    assert np.std(counts) < 2 * deviation
    first = [spikes.spike_times_ms[spikes.spike_ids == relay] for relay in RELAYS]
    shortest = min(np.diff(times).min() for times in first)
    assert shortest == pytest.approx((RELAY_REFRACTORY_STEPS + 1) * DT_MS)
    assert quiet.n == silent.n


def test_background_weights_can_be_replaced(
    network: Network, compiled: StandaloneSimulation, silent: Recording
) -> None:
    none = compiled.background_values("noise", np.zeros(N))
    quiet = compiled.run(silent, seed=2, values=none, duration_ms=200)
    assert not np.isin(quiet.spike_ids, RELAYS).any()
    same = np.zeros(N)
    noise = network.inputs["noise"].synapses
    same[noise.post] = noise.weight
    given = compiled.run(silent, seed=2, values=compiled.background_values("noise", same))
    assert _same(given, compiled.run(silent, seed=2))
    with pytest.raises(InputError, match=r"one-to-one Poisson input 'nois'.*Did you mean 'noise'"):
        compiled.background_values("nois", np.zeros(N))


def test_input_spikes_act_at_the_end_of_their_step(network: Network) -> None:
    """A spike at 2.03 ms belongs to the step that ends at 2.1 ms; one at 2.1 ms too."""
    runs = []
    for t in (2.03, 2.1, 2.11):
        spikes = Recording.spikes([t], [0], n=N_LGN, dt_ms=0.01, duration_ms=10.0)
        simulation = to_brian2(network, dt_ms=DT_MS, record_voltage=range(N_RECURRENT))
        simulation.run(spikes)
        runs.append(simulation.voltage_mV)
    assert np.array_equal(runs[0], runs[1])
    assert not np.array_equal(runs[0], runs[2])


def test_delays_off_the_grid_are_counted_in_a_warning(network: Network) -> None:
    s = network.synapses
    odd = np.arange(len(s)) % 2 == 1

    def run(delay_ms: np.ndarray) -> Recording:
        synapses = Synapses(s.pre, s.post, s.weight, delay_ms, s.receptor)
        neurons = network.neurons.replace(I_ext_pA=np.full(N, 300.0))
        changed = network.replace(synapses=synapses, neurons=neurons, inputs={})
        return to_brian2(changed, dt_ms=DT_MS).run(duration_ms=100)

    n = len(s)
    with pytest.warns(UserWarning, match=rf"{n} of {n} delays .* dt = 0.1 ms .* by 0.04 ms"):
        off_grid = run(s.delay_ms + np.where(odd, 0.06, 0.04))
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*delays")
        rounded = run(s.delay_ms + np.where(odd, 0.1, 0.0))
        floored = run(s.delay_ms)
    assert _same(off_grid, rounded) and not _same(rounded, floored)


def test_delays_are_rounded_to_the_nearest_step_and_never_to_none() -> None:
    given = np.array([0.1, 1.0, 2.3, 1.05, 0.02, 1.14, 1.16], dtype=np.float32)
    with pytest.warns(UserWarning, match=r"these: 4 of 7 delays"):
        steps = delay_steps(given, 0.1, "these")
    assert steps.tolist() == [1, 10, 23, 11, 1, 11, 12]


# ---- what is refused -----------------------------------------------------------------------


def test_unknown_device(network: Network) -> None:
    with pytest.raises(
        InputError, match=r"unknown device 'cpp'; accepted: runtime, cpp_standalone"
    ):
        to_brian2(network, "cpp")


@pytest.mark.parametrize("dt_ms", [0.0, -0.1, 6.0, np.nan])
def test_bad_time_step(network: Network, dt_ms: float) -> None:
    with pytest.raises(InputError, match="dt_ms"):
        to_brian2(network, dt_ms=dt_ms)


def test_missing_compiler(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    real = shutil.which
    monkeypatch.setattr(shutil, "which", lambda tool: None if tool == "g++" else real(tool))
    with pytest.raises(MissingDependency, match=r"g\+\+.*apt-get install.*device='runtime'"):
        to_brian2(network, "cpp_standalone")
    assert issubclass(MissingDependency, ImportError)


def test_missing_brian2(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "brian2" else real(name, *a)
    )
    with pytest.raises(
        MissingDependency, match=r"'brian2' is not installed.*pip install 'striate'"
    ):
        to_brian2(network)


def test_failing_compiler_is_quoted_and_leaves_nothing(
    network: Network, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, silent: Recording
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(brian2_standalone, "COMPILER_ARGS", ["--no-such-argument"])
    try:
        to_brian2(network, "cpp_standalone", dt_ms=DT_MS)
    except SimulationError as error:
        message = str(error)
    assert re.search(r"compiling .* failed: .*error: .*--no-such-argument", message)
    log = Path(message.split("log: ")[1].rstrip(")"))
    assert "--no-such-argument" in log.read_text()
    gc.collect()
    assert list(tmp_path.glob("striate_*")) == [log]
    # The next simulation is not disturbed.
    to_brian2(network, dt_ms=DT_MS).run(silent, duration_ms=1)


@pytest.mark.parametrize(
    ("duration_ms", "words"),
    [
        (-5.0, "duration_ms must be above 0, got -5"),
        (0.0, "duration_ms must be above 0"),
        (np.nan, "duration_ms must be above 0, got nan"),
        (np.inf, "duration_ms must be above 0, got inf"),
        (301.0, "duration_ms is 301, but the input ends at 300 ms"),
    ],
)
def test_bad_durations(network: Network, lgn: Recording, duration_ms: float, words: str) -> None:
    with pytest.raises(InputError, match=words):
        to_brian2(network, dt_ms=DT_MS).run(lgn, duration_ms=duration_ms)


def test_duration_is_that_of_the_input_or_shorter(network: Network, lgn: Recording) -> None:
    simulation = to_brian2(network, dt_ms=DT_MS)
    short = simulation.run(lgn, seed=1, duration_ms=40)
    longer = simulation.run(lgn, seed=1, duration_ms=80)
    assert (short.duration_ms, longer.duration_ms) == (pytest.approx(40), pytest.approx(80))
    kept = longer.spike_times_ms <= 40 + 1e-9
    assert np.array_equal(longer.spike_times_ms[kept], short.spike_times_ms)
    with pytest.raises(InputError, match="without a driving recording, give duration_ms"):
        simulation.run()


def test_recordings_that_do_not_fit(network: Network, lgn: Recording) -> None:
    simulation = to_brian2(network, dt_ms=DT_MS)
    with pytest.raises(InputError, match="'lgn' has 12 channels, the recording 11"):
        simulation.run(Recording.rates(np.zeros((10, 11)), dt_ms=1.0))
    with pytest.raises(InputError, match="'retina' is no external input; the network has lgn"):
        simulation.run({"retina": lgn})
    with pytest.raises(InputError, match="'noise' is no external input"):
        simulation.run({"noise": Recording.rates(np.zeros((10, N)), dt_ms=1.0)})
    two = network.replace(inputs={**network.inputs, "second": network.inputs["lgn"]})
    simulation = to_brian2(two, dt_ms=DT_MS)
    with pytest.raises(InputError, match=r"2 external inputs \(lgn, second\); give a mapping"):
        simulation.run(lgn)
    short = Recording.rates(np.zeros((10, N_LGN)), dt_ms=1.0)
    with pytest.raises(InputError, match=r"different durations: \[10.0, 300.0\] ms"):
        simulation.run({"lgn": lgn, "second": short})
    bare = to_brian2(network.replace(inputs={}), dt_ms=DT_MS)
    with pytest.raises(InputError, match="0 external inputs"):
        bare.run(lgn)


def test_bad_seeds(network: Network, lgn: Recording) -> None:
    for seed in (-1, 1.5, True):
        with pytest.raises(InputError, match="seed must be an integer"):
            to_brian2(network, dt_ms=DT_MS).run(lgn, seed=seed, duration_ms=1)


def test_compiled_program_refuses_more_spikes_than_fit(compiled: StandaloneSimulation) -> None:
    crowd = Recording.spikes(
        np.full(N_LGN + 1, 3.0), np.append(np.arange(N_LGN), 0), n=N_LGN, dt_ms=DT_MS, duration_ms=5
    )
    with pytest.raises(InputError, match=r"'lgn' has 13 spikes in one step.*smaller dt"):
        compiled.run(crowd)
    with pytest.raises(InputError, match="workers must be 1 or more, got 0"):
        list(compiled.run_jobs([compiled.job(crowd)], workers=0))


def test_a_program_that_fails_says_so(compiled: StandaloneSimulation, silent: Recording) -> None:
    with pytest.raises(SimulationError, match="no_such_variable"):
        compiled.run(silent, duration_ms=1, values={"no_such_variable": 1.0})
