"""What a program on an NVIDIA GPU needs of the machine: the compiler, cuRAND, the card."""

from __future__ import annotations

import ctypes.util
import functools
import importlib.util
import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from toolkit.errors import MissingDependency

INSTALL_NVCC = (
    "the CUDA compiler nvcc is not on the PATH: install NVIDIA's CUDA toolkit (on Debian: apt-get "
    "install nvidia-cuda-toolkit) and put its bin folder on the PATH"
)
# The name of the package says which CUDA it is of: none from 13 on, -cu12 before.
INSTALL_CURAND = (
    "cuRAND, which every brian2cuda program is linked with, is neither in the CUDA toolkit of nvcc "
    "nor installed by pip: pip install nvidia-curand (CUDA 12: nvidia-curand-cu12)"
)
INSTALL_CARD = (
    "nvidia-smi shows no GPU: running needs an NVIDIA card and its driver (on Debian: apt-get "
    "install nvidia-driver). The program can be compiled here and run elsewhere; or use "
    "device='cpp_standalone'"
)
LONGEST_S = 60.0  # to wait for a program's answer


@dataclass(frozen=True)
class Card:
    """A GPU: name, driver, memory in MB (MiB, as nvidia-smi has it), compute capability."""

    name: str
    driver: str
    total_MB: float
    free_MB: float
    compute_capability: float


@dataclass(frozen=True)
class Curand:
    """Where cuRAND's headers and library are; both None if nvcc finds it by itself."""

    include: Path | None = None
    library: Path | None = None


def card() -> Card | None:
    """The card that a CUDA program gets: the first that ``CUDA_VISIBLE_DEVICES`` allows."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    which = visible.split(",")[0].strip() if visible is not None else "0"
    if shutil.which("nvidia-smi") is None or which in ("", "-1"):
        return None
    asked = "name,driver_version,memory.total,memory.free,compute_cap"
    said = _run("nvidia-smi", "-i", which, f"--query-gpu={asked}", "--format=csv,noheader,nounits")
    line = (said or "").partition("\n")[0]
    try:
        name, driver, total, free, capability = (part.strip() for part in line.split(","))
        return Card(name, driver, float(total), float(free), float(capability))
    except ValueError:  # "No devices were found", or a driver too old for a question
        return None


def need_card() -> Card:
    """`card`, or `MissingDependency` that says what to do."""
    found = card()
    if found is None:
        raise MissingDependency(INSTALL_CARD)
    return found


def need_tools() -> Curand:
    """Where cuRAND is, if all that compiling takes is there.

    Raises
    ------
    MissingDependency : brian2cuda, nvcc, g++, make or cuRAND is not there; says how to get it
    """
    if importlib.util.find_spec("brian2cuda") is None:
        raise MissingDependency(
            "the package 'brian2cuda' is not installed; install it with: pip install "
            "'striate[cuda]' (with Brian2 2.8 on Python 3.11 it is brian2cuda 1.0a7, with Brian2 "
            "2.10 on 3.12 1.0b1)"
        )
    if shutil.which("nvcc") is None:
        raise MissingDependency(INSTALL_NVCC)
    for tool in ("g++", "make"):
        if shutil.which(tool) is None:
            raise MissingDependency(
                f"device 'cuda_standalone' needs {tool}, which is not on the PATH; on Debian: "
                "apt-get install g++ make"
            )
    found = curand()
    if found is None:
        raise MissingDependency(INSTALL_CURAND)
    return found


@functools.lru_cache
def nvcc_version() -> str | None:
    """The release of nvcc, as ``13.0``; None without nvcc."""
    said = _run("nvcc", "--version") or ""
    release = re.search(r"release (\d+\.\d+)", said)
    return release.group(1) if release else None


def curand() -> Curand | None:
    """cuRAND of nvcc's own toolkit, else pip's; None if there is neither."""
    said = _run("nvcc", "--dryrun", "-x", "cu", os.devnull) or ""
    includes = re.findall(r'"-I([^"]+)"', "".join(re.findall(r"#\$ INCLUDES=(.*)", said)))
    libraries = re.findall(r'"-L([^"]+)"', "".join(re.findall(r"#\$ LIBRARIES=(.*)", said)))
    # Debian's package has the headers in /usr/include, which nvcc does not mention.
    headers = any(Path(folder, "curand.h").is_file() for folder in (*includes, "/usr/include"))
    found = any(Path(folder, "libcurand.so").exists() for folder in libraries)
    if headers and (found or ctypes.util.find_library("curand")):
        return Curand()
    spec = importlib.util.find_spec("nvidia")
    for root in (spec.submodule_search_locations or ()) if spec else ():
        # nvidia/cu13/ holds all of CUDA 13, nvidia/curand/ cuRAND of CUDA 12 and before.
        for header in sorted(Path(root).glob("*/include/curand.h")):
            for library in sorted(header.parents[1].glob("lib*/libcurand.so*")):
                return Curand(header.parent, library)
    return None


def _run(*command: str) -> str | None:
    """What a program prints, errors included; None if there is none or it fails."""
    try:
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=LONGEST_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
