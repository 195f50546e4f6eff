"""Robustness to noise on the images, beside a small artificial and a small spiking network.

All get the same input rates, of the same items; the rivals are trained here, without noise, in
several copies (`toolkit.learning.rivals`). The source reports V1 between the two kinds; networks
and noise are not described there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from scipy import stats

from circuits import v1
from circuits.analysis.accuracy import (
    LEVEL,
    Estimate,
    accuracy,
    half_gain,
    half_gain_words,
    tabulated,
)
from circuits.analysis.noise_curves import noise_curves
from circuits.analysis.result import Options, Result
from circuits.analysis.trials import by_task, presented, respond, right
from circuits.training.setup import Prepared
from toolkit import plots
from toolkit.learning.rivals import Perceptrons, SpikingNeurons, own_answers, train_rivals
from toolkit.progress import bar
from toolkit.tasks import Batch, Batches
from toolkit.tasks.noise import with_noise

NAME = "rivals"
SDS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)  # shares of the range from black to white
N_COPIES = 3
TRAINING_ITEMS = 12_800  # of each task, for the rivals: a minute or two each
COLOURS = {"V1": plots.INK, "ANN": plots.BLUE, "SNN": plots.VERMILION}

Answers = Callable[[Batches, Batch], np.ndarray]


def analyse(trained: Prepared, options: Options) -> Result:
    """Accuracy of V1, an ANN and an SNN against the noise on the images."""
    data, seed = trained.data, options.seed
    rivals = {
        "ANN": Perceptrons(data, N_COPIES, seed=seed),
        "SNN": SpikingNeurons(data, N_COPIES, seed=seed),
    }
    with bar(TRAINING_ITEMS * len(data.tasks), "rivals", " items") as progress:
        train_rivals(list(rivals.values()), data, TRAINING_ITEMS, seed=seed, report=progress.update)

    def of_v1(noisy: Batches, batch: Batch) -> np.ndarray:
        return right(trained.model, noisy, batch, respond(trained.model, batch))[None]

    networks: dict[str, Answers] = {"V1": of_v1}
    networks |= {name: partial(_of_rival, rival) for name, rival in rivals.items()}
    found = with_image_noise(trained, networks, options.items, seed=seed)
    points: list[dict] = []
    halves: list[dict] = []
    findings = []
    for number, task in enumerate(data.tasks):
        chance, half = 1 / task.n_classes, {}
        for name, by_number in found.items():
            about, got = {"task": task.name, "network": name}, by_number[number]
            for k, sd in enumerate(SDS):
                at = accuracy(got[:, 0, k]) if name == "V1" else over_copies(got[..., k].mean(0))
                own = about | {"noise_sd": sd, "items": len(got)}
                points.append(own | within(at).columns("accuracy") | {"chance": chance})
            each = [
                half_gain(got[:, copy], np.array(SDS), chance, seed) for copy in range(got.shape[1])
            ]
            half[name] = each[0] if name == "V1" else over_copies([one.value for one in each])
            halves.append(about | half[name].columns("half_gain_noise_sd"))
        clean = ", ".join(
            f"{name} {100 * by_number[number][..., 0].mean():.1f} %"
            for name, by_number in found.items()
        )
        where = "; ".join(
            f"{name} {half_gain_words(each, SDS[-1], 'of the range')}"
            for name, each in half.items()
        )
        findings.append(
            f"{task.name}: right without noise {clean}. The noise that takes half of what is above "
            f"chance: {where}. {placed(**half)}"
        )
    sizes = ", ".join(
        f"{name} {sum(p[0].numel() for p in rival.parameters()):,}"
        for name, rival in rivals.items()
    )
    findings.append(
        f"The rivals were trained on {TRAINING_ITEMS:,} items of each task, in {N_COPIES} copies "
        f"with other initial weights each (parameters of a copy: {sizes}; V1 "
        f"{sum(p.numel() for p in trained.model.parameters()):,})."
    )
    table, half_table = tabulated(points), tabulated(halves)
    return Result(
        "Robustness to noise on the images, beside an ANN and an SNN",
        {"accuracy_image_noise": table, "half_gain_image_noise": half_table},
        tuple(findings),
        partial(
            noise_curves, table, "network", "noise_sd", COLOURS, "sd of pixels, share of range"
        ),
        "Share of right answers against Gaussian noise on the pixels, as a share of the range from "
        "black to white. Bands: V1, 95 % intervals over items; ANN and SNN, over copies.",
    )


def with_image_noise(
    trained: Prepared,
    networks: Mapping[str, Answers],
    n_items: int,
    sds: Sequence[float] = SDS,
    *,
    seed: int = 0,
) -> dict[str, list[np.ndarray]]:
    """Which test items each network answers right at each noise.

    Parameters
    ----------
    trained : whose tasks get noise (`toolkit.tasks.noise.with_noise`)
    networks : by name, functions from tasks and a batch to bool (copy, item)
    n_items : of each task
    sds : of the noise, shares of the range from black to white
    seed : of the noise

    Returns
    -------
    of each network and task, bool (item, copy, sd)
    """
    data = trained.data
    found: dict[str, list[list[np.ndarray]]] = {name: [] for name in networks}
    for sd in sds:
        noisy = Batches(
            [with_noise(task, sd, seed=seed) for task in data.tasks],
            v1.lgn(trained.network) if trained.setup.lgn else None,
            dt_ms=data.dt_ms,
            device=data.device,
        )
        batches: dict[str, list[Any]] = {name: [] for name in networks}
        for batch in presented(noisy, n_items):
            task = batch.task.cpu().numpy()
            for name, answers in networks.items():
                batches[name].append((task, answers(noisy, batch).T))
        for name, each in batches.items():
            found[name].append(by_task(each, len(data.tasks)))
    return {
        name: [np.stack(of_sds, axis=-1) for of_sds in zip(*each, strict=True)]
        for name, each in found.items()
    }


@torch.no_grad()
def _of_rival(rival: torch.nn.Module, data: Batches, batch: Batch) -> np.ndarray:
    best = own_answers(data, rival(batch), batch.task).argmax(dim=-1)
    return (best == batch.targets).cpu().numpy()


def over_copies(values: Sequence[float] | np.ndarray) -> Estimate:
    """Mean of copies with its t interval; infinite or NaN values make it as wide as they are.

    >>> print(over_copies([0.8, 0.9, 1.0]))
    0.900 (0.652 to 1.148)
    """
    values = np.asarray(values, dtype=float)
    mean = float(values.mean())
    if not np.isfinite(values).all():
        return Estimate(mean, float(values.min()), float(values.max()))
    half = stats.t.ppf((1 + LEVEL) / 2, len(values) - 1) * values.std(ddof=1) / len(values) ** 0.5
    return Estimate(mean, mean - half, mean + half)


def within(at: Estimate) -> Estimate:
    """The same with its interval cut to 0 to 1, for accuracies."""
    return Estimate(at.value, max(at.low, 0.0), min(at.high, 1.0))


def placed(V1: Estimate, ANN: Estimate, SNN: Estimate) -> str:
    """Where V1's robustness is, as a sentence; intervals that overlap are not told apart.

    >>> placed(Estimate(3, 2, 4), Estimate(1, 0.5, 1.5), Estimate(9, 8, 10))
    'V1 is between the two.'
    """
    if not np.isfinite([each.low for each in (V1, ANN, SNN)]).all():
        return "Where V1 is cannot be said."
    above = [other.high < V1.low for other in (ANN, SNN)]
    below = [other.low > V1.high for other in (ANN, SNN)]
    if any(above) and any(below):
        return "V1 is between the two."
    if all(above) or all(below):
        return f"V1 is {'more' if all(above) else 'less'} robust than both."
    if not any(above) and not any(below):
        return "V1 cannot be told from either."
    told, not_told = ("ANN", "SNN") if above[0] or below[0] else ("SNN", "ANN")
    how = "more" if any(above) else "less"
    return f"V1 is {how} robust than the {told}, and cannot be told from the {not_told}."
