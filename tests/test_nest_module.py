"""NESTML models in NEST: compiled against the installed NEST, once, and fire the known spikes."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import reference_circuit as circuit
from nest_networks import DT_MS, assert_same, mixed_network, waves

from circuits import v1
from converters import to_brian2, to_nest
from converters.nest import kernel, module, shim
from toolkit import stimuli
from toolkit.errors import DataError, MissingDependency, SimulationError
from toolkit.neurons import glif

needs_nest = pytest.mark.skipif(
    importlib.util.find_spec("nest") is None or importlib.util.find_spec("pynestml") is None,
    reason="needs nest-simulator and nestml: pip install 'striate[nest]'",
)
needs_cmake = pytest.mark.skipif(
    shutil.which("cmake") is None, reason="needs cmake: apt-get install cmake"
)
MODEL = """
model quiet_neuron:
    state:
        V_m mV = 0 mV
    parameters:
        tau ms = 10 ms
    input:
        spikes <- spike
    output:
        spike
    update:
        V_m = V_m * exp(-resolution() / tau)
"""
ON_GRID = "f551eedcae3f3884b37617da42a7171612b1e2df75d831adb5956d222052e6e2", 36_252
OFF_GRID = "df303cc6ed86b4768e09ac0d7819031404227a3b1c8f0baf6787fc1e0241e905", 35_000


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "nest"


# ---- the same spikes -----------------------------------------------------------------------


@needs_nest
@needs_cmake
@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(
    ("off_grid", "known"), [(False, ON_GRID), (True, OFF_GRID)], ids=["on grid", "off grid"]
)
def test_reference_circuits(off_grid: bool, known: tuple[str, int], threads: int) -> None:
    network, drive = circuit.make(off_grid=off_grid)
    simulation = to_nest(network, "nestml", dt_ms=circuit.DT_MS, threads=threads)
    rows = circuit.steps_and_ids(simulation.run(drive))
    assert (circuit.digest(rows), len(rows)) == known


@needs_nest
@needs_cmake
@pytest.mark.slow
@pytest.mark.parametrize("exponential", [False, True], ids=["double alpha", "exponential"])
def test_all_receptors_and_inputs_as_in_brian2(exponential: bool) -> None:
    network, lgn, probes = mixed_network(exponential=exponential), waves(), [3, 0, 59]
    brian2 = to_brian2(network, dt_ms=DT_MS, record_voltage=probes)
    nest = to_nest(network, "nestml", dt_ms=DT_MS, record_voltage=probes)
    expected = brian2.run(lgn, seed=5, target="numpy")
    assert_same(nest.run(lgn, seed=5), expected, at_least=1000)
    assert nest.voltage_mV == pytest.approx(brian2.voltage_mV, abs=1e-9)


@needs_nest
@needs_cmake
@pytest.mark.slow
def test_a_whole_column_over_a_second() -> None:
    column = v1.column("3k", seed=1)
    grating = stimuli.drifting_grating(orientation_deg=45, duration_ms=1000)
    lgn = v1.lgn(column).respond(grating)
    builtin = to_nest(column).run(lgn, seed=2)
    assert_same(to_nest(column, "nestml").run(lgn, seed=2), builtin, at_least=10_000)


# ---- compiling -----------------------------------------------------------------------------


@needs_nest
@needs_cmake
@pytest.mark.slow
def test_a_model_is_compiled_once_whoever_asks(cache: Path) -> None:
    code = f"from converters.nest import module; print(module.build({MODEL!r}))"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).resolve().parent.parent)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    paths = {Path(process.communicate(timeout=120)[0].strip()) for process in processes}
    assert len(paths) == 1
    path = paths.pop()
    assert path.is_file() and path.is_relative_to(cache)
    made = path.stat().st_mtime_ns
    assert module.build(MODEL) == path
    assert path.stat().st_mtime_ns == made
    assert len(list(cache.rglob("*.so"))) == 1
    nest = kernel.load()
    with kernel.taken(0.1, 1):
        nest.Install(str(path.with_suffix("")))
        assert nest.GetDefaults("quiet_neuron")["tau"] == 10


@needs_nest
@needs_cmake
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("V_m mV", "V_m pA"), r'quiet_neuron: .*ERROR, \[4:.*Expected: "pA", got: "mV"'),
        (("update:", "updaet:"), r"quiet_neuron: .*ERROR, \[12:0;12:0\].*parsing"),
    ],
    ids=["unit", "syntax"],
)
def test_errors_of_a_model_are_quoted(change: tuple[str, str], words: str, cache: Path) -> None:
    with pytest.raises(DataError, match=words) as raised:
        module.build(MODEL.replace(*change))
    log = Path(str(raised.value).split("All it said: ")[1])
    assert "ERROR" in log.read_text() and "N E S T" not in log.read_text()
    log.unlink()
    assert not list(cache.rglob("*.so"))


@needs_nest
@needs_cmake
def test_a_failing_compiler_is_quoted(
    cache: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    compiler = tmp_path / "g++"
    compiler.write_text("#!/bin/sh\necho 'error: no more types today' >&2\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setattr(module, "_tools", lambda: {"g++": str(compiler)})
    with pytest.raises(SimulationError, match="compiling quiet_neuron for NEST failed: ") as raised:
        module.build(MODEL)
    log = Path(str(raised.value).split("log: ")[1].rstrip(")"))
    assert "no more types today" in log.read_text()
    log.unlink()
    assert not list(cache.rglob("*.so"))


@pytest.mark.parametrize("text", ["", MODEL + MODEL])
def test_one_model_a_text(text: str) -> None:
    with pytest.raises(DataError, match="one model is needed; there are"):
        module.model_name(text)


@needs_nest
@pytest.mark.parametrize("tool", ["cmake", "make", "g++"])
def test_missing_tools(tool: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None if name == tool else f"/usr/bin/{name}")
    with pytest.raises(MissingDependency, match="compiling NESTML models needs") as raised:
        module.build(MODEL)
    assert f"apt-get install {tool}." in str(raised.value)


@needs_nest

# ---- the wheel -----------------------------------------------------------------------------


class SourceBuild:
    """What a NEST that was built from source says of itself."""

    def __init__(self, prefix: Path):
        self.build_info = {"prefix": str(prefix), "version": "3.10.0"}
        self.__file__ = str(prefix / "nest" / "__init__.py")


def test_a_nest_built_from_source_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "nest-config").touch()
    assert shim.prefix(SourceBuild(tmp_path), "g++", tmp_path / "shim") == tmp_path
    assert not (tmp_path / "shim").exists()


def test_a_nest_without_headers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingDependency, match="no headers to compile a model against"):
        shim.prefix(SourceBuild(tmp_path), "g++", tmp_path / "shim")


@pytest.mark.parametrize(("symbol", "abi"), [("21get_synaptic_elementsESs", 0), ("other", 1)])
def test_the_kind_of_string_is_that_of_the_kernel(symbol: str, abi: int, tmp_path: Path) -> None:
    package = tmp_path / "nest"
    (package / "include" / "nest").mkdir(parents=True)
    (package / "include" / "nest" / "config.h").write_text("#define HAVE_BOOST 1\n#define A 1\n")
    (package / "nestkernel_api.cpython.so").write_bytes(b"\0" + symbol.encode() + b"\0")
    folder = shim.prefix(SourceBuild(tmp_path), "/usr/bin/g++", tmp_path / "shim")
    text = (folder / "bin" / "nest-config").read_text()
    assert f"-D_GLIBCXX_USE_CXX11_ABI={abi}" in text
    assert "HAVE_BOOST" not in (folder / "include" / "config.h").read_text()
    assert "#define A 1" in (folder / "include" / "config.h").read_text()


def test_models_of_every_number_of_ports_have_a_name_of_their_own() -> None:
    names = {module.model_name(glif.nestml(3, "alpha", n)) for n in (2, 3)}
    assert names == {"glif3_psc_2_alpha", "glif3_psc_3_alpha"}
    assert glif.nestml(3, "alpha", 2).count("\nmodel ") == 1
