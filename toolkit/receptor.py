"""`Receptor`: a kind of postsynaptic current, its charge and what it does to a membrane."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toolkit.errors import InputError, unknown
from toolkit.neurons import glif3

KERNELS = ("alpha", "exponential", "double_alpha", "port")


@dataclass(frozen=True)
class Receptor:
    """A kind of postsynaptic current, for a synapse of weight w.

    Attributes
    ----------
    tau_ms : time constant; that of the fast component of ``"double_alpha"``
    kernel : with alpha(t; tau) = (t/tau) e^(1 - t/tau), which peaks at 1,
        ``"alpha"``, I(t) = w alpha(t; tau), ``"exponential"``, I(t) = w e^(-t/tau), or
        ``"double_alpha"``, I(t) = w [alpha(t; tau) + amp_slow alpha(t; tau_slow)], the form of
        NEST's ``glif_psc_double_alpha``; or ``"port"``: the neuron model's own input port of the
        receptor's name, with tau_ms = 0 (see `toolkit.neurons.models`)
    tau_slow_ms, amp_slow : of the slow component of ``"double_alpha"``: time constant, and peak
        relative to that of the fast one

    Weights are the peak current in pA, of a port in the unit of its model; for ``"double_alpha"``
    the peak of the fast component alone (the sum peaks later and higher).

    Raises
    ------
    InputError : an unknown kernel, a value out of range, a slow component missing or out of place

    >>> round(Receptor(1.85, "double_alpha", tau_slow_ms=2.45, amp_slow=0.58).charge_per_peak, 4)
    8.8915
    """

    tau_ms: float
    kernel: str = "alpha"
    tau_slow_ms: float | None = None
    amp_slow: float | None = None

    def __post_init__(self) -> None:
        if self.kernel not in KERNELS:
            raise unknown("synaptic kernel", self.kernel, KERNELS)
        double = self.kernel == "double_alpha"
        if {self.tau_slow_ms is not None, self.amp_slow is not None} != {double}:
            raise InputError(
                "the kernel 'double_alpha', and no other, needs tau_slow_ms and amp_slow: got "
                f"tau_slow_ms = {self.tau_slow_ms}, amp_slow = {self.amp_slow} with {self.kernel!r}"
            )
        for name, limit in (("tau_ms", 1e4), ("tau_slow_ms", 1e4), ("amp_slow", 1e3)):
            value = getattr(self, name)
            if name == "tau_ms" and self.kernel == "port":
                if value != 0:
                    raise InputError(f"a port has no tau_ms of its own: give 0, got {value}")
            elif (double or name == "tau_ms") and not 0 < value < limit:
                raise InputError(
                    f"a receptor's {name} must be above 0 and below {limit:,.0f}, got {value}"
                )

    @property
    def components(self) -> tuple[tuple[float, float], ...]:
        """The currents that sum up: (peak relative to the weight, time constant in ms) of each.

        None for a port, which is the neuron model's.
        """
        if self.kernel == "port":
            return ()
        fast = (1.0, self.tau_ms)
        if self.tau_slow_ms is None or self.amp_slow is None:
            return (fast,)
        return fast, (self.amp_slow, self.tau_slow_ms)

    @property
    def charge_per_peak(self) -> float:
        """Charge of one spike per pA of weight, pA ms.

        e tau (alpha), tau (exponential) or e (tau + amp_slow tau_slow).
        """
        self._check_current()
        area = 1.0 if self.kernel == "exponential" else np.e
        return area * sum(peak * tau for peak, tau in self.components)

    @property
    def mean_tau_ms(self) -> float:
        """Time constant, the mean over the components by charge."""
        self._check_current()
        charge = sum(peak * tau for peak, tau in self.components)
        return sum(peak * tau**2 for peak, tau in self.components) / charge

    def psp_peak_mV(self, C_m_pF: np.ndarray, g_nS: np.ndarray) -> np.ndarray:
        """Peak depolarisation at rest by a spike of weight 1 pA, mV, shape of the arguments."""
        self._check_current()
        if self.kernel == "exponential":
            return glif3.exponential_psp_peak_mV(C_m_pF, g_nS, self.tau_ms)
        return glif3.psp_peak_mV(C_m_pF, g_nS, self.tau_ms, self.tau_slow_ms, self.amp_slow)

    def psp_square_integral(self, C_m_pF: np.ndarray, g_nS: np.ndarray) -> np.ndarray:
        """Integral of psp(t)^2 for a weight of 1 pA, mV^2 ms, shape of the arguments.

        Campbell's theorem makes it a variance: `toolkit.neurons.glif3.psp_square_integral`.
        """
        self._check_current()
        if self.kernel == "exponential":
            return glif3.exponential_psp_square_integral(C_m_pF, g_nS, self.tau_ms)
        return glif3.psp_square_integral(C_m_pF, g_nS, self.tau_ms, self.tau_slow_ms, self.amp_slow)

    def _check_current(self) -> None:
        if self.kernel == "port":
            raise InputError("what a spike does at a port of a neuron model is the model's to say")


def charge_pA_ms(weight: np.ndarray | float, receptor: Receptor) -> np.ndarray | float:
    """Charge that one spike delivers, pA ms, for a weight in pA.

    >>> round(charge_pA_ms(2.0, Receptor(tau_ms=5.5)), 4)
    29.9011
    """
    return weight * receptor.charge_per_peak
