"""Pixels around receptive fields, and smooth functions of time: inputs of small read-outs."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from toolkit.errors import InputError
from toolkit.retina.data import Experiment

SIDE = 13  # pixels, odd: holds the fields of the recordings (half-widths of 2 to 6); our choice


def patches(contrast: np.ndarray, centre: np.ndarray, side: int = SIDE) -> Tensor:
    """Contrast in squares around centres, float32 (frame, cell, side * side); grey (0) outside.

    >>> patches(np.ones((1, 4, 4), np.float32), np.array([[0, 0]]), 3).reshape(3, 3).tolist()
    [[0.0, 0.0, 0.0], [0.0, 1.0, 1.0], [0.0, 1.0, 1.0]]
    """
    half = side // 2
    wide = np.pad(contrast, ((0, 0), (half, half), (half, half)))
    corner = np.rint(centre).astype(np.int64)
    rows = corner[:, 0, None, None] + np.arange(side)[:, None]
    columns = corner[:, 1, None, None] + np.arange(side)
    return torch.from_numpy(wide[:, rows, columns].reshape(len(wide), len(centre), side * side))


def blobs(half_width: np.ndarray, side: int = SIDE) -> Tensor:
    """Gaussians of norm 1, sd half the half-width of each field, (cell, side * side)."""
    away = np.arange(side) - side // 2
    sd = np.maximum(half_width / 2, 0.6)[:, :, None]
    profile = np.exp(-np.square(away / sd) / 2)
    blob = (profile[:, 0, :, None] * profile[:, 1, None, :]).reshape(len(sd), -1)
    return torch.from_numpy((blob / np.linalg.norm(blob, axis=1, keepdims=True)).astype("float32"))


def roughness(filters: Tensor) -> Tensor:
    """Mean over filters (..., side * side) of the squared Laplacian, zeros around."""
    side = round(filters.shape[-1] ** 0.5)
    f = torch.nn.functional.pad(filters.reshape(-1, side, side), (1, 1, 1, 1))
    inner = f[:, 1:-1, 1:-1]
    laplacian = f[:, :-2, 1:-1] + f[:, 2:, 1:-1] + f[:, 1:-1, :-2] + f[:, 1:-1, 2:] - 4 * inner
    return laplacian.square().sum(dim=(1, 2)).mean()


def cosines(n: int, n_lags: int) -> Tensor:
    """Raised cosines, denser at short lags, orthonormal rows (n, n_lags) (Pillow et al. 2008)."""
    lag = np.log(np.arange(n_lags) + 2.0)
    centres = np.linspace(lag[0], lag[-1], n)
    width = 2 * (centres[1] - centres[0]) if n > 1 else 1.0
    bumps = 0.5 * (1 + np.cos(np.clip((lag - centres[:, None]) * np.pi / width, -np.pi, np.pi)))
    return torch.from_numpy(np.linalg.qr(bumps.T)[0].T.astype("float32").copy())


def fields_of(experiment: Experiment) -> tuple[np.ndarray, np.ndarray]:
    """Centres and half-widths of the receptive fields in pixels, each (cell, 2).

    Raises `InputError` for an experiment without them.
    """
    if experiment.fields is None:
        raise InputError(
            f"{experiment.name} has no receptive fields, at which models look: take one that has "
            "(movies and natural images)"
        )
    return np.asarray(experiment.fields.centre), np.asarray(experiment.fields.half_width)
