"""Files and folders that appear whole or not at all.

What is being written lies beside its place in a hidden folder ``.NAME.xxxxxxxx.writing`` that the
process holds locked. The system lets go of the lock when the process ends, however it ends, so the
next run knows what a killed one left behind and removes it.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from toolkit.errors import InputError

_SUFFIX, _CONTENT, _PREVIOUS = ".writing", "content", "previous"


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """A path to write to; on leaving without an error it is moved to `path` in one step.

    The content is flushed to the disk before the move, so that after a crash either the old file
    or the new one is there. On an error nothing stays.

    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "note.txt"
    >>> with whole_file(target) as aside:
    ...     _ = aside.write_text("written whole")
    >>> target.read_text()
    'written whole'
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder; the name of a file is needed")
    with _place_beside(path) as place:
        aside = place / path.name
        aside.touch()
        yield aside
        _flush(aside)
        aside.chmod(0o666 & ~_umask())
        os.replace(aside, path)
        _flush(path.parent)


def write_text(path: str | Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with whole_file(path) as aside:
        aside.write_text(text, encoding="utf-8")


@contextmanager
def whole_folder(path: str | Path, check_replaceable: Callable[[Path], None]) -> Iterator[Path]:
    """A folder to write to; on leaving without an error it is moved to `path` in one step.

    A folder that is there already changes places with the new one and is removed then.

    Parameters
    ----------
    path : where the folder will be; the one above it must exist
    check_replaceable : called with `path` if a folder that holds something is there; raises
        `InputError` unless it may be replaced
    """
    path = Path(os.path.realpath(path))
    if path.exists() and not path.is_dir():
        raise InputError(f"{path} is a file; the name of a folder is needed")

    def check() -> None:
        if path.is_dir() and any(path.iterdir()):
            check_replaceable(path)

    with _place_beside(path) as place:
        check()
        content = place / _CONTENT
        content.mkdir()
        yield content
        for item in (*content.rglob("*"), content):
            _flush(item)
        content.chmod(0o777 & ~_umask())
        check()
        _move(content, path)
        _flush(path.parent)


@contextmanager
def _place_beside(path: Path) -> Iterator[Path]:
    """A hidden folder beside `path`, locked until it is left and then removed."""
    if not path.parent.is_dir():
        raise InputError(f"the folder {path.parent} does not exist; make it first")
    _remove_abandoned(path)
    while True:  # another run may remove the folder before it is locked
        place = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=_SUFFIX, dir=path.parent))
        try:
            handle = os.open(place, os.O_RDONLY)
        except FileNotFoundError:
            continue
        _lock(handle, fcntl.LOCK_EX)
        if place.exists():
            break
        os.close(handle)
    try:
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)
        os.close(handle)


def _remove_abandoned(path: Path) -> None:
    """Remove what runs that were killed left beside `path`; those that run hold a lock."""
    ours = re.compile(re.escape(f".{path.name}.") + r"[a-z0-9_]{8}" + re.escape(_SUFFIX))
    for place in [item for item in path.parent.iterdir() if ours.fullmatch(item.name)]:
        try:
            handle = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue
        try:
            if not _lock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB):
                continue
            if (place / _PREVIOUS).is_dir() and not path.exists():
                os.rename(place / _PREVIOUS, path)
            shutil.rmtree(place, ignore_errors=True)
        finally:
            os.close(handle)


def _lock(handle: int, how: int) -> bool:
    try:
        fcntl.flock(handle, how)
    except OSError:  # held by another process, or a file system without locks
        return False
    return True


def _move(content: Path, path: Path) -> None:
    """Put `content` at `path`; what was there, if anything, into the folder of `content`."""
    if not path.exists() or not any(path.iterdir()):
        os.rename(content, path)
        return
    if _exchange(content, path):
        return
    # Without an exchange in one step there is a moment with nothing at `path`.
    previous = content.with_name(_PREVIOUS)
    os.rename(path, previous)
    try:
        os.rename(content, path)
    except OSError:
        os.rename(previous, path)
        raise


def _exchange(a: Path, b: Path) -> bool:
    """Let two folders change places in one step, where the system can (Linux)."""
    at_working_folder, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE of Linux
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    if rename is None:
        return False
    names = os.fsencode(a), os.fsencode(b)
    return rename(at_working_folder, names[0], at_working_folder, names[1], exchange) == 0


def _flush(item: Path) -> None:
    """Have a file, or the names in a folder, on the disk."""
    handle = os.open(item, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    umask = os.umask(0)
    os.umask(umask)
    return umask
