"""Robustness to noise inside the network: accuracy against the amplitude of a noise current.

Three kinds of Gaussian current, in units of each neuron's rheobase g (V_th - E_L):

``slow, shared``: one draw a trial, the same for all neurons (the source's slow noise)
``slow``: one draw a trial and neuron (that of the released code of Chen et al. 2022)
``quick``: a new draw every step and neuron

The rheobase is a unit that training does not change, so that networks can be compared; the
standard deviation of a neuron's recurrent current, the other candidate, is itself what recurrency
is about (`circuits.analysis.recurrency` gives it in rheobases). Quick noise is white on the grid of
steps: an amplitude belongs to a dt.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch

from circuits.analysis.accuracy import accuracy, half_gain, half_gain_words, tabulated
from circuits.analysis.noise_curves import noise_curves
from circuits.analysis.result import Options, Result
from circuits.analysis.trials import by_task, presented, respond, right
from circuits.training.setup import Prepared
from toolkit import plots
from toolkit.errors import InputError, unknown
from toolkit.network import Network
from toolkit.rng import stream_key

NAME = "robustness"
KINDS = ("slow, shared", "slow", "quick")
AMPLITUDES = (0.0, 0.1, 0.25, 0.5, 1.0, 2.0)
COLOURS = dict(zip(KINDS, (plots.BLUE, plots.GREEN, plots.VERMILION), strict=True))


def rheobase_pA(network: Network) -> np.ndarray:
    """The constant current that brings a resting neuron to threshold, g (V_th - E_L), (neuron,)."""
    neurons = network.neurons
    return neurons["g_nS"] * (neurons["V_th_mV"] - neurons["E_L_mV"])


def noise_draw(
    kind: str, steps: int, n: int, items: int, generator: torch.Generator
) -> torch.Tensor:
    """Standard normal noise of a kind, (step or 1, neuron or 1, item).

    >>> generator = torch.Generator().manual_seed(1)
    >>> [tuple(noise_draw(kind, 40, 300, 8, generator).shape) for kind in KINDS]
    [(1, 1, 8), (1, 300, 8), (40, 300, 8)]
    """
    shapes = {KINDS[0]: (1, 1, items), KINDS[1]: (1, n, items), KINDS[2]: (steps, n, items)}
    if kind not in shapes:
        raise unknown("kind of noise", kind, KINDS)
    return torch.randn(shapes[kind], generator=generator)


def answers(
    trained: Prepared,
    n_items: int,
    amplitudes: Sequence[float] = AMPLITUDES,
    kinds: Sequence[str] = KINDS,
    *,
    seed: int = 0,
    weights: Sequence[torch.Tensor | None] = (None,),
) -> list[np.ndarray]:
    """Which test items are answered right, with each kind of noise and each amplitude.

    Parameters
    ----------
    trained : the network and its tasks
    n_items : of each task (`presented`)
    amplitudes : standard deviations, rheobases; 0 or more
    kinds : of `KINDS`
    seed : of the noise; the same draws serve all amplitudes and weights
    weights : of the network, pA/Hz, one or several sets; None for its own

    Returns
    -------
    of each task, bool (item, weights, kind, amplitude)

    Raises
    ------
    InputError : an unknown kind, a negative amplitude
    """
    if not all(0 <= each < np.inf for each in amplitudes):
        raise InputError(f"amplitudes must be 0 or more, got {list(amplitudes)}")
    model, data = trained.model, trained.data
    device = model.constant_pA.device
    unit = torch.as_tensor(rheobase_pA(trained.network), dtype=torch.float32)[:, None]
    found = []
    for number, batch in enumerate(presented(data, n_items)):
        batch = batch.to(device)
        items, steps, _ = batch.inputs.shape
        got = np.zeros((items, len(weights), len(kinds), len(amplitudes)), dtype=bool)
        for w, used in enumerate(weights):
            if 0 in amplitudes:
                silent = right(model, data, batch, respond(model, batch, weights=used))
                got[:, w, :, np.array(amplitudes) == 0] = silent[:, None]
        for k, kind in enumerate(kinds):
            key = stream_key(seed, "internal noise", kind, number)
            draw = noise_draw(kind, steps, model.n, items, torch.Generator().manual_seed(key))
            for a, amplitude in enumerate(amplitudes):
                if amplitude == 0:
                    continue
                noise = (amplitude * unit * draw).to(device)
                for w, used in enumerate(weights):
                    rates = respond(model, batch, weights=used, noise_pA=noise)
                    got[:, w, k, a] = right(model, data, batch, rates)
        found.append((batch.task.cpu().numpy(), got))
    return by_task(found, len(data.tasks))


def analyse(trained: Prepared, options: Options) -> Result:
    """Accuracy of each task against the amplitude of slow and quick noise."""
    found = answers(trained, options.items, seed=options.seed)
    points: list[dict] = []
    halves: list[dict] = []
    findings = []
    for task, each in zip(trained.data.tasks, found, strict=True):
        words, chance = [], 1 / task.n_classes
        for k, kind in enumerate(KINDS):
            about, got = {"task": task.name, "noise": kind}, each[:, 0, k]
            for amplitude, right_ones in zip(AMPLITUDES, got.T, strict=True):
                own = about | {"amplitude_rheobases": amplitude, "items": len(got)}
                points.append(own | accuracy(right_ones).columns("accuracy") | {"chance": chance})
            half = half_gain(got, np.array(AMPLITUDES), chance, options.seed)
            halves.append(about | half.columns("half_gain_rheobases"))
            words.append(f"{half_gain_words(half, AMPLITUDES[-1], 'rheobases')} with {kind} noise")
        clean = accuracy(each[:, 0, 0, 0])
        lost = (
            f"half of what is above chance is taken by {'; '.join(words)}"
            if clean.low > chance
            else "that is not above chance, so that noise can take nothing"
        )
        findings.append(f"{task.name}: {clean.percent()} right without noise; {lost}.")
    table, half_table = tabulated(points), tabulated(halves)
    median = float(np.median(rheobase_pA(trained.network)))
    findings.append(
        f"The median rheobase is {median:.0f} pA; quick noise is new every "
        f"{trained.model.dt_ms:g} ms."
    )
    return Result(
        "Robustness to noise inside the network",
        {"accuracy_internal_noise": table, "half_gain_internal_noise": half_table},
        tuple(findings),
        partial(noise_curves, table, "noise", "amplitude_rheobases", COLOURS, "sd, rheobases"),
        "Share of right answers against the standard deviation of a Gaussian current into every "
        "neuron, with 95 % intervals; dotted: chance.",
    )
