"""One step of training: answers, losses and penalties, gradients of all processes, Adam."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import torch

from toolkit.errors import InputError, SimulationError
from toolkit.learning.evaluation import Answer, Counts, answer
from toolkit.learning.losses import Readout, Targets
from toolkit.learning.model import TrainableRates
from toolkit.learning.options import TrainingOptions
from toolkit.learning.processes import Processes
from toolkit.tasks import Batch, Batches

REMEMBERED = 0.9  # of mean rates, from step to step, for the noise that spikes would make
ADAM_EPS = 1e-11  # confirmed in the released code of Chen et al. 2022: gradients are that small
SIGMA = "sigma_mV"


class LocalRule(Protocol):
    """A rule that moves some weights instead of the optimiser."""

    def hide_gradients(self) -> None:
        """After the way back: no gradient for its weights."""

    def update(self, rates_Hz: Any) -> None:
        """After the optimiser's step, with the rates of a batch, Hz."""

    def state_dict(self) -> dict[str, Any]:
        """What it remembers."""

    def load_state_dict(self, state: Mapping[str, Any]) -> Any:
        """Remember it again."""


class Stepper:
    """What is trained, and how it makes a step.

    Parameters
    ----------
    model, data, options, targets, local_rule, processes : as of `toolkit.learning.training.fit`
    cell_class : of each neuron, for what is said when rates blow up

    Raises
    ------
    InputError : a local rule and several processes
    """

    def __init__(
        self,
        model: TrainableRates,
        data: Batches,
        options: TrainingOptions,
        cell_class: np.ndarray,
        targets: Targets | None,
        local_rule: LocalRule | None,
        processes: Processes,
    ):
        if local_rule is not None and processes.n > 1:
            raise InputError("a local rule sees the rates of one process: train with one")
        self.model, self.data, self.options = model, data, options
        self.cell_class, self.processes, self.rule = cell_class, processes, local_rule
        self.device = model.connections.col.device
        self.targets = None if targets is None else targets.to(self.device)
        model.project(options.slack_at(-1))
        self.readout = Readout(len(data.tasks)).to(self.device)
        self.trained = {f"model.{k}": p for k, p in model.named_parameters()}
        self.trained |= {f"readout.{k}": p for k, p in self.readout.named_parameters()}
        self.optimiser = torch.optim.Adam(self._groups(), eps=ADAM_EPS)
        # Mean rates of neurons and channels, of the last steps; sigma that F was last taken at.
        self.means: torch.Tensor | None = None
        self.sigma: torch.Tensor | None = None
        if options.noise_steps:
            if model.curve.sigma_mV is None:
                raise InputError("noise_steps is for models whose F is known at any sigma")
            self.sigma = torch.tensor(model.curve.sigma_mV, device=self.device)

    def _groups(self) -> list[dict[str, Any]]:
        """Parameters with the length of a step for each learning rate of 1."""
        groups = []
        for weights in (self.model.recurrent, self.model.from_inputs):
            log = weights.constraint == "log"
            scale = 1.0 if log else float(weights().detach().abs().mean())
            groups.append({"params": [weights.trained], "scale": scale})
        return [*groups, {"params": list(self.readout.parameters()), "scale": 1.0}]

    def step(self, number: int, batch: Batch, learning_rate: float, counts: Counts) -> None:
        """One step of Adam, and of the local rule; the answers are added to `counts`.

        Random numbers are functions of its number.

        Raises
        ------
        SimulationError : the gradient is not finite; weights are then as they were
        """
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate * group["scale"]
        found = answer(self.model, self.data, batch, counting=self._counting(number))
        losses = self.readout.losses(found.evidence_Hz, batch.targets, batch.task)
        self.optimiser.zero_grad()
        objective, mean_rates = self._objective(found, losses, batch)
        objective.backward()
        if self.processes.n > 1:
            self._sum_gradients()
        if self.rule is not None:
            self.rule.hide_gradients()
        norm = torch.nn.utils.clip_grad_norm_(self.trained.values(), self.options.max_gradient_norm)
        if not math.isfinite(float(norm)):
            raise self._blown_up(mean_rates)
        self.optimiser.step()
        if self.rule is not None:
            self.rule.update([rates for _, rates in found.groups])
        self.model.project(self.options.slack_at(number))
        counts.add(found, batch, losses)
        every = self.options.noise_steps
        if every and number % every == 0:
            self._refresh_noise()

    def _counting(self, number: int) -> tuple[float, torch.Generator] | None:
        share = self.options.counting_at(number)
        if not share:
            return None
        drawn = np.random.SeedSequence([self.options.seed, number, self.processes.rank])
        seed = int(drawn.generate_state(1, np.uint64)[0])
        return share, torch.Generator(self.device).manual_seed(seed)

    def _refresh_noise(self) -> None:
        assert self.means is not None  # of the step just made
        self.sigma = self.model.sigma_mV(*self.means.split([self.model.n, self.data.n_channels]))
        self.model.set_sigma(self.sigma)

    def _objective(
        self, found: Answer, losses: torch.Tensor, batch: Batch
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """This process's part of the loss, and mean rates over the items of all processes.

        Penalties are functions of those mean rates: each process passes their slope on to its own
        items; what they depend on weights directly is counted by the first one.
        """
        sizes = found.rate_sum_Hz.new_tensor([found.n_item_steps, len(losses)])
        inputs = batch.inputs.mean(1).sum(0)
        whole = self.processes.sum(torch.cat([found.rate_sum_Hz.detach(), inputs, sizes]))
        n_item_steps, n_items = whole[-2:]
        mean_rates = whole[: self.model.n] / n_item_steps
        mean_inputs = whole[self.model.n : -2] / n_items
        means = torch.cat([mean_rates, mean_inputs])
        self.means = means if self.means is None else means.lerp(self.means, REMEMBERED)
        objective = losses.sum() / n_items
        if self.targets is not None:
            mean_rates.requires_grad_()
            penalty = self.targets.penalty(
                self.model, mean_rates, self.options.penalties, mean_inputs
            )
            (slope,) = torch.autograd.grad(penalty, mean_rates, retain_graph=True)
            objective = objective + (found.rate_sum_Hz * (slope / n_item_steps)).sum()
            if self.processes.first:
                objective = objective + penalty
        return objective, mean_rates.detach()

    def _sum_gradients(self) -> None:
        with_gradient = [p for p in self.trained.values() if p.grad is not None]
        flat = torch.cat([p.grad.flatten() for p in with_gradient if p.grad is not None])
        parts = self.processes.sum(flat).split([p.numel() for p in with_gradient])
        for parameter, part in zip(with_gradient, parts, strict=True):
            parameter.grad = part.view_as(parameter)

    def _blown_up(self, mean_rates: torch.Tensor) -> SimulationError:
        rates = mean_rates.cpu().numpy().astype(float)
        size = {
            name: float(
                np.nan_to_num(rates[self.cell_class == name], nan=np.inf, posinf=np.inf).mean()
            )
            for name in dict.fromkeys(self.cell_class.tolist())
        }
        worst = max(size, key=size.__getitem__)
        bad = int((~np.isfinite(rates[self.cell_class == worst])).sum())
        n = int((self.cell_class == worst).sum())
        says = f"{bad} of its {n} neurons are not finite" if bad else f"{size[worst]:.4g} Hz"
        return SimulationError(
            f"the loss or its gradient is not finite: rates of {worst} are the largest ({says}). A "
            "smaller learning_rate or max_gradient_norm, a stronger rate_cap or a smaller dt_ms "
            "help"
        )

    def weights(self) -> dict[str, torch.Tensor]:
        """A copy of all that is trained, by name, and of the sigma that F was taken at for it."""
        copies = {name: p.detach().clone() for name, p in self.trained.items()}
        return copies if self.sigma is None else {**copies, SIGMA: self.sigma.clone()}

    @torch.no_grad()
    def set_weights(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Take the values of `weights`."""
        for name, parameter in self.trained.items():
            parameter.copy_(weights[name])
        if SIGMA in weights:
            self.sigma = weights[SIGMA].clone()
            self.model.set_sigma(self.sigma)

    def state(self) -> dict[str, Any]:
        """All that the next step depends on, besides its items."""
        return {
            "weights": self.weights(),
            "optimiser": self.optimiser.state_dict(),
            "rule": None if self.rule is None else self.rule.state_dict(),
            "means": self.means,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Be where `state` was taken."""
        self.set_weights(state["weights"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.means = state["means"]
        if self.rule is not None:
            self.rule.load_state_dict(state["rule"])
