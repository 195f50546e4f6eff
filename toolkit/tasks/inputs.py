"""From the parts of stimuli to the rates of input channels over time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from toolkit.errors import InputError
from toolkit.lgn import LGN
from toolkit.recording import Recording
from toolkit.stimuli.frames import Movie
from toolkit.tasks.task import Task, movie

PIXEL_INPUTS = (26, 32)  # 832 inputs, as many as channels of the LGN; a reconstruction


class LGNInput:
    """Rates of the LGN's channels to the items of a task.

        R_c(t) = sum_f max(0, sum_k d_fk (K_f * course_k)(t) + spontaneous_c),
        d_fk = amplitude_f contrast sum_j coefficient_kj (G_f . picture_j)

    over the subfields f of channel c (one, or two), at 1 ms, averaged over steps of dt: what
    `toolkit.lgn.LGN.respond` gives to the movie of an item, since everything before the
    rectification is linear and the movie is a sum of a few products of space and time. Pictures and
    courses are filtered once, here; an item then costs a product of matrices and the rectification,
    so nothing needs to be kept on the disk. Equal to the whole way within 1e-4 Hz for rates up to
    100 Hz (float32; 2e-5 Hz measured).

    Parameters
    ----------
    task : what is shown
    lgn : the filters
    dt_ms : step, whole milliseconds
    device : of the tensors

    Made in 0.6 s for the 784 pixels of MNIST and 832 channels; 4 bytes x pictures x subfields
    (2.6 MB) are kept. A batch of 64 takes 25 to 45 ms on one core.

    Raises
    ------
    InputError : a step that is not whole milliseconds, pixels too coarse for the filters
    """

    def __init__(self, task: Task, lgn: LGN, dt_ms: float, device: torch.device | str):
        n_ms = round(dt_ms)
        if n_ms < 1 or abs(dt_ms - n_ms) > 1e-9:
            raise InputError(
                f"the LGN's kernels are in bins of 1 ms: dt_ms must be 1, 2, ..., got {dt_ms:g}"
            )
        channels = lgn.channels
        pictures = task.pictures(task.canvas.shape)
        # Sums of pictures keep within -1 to 1, single ones need not.
        scale = float(np.abs(pictures).max())
        seen = scale * lgn.seen(Movie(pictures / scale, 1.0, task.canvas.deg_per_px))
        kernel, amplitude, channel = (channels.kernel, channels.amplitude, np.arange(channels.n))
        if channels.second is not None:
            kernel = np.append(kernel, channels.second.kernel)
            amplitude = np.append(amplitude, channels.second.amplitude)
            channel = np.append(channel, channels.second.channel)
        order = np.argsort(kernel, kind="stable")  # subfields of a kernel lie together
        used, counts = np.unique(kernel, return_counts=True)
        spontaneous = channels.spontaneous_Hz[channel][order]

        def tensor(array: np.ndarray) -> torch.Tensor:
            return torch.as_tensor(np.ascontiguousarray(array, dtype=np.float32), device=device)

        self.n_channels = channels.n
        self._task, self._n_steps = task, task.timing.n_steps(dt_ms)
        self._projection = tensor(task.contrast * (seen * amplitude)[:, order])
        self._spontaneous = tensor(spontaneous)
        courses = np.repeat(task.courses(dt_ms), n_ms, axis=1)
        self._groups = []
        for k, stop, n in zip(used, np.cumsum(counts), counts, strict=True):
            filtered = np.stack([np.convolve(c, channels.kernels[k]) for c in courses])
            filtered = filtered[:, : courses.shape[1]].reshape(len(courses), -1, n_ms)
            moves = np.flatnonzero((np.abs(filtered) > 1e-12).any(axis=(0, 2)))
            steps = slice(moves[0], moves[-1] + 1) if len(moves) else slice(0, 0)
            # The response is read as (ms of a step, step, part); the last part is the rate at rest.
            basis = np.concatenate([filtered[:, steps], np.ones_like(filtered[:1, steps])])
            basis = tensor(basis.transpose(2, 1, 0) / n_ms)
            self._groups.append((slice(stop - n, stop), steps, basis))
        # Where the sorted subfields go: nothing to do if they are the channels, in order.
        self._first = self._second = None
        if not np.array_equal(channel[order], np.arange(channels.n)):
            place = np.argsort(order)
            self._first = torch.as_tensor(place[: channels.n], device=device)
            self._second = torch.as_tensor(place[channels.n :], device=device)
            self._second_channel = torch.as_tensor(channel[channels.n :], device=device)

    def rates(self, what: np.ndarray) -> torch.Tensor:
        """The rates of items (rows of `Items.what`), shape (step, item, channel), Hz."""
        drive = _drive(self._task, what, self._projection)
        n, rest = len(drive), self._spontaneous
        parts = torch.cat([drive.transpose(0, 1), rest.expand(1, n, -1)])  # (part, item, subfield)
        rates = drive.new_empty(self._n_steps, n, len(rest))
        for rows, steps, basis in self._groups:
            group = parts[:, :, rows].flatten(1)
            total = torch.mm(basis[0], group).clamp_min_(0)
            once = torch.empty_like(total)
            for at in basis[1:]:
                total += torch.mm(at, group, out=once).clamp_min_(0)
            mine = rates[:, :, rows]
            mine[: steps.start] = rest[rows]
            mine[steps] = total.unflatten(1, (n, -1))
            mine[steps.stop :] = rest[rows]
        if self._first is None:
            return rates
        whole = rates[:, :, self._first]
        return whole.index_add_(2, self._second_channel, rates[:, :, self._second])


class PixelInput:
    """Pixels as rates: the task without an LGN.

    The luminance of a trial (0 black to 1 white; 0 while nothing is shown) on `shape` pixels,
    z-scored over the pixels and the time of each trial to the mean and the standard deviation that
    the LGN's rates have (`Task.pixel_mean_Hz`, `pixel_sd_Hz`), and not below 0. With the default
    timings nothing is below 0.

    Confirmed in the released code: resizing to as many inputs as the LGN has, z-scoring a trial
    to the LGN's mean and deviation; those of our own LGN are used, which drives the column as much.
    A reconstruction: 26 x 32 inputs. Our choice: the canvas fills them without a border; gratings
    are luminances too (there they go from -1 to 1, which as rates would be negative).

    Parameters
    ----------
    task : what is shown
    dt_ms : step
    shape : rows and columns of inputs
    device : of the tensors

    Raises
    ------
    InputError : no inputs
    """

    def __init__(
        self, task: Task, dt_ms: float, shape: tuple[int, int], device: torch.device | str
    ):
        if len(shape) != 2 or min(shape) < 1:
            raise InputError(f"pixels must be (rows, columns) of inputs, got {shape}")
        self._task, self.n_channels = task, shape[0] * shape[1]
        pictures = task.pictures(shape).reshape(-1, self.n_channels)
        self._projection = torch.as_tensor(pictures / 2, device=device)
        courses = task.courses(dt_ms)
        shown = task.timing.shown(dt_ms).sum(axis=0, keepdims=True)
        courses = np.concatenate([courses, shown])
        self._courses = torch.as_tensor(courses, dtype=torch.float32, device=device)

    def rates(self, what: np.ndarray) -> torch.Tensor:
        """The rates of items (rows of `Items.what`), shape (step, item, channel), Hz."""
        drive = _drive(self._task, what, self._projection)
        half = drive.new_full((len(drive), 1, self.n_channels), 0.5)
        parts = torch.cat([drive, half], dim=1)  # contrast / 2 + 1 / 2 is the luminance
        # Mean and variance of sum_k course_k(t) part_k(c), without making it.
        courses = self._courses
        mean = parts.mean(dim=2) @ courses.mean(dim=1)
        in_time = courses @ courses.T / courses.shape[1]
        in_space = parts @ parts.transpose(1, 2) / self.n_channels
        sd = ((in_space * in_time).sum(dim=(1, 2)) - mean**2).clamp_min(1e-12).sqrt()
        gain = self._task.pixel_sd_Hz / sd
        base = (self._task.pixel_mean_Hz - mean * gain)[:, None].expand(-1, self.n_channels)
        parts = torch.cat([parts * gain[:, None, None], base[:, None]], dim=1)
        courses = torch.cat([courses, torch.ones_like(courses[:1])])
        rates = (courses.T @ parts.transpose(0, 1).flatten(1)).clamp_min_(0)
        return rates.unflatten(1, (len(drive), self.n_channels))


class MovieInput:
    """Rates of whatever answers to a movie: slow, every item is a movie of its own.

    Parameters
    ----------
    respond : from a `Movie` in steps of dt to a `Recording` of rates or an array (step, channel),
        Hz
    task, dt_ms : as of the other inputs

    Raises
    ------
    InputError : an answer of another length, or of something else than rates
    """

    def __init__(self, task: Task, respond: Callable[[Movie], Any], dt_ms: float):
        self._task, self._respond, self._dt_ms = task, respond, dt_ms
        self.n_channels = self._answer(task.draw("test").what[0]).shape[1]

    def _answer(self, what: np.ndarray) -> np.ndarray:
        answer = self._respond(movie(self._task, what, self._dt_ms))
        rates = np.asarray(answer.rates_Hz if isinstance(answer, Recording) else answer)
        n_steps = self._task.timing.n_steps(self._dt_ms)
        if rates.ndim != 2 or len(rates) != n_steps or rates.dtype.kind not in "fiu":
            raise InputError(
                f"what answers to a movie of {n_steps} frames must give rates of shape "
                f"({n_steps}, channel), got {rates.dtype} of {rates.shape}"
            )
        return rates

    def rates(self, what: np.ndarray) -> torch.Tensor:
        """The rates of items (rows of `Items.what`), shape (step, item, channel), Hz."""
        answers = np.stack([self._answer(row) for row in what], axis=1)
        return torch.from_numpy(answers.astype(np.float32))


def _drive(task: Task, what: np.ndarray, projection: torch.Tensor) -> torch.Tensor:
    """Parts of items seen by every subfield or pixel, shape (item, part, column)."""
    coefficients = torch.as_tensor(task.coefficients(what), device=projection.device)
    return (coefficients.flatten(0, 1) @ projection).unflatten(0, coefficients.shape[:2])
