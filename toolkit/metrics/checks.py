"""What every metric asks of its arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from toolkit.errors import InputError


def finite(name: str, values: ArrayLike) -> np.ndarray:
    """The values as float64; `InputError` if there are none, or NaN or infinity among them."""
    array = np.asarray(values, dtype=np.float64)
    if array.size == 0:
        raise InputError(f"{name} is empty, shape {array.shape}")
    if not np.isfinite(array).all():
        raise InputError(
            f"{name} holds {np.count_nonzero(~np.isfinite(array))} NaN or infinite values; "
            "leave those neurons or stimuli out first"
        )
    return array


def not_negative(name: str, values: ArrayLike) -> np.ndarray:
    """Finite values of 0 or more (rates, counts)."""
    array = finite(name, values)
    if array.min() < 0:
        raise InputError(f"{name} must be 0 or more, got {array.min():g}")
    return array


def alike(
    first: str, a: ArrayLike, second: str, b: ArrayLike, *, rank: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Two finite arrays of one shape (and of the given rank)."""
    x, y = finite(first, a), finite(second, b)
    if x.shape != y.shape:
        raise InputError(f"{first} has shape {x.shape}, {second} {y.shape}; they must be equal")
    if rank is not None and x.ndim != rank:
        raise InputError(f"{first} needs {rank} dimensions, samples first, got shape {x.shape}")
    return x, y


def of_rank(name: str, values: np.ndarray, rank: int) -> np.ndarray:
    """The array, or `InputError` unless it has `rank` dimensions."""
    if values.ndim != rank:
        raise InputError(f"{name} needs {rank} dimensions, samples first, got shape {values.shape}")
    return values


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """numerator / denominator, NaN where the denominator is 0."""
    zero = denominator == 0
    return np.where(zero, np.nan, numerator / np.where(zero, 1.0, denominator))
