"""An interpreter that has allensdk, which needs older NumPy and pandas than Striate does."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

from toolkit.cache import cache_folder
from toolkit.errors import InputError, MissingDependency

# The last release of allensdk and what it pins, tested together on Python 3.11.
REQUIREMENTS = ("allensdk==2.16.2", "numpy==1.23.5", "pandas==1.5.3", "scipy==1.10.1")
PYTHONS = ("3.11", "3.10", "3.9", "3.8")  # which this NumPy is built for
COMMAND = "striate data refresh --make-environment"
_STAMP = ".made-by-striate"  # written last: an interrupted environment is made again


def environment_folder() -> Path:
    """Where the environment is: ``STRIATE_ALLENSDK_ENV``, else in the user's cache."""
    named = os.environ.get("STRIATE_ALLENSDK_ENV")
    return Path(named) if named else cache_folder() / "allensdk"


def find_interpreter(python: str | Path | None = None) -> tuple[Path, str]:
    """The interpreter to ask with, and its version of allensdk.

    `python` if given, else that of ``STRIATE_ALLENSDK_PYTHON``, else the running one, else that of
    the environment of `make_environment`.

    Raises
    ------
    MissingDependency : none of them has allensdk, or the named one has not
    """
    for named, where in (
        (python, "the interpreter given"),
        (os.environ.get("STRIATE_ALLENSDK_PYTHON"), "STRIATE_ALLENSDK_PYTHON"),
    ):
        if named:
            version = _allensdk_version(Path(named))
            if version is None:
                raise MissingDependency(
                    f"{where}, {str(named)!r}, cannot be run or has no allensdk; "
                    f"`{COMMAND}` makes an environment that has it"
                )
            return Path(named), version
    here = [Path(sys.executable)] if importlib.util.find_spec("allensdk") else []
    for candidate in (*here, _python_of(environment_folder())):
        version = _allensdk_version(candidate)
        if version is not None:
            return candidate, version
    raise MissingDependency(
        "the Cell Types Database is asked through allensdk, which is not installed here and needs "
        f"an environment of its own, because it pins older packages: make it with `{COMMAND}` "
        "(a minute, 1 GB), or name an interpreter that has allensdk with --python or "
        "STRIATE_ALLENSDK_PYTHON"
    )


def make_environment(folder: str | Path | None = None) -> Path:
    """Make a virtual environment with allensdk, unless it is there; its interpreter.

    Parameters
    ----------
    folder : `environment_folder` by default

    Raises
    ------
    InputError : the folder holds something else
    MissingDependency : no fitting Python, or the installation failed
    """
    folder = environment_folder() if folder is None else Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    wanted = "\n".join(REQUIREMENTS)
    with open(folder.parent / f".{folder.name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one at a time
        stamp = folder / _STAMP
        if (
            stamp.is_file()
            and stamp.read_text() == wanted
            and _allensdk_version(_python_of(folder))
        ):
            return _python_of(folder)
        if folder.exists():
            if not (folder / "pyvenv.cfg").is_file() and any(folder.iterdir()):
                raise InputError(f"{folder} holds something else than a virtual environment")
            shutil.rmtree(folder)
        _run([_fitting_python(), "-m", "venv", str(folder)], "apt-get install python3-venv helps")
        pip = [str(_python_of(folder)), "-m", "pip", "install", "--disable-pip-version-check"]
        _run([*pip, "--quiet", *REQUIREMENTS], "is there a connection to the package index?")
        stamp.write_text(wanted)
    return _python_of(folder)


def _python_of(folder: Path) -> Path:
    return folder / "bin" / "python"


def _allensdk_version(python: Path) -> str | None:
    """Its version of allensdk; None if it cannot be run or has none."""
    code = "from importlib.metadata import version; print(version('allensdk'))"
    try:
        # -I as when asking: no PYTHONPATH, which is for another Python
        done = subprocess.run(
            [str(python), "-I", "-c", code], capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _fitting_python() -> str:
    if "{}.{}".format(*sys.version_info) in PYTHONS:
        return sys.executable
    for version in PYTHONS:
        found = shutil.which(f"python{version}")
        if found:
            return found
    raise MissingDependency(
        f"allensdk needs Python {PYTHONS[-1]} to {PYTHONS[0]}, and there is no python3.11 on the "
        "PATH; install one, or name an interpreter that has allensdk with --python"
    )


def _run(command: list[str], hint: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = " ".join((done.stderr or done.stdout).split())[-500:]
        raise MissingDependency(
            f"the environment for allensdk could not be made: {' '.join(command[1:4])} failed "
            f"({last}); {hint}"
        )
