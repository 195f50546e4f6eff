"""The Cell Types Database as Striate sees it: three questions, asked by another interpreter."""

from __future__ import annotations

import json
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from toolkit.errors import DataError, StriateError

URL = "http://api.brain-map.org"  # allensdk's own default
TIMEOUT_S = 60.0
ATTEMPTS = 4
BACKOFF_S = 2.0  # before the second attempt; doubled before each further one
PROGRAM = Path(__file__).with_name("ask.py")


class Unreachable(StriateError, ConnectionError):
    """The Cell Types Database gives no answer."""


class Database:
    """A connection to the database, by a child process that has allensdk.

    To be used in a ``with``: the child is started at once and ended at the end.

    Parameters
    ----------
    python : interpreter that has allensdk (`circuits.allen.refresh.environment`)
    url : base address of the API
    timeout_s : of one answer, whole
    attempts, backoff_s : how often a question is asked, and the pause before the second time

    Raises
    ------
    Unreachable : no answer after all attempts
    DataError : an answer that is none
    """

    def __init__(
        self,
        python: str | Path,
        url: str = URL,
        *,
        timeout_s: float = TIMEOUT_S,
        attempts: int = ATTEMPTS,
        backoff_s: float = BACKOFF_S,
    ):
        self.url = url
        how = {"url": url, "timeout_s": timeout_s, "attempts": attempts, "backoff_s": backoff_s}
        # a file, not a pipe, which would have to be emptied while it runs
        self._errors = tempfile.TemporaryFile(  # noqa: SIM115  closed by _end
            "w+", encoding="utf-8", errors="replace"
        )
        self._child = subprocess.Popen(
            [str(python), "-I", str(PROGRAM), json.dumps(how)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            encoding="utf-8",
        )
        self.allensdk: str = self._read("start")

    def __enter__(self) -> Database:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end()

    def cells(self) -> list[dict[str, Any]]:
        """A record of every cell: line, species, area, layer, reporter status."""
        return self._ask("the list of cells", "cells")

    def ephys_features(self) -> list[dict[str, Any]]:
        """A record of the electrophysiological features of every cell."""
        return self._ask("the ephys features", "ephys_features")

    def glif3(self, cell: str) -> dict[str, Any] | None:
        """Id and configuration (SI units) of a cell's GLIF3 model; None if it has none."""
        return self._ask(f"cell {cell}", "glif3", int(cell))

    def _ask(self, what: str, *request: str | int) -> Any:
        assert self._child.stdin is not None
        with suppress(BrokenPipeError):  # it ended: reading says why
            self._child.stdin.write(json.dumps(request) + "\n")
            self._child.stdin.flush()
        reply = self._read(what)
        if "problem" not in reply:
            return reply["answer"]
        words = f"{what}, asked of {self.url}: {reply['problem']}"
        raise Unreachable(words) if reply["unreachable"] else DataError(words)

    def _read(self, what: str) -> Any:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if line.endswith("\n"):
            return json.loads(line)
        self._errors.seek(0)
        last = " ".join(self._errors.read().split())[-500:]
        self._end()
        raise StriateError(f"the program that asks through allensdk ended ({what}): {last}")

    def _end(self) -> None:
        self._child.kill()
        for pipe in (self._child.stdin, self._child.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()
        self._child.wait()
        self._errors.close()
