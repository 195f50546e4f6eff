"""`to_nest` against known spikes and against `to_brian2`: nothing less than the identical set."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import reference_circuit as circuit
from nest_networks import DT_MS, N, assert_same, mixed_network, spikes_of, waves
from small_networks import network as small_network
from small_networks import neurons

from circuits import v1
from converters import to_brian2, to_nest
from converters.nest import inputs, kernel
from toolkit import Network, Receptor, Recording, Synapses, stimuli
from toolkit.errors import InputError, MissingDependency, SimulationError

needs_nest = pytest.mark.skipif(
    importlib.util.find_spec("nest") is None,
    reason="needs nest-simulator: pip install 'striate[nest]'",
)
ROOT = Path(__file__).resolve().parent.parent
# SHA-256 of NEST's sorted (step, id) rows of the reference circuits, and their number.
ON_GRID = "f551eedcae3f3884b37617da42a7171612b1e2df75d831adb5956d222052e6e2", 36_252
OFF_GRID = "df303cc6ed86b4768e09ac0d7819031404227a3b1c8f0baf6787fc1e0241e905", 35_000


@pytest.fixture(scope="module")
def mixed() -> Network:
    return mixed_network()


@pytest.fixture(scope="module")
def lgn() -> Recording:
    return waves()


# ---- the same spikes -----------------------------------------------------------------------


@needs_nest
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("off_grid", "known"), [(False, ON_GRID), (True, OFF_GRID)], ids=["on grid", "off grid"]
)
def test_reference_circuits(off_grid: bool, known: tuple[str, int], threads: int) -> None:
    network, drive = circuit.make(off_grid=off_grid)
    rows = circuit.steps_and_ids(to_nest(network, dt_ms=circuit.DT_MS, threads=threads).run(drive))
    assert (circuit.digest(rows), len(rows)) == known


@needs_nest
@pytest.mark.parametrize("threads", [1, 2])
def test_all_receptors_and_inputs_as_in_brian2(
    mixed: Network, lgn: Recording, threads: int
) -> None:
    brian2 = to_brian2(mixed, dt_ms=DT_MS).run(lgn, seed=5, target="numpy")
    simulation = to_nest(mixed, dt_ms=DT_MS, threads=threads)
    nest = simulation.run(lgn, seed=5)
    assert_same(nest, brian2, at_least=1000)
    assert len(np.unique(nest.spike_ids)) == N
    assert_same(simulation.run(lgn, seed=5), nest, at_least=1000)  # nothing is left of a run
    other = simulation.run(lgn, seed=6)
    assert not np.array_equal(spikes_of(other), spikes_of(nest))


@needs_nest
def test_input_comes_in_parts_of_any_length(
    mixed: Network, lgn: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = to_nest(mixed, dt_ms=DT_MS).run(lgn, seed=5, duration_ms=100)
    monkeypatch.setattr("converters.nest.simulation.PART_COUNTS", 37 * 63)  # 37 steps
    monkeypatch.setattr("converters.nest.simulation.REPORT_MS", 2.75)
    assert_same(to_nest(mixed, dt_ms=DT_MS).run(lgn, seed=5, duration_ms=100), whole, at_least=200)


@needs_nest
def test_potentials_as_in_brian2(mixed: Network, lgn: Recording) -> None:
    probes = [40, 3, 3, N - 1]  # in any order, one twice
    brian2 = to_brian2(mixed, dt_ms=DT_MS, record_voltage=probes)
    nest = to_nest(mixed, dt_ms=DT_MS, record_voltage=probes)
    expected = brian2.run(lgn, seed=5, duration_ms=150, target="numpy")
    assert_same(nest.run(lgn, seed=5, duration_ms=150), expected, at_least=300)
    assert nest.voltage_mV is not None and nest.voltage_mV.shape == (600, 4)
    assert nest.voltage_mV == pytest.approx(brian2.voltage_mV, abs=1e-9)
    assert nest.voltage_mV.std(axis=0).min() > 1


@needs_nest
def test_a_v1_column_on_a_grating() -> None:
    column = v1.column(300, seed=1)
    rates = v1.lgn(column).respond(stimuli.drifting_grating(duration_ms=200))
    brian2 = to_brian2(column).run(rates, seed=2, target="numpy")
    assert_same(to_nest(column).run(rates, seed=2), brian2, at_least=100)


@needs_nest
@pytest.mark.slow
@pytest.mark.parametrize(
    ("size", "data", "at_least"),
    [("3k", "billeh2020", 10_000), ("6k", "billeh2020", 10_000), (2000, "v1dd", 500)],
)
def test_whole_columns_over_a_second(size: str | int, data: str, at_least: int) -> None:
    column = v1.column(size, seed=1, data=data)
    drive = Recording.rates(np.full((1000, column.inputs["lgn"].n), 8.0), dt_ms=1.0)
    brian2 = to_brian2(column, "cpp_standalone").run(drive, seed=2)
    for threads in (1, 2):
        assert_same(to_nest(column, threads=threads).run(drive, seed=2), brian2, at_least)


@needs_nest
def test_a_network_without_inputs_or_synapses() -> None:
    cells = neurons(5, I_ext_pA=np.linspace(0, 400, 5))
    alone = Network(cells, Synapses.none(), {"e": Receptor(2.0)})
    brian2 = to_brian2(alone, dt_ms=0.1).run(duration_ms=100, target="numpy")
    assert_same(to_nest(alone, dt_ms=0.1).run(duration_ms=100), brian2, at_least=20)


# ---- what drives it ------------------------------------------------------------------------


def test_counts_of_given_spikes_come_by_source_and_step() -> None:
    counts = inputs.GivenCounts(np.array([1, 2, 2, 2, 5, 9]), np.array([3, 0, 4, 4, 0, 1]))
    source, step, number = counts.between(2, 5)
    assert source.tolist() == [0, 0, 4]
    assert step.tolist() == [2, 5, 2]
    assert number.tolist() == [1, 1, 2]
    assert all(len(part) == 0 for part in counts.between(6, 8))


def test_poisson_counts_do_not_depend_on_parts() -> None:
    counts = inputs.PoissonCounts(n=20, mean=0.7, key=11)
    whole = np.stack(counts.between(1, 100))
    parts = np.concatenate(
        [np.stack(counts.between(1, 33)), np.stack(counts.between(34, 100))], axis=1
    )
    assert np.array_equal(whole, parts[:, np.lexsort((parts[1], parts[0]))])
    assert whole[2].sum() == pytest.approx(20 * 100 * 0.7, rel=0.1)
    assert whole[2].max() > 1


@needs_nest
def test_delays_off_the_grid_are_rounded_with_a_warning() -> None:
    column = small_network(receptors={"fast": Receptor(2.8), "slow": Receptor(8.5)})
    column = column.replace(neurons=neurons(I_ext_pA=np.full(4, 200.0)))
    with pytest.warns(UserWarning, match=r"input 'lgn': 2 of 2 delays .* dt = 0.5 ms"):
        rounded = to_nest(column, dt_ms=0.5).run(duration_ms=200)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        brian2 = to_brian2(column, dt_ms=0.5).run(duration_ms=200, target="numpy")
    assert_same(rounded, brian2, at_least=10)


# ---- NEST's one kernel ---------------------------------------------------------------------


@needs_nest
def test_the_kernel_is_left_empty_and_ready(mixed: Network, lgn: Recording) -> None:
    nest = kernel.load()
    to_nest(mixed, dt_ms=DT_MS).run(lgn, duration_ms=5)
    assert (nest.network_size, nest.biological_time) == (0, 0.0)
    with pytest.raises(ZeroDivisionError), kernel.taken(0.1, 1):
        nest.Create("iaf_psc_exp", 3)
        raise ZeroDivisionError
    assert nest.network_size == 0
    to_nest(mixed, dt_ms=DT_MS).run(lgn, duration_ms=5)


@needs_nest
def test_a_network_of_the_users_is_not_touched(mixed: Network, lgn: Recording) -> None:
    nest = kernel.load()
    nest.Create("iaf_psc_exp", 3)
    try:
        with pytest.raises(InputError, match=r"holds a network of 3 nodes.*nest\.ResetKernel"):
            to_nest(mixed, dt_ms=DT_MS).run(lgn, duration_ms=5)
        assert nest.network_size == 3
    finally:
        nest.ResetKernel()


@needs_nest
def test_one_simulation_at_a_time(mixed: Network, lgn: Recording) -> None:
    errors: list[Exception] = []

    def run() -> None:
        try:
            to_nest(mixed, dt_ms=DT_MS).run(lgn, duration_ms=5)
        except SimulationError as error:
            errors.append(error)

    with kernel.taken(DT_MS, 1):
        other = threading.Thread(target=run)
        other.start()
        other.join()
    assert "a simulation is running in NEST" in str(errors[0])


@needs_nest
def test_nest_is_loaded_quietly_and_the_environment_is_as_before() -> None:
    code = (
        "import os; before = dict(os.environ); from converters.nest import kernel; kernel.load(); "
        "assert dict(os.environ) == before; kernel.load()"
    )
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# ---- what is refused -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (dict(model="buildin"), "unknown NEST model 'buildin'.*Did you mean 'builtin'"),
        (dict(dt_ms=0.0), "dt_ms must be above 0 and at most 5 ms, got 0"),
        (dict(dt_ms=np.nan), "dt_ms"),
        (dict(threads=0), "threads must be 1 or more, got 0"),
    ],
)
def test_bad_arguments(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        to_nest(small_network(), **arguments)


@needs_nest
def test_exponential_receptors_are_refused() -> None:
    with pytest.raises(InputError, match="'slow' with an exponential current"):
        to_nest(small_network())


@needs_nest
@pytest.mark.parametrize(
    ("change", "dt_ms", "words"),
    [
        (lambda n: neurons(V_reset_mV=np.full(4, -40.0)), 0.25, "NEST: .*"),
        (lambda n: neurons(), 0.0003, "NEST: Resolution must be"),
    ],
    ids=["reset above threshold", "dt below a tic"],
)
def test_what_nest_refuses_is_said(
    change: Callable[[Network], Any], dt_ms: float, words: str
) -> None:
    plain = small_network(receptors={"fast": Receptor(2.8), "slow": Receptor(8.5)})
    changed = plain.replace(neurons=change(plain))
    with warnings.catch_warnings(), pytest.raises(SimulationError, match=words):
        warnings.simplefilter("ignore")
        to_nest(changed, dt_ms=dt_ms).run(duration_ms=1)
    assert kernel.load().network_size == 0


@needs_nest
def test_recordings_that_do_not_fit(mixed: Network, lgn: Recording) -> None:
    with pytest.raises(InputError, match="'lgn' has 12 channels, the recording 3"):
        to_nest(mixed).run(Recording.rates(np.zeros((10, 3)), dt_ms=1.0))
    with pytest.raises(InputError, match="duration_ms is 500, but the input ends at 400 ms"):
        to_nest(mixed).run(lgn, duration_ms=500)


def test_missing_nest(monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "nest" else real(name, *a)
    )
    monkeypatch.delitem(sys.modules, "nest", raising=False)
    with pytest.raises(MissingDependency, match=r"'nest' is not installed.*striate\[nest\]"):
        to_nest(small_network(receptors={"fast": Receptor(2.8), "slow": Receptor(8.5)}))
