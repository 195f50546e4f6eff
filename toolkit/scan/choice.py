"""Which backend is the fastest here: measured once for a size, then kept."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import numpy as np
import torch

from toolkit.cache import cache_folder
from toolkit.files import whole_file
from toolkit.scan.backends import (
    GRADIENTS,
    PRODUCTS,
    Backend,
    Contraction,
    Products,
    dense_entries,
)
from toolkit.scan.connections import Connections
from toolkit.scan.curves import TableCurve
from toolkit.scan.function import scan
from toolkit.scan.native import available
from toolkit.scan.system import System

BLOCKS = (256, 2048)  # columns (steps x items): for inner products in cache, for dense products
DENSE_LIMIT_BYTES = {"cpu": 1 << 30, "cuda": 8 << 30}  # our choice, of one dense matrix
REPEATS = 3
STEPS = 8  # of the compiled scan, which is timed whole


def fastest(
    connections: Connections,
    items: int = 64,
    *,
    bf16: bool | None = None,
    native: bool = True,
    device: torch.device | str = "cpu",
    again: bool = False,
) -> Backend:
    """The backend of the quickest products and contractions, by trying them.

    The compiled scan is taken if a whole step of it is quicker than the quickest products and
    contraction are without what else a step needs; it must be compiled the first time (6 s).

    Kept in ``scan_backends.json`` of the cache folder (`toolkit.cache`) by device, threads, torch
    version, shape, number of entries and items. Two backends round differently: a run that is to
    be repeated bit for bit must keep the `Backend` that it had.

    Parameters
    ----------
    connections : pattern, on `device`
    items : in a batch
    bf16 : whether products may round to bfloat16; by default on GPUs
    native : whether the compiled scan may be taken, which needs F to be a `TableCurve`
    device : where it will run
    again : measure even if it is known

    Costs about ten products of each kind: under a second for 3,000 neurons on a CPU.
    """
    device = torch.device(device)
    allowed = device.type == "cuda" if bf16 is None else bf16
    compiled = native and device.type == "cpu" and available()
    key = _key(connections, items, allowed, compiled, device)
    file = cache_folder() / "scan_backends.json"
    known: dict[str, dict[str, str | int]] = {}
    with suppress(OSError, ValueError, TypeError):  # no file, or a damaged one: measure again
        known = dict(json.loads(file.read_text(encoding="utf-8")))
    if not again:
        with suppress(KeyError, TypeError, ValueError):
            return Backend(**known[key])  # type: ignore[arg-type]
    backend = _measured(connections, items, allowed, compiled, device)
    file.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(file) as aside:
        aside.write_text(json.dumps({**known, key: vars(backend)}, indent=1), encoding="utf-8")
    return backend


def _measured(
    connections: Connections, items: int, bf16: bool, compiled: bool, device: torch.device
) -> Backend:
    limit = DENSE_LIMIT_BYTES.get(device.type, DENSE_LIMIT_BYTES["cpu"])
    dense = 4 * dense_entries(connections) <= limit

    def possible(name: str) -> bool:
        return not name.startswith("dense") or (dense and (bf16 or name != "dense_bf16"))

    n_rows, n_cols = connections.shape
    generator = torch.Generator().manual_seed(0)
    values = torch.rand(len(connections), generator=generator).to(device)
    state = torch.rand((n_cols, items), generator=generator).to(device)
    adjoint = torch.rand((n_rows, items), generator=generator).to(device)

    def step(products: Products) -> None:
        products.forward(state)
        products.back(adjoint)

    by_product = {
        name: _seconds(partial(step, Products(connections, values, name)), device)
        for name in PRODUCTS
        if name != "native" and possible(name)
    }
    by_gradient = {}
    for block in BLOCKS:
        steps = max(1, block // items)
        left, right = adjoint.repeat(1, steps), state.repeat(1, steps)
        for name in GRADIENTS:
            if name != "native" and possible(name):
                contraction = Contraction(connections, values, name)
                took = _seconds(partial(contraction.add, left, right), device)
                by_gradient[name, block] = took / steps
    product = min(by_product, key=by_product.__getitem__)
    gradient, block = min(by_gradient, key=by_gradient.__getitem__)
    if compiled:
        seconds = _seconds(partial(_native_scan, connections, items), device) / STEPS
        if seconds < by_product[product] + by_gradient[gradient, block]:
            return Backend("native", "native")
    return Backend(product, gradient, block)


def _native_scan(connections: Connections, items: int) -> None:
    """Some steps of the compiled scan, there and back."""
    n, slots = connections.n, connections.n_slots
    curve = TableCurve(np.arange(3.0), np.ones((n, 3)), np.ones(n), np.ones(n))
    system = System("low_pass", torch.full((slots, n, 1), 0.5), torch.full((n, 1), 0.5), curve)
    values = torch.zeros(len(connections), requires_grad=True)
    inputs = torch.zeros(items, STEPS, connections.n_channels)
    backend = Backend("native", "native")
    scan(connections, system, values, torch.zeros(n), inputs, backend=backend).sum().backward()


def _seconds(job: Callable[[], object], device: torch.device) -> float:
    """The shortest of some runs, after one that warms up."""
    took = []
    for _ in range(REPEATS + 1):
        start = time.perf_counter()
        job()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        took.append(time.perf_counter() - start)
    return min(took[1:])


def _key(
    connections: Connections, items: int, bf16: bool, compiled: bool, device: torch.device
) -> str:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()
    parts = (device.type, name, torch.get_num_threads(), torch.__version__, connections.shape,
             connections.n_slots, len(connections), items, bf16, compiled)  # fmt: skip
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:24]


def _processor() -> str:
    capability = torch.backends.cpu.get_cpu_capability()
    return f"{platform.processor() or platform.machine()} {capability} {os.cpu_count()}"
