"""Set-up common to all tests: quiet threads, no user's folders, reproducible properties."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from _pytest import doctest
from hypothesis import settings

ROOT = Path(__file__).resolve().parent.parent

# Tables that tests make are kept between runs, but not among the user's.
os.environ.setdefault("STRIATE_CACHE", str(ROOT / ".pytest_cache" / "striate"))
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("MPLBACKEND", "Agg")

# The same examples in every run; --hypothesis-profile=explore draws new ones.
settings.register_profile("striate", deadline=None, derandomize=True, max_examples=50)
settings.register_profile("explore", deadline=None, max_examples=1000)
settings.load_profile("striate")


DOCTEST_MODULE = doctest.DoctestModule


class OwnDoctests:
    """Importing Brian2 replaces pytest's collector of doctests by one that fails on packages."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_collect_file(self) -> None:
        doctest.DoctestModule = DOCTEST_MODULE


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(OwnDoctests())
