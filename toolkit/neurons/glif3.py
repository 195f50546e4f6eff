r"""GLIF3: parameters and postsynaptic potentials of the neuron of the V1 models.

    C dV/dt = -g (V - E_L) + sum_r I_r + I_asc1 + I_asc2 + I_ext
    d I_asc,k / dt = -decay_k I_asc,k
    spike when V > V_th; then V -> V_reset for t_ref and
    I_asc,k -> amp_k + I_asc,k exp(-decay_k t_ref)

Model and equations: Teeter et al. 2018, Nat Commun 9:709 (GLIF level 3). The discrete update is
that of NEST's ``glif_psc`` and, for receptors with two alpha currents, ``glif_psc_double_alpha``;
its definition, which every backend here shares, is the NESTML text of `toolkit.neurons.glif`: exact
propagators for the membrane and the synaptic currents, the *step mean* of each after-spike current,
a strict threshold tested before the arrivals of the step act, an integer number ceil(t_ref / dt) of
refractory steps during which V and the after-spike currents are held and the synaptic currents run
on.
"""

from __future__ import annotations

import numpy as np

from toolkit.neurons.schema import Parameter

NAME = "glif3"

PARAMETERS = (
    Parameter("C_m_pF", "pF", "membrane capacitance", 1e-3, 1e5),
    Parameter("g_nS", "nS", "leak conductance", 1e-3, 1e4),
    Parameter("E_L_mV", "mV", "resting potential", -150.0, 50.0),
    Parameter("V_th_mV", "mV", "spike threshold", -150.0, 1e6),
    Parameter("V_reset_mV", "mV", "reset potential", -150.0, 50.0),
    Parameter("t_ref_ms", "ms", "refractory period", 0.0, 1e3),
    Parameter("asc_decay_1_per_ms", "1/ms", "decay rate of after-spike current 1", 1e-6, 1e3),
    Parameter("asc_decay_2_per_ms", "1/ms", "decay rate of after-spike current 2", 1e-6, 1e3),
    Parameter("asc_amp_1_pA", "pA", "jump of after-spike current 1 at a spike", -1e5, 1e5),
    Parameter("asc_amp_2_pA", "pA", "jump of after-spike current 2 at a spike", -1e5, 1e5),
    Parameter("V_init_mV", "mV", "potential at the start (E_L if absent)", -1e3, 1e3, np.nan),
    Parameter("I_ext_pA", "pA", "constant external current (0 if absent)", -1e6, 1e6, 0.0),
)


def alpha_psp(
    t_ms: np.ndarray, C_m_pF: np.ndarray, g_nS: np.ndarray, tau_syn_ms: np.ndarray
) -> np.ndarray:
    """Membrane response in mV at rest to one alpha current of 1 pA peak, at times `t_ms`.

    psp(t) = e / (tau_s C) exp(-t/tau_m) t^2 [1 - exp(-x)(1 + x)] / x^2, x = t (1/tau_s - 1/tau_m);
    near x = 0 (tau_s = tau_m) the fraction by its series. All arguments broadcast.
    """
    tau_m = C_m_pF / g_nS
    x = t_ms * (1 / tau_syn_ms - 1 / tau_m)
    small = np.abs(x) < 1e-2
    safe = np.where(small, 1.0, x)
    # exp(-t/tau_m - x) is exp(-t/tau_s): multiplied in first, it cannot overflow.
    rest = np.exp(-t_ms / tau_m) - np.exp(-t_ms / tau_m - safe) * (1 + safe)
    series = 1 / 2 - x / 3 + x**2 / 8 - x**3 / 30 + x**4 / 144 - x**5 / 840
    shape = np.where(small, np.exp(-t_ms / tau_m) * series, rest / safe**2)
    return np.e / (tau_syn_ms * C_m_pF) * t_ms**2 * shape


def psp_peak_mV(
    C_m_pF: np.ndarray,
    g_nS: np.ndarray,
    tau_syn_ms: np.ndarray | float,
    tau_slow_ms: np.ndarray | float | None = None,
    amp_slow: np.ndarray | float | None = None,
) -> np.ndarray:
    """Peak depolarisation in mV for an alpha current of 1 pA peak at rest, shape of the arguments.

    With `tau_slow_ms` and `amp_slow` for a double-alpha current, whose fast component has that
    peak. All arguments broadcast.

    >>> psp_peak_mV(np.array([100.0]), np.array([5.0]), np.array([5.5])).round(4)
    array([0.0797])
    >>> psp_peak_mV(np.array([100.0]), np.array([5.0]), 1.7, 4.4, 0.6).round(4)
    array([0.0707])
    """
    single = tau_slow_ms is None or amp_slow is None
    slow = (tau_syn_ms, 0.0) if single else (tau_slow_ms, amp_slow)
    given = (np.atleast_1d(np.asarray(a, dtype=float)) for a in (C_m_pF, g_nS, tau_syn_ms, *slow))
    C, g, tau, tau_slow, amp = np.broadcast_arrays(*given)

    def psp(t_ms: np.ndarray) -> np.ndarray:
        fast = alpha_psp(t_ms, C, g, tau)
        return fast if single else fast + amp * alpha_psp(t_ms, C, g, tau_slow)

    # The potential follows the current, so it peaks after the faster component does. Two components
    # far apart can make two maxima: times are scanned before the highest is closed in on.
    longest = np.maximum(np.maximum(tau, tau_slow), C / g)
    times = np.geomspace(np.minimum(tau, tau_slow), 20 * longest, 120)
    highest = np.argmax(np.stack([psp(t) for t in times]), axis=0)[None]
    low, high = (
        np.take_along_axis(times, np.clip(highest + k, 0, len(times) - 1), axis=0)[0]
        for k in (-1, 1)
    )
    golden = (np.sqrt(5) - 1) / 2
    for _ in range(40):  # golden section
        left, right = high - golden * (high - low), low + golden * (high - low)
        rising = psp(left) < psp(right)
        low, high = np.where(rising, left, low), np.where(rising, high, right)
    return psp((low + high) / 2)


def psp_square_integral(
    C_m_pF: np.ndarray,
    g_nS: np.ndarray,
    tau_syn_ms: np.ndarray | float,
    tau_slow_ms: np.ndarray | float | None = None,
    amp_slow: np.ndarray | float | None = None,
) -> np.ndarray:
    """Integral of psp(t)^2 in mV^2 ms for an alpha current of 1 pA peak.

    By Campbell's theorem Poisson input of rate r (Hz) and weight w (pA) gives the free membrane the
    variance ``w^2 r / 1000`` times this. With lam = 1/tau_m and mu = 1/tau_s it is
    (e / (tau_s C))^2 (lam + 2 mu) / (4 lam mu^3 (lam + mu)^2), for any tau_s (Parseval).

    With `tau_slow_ms` and `amp_slow` for a double-alpha current. The same spikes make both its
    components, so that the integral of their product counts, too:
    <fast^2> + 2 amp <fast slow> + amp^2 <slow^2>.
    """
    fast = _psp_product_integral(C_m_pF, g_nS, tau_syn_ms, tau_syn_ms)
    if tau_slow_ms is None or amp_slow is None:
        return fast
    both = _psp_product_integral(C_m_pF, g_nS, tau_syn_ms, tau_slow_ms)
    slow = _psp_product_integral(C_m_pF, g_nS, tau_slow_ms, tau_slow_ms)
    return fast + 2 * amp_slow * both + amp_slow**2 * slow


def _psp_product_integral(
    C_m_pF: np.ndarray,
    g_nS: np.ndarray,
    tau_1_ms: np.ndarray | float,
    tau_2_ms: np.ndarray | float,
) -> np.ndarray:
    """Integral of psp_1(t) psp_2(t) in mV^2 ms for two alpha currents of 1 pA peak.

    The product of e mu_k / (C (s + lam) (s + mu_k)^2), k = 1, 2, the second at -s, integrated along
    the imaginary axis: with S = mu_1 + mu_2 and P = mu_1 mu_2,
    (e^2 P / C^2) (4 lam^3 + 8 lam^2 S + 4 lam S^2 + 4 lam P + S^3)
    / (2 lam S^3 (lam + mu_1)^2 (lam + mu_2)^2).
    """
    lam = g_nS / C_m_pF
    mu_1, mu_2 = (1 / np.asarray(tau, dtype=float) for tau in (tau_1_ms, tau_2_ms))
    S, P = mu_1 + mu_2, mu_1 * mu_2
    top = 4 * lam**3 + 8 * lam**2 * S + 4 * lam * S**2 + 4 * lam * P + S**3
    bottom = 2 * lam * S**3 * ((lam + mu_1) * (lam + mu_2)) ** 2
    return (np.e / C_m_pF) ** 2 * P * top / bottom


def exponential_psp_peak_mV(
    C_m_pF: np.ndarray, g_nS: np.ndarray, tau_syn_ms: np.ndarray | float
) -> np.ndarray:
    """Peak depolarisation in mV for an exponential current of 1 pA peak at rest.

    With x = tau_s / tau_m the peak of `exponential_psp_square_integral`'s psp(t) is
    (tau_s / C) x^(x / (1 - x)).

    >>> exponential_psp_peak_mV(np.array(100.0), np.array(5.0), np.array(5.0)).round(4)
    np.float64(0.0315)
    """
    x = np.asarray(tau_syn_ms, dtype=float) * g_nS / C_m_pF
    x = np.where(np.abs(x - 1) < 1e-6, 1 + 1e-6, x)
    return tau_syn_ms / C_m_pF * x ** (x / (1 - x))


def exponential_psp_square_integral(
    C_m_pF: np.ndarray, g_nS: np.ndarray, tau_syn_ms: np.ndarray | float
) -> np.ndarray:
    """Integral of psp(t)^2 in mV^2 ms for an exponential current of 1 pA peak.

    psp(t) = (exp(-t/tau_m) - exp(-t/tau_s)) / (C a), a = 1/tau_s - 1/tau_m; the integral is
    tau_m^2 tau_s^2 / (2 C^2 (tau_m + tau_s)).
    """
    tau_m, tau_s = C_m_pF / g_nS, np.asarray(tau_syn_ms, dtype=float)
    return tau_m**2 * tau_s**2 / (2 * C_m_pF**2 * (tau_m + tau_s))
