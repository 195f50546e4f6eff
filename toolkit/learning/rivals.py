"""Two common networks to compare a trained model with: a perceptron and spiking neurons.

Both get the input rates that the model gets, of the same items, and answer the same tasks in one
network. Several copies that differ in their initial weights alone are trained side by side.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol

import torch

from toolkit.errors import InputError
from toolkit.tasks import Batch, Batches
from toolkit.tasks.ends import by_response_end

N_HIDDEN = 128
TAU_MS = (10.0, 100.0)  # membrane time constants of the spiking neurons, log-uniform; our choice
ADAPTATION_MS, ADAPTATION = 400.0, 1.8  # of the thresholds of every other neuron; our choice,
# of the size that Bellec et al. 2018 use: without it nothing outlasts the 200 ms between pictures
READOUT_MS = 100.0  # of the leaky units that answers are read from; our choice
SURROGATE_SLOPE = 3.0  # a threshold; of a fast sigmoid (Zenke and Ganguli 2018)
LEARNING_RATE = 5e-3
MAX_NORM = 1.0  # of the gradient of a copy


class Rival(Protocol):
    """Copies of a network: from a batch to scores of all answers, (copy, item, answer)."""

    def __call__(self, batch: Batch) -> torch.Tensor:
        """Scores; `toolkit.tasks.ends.by_response_end` makes the batches."""

    def parameters(self) -> object:
        """What is trained."""


class Perceptrons(torch.nn.Module):
    """An artificial network with one hidden layer of rectified linear units.

    It has no time: its inputs are the mean rates from the onset of each stimulus to that of the
    next one, or to the end of the answer, z-scored.

    Parameters
    ----------
    data : tasks and their inputs
    n_copies : networks
    n_hidden : hidden units
    seed : of the initial weights
    """

    def __init__(
        self, data: Batches, n_copies: int = 3, *, n_hidden: int = N_HIDDEN, seed: int = 0
    ):
        super().__init__()
        draw = _draws(n_copies, seed)
        spans = torch.zeros(len(data.tasks), _n_stimuli(data), data.n_steps)
        for row, task in zip(spans, data.tasks, strict=True):
            onsets = [round(onset / data.dt_ms) for onset in task.timing.onsets_ms]
            end = round(task.timing.response_ms[1] / data.dt_ms)
            for span, first, last in zip(row, onsets, [*onsets[1:], end], strict=False):
                span[first:last] = 1 / (last - first)
        self.register_buffer("spans", spans)
        self.scale = _Scale(data)
        self.hidden = draw(spans.shape[1] * data.n_channels, n_hidden)
        self.bias = draw(1, n_hidden, 0.0)
        self.output = draw(n_hidden, _n_answers(data))

    def forward(self, batch: Batch) -> torch.Tensor:
        """Scores of all answers, (copy, item, answer)."""
        spans = self.get_buffer("spans")[batch.task, :, : batch.inputs.shape[1]]
        shown = spans.sum(dim=2, keepdim=True)  # 0 for a second stimulus that there is not
        seen = self.scale(spans @ batch.inputs) * shown
        seen = seen.flatten(1).expand(len(self.hidden), -1, -1)
        return torch.relu(torch.baddbmm(self.bias, seen, self.hidden)) @ self.output


class SpikingNeurons(torch.nn.Module):
    """A recurrent network of leaky integrate-and-fire neurons, half of them with adaptation.

        v' = a v + (1 - a) (W x + R s + b) - s,   a = exp(-dt/tau)
        u' = c u + (1 - c) s,                     c = exp(-dt/400 ms)
        s  = 1 where v > 1 + 1.8 u (every other neuron) or v > 1

    with x the z-scored rates of every step, at the model's dt; an answer is read from the mean
    spikes within the response window. The derivative of s is 1/(1 + 3 |v - threshold|)^2.

    Parameters
    ----------
    data : tasks and their inputs
    n_copies : networks
    n_hidden : neurons
    seed : of the initial weights and time constants

    Source: Zenke and Ganguli 2018, Neural Computation 30:1514 (surrogate gradient); Bellec et al.
    2018, NeurIPS 31 (adaptive thresholds).
    """

    def __init__(
        self, data: Batches, n_copies: int = 3, *, n_hidden: int = N_HIDDEN, seed: int = 0
    ):
        super().__init__()
        draw = _draws(n_copies, seed)
        self.scale = _Scale(data)
        self.input = draw(data.n_channels, n_hidden, 2.0)
        self.recurrent = draw(n_hidden, n_hidden, 0.5)
        self.bias = draw(1, n_hidden, 0.0)
        self.output = draw(n_hidden, _n_answers(data), 3.0)
        low, high = map(math.log, TAU_MS)
        tau = torch.exp(torch.linspace(low, high, n_hidden))
        self.register_buffer("decay", torch.exp(-data.dt_ms / tau))
        self.register_buffer("adaptation", ADAPTATION * (torch.arange(n_hidden) % 2))
        self.keep = math.exp(-data.dt_ms / READOUT_MS)
        self.fade = math.exp(-data.dt_ms / ADAPTATION_MS)

    def forward(self, batch: Batch) -> torch.Tensor:
        """Scores of all answers, (copy, item, answer)."""
        decay, adaptation = self.get_buffer("decay"), self.get_buffer("adaptation")
        items, steps, _ = batch.inputs.shape
        seen = self.scale(batch.inputs).transpose(0, 1).flatten(0, 1)
        driven = torch.baddbmm(self.bias, seen.expand(len(self.input), -1, -1), self.input)
        every = driven.unflatten(1, (steps, items)).unbind(1)
        v = torch.zeros_like(every[0])
        spikes, counted, used = v, v, v
        counts = self._counts(batch.response)
        for k, external in enumerate(every):
            current = torch.baddbmm(external, spikes, self.recurrent)
            v = decay * v + (1 - decay) * current - spikes
            used = self.fade * used + (1 - self.fade) * spikes
            spikes = _spikes(v - 1 - adaptation * used)
            counted = counted + counts[:, k, None] * spikes
        return counted @ self.output

    def _counts(self, response: torch.Tensor) -> torch.Tensor:
        """How much a spike in each step counts: what of it is left in the window, (item, step)."""
        window = response.float() / response.sum(dim=1, keepdim=True)
        counts, left = torch.empty_like(window), torch.zeros(len(window))
        for k in reversed(range(window.shape[1])):
            left = window[:, k] + self.keep * left
            counts[:, k] = (1 - self.keep) * left
        return counts


def own_answers(data: Batches, scores: torch.Tensor, task: torch.Tensor) -> torch.Tensor:
    """Scores of the answers of each item's own task, (..., item, largest number of answers).

    Answers that an item's task does not have are minus infinity.
    """
    most = max(each.n_classes for each in data.tasks)
    own = scores.new_full((*scores.shape[:-1], most), -math.inf)
    first = 0
    for number, each in enumerate(data.tasks):
        rows = task == number
        own[..., rows, : each.n_classes] = scores[..., rows, first : first + each.n_classes]
        first += each.n_classes
    return own


def train_rivals(
    rivals: Sequence[torch.nn.Module],
    data: Batches,
    n_items: int,
    *,
    batch_size: int = 64,
    learning_rate: float = LEARNING_RATE,
    seed: int = 0,
    report: Callable[[int], object] | None = None,
) -> None:
    """Train networks by cross-entropy (Adam) on the same training items; inputs are made once.

    Parameters
    ----------
    rivals : `Perceptrons`, `SpikingNeurons`, or others like them
    data : tasks and their inputs
    n_items : of each task, over as many epochs as that takes
    batch_size : items of a task in a step
    learning_rate : falls along a half cosine to 0
    seed : of the items and their order
    report : told the number of items of each step

    Raises
    ------
    InputError : n_items below the batch size
    """
    n_tasks = len(data.tasks)
    n_steps = n_items // batch_size
    if n_steps < 1:
        raise InputError(f"n_items must be {batch_size} or more, got {n_items}")
    optimisers = [torch.optim.Adam(each.parameters(), lr=learning_rate) for each in rivals]
    step, epoch = 0, 0
    while step < n_steps:
        for batch in data.epoch("train", batch_size * n_tasks, seed=seed, epoch=epoch):
            rate = learning_rate * 0.5 * (1 + math.cos(math.pi * step / n_steps))
            for rival, optimiser in zip(rivals, optimisers, strict=True):
                optimiser.param_groups[0]["lr"] = rate
                optimiser.zero_grad()
                for part in by_response_end(batch):
                    _loss(rival, data, part, len(batch)).backward()
                for each in rival.parameters():
                    _clip(each.grad)
                optimiser.step()
            if report is not None:
                report(len(batch))
            step += 1
            if step == n_steps:
                return
        epoch += 1


def _loss(rival: torch.nn.Module, data: Batches, part: Batch, n_items: int) -> torch.Tensor:
    scores = own_answers(data, rival(part), part.task)
    targets = part.targets.expand(len(scores), -1)
    loss = torch.nn.functional.cross_entropy(
        scores.flatten(0, 1), targets.flatten(), reduction="sum"
    )
    return loss / n_items


def _clip(grad: torch.Tensor | None) -> None:
    """Each copy's part to a norm of at most `MAX_NORM`."""
    if grad is not None:
        norm = grad.flatten(1).norm(dim=1)[:, None, None]
        grad.mul_(MAX_NORM / norm.clamp(min=MAX_NORM))


def _spikes(above: torch.Tensor) -> torch.Tensor:
    smooth = above / (1 + SURROGATE_SLOPE * above.abs())
    return (above > 0).to(above.dtype) + smooth - smooth.detach()


def _draws(n_copies: int, seed: int) -> Callable[..., torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)

    def draw(n_in: int, n_out: int, size: float = 1.0) -> torch.nn.Parameter:
        drawn = torch.randn((n_copies, n_in, n_out), generator=generator)
        return torch.nn.Parameter(size / math.sqrt(n_in) * drawn)

    return draw


def _n_answers(data: Batches) -> int:
    return sum(task.n_classes for task in data.tasks)


def _n_stimuli(data: Batches) -> int:
    return max(len(task.timing.onsets_ms) for task in data.tasks)


class _Scale(torch.nn.Module):
    """z-scores the rates of every channel by mean and sd over some training items and all steps."""

    def __init__(self, data: Batches):
        super().__init__()
        some = next(data.epoch("train", 64 * len(data.tasks))).inputs
        self.register_buffer("mean", some.mean(dim=(0, 1)))
        self.register_buffer("sd", some.std(dim=(0, 1)).clamp_min(1e-3))

    def forward(self, rates_Hz: torch.Tensor) -> torch.Tensor:
        return (rates_Hz - self.get_buffer("mean")) / self.get_buffer("sd")
