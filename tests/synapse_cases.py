"""Plastic synapses of NESTML on given spikes, in Brian2 and by hand.

A presynaptic and a postsynaptic neuron with one synapse between them, for each delay. Times are
steps, as NEST counts them.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import brian2 as b2
import numpy as np

from converters.nestml import neuron_group, read
from converters.nestml.brian2_code import Brian2Code, brian2_code
from converters.nestml.synapse_code import SynapseCode
from converters.nestml.synapses import synapses

DT_MS = 0.1
DELAYS = (1, 10, 37, 150)  # steps
N_STEPS = 20_000
RELAY = """model relay_neuron:
    state:
        arrived real = 0
    input:
        spikes <- spike
    output:
        spike
    update:
        arrived = spikes * 1 s
    onCondition(arrived > 1000):
        emit_spike()
"""


def spikes(rate: float = 0.05, n_steps: int = N_STEPS) -> tuple[np.ndarray, np.ndarray]:
    """Steps of presynaptic and postsynaptic spikes; many meet, for every delay."""
    rng = np.random.default_rng(7)
    pre = np.flatnonzero(rng.random(n_steps) < rate)
    meeting = np.concatenate([rng.choice(pre, len(pre) // 10) - d for d in DELAYS])
    post = np.union1d(np.flatnonzero(rng.random(n_steps) < rate), meeting)
    return pre[pre > 300], post[(post > 300) & (post < n_steps - 400)]


@cache
def relay() -> Brian2Code:
    return brian2_code(read(RELAY))


def brian2_weights(
    code: SynapseCode, given: dict, pre: np.ndarray, post: np.ndarray, n_steps: int = N_STEPS
) -> np.ndarray:
    """Weight that each presynaptic spike delivers, shape (delay, spike)."""
    dt, n = DT_MS * b2.ms, len(DELAYS)
    target = neuron_group(relay(), n, dt_ms=DT_MS)
    source = b2.SpikeGeneratorGroup(1, np.zeros(len(pre), int), (pre - 1) * dt, dt=dt)
    driver = b2.SpikeGeneratorGroup(1, np.zeros(len(post), int), (post - 1) * dt, dt=dt)
    # Above 1000, so that the relay fires; it does a step later than the spike it belongs to.
    drive = b2.Synapses(driver, target, on_pre="in_spikes_post += 1e6", dt=dt)
    drive.connect()
    made = synapses(
        code, source, target, given, port="spikes", pre=np.zeros(n, int), post=np.arange(n),
        delay_ms=np.array(DELAYS) * DT_MS, dt_ms=DT_MS, lag_steps=(0, relay().lag_steps),
    )  # fmt: skip
    arrived = b2.StateMonitor(target, "in_spikes", record=True, when="end", dt=dt)
    b2.Network(target, source, driver, drive, made, arrived).run((n_steps + 400) * dt)
    at = pre[None, :] - 1 + np.array(DELAYS)[:, None]
    return np.take_along_axis(np.asarray(arrived.in_spikes), at, axis=1) % 1e6


Event = tuple[int, bool]  # its time, and whether it is presynaptic


def by_hand(rule: Callable[..., float], pre: np.ndarray, post: np.ndarray) -> np.ndarray:
    """The same by `rule`, which has the weight after an event from that before and all events."""
    result = []
    for delay in DELAYS:
        w, sent, before = 1.0, [], list[Event]()
        # Of two at one time the postsynaptic one is first.
        for t, is_pre in sorted([(t + delay, False) for t in post] + [(t, True) for t in pre]):
            w = rule(w, t, before, is_pre)
            before.append((t, is_pre))
            sent += [w] if is_pre else []
        result.append(sent)
    return np.array(result)


def trace(t: int, events: list[Event], of_pre: bool, tau_ms: float = 20.0) -> float:
    """Strictly earlier spikes of one side, decayed."""
    return sum(math.exp((s - t) * DT_MS / tau_ms) for s, kind in events if kind == of_pre and s < t)


def latest(t: int, events: list[Event], of_pre: bool) -> float:
    """The last of them, decayed."""
    times = [s for s, kind in events if kind == of_pre and s < t]
    return math.exp((times[-1] - t) * DT_MS / 20) if times else 0.0


def depressed(w: float, post_trace: float) -> float:
    return max(0.0, 100 * (w / 100 - 0.01 * (w / 100) * post_trace))


def potentiated(w: float, pre_trace: float) -> float:
    return min(100.0, 100 * (w / 100 + 0.01 * (1 - w / 100) * pre_trace))


def stdp(w: float, t: int, before: list[Event], is_pre: bool) -> float:
    other = trace(t, before, not is_pre)
    return depressed(w, other) if is_pre else potentiated(w, other)


def stdp_nn_symm(w: float, t: int, before: list[Event], is_pre: bool) -> float:
    other = latest(t, before, not is_pre)
    return depressed(w, other) if is_pre else potentiated(w, other)


def stdp_nn_pre_centered(w: float, t: int, before: list[Event], is_pre: bool) -> float:
    if is_pre:
        return depressed(w, latest(t, before, False))
    last_post = max((k for k, (_, kind) in enumerate(before) if not kind), default=-1)
    return potentiated(w, trace(t, before[last_post + 1 :], True))


def stdp_nn_restr_symm(w: float, t: int, before: list[Event], is_pre: bool) -> float:
    after_pre = bool(before) and before[-1][1]
    if is_pre:
        return w if after_pre else depressed(w, latest(t, before, False))
    return potentiated(w, latest(t, before, True)) if after_pre else w


def stdp_triplet(w: float, t: int, before: list[Event], is_pre: bool) -> float:
    r1, r2 = trace(t, before, True, 16.8), trace(t, before, True, 101)
    o1, o2 = trace(t, before, False, 33.7), trace(t, before, False, 125)
    if is_pre:
        return max(0.0, w - o1 * (7e-3 + 2.3e-4 * r2))
    return min(100.0, w + r1 * (7.5e-10 + 9.3e-3 * o2))


def tsodyks(pre: np.ndarray) -> np.ndarray:
    """Weights of ``tsodyks_synapse``: the equations, solved for the time between two spikes."""
    tau_psc, tau_rec, U = 3.0, 800.0, 0.5
    x, y, u, last, sent = 1.0, 0.0, 0.5, 0, []
    for t in pre:
        dt = (t - last) * DT_MS
        last = t
        z = 1 - x - y
        decay_y, decay_z = math.exp(-dt / tau_psc), math.exp(-dt / tau_rec)
        # y' = -y / tau_psc, z' = y / tau_psc - z / tau_rec, x + y + z = 1
        moved = tau_rec / (tau_psc - tau_rec) * (decay_y - decay_z)
        y, z = y * decay_y, z * decay_z + y * moved
        x, u = 1 - y - z, U
        sent.append(u * x)
        x, y = x - u * x, y + u * x
    return np.array([sent] * len(DELAYS))


def model(name: str) -> Path:
    """One of the synapse models in NESTML's wheel."""
    return Path(sys.prefix) / "models" / "synapses" / f"{name}_synapse.nestml"
