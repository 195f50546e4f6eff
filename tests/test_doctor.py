"""``striate doctor``: what is there, what is missing, what does not work."""

from __future__ import annotations

import json
import os
import platform
import sys
from importlib import metadata
from pathlib import Path

import pytest
from typer.testing import CliRunner

from circuits.cli import app
from circuits.cli import doctor as module
from converters import cuda_system
from converters.cuda_system import Curand


@pytest.fixture(autouse=True)
def fresh() -> None:
    module._nest.cache_clear()


def said() -> str:
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == 0, result.output
    return result.stdout


def program(folder: Path, name: str, *, prints: str = "", code: int = 0) -> None:
    """A program that prints a text and ends with a code."""
    file = folder / name
    file.write_text(f"#!{sys.executable}\nimport sys\nprint({prints!r})\nsys.exit({code})\n")
    file.chmod(0o755)


@pytest.fixture
def tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole PATH."""
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def packages(monkeypatch: pytest.MonkeyPatch, **versions: str) -> None:
    """The only packages that are installed, by distribution name (with _ for -)."""

    def version(name: str) -> str:
        try:
            return versions[name.replace("-", "_")]
        except KeyError:
            raise metadata.PackageNotFoundError(name) from None

    monkeypatch.setattr(metadata, "version", version)


def test_this_machine() -> None:
    """Brian2 runs here: the tests need it."""
    text = said()
    assert f"brian2: {metadata.version('brian2')}" in text
    assert "yes  spikes in Brian2, interpreted: to_brian2(network)" in text
    assert f"{len(os.sched_getaffinity(0))} processors" in text


def test_nothing_is_there(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packages(monkeypatch)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    text = said()
    assert "yes" not in text
    for line in (
        "- brian2: missing; pip install 'striate'",
        "- nest-simulator: missing; pip install 'striate[nest]'",
        "- brian2cuda: missing; pip install 'striate[cuda]'",
        "- g++: missing; on Debian: apt-get install g++",
        "- nvcc: missing; on Debian: apt-get install nvidia-cuda-toolkit",
        "- cuRAND: missing; pip install nvidia-curand",
        "- mpi4py: missing; pip install 'striate[mpi]'",
        "- mpirun: missing; on Debian: apt-get install openmpi-bin",
        "- GPU: missing; nvidia-smi shows none",
    ):
        assert line in text


@pytest.mark.parametrize("curand", [Curand(), Curand(Path("/i"), Path("/libcurand.so.10")), None])
def test_a_machine_with_a_gpu(
    curand: Curand | None, tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    packages(monkeypatch, brian2="2.8.0", brian2cuda="1.0a7")
    monkeypatch.setattr(module, "_answer", _answer_without_imports(module._answer))
    monkeypatch.setattr(cuda_system, "curand", lambda: curand)
    program(tools, "nvcc", prints="Cuda compilation tools, release 13.0, V13.0.88")
    program(tools, "g++", prints="g++ (Debian 12.2.0-14) 12.2.0")
    program(tools, "make", prints="GNU Make 4.3")
    program(
        tools,
        "nvidia-smi",
        prints="name, memory.total [MiB], driver_version\nH200, 143771 MiB, 570",
    )
    text = said()
    assert f"{'yes' if curand else 'no '}  spikes in Brian2, compiled for a GPU: " in text
    if curand:
        place = "/libcurand.so.10" if curand.library else "in the toolkit of nvcc"
        assert f"       cuRAND: {place}\n" in text
    else:
        assert "     - cuRAND: missing; pip install nvidia-curand" in text
    assert f"brian2cuda: 1.0a7 (Brian2 2.8.0, Python {platform.python_version()})" in text
    assert "nvcc: release 13.0" in text
    assert "GPU: H200, 143771 MiB, 570" in text


def _answer_without_imports(real):
    def answer(*command: str) -> str | None:
        return "" if command[0] == sys.executable else real(*command)

    return answer


@pytest.mark.parametrize(("mpi", "words"), [(True, "yes"), (False, "no ")])
def test_nest_with_and_without_mpi(
    mpi: bool, words: str, tools: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = {"version": "3.10.0", "have_threads": True, "have_mpi": mpi}
    packages(monkeypatch, nest_simulator="3.10.0", mpi4py="4.1")
    monkeypatch.setattr(module, "_answer", lambda *command: json.dumps(info))
    program(tools, "mpirun", prints="mpirun (Open MPI) 5.0.11")
    text = said()
    assert f"{words:3}  spikes in NEST on several machines" in text
    assert f"nest-simulator: 3.10.0 (threads, {'MPI' if mpi else 'no MPI'})" in text
    assert ("cmake -Dwith-mpi=ON" in text) == (not mpi)


def test_what_is_there_but_does_not_work(tools: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packages(monkeypatch, no_such_package="1.0")
    broken = module._package("no-such-package", "no_such_package", "striate")
    monkeypatch.setitem(module.PARTS, "brian2", broken)
    program(tools, "g++", prints="an internal error", code=4)
    text = said()
    assert "brian2: does not work: ModuleNotFoundError: No module named 'no_such_package'" in text
    assert "g++: does not work: an internal error" in text
