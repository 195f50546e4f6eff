"""Checkpoints of a training: written whole, checked when read, never unpickled."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from toolkit.errors import DataError, InputError
from toolkit.files import whole_file

_MAGIC = b"striate checkpoint 1\n"


def save_checkpoint(
    path: str | Path, state: Mapping[str, Any], fingerprint: Mapping[str, Any]
) -> None:
    """Write tensors and plain values, with what they belong to.

    Parameters
    ----------
    path : file; an earlier one is replaced in one step
    state : tensors, numbers, text, and lists and dictionaries of them
    fingerprint : plain JSON values that another training has not: `load_checkpoint` compares them
    """
    buffer = io.BytesIO()
    torch.save({"state": dict(state), "fingerprint": json.dumps(fingerprint)}, buffer)
    content = buffer.getvalue()
    with whole_file(path) as aside:
        aside.write_bytes(_MAGIC + hashlib.sha256(content).hexdigest().encode() + b"\n" + content)


def load_checkpoint(
    path: str | Path, fingerprint: Mapping[str, Any], device: torch.device | str = "cpu"
) -> dict[str, Any]:
    """The state in a file of `save_checkpoint`.

    Parameters
    ----------
    path : file
    fingerprint : of the training that is to go on
    device : where tensors go

    Raises
    ------
    DataError : the file is none of these, or damaged
    InputError : it belongs to another training; the message names what differs
    """
    path = Path(path)
    hint = "remove it to begin anew, or take a copy"
    head, content = len(_MAGIC), path.read_bytes()
    if not content.startswith(_MAGIC):
        raise DataError(f"{path} is no checkpoint of a training; {hint}")
    digest, content = content[head : head + 64], content[head + 65 :]
    if hashlib.sha256(content).hexdigest().encode() != digest:
        raise DataError(f"the checkpoint {path} is damaged (its checksum is wrong); {hint}")
    kept = torch.load(io.BytesIO(content), map_location=device, weights_only=True)
    found = differences(json.loads(kept["fingerprint"]), json.loads(json.dumps(fingerprint)))
    if found:
        raise InputError(
            f"the checkpoint {path} is of another training: {'; '.join(found)}. Give the options "
            "that it was started with, or another folder"
        )
    state: dict[str, Any] = kept["state"]
    return state


def differences(there: Any, here: Any, name: str = "") -> list[str]:
    """In words, where two nested JSON values differ.

    >>> differences({"setup": {"size": "3k", "seed": 1}}, {"setup": {"size": "6k", "seed": 1}})
    ["setup.size is '3k' there and '6k' here"]
    """
    if isinstance(there, dict) and isinstance(here, dict):
        parts = []
        for key in {**there, **here}:
            inner = f"{name}.{key}" if name else key
            parts += differences(there.get(key), here.get(key), inner)
        return parts
    return [] if there == here else [f"{name} is {there!r} there and {here!r} here"]
