"""Brian2 on a GPU: the generated code, what it needs, and, where nvcc is, that it compiles."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import brian2  # noqa: F401  redirects warnings when it is imported: before a test looks at them
import numpy as np
import pytest
import reference_circuit as circuit

from converters import brian2_cuda, cuda_estimate, cuda_system, to_brian2
from converters.cuda_system import Card, Curand
from toolkit import Input, Network, Recording, Synapses
from toolkit.errors import InputError, MissingDependency, SimulationError
from toolkit.rng import poisson_counts, poisson_counts_cpp, stream_key

needs_brian2cuda = pytest.mark.skipif(
    importlib.util.find_spec("brian2cuda") is None,
    reason="needs brian2cuda: pip install 'striate[cuda]'",
)
CARD = Card("H200", "570.1", 143_771.0, 143_000.0, 9.0)
DT_MS = circuit.DT_MS


def _missing() -> str:
    try:
        cuda_system.need_tools()
    except MissingDependency as error:
        return str(error)
    return ""


def background(network: Network) -> Input:
    """A Poisson source for every neuron."""
    every, n = np.arange(network.n), network.n
    receptor = np.where(network.excitatory, 0, 2)
    synapses = Synapses(every, every, np.full(n, 8.0), np.full(n, 1.0), receptor)
    return Input(n, synapses, rate_Hz=1000.0)


@pytest.fixture(scope="module")
def small() -> tuple[Network, Recording]:
    """300 neurons of the reference circuit, with background."""
    network, drive = circuit.make(300, n_channels=100, in_degree=60, gain=2.0)
    return network.replace(inputs={**network.inputs, "background": background(network)}), drive


def generate(network: Network, folder: Path, **options) -> brian2_cuda.Generated:
    return brian2_cuda.generate(network, DT_MS, folder, {"drive": 100}, np.arange(2), **options)


@pytest.fixture(scope="module")
def code(
    small: tuple[Network, Recording], tmp_path_factory: pytest.TempPathFactory
) -> tuple[brian2_cuda.Generated, Path]:
    folder = tmp_path_factory.mktemp("Cuda")
    return generate(small[0], folder), folder


@needs_brian2cuda
def test_flags(code: tuple[brian2_cuda.Generated, Path]) -> None:
    makefile = (code[1] / "makefile").read_text()
    flags = re.search("^NVCCFLAGS = (.*)$", makefile, re.MULTILINE)
    assert flags
    for flag in ("-arch=sm_90", "-fmad=false"):
        assert flag in flags[1].split()
    # The last -std of nvcc and of gcc counts.
    assert re.findall(r"-std=\S+?\b\d\d", flags[1].split("-Xcompiler")[0])[-1] == "-std=c++17"
    assert re.findall(r"-std=\S+?\d\d", flags[1].split("-Xcompiler")[1]) == ["-std=c++17"]
    assert "fast_math" not in flags[1] and "fast-math" not in flags[1]


@needs_brian2cuda
def test_code(code: tuple[brian2_cuda.Generated, Path]) -> None:
    """One file with all: the Poisson function in the update, the run file read in main."""
    made, folder = code
    text = (folder / brian2_cuda.UNITED).read_text()
    for name in ("neurons_run_regularly_codeobject", "synapses_recurrent_0_pre_push_spikes"):
        assert len(re.findall(rf"^void _run_{name}\(\)$", text, re.MULTILINE)) == 1
    kernels = text.split("_run_kernel_neurons_run_regularly_codeobject(")
    assert re.search(r"c_0 = .*poisson_background\(key_hi_0, key_lo_0, ps_0, ", kernels[1])
    assert "__host__ __device__ static inline int poisson_background(" in text
    assert "float _ptr_array_neurons" not in text and "double* _ptr_array_neurons" in text
    assert "namespace {" not in text
    main = (folder / "main.cu").read_text()
    at = [main.index(word) for word in ("striate_run.bin", "set_from_command_line(args);", "/ 50")]
    assert at == sorted(at)
    assert "dev_dynamic_array_input_drive__timebins = _dynamic_array_input_drive__timebins" in main
    # The clock's name is that in brian2cuda's templates.
    assert "add(&defaultclock, _run_neurons_run_regularly_codeobject)" in main
    freed = set(re.findall(r"cudaFree\(brian::dev(_static_array_\w+)\)", main))
    assert freed == {
        file.name
        for file in (folder / "static_arrays").iterdir()
        if file.name.startswith("_static_array_")
    }
    kernels_use = re.findall(r"_static_array_\w+", "".join(_code_objects(folder)))
    assert not kernels_use
    assert set(made.files) == {"t", "i", "state"}


def _code_objects(folder: Path) -> Iterator[str]:
    for file in (folder / "code_objects").glob("*.cu"):
        yield file.read_text()


@needs_brian2cuda
def test_preferences_are_as_before_afterwards(
    small: tuple[Network, Recording], tmp_path: Path
) -> None:
    import brian2 as b2
    import brian2cuda  # noqa: F401
    from brian2.devices.device import get_device

    names = (*brian2_cuda.PREFERENCES, "devices.cuda_standalone.cuda_backend.compute_capability")
    before = {name: b2.prefs[name] for name in names}
    generate(small[0], tmp_path, compute_capability=8.6)
    assert {name: b2.prefs[name] for name in names} == before
    assert type(get_device()).__name__ == "RuntimeDevice"
    assert "-arch=sm_86" in (tmp_path / "makefile").read_text()


@needs_brian2cuda
@pytest.mark.parametrize("given", [3.5, 86.0])
def test_a_compute_capability_that_is_none(
    given: float, small: tuple[Network, Recording], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"compute_capability is that of a card.* got"):
        generate(small[0], tmp_path, compute_capability=given)


def test_options_of_other_devices(small: tuple[Network, Recording]) -> None:
    with pytest.raises(InputError, match="is of device='cuda_standalone'"):
        to_brian2(small[0], "runtime", compute_capability=9.0)  # type: ignore[call-overload]


# ---- the same counts ---------------------------------------------------------------------------


@pytest.mark.parametrize("mean", [0.25, 4.5])
def test_the_poisson_function_for_cuda(tmp_path: Path, mean: float) -> None:
    """Compiled for the host: whole numbers only, which are the same on a GPU."""
    if shutil.which("g++") is None:
        pytest.skip("g++ is not on the PATH")
    text = poisson_counts_cpp("draw", mean, cuda=True)
    assert not re.search(r"\b(double|float)\b|\d\.\d", text)
    key, sources, steps = stream_key(2, "cuda"), np.arange(50), np.arange(1, 400)
    (tmp_path / "draw.cpp").write_text(
        "#include <cstdint>\n#include <cstdio>\n#define __host__\n#define __device__\n"
        f"{text}\nint main() {{ for (int k = 1; k < 400; k++) for (int i = 0; i < 50; i++) "
        f"putchar(draw({key >> 31}, {key & (2**31 - 1)}, i, k)); }}\n"
    )
    subprocess.run(["g++", "-O1", "draw.cpp", "-o", "draw"], check=True, cwd=tmp_path)
    drawn = subprocess.run([tmp_path / "draw"], check=True, capture_output=True).stdout
    counts = poisson_counts(key, sources, steps, mean)
    assert np.array_equal(np.frombuffer(drawn, dtype=np.uint8).reshape(counts.shape), counts)


# ---- memory and advice -------------------------------------------------------------------------


@needs_brian2cuda
def test_memory_by_hand(
    small: tuple[Network, Recording], code: tuple[brian2_cuda.Generated, Path]
) -> None:
    network, memory = small[0], code[0].memory
    drive = network.inputs["drive"].synapses
    # The background is drawn in the neurons' update: it has no synapses on the card.
    n_synapses = len(network.synapses) + len(drive)
    assert memory.synapses == pytest.approx(n_synapses * 32 / 1e6)
    # Two slots, by the sign of the source; the drive arrives in the first.
    inhibitory = network.synapses.receptor % 2 == 1
    parts = [
        (300, network.synapses.delay_ms[~inhibitory]),
        (300, network.synapses.delay_ms[inhibitory]),
        (100, drive.delay_ms),
    ]
    n_bundles = sum(min(len(d), n * len(np.unique(np.round(d / DT_MS)))) for n, d in parts)
    assert memory.bundles == pytest.approx((n_bundles * 12 + 700 * 8) / 1e6)
    assert memory.heap == cuda_estimate.MIN_HEAP_MB
    assert memory.total == pytest.approx(
        memory.synapses + memory.bundles + memory.neurons + 128 + 600
    )
    assert "MB (derived: synapses" in str(memory)


@needs_brian2cuda
def test_memory_of_neurons_is_what_the_code_reserves(
    code: tuple[brian2_cuda.Generated, Path],
) -> None:
    text = (code[1] / "objects.cu").read_text()
    width = {"double": 8, "int32_t": 4, "int64_t": 8, "char": 1}
    sizes = dict(re.findall(r"const int brian::_num_(\w+) = (\d+);", text))
    reserved = {
        name: width[kind] * int(sizes[name])
        for name, kind in re.findall(
            r"cudaMalloc\(\(void\*\*\)&dev(_array_neurons_\w+)(?:\[0\])?, sizeof\((\w+)\)", text
        )
    }
    assert len(reserved) > 20
    assert code[0].memory.neurons * 1e6 == pytest.approx(sum(reserved.values()), rel=0.01)


@needs_brian2cuda
def test_memory_of_a_synapse_is_what_the_code_reserves(
    code: tuple[brian2_cuda.Generated, Path],
) -> None:
    """Per synapse: the arrays of objects.cu, and the list of numbers of the push kernel."""
    text = (code[1] / "objects.cu").read_text()
    vectors = re.findall(
        r"thrust::device_vector<(\w+)> brian::dev_dynamic_array_synapses_recurrent_0_(\w+);", text
    )
    width = {"double": 8, "float": 4, "int32_t": 4}
    of_synapse = {name: width[kind] for kind, name in vectors if not name.startswith("N_")}
    assert of_synapse == {"_synaptic_pre": 4, "_synaptic_post": 4, "w_syn": 4, "delay": 8}
    made_of = re.findall(
        r"cudaMalloc\(\(void\*\*\)&dev_array_synapses_recurrent_0_(sources|targets), "
        r"sizeof\(int32_t\)",
        text,
    )
    push = code[1] / "code_objects" / "before_run_synapses_recurrent_0_pre_push_spikes.cu"
    assert "size_t memory_synapse_ids = sizeof(int32_t) * syn_N;" in push.read_text()
    total = sum(of_synapse.values()) + 4 * len(made_of) + 4
    assert total == cuda_estimate.SYNAPSE_BYTES + cuda_estimate.SYNAPSE_START_BYTES


@needs_brian2cuda
def test_a_card_that_is_too_small(small: tuple[Network, Recording], tmp_path: Path) -> None:
    with pytest.raises(SimulationError, match=r"about 7\d\d MB .*K620 has 524 of 2,097 MB free"):
        generate(small[0], tmp_path, card=Card("K620", "470", 2000.0, 500.0, 5.0))
    assert not (tmp_path / "main.cu").exists()
    made = generate(small[0], tmp_path, card=CARD)
    cuda_estimate.check_fits(made.memory, None)


@needs_brian2cuda
def test_launches_and_advice(code: tuple[brian2_cuda.Generated, Path]) -> None:
    # Update, input (2), threshold (2), reset, spike and voltage monitors, and of each of the three
    # groups of synapses: advance the queue, push, deliver.
    assert code[0].launches == (17, 4)
    few, many = SimpleNamespace(n=12_000), SimpleNamespace(n=13_000)
    with pytest.warns(UserWarning, match=r"12,000 neurons are few.*some 12,500 neurons \(derived"):
        cuda_estimate.advise(few, 17, 4)  # type: ignore[arg-type]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cuda_estimate.advise(many, 17, 4)  # type: ignore[arg-type]


# ---- what is missing ---------------------------------------------------------------------------


def program(folder: Path, name: str, body: str) -> None:
    """An executable Python program."""
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text(f"#!{sys.executable}\nimport sys, os\n{body}\n")
    file.chmod(0o755)


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole PATH, with all tools, nvcc's toolkit with cuRAND, and a card."""
    bin_, toolkit = tmp_path / "bin", tmp_path / "toolkit"
    toolkit.mkdir()
    for name in ("curand.h", "libcurand.so"):
        (toolkit / name).touch()
    program(
        bin_,
        "nvcc",
        "print('Cuda compilation tools')\nprint()\nprint()\n"
        "print('Cuda compilation tools, release 13.0, V13.0.88')\n"
        f"print('#$ INCLUDES=\"-I{toolkit}\"')\nprint('#$ LIBRARIES=  \"-L{toolkit}\"')",
    )
    program(bin_, "g++", "pass")
    program(bin_, "make", "pass")
    program(bin_, "nvidia-smi", "print('H200, 570.1, 143771, 143000, 9.0')")
    monkeypatch.setenv("PATH", str(bin_))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    cuda_system.nvcc_version.cache_clear()
    return bin_


@needs_brian2cuda
@pytest.mark.parametrize(
    ("tool", "said"),
    [
        ("nvcc", r"nvcc is not on the PATH: install NVIDIA's CUDA toolkit"),
        ("g\\+\\+", r"needs g\+\+, .*apt-get install g\+\+ make"),
        ("make", r"needs make, .*apt-get install g\+\+ make"),
    ],
)
def test_no_compiler(tool: str, said: str, tools: Path, small: tuple[Network, Recording]) -> None:
    (tools / tool.replace("\\", "")).unlink()
    with pytest.raises(MissingDependency, match=said):
        to_brian2(small[0], "cuda_standalone", dt_ms=DT_MS)


def test_no_brian2cuda(
    tools: Path, small: tuple[Network, Recording], monkeypatch: pytest.MonkeyPatch
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "brian2cuda" else find(name)
    )
    with pytest.raises(MissingDependency, match=r"pip install 'striate\[cuda\]'"):
        to_brian2(small[0], "cuda_standalone", dt_ms=DT_MS)


@needs_brian2cuda
def test_curand_of_pip_and_none(
    tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cuda_system.need_tools() == Curand()
    (tmp_path / "toolkit" / "libcurand.so").unlink()
    nvidia = tmp_path / "site" / "nvidia"
    for part in ("include/curand.h", "lib/libcurand.so.10"):
        (nvidia / "cu13" / part).parent.mkdir(parents=True)
        (nvidia / "cu13" / part).touch()
    found = SimpleNamespace(submodule_search_locations=[str(nvidia)])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: found)
    monkeypatch.setattr("ctypes.util.find_library", lambda name: None)
    cu13 = nvidia / "cu13"
    assert cuda_system.need_tools() == Curand(cu13 / "include", cu13 / "lib" / "libcurand.so.10")
    shutil.rmtree(cu13)
    with pytest.raises(MissingDependency, match="pip install nvidia-curand"):
        cuda_system.need_tools()


def test_cards(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cuda_system.card() == CARD
    asked = "print(sys.argv[2], '570.1', 1, 1, 9.0, sep=', ')"
    program(tools, "nvidia-smi", asked)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,1")
    found = cuda_system.card()
    assert found and found.name == "3"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert cuda_system.card() is None
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    for body in ("print('No devices were found')", "sys.exit(9)"):
        program(tools, "nvidia-smi", body)
        assert cuda_system.card() is None
    with pytest.raises(MissingDependency, match=r"nvidia-smi shows no GPU.*cpp_standalone"):
        cuda_system.need_card()


# ---- compiling and running, by programs that stand for make and main ----------------------------

MAKE = """
import shutil
assert sys.argv[1:] == ["SRCS=striate.cu"], sys.argv
print("make was here", flush=True)
open("main", "w").write(open({main!r}).read())
os.chmod("main", 0o755)
"""
# Fires as many spikes as the run file has, at its steps; the ids are those of the sources.
MAIN = """#!{python}
import sys
import numpy as np
folder = sys.argv[2]
data = open(folder + "striate_run.bin", "rb").read()
n_steps, n = np.frombuffer(data[:16], "i8")
steps = np.frombuffer(data[16 : 16 + 4 * n], "i4")
ids = np.frombuffer(data[16 + 4 * n : 16 + 8 * n], "i4")
assert len(data) == 16 + 8 * n and n_steps == {n_steps}
for word in sys.argv[3:]:
    name, value = word.split("=")
    assert name.startswith("neurons.") and value == value.lower(), word
    if name == "neurons.P33":
        assert (np.fromfile(value) == 0.5).all()
print("completed 1.0")
(steps * {dt_s}).tofile(folder + "{t}")
ids.tofile(folder + "{i}")
"""


@needs_brian2cuda
def test_runs(small: tuple[Network, Recording], tools: Path, tmp_path: Path) -> None:
    """What goes to a compiled program, and what comes back; compiled once for the same code."""
    network, drive = small
    main = tmp_path / "main.py"
    program(tools, "make", MAKE.format(main=str(main)))
    main.write_text("not yet")
    with pytest.warns(UserWarning, match="300 neurons are few for a GPU"):
        simulation = to_brian2(
            network, "cuda_standalone", dt_ms=DT_MS, directory=tmp_path / "A", compute_capability=8
        )
    assert "make was here" in (tmp_path / "A" / "build.log").read_text()
    files = simulation.program.files
    n_steps = 1000 + simulation.program.lag_steps
    (tmp_path / "A" / "main").write_text(
        MAIN.format(python=sys.executable, n_steps=n_steps, dt_s=DT_MS / 1000, **files)
    )
    spikes = simulation.run(drive, seed=3, duration_ms=100, values={"P33": np.full(300, 0.5)})
    early = drive.spike_times_ms <= 100
    lag = simulation.program.lag_steps
    expected = drive.spike_times_ms[early] - lag * DT_MS
    assert spikes.spike_times_ms == pytest.approx(expected[expected > 0])
    program(tools, "nvidia-smi", "print('No devices were found')")
    with pytest.raises(MissingDependency, match="nvidia-smi shows no GPU"):
        simulation.run(drive)
    program(tools, "make", "sys.exit('make is not needed for what was compiled')")
    again = tmp_path / "B"
    with pytest.warns(UserWarning, match="few"):
        to_brian2(network, "cuda_standalone", dt_ms=DT_MS, directory=again, compute_capability=8)
    assert (again / "main").read_text() == "not yet"
    assert os.access(again / "main", os.X_OK)


@needs_brian2cuda
def test_a_failing_compiler(small: tuple[Network, Recording], tools: Path, tmp_path: Path) -> None:
    program(tools, "make", "print('x.cu(3): error: no such thing\\nmake: Error 1'); sys.exit(2)")
    with (
        pytest.warns(UserWarning, match="few"),
        pytest.raises(SimulationError, match=r"x\.cu\(3\): error: no such thing \(log: ") as raised,
    ):
        to_brian2(small[0], "cuda_standalone", dt_ms=DT_MS)
    log = Path(str(raised.value).split("log: ")[1].rstrip(")"))
    assert "make: Error 1" in log.read_text()
    log.unlink()
    assert not list((tmp_path / "cache").rglob("*"))


@pytest.mark.slow
def test_compiles(small: tuple[Network, Recording], tmp_path: Path, monkeypatch) -> None:
    """By nvcc, with all of the code; on a machine with a GPU the spikes are the known ones, too."""
    if _missing():
        pytest.skip(_missing())
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    network, drive = small
    with pytest.warns(UserWarning, match="few"):
        simulation = to_brian2(network, "cuda_standalone", dt_ms=DT_MS, directory=tmp_path / "out")
    assert (tmp_path / "out" / "main").stat().st_size > 1e6
    if cuda_system.card() is None:
        with pytest.raises(MissingDependency, match="nvidia-smi shows no GPU"):
            simulation.run(drive)
        pytest.skip("compiled; there is no GPU to run it on")
    spikes = simulation.run(drive, seed=5)
    known = to_brian2(network, "runtime", dt_ms=DT_MS).run(drive, seed=5, target="numpy")
    assert np.array_equal(circuit.steps_and_ids(spikes), circuit.steps_and_ids(known))
