"""Small rate networks of known dynamics, for the tests of rates and of their stability."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from converters.rates import RateNetwork, to_rate
from toolkit import Input, Network, Receptor, Synapses, Table

N, N_IN = 3, 2
TAUS_MS = (5.5, 8.0)
TWO_COMPONENTS = Receptor(TAUS_MS[0], "double_alpha", tau_slow_ms=14.0, amp_slow=0.6)
# The two receptors of a network by what is said of its kernel.
RECEPTORS = {
    "exponential": tuple(Receptor(tau, "exponential") for tau in TAUS_MS),
    "alpha": tuple(Receptor(tau) for tau in TAUS_MS),
    "double_alpha": (TWO_COMPONENTS, Receptor(TAUS_MS[1])),
    "mixed": (TWO_COMPONENTS, Receptor(TAUS_MS[1], "exponential")),
}
GAIN, OFFSET = 2.0, 60.0  # Hz/mV and Hz


def linear(mu: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    return GAIN * mu + OFFSET


def smooth(mu: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    return 5 * torch.nn.functional.softplus(mu + 20)


def spread(mu: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
    return sigma + 0 * mu


def neuron_table(n: int, **columns) -> Table:
    plain = dict(
        population=["p"] * n,
        cell_class=["c"] * n,
        sign=np.ones(n, int),
        C_m_pF=100.0,
        g_nS=5.0,
        E_L_mV=-70.0,
        V_th_mV=-50.0,
        V_reset_mV=-70.0,
        t_ref_ms=2.0,
        asc_decay_1_per_ms=0.01,
        asc_decay_2_per_ms=0.1,
        asc_amp_1_pA=0.0,
        asc_amp_2_pA=0.0,
    )
    filled = {**plain, **columns}
    return Table({k: np.full(n, v) if np.isscalar(v) else np.asarray(v) for k, v in filled.items()})


def two_kinds_of_cell(kernel: str) -> Network:
    """Three neurons that differ, two receptors, a driven input and a background."""
    neurons = neuron_table(
        N,
        C_m_pF=[100.0, 60.0, 150.0],
        g_nS=[5.0, 6.0, 10.0],
        V_th_mV=[-50.0, -48.0, -52.0],
        I_ext_pA=[10.0, 0.0, -20.0],
        sign=[1, 1, -1],
    )
    pre = np.array([0, 0, 1, 1, 2, 2, 2])
    post = np.array([1, 2, 0, 2, 0, 1, 2])
    weight = np.array([30.0, 20.0, 15.0, 40.0, -30.0, -25.0, -10.0])
    recurrent = Synapses.sort(pre, post, weight, np.ones(7), (weight < 0).astype(int))
    into = np.array([0, 1, 2, 2])
    drive = Synapses.sort(
        np.array([0, 0, 1, 0]), into, np.array([40.0, 20.0, 60.0, 10.0]), np.ones(4), np.zeros(4)
    )
    noise = Synapses.sort(
        np.arange(N), np.arange(N), np.array([1.0, 2.0, 0.5]), np.ones(N), np.zeros(N)
    )
    receptors = dict(zip("ei", RECEPTORS[kernel], strict=True))
    inputs = {"lgn": Input(N_IN, drive), "noise": Input(N, noise, rate_Hz=800.0)}
    return Network(neurons, recurrent, receptors, inputs)


def rate_network(
    network: Network, dynamics: str, dt_ms: float = 1.0, transfer: Callable = linear, **options
) -> RateNetwork:
    """In double precision, decays included."""
    made = to_rate(
        network, dynamics, dt_ms=dt_ms, transfer=transfer, **{"noise": "none", **options}
    ).double()
    made.set_dt(dt_ms)
    return made


def dense(matrix: torch.Tensor) -> np.ndarray:
    return matrix.to_dense().numpy()


class Equations:
    """The pieces of the equations as dense float64 arrays, over currents x neurons.

    The currents are the receptors' first components, then the second ones.
    """

    def __init__(self, made: RateNetwork, input_Hz: np.ndarray, kernel: str):
        # The receptors fill the slots in their order; without recurrence the second is not used.
        receptors = RECEPTORS[kernel][: made.n_slots]
        parts = [
            (slot, tau, peak * tau / sum(p * t for p, t in receptor.components))
            for component in (0, 1)
            for slot, receptor in enumerate(receptors)
            for peak, tau in receptor.components[component : component + 1]
        ]
        slot, taus_ms, share = map(np.array, zip(*parts, strict=True))
        self.size = len(parts) * N

        def by_current(of_slot: np.ndarray) -> np.ndarray:
            rows = of_slot.reshape(made.n_slots, N, -1)[slot] * share[:, None, None]
            return rows.reshape(self.size, *of_slot.shape[1:])

        self.W = by_current(dense(made.W))
        self.u = by_current(dense(made.W_in_lgn) @ input_Hz)
        g = made.g_nS.numpy()
        self.to_mu = np.tile(np.eye(N), len(parts)) / g[:, None]
        self.mu_0 = made.constant_pA.numpy() / g - made.threshold_mV.numpy()
        self.tau_s = np.repeat(taus_ms, N)
        self.tau_r = made.tau_r_ms
        alpha = np.array([receptor.kernel != "exponential" for receptor in receptors])
        self.two_poles = np.repeat(alpha[slot], N)

    def slope_and_offset(self) -> tuple[np.ndarray, np.ndarray]:
        """G and h of r = F(I) = G I + h for `linear`."""
        return GAIN * self.to_mu, GAIN * self.mu_0 + OFFSET


INPUT_HZ = np.array([20.0, 35.0])
DRIVE = {"lgn": torch.tensor(INPUT_HZ[None])}


def affine_map(made: RateNetwork, dynamics: str, kernel: str) -> tuple[np.ndarray, np.ndarray]:
    """The one-step map x' = M x + b of x = (rates, currents, rising) for `linear`."""
    eq = Equations(made, INPUT_HZ, kernel)
    G, h = eq.slope_and_offset()
    dt, size = made.dt_ms, eq.size
    A = np.diag(np.exp(-dt / eq.tau_s))
    A_rise = A * eq.two_poles
    B = np.diag(np.exp(-dt / eq.tau_r))
    one, one_n = np.eye(size), np.eye(N)
    # Every quantity as rows over x, with the constant in a last column.
    r = np.hstack([one_n, np.zeros((N, 2 * size + 1))])
    current = np.hstack([np.zeros((size, N)), one, np.zeros((size, size + 1))])
    rising = np.hstack([np.zeros((size, N + size)), one, np.zeros((size, 1))])
    constant = np.zeros(N + 2 * size + 1)
    constant[-1] = 1
    target = eq.W @ r + np.outer(eq.u, constant)
    if dynamics == "equilibrium":
        rates = B @ r + (one_n - B) @ (G @ target + np.outer(h, constant))
        rows = [rates, target, rising]
    else:
        if eq.two_poles.any():
            rising = A_rise @ rising + (one - A_rise) @ target
            target = rising
        new = A @ current + (one - A) @ target
        if dynamics == "instantaneous":
            rates = G @ new + np.outer(h, constant)
        else:
            rates = B @ r + (one_n - B) @ (G @ current + np.outer(h, constant))
        rows = [rates, new, rising]
    step = np.vstack(rows)
    return step[:, :-1], step[:, -1]
