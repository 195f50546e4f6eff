"""NEST on several processes, and networks that are read from their file in blocks.

What one process does with its part is tested without MPI; the whole where NEST has it.
"""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from nest_networks import DT_MS, assert_same, mixed_network, spikes_of, waves

from converters import to_nest
from converters.nest import connections, devices, processes
from converters.slots import pack_receptors
from toolkit import Network, network_blocks
from toolkit.errors import DataError, InputError, MissingDependency
from toolkit.network_blocks import NetworkFile
from toolkit.network_file import PARTS, seal

ROOT = Path(__file__).resolve().parent.parent
needs_nest = pytest.mark.skipif(
    importlib.util.find_spec("nest") is None,
    reason="needs nest-simulator: pip install 'striate[nest]'",
)


@functools.cache
def why_no_mpi() -> str:
    """What is missing for NEST under ``mpirun``; asked in a child, as NEST's import starts MPI."""
    if shutil.which("mpirun") is None:
        return "needs mpirun: apt-get install openmpi-bin"
    missing = [name for name in ("nest", "mpi4py") if importlib.util.find_spec(name) is None]
    if missing:
        return f"needs {' and '.join(missing)}"
    code = "import sys, nest; sys.exit(not nest.build_info['have_mpi'])"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, check=False)
    return "needs a NEST that was built with MPI (docs/nest-mpi.md)" if done.returncode else ""


@pytest.fixture
def mpi() -> None:
    """Skips where NEST does not run under ``mpirun``."""
    if why_no_mpi():
        pytest.skip(why_no_mpi())


@dataclass
class FakeNest:
    """What a process asks about itself."""

    num_processes: int
    rank: int

    def Rank(self) -> int:
        return self.rank


@pytest.fixture(scope="module")
def mixed() -> Network:
    return mixed_network()


@pytest.fixture
def file(mixed: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A network file of which a block is 77 rows."""
    mixed.save(tmp_path / "mixed.h5")
    monkeypatch.setattr(network_blocks, "ROWS", 77)
    monkeypatch.setattr(connections, "ROWS", 77)
    return tmp_path / "mixed.h5"


def joined(blocks: Any) -> list[np.ndarray]:
    blocks = list(blocks)
    return [np.concatenate([getattr(block, part) for block in blocks]) for part in PARTS]


# ---- a file in blocks ----------------------------------------------------------------------


def test_blocks_of_a_file_are_its_synapses(mixed: Network, file: Path) -> None:
    opened = NetworkFile.open(file)
    inputs = {name: source.synapses for name, source in mixed.inputs.items()}
    for name, synapses in {"": mixed.synapses, **inputs}.items():
        assert max(map(len, opened.synapses(name))) <= 77
        for mine, theirs in zip(joined(opened.synapses(name)), joined([synapses]), strict=True):
            assert np.array_equal(mine, theirs)
        assert opened.n_synapses[name] == len(synapses)


def test_the_sample_has_every_slot_and_few_synapses(mixed: Network, file: Path) -> None:
    sample = NetworkFile.open(file).sample
    whole, part = pack_receptors(mixed), pack_receptors(sample)
    assert np.array_equal(whole.of_receptor, part.of_receptor)
    assert np.array_equal(whole.receptor, part.receptor)
    assert len(sample.synapses) <= sample.n * len(sample.receptors) < len(mixed.synapses)


@pytest.mark.parametrize(
    ("where", "row", "value", "words"),
    [
        ("synapses/post", 77, 0, "not sorted by .post, pre. at row 77"),
        ("synapses/post", 80, 0, "sorted by"),
        ("synapses/pre", -1, 999, "pre 999; there are 60"),
        ("inputs/lgn/receptor", 100, 200, "receptor 200; there are 4"),
        ("inputs/lgn/weight", 3, np.nan, "synapse 3 has weight nan"),
    ],
)
def test_impossible_synapses_are_found(
    file: Path, where: str, row: int, value: float, words: str
) -> None:
    with h5py.File(file, "r+") as changed:
        changed[where][row] = value
    with pytest.raises(DataError, match="checksum"):
        NetworkFile.open(file)
    seal(file)
    with pytest.raises(DataError, match=words):
        NetworkFile.open(file)


def test_datasets_of_different_lengths_are_refused(file: Path) -> None:
    with h5py.File(file, "r+") as changed:
        short = changed["synapses/pre"][:-1]
        del changed["synapses/pre"]
        changed["synapses/pre"] = short
    seal(file)
    with pytest.raises(DataError, match="/synapses have the lengths"):
        NetworkFile.open(file)


@needs_nest
@pytest.mark.parametrize("threads", [1, 2])
def test_a_file_fires_as_the_network_in_it(mixed: Network, file: Path, threads: int) -> None:
    whole = to_nest(mixed, dt_ms=DT_MS).run(waves(), seed=5)
    opened = to_nest(NetworkFile.open(file), dt_ms=DT_MS, threads=threads)
    assert_same(opened.run(waves(), seed=5), whole, at_least=1000)


# ---- the part of a process -----------------------------------------------------------------


@pytest.mark.parametrize("n_processes", [1, 2, 3])
@pytest.mark.parametrize("in_a_file", [False, True])
def test_each_process_has_the_synapses_onto_its_nodes(
    mixed: Network, file: Path, n_processes: int, in_a_file: bool
) -> None:
    source = NetworkFile.open(file) if in_a_file else mixed
    number = 5 + np.random.default_rng(1).permutation(mixed.n)
    slots = pack_receptors(mixed)
    ports = np.arange(slots.n) + 1
    parts = []
    for rank in range(n_processes):
        nest = FakeNest(n_processes, rank)
        rows = connections.rows_here(nest, source, "", number, slots, ports, DT_MS)
        for some in rows:
            assert set(some.target % n_processes) <= {rank}
            parts.append([some.pre, some.target, some.weight, some.delay_ms, some.port])
    found = np.concatenate(parts, axis=1)
    of, expected = mixed.synapses, np.empty((5, len(mixed.synapses)))
    expected[:] = [
        of.pre, number[of.post], of.weight, of.delay_ms,
        1 + slots.of_receptor[of.post, of.receptor],
    ]  # fmt: skip
    for table in (found, expected):
        table[:] = table[:, np.lexsort(table)]
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("rank", [0, 1])
def test_rounded_delays_are_told_once_and_by_the_first(
    mixed: Network, file: Path, rank: int
) -> None:
    arguments = mixed, "", np.arange(mixed.n), pack_receptors(mixed), np.arange(9), 0.5
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        list(connections.rows_here(FakeNest(2, rank), *arguments))
    moved = np.count_nonzero(mixed.synapses.delay_ms % 0.5)
    words = [str(each.message).split(" are not")[0] for each in told]
    expected = [f"recurrent synapses: {moved} of {len(mixed.synapses)} delays"]
    assert words == (expected if rank == 0 else [])


# ---- random input --------------------------------------------------------------------------


@needs_nest
@pytest.mark.parametrize("threads", [1, 2])
def test_poisson_input_drawn_in_nest_or_outside(
    mixed: Network, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    probes = [0, 7, 20]
    inside = to_nest(mixed, dt_ms=DT_MS, threads=threads, record_voltage=probes)
    spikes = inside.run(waves(), seed=5)

    def missing() -> Path:
        raise MissingDependency("no g++ here")

    monkeypatch.setattr(devices, "build", missing)
    with pytest.warns(UserWarning, match="drawn outside NEST.*no g.. here"):
        outside = to_nest(mixed, dt_ms=DT_MS, record_voltage=probes)
    assert_same(outside.run(waves(), seed=5), spikes, at_least=1000)
    assert np.array_equal(inside.voltage_mV, outside.voltage_mV)


@needs_nest
def test_a_compiler_that_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path))
    monkeypatch.setattr(devices, "COMPILER", "no-such-compiler")
    with pytest.raises(MissingDependency, match=r"no-such-compiler.*apt-get install"):
        devices.build()


# ---- errors --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [(InputError("too small"), 2, "striate: too small"), (ValueError("a bug"), 1, "Traceback")],
)
def test_an_error_in_one_process_ends_all(
    error: Exception,
    code: int,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ended: list[int] = []

    class World:
        Abort = ended.append

    monkeypatch.setattr(processes, "_world", lambda: World)
    with pytest.raises(type(error)), processes.together(FakeNest(2, 0)) as first:
        assert first
        raise error
    assert ended == [code]
    assert words in capsys.readouterr().err
    with pytest.raises(type(error)), processes.together(FakeNest(1, 0)):
        raise error
    assert ended == [code]


def test_mpi_of_another_make_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class World:
        size = 1

    monkeypatch.setattr(processes, "_world", lambda: World)
    monkeypatch.setattr(processes, "require", lambda *_: None)
    with pytest.raises(InputError, match="4 MPI processes, of which mpi4py sees 1"):
        processes.check(FakeNest(4, 0))


# ---- under mpirun --------------------------------------------------------------------------

SCRIPT = """
import sys
import numpy as np
from nest_networks import DT_MS, mixed_network, spikes_of, waves
from converters import to_nest
from converters.nest import kernel
from toolkit.network_blocks import NetworkFile

out, model, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
network = mixed_network()
simulation = to_nest(network, model, dt_ms=DT_MS, threads=threads, record_voltage=[40, 3, 3])
spikes = spikes_of(simulation.run(waves(), seed=5))
np.savez(f"{out}/{kernel.load().Rank()}.npz", spikes=spikes, voltage_mV=simulation.voltage_mV)
"""


def mpirun(*command: object, cache: Path) -> subprocess.CompletedProcess[str]:
    """Run Python on two processes."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
        "STRIATE_CACHE": str(cache),
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "OMPI_MCA_rmaps_base_oversubscribe": "1",
    }
    words = ["mpirun", "-n", "2", sys.executable, *map(str, command)]
    return subprocess.run(
        words, env=environment, capture_output=True, text=True, check=False, timeout=600
    )


@needs_nest
@pytest.mark.slow
@pytest.mark.usefixtures("mpi")
@pytest.mark.parametrize(("model", "threads"), [("builtin", 1), ("builtin", 2), ("nestml", 1)])
def test_two_processes_fire_as_one(
    mixed: Network, model: str, threads: int, tmp_path: Path
) -> None:
    alone = to_nest(mixed, model, dt_ms=DT_MS, record_voltage=[40, 3, 3])
    expected = spikes_of(alone.run(waves(), seed=5))
    cache = tmp_path / "cache"
    done = mpirun("-c", SCRIPT, tmp_path, model, threads, cache=cache)
    assert done.returncode == 0, done.stderr
    for rank in (0, 1):
        with np.load(tmp_path / f"{rank}.npz") as found:
            assert np.array_equal(found["spikes"], expected)
            assert np.array_equal(found["voltage_mV"], alone.voltage_mV)
    # Each module was compiled by one process, for which the other waited.
    assert len(list(cache.rglob("*.so"))) == (2 if model == "nestml" else 1)
    assert not list(cache.rglob(".*.writing"))


@needs_nest
@pytest.mark.slow
@pytest.mark.usefixtures("mpi")
def test_the_command_on_two_processes(mixed: Network, tmp_path: Path) -> None:
    mixed.save(tmp_path / "mixed.h5")
    code = "from circuits.cli import main; main()"
    words = ["simulate", tmp_path / "mixed.h5", "--backend", "nest", "--stimulus", "poisson"]
    words += ["--seconds", "0.2", "--csv", "--out"]
    done = mpirun("-c", code, *words, tmp_path / "two", cache=tmp_path / "cache")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("60 neurons, 900 recurrent connections") == 1
    again = mpirun("-c", code, *words, tmp_path / "two", cache=tmp_path / "cache")
    assert again.returncode == 2
    assert again.stderr.count("holds another run") == 1
    one = [sys.executable, "-c", code, *map(str, words), str(tmp_path / "one")]
    subprocess.run(one, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, check=True)
    files = [(tmp_path / name / "spikes.csv").read_text() for name in ("one", "two")]
    assert files[0] == files[1]
    assert files[0].count("\n") > 100
