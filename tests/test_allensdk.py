"""Firing of published cells against allensdk's own GLIF simulator, as the time step shrinks.

The two differ in their numerics: allensdk takes forward Euler steps, Striate exact propagators
with the step mean of the after-spike currents. Both are first order in the time of a spike, so
their spike times meet as dt goes to 0. allensdk needs an older NumPy than Striate and runs in an
environment of its own (`allensdk_environment`).
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from allensdk_environment import allensdk_python

from circuits import allen
from converters import to_brian2
from toolkit import Network, Receptor, Synapses, Table
from toolkit.neurons import glif3

CELLS = ("475585413", "386049446", "487667205", "480353286")  # i1Htr3a, e4, i4Pvalb, e5
RHEOBASES = (1.2, 2.0)
DTS_MS = (0.1, 0.05, 0.01)
DURATION_MS = 400.0
PROGRAM = Path(__file__).with_name("allensdk_glif.py")

# allensdk 2.16.2 at dt = 0.01 ms and 1.2 times the rheobase current, cell by cell; ms.
KNOWN_MS = [
    [16.3, 67.91, 132.58, 202.82, 278.11, 357.68],
    [43.72, 129.61, 227.55, 333.68],
    [
        15.1,
        30.68,
        46.83,
        63.6,
        81.02,
        99.12,
        117.93,
        137.47,
        157.78,
        178.87,
        200.76,
        223.46,
        246.97,
        271.27,
        296.35,
        322.17,
        348.68,
        375.83,
    ],
    [73.88, 218.56, 375.27],
]


def _parameters() -> list[dict[str, float]]:
    """The cells, once for each current."""
    table = allen.load().cells
    names = [p.name for p in glif3.PARAMETERS if p.name in table]
    rows = [list(table["cell"]).index(cell) for cell in CELLS]
    return [{name: float(table[name][row]) for name in names} for row in rows * len(RHEOBASES)]


def _currents_pA() -> list[float]:
    factors = np.repeat(RHEOBASES, len(CELLS))
    return [
        float(factor) * cell["g_nS"] * (cell["V_th_mV"] - cell["E_L_mV"])
        for factor, cell in zip(factors, _parameters(), strict=True)
    ]


@pytest.fixture(scope="module")
def ours() -> dict[float, list[np.ndarray]]:
    """Striate's spike times by dt, one array for each cell and current."""
    neurons, n = _parameters(), len(_parameters())
    columns: dict = {name: [cell[name] for cell in neurons] for name in neurons[0]}
    columns |= dict(population=["p"] * n, cell_class=["c"] * n, sign=np.ones(n, int))
    table = Table({**columns, "I_ext_pA": _currents_pA()})
    network = Network(table, Synapses.none(), {"e": Receptor(5.5)})
    times = {}
    for dt_ms in DTS_MS:
        spikes = to_brian2(network, dt_ms=dt_ms).run(duration_ms=DURATION_MS, target="numpy")
        times[dt_ms] = [spikes.spike_times_ms[spikes.spike_ids == i] for i in range(n)]
    return times


@pytest.fixture(scope="module")
def theirs() -> dict[float, list[np.ndarray]]:
    """allensdk's spike times."""
    asked = {
        "neurons": _parameters(),
        "currents_pA": _currents_pA(),
        "dts_ms": DTS_MS,
        "duration_ms": DURATION_MS,
    }
    ran = subprocess.run(
        [allensdk_python(), "-I", PROGRAM],  # -I: no PYTHONPATH, which is for another Python
        input=json.dumps(asked),
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    answer = [np.array(times) for times in json.loads(ran.stdout)]
    n = len(DTS_MS)
    return {dt_ms: answer[k::n] for k, dt_ms in enumerate(DTS_MS)}


def _differences_ms(a: list[np.ndarray], b: list[np.ndarray]) -> np.ndarray:
    """Largest difference of the spike times of each cell; as many spikes in both."""
    assert [len(times) for times in a] == [len(times) for times in b]
    assert all(len(times) > 2 for times in a)
    return np.array([np.abs(x - y).max() for x, y in zip(a, b, strict=True)])


def test_spike_times_converge_to_recorded_ones_of_allensdk(
    ours: dict[float, list[np.ndarray]],
) -> None:
    known = [np.array(times) for times in KNOWN_MS]
    differences = {dt: _differences_ms(ours[dt][: len(CELLS)], known) for dt in DTS_MS}
    assert differences[0.01].max() <= 0.3
    assert differences[0.1].max() > 3 * differences[0.01].max(), "nothing converges"
    for dt in DTS_MS:
        assert (differences[dt] <= 30 * dt).all()


def test_spike_times_converge_to_those_of_allensdk(
    ours: dict[float, list[np.ndarray]], theirs: dict[float, list[np.ndarray]]
) -> None:
    """First order: at most 30 dt apart after 400 ms (a Pvalb cell at 120 Hz), half of it at
    half the step; the first spikes one step apart or less."""
    differences = {dt: _differences_ms(ours[dt], theirs[dt]) for dt in DTS_MS}
    for dt in DTS_MS:
        assert (differences[dt] <= 30 * dt).all(), (dt, differences[dt])
        for a, b in zip(ours[dt], theirs[dt], strict=True):
            assert abs(a[0] - b[0]) <= dt * 1.001
    total = [differences[dt].sum() for dt in DTS_MS]
    assert 1.5 < total[0] / total[1] < 3 and 3.5 < total[1] / total[2] < 8, total


def test_recorded_spike_times_are_those_of_allensdk(
    theirs: dict[float, list[np.ndarray]],
) -> None:
    for times, known in zip(theirs[0.01], KNOWN_MS, strict=False):
        assert times == pytest.approx(known, abs=0.0051)


def test_the_program_needs_nothing_of_the_project() -> None:
    """It has to run under another interpreter."""
    spec = importlib.util.spec_from_file_location("allensdk_glif", PROGRAM)
    assert spec is not None and spec.loader is not None
    spec.loader.exec_module(importlib.util.module_from_spec(spec))
    words = PROGRAM.read_text()
    assert not any(f"import {name}" in words for name in ("toolkit", "converters", "circuits"))
