"""A brian2cuda program for an NVIDIA GPU, compiled once and run many times.

Runs go in by the same two doors as in C++ (`converters.brian2_standalone`): brian2cuda's ``main``
copies variables given on the command line, and what our inserted code reads, to the card.

The update is compiled in double precision without fused multiply-adds, so a step of a neuron is
that of the CPU bit for bit. Arrivals at a neuron in one step are added by atomic operations in any
order: sums are exact, and spikes identical, where weights are multiples of a power of two; with
other weights the last bit can differ from run to run, which shifts a spike where a potential comes
within 1e-13 mV of the threshold.
"""

from __future__ import annotations

import gc
import hashlib
import os
import re
import shutil
import subprocess
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from converters import cuda_estimate, cuda_system
from converters.brian2_model import Brian2Objects, build
from converters.brian2_poisson import PoissonTerm
from converters.brian2_standalone import (
    RUN_FILE,
    Program,
    compile_error,
    quiet,
    result_files,
    run_in_parts,
)
from converters.cuda_system import Card, Curand
from toolkit import progress
from toolkit.cache import cache_folder
from toolkit.errors import InputError, SimulationError
from toolkit.files import whole_file
from toolkit.network import Network

UNITED = "striate.cu"
KEPT = 20  # compiled programs in the cache, some 2 MB each
WITHOUT_CARD = 9.0  # compute capability compiled for where there is no card: H100, H200

_CUDA = "devices.cuda_standalone"
PREFERENCES: dict[str, Any] = {
    # Without this brian2cuda asks nvidia-smi, and stops where there is none. The card is always the
    # first visible one, whose memory brian2cuda asks for, too.
    f"{_CUDA}.cuda_backend.detect_gpus": False,
    f"{_CUDA}.cuda_backend.gpu_id": 0,
    # CUDA 13's thrust needs C++17; the makefile has C++11 before these, gcc's preference behind.
    # No -use_fast_math, and no fused multiply-adds: they round once where the CPU rounds twice.
    f"{_CUDA}.cuda_backend.extra_compile_args_nvcc": ["-w", "-std=c++17", "-fmad=false"],
    "codegen.cpp.extra_compile_args_gcc": ["-w", "-O3", "-std=c++17"],
    "codegen.loop_invariant_optimisations": False,
    "devices.cpp_standalone.openmp_threads": 0,
    "core.default_float_dtype": np.float64,
    # Delays differ between synapses, so arrivals wait in queues. One entry a bundle (synapses of a
    # source with equal delay) instead of one a synapse: about twenty times fewer to push in V1.
    f"{_CUDA}.push_synapse_bundles": True,
    # Bundles differ much in size. With brian2cuda's default, a thread for each synapse of the
    # largest, most would idle; a larger bundle than the mean is done in turns.
    f"{_CUDA}.threads_per_synapse_bundle": "ceil({mean})",
    # Targets in one part (brian2cuda's default). More parts would use more of the card in a step,
    # but each part splits the bundles, and the program copies them one by one when it starts.
    f"{_CUDA}.parallel_blocks": 1,
    # Targets with several synapses of a source would be done one after the other without atomics.
    f"{_CUDA}.use_atomics": True,
}


@dataclass(frozen=True)
class Generated:
    """CUDA code of a network in a folder, not compiled."""

    terms: list[PoissonTerm]
    lag_steps: int
    files: dict[str, str]
    memory: cuda_estimate.Memory
    launches: tuple[int, int]


def compile_program(
    network: Network,
    dt_ms: float,
    directory: Path,
    external: Mapping[str, int],
    record_voltage: np.ndarray,
    compute_capability: float | None = None,
) -> Program:
    """Generate and compile the CUDA program of `network` in `directory`.

    Without a card the program is compiled for `compute_capability`, by default 9.0, to be run
    elsewhere. What was compiled before of the same code comes from the cache.

    Raises
    ------
    MissingDependency : brian2cuda, nvcc, make, g++ or cuRAND is not there
    SimulationError : the card has too little memory, or the compiler failed
    """
    start = time.perf_counter()
    curand, card = cuda_system.need_tools(), cuda_system.card()
    made = generate(
        network, dt_ms, directory, external, record_voltage, compute_capability, card, curand
    )
    cuda_estimate.advise(network, *made.launches)
    _compile(directory, curand)
    return Program(
        directory=directory,
        inputs=tuple(external),
        n_sources=dict(external),
        files=made.files,
        terms=made.terms,
        n_voltage=len(record_voltage),
        lag_steps=made.lag_steps,
        dt_ms=dt_ms,
        compile_s=time.perf_counter() - start,
        gpu_MB=made.memory.total,
    )


def generate(
    network: Network,
    dt_ms: float,
    directory: Path,
    external: Mapping[str, int],
    record_voltage: np.ndarray,
    compute_capability: float | None = None,
    card: Card | None = None,
    curand: Curand | None = None,
) -> Generated:
    """Write the CUDA code of `network`; needs brian2cuda, no compiler and no card.

    Raises
    ------
    InputError : a compute capability that no card has
    SimulationError : `card` has too little memory
    """
    import brian2 as b2
    import brian2cuda  # noqa: F401  registers the device and its preferences
    from brian2.devices.device import get_device, reset_device

    capability = compute_capability or (card.compute_capability if card else WITHOUT_CARD)
    if not 5.0 <= capability < 20:
        raise InputError(f"compute_capability is that of a card, 5.0 to 12.1; got {capability}")
    directory.mkdir(parents=True, exist_ok=True)
    gc.collect()  # while earlier objects live, Brian2 gives names a number: other code
    b2.set_device("cuda_standalone", directory=str(directory), build_on_run=False)
    try:
        device = get_device()  # b2.device is a proxy: attributes set on it are lost
        # brian2cuda's code of equal delays names `defaultclock`: a clock of another name would not
        # compile.
        clock = device.defaultclock
        clock.dt = dt_ms * b2.ms
        dummy = np.array([1]), np.array([0]), 1
        with _preferences(b2.prefs, compute_capability=float(capability)):
            objects = build(
                network, clock, dt_ms, dict.fromkeys(external, dummy), True, record_voltage
            )
            # In the order of a set, the code would differ from process to process.
            monitor = objects.spikes.template_kwds
            monitor["record_variables"] = dict(sorted(monitor["record_variables"].items()))
            needed = cuda_estimate.memory(network, dt_ms, cuda_estimate.neuron_bytes(objects))
            cuda_estimate.check_fits(needed, card)
            b2.prefs[f"{_CUDA}.cuda_backend.gpu_heap_size"] = needed.heap
            if curand and curand.library:
                device.extra_link_args = [f"-Wl,-rpath,{curand.library.parent}"]
            device.insert_code("before_network_run", _read_run_file(device, objects))
            device.insert_code("after_network_run", run_in_parts(objects.net.name, dt_ms))
            objects.net.run(0 * b2.second)
            device.insert_code("after_start", _free_copies(device.static_arrays))
            with warnings.catch_warnings():  # of setuptools' private parts, which Brian2 uses
                warnings.simplefilter("ignore")
                quiet(device.build, directory=str(directory), compile=False, run=False)
        sources = [directory / file for file in sorted(device.writer.source_files)]
        files = result_files(device, objects)
    finally:
        b2.device.reinit()
        reset_device()
    (directory / UNITED).write_text(_united(sources, directory), encoding="utf-8")
    launches = cuda_estimate.launches(sources)
    return Generated(objects.terms, objects.lag_steps, files, needed, launches)


@contextmanager
def _preferences(prefs: Any, compute_capability: float) -> Iterator[None]:
    """Brian2's preferences as brian2cuda needs them; as they were before afterwards."""
    wanted = {
        **{name: list(v) if isinstance(v, list) else v for name, v in PREFERENCES.items()},
        f"{_CUDA}.cuda_backend.compute_capability": compute_capability,
        f"{_CUDA}.cuda_backend.gpu_heap_size": cuda_estimate.MIN_HEAP_MB,
    }
    if shutil.which("nvcc") is None:  # code can be written without it, if it need not be found
        wanted |= {
            f"{_CUDA}.cuda_backend.detect_cuda": False,
            f"{_CUDA}.cuda_backend.cuda_path": "/usr/local/cuda",
            f"{_CUDA}.cuda_backend.cuda_runtime_version": 13.0,
        }
    before = {name: prefs[name] for name in wanted}
    try:
        for name, value in wanted.items():
            prefs[name] = value
        yield
    finally:
        for name, value in before.items():
            prefs[name] = value


def _read_run_file(device: Any, objects: Brian2Objects) -> str:
    """C++ that reads the run file as in `converters.brian2_standalone`, and copies to the card."""
    lines = [
        "int64_t striate_n_steps = 0;",
        f'std::ifstream striate_file(brian::results_dir + "{RUN_FILE}", std::ios::binary);',
        "striate_file.read((char*)&striate_n_steps, sizeof(int64_t));",
    ]
    for group in objects.inputs.values():
        here, there = (
            [
                device.get_array_name(group.variables[v], access_data=False, prefix=prefix)
                for v in ("_timebins", "neuron_index", "_lastindex")
            ]
            for prefix in ("", "dev")
        )
        lines.append("{ int64_t n = 0; striate_file.read((char*)&n, sizeof(int64_t));")
        for host, card in zip(here[:2], there[:2], strict=True):
            lines += [
                f"{host}.resize(n);",
                f"striate_file.read((char*)thrust::raw_pointer_cast({host}.data()), 4 * n);",
                f"THRUST_CHECK_ERROR({card} = {host});",
            ]
        copy = f"cudaMemcpy({there[2]}, {here[2]}, 4, cudaMemcpyHostToDevice)"
        lines.append(f"{here[2]}[0] = 0; CUDA_SAFE_CALL({copy}); }}")
    lines.append(
        'if (!striate_file) { std::cerr << "the run file is incomplete" << std::endl; return 3; }'
    )
    return "\n".join(lines)


def _free_copies(static_arrays: Mapping[str, np.ndarray]) -> str:
    """C++ that frees the values read from files on the card, 20 bytes a synapse.

    Only the host reads them, when it sets the variables; brian2cuda would keep them to the end.
    """
    names = [name for name in static_arrays if name.startswith("_static_array_")]
    return "\n".join(f"CUDA_SAFE_CALL(cudaFree(brian::dev{name}));" for name in names)


def _united(sources: list[Path], directory: Path) -> str:
    """All of the generated code as one file: compiled in a fifth of the time.

    Most of the time of each file is thrust's headers, which all of them include. Every file has the
    same helper functions in a namespace without a name; here each of these gets a name, and the
    functions of the file look there.
    """
    parts = []
    for file in sources:
        text, name = file.read_text(encoding="utf-8"), str(file.relative_to(directory))
        inside = f"in_{re.sub(r'[^0-9a-zA-Z]', '_', name)}"
        text = text.replace("namespace {", f"namespace {inside} {{")
        both = f"using namespace brian; using namespace {inside};"
        text = text.replace("using namespace brian;", both)
        if file.name.startswith("before_run_"):  # whose helpers are in no namespace
            text = text.replace("///// Support code /////", f"namespace {inside} {{")
            text = text.replace("\nvoid _before_run_", "\n}\nvoid _before_run_")
        # A search for synapses of the same two neurons, in a tree of all synapses (48 bytes each)
        # on the host. Its result only matters without atomic operations.
        text = text.replace("for (int _i=0; _i<newsize; _i++)", "for (int _i=0; _i<0; _i++)")
        parts.append(f'namespace {inside} {{}}\n#line 1 "{name}"\n{text}')
    return "\n".join(parts)


def _compile(directory: Path, curand: Curand) -> None:
    """Make ``main``, or take it from the cache."""
    kept = _cached(directory)
    if kept.is_file():
        shutil.copy2(kept, directory / "main")
        kept.touch()
        return
    environment = dict(os.environ)
    if curand.include and curand.library:
        # The linker looks for libcurand.so; pip's package has it with its version number only.
        libraries = directory / "libraries"
        libraries.mkdir(exist_ok=True)
        link = libraries / "libcurand.so"
        link.unlink(missing_ok=True)
        link.symlink_to(curand.library)
        for name, folder in (("CPATH", curand.include), ("LIBRARY_PATH", libraries.resolve())):
            before = environment.get(name)
            environment[name] = f"{folder}:{before}" if before else str(folder)
    with (
        open(directory / "build.log", "a") as log,
        progress.bar(1, "nvcc (half a minute)", " program") as shown,
        subprocess.Popen(
            ["make", f"SRCS={UNITED}"],
            cwd=directory,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
        ) as process,
    ):
        try:
            while process.poll() is None:
                time.sleep(0.1)
                shown.refresh()
            shown.update(1)
        finally:
            process.kill()
    if process.returncode or not (directory / "main").is_file():
        raise compile_error(directory, SimulationError(f"make ended with {process.returncode}"))
    kept.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(kept) as aside:
        shutil.copyfile(directory / "main", aside)
    kept.chmod(0o755)
    old = sorted(kept.parent.iterdir(), key=lambda file: file.stat().st_mtime)
    for file in old[:-KEPT]:
        file.unlink(missing_ok=True)


def _cached(directory: Path) -> Path:
    """Where the program of exactly this code, these flags and this compiler is kept."""
    sha = hashlib.sha256(str(cuda_system.nvcc_version()).encode())
    makefile = (directory / "makefile").read_text(encoding="utf-8")
    headers = re.findall("^H_SRCS = (.*)$", makefile, re.MULTILINE)[0].split()
    for name in ("makefile", UNITED, *headers):
        sha.update(f"\0{name}\0".encode() + (directory / name).read_bytes())
    return cache_folder() / "cuda" / sha.hexdigest()[:32]
