"""Fetching data sets: resumed where it stopped, checked, whole or not at all.

pooch compares the SHA-256 and moves a file to its place only if it is right; the download itself
is `Resume`, because pooch begins anew after every interruption.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toolkit.datasets.registry import DataFile, DataSet, data_folder, data_set
from toolkit.errors import DataError, InputError
from toolkit.progress import bar

CHUNK = 1 << 14  # bytes; of the last one before an interruption nothing is kept
TIMEOUT_S = (10.0, 30.0)  # to connect, and between two pieces of an answer
ATTEMPTS = 3  # in a row without a new byte
PASSING = {408, 425, 429}  # HTTP codes below 500 that are worth another attempt


class _Refused(Exception):
    """This address does not give the file; another may."""


class _Broken(Exception):
    """The transfer stopped; it may go on."""


@dataclass
class Resume:
    """A downloader for pooch that continues where an earlier one stopped.

    What has come lies in `part` until it has the expected size; the rest is asked for with a
    ``Range``. Servers that ignore it send everything again.

    part : the file for what has come, beside the target
    size : of the whole file, bytes
    attempts : in a row without a new byte before giving up
    timeout_s : to connect, and between two pieces of an answer
    pause_s : before the second attempt; twice as long before each further one
    progress : show a bar; None for on a terminal only
    continued : whether the last call went on with something that was there
    """

    part: Path
    size: int
    attempts: int = ATTEMPTS
    timeout_s: tuple[float, float] = TIMEOUT_S
    pause_s: float = 1.0
    progress: bool | None = None
    continued: bool = field(default=False, init=False)

    def __call__(self, url: str, output_file: str, pooch: object) -> None:  # noqa: ARG002  its name
        """Bring `url` to `output_file`, as pooch asks for it."""
        failures, most = 0, self._have()
        self.continued = most > 0
        label = Path(url).name
        with bar(self.size / 1e6, label, " MB", self.progress) as shown:
            shown.update(most / 1e6)
            while self._have() < self.size:
                try:
                    self._transfer(url, lambda n: shown.update(n / 1e6))
                except _Broken as error:
                    failures = 0 if self._have() > most else failures + 1
                    most = max(most, self._have())
                    if failures >= self.attempts:
                        raise _Refused(f"{error} ({failures} attempts)") from None
                    time.sleep(self.pause_s * 2 ** max(0, failures - 1))
        with open(self.part, "rb") as whole:
            os.fsync(whole.fileno())
        os.replace(self.part, output_file)

    def _have(self) -> int:
        """Bytes that have come; more than there can be are thrown away."""
        have = self.part.stat().st_size if self.part.exists() else 0
        if have > self.size:
            self.part.unlink()
            have = 0
        return have

    def _transfer(self, url: str, came: Callable[[int], Any]) -> None:
        import requests

        have = self._have()
        headers = {"Accept-Encoding": "identity"}
        if have:
            headers["Range"] = f"bytes={have}-"
        try:
            with requests.get(url, headers=headers, stream=True, timeout=self.timeout_s) as answer:
                start = self._start(answer, have)
                self.continued |= start > 0
                if start == 0 and have:
                    came(-have)
                # Some servers call a .gz file an encoding of its content: it is wanted as it lies.
                answer.raw.headers.pop("Content-Encoding", None)
                with open(self.part, "ab" if start else "wb") as part:
                    for piece in answer.iter_content(CHUNK):
                        part.write(piece)
                        came(len(piece))
                        if part.tell() > self.size:
                            break
        except requests.RequestException as error:
            raise _Broken(_words(error)) from error
        if self.part.stat().st_size > self.size:
            self.part.unlink()
            raise _Refused(f"sends more than the {self.size:,} bytes of the file")
        if self._have() < self.size:
            raise _Broken("the connection ended early")

    def _start(self, answer: Any, have: int) -> int:
        """From which byte on the answer holds the file.

        Raises
        ------
        _Refused, _Broken : it does not hold the file
        """
        code = answer.status_code
        if code >= 500 or code in PASSING:
            raise _Broken(f"HTTP {code} {answer.reason}")
        if code == 416:  # what has come is not a part of that file
            self.part.unlink()
            raise _Broken("HTTP 416: the file there is shorter")
        if code not in (200, 206):
            raise _Refused(f"HTTP {code} {answer.reason}")
        start = 0
        if code == 206:
            given = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
            if not given or int(given[1]) != have:
                raise _Refused("sends another part of the file than the one asked for")
            start = have
        length = answer.headers.get("Content-Length", "")
        if length.isdecimal() and start + int(length) != self.size:
            raise _Refused(f"offers {start + int(length):,} bytes; the file has {self.size:,}")
        return start


def _words(error: Exception) -> str:
    """The kind of a network error, without the nested details of the library."""
    import requests

    if isinstance(error, requests.Timeout) or "timed out" in str(error):
        return "no answer in time"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke off"
    if isinstance(error, requests.exceptions.SSLError):
        return "the certificate of the server was not accepted"
    if isinstance(error, requests.ConnectionError):
        return "no connection"
    return f"{type(error).__name__}: {error}"


def fetch(
    name: str,
    folder: str | Path | None = None,
    *,
    progress: bool | None = None,
    say: Callable[[str], None] = lambda _: None,
    **options: Any,
) -> list[Path]:
    """Fetch the files of a data set that have an address and are not there yet.

    Each is checked against its SHA-256 and appears whole or not at all; an interrupted download
    is continued by the next call. Two processes may fetch at once: one waits for the other.

    Parameters
    ----------
    name : of the data set
    folder : data folder (`toolkit.datasets.data_folder`); made if need be
    progress : show bars; None for on a terminal only
    say : called with a line about each file
    options : of `Resume`: attempts, timeout_s, pause_s

    Returns
    -------
    where the files are

    Raises
    ------
    InputError : no such data set; the folder cannot be written to
    DataError : no internet, wrong content or no room on the disk: which file, where it comes from
        and where to put it by hand

    Examples
    --------
    >>> fetch("mnist")  # doctest: +SKIP
    """
    chosen = data_set(name)
    root = data_folder(folder)
    if not any(file.urls for file in chosen.files):
        by_hand = chosen.by_hand.format(folder=root)
        raise DataError(f"{name} cannot be fetched: it has no address. {by_hand}")
    there = {file: _there(chosen, file, root, say) for file in chosen.files if file.urls}
    if not all(there.values()):
        with _writing(root), _alone(root / name, say):
            for file in [file for file, place in there.items() if place is None]:
                # Another process may have brought it while this one waited.
                there[file] = _there(chosen, file, root, say)
                if there[file] is None:
                    part = (root / file.path).with_name(f".{file.name}.part")
                    resume = Resume(part, file.size, progress=progress, **options)
                    there[file] = _fetch_file(chosen, file, root, say, resume)
    return [path for path in there.values() if path]


def _there(chosen: DataSet, file: DataFile, root: Path, say: Callable[[str], None]) -> Path | None:
    """Where the file is, whole and right, or None."""
    for place in chosen.places(file.path, root):
        if place.is_file() and not file.damage(place):
            say(f"{place}: there already")
            return place
    return None


def _fetch_file(
    chosen: DataSet, file: DataFile, root: Path, say: Callable[[str], None], resume: Resume
) -> Path:
    target = root / file.path
    target.parent.mkdir(parents=True, exist_ok=True)
    part = resume.part
    _room(target.parent, file, part)
    reasons = []
    for url in file.urls:
        try:
            _from(url, file, target, resume)
        except _Refused as error:
            reasons.append(f"{url}: {error}")
            continue
        say(f"{target}: fetched, {file.size / 1e6:,.1f} MB, SHA-256 right")
        return target
    kept = f" {_size(part):,} bytes that came are kept for the next attempt." if _size(part) else ""
    raise DataError(
        f"{file.name} of {chosen.name} could not be fetched ({'; '.join(reasons)}).{kept} Without "
        f"internet, get it elsewhere and put it at {target}, or name the folder that has it in "
        f"STRIATE_DATA."
    )


def _from(url: str, file: DataFile, target: Path, resume: Resume) -> None:
    """Fetch from one address; once more from the start if what was continued comes out wrong."""
    import pooch

    pooch.get_logger().setLevel("WARNING")
    for again in (False, True):
        try:
            pooch.retrieve(
                url, f"sha256:{file.sha256}", target.name, target.parent, downloader=resume
            )
            return
        except ValueError as error:  # pooch's word for a wrong hash; it has removed the file
            if "hash" not in str(error).lower():
                raise
            if again or not resume.continued:
                raise _Refused("the content is wrong (SHA-256), it was removed") from None


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _room(folder: Path, file: DataFile, part: Path) -> None:
    needed, free = file.size - _size(part), shutil.disk_usage(folder).free
    if needed > free:
        raise DataError(
            f"{file.name} needs {needed / 1e6:,.1f} MB and the disk of {folder} has "
            f"{free / 1e6:,.1f} MB left; make room or name another folder in STRIATE_DATA"
        )


@contextmanager
def _writing(root: Path) -> Iterator[None]:
    """Says what to do where the folder cannot be written to or the disk is full."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise DataError(
                f"the disk of {root} is full; make room and run it again (what came is kept), or "
                "name another folder in STRIATE_DATA"
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            raise InputError(
                f"cannot write to the data folder {root} ({error.strerror}); name another in "
                "STRIATE_DATA or with --folder"
            ) from error
        raise


@contextmanager
def _alone(folder: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Keep other processes from fetching the same data set; the lock ends with the process."""
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"another process is fetching into {folder}; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
