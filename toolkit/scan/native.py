"""The compiled scan: all of a time step in one pass over the neurons (``native.cpp``)."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import torch

from toolkit.cache import cache_folder
from toolkit.errors import InputError, MissingDependency, SimulationError
from toolkit.files import whole_file
from toolkit.rate_dynamics import DYNAMICS
from toolkit.scan.connections import Connections
from toolkit.scan.curves import TableCurve
from toolkit.scan.system import Start, System

SOURCE = Path(__file__).with_name("native.cpp")
LANES = 16  # items are done in vectors of that many: a multiple of it leaves none idle
GROUP = 2 * LANES  # items that go through all steps together
FLAGS = (
    *("-std=c++20", "-O3", "-march=native", "-mprefer-vector-width=512", "-fno-math-errno"),
    *("-fno-trapping-math", "-shared", "-fPIC", "-pthread"),
)

_INTS = ("n", "n_slots", "n_channels", "steps", "width", "points", "dynamics", "threads")
_PATTERN = ("crow", "col", "crow_back", "col_back")
_NUMBERS = ("values", "values_back", "a_s", "a_r", "table", "scale", "shift", "constant", "noise")


class _Network(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in _INTS),
        *((name, ctypes.c_void_p) for name in (*_PATTERN, *_NUMBERS)),
        *((name, ctypes.c_int64) for name in ("noise_step", "noise_neuron")),
        *((name, ctypes.c_void_p) for name in ("state", "slopes", "currents", "grad")),
        *((name, ctypes.c_int64) for name in ("grad_item", "grad_step", "grad_neuron", "items")),
        *((name, ctypes.c_void_p) for name in ("grad_values", "grad_constant", "grad_inputs")),
    )


def available() -> bool:
    """Whether the compiled scan can be used here."""
    try:
        _library()
    except (MissingDependency, SimulationError, OSError):
        return False
    return True


def check(system: System, values: torch.Tensor) -> TableCurve:
    """The curve, or `InputError` if the compiled scan cannot do this network."""
    if not isinstance(system.curve, TableCurve):
        raise InputError("the native scan has F as a TableCurve only; use product='csr'")
    if values.device.type != "cpu" or values.dtype != torch.float32:
        raise InputError(
            f"the native scan is for float32 on a CPU, got {values.dtype} on {values.device}; "
            "use product='csr'"
        )
    return system.curve


class _Scan(torch.autograd.Function):
    """The scan; rates after each step, (step, neuron, item), items padded to whole vectors."""

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
    ) -> torch.Tensor:
        curve, n, (items, steps, channels) = check(system, values), connections.n, inputs.shape
        width = -(-items // LANES) * LANES
        training = any(ctx.needs_input_grad)
        state = _empty((steps + 1, n + channels, width))
        state[:, :, items:] = 0
        state[:steps, n:, :items] = inputs.detach().permute(1, 2, 0)
        state[0, :n, :items] = start.rates
        currents = values.new_zeros((*start.currents.shape[:2], width))
        currents[:, :, :items] = start.currents
        keep = {  # everything whose address is handed over
            "crow": connections.crow,
            "col": connections.col,
            "crow_back": connections.crow_back,
            "col_back": connections.col_back,
            "values": values.detach().contiguous(),
            "a_s": system.a_s.contiguous(),
            "a_r": system.a_r.contiguous(),
            "table": curve.rates.contiguous(),
            "scale": curve.scale.contiguous(),
            "shift": curve.shift.contiguous(),
            "constant": constant_pA.detach().contiguous(),
            "state": state,
            "currents": currents,
        }
        strides = [0, 0]
        if noise_pA is not None:
            noise = noise_pA.new_zeros((*noise_pA.shape[:2], width))
            noise[:, :, :items] = noise_pA
            keep["noise"] = noise
            strides = [noise.stride(d) if noise.shape[d] > 1 else 0 for d in (0, 1)]
        if training:
            keep["slopes"] = _empty((steps, n, width))
        numbers = {
            "n": n,
            "n_slots": connections.n_slots,
            "n_channels": channels,
            "steps": steps,
            "width": width,
            "items": items,
            "points": curve.rates.shape[1],
            "dynamics": DYNAMICS.index(system.dynamics),
            "threads": torch.get_num_threads(),
            "noise_step": strides[0],
            "noise_neuron": strides[1],
        }
        _call("scan_forward", numbers, keep)
        if training:
            ctx.save_for_backward(state)
            ctx.numbers, ctx.keep, ctx.connections = numbers, keep, connections
        return state[1:, :n]

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[Any, ...]:
        (_,) = ctx.saved_tensors  # complains where the rates were written to
        numbers, keep, connections = ctx.numbers, dict(ctx.keep), ctx.connections
        values = keep["values"]
        keep["values_back"] = values[connections.back.long()]
        groups = -(-numbers["width"] // GROUP)
        wanted = {
            "grad_values": (groups, len(values)),
            "grad_constant": (groups, numbers["n"]),
            "grad_inputs": (numbers["steps"], numbers["n_channels"], numbers["width"]),
        }
        made = {
            name: values.new_zeros(shape)
            for (name, shape), need in zip(wanted.items(), ctx.needs_input_grad[:3], strict=True)
            if need
        }
        step, neuron, item = grad.stride()
        numbers = {**numbers, "grad_step": step, "grad_neuron": neuron, "grad_item": item}
        _call("scan_backward", numbers, {**keep, **made, "grad": grad})
        inputs = made.get("grad_inputs")
        if inputs is not None:
            inputs = inputs[:, :, : numbers["items"]].permute(2, 0, 1)
        sums = [made[name].sum(0) if name in made else None for name in list(wanted)[:2]]
        return *sums, inputs, *[None] * 4


def native_scan(
    values: torch.Tensor,
    constant_pA: torch.Tensor,
    inputs: torch.Tensor,
    connections: Connections,
    system: System,
    start: Start,
    noise_pA: torch.Tensor | None,
) -> torch.Tensor:
    """Rates of all steps as of `toolkit.scan.scan`, Hz, (item, step, neuron)."""
    rates = _Scan.apply(values, constant_pA, inputs, connections, system, start, noise_pA)
    return rates[:, :, : len(inputs)].permute(2, 0, 1)


def _empty(shape: tuple[int, ...]) -> torch.Tensor:
    """Memory in large pages, if the system gives them: most of it is touched once."""
    made = torch.empty(shape)
    _library().scan_large_pages(ctypes.c_void_p(made.data_ptr()), ctypes.c_int64(4 * made.numel()))
    return made


def _call(name: str, numbers: dict[str, int], tensors: dict[str, torch.Tensor]) -> None:
    network = _Network(**numbers, **{key: tensor.data_ptr() for key, tensor in tensors.items()})
    getattr(_library(), name)(ctypes.byref(network))


@functools.cache
def _library() -> ctypes.CDLL:
    """``native.cpp`` compiled for this processor, kept in the cache folder."""
    compiler = shutil.which(os.environ.get("CXX", "g++"))
    if compiler is None:
        raise MissingDependency(
            "the native scan is compiled when first used, and there is no C++ compiler; on Debian: "
            "apt-get install g++. Or use product='csr'"
        )
    target = _said([compiler, "-march=native", "-Q", "--help=target"])
    text = b"\0".join([SOURCE.read_bytes(), target, *(flag.encode() for flag in FLAGS)])
    file = cache_folder() / f"scan_{hashlib.sha256(text).hexdigest()[:24]}.so"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(file) as aside:
            _said([compiler, *FLAGS, str(SOURCE), "-o", str(aside)])
    return ctypes.CDLL(str(file))


def _said(command: list[str]) -> bytes:
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        errors = done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise SimulationError(f"{' '.join(command[:2])} ... failed: {errors[0]}")
    return done.stdout
