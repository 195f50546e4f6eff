"""Run folders: everything a run made, with a manifest, whole or not at all."""

from __future__ import annotations

import datetime
import json
import os
import platform
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from toolkit.errors import InputError
from toolkit.files import write_text

MANIFEST = "manifest.json"
PACKAGES = (
    *("striate", "numpy", "scipy", "pandas", "h5py", "torch", "matplotlib"),
    *("brian2", "nest-simulator", "nestml"),
)


@contextmanager
def run_folder(
    path: str | Path,
    command: str,
    parameters: Mapping[str, Any],
    *,
    seeds: Mapping[str, Any] | None = None,
    force: bool = False,
) -> Iterator[Path]:
    """A folder to write to; on leaving without an error it is moved to `path`, with a manifest.

    Until then it lies beside `path` under a hidden name; on an error or an interruption nothing of
    it stays, and an earlier run at `path` is untouched.

    Parameters
    ----------
    path : where the run will be; folders above it are made
    command : what a user would type to get the same run
    parameters : plain values by name, for the manifest (paths and numpy numbers are fine)
    seeds : by name; the `parameters` whose name has ``seed`` in it by default
    force : whether an earlier run at `path` is replaced; nothing but a run ever is

    Raises
    ------
    InputError : `path` is a file or holds something, or a parameter is not a plain value

    Examples
    --------
    >>> import tempfile
    >>> out = Path(tempfile.mkdtemp()) / "first"
    >>> with run_folder(out, "striate compare", {"seed": 1}) as folder:
    ...     _ = (folder / "result.csv").write_text("R2\\n0.99\\n")
    >>> sorted(file.name for file in out.iterdir())
    ['manifest.json', 'result.csv']
    """
    path = Path(os.path.realpath(path))
    _check_free(path, force)
    if seeds is None:
        seeds = {name: value for name, value in parameters.items() if "seed" in name}
    started, clock = datetime.datetime.now(datetime.UTC), time.perf_counter()
    manifest: dict[str, Any] = {
        "command": command,
        "parameters": dict(parameters),
        "seeds": dict(seeds),
        "versions": versions(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "started": started.isoformat(timespec="seconds"),
    }
    _as_json(manifest)  # now, not when the work is done
    made = [folder for folder in (path.parent, *path.parent.parents) if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
    try:
        yield aside
        manifest |= {
            "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "wall_s": round(time.perf_counter() - clock, 3),
            **peak_memory_MB(),
        }
        write_text(aside / MANIFEST, _as_json(manifest))
        _settle(aside)
        _check_free(path, force)
        _put(aside, path)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        for folder in made:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        raise


def is_run(path: str | Path) -> bool:
    """Whether a folder holds a run, that is a manifest of `run_folder`."""
    try:
        manifest = json.loads((Path(path) / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(manifest, dict) and {"command", "parameters", "versions"} <= set(manifest)


def versions() -> dict[str, str]:
    """Versions of Striate and of the packages its results depend on, by distribution name."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def peak_memory_MB() -> dict[str, float]:
    """Largest resident memory of this process and of the largest of its finished children, MB."""
    unit = 1e6 if sys.platform == "darwin" else 1e3  # bytes there, kB elsewhere
    peak = {
        "peak_memory_MB": resource.RUSAGE_SELF,
        "peak_memory_of_a_child_MB": resource.RUSAGE_CHILDREN,
    }
    return {name: round(resource.getrusage(who).ru_maxrss / unit, 1) for name, who in peak.items()}


def _check_free(path: Path, force: bool) -> None:
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} is a file; a run needs a folder of its own: use another --out")
    if not path.exists() or not any(path.iterdir()):
        return
    if not is_run(path):
        names = sorted(item.name for item in path.iterdir())
        some = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        raise InputError(f"the folder {path} holds other files ({some}): use another --out")
    if not force:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        raise InputError(
            f"the folder {path} holds another run ({manifest['command']!r}, "
            f"{manifest.get('started')}): use another --out, or --force to replace it"
        )


def _as_json(manifest: Mapping[str, Any]) -> str:
    try:
        return json.dumps(manifest, indent=2, default=_plain, allow_nan=False) + "\n"
    except (TypeError, ValueError) as error:
        raise InputError(f"a manifest takes plain values only: {error}") from error


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, set | frozenset | range):
        return list(value)
    try:
        return value.tolist()  # numpy's scalars and arrays
    except AttributeError:
        raise TypeError(f"{value!r} is a {type(value).__name__}") from None


def _settle(folder: Path) -> None:
    """Flush everything in `folder` to the disk, and give it the permissions of a new folder."""
    for file in folder.rglob("*"):
        if file.is_file():
            with open(file, "rb") as written:
                os.fsync(written.fileno())
    umask = os.umask(0)
    os.umask(umask)
    folder.chmod(0o777 & ~umask)


def _put(aside: Path, path: Path) -> None:
    """Move `aside` to `path`, an earlier run out of the way first."""
    if not path.exists() or not any(path.iterdir()):
        os.replace(aside, path)
        return
    old = aside.with_suffix(".old")
    os.replace(path, old)
    try:
        os.replace(aside, path)
    except OSError:
        os.replace(old, path)
        raise
    shutil.rmtree(old, ignore_errors=True)
