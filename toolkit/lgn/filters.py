"""`LGN`: the rates of all channels to a movie, by matrix products and FFTs in PyTorch."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Iterator

import numpy as np
import torch

from toolkit.errors import InputError
from toolkit.lgn.channels import Channels, Subfields
from toolkit.recording import Recording
from toolkit.stimuli.frames import Movie

_CACHED_MOVIES = 4
_CACHED_BYTES = 2**29  # of several movies' spatial responses; a single one may be larger
_FFT_VALUES = 2**21  # numbers in one batch of FFTs: 16 MiB, enough to be fast
_MIN_SIGMA_PX = 0.25  # a narrower Gaussian falls between the pixels
_REACH = 6.0  # sigmas: 4e-9 of a Gaussian lies beyond, less than the rounding of float32 (6e-8)
_WINDOW_DEG = 24.0  # Gaussians centred within such a square share a window; 12 to 40 are as fast


class LGN:
    """Channels ready to see movies.

        S_c(t) = sum_xy G_c(x, y) movie(t, y, x),  R_c(t) = max(0, amplitude (K * S_c)(t) + spont)

    and two such terms for channels with a second subfield (`Channels`). G_c is a Gaussian sampled
    at the pixel centres whose weights sum to 1 over an unbounded patch: what lies beyond the
    movie's border is grey. Before its start the movie is grey too, so rates begin at rest.

    Parameters
    ----------
    channels : the filters

    Notes
    -----
    Gaussians of nearby centres and similar size share a window of the movie that holds all of them
    to 6 sigma (what is left out changes a response to full contrast by less than 4e-9 of its
    size), so that time is that of channels x the pixels of a window, whatever the movie's size.

    Spatial responses of the last few movies are kept, found again by the movies' content. They take
    4 bytes x subfields x frames (77 MB for a second of 17,400 channels), the rates as much again;
    a picture that stays is filtered once.

    Source: Billeh et al. 2020, Neuron 106:388; Durand et al. 2016, J. Neurosci. 36:12144.

    Examples
    --------
    >>> from toolkit import stimuli
    >>> from toolkit.lgn import Channels, temporal_kernel
    >>> kernel = temporal_kernel([3.7, -1.75], [12.9, 28.3], [0, 25])
    >>> pair = Channels(x_deg=[0, 0], y_deg=[0, 0], sigma_deg=2.0, amplitude=[1, -1],
    ...                 spontaneous_Hz=4.0, kernel=0, kernels=[kernel])
    >>> rates = LGN(pair).respond(stimuli.grey(duration_ms=200)).rates_Hz
    >>> rates.shape, float(rates.min()), float(rates.max())
    ((200, 2), 4.0, 4.0)
    """

    def __init__(self, channels: Channels):
        self.channels = channels
        second = channels.second
        fields: list[Channels | Subfields] = [channels]
        if second is not None:
            fields.append(second)
        self._x_deg = np.concatenate([field.x_deg for field in fields])
        self._y_deg = np.concatenate([field.y_deg for field in fields])
        self._sigma_deg = np.concatenate([field.sigma_deg for field in fields])
        self._amplitude = np.concatenate([field.amplitude for field in fields])
        self._kernel = np.concatenate([field.kernel for field in fields])
        self._channel = np.arange(channels.n)
        if second is not None:
            self._channel = np.concatenate([self._channel, second.channel])
        self._drives: OrderedDict[str, torch.Tensor] = OrderedDict()

    def respond(self, movie: Movie) -> Recording:
        """The rates of all channels, Hz, shape (time, channel), with the movie's dt.

        Kernels are defined in bins of 1 ms. A movie of longer frames is held for its frames,
        filtered at 1 ms, and the rates are averaged over each frame.

        Parameters
        ----------
        movie : its dt must be a whole number of milliseconds

        Raises
        ------
        InputError : another dt, or a Gaussian narrower than a quarter of a pixel

        Warns
        -----
        UserWarning : centres of receptive fields lie beyond the movie's border
        """
        n_steps = round(movie.dt_ms)
        if n_steps < 1 or abs(movie.dt_ms - n_steps) > 1e-9:
            raise InputError(
                "temporal kernels are defined in bins of 1 ms; a movie needs frames of a whole "
                f"number of ms, got dt_ms={movie.dt_ms:g}; use movie.resampled(1.0)"
            )
        drive = self._drive(movie)
        n_frames, n = len(movie.frames), self.channels.n
        rates = torch.zeros(n, n_frames)
        for rows in self._batches(n_frames * n_steps):
            held = drive[rows].repeat_interleave(n_steps, dim=1)
            response = self._filtered(held, rows).clamp_min_(0)
            response = response.reshape(len(rows), n_frames, n_steps).mean(dim=2)
            rates.index_add_(0, torch.from_numpy(self._channel[rows]), response.float())
        return Recording.rates(rates.numpy().T, dt_ms=movie.dt_ms)

    def seen(self, movie: Movie) -> np.ndarray:
        """The movie through the Gaussian of every subfield, shape (frame, subfield), float32.

        S of the formula above: first the channels, then the second subfields. Errors and warnings
        are those of `respond`.
        """
        return self._drive(movie).numpy().T

    def _drive(self, movie: Movie) -> torch.Tensor:
        """The movie seen through every Gaussian, shape (subfield, frame), float32."""
        if movie.digest in self._drives:
            self._drives.move_to_end(movie.digest)
            return self._drives[movie.digest]
        self._check_resolution(movie)
        seen = torch.zeros(len(self._kernel), len(movie.changes))
        for rows, window in self._windows(movie):
            weights = torch.from_numpy(self._spatial_weights(movie, rows, window))
            frames = movie.frames[:, *window][movie.changes]  # indexing copies
            seen[rows] = weights @ torch.from_numpy(frames).flatten(1).T
        lengths = np.diff(np.append(movie.changes, len(movie.frames)))
        drive = seen
        if (lengths > 1).any():
            drive = seen.repeat_interleave(torch.from_numpy(lengths), dim=1)
        self._drives[movie.digest] = drive
        while len(self._drives) > 1 and (
            len(self._drives) > _CACHED_MOVIES
            or sum(kept.nbytes for kept in self._drives.values()) > _CACHED_BYTES
        ):
            self._drives.popitem(last=False)
        return drive

    def _check_resolution(self, movie: Movie) -> None:
        """Raise or warn where the movie is too coarse or too small for the receptive fields."""
        if self._sigma_deg.min() < _MIN_SIGMA_PX * movie.deg_per_px:
            raise InputError(
                f"a Gaussian of sigma {self._sigma_deg.min():g} degrees falls between pixels of "
                f"{movie.deg_per_px:g} degrees; use a movie of deg_per_px="
                f"{self._sigma_deg.min() / _MIN_SIGMA_PX:.2g} or less"
            )
        half_height, half_width = (side * movie.deg_per_px / 2 for side in movie.frames.shape[1:])
        beyond = (np.abs(self._x_deg) > half_width) | (np.abs(self._y_deg) > half_height)
        if beyond.any() and movie.frames.any():  # all grey is grey beyond the border, too
            warnings.warn(
                f"{beyond.sum()} of {len(beyond)} receptive fields are centred beyond the movie "
                f"of {2 * half_width:g} x {2 * half_height:g} degrees, where all is grey; a "
                "larger movie (size_deg, deg_per_px) reaches them",
                stacklevel=4,
            )

    def _windows(self, movie: Movie) -> Iterator[tuple[np.ndarray, tuple[slice, slice]]]:
        """Rows of subfields that share a window of the movie, and the window's pixels (y, x).

        Together all subfields but those that see nothing of the movie.
        """
        place = np.stack(
            [
                np.floor(self._x_deg / _WINDOW_DEG),
                np.floor(self._y_deg / _WINDOW_DEG),
                np.ceil(np.log2(self._sigma_deg)),
            ]
        )
        order = np.lexsort(place)
        new = (np.diff(place[:, order], axis=1) != 0).any(axis=0)
        for rows in np.split(order, np.flatnonzero(new) + 1):
            reach = _REACH * self._sigma_deg[rows]
            window = []
            for pixels, centre in ((movie.y_deg, self._y_deg), (movie.x_deg, self._x_deg)):
                start = np.searchsorted(pixels, (centre[rows] - reach).min())
                stop = np.searchsorted(pixels, (centre[rows] + reach).max(), side="right")
                window.append(slice(int(start), int(stop)))
            if all(part.start < part.stop for part in window):
                yield rows, (window[0], window[1])

    def _spatial_weights(
        self, movie: Movie, rows: np.ndarray, window: tuple[slice, slice]
    ) -> np.ndarray:
        """The Gaussians sampled at a window's pixels, shape (subfield, pixel), float32."""
        sigma_deg, side = self._sigma_deg[rows], movie.deg_per_px
        up = _gaussian(movie.y_deg, window[0], self._y_deg[rows], sigma_deg, side)
        across = _gaussian(movie.x_deg, window[1], self._x_deg[rows], sigma_deg, side)
        return (up[:, :, None] * across[:, None, :]).reshape(len(rows), -1)

    def _batches(self, n_steps: int) -> list[np.ndarray]:
        """Rows of subfields, as many at a time as keep the memory of the FFTs bounded."""
        size = max(1, _FFT_VALUES // self._n_fft(n_steps))
        return [
            np.arange(i, min(i + size, len(self._kernel)))
            for i in range(0, len(self._kernel), size)
        ]

    def _n_fft(self, n_steps: int) -> int:
        # Long enough that the end of the movie does not wrap around to its start; a power of two
        # or 3/4 of one is fast.
        needed = n_steps + self.channels.kernels.shape[1] - 1
        power = 1 << (needed - 1).bit_length()
        return power * 3 // 4 if power * 3 // 4 >= needed and power >= 4 else power

    def _filtered(self, drive: torch.Tensor, rows: np.ndarray) -> torch.Tensor:
        """amplitude (K * S) + spontaneous of the given subfields, shape (subfield, step).

        In double precision: an FFT spreads its rounding over all times, and in single precision
        a loud moment would be heard, faintly, before it happens.
        """
        n_steps = drive.shape[1]
        n_fft = self._n_fft(n_steps)
        used, which = np.unique(self._kernel[rows], return_inverse=True)
        kernels = torch.fft.rfft(torch.tensor(self.channels.kernels[used]), n=n_fft)
        spectrum = torch.fft.rfft(drive.double(), n=n_fft) * kernels[torch.from_numpy(which)]
        response = torch.fft.irfft(spectrum, n=n_fft)[:, :n_steps]
        amplitude = torch.from_numpy(self._amplitude[rows])
        spontaneous = torch.from_numpy(self.channels.spontaneous_Hz[self._channel[rows]])
        return response * amplitude[:, None] + spontaneous[:, None]


def _gaussian(
    pixels_deg: np.ndarray,
    window: slice,
    centre_deg: np.ndarray,
    sigma_deg: np.ndarray,
    deg_per_px: float,
) -> np.ndarray:
    """Gaussians along one axis, shape (subfield, pixel of the window), float32.

    They sum to 1 over the lattice of pixels without borders.
    """

    def sampled(at_deg: np.ndarray) -> np.ndarray:
        return np.exp(-0.5 * ((at_deg - centre_deg[:, None]) / sigma_deg[:, None]) ** 2)

    # The lattice of pixels around each centre, far beyond the border and 8 sigma wide.
    reach = int(np.ceil(8 * sigma_deg.max() / deg_per_px)) + 1
    nearest = np.round((centre_deg - pixels_deg[0]) / deg_per_px)[:, None]
    lattice = pixels_deg[0] + (nearest + np.arange(-reach, reach + 1)) * deg_per_px
    total = sampled(lattice).sum(axis=1, keepdims=True)
    return (sampled(pixels_deg[None, window]) / total).astype(np.float32)
