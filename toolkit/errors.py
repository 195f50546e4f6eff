"""The errors a user of Striate can meet.

Every one subclasses the built-in a Python user would expect and says what was given, what is
accepted and the usual fix. The command line prints them as one paragraph.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class StriateError(Exception):
    """Base of all errors raised on purpose by Striate."""


class InputError(StriateError, ValueError):
    """A value given by the user is not acceptable."""


class DataError(StriateError, ValueError):
    """A file or table is missing something or holds a value that cannot be right."""


class MissingDependency(StriateError, ImportError):
    """An optional package or a compiler is not there."""


class SimulationError(StriateError, RuntimeError):
    """A simulation could not be compiled, did not finish or went out of bounds."""


def unknown(what: str, given: object, accepted: Iterable[object]) -> InputError:
    """An `InputError` for a name that is not among the accepted ones, with the nearest match.

    >>> str(unknown("size", "3K", ["3k", "6k"]))
    "unknown size '3K'; accepted: 3k, 6k. Did you mean '3k'?"
    """
    names = [str(name) for name in accepted]
    near = difflib.get_close_matches(str(given).lower(), names, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return InputError(f"unknown {what} {given!r}; accepted: {', '.join(names)}.{hint}")


def require(package: str, extra: str) -> None:
    """Raise `MissingDependency` unless `package` can be imported.

    Parameters
    ----------
    package : importable name, e.g. ``"brian2"``
    extra : what to install to get it, e.g. ``"striate"`` or ``"striate[nest]"``
    """
    import importlib.util

    if importlib.util.find_spec(package) is None:
        raise MissingDependency(
            f"the package {package!r} is not installed; install it with: pip install '{extra}'"
        )
