"""Simple and complex cells, selectivity, and preferred orientation before and after training.

Gratings are shown as the tasks' own are, through the LGN or as pixels: drifting ones in twelve
directions, and standing ones of eight phases and four orientations.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from matplotlib.figure import Figure

from circuits import v1
from circuits.analysis.accuracy import tabulated
from circuits.analysis.result import Options, Result
from circuits.analysis.trials import start_weights
from circuits.training.setup import Prepared
from toolkit import metrics, plots
from toolkit.metrics.modulation import (
    SIMPLE,
    modulation_ratio,
    phase_selectivity,
    preferred_orientation,
)
from toolkit.rng import stream
from toolkit.scan import scan
from toolkit.table import Table
from toolkit.tasks import LGNInput, PixelInput, Timing, fine_orientation
from toolkit.tasks.inputs import PIXEL_INPUTS
from toolkit.tasks.orientation import FineOrientation

NAME = "cells"
N_DIRECTIONS, N_PHASES, N_ORIENTATIONS = 12, 8, 4
FREQUENCY_HZ = 2.0
PERIODS = 2  # that are counted, after one that is not
STANDING_MS, SKIP_MS = 250.0, 50.0  # of standing gratings, the beginning not counted
ACTIVE_HZ = 0.5  # at the best direction; quieter neurons have no tuning here
TUNED_OSI = 0.1  # below, a preferred orientation means little
N_PERMUTATIONS = 1000
BEFORE, AFTER = "before", "after"


@dataclass(frozen=True)
class Tuning:
    """What gratings say of each neuron; NaN where that is not defined. All (neuron,).

    best_Hz : mean rate at the preferred direction
    osi, dsi : of drifting gratings
    orientation_deg : preferred, the direction in which the grating drifts, 0 to 180
    f1_f0 : at the preferred direction
    phase_f1_f0, phase_deg : over the phase of standing gratings, at the preferred orientation
    """

    best_Hz: np.ndarray
    osi: np.ndarray
    dsi: np.ndarray
    orientation_deg: np.ndarray
    f1_f0: np.ndarray
    phase_f1_f0: np.ndarray
    phase_deg: np.ndarray


def tuning(trained: Prepared, weights: torch.Tensor | None = None) -> Tuning:
    """Show gratings to the network, with its own weights or others (pA/Hz)."""
    dt_ms = trained.setup.dt_ms
    period_ms = 1000 / FREQUENCY_HZ
    task = _gratings(FREQUENCY_HZ, (1 + PERIODS) * period_ms, N_DIRECTIONS)
    what = np.stack([np.arange(N_DIRECTIONS), np.zeros(N_DIRECTIONS)], axis=1)
    rates = _rates(trained, task, what, weights)[:, round(period_ms / dt_ms) :]
    directions = np.arange(N_DIRECTIONS) * (360 / N_DIRECTIONS)
    mean = rates.mean(axis=1)
    best, neurons = mean.argmax(axis=0), np.arange(rates.shape[2])
    at_best = rates[best, :, neurons].T

    still = _gratings(0.0, STANDING_MS, 2 * N_ORIENTATIONS)
    phases = np.arange(N_PHASES) * (360 / N_PHASES)
    angle, phase = np.meshgrid(np.arange(N_ORIENTATIONS), np.radians(phases))
    what = np.stack([angle.ravel(), phase.ravel()], axis=1)
    standing = _rates(trained, still, what, weights)[:, round(SKIP_MS / dt_ms) :].mean(axis=1)
    standing = standing.reshape(N_PHASES, N_ORIENTATIONS, -1)
    strongest = standing.mean(axis=0).argmax(axis=0)
    depth, preferred = phase_selectivity(standing[:, strongest, neurons], phases)
    return Tuning(
        mean[best, neurons],
        metrics.osi(mean, directions),
        metrics.dsi(mean, directions),
        preferred_orientation(mean, directions),
        modulation_ratio(at_best, FREQUENCY_HZ, dt_ms),
        depth,
        preferred,
    )


def _gratings(frequency_Hz: float, duration_ms: float, n_directions: int) -> FineOrientation:
    """Gratings of directions 0, 360/n, ... degrees, on for the whole trial."""
    step = 360 / n_directions
    return fine_orientation(
        boundary_deg=180.0,
        range_deg=180.0,
        step_deg=step,
        temporal_frequency_Hz=frequency_Hz,
        timing=Timing((0.0,), duration_ms, (0.0, duration_ms), duration_ms),
    )


@torch.no_grad()
def _rates(
    trained: Prepared, task: FineOrientation, what: np.ndarray, weights: torch.Tensor | None
) -> np.ndarray:
    """Rates of items, Hz, float64 (item, step, neuron)."""
    model, dt_ms, device = trained.model, trained.setup.dt_ms, trained.data.device
    made: LGNInput | PixelInput
    if trained.setup.lgn:
        made = LGNInput(task, v1.lgn(trained.network), dt_ms, device)
    else:
        made = PixelInput(task, dt_ms, PIXEL_INPUTS, device)
    rates = scan(
        model.connections,
        model.system,
        model.weights() if weights is None else weights,
        model.constant_pA,
        made.rates(what).transpose(0, 1),
        backend=model.backend,
    )
    return rates.cpu().double().numpy()


def turned_deg(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """How far orientations are apart, degrees, 0 to 90.

    >>> turned_deg(np.array([10.0, 90.0]), np.array([170.0, 45.0]))
    array([20., 45.])
    """
    return np.abs((second - first + 90) % 180 - 90)


def analyse(trained: Prepared, options: Options) -> Result:
    """F1/F0, selectivity and phase tuning by class, and preferred orientations that moved."""
    found = {BEFORE: tuning(trained, start_weights(trained)), AFTER: tuning(trained)}
    classes = list(dict.fromkeys(trained.cell_class.tolist()))
    drawn = trained.network.neurons.get("tuning_deg")
    by_class = _by_class(trained, found, classes)
    neurons: dict[str, np.ndarray] = {"cell_class": trained.cell_class}
    if drawn is not None:
        neurons["drawn_angle_deg"] = drawn
    for when, each in found.items():
        neurons |= {f"{name}_{when}": values for name, values in vars(each).items()}
    findings = []
    for label, mask in (
        ("excitatory", trained.network.excitatory),
        ("inhibitory", ~trained.network.excitatory),
    ):
        before, after = (_summary(found[when], mask) for when in (BEFORE, AFTER))
        findings.append(
            f"{label} (medians; in brackets before training): F1/F0 {after['f1_f0']:.2f} "
            f"({before['f1_f0']:.2f}), {100 * after['simple']:.0f} % simple "
            f"({100 * before['simple']:.0f} %); OSI {after['osi']:.3f} ({before['osi']:.3f}), "
            f"{100 * after['tuned']:.0f} % of {TUNED_OSI:g} or more "
            f"({100 * before['tuned']:.0f} %), DSI {after['dsi']:.3f} ({before['dsi']:.3f}); F1/F0 "
            f"over the phase of standing gratings {after['phase_f1_f0']:.2f} "
            f"({before['phase_f1_f0']:.2f}). Counted are the neurons that reach {ACTIVE_HZ:g} Hz, "
            f"{100 * after['active']:.0f} % ({100 * before['active']:.0f} %)."
        )
    pairs = {"before training": found[BEFORE].orientation_deg}
    if drawn is not None:
        pairs["the angle that the circuit was drawn with"] = drawn % 180
    tuned = _tuned(found[AFTER])
    for name, reference in pairs.items():
        where = tuned & np.isfinite(reference)
        findings.append(_alignment(reference[where], found[AFTER].orientation_deg[where], name,
                                   options.seed))  # fmt: skip
    return Result(
        "Simple and complex cells",
        {"tuning_by_class": by_class, "tuning_of_neurons": Table(neurons)},
        tuple(findings),
        partial(_draw, trained, found, classes),
        "F1/F0 of drifting gratings at the preferred direction (line: the classical bound of "
        "simple cells); selectivity of each class, median; preferred orientations of tuned neurons "
        "before and after training; F1/F0 over the phase of standing gratings.",
    )


def _active(each: Tuning) -> np.ndarray:
    return each.best_Hz >= ACTIVE_HZ


def _tuned(each: Tuning) -> np.ndarray:
    return _active(each) & (each.osi >= TUNED_OSI) & np.isfinite(each.orientation_deg)


def _summary(each: Tuning, mask: np.ndarray) -> dict[str, float]:
    """Of the neurons of a mask the share that is active, and of those medians and shares."""
    own = mask & _active(each)
    out = {"active": float(own.sum() / max(mask.sum(), 1))}
    for name in ("osi", "dsi", "f1_f0", "phase_f1_f0"):
        out[name] = float(np.nanmedian(getattr(each, name)[own])) if own.any() else np.nan
    out["simple"] = float((each.f1_f0[own] > SIMPLE).mean()) if own.any() else np.nan
    out["tuned"] = float((each.osi[own] >= TUNED_OSI).mean()) if own.any() else np.nan
    return out


def _by_class(trained: Prepared, found: dict[str, Tuning], classes: list[str]) -> Table:
    rows = []
    for name in classes:
        mask = trained.cell_class == name
        row: dict[str, float | int | str] = {"cell_class": name, "neurons": int(mask.sum())}
        for when, each in found.items():
            row |= {f"{key}_{when}": value for key, value in _summary(each, mask).items()}
        rows.append(row)
    return tabulated(rows)


def _alignment(reference: np.ndarray, now: np.ndarray, name: str, seed: int) -> str:
    """The mean of cos 2(difference) against that of shuffled neurons, as a sentence."""
    if len(now) < 10:
        return f"Too few tuned neurons ({len(now)}) to compare preferred orientations with {name}."

    def likeness(other: np.ndarray) -> float:
        return float(np.cos(2 * np.radians(other - reference)).mean())

    rng = stream(seed, "orientations", name)
    null = np.array([likeness(rng.permutation(now)) for _ in range(N_PERMUTATIONS)])
    p = (1 + (null >= likeness(now)).sum()) / (1 + N_PERMUTATIONS)
    low, high = metrics.bootstrap_interval(
        np.cos(2 * np.radians(now - reference)), lambda drawn: float(drawn.mean()), seed
    )
    return (
        f"Preferred orientations after training against {name}: {len(now)} tuned neurons (OSI "
        f"{TUNED_OSI:g} or more), {np.median(turned_deg(reference, now)):.0f} degrees apart "
        f"(median; 45 by chance), mean cos 2(difference) {likeness(now):.2f} ({low:.2f} to "
        f"{high:.2f}), {null.mean():.2f} for shuffled neurons (p = {p:.3f})."
    )


def _draw(trained: Prepared, found: dict[str, Tuning], classes: list[str]) -> Figure:
    figure = plots.new_figure(9.6, 5.4)
    panels = figure.subplots(2, 2)
    excitatory, bins = trained.network.excitatory, np.linspace(0, 2, 33)
    for axes, column, label in (
        (panels[0, 0], "f1_f0", "F1/F0, drifting gratings"),
        (panels[1, 1], "phase_f1_f0", "F1/F0 over phase, standing gratings"),
    ):
        for mask, colour, name in (
            (excitatory, plots.VERMILION, "E"),
            (~excitatory, plots.BLUE, "I"),
        ):
            for when, line in ((BEFORE, ":"), (AFTER, "-")):
                each = found[when]
                values = getattr(each, column)[mask & _active(each)]
                if len(values):
                    share = np.histogram(values, bins)[0] / len(values)
                    axes.stairs(share, bins, color=colour, ls=line, label=f"{name}, {when}")
        axes.axvline(SIMPLE, color=plots.MIDDLE, lw=0.8)
        axes.set(xlabel=label, ylabel="share of active neurons", xlim=(0, 2))
        axes.legend()
    axes, place = panels[0, 1], np.arange(len(classes))
    for index, colour in (("osi", plots.GREEN), ("dsi", plots.PURPLE)):
        for when, marker in ((BEFORE, "o"), (AFTER, "s")):
            medians = [_summary(found[when], trained.cell_class == name)[index] for name in classes]
            face = colour if when == AFTER else "white"
            axes.plot(place, medians, marker, ms=4, color=colour, mfc=face,
                      label=f"{index.upper()}, {when}")  # fmt: skip
    axes.set_xticks(place, classes, rotation=90)
    axes.set(ylabel="median of active neurons", ylim=(0, None))
    axes.legend(ncol=2)
    both = _tuned(found[AFTER]) & np.isfinite(found[BEFORE].orientation_deg)
    panels[1, 0].plot(
        found[BEFORE].orientation_deg[both],
        found[AFTER].orientation_deg[both],
        "o", ms=2.2, mew=0, alpha=0.5, color=plots.INK,
    )  # fmt: skip
    panels[1, 0].set(
        xlabel="preferred orientation before training, degrees",
        ylabel="after training",
        xlim=(0, 180), ylim=(0, 180), xticks=[0, 45, 90, 135, 180], yticks=[0, 45, 90, 135, 180],
    )  # fmt: skip
    figure.tight_layout()
    return figure
