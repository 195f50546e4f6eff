"""`HebbianWithinLayers`: connections within a layer that learn by what both ends do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch

from toolkit.errors import DataError, InputError, unknown
from toolkit.learning.model import TrainableRates
from toolkit.scan import Connections
from toolkit.scan.backends import Contraction

RULES = ("oja", "bcm")
LEARNING_RATE = 1e-3  # of a batch: 1,000 of them turn weights over (our choice)
LAST_STEPS = 10  # 50 ms of steps of 5 ms, the response window of the tasks
FLOOR_HZ = 0.1  # of r.m.s. rates, as in log rates: neurons below it hardly count (our choice)
MEMORY = 0.99  # a batch, of the mean squares of rates (our choice)
LEAST = 1e-2  # of the initial weight: what is left can grow again (our choice)
_BLOCK = 256  # columns contracted at a time


class HebbianWithinLayers:
    r"""Weights of connections within a layer follow the correlation of their ends' rates.

    With w the magnitude of a weight, w0 the initial one, x and y the rates of its presynaptic and
    its postsynaptic neuron in units of their own r.m.s. rates, and < > the mean over a batch:

    1.  ``"oja"``: w <- w + lr w0 <y x>;   ``"bcm"``: w <- w + lr w0 <y (y - 1) x>
    2.  w <- w (sum of w0) / (sum of w) over the inputs that a neuron has from its own layer, those
        that excite and those that inhibit it separately

    The source says Hebbian, and nothing else. Growth by <y x> with a norm that is kept is what Oja
    1982 (J Math Biol 15:267) starts from, and his rule w + lr (<y x> - <y^2> w) to first order; his
    norm is the sum of squares. With the plain sum (Miller & MacKay 1994, Neural Comput 6:100) the
    direction that weights approach is the same, that of the principal component of the inputs of a
    linear neuron; it is the one that keeps a neuron's recurrent current where it was, as synaptic
    scaling does, hence the working point that training started from.

    Our choices. A weight of w0 is taken as w0 equal contacts that each learn so: growth is
    proportional to w0, weights stay near log-normal, and their fixed point is w0 <y x>, up to the
    norm. Rates in units of their r.m.s. values, for otherwise the inputs with the highest rates
    would take all, and neurons with high rates learn faster. They are at least 0: with ``"oja"``
    weights only grow in step 1, and no sign can change. Of inhibition the magnitude grows with
    correlation, too: as in Vogels et al. 2011 (Science 334:1569), neurons that fire together
    inhibit each other more. ``"bcm"`` (Bienenstock, Cooper & Munro 1982, J Neurosci 2:32) weakens
    inputs that are active while the neuron is below its sliding threshold, here its r.m.s. rate.
    Only the last steps of a batch count, so that neurons correlate by what items differ in, not
    since all of them answer when something is shown. A weight keeps 1 % of w0, to grow again.

    Parameters
    ----------
    model : whose weights they are, before training
    layer : label of each neuron's layer, (neuron,)
    lr : growth of a batch, for neurons that fire together always
    rule : ``"oja"`` or ``"bcm"``
    last : steps counted from the end of each run; all with None

    Use it beside an optimiser of all other weights: `hide_gradients` after the way back, `update`
    after the optimiser's step. Weights without a gradient from the first step on are not moved by
    Adam; weight decay would move them.

    Time: an inner product for each connection (`torch.sparse.sampled_addmm`): 20 to 50 ms for
    237,000 of them, batch 64, 10 steps, one core. Memory: 60 bytes a connection within layers.

    Raises
    ------
    InputError : an unknown rule, a label missing, a learning rate not above 0

    Examples
    --------
    >>> from circuits import v1                                              # doctest: +SKIP
    >>> rule = HebbianWithinLayers(model, column.neurons["cell_class"])      # doctest: +SKIP
    >>> loss.backward(); rule.hide_gradients(); optimiser.step()             # doctest: +SKIP
    >>> rule.update(rates)                                                   # doctest: +SKIP
    """

    def __init__(
        self,
        model: TrainableRates,
        layer: np.ndarray | Iterable[Any],
        *,
        lr: float = LEARNING_RATE,
        rule: str = "oja",
        last: int | None = LAST_STEPS,
    ):
        if rule not in RULES:
            raise unknown("Hebbian rule", rule, RULES)
        layer = np.asarray(layer)
        if layer.shape != (model.n,):
            raise InputError(f"a layer for each of {model.n} neurons is needed, got {layer.shape}")
        if not 0 < lr < np.inf:
            raise InputError(f"lr must be above 0 and finite, got {lr}")
        if last is not None and last < 1:
            raise InputError(f"last must be 1 or more steps, or None for all; got {last}")
        self.model, self.lr, self.rule, self.last = model, lr, rule, last
        connections = model.connections
        device, n = connections.col.device, model.n
        recurrent = connections.col < n
        pre = connections.col[recurrent].long()
        post = connections.row[recurrent].long() % n
        number = torch.from_numpy(np.unique(layer, return_inverse=True)[1]).to(device)
        within = torch.nonzero(number[pre] == number[post]).flatten()
        within = within[torch.argsort(post[within], stable=True)]
        self.entries = within  # among the recurrent weights
        pre, post = pre[within], post[within]
        self._pattern = Connections(
            post.cpu().numpy(), pre.cpu().numpy(), n_neurons=n, n_slots=1, n_channels=0
        ).to(device)
        start = model.recurrent().detach()[within]
        self._sign = torch.where(start == 0, model.recurrent.sign[within], start.sign())
        self._group = 2 * post + (self._sign > 0)
        self.start = start.abs()
        self.mean_square = start.new_zeros(n)
        self.batches = 0

    def __len__(self) -> int:
        """Number of connections within layers."""
        return len(self.entries)

    def hide_gradients(self) -> None:
        """After the way back: no gradient for weights within layers."""
        gradient = self.model.recurrent.trained.grad
        if gradient is not None:
            gradient[self.entries] = 0.0

    @torch.no_grad()
    def update(self, rates_Hz: torch.Tensor | Iterable[torch.Tensor]) -> None:
        """A step of the rule by the rates of a batch.

        Parameters
        ----------
        rates_Hz : (item, step, neuron); or several such, of items that ran for different times
        """
        parts = [rates_Hz] if isinstance(rates_Hz, torch.Tensor) else list(rates_Hz)
        # Columns are items and steps together.
        last = slice(None) if self.last is None else slice(-self.last, None)
        x = torch.cat([part.detach()[:, last].permute(2, 1, 0).flatten(1) for part in parts], 1)
        growth = self._growth(x)
        recurrent = self.model.recurrent
        size = recurrent()[self.entries].abs()
        size = torch.maximum(size + self.lr * self.start * growth, LEAST * self.start)
        scale = self._sums(self.start) / self._sums(size).clamp_min(1e-30)
        size *= scale[self._group]
        log = recurrent.constraint == "log"
        recurrent.trained[self.entries] = size.log() if log else self._sign * size

    def _growth(self, x: torch.Tensor) -> torch.Tensor:
        """What each connection grows by, from rates in Hz, (neuron, column)."""
        keep = min(MEMORY, self.batches / (self.batches + 1))
        self.mean_square.lerp_(x.square().mean(1), 1 - keep)
        self.batches += 1
        x = x / (self.mean_square + FLOOR_HZ**2).sqrt()[:, None]
        y = x if self.rule == "oja" else x * (x - 1)
        products = Contraction(self._pattern, self.start, "sampled")
        for k in range(0, x.shape[1], _BLOCK):
            columns = slice(k, k + _BLOCK)
            products.add(y[:, columns].contiguous(), x[:, columns].contiguous())
        return products.result() / x.shape[1]

    def _sums(self, size: torch.Tensor) -> torch.Tensor:
        """Of each neuron's inhibition and excitation from its own layer, (2 neurons,)."""
        return size.new_zeros(2 * self.model.n).index_add_(0, self._group, size)

    def state_dict(self) -> dict[str, Any]:
        """What the next update depends on, besides the model's weights."""
        return {
            "start": self.start.clone(),
            "mean_square": self.mean_square.clone(),
            "batches": self.batches,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from `state_dict`.

        Raises
        ------
        DataError : the state of another network
        """
        if len(state["start"]) != len(self) or len(state["mean_square"]) != self.model.n:
            raise DataError(
                f"the state of a Hebbian rule for {len(state['start']):,} connections does not fit "
                f"one for {len(self):,}"
            )
        self.start.copy_(state["start"])
        self.mean_square.copy_(state["mean_square"])
        self.batches = int(state["batches"])
