"""Trained weights in small files: changes in half precision, and what they are changes of."""

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

from circuits.training.setup import Prepared, Setup, prepare
from toolkit.errors import DataError, InputError
from toolkit.files import whole_file
from toolkit.learning import TrainableRates, Weights

FORMAT = 1
_WEIGHTS = ("recurrent", "from_inputs")


def round_weights(prepared: Prepared) -> dict[str, np.ndarray]:
    """Round the model's weights in place to what a file holds of them; gives the file's arrays.

    Of log weights theta the change theta - theta_0 is kept in half precision: changes are of the
    order of 1, so that weights keep 3 to 4 digits. Others are kept themselves.
    """
    kept = {}
    for name in _WEIGHTS:
        weights: Weights = getattr(prepared.model, name)
        start = prepared.start[f"{name}.trained"]
        base = start if weights.constraint == "log" else torch.zeros_like(start)
        half = (weights.trained.detach() - base).half()
        if not torch.isfinite(half).all():
            raise InputError(f"the weights {name} do not fit into half precision")
        with torch.no_grad():
            weights.trained.copy_(base + half.float())
        kept[name] = half.cpu().numpy()
    return kept


def save_weights(
    path: str | Path, prepared: Prepared, trained: Mapping[str, Any] | None = None
) -> None:
    """Write the trained weights; the model's own are rounded to what the file holds.

    Parameters
    ----------
    path : an ``.npz`` file
    prepared : with a trained model
    trained : plain values to keep with them: options, accuracies, steps

    2 bytes a connection, compressed: below 1 MB for 3,000 neurons.
    """
    arrays = round_weights(prepared)
    about = {
        "format": FORMAT,
        "setup": dataclasses.asdict(prepared.setup),
        "network": prepared.network.digest(),
        "trained": dict(trained or prepared.trained),
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, about=np.array(json.dumps(about)), **arrays)  # type: ignore[arg-type]
    with whole_file(path) as aside:
        aside.write_bytes(buffer.getvalue())


def load_trained(path: str | Path, *, device: torch.device | str = "cpu") -> Prepared:
    """The trained network of a file of `save_weights`, built again from its setup.

    Raises
    ------
    DataError : the file is damaged or none of these; the circuit that its setup gives here is
        another one; pictures that are not there
    """
    path = Path(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            about = json.loads(str(file["about"]))
            arrays = {name: file[name] for name in _WEIGHTS}
        if about["format"] != FORMAT:
            raise DataError(f"{path} has format {about['format']}; this version reads {FORMAT}")
        setup, digest, trained = Setup.of(about["setup"]), about["network"], about["trained"]
    except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} is no file of trained weights, or damaged: {error}") from error
    prepared = prepare(setup, device=device)
    if prepared.network.digest() != digest:
        raise DataError(
            f"{path}: its setup gives another circuit here (tables or the version of Striate have "
            "changed); train again"
        )
    _put(prepared.model, arrays, prepared.start, path)
    return dataclasses.replace(prepared, trained=trained)


def _put(
    model: TrainableRates,
    arrays: Mapping[str, np.ndarray],
    start: Mapping[str, torch.Tensor],
    path: Path,
) -> None:
    for name in _WEIGHTS:
        weights: Weights = getattr(model, name)
        kept = torch.from_numpy(arrays[name].astype(np.float32)).to(weights.trained.device)
        if kept.shape != weights.trained.shape or not torch.isfinite(kept).all():
            raise DataError(f"{path}: the weights {name} do not fit the network, or are not finite")
        if weights.constraint == "log":
            kept = start[f"{name}.trained"] + kept
        with torch.no_grad():
            weights.trained.copy_(kept)
