"""What the channels of the LGN are: receptive fields, kernels, rates at rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from toolkit.errors import InputError


@dataclass(frozen=True, eq=False, init=False)
class Subfields:
    """Second subfields, one row for each channel that has one.

    Attributes
    ----------
    channel : number of the channel, each at most once
    x_deg, y_deg : centre from the centre of the patch
    sigma_deg : standard deviation of the Gaussian, above 0
    amplitude : signed gain, see `Channels`
    kernel : row of `Channels.kernels`

    Every field is an array of shape (row,); a single number stands for all rows.
    """

    channel: np.ndarray
    x_deg: np.ndarray
    y_deg: np.ndarray
    sigma_deg: np.ndarray
    amplitude: np.ndarray
    kernel: np.ndarray

    def __init__(
        self,
        channel: ArrayLike,
        x_deg: ArrayLike,
        y_deg: ArrayLike,
        sigma_deg: ArrayLike,
        amplitude: ArrayLike,
        kernel: ArrayLike,
    ) -> None:
        n = np.size(channel)
        _set(self, n, np.int64, channel=channel, kernel=kernel)
        _set(self, n, np.float64, x_deg=x_deg, y_deg=y_deg)
        _set(self, n, np.float64, sigma_deg=sigma_deg, amplitude=amplitude)
        _check_sigma(self.sigma_deg)
        if len(np.unique(self.channel)) != n:
            raise InputError("a channel can have only one second subfield; some are named twice")


@dataclass(frozen=True, eq=False, init=False)
class Channels:
    """The filters of n channels.

    The rate of a channel, with S the movie seen through its unit-volume Gaussian, is

        R(t) = max(0, amplitude (K * S)(t) + spontaneous)

    and for a channel with a second subfield (2) the sum of two rectified responses,

        R(t) = max(0, a (K * S)(t) + spontaneous) + max(0, a2 (K2 * S2)(t) + spontaneous)

    so that such a channel fires at 2 x spontaneous at rest.

    Attributes
    ----------
    x_deg, y_deg : centre of the receptive field from the centre of the patch, shape (n,)
    sigma_deg : standard deviation of the Gaussian, above 0, shape (n,)
    amplitude : signed gain: 1 for ON, -1 for OFF, other values where fitted, shape (n,)
    spontaneous_Hz : 0 or more, shape (n,)
    kernel : row of `kernels`, shape (n,)
    kernels : temporal kernels in bins of 1 ms of lag, Hz, shape (kernel, lag); a list of unequal
        lengths is filled up with zeros
    second : `Subfields` of the channels that have two, or None

    The length of `x_deg` is n; elsewhere a single number stands for all channels.

    Raises
    ------
    InputError : unequal lengths, NaN, sigma not above 0, negative rates, rows that do not exist

    Source: Billeh et al. 2020, Neuron 106:388.

    Examples
    --------
    >>> from toolkit.lgn import temporal_kernel
    >>> kernel = temporal_kernel([3.7, -1.75], [12.9, 28.3], [0, 25])
    >>> pair = Channels(x_deg=[0, 0], y_deg=[0, 0], sigma_deg=2.0, amplitude=[1, -1],
    ...                 spontaneous_Hz=4.0, kernel=0, kernels=[kernel])
    >>> pair.n, pair.sigma_deg.tolist(), pair.kernels.shape
    (2, [2.0, 2.0], (1, 625))
    """

    x_deg: np.ndarray
    y_deg: np.ndarray
    sigma_deg: np.ndarray
    amplitude: np.ndarray
    spontaneous_Hz: np.ndarray
    kernel: np.ndarray
    kernels: np.ndarray
    second: Subfields | None = None

    def __init__(
        self,
        x_deg: ArrayLike,
        y_deg: ArrayLike,
        sigma_deg: ArrayLike,
        amplitude: ArrayLike,
        spontaneous_Hz: ArrayLike,
        kernel: ArrayLike,
        kernels: Sequence[ArrayLike] | np.ndarray,
        second: Subfields | None = None,
    ) -> None:
        n = np.size(x_deg)
        if n < 1:
            raise InputError("channels need at least one centre in x_deg, got none")
        _set(self, n, np.float64, x_deg=x_deg, y_deg=y_deg, sigma_deg=sigma_deg)
        _set(self, n, np.float64, amplitude=amplitude, spontaneous_Hz=spontaneous_Hz)
        _set(self, n, np.int64, kernel=kernel)
        object.__setattr__(self, "kernels", _stacked(kernels))
        object.__setattr__(self, "second", second)
        _check_sigma(self.sigma_deg)
        if (self.spontaneous_Hz < 0).any():
            raise InputError(f"spontaneous_Hz must be 0 or more, got {self.spontaneous_Hz.min():g}")
        _check_rows("kernel", self.kernel, len(self.kernels))
        if self.second is not None:
            _check_rows("kernel of the second subfields", self.second.kernel, len(self.kernels))
            _check_rows("channel of the second subfields", self.second.channel, n)

    @property
    def n(self) -> int:
        """Number of channels."""
        return len(self.x_deg)

    @property
    def resting_Hz(self) -> np.ndarray:
        """Rate of every channel under grey, shape (n,)."""
        rates = self.spontaneous_Hz.copy()
        if self.second is not None:
            rates[self.second.channel] *= 2
        return rates


def _set(fields: Subfields | Channels, n: int, dtype: type, **columns: ArrayLike) -> None:
    """Store columns as read-only arrays of length n, once checked."""
    for name, values in columns.items():
        given = np.asarray(values)
        if given.shape not in ((), (n,)) or given.dtype.kind not in "iuf":
            raise InputError(
                f"{name} must be one number or {n} of them (one a row), got "
                f"shape {given.shape} of {given.dtype}"
            )
        if not np.isfinite(given).all():
            raise InputError(f"{name} holds NaN or infinity")
        array: np.ndarray = np.broadcast_to(given, (n,)).astype(dtype)
        if dtype is np.int64 and (array != given).any():
            raise InputError(f"{name} must be whole numbers, got {given.tolist()}")
        array.flags.writeable = False
        object.__setattr__(fields, name, array)


def _check_sigma(sigma_deg: np.ndarray) -> None:
    if (sigma_deg <= 0).any():
        raise InputError(f"sigma_deg must be above 0, got {sigma_deg.min():g}")


def _check_rows(name: str, rows: np.ndarray, n: int) -> None:
    if len(rows) and (rows.min() < 0 or rows.max() >= n):
        raise InputError(f"{name}: {rows.min()} to {rows.max()} are not within 0 to {n - 1}")


def _stacked(kernels: Sequence[ArrayLike] | np.ndarray) -> np.ndarray:
    rows = [np.asarray(kernel, dtype=np.float64) for kernel in kernels]
    if not rows or any(row.ndim != 1 or not len(row) for row in rows):
        raise InputError(
            "kernels must be a matrix (kernel, lag) or a list of kernels of temporal_kernel()"
        )
    stacked = np.zeros((len(rows), max(map(len, rows))))
    for row, kernel in zip(stacked, rows, strict=True):
        row[: len(kernel)] = kernel
    if not np.isfinite(stacked).all():
        raise InputError("kernels hold NaN or infinity")
    stacked.flags.writeable = False
    return stacked
