"""`TrainableRates`: a discrete firing-rate network with trained weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import torch

from toolkit.errors import InputError
from toolkit.learning.weights import Weights
from toolkit.scan import Backend, Connections, System, scan
from toolkit.scan.curves import TableCurve
from toolkit.scan.system import Start, silence


class TrainableRates(torch.nn.Module):
    """A rate network in Hz, pA and ms whose recurrent and input weights are trained.

    Made by `converters.trainable.trainable` from a `Network`. Its equations are those of
    `toolkit.scan.System`; weights are W = charge of a spike in pA/Hz.

    Parameters
    ----------
    connections : who connects to whom, by slot; entries from neurons and from input channels
    weights : initial weights of all entries, pA/Hz
    sign : of each entry
    curve : F
    dynamics, dt_ms : of `toolkit.rate_dynamics`
    tau_s_ms : of the synaptic currents, (slot, neuron)
    tau_r_ms : of the rates, (neuron,)
    constant_pA : current that is always there, (neuron,)
    variance_per_square : variance of the free membrane for a rate of 1 Hz through a weight of
        1 pA/Hz, mV^2/(pA/Hz)^2/Hz, of each entry
    pools : neurons whose mean rate is an answer, (pool, member)
    constraint : of the recurrent weights (`Weights`); weights of inputs keep their sign
    largest : magnitude that each weight may have, pA/Hz, if there is a limit
    background_mV2 : variance of the free membrane that the background makes, (neuron,)
    curve_at : F at other sigmas (mV, (neuron,)), for `set_sigma`
    cells_per_channel : cells with independent spikes that an input channel stands for; known to
        `variance_per_square` already
    backend : of the scan

    Trained are `recurrent.trained` and `from_inputs.trained`; the patterns are no part of the
    `state_dict`, as the network has them.

    Raises
    ------
    InputError : time constants not above 0, pools that name neurons there are not
    """

    constant_pA: torch.Tensor
    pools: torch.Tensor
    tau_s_ms: torch.Tensor
    tau_r_ms: torch.Tensor
    variance_per_square: torch.Tensor
    background_mV2: torch.Tensor
    from_channel: torch.Tensor

    def __init__(
        self,
        connections: Connections,
        weights: np.ndarray,
        sign: np.ndarray,
        curve: TableCurve,
        *,
        dynamics: str,
        dt_ms: float,
        tau_s_ms: np.ndarray,
        tau_r_ms: np.ndarray,
        constant_pA: np.ndarray,
        variance_per_square: np.ndarray,
        pools: np.ndarray,
        constraint: str = "log",
        largest: np.ndarray | None = None,
        background_mV2: np.ndarray | None = None,
        curve_at: Callable[[np.ndarray], TableCurve] | None = None,
        cells_per_channel: int = 1,
        backend: Backend | None = None,
    ):
        super().__init__()
        for name, tau in (("tau_s_ms", tau_s_ms), ("tau_r_ms", tau_r_ms), ("dt_ms", [dt_ms])):
            if not (np.asarray(tau) > 0).all():
                raise InputError(f"{name} must be above 0")
        pools = np.asarray(pools, dtype=np.int64)
        if pools.ndim != 2 or (pools.size and not 0 <= pools.min() <= pools.max() < connections.n):
            raise InputError(f"pools are arrays (pool, member) of neurons 0 to {connections.n - 1}")
        self.connections, self.curve = connections, curve
        self.dynamics, self.dt_ms, self.backend = dynamics, dt_ms, backend or Backend()
        channel = connections.col.numpy() >= connections.n
        self.curve_at, self.cells_per_channel = curve_at, cells_per_channel
        inputs = "projected" if constraint == "projected" else "log"
        self.recurrent, self.from_inputs = (
            Weights(
                weights[those],
                sign[those],
                constraint=how,
                largest=None if largest is None else largest[those],
            )
            for those, how in ((~channel, constraint), (channel, inputs))
        )
        # Where each entry is in (recurrent, from inputs).
        order = np.empty(len(channel), dtype=np.int64)
        order[~channel] = np.arange(len(self.recurrent))
        order[channel] = len(self.recurrent) + np.arange(len(self.from_inputs))
        self.register_buffer("from_channel", torch.from_numpy(order), persistent=False)
        self.register_buffer("pools", torch.from_numpy(pools), persistent=False)
        for name, value in (
            ("tau_s_ms", tau_s_ms),
            ("tau_r_ms", tau_r_ms),
            ("constant_pA", constant_pA),
            ("variance_per_square", variance_per_square),
            (
                "background_mV2",
                np.zeros(connections.n) if background_mV2 is None else background_mV2,
            ),
        ):
            self.register_buffer(name, torch.tensor(np.asarray(value), dtype=torch.float32))

    @property
    def n(self) -> int:
        """Number of neurons."""
        return self.connections.n

    @property
    def system(self) -> System:
        """The equations with their constants."""
        a_s = torch.exp(-self.dt_ms / self.tau_s_ms)[:, :, None]
        a_r = torch.exp(-self.dt_ms / self.tau_r_ms)[:, None]
        return System(self.dynamics, a_s, a_r, self.curve)

    def weights(self) -> torch.Tensor:
        """All weights, pA/Hz, in the order of the entries of `connections`."""
        return torch.cat([self.recurrent(), self.from_inputs()])[self.from_channel]

    def forward(
        self,
        inputs_Hz: torch.Tensor,
        start: Start | None = None,
        noise_pA: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Rates of all steps, Hz, (item, step, neuron), of input rates (item, step, channel).

        `start` and `noise_pA` are those of `toolkit.scan.scan`.
        """
        return scan(
            self.connections,
            self.system,
            self.weights(),
            self.constant_pA,
            inputs_Hz,
            start,
            noise_pA,
            backend=self.backend,
        )

    @torch.no_grad()
    def final_state(
        self, rates_Hz: torch.Tensor, inputs_Hz: torch.Tensor, start: Start | None = None
    ) -> Start:
        """The state after the last step, from which `forward` goes on.

        Currents are filtered again from the rates, a sparse product a step. No gradient passes.

        Parameters
        ----------
        rates_Hz : what `forward` gave, (item, step, neuron)
        inputs_Hz, start : what it was given
        """
        system = self.system
        start = start or silence(system, len(inputs_Hz))
        rates, currents = start.rates, start.currents.clone()
        if self.dynamics != "equilibrium":
            matrix, keep = self.connections.matrix(self.weights()), 1 - system.a_s
            for k in range(inputs_Hz.shape[1]):
                arriving = matrix @ torch.cat([rates, inputs_Hz[:, k].T])
                currents.lerp_(arriving.view_as(currents), keep)
                rates = rates_Hz[:, k].T
        return Start(rates_Hz[:, -1].T.clone(), currents)

    def pool_rates(self, rates_Hz: torch.Tensor, response: torch.Tensor) -> torch.Tensor:
        """Mean rate of each pool in each item's response window, Hz, (item, pool).

        Parameters
        ----------
        rates_Hz : (item, step, neuron)
        response : bool (item, step), with a step in each item
        """
        window = response.to(rates_Hz.dtype)
        window = window / window.sum(1, keepdim=True)
        # Only the steps of some window are read: others would be summed with a weight of 0.
        steps = torch.nonzero(response.any(0)).flatten()
        members = rates_Hz[:, steps][:, :, self.pools.flatten()]
        means = torch.einsum("bt,btm->bm", window[:, steps], members)
        return means.unflatten(1, self.pools.shape).mean(2)

    def synaptic_variance(
        self, rates_Hz: torch.Tensor, inputs_Hz: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Variance of the free membrane that recurrent spikes would make, mV^2, (neuron,).

        By Campbell's theorem, were they Poisson and independent, for mean rates (neuron,); with
        mean `inputs_Hz` (channel,) those of the inputs are counted, too. For the regulariser that
        keeps recurrent noise below the background's.
        """
        if inputs_Hz is None:
            inputs_Hz = rates_Hz.new_zeros(self.connections.n_channels)
        # Not by indexing: the gradient of that is summed in an order of the threads' own.
        before = torch.cat([rates_Hz, inputs_Hz]).index_select(0, self.connections.col)
        each = self.weights().square() * before * self.variance_per_square
        return rates_Hz.new_zeros(self.n).index_add(0, self.connections.row.long() % self.n, each)

    @torch.no_grad()
    def sigma_mV(self, rates_Hz: torch.Tensor, inputs_Hz: torch.Tensor) -> torch.Tensor:
        """Fluctuation of the free membrane by background, recurrent and input spikes, (neuron,)."""
        return (self.background_mV2 + self.synaptic_variance(rates_Hz, inputs_Hz)).sqrt()

    def set_sigma(self, sigma_mV: torch.Tensor) -> None:
        """Take F at another fluctuation of each neuron, mV (neuron,).

        Raises
        ------
        InputError : F at other sigmas is not known (`curve_at`)
        """
        if self.curve_at is None:
            raise InputError("this model's F is known at one sigma only: it has no curve_at")
        new = self.curve_at(sigma_mV.detach().cpu().numpy())
        self.curve.load_state_dict(new.state_dict())
        self.curve.sigma_mV = new.sigma_mV

    def project(self, slack: float = 1.0) -> None:
        """After each step of the optimiser (`Weights.project`)."""
        self.recurrent.project(slack)
        self.from_inputs.project(slack)

    def with_backend(self, backend: Backend) -> TrainableRates:
        """Use another backend from now on; returns the model itself."""
        self.backend = dataclasses.replace(backend)
        return self
