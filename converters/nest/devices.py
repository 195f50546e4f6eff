"""Nodes of our own in NEST, of ``devices.cpp``: one draws Poisson input, one records spikes.

NEST's own devices would do, but keep 31 kB for each neuron or source that they are connected with
(a block of 1,024 synapses), and look through a hundred synapse models at every spike.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from converters.nest import kernel, shim
from converters.nest.once import alone
from toolkit.cache import cache_folder
from toolkit.errors import MissingDependency, SimulationError
from toolkit.files import whole_folder

SOURCE = Path(__file__).with_name("devices.cpp")
POISSON, RECORDER = "striate_poisson", "striate_recorder"
MODULE = "striate_devices_module"
COMPILER = "g++"


def build() -> Path:
    """Compile them, unless they are in the user's cache, and give the module that has them.

    ``nest.Install`` wants its path without the suffix. Ten seconds the first time.

    Raises
    ------
    MissingDependency : NEST, its headers or g++ is not there
    SimulationError : compiling failed; the message has the first error and where the log is
    """
    nest = kernel.load()
    source = SOURCE.read_text(encoding="utf-8")
    about = [nest.__file__, str(nest.build_info), _said([COMPILER, "--version"]), shim.FLAGS]
    key = hashlib.sha256(json.dumps([*about, source]).encode()).hexdigest()[:16]
    folder = cache_folder() / "nest" / f"devices_{key}"
    module = folder / f"{MODULE}.so"
    with alone(folder):
        if not module.is_file():
            with (
                tempfile.TemporaryDirectory(prefix="striate_nest_") as place,
                whole_folder(folder, lambda _: None) as content,
            ):
                _compile(nest, Path(place), content / module.name)
    return module


def _compile(nest: Any, place: Path, module: Path) -> None:
    prefix = shim.prefix(nest, COMPILER, place / "nest")
    config = str(prefix / "bin" / "nest-config")
    # A kernel with MPI has a compiler of its own, which knows where MPI's headers are.
    compiler, flags, includes = (
        _said([config, option]).split() for option in ("--compiler", "--cflags", "--includes")
    )
    command = [*compiler, "-shared", "-fPIC", *flags, *includes, str(SOURCE), "-o", str(module)]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        handle, log = tempfile.mkstemp(prefix="striate_nest_", suffix=".log")
        with open(handle, "w", encoding="utf-8") as file:
            file.write(f"{' '.join(command)}\n{done.stderr}")
        errors = [line for line in done.stderr.splitlines() if "error" in line]
        raise SimulationError(
            f"compiling {SOURCE.name} for NEST failed: "
            f"{errors[0] if errors else 'it does not say why'} (log: {log})"
        )


def _said(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        raise MissingDependency(
            f"compiling for NEST needs {command[0]}, which does not run ({error}); on Debian: "
            "apt-get install g++"
        ) from error
