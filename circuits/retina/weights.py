"""Weights of a trained model of the retina as an ``.npz`` file; never unpickled."""

from __future__ import annotations

import dataclasses
import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from circuits.retina.setup import Prepared, Setup, prepare
from toolkit.errors import DataError
from toolkit.files import whole_file
from toolkit.retina.fitting import EncodingModel

FORMAT = 1
WEIGHTS = "weights.npz"
_ABOUT = "about"


@dataclasses.dataclass(frozen=True, eq=False)
class Trained:
    """A model as it was trained, with its data.

    about : plain values that were kept with it: ``setup``, ``cells``, ``trained``
    """

    prepared: Prepared
    model: EncodingModel
    about: dict[str, Any]


def save_model(
    path: str | Path, model: EncodingModel, prepared: Prepared, trained: Mapping[str, Any]
) -> None:
    """Write the weights with the setup they belong to, and plain values about the training."""
    about = {
        "format": FORMAT,
        "setup": dataclasses.asdict(prepared.setup),
        "cells": prepared.cells.tolist(),
        "trained": dict(trained),
    }
    arrays = {name: value.numpy() for name, value in model.state_dict().items()}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **{_ABOUT: np.array(json.dumps(about))}, **arrays)  # type: ignore[arg-type]
    with whole_file(path) as aside:
        aside.write_bytes(buffer.getvalue())


def load_model(path: str | Path) -> Trained:
    """The model of a file of `save_model`, with the data that its setup gives here.

    Raises
    ------
    DataError : the file is damaged or none of these; the recording has other cells with spikes
        here; data that are not there
    """
    path = Path(path)
    about, arrays = read(path)
    prepared = prepare(Setup.of(about["setup"]))
    if prepared.cells.tolist() != about["cells"]:
        raise DataError(
            f"{path} is of {len(about['cells'])} cells of {prepared.setup.data}, here "
            f"{len(prepared.cells)} have spikes: the data are others; train again"
        )
    model = prepared.model()
    own = model.state_dict()
    wrong = {name for name in {*own, *arrays} if not _fits(own.get(name), arrays.get(name))}
    if wrong:
        raise DataError(
            f"{path}: {', '.join(sorted(wrong))} do not fit the model {prepared.setup.model}, or "
            "are not finite; train again"
        )
    model.load_state_dict({name: torch.from_numpy(value) for name, value in arrays.items()})
    return Trained(prepared, model, about)


def _fits(own: torch.Tensor | None, kept: np.ndarray | None) -> bool:
    return (
        own is not None
        and kept is not None
        and tuple(own.shape) == kept.shape
        and kept.dtype == np.float32
        and bool(np.isfinite(kept).all())
    )


def read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What a file says of its model, and its arrays.

    Raises `DataError` for a file that is damaged or none of these.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            about = json.loads(str(file[_ABOUT]))
            arrays = {name: file[name] for name in file.files if name != _ABOUT}
        if about["format"] != FORMAT:
            raise DataError(f"{path} has format {about['format']}; this version reads {FORMAT}")
        Setup.of(about["setup"])
        return {key: about[key] for key in ("setup", "cells", "trained")}, arrays
    except (ValueError, KeyError, TypeError, EOFError, OSError, zipfile.BadZipFile) as error:
        if isinstance(error, DataError | FileNotFoundError):
            raise
        raise DataError(
            f"{path} is no file of a trained retina model, or damaged: {error}"
        ) from error
