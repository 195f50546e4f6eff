"""Is a rate network stable at a time step? Judged by its whole linearised one-step map."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigs

from toolkit.errors import InputError

if TYPE_CHECKING:
    from converters.rates import RateNetwork, RateState

PERTURBATION = 1e-3  # relative size of the finite differences


@torch.no_grad()
def spectral_radius(
    network: RateNetwork,
    inputs: Mapping[str, torch.Tensor],
    correlation: torch.Tensor | None = None,
) -> float:
    """Largest modulus of the eigenvalues of the one-step map at the steady state, batch of one.

    The map acts on rates, currents and variance together; its product with a vector is a central
    difference of two steps, its leading eigenvalues come from ARPACK. Bounds from row sums or the
    steepest slope would ask for steps several times too small.

    Parameters
    ----------
    network : the rate network
    inputs : input rates, Hz, (1, channel) each
    correlation : factor on the synaptic variance, if it is known already
    """
    precision = network.constant_pA.dtype
    network.double()
    try:
        inputs = {name: rates.double() for name, rates in inputs.items()}
        if correlation is not None:
            correlation = correlation.double()
        state = network.at_steady_state(inputs, correlation=correlation)
        drive = network.drive(inputs)
        two_poles = network.kernel == "alpha" and network.dynamics != "equilibrium"
        centre = _flat(state, two_poles)
        scale = PERTURBATION * (1.0 + float(centre.abs().mean()))

        def product(vector: np.ndarray) -> np.ndarray:
            direction = torch.from_numpy(np.asarray(vector, dtype=np.float64).reshape(-1))
            size = float(direction.norm())
            if size == 0:
                return np.zeros(len(centre))
            h = scale / float(direction.abs().max())
            ahead, behind = (
                _flat(network.step(_unflat(centre + by, state, two_poles), *drive), two_poles)
                for by in (h * direction, -h * direction)
            )
            return ((ahead - behind) / (2 * h)).numpy()

        operator = LinearOperator((len(centre), len(centre)), matvec=product, dtype=np.float64)
        start = np.random.default_rng(0).standard_normal(len(centre))
        try:
            values = np.abs(eigs(operator, k=2, which="LM", v0=start, tol=1e-3, maxiter=60,
                                 return_eigenvectors=False))  # fmt: skip
        except ArpackNoConvergence as error:
            values = np.abs(error.eigenvalues)
        return float(values.max()) if len(values) else _by_iteration(product, start)
    finally:
        network.to(precision)


def _by_iteration(product, vector: np.ndarray, steps: int = 200) -> float:
    """Growth a step of a vector under many products."""
    growth = []
    for _ in range(steps):
        vector = vector / np.linalg.norm(vector)
        vector = product(vector)
        growth.append(np.linalg.norm(vector))
    return float(np.exp(np.mean(np.log(growth[steps // 2 :]))))


def refuse_unstable_step(
    network: RateNetwork,
    inputs: Mapping[str, torch.Tensor],
    correlation: torch.Tensor | None = None,
) -> None:
    """Raise `InputError` if the network's dt is unstable for the given input (a batch of one).

    The message has the largest stable step found by bisection.
    """
    if spectral_radius(network, inputs, correlation) < 1:
        return
    wanted = network.dt_ms
    low, high = 0.0, wanted
    for _ in range(7):
        trial = (low + high) / 2
        network.set_dt(trial)
        if spectral_radius(network, inputs, correlation) < 1:
            low = trial
        else:
            high = trial
    network.set_dt(wanted)
    if low == 0.0:
        raise InputError(
            "this rate network has no stable steady state for this input at any time step; "
            "pass check_stability=False to run it all the same"
        )
    raise InputError(
        f"dt_ms = {wanted:g} is unstable for this network and input; the largest stable step is "
        f"about {0.995 * low:.3g} ms"  # rounded down
    )


def _parts(two_poles: bool) -> tuple[str, ...]:
    """What makes up the state; an unused first pole would add the eigenvalue 1."""
    return ("rates", "currents", "variance", *(("rising",) if two_poles else ()))


def _flat(state: RateState, two_poles: bool) -> torch.Tensor:
    return torch.cat([getattr(state, name)[0] for name in _parts(two_poles)])


def _unflat(flat: torch.Tensor, like: RateState, two_poles: bool) -> RateState:
    names = _parts(two_poles)
    parts = torch.split(flat, [getattr(like, name).shape[1] for name in names])
    changes = {name: part[None] for name, part in zip(names, parts, strict=True)}
    return dataclasses.replace(like, **changes)
