"""``striate doctor``: which simulators, compilers and GPUs are here, and how to get the others."""

from __future__ import annotations

import functools
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata

import typer

LONGEST_S = 60.0  # to wait for a program's answer


@dataclass(frozen=True)
class Part:
    """Something that a simulator needs: `look` gives what is there, or None; `fix` how to get it.

    `look` may raise `Broken`.
    """

    name: str
    look: Callable[[], str | None]
    fix: str


class Broken(Exception):
    """Installed, but it does not work."""


def doctor() -> None:
    """Say which simulators, compilers, GPUs and versions are here, and how to get what is missing.

    Example: striate doctor
    """
    from toolkit.runs import versions

    memory_GB = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    typer.echo(
        f"striate {versions()['striate']}, Python {platform.python_version()}, "
        f"{len(os.sched_getaffinity(0))} processors, {memory_GB:.0f} GB memory"
    )
    found: dict[str, tuple[str | None, str]] = {}
    for use, needed in USES.items():
        for name in needed:
            if name not in found:
                found[name] = _found(PARTS[name])
        missing = [name for name in needed if found[name][0] is None]
        typer.echo(f"\n{'yes' if not missing else 'no ':3}  {use}")
        for name in needed:
            here, trouble = found[name]
            typer.echo(f"       {name}: {here}" if here else f"     - {name}: {trouble}")


def _found(part: Part) -> tuple[str | None, str]:
    """What is there, or None and what to do about it."""
    try:
        here = part.look()
    except Broken as error:
        return None, f"does not work: {error}"
    return here, f"missing; {part.fix}"


def _answer(*command: str) -> str | None:
    """What a program prints; None if there is none."""
    if shutil.which(command[0]) is None:
        return None
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=LONGEST_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Broken(str(error)) from error
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise Broken(said[-1] if said else f"it ends with code {done.returncode}")
    return done.stdout


def _program(name: str, pattern: str = r"\d+\.\d+(\.\d+)?") -> Part:
    def look() -> str | None:
        said = _answer(name, "--version")
        if said is None:
            return None
        version = re.search(pattern, said)
        return f"{version.group() if version else 'of unknown version'} ({shutil.which(name)})"

    return Part(name, look, f"on Debian: apt-get install {_DEBIAN.get(name, name)}")


def _package(name: str, imported: str, extra: str) -> Part:
    """A Python package that is imported to see whether it works, in a process of its own."""

    def look() -> str | None:
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            return None
        _answer(sys.executable, "-c", f"import {imported}")
        return version

    return Part(name, look, f"pip install '{extra}'")


@functools.lru_cache
def _nest() -> dict[str, object] | None:
    """How NEST was built; None without NEST."""
    try:
        metadata.version("nest-simulator")
    except metadata.PackageNotFoundError:
        # Built from source, it is no package that pip knows.
        import importlib.util

        if importlib.util.find_spec("nest") is None:
            return None
    ask = "import nest, json; print(json.dumps(nest.build_info, default=str))"
    said = _answer(sys.executable, "-c", ask)
    return json.loads(said.strip().splitlines()[-1]) if said else None


def _nest_version() -> str | None:
    info = _nest()
    if info is None:
        return None
    threads = "threads" if info.get("have_threads") else "no threads"
    return f"{info.get('version')} ({threads}, {'MPI' if info.get('have_mpi') else 'no MPI'})"


def _nest_mpi() -> str | None:
    info = _nest()
    return "yes" if info and info.get("have_mpi") else None


def _brian2cuda() -> str | None:
    """brian2cuda with the Brian2 that it is for: each of its releases takes one of Brian2's."""
    here = _package("brian2cuda", "brian2cuda", "").look()
    if here is None:
        return None
    return f"{here} (Brian2 {metadata.version('brian2')}, Python {platform.python_version()})"


def _curand() -> str | None:
    try:
        from converters import cuda_system
    except ImportError as error:  # of what the converters need, whose own line says so
        raise Broken(f"it cannot be looked for: {error}") from error
    found = cuda_system.curand()
    if found is None:
        return None
    return str(found.library) if found.library else "in the toolkit of nvcc"


def _gpu() -> str | None:
    said = _answer("nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv")
    cards = said.strip().splitlines()[1:] if said else []
    return "; ".join(cards) or None


_DEBIAN = {"nvcc": "nvidia-cuda-toolkit", "mpirun": "openmpi-bin"}
PARTS = {
    part.name: part
    for part in (
        _package("brian2", "brian2", "striate"),
        _package("torch", "torch", "striate"),
        _package("nestml", "pynestml", "striate[nest]"),
        _package("mpi4py", "mpi4py", "striate[mpi]"),
        Part("brian2cuda", _brian2cuda, "pip install 'striate[cuda]'"),
        Part("cuRAND", _curand, "pip install nvidia-curand (CUDA 12: nvidia-curand-cu12)"),
        _program("g++"),
        _program("make"),
        _program("cmake"),
        _program("nvcc", r"release \d+\.\d+"),
        _program("mpirun"),
        Part("nest-simulator", _nest_version, "pip install 'striate[nest]'"),
        Part(
            "NEST with MPI",
            _nest_mpi,
            "pip's NEST has no MPI: build NEST from source with cmake -Dwith-mpi=ON",
        ),
        Part(
            "GPU",
            _gpu,
            "nvidia-smi shows none: it takes an NVIDIA card and its driver, on Debian: apt-get "
            "install nvidia-driver",
        ),
    )
}
# What the simulators need.
USES = {
    "spikes in Brian2, interpreted: to_brian2(network)": ("brian2",),
    "spikes in Brian2, compiled: to_brian2(network, 'cpp_standalone')": ("brian2", "g++", "make"),
    "spikes in NEST: to_nest(network)": ("nest-simulator",),
    "spikes in NEST, of NESTML models: to_nest(network, 'nestml')": (
        *("nest-simulator", "nestml", "cmake", "make", "g++"),
    ),
    "spikes in NEST on several machines: mpirun": (
        "nest-simulator",
        "NEST with MPI",
        "mpirun",
        "mpi4py",
    ),
    "spikes in Brian2, compiled for a GPU: to_brian2(network, 'cuda_standalone')": (
        *("brian2", "brian2cuda", "nvcc", "cuRAND", "g++", "make", "GPU"),
    ),
    "rates in PyTorch: to_rate(network)": ("torch",),
}
