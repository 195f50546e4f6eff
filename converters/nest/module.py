"""A NESTML model compiled to a module that NEST loads, once for all runs.

Kept in the user's cache under a hash of all that it depends on: the model, NEST, NESTML, the
compiler. A file that is locked while one process compiles makes the others wait for it.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Any

from converters.nest import kernel, once, processes, shim
from toolkit.cache import cache_folder
from toolkit.errors import DataError, MissingDependency, SimulationError, require
from toolkit.files import whole_folder

TOOLS = {"cmake": "cmake", "make": "make", "g++": "g++"}  # and Debian's packages of them
# PyNESTML keeps what it does in module-level state, and writes to the terminal: it has a process
# of its own. It only says by its result that a model had errors and was left out.
_GENERATE = """
import json, sys
from pynestml.frontend.pynestml_frontend import generate_target
sys.exit(bool(generate_target(**json.loads(sys.argv[1]))))
"""


def build(text: str, solver: str = "rk45") -> Path:
    """Compile the text of a NESTML model, and give the module that has it.

    ``nest.Install`` wants its path without the suffix. Some ten seconds the first time. `solver` is
    NESTML's of the equations that it cannot solve exactly, "rk45" or "forward-Euler".

    Raises
    ------
    DataError : no model in the text, or one in which NESTML finds an error; the message has the
        first
    MissingDependency : NEST, NESTML, cmake, make or g++ is not there
    SimulationError : compiling failed; the message has the first error and where the log is
    """
    nest = kernel.load()
    require("pynestml", "striate[nest]")
    compiler = _tools()["g++"]
    key = _key(nest, compiler, text, solver)
    name = f"striate_{key[:16]}_module"
    folder = cache_folder() / "nest" / key[:16]
    module = folder / f"{name}.so"
    with once.alone(folder):
        if not module.is_file():
            with (
                tempfile.TemporaryDirectory(prefix="striate_nestml_") as place,
                whole_folder(folder, lambda _: None) as content,
            ):
                made = _compile(nest, compiler, text, solver, name, Path(place))
                shutil.copy(made, content / module.name)
    return module


def model_name(text: str) -> str:
    """The name of the model in a NESTML text.

    >>> model_name("model lif_neuron:\\n    state:\\n")
    'lif_neuron'
    """
    found = re.findall(r"^\s*model\s+(\w+)\s*:", text, flags=re.MULTILINE)
    if len(found) != 1:
        raise DataError(f"a NESTML text with one model is needed; there are {len(found)}")
    return found[0]


def _tools() -> dict[str, str]:
    found = {tool: shutil.which(tool) for tool in TOOLS}
    missing = [tool for tool, path in found.items() if path is None]
    if missing:
        raise MissingDependency(
            f"compiling NESTML models needs {', '.join(missing)}, not on the PATH; on Debian: "
            f"apt-get install {' '.join(TOOLS[tool] for tool in missing)}. Or use model='builtin'"
        )
    return {tool: path for tool, path in found.items() if path is not None}


def _key(nest: Any, compiler: str, text: str, solver: str) -> str:
    version = subprocess.run(
        [compiler, "--version"], capture_output=True, text=True, check=False
    ).stdout
    parts = [nest.__file__, str(nest.build_info), metadata.version("nestml"), version, shim.FLAGS]
    return hashlib.sha256(json.dumps([*parts, text, solver]).encode()).hexdigest()


def _compile(nest: Any, compiler: str, text: str, solver: str, name: str, place: Path) -> Path:
    """The compiled module, in `place`."""
    model = model_name(text)
    source, target, installed = (place / part for part in ("m.nestml", "target", "installed"))
    source.write_text(text, encoding="utf-8")
    nest_prefix = shim.prefix(nest, compiler, place / "nest")
    arguments = {
        "input_path": str(source),
        "target_platform": "NEST",
        "target_path": str(target),
        "install_path": str(installed),
        "module_name": name,
        "logging_level": "WARNING",
        "codegen_opts": {"nest_path": str(nest_prefix), "numeric_solver": solver},
    }
    done = subprocess.run(
        [sys.executable, "-c", _GENERATE, json.dumps(arguments)],
        cwd=place,
        env=processes.outside(os.environ) | {"CXX": compiler, "PYNEST_QUIET": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if not (target / f"{model}.cpp").is_file():  # PyNESTML leaves out a model that has errors
        raise DataError(
            f"NESTML refuses the model {model}: {_first(done.stdout, r'ERROR')}. "
            f"All it said: {_kept(done.stdout)}"
        )
    module = installed / f"{name}.so"
    if done.returncode or not module.is_file():
        raise SimulationError(
            f"compiling {model} for NEST failed: {_first(done.stdout, r'error|Error')} "
            f"(log: {_kept(done.stdout)})"
        )
    return module


def _first(text: str, pattern: str) -> str:
    found = (line.strip() for line in text.splitlines() if re.search(rf"\b({pattern})\b", line))
    return next(found, "it does not say why")


def _kept(text: str) -> Path:
    handle, path = tempfile.mkstemp(prefix="striate_nestml_", suffix=".log")
    with open(handle, "w", encoding="utf-8") as file:
        file.write(text)
    return Path(path)
