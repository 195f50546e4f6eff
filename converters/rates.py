"""`to_rate`: a `Network` as a discrete firing-rate network in PyTorch."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from converters import correlations, stability
from converters.rate_weights import Kinetics, Responses, matrices_of, mean_tau_ms, tensor
from converters.slots import pack_receptors
from converters.transfer_tables import transfer_of
from toolkit import progress, rate_dynamics
from toolkit.errors import InputError, unknown
from toolkit.network import Network
from toolkit.neurons import glif3
from toolkit.recording import Recording
from toolkit.transfer import Transfer

NOISES = ("correlated", "independent", "external", "none")
KERNELS = ("exponential", "alpha")
TAU_R_MS = 3.0
FIXED_POINT_DAMPING = 0.3
CORRELATION_TURNS = 3


def to_rate(
    network: Network,
    dynamics: str = "low_pass",
    *,
    dt_ms: float = 1.0,
    noise: str = "correlated",
    kernel: str | None = None,
    transfer: Transfer | None = None,
    tau_r_ms: np.ndarray | float = TAU_R_MS,
    spiking_dt_ms: float = 0.25,
) -> RateNetwork:
    """Make the discrete firing-rate network of the same circuit, in Hz, pA and ms.

    Parameters
    ----------
    network : the circuit
    dynamics : ``"instantaneous"``, ``"low_pass"`` or ``"equilibrium"`` (`toolkit.rate_dynamics`)
    dt_ms : time step; 1 ms where rates are compared with spikes, 5 ms for training
    noise : what enters sigma of F(mu, sigma). ``"correlated"``: the fluctuations of all input,
        self-consistent with the rates, with the correlations that shared input and the network's
        own echoes make (`converters.correlations`); ``"independent"``: the same as if all spikes
        were independent; ``"external"``: those of the inputs only; ``"none"``: F(mu) alone, to show
        what it costs
    kernel : of the synaptic currents, ``"exponential"`` (one pole, the source's form) or
        ``"alpha"`` (two cascaded poles); by default each receptor's own. Both components of a
        double-alpha receptor are filtered by it, each with its share of the charge
    transfer : rate in Hz as a function of mean (mV above threshold) and standard deviation (mV) of
        the free membrane potential; by default the tabulated F of each GLIF3 cell model
    tau_r_ms : rate time constant, a number or one a neuron. The default of 3 ms is our choice:
        rates of noise-driven neurons follow their input faster than the membrane does, and it gives
        PSTHs closer to the spiking ones than the membrane's time constant or fractions of it
    spiking_dt_ms : time step of the spiking simulation that F stands for

    Returns
    -------
    RateNetwork, a `torch.nn.Module`

    Raises
    ------
    InputError : unknown dynamics, noise or kernel, bad time step, neurons that are not GLIF3

    Examples
    --------
    >>> from circuits import v1                                    # doctest: +SKIP
    >>> column = v1.column("3k", seed=1)                           # doctest: +SKIP
    >>> rates = to_rate(column).run(v1.lgn(column).respond(movie)) # doctest: +SKIP
    """
    if dynamics not in rate_dynamics.DYNAMICS:
        raise unknown("dynamics", dynamics, rate_dynamics.DYNAMICS)
    if noise not in NOISES:
        raise unknown("noise", noise, NOISES)
    if kernel not in (None, *KERNELS):
        raise unknown("kernel", kernel, KERNELS)
    if network.model != glif3.NAME:
        raise InputError(f"rates are those of {glif3.NAME} neurons; these are {network.model}")
    if not 0 < dt_ms <= 100:
        raise InputError(f"dt_ms must be above 0 and at most 100 ms, got {dt_ms}")
    if transfer is None:
        transfer = transfer_of(network, dt_ms=spiking_dt_ms)
    tau_r = np.broadcast_to(np.asarray(tau_r_ms, dtype=float), (network.n,))
    if not (tau_r > 0).all():
        raise InputError("tau_r_ms must be above 0")
    return RateNetwork(network, dynamics, dt_ms, noise, kernel, transfer, tau_r)


@dataclass(frozen=True)
class RateState:
    """The state of a `RateNetwork`; tensors of shape (batch, ...).

    Attributes
    ----------
    rates : Hz, (batch, neuron)
    currents : pA, (batch, current x neuron)
    rising : the first pole of alpha currents, same shape (exponential ones have none)
    variance : of the free membrane potential from synaptic input, were all spikes independent,
        mV^2, (batch, neuron)
    correlation : factor on that variance, constant over time, (batch, neuron)
    """

    rates: torch.Tensor
    currents: torch.Tensor
    rising: torch.Tensor
    variance: torch.Tensor
    correlation: torch.Tensor


class RateNetwork(torch.nn.Module):
    """A discrete firing-rate network; made by `to_rate`.

    A neuron's receptors are in slots (`converters.slots`), as in the spiking form. The rate form's
    weight is the charge of one spike, W = w e tau_s / 1000 in pA/Hz (alpha; without e exponential),
    so that the mean current of a synapse is W r. A slot has one current with the receptor's tau_s;
    of a double-alpha receptor two, which share W r by charge and not its synapses. By Campbell's
    theorem the same spikes give the free membrane the variance w^2 r integral(psp^2), psp the
    response to both components; with the constant and random background they make mu and sigma of
    F.

    Attributes
    ----------
    W : sparse (slot x neuron, neuron), pA/Hz
    U : W summed over slots, sparse (neuron, neuron)
    V : variance, sparse (neuron, neuron), mV^2/Hz
    Q : signed square root of V
    P : peak of the potential's response to a spike, sparse (neuron, neuron), mV
    W_in_... to P_in_... : the same for each driven input, by name
    """

    W: torch.Tensor
    U: torch.Tensor
    V: torch.Tensor
    Q: torch.Tensor
    P: torch.Tensor
    a_s: torch.Tensor
    a_rise: torch.Tensor
    two_poles: torch.Tensor
    share: torch.Tensor
    a_v: torch.Tensor
    a_r: torch.Tensor
    constant_pA: torch.Tensor
    constant_variance: torch.Tensor
    g_nS: torch.Tensor
    threshold_mV: torch.Tensor
    indirect_share: torch.Tensor

    def __init__(
        self,
        network: Network,
        dynamics: str,
        dt_ms: float,
        noise: str,
        kernel: str | None,
        transfer: Transfer,
        tau_r_ms: np.ndarray,
    ):
        super().__init__()
        self.n, self.dynamics, self.dt_ms, self.noise = network.n, dynamics, dt_ms, noise
        self.transfer = transfer
        neurons = network.neurons
        slots = pack_receptors(network)
        self.n_slots = slots.n
        kinetics = Kinetics.of(slots, kernel)
        self.kernel = "alpha" if kinetics.two_poles.any() else "exponential"
        self.slow_slots, self.tau_s_ms = kinetics.slow_slots, kinetics.tau_ms
        self.register_buffer("share", tensor(kinetics.share))
        self.register_buffer("two_poles", torch.from_numpy(kinetics.two_poles))
        # Variance follows the square of the potential's response; its time scale is taken as half
        # the membrane's (our choice; it does not enter steady rates).
        self.tau_v_ms = 0.5 * neurons["C_m_pF"] / neurons["g_nS"]
        self.tau_r_ms = tau_r_ms

        constant = np.zeros(network.n)
        if "I_ext_pA" in neurons:
            constant += neurons["I_ext_pA"]
        variance = np.zeros(network.n)
        self.input_names = []
        responses = Responses.of(network, slots)
        for name, source in network.inputs.items():
            matrices = matrices_of(network, slots, responses, source.synapses, source.n)
            if source.rate_Hz is None:
                self.input_names.append(name)
                for letter, matrix in matrices.items():
                    self.register_buffer(f"{letter}_in_{name}", matrix)
            else:
                rates = torch.full((source.n, 1), source.rate_Hz)
                constant += (matrices["U"] @ rates)[:, 0].double().numpy()
                variance += (matrices["V"] @ rates)[:, 0].double().numpy()
        recurrent = matrices_of(network, slots, responses, network.synapses, network.n)
        for letter, matrix in recurrent.items():
            self.register_buffer(letter, matrix)
        self.register_buffer("constant_pA", tensor(constant))
        self.register_buffer("constant_variance", tensor(variance))
        self.register_buffer("g_nS", tensor(neurons["g_nS"]))
        self.register_buffer("threshold_mV", tensor(neurons["V_th_mV"] - neurons["E_L_mV"]))
        response_ms = neurons["C_m_pF"] / neurons["g_nS"] + mean_tau_ms(network)
        share = response_ms / (response_ms + correlations.RESPONSE_MS)
        self.register_buffer("indirect_share", tensor(share))
        for name in ("s", "v", "r"):
            self.register_buffer(
                f"a_{name}", tensor(np.zeros(len(getattr(self, f"tau_{name}_ms"))))
            )
        self.register_buffer("a_rise", torch.zeros_like(self.a_s))
        self.set_dt(dt_ms)

    def set_dt(self, dt_ms: float) -> None:
        """Change the time step."""
        self.dt_ms = dt_ms
        for name in ("s", "v", "r"):
            decay = np.exp(-dt_ms / getattr(self, f"tau_{name}_ms"))
            getattr(self, f"a_{name}").copy_(torch.from_numpy(decay))
        self.a_rise.copy_(self.a_s * self.two_poles)  # 0: the first pole lets its input through

    @property
    def _recurrent_noise(self) -> bool:
        return self.noise in ("correlated", "independent")

    def drive(self, inputs: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        """Current (pA, (batch, slot x neuron)) and variance (mV^2, (batch, neuron)) that
        input rates (Hz, (batch, channel)) give."""
        current: torch.Tensor | float = 0.0
        variance: torch.Tensor | float = 0.0
        for name, rates in inputs.items():
            current = current + (getattr(self, f"W_in_{name}") @ rates.T).T
            variance = variance + (getattr(self, f"V_in_{name}") @ rates.T).T
        if isinstance(current, float):
            zeros = self.constant_pA.new_zeros((1, self.n))
            return zeros.repeat(1, self.n_slots), zeros
        assert isinstance(variance, torch.Tensor)
        return current, variance

    def by_current(self, of_slot: torch.Tensor) -> torch.Tensor:
        """What arrives in the slots, (batch, slot x neuron), shared out to their currents.

        The currents are those of all slots, then the slow ones of double-alpha receptors.
        """
        if not self.slow_slots:
            return of_slot
        slots = of_slot.unflatten(1, (self.n_slots, self.n))
        return torch.cat([slots, slots[:, self.slow_slots]], dim=1).flatten(1) * self.share

    def working_point(
        self, currents: torch.Tensor, variance: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """mu above threshold and sigma (mV) of synaptic currents (pA) and variance (mV^2)."""
        total = currents.unflatten(1, (-1, self.n)).sum(1) + self.constant_pA
        if self.noise == "none":
            sigma = torch.zeros_like(variance)
        else:
            sigma = torch.sqrt(variance + self.constant_variance)
        return total / self.g_nS - self.threshold_mV, sigma

    def rate(self, currents: torch.Tensor, variance: torch.Tensor) -> torch.Tensor:
        """F(mu, sigma) in Hz of synaptic currents (pA) and synaptic variance (mV^2)."""
        return self.transfer(*self.working_point(currents, variance))

    def start(self, batch: int = 1) -> RateState:
        """The silent state."""
        zeros = self.constant_pA.new_zeros((batch, self.n))
        currents = self.by_current(zeros.repeat(1, self.n_slots))
        return RateState(zeros, currents, currents, zeros, torch.ones_like(zeros))

    def step(
        self, state: RateState, input_current: torch.Tensor, input_variance: torch.Tensor
    ) -> RateState:
        """One step of `dynamics`; the arguments are those of `drive` during the step."""
        presynaptic = state.rates.T
        target = self.by_current((self.W @ presynaptic).T + input_current)
        variance = input_variance.expand_as(state.variance)
        if self._recurrent_noise:
            variance = variance + (self.V @ presynaptic).T
        variance = rate_dynamics.relax(state.variance, variance, self.a_v)
        fluctuation, old_fluctuation = (v * state.correlation for v in (variance, state.variance))
        rising = state.rising
        if self.kernel == "alpha" and self.dynamics != "equilibrium":
            rising = rate_dynamics.relax(rising, target, self.a_rise)
            target = rising
        if self.dynamics == "instantaneous":
            currents, rates = rate_dynamics.instantaneous(
                state.currents, target, lambda pA: self.rate(pA, fluctuation), self.a_s
            )
        elif self.dynamics == "low_pass":
            currents, rates = rate_dynamics.low_pass(
                state.currents,
                state.rates,
                target,
                lambda pA: self.rate(pA, old_fluctuation),
                self.a_s,
                self.a_r,
            )
        else:
            currents = target
            rates = rate_dynamics.equilibrium(
                state.rates, target, lambda pA: self.rate(pA, fluctuation), self.a_r
            )
        return RateState(rates, currents, rising, variance, state.correlation)

    @torch.no_grad()
    def fixed_point(
        self,
        inputs: Mapping[str, torch.Tensor] | torch.Tensor | None = None,
        *,
        tolerance_Hz: float = 1e-3,
        max_steps: int = 2000,
    ) -> torch.Tensor:
        """Steady rates, Hz, (batch, neuron), for constant input rates, Hz, (batch, channel).

        The solution of r = F(W r + ...) that damped iteration from silence reaches; it is the same
        for the three dynamics and any dt.

        Raises
        ------
        InputError : an input that does not fit
        Warns when the change of a step has not fallen below `tolerance_Hz`.
        """
        return self.at_steady_state(
            self._named(inputs), tolerance_Hz=tolerance_Hz, max_steps=max_steps
        ).rates

    @torch.no_grad()
    def run(
        self,
        inputs: Recording | Mapping[str, Recording] | None = None,
        *,
        duration_ms: float | None = None,
        check_stability: bool = True,
        show_progress: bool | None = None,
    ) -> Recording:
        """Rates of all neurons over time, starting from the steady state of the first input.

        Parameters
        ----------
        inputs : rates of the external input(s) (spikes are counted in windows of dt)
        duration_ms : where there is no input
        check_stability : refuse a time step for which the one-step map, linearised at the
            steady state of the mean input, is unstable
        show_progress : by default on a terminal

        Raises
        ------
        InputError : inputs that do not fit; an unstable time step, with the largest that is stable
        """
        batch = self.run_batch([inputs], duration_ms=duration_ms, check_stability=check_stability,
                               show_progress=show_progress)  # fmt: skip
        return batch[0]

    @torch.no_grad()
    def run_batch(
        self,
        inputs: Sequence[Recording | Mapping[str, Recording] | None],
        *,
        duration_ms: float | None = None,
        check_stability: bool = True,
        show_progress: bool | None = None,
    ) -> list[Recording]:
        """`run` for several inputs of one duration at once, which shares the work of each step."""
        driven = [self._input_rates(each, duration_ms) for each in inputs]
        lengths = {length for _, length in driven}
        if len(lengths) != 1:
            raise InputError(f"the inputs have different numbers of steps: {sorted(lengths)}")
        n_steps = lengths.pop()
        stacked = {
            name: torch.stack([rates[name] for rates, _ in driven], dim=1) for name in driven[0][0]
        }  # (time, batch, channel)
        # Correlations are taken at the mean input of all; they differ little between stimuli.
        mean = {name: rates.mean((0, 1))[None] for name, rates in stacked.items()}
        centre = self.at_steady_state(mean)
        if check_stability:
            stability.refuse_unstable_step(self, mean, centre.correlation)
        first = {name: rates[0] for name, rates in stacked.items()}
        state = self.at_steady_state(first, correlation=centre.correlation)
        out = torch.empty((len(inputs), n_steps, self.n))
        with progress.bar(n_steps * self.dt_ms / 1000, "rates", " s", show_progress) as shown:
            for k in range(n_steps):
                drive = self.drive({name: rates[k] for name, rates in stacked.items()})
                state = self.step(state, *drive)
                out[:, k] = state.rates
                shown.update(self.dt_ms / 1000)
        return [Recording.rates(rates.numpy(), dt_ms=self.dt_ms) for rates in out]

    @torch.no_grad()
    def at_steady_state(
        self,
        inputs: Mapping[str, torch.Tensor],
        *,
        correlation: torch.Tensor | None = None,
        tolerance_Hz: float = 1e-3,
        max_steps: int = 2000,
    ) -> RateState:
        """The state at the fixed point of constant input rates, Hz, (batch, channel) each.

        `correlation` fixes the factor on the variance, (batch or 1, neuron); otherwise, with
        correlated noise, fixed point and factor are found in turns.
        """
        input_current, input_variance = self.drive(inputs)
        factor = torch.ones_like(input_variance) if correlation is None else correlation
        turns = CORRELATION_TURNS if self.noise == "correlated" and correlation is None else 0
        rates = torch.zeros_like(input_variance)
        currents, variance = input_current, input_variance
        for turn in range(turns + 1):
            change = np.inf
            for _ in range(max_steps):
                target, target_variance = input_current, input_variance
                target = target + (self.W @ rates.T).T
                if self._recurrent_noise:
                    target_variance = target_variance + (self.V @ rates.T).T
                currents = torch.lerp(currents, target, FIXED_POINT_DAMPING)
                variance = torch.lerp(variance, target_variance, FIXED_POINT_DAMPING)
                new = self.rate(currents, variance * factor)
                change = float((new - rates).abs().max())
                rates = new
                if change < tolerance_Hz:
                    break
            else:
                warnings.warn(
                    f"the fixed point still moves by {change:.2g} Hz a step after {max_steps} "
                    "steps: the network has no stable steady state there, or one reached slowly",
                    stacklevel=2,
                )
            if turn < turns:
                mu, sigma = self.working_point(currents, variance * factor)
                factor = correlations.variance_factor(self, rates, inputs, mu, sigma)
        currents = self.by_current(currents)
        return RateState(rates, currents, currents, variance, factor.expand_as(rates))

    def _named(
        self, inputs: Mapping[str, torch.Tensor] | torch.Tensor | None
    ) -> Mapping[str, torch.Tensor]:
        if inputs is None:
            return {}
        if isinstance(inputs, torch.Tensor):
            if len(self.input_names) != 1:
                raise InputError(f"name the input: one of {', '.join(self.input_names) or 'none'}")
            inputs = {self.input_names[0]: inputs}
        for name, rates in inputs.items():
            if name not in self.input_names:
                raise unknown("input", name, self.input_names)
            n = getattr(self, f"W_in_{name}").shape[1]
            if rates.ndim != 2 or rates.shape[1] != n:
                raise InputError(
                    f"input {name!r} wants (batch, {n}) rates, got {tuple(rates.shape)}"
                )
        return inputs

    def _input_rates(
        self, inputs: Recording | Mapping[str, Recording] | None, duration_ms: float | None
    ) -> tuple[dict[str, torch.Tensor], int]:
        """Input rates resampled to the step, (time, channel) each, and the number of steps."""
        if isinstance(inputs, Recording):
            if len(self.input_names) != 1:
                raise InputError(f"name the input: one of {', '.join(self.input_names) or 'none'}")
            inputs = {self.input_names[0]: inputs}
        if not inputs:
            if duration_ms is None or not duration_ms > 0:
                raise InputError(f"without an input, give a duration_ms above 0, got {duration_ms}")
            return {}, round(duration_ms / self.dt_ms)
        rates = {
            name: _resampled(each, self.dt_ms).to(self.constant_pA) for name, each in inputs.items()
        }
        self._named({name: each[:1] for name, each in rates.items()})
        lengths = {len(each) for each in rates.values()}
        if len(lengths) > 1:
            raise InputError(f"the inputs have different numbers of steps: {sorted(lengths)}")
        return rates, lengths.pop()


def _resampled(recording: Recording, dt_ms: float) -> torch.Tensor:
    """Rates in steps of dt, by averaging or holding whole steps."""
    if recording.kind == "spikes":
        recording = recording.to_rates(dt_ms)
    assert recording.rates_Hz is not None
    rates = torch.from_numpy(np.array(recording.rates_Hz))
    ratio = dt_ms / recording.dt_ms
    if abs(ratio - round(ratio)) < 1e-9 and ratio >= 1:
        k = round(ratio)
        return rates[: len(rates) // k * k].reshape(-1, k, rates.shape[1]).mean(1)
    if abs(1 / ratio - round(1 / ratio)) < 1e-9:
        return rates.repeat_interleave(round(1 / ratio), dim=0)
    raise InputError(
        f"input steps of {recording.dt_ms:g} ms and rate steps of {dt_ms:g} ms: one must be a "
        "whole multiple of the other"
    )
