"""Time and memory of a training step of rate networks: ours, and two plain ways.

A step is the rates of 100 steps of 64 items and their gradient for all weights. Compared are (a) a
dense matrix with a mask and (b) a torch CSR matrix, both with plain automatic differentiation. All
alternate in one process; the shortest of some runs counts. Bandwidth and GFLOP/s of the machine,
measured in the same process, say how much is left.

    OMP_WAIT_POLICY=passive python benchmarks/training_step.py [--csv FILE] [CASE ...]
"""

from __future__ import annotations

import argparse
import csv
import ctypes
import gc
import threading
import time
from collections.abc import Callable

import numpy as np
import torch

from toolkit.scan import Backend, Connections, System, TableCurve, fastest, plain_scan, scan
from toolkit.scan.backends import slot_blocks

ITEMS, STEPS, CHANNELS = 64, 100, 832
# name: neurons, synapses (None: the column's own), steps, repeats, methods left out
CASES = {
    "3k": (3_000, None, STEPS, 2, "b"),
    "3k_700k": (3_000, 700_000, STEPS, 1, ""),
    "6k": (6_000, None, STEPS, 1, "b"),
    "6k_2.8M": (6_000, 2_800_000, STEPS, 1, "b"),
    "52k_15M": (51_978, 15_000_000, 5, 1, "ab"),
}


def softplus_table(n: int) -> TableCurve:
    """F of random networks, 10 Hz softplus(I / 100 pA), as a table like the cells' own."""
    points = np.arange(-60, 80.1, 0.25)
    rates = np.broadcast_to(10 * np.logaddexp(0, points / 10), (n, len(points)))
    return TableCurve(points, rates, np.full(n, 10.0), np.zeros(n))


def network(n: int, synapses: int | None) -> tuple[Connections, System, torch.Tensor]:
    """The column's model, or a random pattern with one slot and 60 synapses a channel."""
    if synapses is None:
        from circuits import v1
        from converters.trainable import trainable

        column = v1.column(f"{n // 1000}k", seed=1, lgn_layout="image")
        model = trainable(column, np.zeros((1, 1), dtype=int))
        return model.connections, model.system, model.weights().detach()
    rng = np.random.default_rng(0)
    place = np.unique(rng.integers(n * n, size=round(1.02 * synapses + synapses**2 / (2 * n * n))))
    place = np.sort(rng.permutation(place)[:synapses])
    post, pre = np.divmod(place, n)
    to = rng.integers(n, size=60 * CHANNELS)
    row = np.concatenate([post, to])
    col = np.concatenate([pre, n + np.repeat(np.arange(CHANNELS), 60)])
    # Each pair once: automatic differentiation of a torch CSR matrix does not take it twice.
    row, col = np.divmod(np.unique(row * (n + CHANNELS) + col), n + CHANNELS)
    connections = Connections(row, col, n_neurons=n, n_slots=1, n_channels=CHANNELS)
    decay = torch.exp(-5 / (3 + 7 * torch.rand(2, n)))
    system = System("low_pass", decay[0][None, :, None], decay[1][:, None], softplus_table(n))
    values = torch.randn(len(row)) * 10 / (synapses / n) ** 0.5
    return connections, system, values


def methods(
    connections: Connections, system: System, values: torch.Tensor, steps: int, without: str
) -> dict[str, Callable[[], torch.Tensor]]:
    """Functions that do one training step and return the gradient of the weights."""
    constant = torch.zeros(connections.n)
    inputs = 10 * torch.rand(steps, ITEMS, CHANNELS).transpose(0, 1)

    def loss(rates: torch.Tensor) -> torch.Tensor:
        return rates.square().mean()

    def ours(backend: Backend) -> torch.Tensor:
        trained = values.clone().requires_grad_()
        loss(scan(connections, system, trained, constant, inputs, backend=backend)).backward()
        return trained.grad

    def dense() -> torch.Tensor:
        blocks = slot_blocks(connections)
        full = [b.filled(values, torch.float32).requires_grad_() for b in blocks]
        masks = [(b.filled(torch.ones_like(values), torch.float32) > 0).float() for b in blocks]
        masked = [w * m for w, m in zip(full, masks, strict=True)]

        def product(z: torch.Tensor) -> torch.Tensor:
            return torch.cat([w @ z[b.cols] for w, b in zip(masked, blocks, strict=True)])

        loss(plain_scan(connections, system, product, constant, inputs)).backward()
        return torch.cat([w.grad.view(-1)[b.place] for w, b in zip(full, blocks, strict=True)])

    def sparse() -> torch.Tensor:
        trained = values.clone().requires_grad_()
        J = connections.matrix(trained)
        loss(plain_scan(connections, system, J.__matmul__, constant, inputs)).backward()
        return trained.grad

    found: dict[str, Callable[[], torch.Tensor]] = {}
    for bf16, native in ((False, True), (False, False), (True, False)):
        backend = fastest(connections, ITEMS, bf16=bf16, native=native, again=True)
        found[f"{backend.product}+{backend.gradient}"] = lambda backend=backend: ours(backend)
    if "a" not in without:
        found["(a) dense mask, autograd"] = dense
    if "b" not in without:
        found["(b) CSR, autograd"] = sparse
    return found


def measured(job: Callable[[], torch.Tensor]) -> tuple[float, float, float, torch.Tensor]:
    """Wall and CPU seconds, peak memory above what was there (MB), and what the job returned."""
    done, peak = threading.Event(), [0.0]
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # or memory freed before would hide what is taken now
    before = _memory_MB()

    def watch() -> None:
        while not done.wait(0.005):
            peak[0] = max(peak[0], _memory_MB() - before)

    watcher = threading.Thread(target=watch)
    watcher.start()
    wall, cpu = time.perf_counter(), time.process_time()
    result = job()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    done.set()
    watcher.join()
    return wall, cpu, peak[0], result


def _memory_MB() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 1e6


def limits() -> dict[str, float]:
    """GFLOP/s of square products and GB/s of a copy."""
    a, x = torch.randn(2048, 2048), torch.randn(1 << 26)
    y, b = torch.empty_like(x), a.bfloat16()
    best = {}
    for name, work, job in (
        ("GEMM GFLOP/s", 2 * 2048**3, lambda: a @ a),
        ("bf16 GEMM GFLOP/s", 2 * 2048**3, lambda: b @ b),
        ("copy GB/s", 8 * len(x), lambda: y.copy_(x)),
    ):
        best[name] = work / 1e9 / min(measured(job)[0] for _ in range(4))
    return best


def main() -> None:
    """Measure the cases named, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cases", nargs="*", default=list(CASES), metavar="CASE")
    parser.add_argument("--csv")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    machine = limits()
    print(f"{options.threads} threads,", ", ".join(f"{k} {v:.0f}" for k, v in machine.items()))
    table = []
    for case in options.cases:
        n, synapses, steps, repeats, without = CASES[case]
        torch.manual_seed(0)
        connections, system, values = network(n, synapses)
        jobs = methods(connections, system, values, steps, without)
        runs: dict[str, list[tuple[float, float, float]]] = {name: [] for name in jobs}
        gradients = {}
        for _ in range(repeats):
            for name, job in jobs.items():
                *figures, gradients[name] = measured(job)
                runs[name].append(tuple(figures))
        right = gradients.get("(a) dense mask, autograd", gradients[next(iter(jobs))])
        for name, of in runs.items():
            wall, cpu = min(run[0] for run in of), min(run[1] for run in of)
            flops = 6 * len(connections) * ITEMS * steps  # three products
            error = float((gradients[name] - right).norm() / right.norm())
            row = dict(
                case=case, neurons=n, synapses=len(connections), steps=steps, method=name,
                wall_s=wall, cpu_s=cpu, peak_MB=max(run[2] for run in of),
                useful_GFLOP_per_s=flops / wall / 1e9,
                share_of_GEMM=flops / wall / 1e9 / machine["GEMM GFLOP/s"],
                relative_error=error,
            )  # fmt: skip
            table.append(row)
            print(
                "  ".join(f"{v:.3g}" if isinstance(v, float) else str(v) for v in row.values()),
                flush=True,
            )
    if options.csv:
        with open(options.csv, "w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(table[0]))
            writer.writeheader()
            writer.writerows(table)


if __name__ == "__main__":
    main()
