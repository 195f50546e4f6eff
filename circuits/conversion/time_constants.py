"""`fit_tau_r`: time constants with which rates follow a stimulus as the spikes do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from circuits.conversion.responses import Responses, Shown, rate_responses
from circuits.training.setup import Prepared
from toolkit import progress
from toolkit.errors import InputError
from toolkit.learning import TrainableRates
from toolkit.table import Table

FACTOR = float(np.sqrt(2))  # of one try
MOST = 8.0  # times or a part of what it was, in all
MAX_ROUNDS = 6


@dataclass(frozen=True, eq=False)
class TimeConstants:
    """What was fitted.

    tau_r_ms : of each neuron
    classes : a row a class: ``cell_class``, mean tau_r in ms ``before`` and ``after``
    error : mean squared difference of the courses in units of the neurons' own rates, before and
        after each round, Hz
    """

    tau_r_ms: np.ndarray
    classes: Table
    error: tuple[float, ...]


def fit_tau_r(
    trained: Prepared,
    shown: Shown,
    spikes: Sequence[Responses],
    *,
    max_rounds: int = MAX_ROUNDS,
    show_progress: bool | None = None,
) -> TimeConstants:
    """Fit a factor on the time constants of each class to responses to steps of the stimulus.

    Each neuron's mean course of rates over the items of a task, in bins of 10 ms from grey through
    the onsets of the stimuli, is compared in both forms. Class after class is tried with 1.4 times
    and 0.7 times its tau_r, what is better is kept, until a round through all classes changes
    nothing: classes act on each other, so none is fitted alone. The model stays as it is.

    Parameters
    ----------
    trained : the rate network
    shown : the items
    spikes : responses of the converted network to them, by task
    max_rounds : through all classes
    show_progress : by default on a terminal

    Raises
    ------
    InputError : responses to other items

    Constants shorter than the step of the rates (5 ms) can hardly be told from each other.

    The published demonstration of the same (0.54 to 0.82 of a PSTH's variance) fits E and I alone.
    """
    model, classes = trained.model, trained.cell_class
    observed = [each.psth_Hz.mean(axis=0) for each in spikes]
    names = list(dict.fromkeys(classes.tolist()))
    before = model.tau_r_ms.double().cpu().numpy()
    if len(spikes) != len(shown.data.tasks) or any(
        len(each.targets) != shown.items for each in spikes
    ):
        raise InputError(f"responses to {shown.items} items of each task are needed")

    def changed(factor: dict[str, float]) -> np.ndarray:
        return before * np.array([factor[name] for name in classes.tolist()])

    def error(factor: dict[str, float]) -> float:
        with using(model, changed(factor)):
            found = [responses.psth_Hz[0] for responses in rate_responses(model, shown)]
        return float(np.mean([course_error(y, f) for y, f in zip(observed, found, strict=True)]))

    factor = dict.fromkeys(names, 1.0)
    errors = [error(factor)]
    best = errors[0]
    with progress.bar(max_rounds * len(names), "time constants", "", show_progress) as bar:
        for _ in range(max_rounds):
            for name in names:
                bar.update(1)
                for change in (FACTOR, 1 / FACTOR):
                    tried = {**factor, name: factor[name] * change}
                    if not 1 / MOST <= tried[name] <= MOST:
                        continue
                    away = error(tried)
                    if away < best:
                        factor, best = tried, away
                        break
            errors.append(best)
            if best == errors[-2]:
                break
    after = changed(factor)
    table = Table(
        {
            "cell_class": names,
            "before": [float(before[classes == name].mean()) for name in names],
            "after": [float(after[classes == name].mean()) for name in names],
        }
    )
    return TimeConstants(after, table, tuple(errors))


@contextmanager
def using(model: TrainableRates, tau_r_ms: np.ndarray) -> Iterator[None]:
    """The model with other time constants, ms (neuron,), for a while."""
    own = model.tau_r_ms
    model.tau_r_ms = torch.as_tensor(tau_r_ms, dtype=own.dtype, device=own.device)
    try:
        yield
    finally:
        model.tau_r_ms = own


def course_error(observed_Hz: np.ndarray, predicted_Hz: np.ndarray) -> float:
    """Mean over neurons of the squared difference of courses (bin, neuron) around their means, Hz.

    In units of the neuron's mean observed rate, at least 1 Hz: levels are not what time constants
    are for.
    """
    y, f = (each - each.mean(axis=0) for each in (observed_Hz, predicted_Hz))
    scale = np.maximum(observed_Hz.mean(axis=0), 1.0)
    return float((np.square(y - f).mean(axis=0) / scale).mean())
