"""The project itself: who imports whom, what is documented, declared and shipped."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAY_IMPORT = {
    "toolkit": {"toolkit"},
    "converters": {"toolkit", "converters"},
    "circuits": {"toolkit", "converters", "circuits"},
}
FILES = sorted(file for name in MAY_IMPORT for file in (ROOT / name).rglob("*.py"))
MAX_LINES = 500
# Distributions whose import name is another.
OPTIONAL = {"nest": "nest-simulator", "brian2cuda": "brian2cuda", "allensdk": "allensdk"}
DISTRIBUTION = {
    "skimage": "scikit-image",
    "pynestml": "nestml",
    "sklearn": "scikit-learn",
}  # of a package with another name


def relative(file: Path) -> str:
    return str(file.relative_to(ROOT))


def imported(tree: ast.AST) -> set[str]:
    """Top-level names of everything a module imports, wherever in it."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute here"
            names.add((node.module or "").split(".")[0])
    return names


def is_overload(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    return any(isinstance(d, ast.Name) and d.id == "overload" for d in node.decorator_list)


def undocumented(tree: ast.Module) -> list[str]:
    """Public functions, classes and methods without a docstring."""
    found = []

    def visit(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                continue
            if node.name.startswith("_") or is_overload(node):
                continue
            if ast.get_docstring(node) is None:
                found.append(f"{prefix}{node.name}")
            if isinstance(node, ast.ClassDef):
                visit(node.body, f"{node.name}.")

    visit(tree.body, "")
    if ast.get_docstring(tree) is None:
        found.append("the module")
    return found


@pytest.fixture(scope="module")
def pyproject() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.mark.parametrize("file", FILES, ids=relative)
def test_imports_go_one_way(file: Path) -> None:
    package = file.relative_to(ROOT).parts[0]
    own = imported(ast.parse(file.read_text())) & (set(MAY_IMPORT) | {"tests", "examples"})
    assert own <= MAY_IMPORT[package]


@pytest.mark.parametrize("file", FILES, ids=relative)
def test_everything_public_is_documented(file: Path) -> None:
    assert undocumented(ast.parse(file.read_text())) == []


def test_no_file_is_too_long() -> None:
    tests = (ROOT / "tests").glob("*.py")
    lines = {relative(file): len(file.read_text().splitlines()) for file in (*FILES, *tests)}
    assert {name: n for name, n in lines.items() if n > MAX_LINES} == {}


def test_the_walkers_above_see_what_they_should() -> None:
    source = (
        '"""M."""\nimport numpy.linalg\ndef f():\n    from circuits import v1\n'
        'class C:\n    "C."\n    def g(self): ...\n    @overload\n    def h(self): ...'
    )
    tree = ast.parse(source)
    assert imported(tree) == {"numpy", "circuits"}
    assert undocumented(tree) == ["f", "C.g"]


def test_what_is_imported_is_declared(pyproject: dict) -> None:
    def names(requirements: list[str]) -> set[str]:
        found = (re.match(r"[A-Za-z0-9_.-]+", line) for line in requirements)
        return {match[0].lower() for match in found if match}

    core = names(pyproject["project"]["dependencies"])
    extras = names(
        [line for lines in pyproject["project"]["optional-dependencies"].values() for line in lines]
    )
    used = set().union(*(imported(ast.parse(file.read_text())) for file in FILES))
    third_party = {
        DISTRIBUTION.get(n, n) for n in used - set(sys.stdlib_module_names) - set(MAY_IMPORT) if n
    }
    assert {n for n in third_party if n not in OPTIONAL} <= core
    assert {OPTIONAL[n] for n in third_party & set(OPTIONAL)} <= extras
    assert core <= third_party, "a dependency that nothing imports"


def test_data_files_are_shipped(pyproject: dict) -> None:
    declared = {
        f"{package.replace('.', '/')}/{pattern}"
        for package, patterns in pyproject["tool"]["setuptools"]["package-data"].items()
        for pattern in patterns
    }
    others = [
        relative(file)
        for package in MAY_IMPORT
        for file in (ROOT / package).rglob("*")
        if file.is_file() and file.suffix not in (".py", ".pyc")
    ]
    assert [name for name in others if not any(fnmatch(name, glob) for glob in declared)] == []
    for glob in declared:
        assert any(fnmatch(name, glob) for name in others), f"{glob} matches nothing"


def test_every_folder_of_code_is_a_package() -> None:
    folders = {file.parent for file in FILES}
    assert [relative(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


def test_tests_are_no_package() -> None:
    # nestml's wheel installs a package called `tests`.
    assert not (ROOT / "tests" / "__init__.py").exists()


@pytest.mark.parametrize("name", ["README.md", "LICENSE", "NOTICE", "CHANGELOG.md", "Makefile"])
def test_the_papers_are_there(name: str) -> None:
    assert (ROOT / name).read_text().strip()


def test_constraints_pin_and_name_no_place() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert pins
    for line in pins:
        assert re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][0-9A-Za-z.]*", line), line
    assert {"torch==2.13.0", "brian2==2.8.0"} <= set(pins)


def test_ci_runs_make_test() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111
    assert "make test" in script.read_text()


@pytest.mark.parametrize(
    ("name", "package"),
    [("toolkit", "converters"), ("toolkit", "circuits"), ("converters", "circuits")],
)
def test_a_package_of_the_same_name_is_explained(tmp_path: Path, name: str, package: str) -> None:
    (tmp_path / name).mkdir()
    stranger = tmp_path / name / "__init__.py"
    stranger.write_text("VERSION = 1\n")
    code = f"import sys; sys.path[:0] = [{str(tmp_path)!r}, {str(ROOT)!r}]; import {package}"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    message = done.stderr.splitlines()[-1]
    assert message.startswith("ImportError: ")
    for part in (f"{name!r}", str(stranger), "PYTHONPATH", "an environment of its own"):
        assert part in message


def test_the_installed_distribution_is_this_one() -> None:
    try:
        installed = metadata.version("striate")
    except metadata.PackageNotFoundError:
        pytest.skip("striate is not installed here, only on the path")
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert installed == declared
