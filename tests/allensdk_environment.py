"""The interpreter that has allensdk, for tests that run it: named, or made when asked for."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import pytest

from circuits.allen.refresh import find_interpreter, make_environment
from toolkit.errors import MissingDependency


@functools.cache
def _found() -> Path | None:
    if os.environ.get("STRIATE_TEST_ALLENSDK") == "1":
        named = os.environ.get("STRIATE_ALLENSDK_PYTHON")
        return find_interpreter(named)[0] if named else make_environment()
    try:
        return find_interpreter()[0]
    except MissingDependency:
        if "STRIATE_ALLENSDK_PYTHON" in os.environ:
            raise
        return None


def allensdk_python() -> Path:
    """The interpreter, or a skip that says how to get it."""
    python = _found()
    if python is None:
        pytest.skip(
            "allensdk is not installed; STRIATE_TEST_ALLENSDK=1 makes an environment that has it "
            "(a minute), STRIATE_ALLENSDK_PYTHON names the interpreter of one"
        )
    return python
