"""Plots of recordings, rates and tuning, on axes that the caller makes.

Everything goes through matplotlib's objects, never through pyplot: no figure stays in memory and
none opens a window. Make figures within `style`; `png` gives the bytes of the file.

    with plots.style():
        figure = plots.new_figure(6, 4)
        plots.raster(figure.add_subplot(), recording, rows=np.arange(100))
        image = plots.png(figure)
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from toolkit.errors import InputError
from toolkit.metrics.agreement import LOG_FLOOR_HZ, log_rates
from toolkit.recording import Recording

# Of Okabe and Ito 2008, told apart by colour-blind readers too; purple darker, for thin lines.
VERMILION, BLUE, GREEN, PURPLE = "#D55E00", "#0072B2", "#009E73", "#B5578C"
ORANGE, SKY, INK, MIDDLE, PALE = "#E69F00", "#56B4E9", "#222222", "#8A8A8A", "#D9D9D9"

_STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "axes.labelsize": 8.5,
    "axes.edgecolor": "#555555",
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}
_RATE_TICKS_HZ = (0, 1, 10, 100, 1000)
_COMPRESSED_TICKS_HZ = (0, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)


@contextmanager
def style() -> Iterator[None]:
    """Fonts and lines of all figures; what was set before comes back on leaving."""
    with matplotlib.rc_context(_STYLE):  # type: ignore[arg-type]  # the stubs want literal keys
        yield


def new_figure(width_in: float, height_in: float) -> Figure:
    """An empty figure that belongs to nobody, inches."""
    figure = Figure(figsize=(width_in, height_in))
    FigureCanvasAgg(figure)
    return figure


def png(figure: Figure, *, dpi: int = 140) -> bytes:
    """The figure as a PNG file.

    >>> png(new_figure(1, 1))[:4]
    b'\\x89PNG'
    """
    buffer = io.BytesIO()
    with style():
        figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()


def raster(
    axes: Axes,
    recording: Recording,
    rows: np.ndarray,
    *,
    colours: Sequence[str] | None = None,
    zero_ms: float = 0.0,
) -> None:
    """Spikes over time, a row a neuron.

    Parameters
    ----------
    axes : where to draw
    recording : spikes
    rows : neurons to show, from top to bottom
    colours : of each row; one ink by default
    zero_ms : the time called 0

    Raises
    ------
    InputError : a recording of rates, or another number of colours than rows
    """
    if recording.spike_times_ms is None or recording.spike_ids is None:
        raise InputError("a raster needs a recording of spikes; rates.to_spikes(seed) draws them")
    colour_of = np.asarray(colours if colours is not None else [INK] * len(rows))
    if len(colour_of) != len(rows):
        raise InputError(f"{len(colour_of)} colours for {len(rows)} rows; one each is needed")
    place = np.full(recording.n, -1)
    place[rows] = np.arange(len(rows))
    row = place[recording.spike_ids]
    times, row = recording.spike_times_ms[row >= 0] - zero_ms, row[row >= 0]
    row_pt = 72 * axes.bbox.height / axes.figure.dpi / max(len(rows), 1)
    size_pt = min(max(row_pt, 2.0), 6.0)
    for colour in dict.fromkeys(colour_of.tolist()):
        own = colour_of[row] == colour
        axes.plot(times[own], row[own], "|", ms=size_pt, mew=0.7, color=colour)
    axes.set(xlim=(-zero_ms, recording.duration_ms - zero_ms), ylim=(len(rows) - 0.5, -0.5))


def rate_scatter(
    axes: Axes,
    predicted_Hz: np.ndarray,
    observed_Hz: np.ndarray,
    groups: Mapping[str, np.ndarray],
    colours: Mapping[str, str],
) -> None:
    """Observed (y) against predicted rates (x), log10(r + 0.1 Hz) on both axes, identity line.

    Parameters
    ----------
    axes : where to draw
    predicted_Hz, observed_Hz : shape (..., neuron)
    groups : mask of the neurons of each group, drawn in this order
    colours : of each group

    Raises
    ------
    InputError : NaN or negative rates
    """
    x, y = log_rates(predicted_Hz), log_rates(observed_Hz)
    low, high = np.log10(LOG_FLOOR_HZ) - 0.08, max(x.max(), y.max(), log_rates([2.0])[0]) + 0.1
    axes.plot([low, high], [low, high], color=MIDDLE, lw=0.8, zorder=1)
    size, alpha = (1.7, 0.35) if x.size > 4000 else (2.6, 0.55)
    for name, mask in groups.items():
        axes.plot(
            x[..., mask].ravel(),
            y[..., mask].ravel(),
            linestyle="none",
            marker="o",
            ms=size,
            mew=0,
            alpha=alpha,
            color=colours[name],
            label=name,
        )
    ticks = [tick for tick in _RATE_TICKS_HZ if log_rates([tick])[0] < high]
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(log_rates(ticks).tolist(), [f"{tick:g}" for tick in ticks])
        axis.set_ticks(log_rates([0.2, 0.5, 2, 5, 20, 50]).tolist(), minor=True)
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")


def tuning_curve(
    axes: Axes,
    directions_deg: np.ndarray,
    trials_Hz: np.ndarray,
    predicted_Hz: np.ndarray,
    *,
    colour: str = VERMILION,
) -> None:
    """Trial mean with its standard error as points, the prediction as a line.

    Parameters
    ----------
    axes : where to draw
    directions_deg : shape (direction,)
    trials_Hz : rates of single trials, shape (trial, direction)
    predicted_Hz : shape (direction,)
    colour : of the line
    """
    error = trials_Hz.std(axis=0, ddof=1) / np.sqrt(len(trials_Hz))
    axes.plot(directions_deg, predicted_Hz, color=colour, lw=1.5, label="rate form")
    axes.errorbar(
        directions_deg,
        trials_Hz.mean(axis=0),
        error,
        fmt="o",
        ms=2.8,
        lw=0.8,
        color=INK,
        label="spiking, mean and s.e.m.",
    )
    axes.yaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))
    axes.set(xticks=[0, 90, 180, 270], ylim=(0, max(0.1, 1.1 * axes.get_ylim()[1])))


def paired_bars(
    axes: Axes, first: np.ndarray, second: np.ndarray, colours: Sequence[str], *, width: float = 0.3
) -> None:
    """Two bars a category: the first filled, the second pale with a coloured edge.

    They stand at k - `width` and at k, so that k + `width` is free for `with_quartiles`.
    """
    place = np.arange(len(first))
    axes.bar(place - width, first, width, color=colours)
    axes.bar(place, second, width * 0.86, color="white", edgecolor=colours, lw=1.1)


def with_quartiles(
    axes: Axes,
    place: np.ndarray,
    median: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    *,
    few: np.ndarray,
) -> None:
    """Medians as diamonds with whiskers from `low` to `high`; hollow where `few`; NaN left out."""
    axes.vlines(place, low, high, color=INK, lw=0.9, zorder=3)
    for mask, face in ((~few, INK), (few, "white")):
        axes.plot(
            place[mask],
            median[mask],
            linestyle="none",
            marker="D",
            ms=3.6,
            mew=0.9,
            mec=INK,
            mfc=face,
            zorder=4,
        )


def compressed_rate_axis(axes: Axes, max_Hz: float) -> None:
    """A y axis that is linear to about 1 Hz and logarithmic above, and has a 0."""
    axes.set_yscale("asinh", linear_width=1.0)
    ticks = [tick for tick in _COMPRESSED_TICKS_HZ if tick <= max_Hz]
    axes.yaxis.set_ticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.yaxis.set_ticks([], minor=True)
    axes.set_ylim(0, max_Hz)


def psth_pair(
    axes: Axes, time_ms: np.ndarray, spikes_Hz: np.ndarray, rates_Hz: np.ndarray, *, colour: str
) -> None:
    """Binned spikes as a grey area, binned rates as a line; `time_ms` are the bins' starts."""
    edges = np.append(time_ms, 2 * time_ms[-1] - time_ms[-2])
    axes.stairs(spikes_Hz, edges, fill=True, color=PALE)
    axes.plot((edges[:-1] + edges[1:]) / 2, rates_Hz, color=colour, lw=1.0)
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    axes.set(xlim=(edges[0], edges[-1]), ylim=(0, None))
