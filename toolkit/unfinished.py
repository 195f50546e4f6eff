"""A folder beside a run's in which long work is kept until the run is whole."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from toolkit.errors import InputError

UNFINISHED = ".unfinished"  # added to the name of the run's folder


@contextmanager
def unfinished_folder(
    out: str | Path, *, resume: bool = False, force: bool = False, kept: Sequence[str] = ()
) -> Iterator[Path]:
    """The folder ``OUT.unfinished`` for checkpoints; left without an error, it is removed.

    An error, an interruption or a kill leaves it, and the next call with `resume` goes on in it.
    No two processes have it at a time.

    Parameters
    ----------
    out : folder of the run that is being made (`toolkit.runs.run_folder`)
    resume : go on with what is there
    force : begin anew, whatever is there
    kept : names of files of a finished run, with which it is resumed

    Raises
    ------
    InputError : something is there without `resume` or `force`, or another process works in it

    >>> import tempfile
    >>> out = Path(tempfile.mkdtemp()) / "first"
    >>> with unfinished_folder(out) as folder:
    ...     _ = (folder / "checkpoint").write_text("half-way")
    >>> folder.name, folder.exists()
    ('first.unfinished', False)
    """
    out = Path(out)
    folder = out.with_name(out.name + UNFINISHED)
    with _alone(folder):
        for left in out.parent.glob(f".{out.name}.*.part"):
            shutil.rmtree(left)  # of a run that was killed, maybe while it wrote its results
        if force and not resume:
            for file in folder.iterdir():
                file.unlink()
        elif any(folder.iterdir()) and not resume:
            raise InputError(
                f"{folder} holds a training that was stopped: --resume goes on with it, --force "
                "begins anew"
            )
        elif resume and not any(folder.iterdir()):
            for file in (out / name for name in kept):
                if file.exists():
                    shutil.copy(file, folder / file.name)
        yield folder
        shutil.rmtree(folder)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """A folder that no other process has; it is made, and removed again if it stays empty."""
    while True:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            raise InputError(f"another training is writing to {folder}") from None
        if folder.exists() and os.path.samestat(os.fstat(handle), folder.stat()):
            break
        os.close(handle)  # the one who had it has ended, and removed it, in between
    try:
        yield
    finally:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()
        os.close(handle)
