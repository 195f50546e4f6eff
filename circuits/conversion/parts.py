"""What a run of a study keeps in its folder, so that it goes on where it was stopped."""

from __future__ import annotations

import json
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from circuits.conversion.responses import Responses
from toolkit.errors import DataError, InputError
from toolkit.files import whole_file, write_text

ABOUT = "about.json"
FIELDS = ("targets", "pools_Hz", "rates_Hz", "psth_Hz")


@dataclass(eq=False)
class Parts:
    """Results in a folder that a run that was stopped goes on with, and what they took.

    folder : where they are
    seconds : by part
    compiled : number of networks
    """

    folder: Path
    seconds: dict[str, float] = field(default_factory=dict)
    compiled: int = 0

    def prepare(self, about: Mapping[str, Any], force: bool) -> None:
        """Make the folder, and note what its files belong to.

        Raises
        ------
        InputError : it has files that belong to something else (they are removed with `force`)
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        record = self.folder / ABOUT
        if record.is_file() and json.loads(record.read_text(encoding="utf-8")) != about:
            if not force:
                raise InputError(
                    f"{self.folder} holds parts of another network or of other options: use "
                    "another --out, or --force to replace them"
                )
            for file in (*self.folder.glob("*.npz"), *self.folder.glob("*.json")):
                file.unlink()
        write_text(record, json.dumps(about, indent=1) + "\n")

    def responses(self, name: str, make: Callable[[], list[Responses]]) -> list[Responses]:
        """Those of a file, made and written if it is not there; rates are in half precision."""
        path = self.folder / f"{name.replace(' ', '_').replace('=', '').replace(',', '')}.npz"
        if not path.is_file():
            made = make()
            arrays = {
                f"{key}_{task}": getattr(each, key).astype(
                    np.int64 if key == "targets" else np.float16
                )
                for task, each in enumerate(made)
                for key in FIELDS
            }
            with whole_file(path) as aside, open(aside, "wb") as file:
                np.savez_compressed(file, **arrays)
        try:
            with np.load(path, allow_pickle=False) as file:
                n_tasks = len(file.files) // len(FIELDS)
                found = [
                    Responses(*(_whole(file[f"{key}_{task}"]) for key in FIELDS))
                    for task in range(n_tasks)
                ]
        except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise DataError(f"{path} is damaged; remove it: {error}") from error
        return found

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Add the seconds of a block."""
        start = time.monotonic()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - start


def _whole(values: np.ndarray) -> np.ndarray:
    return values if values.dtype.kind == "i" else values.astype(np.float32)
