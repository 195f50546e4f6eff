"""The scan as one `torch.autograd.Function`."""

from __future__ import annotations

from typing import Any

import torch

from toolkit.scan.backends import Backend, Contraction, Products
from toolkit.scan.connections import Connections
from toolkit.scan.native import native_scan
from toolkit.scan.system import Start, System, check_inputs, silence


def scan(
    connections: Connections,
    system: System,
    values: torch.Tensor,
    constant_pA: torch.Tensor,
    inputs: torch.Tensor,
    start: Start | None = None,
    noise_pA: torch.Tensor | None = None,
    *,
    backend: Backend | None = None,
) -> torch.Tensor:
    """Rates of all steps, with gradients for weights, constants and inputs.

    Parameters
    ----------
    connections : pattern of J
    system : equations (`System`)
    values : of J, pA/Hz, in the order of the pattern's entries
    constant_pA : current that is always there, (neuron,)
    inputs : Hz, (item, step, channel); those of step k act from state k to state k + 1
    start : state before the first step; silence by default. No gradient goes into it
    noise_pA : added to the total current, (step or 1, neuron or 1, item); no gradient goes into it
    backend : by default CSR products and sampled gradients; `fastest` measures which one is best

    Returns
    -------
    rates after each step, Hz, (item, step, neuron): a view of the array that the way back needs,
    which must not be written to

    Raises
    ------
    InputError : inputs that do not fit

    Time: three sparse products a step. Memory for training: (steps + 1) x items x (2 neurons +
    channels) numbers, and a block of adjoints.
    """
    check_inputs(inputs, connections.n_channels)
    start = start or silence(system, len(inputs))
    backend = backend or Backend()
    problem = (values, constant_pA, inputs, connections, system, start, noise_pA)
    if backend.product == "native":
        return native_scan(*problem)
    return _Scan.apply(*problem, backend).permute(2, 1, 0)


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        values: torch.Tensor,
        constant_pA: torch.Tensor,
        inputs: torch.Tensor,
        connections: Connections,
        system: System,
        start: Start,
        noise_pA: torch.Tensor | None,
        backend: Backend,
    ) -> torch.Tensor:
        n, (items, steps, _) = connections.n, inputs.shape
        products = Products(connections, values.detach(), backend.product)
        training = any(ctx.needs_input_grad)
        keep_s, keep_r = 1 - system.a_s, 1 - system.a_r
        z = values.new_empty((connections.shape[1], items))
        rates, currents = z[:n], start.currents.clone()
        rates.copy_(start.rates)
        constant = constant_pA.detach()[:, None]
        # Rows of the past have all steps side by side, as the contraction wants them.
        past = values.new_empty((connections.shape[1] if training else n, steps + 1, items))
        slopes = values.new_empty((steps if training else 0, n, items))
        for k in range(steps):
            z[n:] = inputs[:, k].T
            past[:, k] = z[: len(past)]
            arriving = products.forward(z).view_as(currents)
            if system.dynamics == "instantaneous":
                currents.lerp_(arriving, keep_s)
            total = (arriving if system.dynamics == "equilibrium" else currents).sum(0)
            total += constant
            if noise_pA is not None:
                total += noise_pA[min(k, len(noise_pA) - 1)]
            target, slope = system.curve.value_and_slope(total)
            if system.dynamics == "instantaneous":
                rates.copy_(target)
            else:
                rates.lerp_(target, keep_r)
            if system.dynamics == "low_pass":
                currents.lerp_(arriving, keep_s)
            if training:
                slopes[k] = slope
        past[:n, steps] = rates
        out = past[:n, 1:]
        if training:
            ctx.save_for_backward(values, past, slopes)
            ctx.products, ctx.system, ctx.backend = products, system, backend
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        values, past, slopes = ctx.saved_tensors
        system, products = ctx.system, ctx.products
        connections = products.connections
        n, (steps, _, items) = connections.n, slopes.shape
        a_s, keep_s, keep_r = system.a_s, 1 - system.a_s, 1 - system.a_r
        for_values, for_constant, for_inputs = ctx.needs_input_grad[:3]
        rates = slopes.new_zeros((n, items))  # adjoint of the rates, next of the currents
        currents = slopes.new_zeros((connections.n_slots, n, items))
        constant = slopes.new_zeros(n)
        inputs = slopes.new_empty((steps, connections.n_channels, items)) if for_inputs else None
        contraction = Contraction(connections, values, ctx.backend.gradient) if for_values else None
        block = max(1, min(steps, ctx.backend.block // items))
        adjoints = slopes.new_empty((connections.shape[0], block, items))
        for k in reversed(range(steps)):
            rates += grad[:, k]
            if system.dynamics == "instantaneous":
                total = slopes[k] * rates
                currents += total
                arriving = keep_s * currents
                currents *= a_s
            else:
                total = slopes[k] * rates * keep_r
                if system.dynamics == "low_pass":
                    arriving = keep_s * currents
                    currents *= a_s
                    currents += total
                else:
                    arriving = total.expand_as(currents)
            arriving = arriving.reshape(-1, items)
            passed = products.back(arriving)
            rates = passed if system.dynamics == "instantaneous" else passed + system.a_r * rates
            if for_constant:
                constant += total.sum(1)
            if inputs is not None:
                inputs[k] = products.back_to_channels(arriving)
            if contraction is not None:
                adjoints[:, k % block] = arriving
                if k % block == 0:
                    end = min(k + block, steps)
                    contraction.add(
                        adjoints[:, : end - k].reshape(len(adjoints), -1),
                        past[:, k:end].reshape(len(past), -1),
                    )
        return (
            None if contraction is None else contraction.result(),
            constant if for_constant else None,
            None if inputs is None else inputs.permute(2, 0, 1),
            *[None] * 5,
        )
