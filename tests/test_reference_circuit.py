"""The circuits whose spikes are known from NEST: nothing less than the identical set will do.

A recurrent network amplifies one shifted spike into another raster within 100 ms, so these tests
see any deviation from the shared discrete update (`toolkit.neurons.glif3`): in the propagators,
the mean of the after-spike currents, the threshold, the refractory count, delays and time stamps.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import reference_circuit as circuit

from converters import to_brian2
from converters.brian2_model import neuron_values
from toolkit import Network, Recording

# SHA-256 of NEST's sorted (step, id) rows, and their number.
ON_GRID = "f551eedcae3f3884b37617da42a7171612b1e2df75d831adb5956d222052e6e2", 36_252
OFF_GRID = "df303cc6ed86b4768e09ac0d7819031404227a3b1c8f0baf6787fc1e0241e905", 35_000
# The same of 300 neurons, 60 synapses a neuron and gain 2, as the compiled device fires them.
SMALL = "8aa2fc574d3a75cc7753a8e0325edbe61fd7b91afd57e48cfde67977786657d4", 1_515


@pytest.fixture(scope="module")
def on_grid() -> tuple[Network, Recording]:
    return circuit.make()


@pytest.fixture(scope="module")
def fired(on_grid: tuple[Network, Recording]) -> dict[str, np.ndarray]:
    """Rows of (step, id) of both circuits, from one compiled program.

    They differ in their neurons' refractory times only, which a run can set.
    """
    network, drive = on_grid
    off_grid, same_drive = circuit.make(off_grid=True)
    assert np.array_equal(drive.spike_times_ms, same_drive.spike_times_ms)
    simulation = to_brian2(network, "cpp_standalone", dt_ms=circuit.DT_MS)
    values = neuron_values(off_grid, circuit.DT_MS)
    jobs = [simulation.job(drive), simulation.job(drive, values=values)]
    runs = simulation.run_jobs(jobs, workers=2)
    return dict(zip(("on", "off"), map(circuit.steps_and_ids, runs), strict=True))


def _published(file: str) -> Path | None:
    folders = [os.environ.get("STRIATE_DATA"), Path(__file__).parents[2] / "shared" / "data"]
    for folder in folders:
        if folder and (Path(folder) / "reference_circuit" / file).is_file():
            return Path(folder) / "reference_circuit" / file
    return None


def _assert_same(rows: np.ndarray, known: np.ndarray) -> None:
    """Equal sets of (step, id); the first difference otherwise."""
    ours, theirs = set(map(tuple, rows.tolist())), set(map(tuple, known.tolist()))
    different = sorted(ours ^ theirs)
    if different:
        step, neuron = different[0]
        who = "here only" if (step, neuron) in ours else "in the reference only"
        pytest.fail(
            f"{len(different)} of {len(theirs)} spikes differ, the first: neuron {neuron} at step "
            f"{step}, {who}"
        )
    assert len(rows) == len(known), "a spike is there twice"


def test_circuit_has_the_size_that_it_is_known_for(on_grid: tuple[Network, Recording]) -> None:
    network, drive = on_grid
    assert len(network.synapses) == 500_816
    assert len(network.inputs["drive"].synapses) == 90_000
    assert len(drive.spike_ids) == 10_166
    assert np.array_equal(network.synapses.weight * 64 % 1, np.zeros(500_816))


@pytest.mark.parametrize(
    ("which", "known"), [("on", ON_GRID), ("off", OFF_GRID)], ids=["on grid", "off grid"]
)
def test_compiled_brian2_fires_the_spikes_of_nest(
    fired: dict[str, np.ndarray], which: str, known: tuple[str, int]
) -> None:
    sha256, count = known
    assert len(fired[which]) == count
    assert circuit.digest(fired[which]) == sha256


@pytest.mark.parametrize(
    ("which", "file"), [("on", "nest_spikes_3000.npz"), ("off", "nest_spikes_3000_offgrid.npz")]
)
def test_spikes_against_the_published_ones(
    fired: dict[str, np.ndarray], which: str, file: str
) -> None:
    path = _published(file)
    if path is None:
        pytest.skip(f"STRIATE_DATA names no folder with reference_circuit/{file}")
    with np.load(path, allow_pickle=False) as stored:
        known = circuit.in_order(stored["steps"], stored["ids"])
    assert circuit.digest(known) == {"on": ON_GRID, "off": OFF_GRID}[which][0]
    _assert_same(fired[which], known)


def test_two_threads_fire_the_identical_spikes(on_grid: tuple[Network, Recording]) -> None:
    network, drive = on_grid
    rows = circuit.steps_and_ids(
        to_brian2(network, "cpp_standalone", dt_ms=circuit.DT_MS, threads=2).run(drive)
    )
    assert (circuit.digest(rows), len(rows)) == ON_GRID


@pytest.mark.slow
def test_cython_fires_the_identical_spikes(on_grid: tuple[Network, Recording]) -> None:
    network, drive = on_grid
    rows = circuit.steps_and_ids(
        to_brian2(network, dt_ms=circuit.DT_MS).run(drive, target="cython")
    )
    assert (circuit.digest(rows), len(rows)) == ON_GRID


def test_runtime_device_fires_the_identical_spikes(
    on_grid: tuple[Network, Recording], fired: dict[str, np.ndarray]
) -> None:
    network, drive = on_grid
    duration_ms = 300.0
    spikes = to_brian2(network, "runtime", dt_ms=circuit.DT_MS).run(
        drive, duration_ms=duration_ms, target="numpy"
    )
    until = fired["on"][:, 0] <= round(duration_ms / circuit.DT_MS)
    assert until.sum() > 5000
    _assert_same(circuit.steps_and_ids(spikes), fired["on"][until])


def test_small_circuit_on_the_runtime_device() -> None:
    network, drive = circuit.make(300, n_channels=100, in_degree=60, gain=2.0)
    simulation = to_brian2(network, "runtime", dt_ms=circuit.DT_MS)
    rows = circuit.steps_and_ids(simulation.run(drive, target="numpy"))
    assert (circuit.digest(rows), len(rows)) == SMALL


def test_refractory_times_matter(fired: dict[str, np.ndarray]) -> None:
    """The second circuit is no copy of the first: it tests something of its own."""
    common = set(map(tuple, fired["on"].tolist())) & set(map(tuple, fired["off"].tolist()))
    assert len(common) < 0.7 * len(fired["on"])
