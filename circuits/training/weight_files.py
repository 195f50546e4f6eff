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
SHIPPED = Path(__file__).with_name("data")
_WEIGHTS = ("recurrent", "from_inputs")
_SIGMA = "sigma_mV"  # that F was taken at in training, if it is not that of the untrained network


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
    sigma_mV, start_mV = prepared.model.curve.sigma_mV, prepared.start_sigma_mV
    if sigma_mV is not None and start_mV is not None and (sigma_mV != start_mV).any():
        kept[_SIGMA] = sigma_mV
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
    about, arrays = _read(path)
    prepared = prepare(about["setup"], device=device)
    if prepared.network.digest() != about["network"]:
        raise DataError(
            f"{path}: its setup gives another circuit here (tables or the version of Striate have "
            "changed); train again"
        )
    _put(prepared.model, arrays, prepared.start, path)
    if _SIGMA in arrays:
        prepared.model.set_sigma(torch.from_numpy(arrays[_SIGMA]))
    return dataclasses.replace(prepared, trained=about["trained"])


def shipped(seed: int, *, for_spikes: bool = False) -> Path:
    """The file of the default 3k column, trained on all three tasks through the LGN.

    Seeds 1 to 3; made by ``python benchmarks/thesis.py default_lgn_1 default_lgn_1_longer`` and so
    on. `load_trained` needs MNIST and CIFAR-10 in the data folder for them.

    Parameters
    ----------
    for_spikes : those that were trained on, for `converters.to_spiking` and ``striate convert``:
        answers from pools of 150 cells in all layers, 21 cells behind an LGN channel. Made by
        ``python benchmarks/trained_conversion.py --train``

    Raises
    ------
    InputError : another seed

    >>> shipped(1).name, shipped(2, for_spikes=True).name
    ('default_3k_seed_1.npz', 'for_spikes_3k_seed_2.npz')
    """
    kind = "for_spikes" if for_spikes else "default"
    path = SHIPPED / f"{kind}_3k_seed_{seed}.npz"
    if not path.is_file():
        names = SHIPPED.glob(f"{kind}_3k_seed_*.npz")
        seeds = ", ".join(sorted(name.stem.rsplit("_", 1)[1] for name in names))
        more = " for spikes" if for_spikes else ""
        raise InputError(f"weights{more} of seeds {seeds} come with Striate, not of {seed}")
    return path


def start_from(path: str | Path, prepared: Prepared) -> None:
    """Give the model the trained weights of a file, to train it further under another setup.

    Training brings weights that are larger than the setup allows down to its limit
    (`TrainingOptions.limit_steps`); F stays as it is.

    Parameters
    ----------
    path : of `save_weights`
    prepared : of the same circuit

    Raises
    ------
    InputError : the weights are of another circuit
    DataError : as of `load_trained`
    """
    path = Path(path)
    about, _ = _read(path)
    if prepared.network.digest() != about["network"]:
        raise InputError(
            f"{path} has the weights of another circuit ({about['setup']}); a training can start "
            "from those of its own size, seed and scenario"
        )
    # Files have differences from the weights before training, which setups may have limited.
    trained = load_trained(path).model
    with torch.no_grad():
        for name in _WEIGHTS:
            own: Weights = getattr(prepared.model, name)
            own.trained.copy_(getattr(trained, name).trained)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What a file says of its weights, and its arrays."""
    try:
        with np.load(path, allow_pickle=False) as file:
            about = json.loads(str(file["about"]))
            arrays = {name: file[name] for name in (*_WEIGHTS, _SIGMA) if name in file}
        if about["format"] != FORMAT:
            raise DataError(f"{path} has format {about['format']}; this version reads {FORMAT}")
        own = {key: about[key] for key in ("network", "trained")}
        return {**own, "setup": Setup.of(about["setup"])}, arrays
    except (ValueError, KeyError, TypeError, EOFError, OSError, zipfile.BadZipFile) as error:
        if isinstance(error, DataError | FileNotFoundError):
            raise
        raise DataError(f"{path} is no file of trained weights, or damaged: {error}") from error


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
