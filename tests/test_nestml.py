"""NESTML in Brian2: the reference circuit, NEST's built-in models, and what is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import brian2 as b2
import numpy as np
import pytest
import reference_circuit as circuit
from brian2.devices.device import reset_device
from nestml_cases import DT_MS, EXACT, SOLVED, Case, N

from converters.nestml import Brian2Code, neuron_group
from converters.nestml.shipped import MODELS, shipped
from toolkit import Network, Recording
from toolkit.errors import InputError

ON_GRID = "f551eedcae3f3884b37617da42a7171612b1e2df75d831adb5956d222052e6e2", 36_252
OFF_GRID = "df303cc6ed86b4768e09ac0d7819031404227a3b1c8f0baf6787fc1e0241e905", 35_000
SMALL = "8aa2fc574d3a75cc7753a8e0325edbe61fd7b91afd57e48cfde67977786657d4", 1_515
COLUMNS = {
    "C_m": "C_m_pF", "g": "g_nS", "E_L": "E_L_mV", "V_th": "V_th_mV", "V_reset": "V_reset_mV",
    "t_ref": "t_ref_ms", "asc_decay_1": "asc_decay_1_per_ms",
    "asc_decay_2": "asc_decay_2_per_ms", "asc_amp_1": "asc_amp_1_pA", "asc_amp_2": "asc_amp_2_pA",
}  # fmt: skip
# Spikes of a neuron that are compared, and by how many steps they may differ. Izhikevich's
# step is NEST's own, but rounding grows until spikes shift. NEST's aeif_cond_exp resets inside a
# step, where its adaptive solver passes V_peak, ours at its end, and the differences add up.
COMPARED = {
    "lif_cond_exp": (None, 0),
    "hh_psc_alpha": (None, 0),
    "izhikevich": (20, 0),
    "adex_cond_exp": (3, 4),
}


def run_circuit(network: Network, drive: Recording, code: Brian2Code) -> np.ndarray:
    """(step, id) rows of the circuit's spikes on the active device."""
    neurons = network.neurons
    given = {name: neurons[column] for name, column in COLUMNS.items()}
    given["U"] = neurons["V_init_mV"] - neurons["E_L_mV"]
    for k, receptor in enumerate(network.receptors.values(), 1):
        given[f"tau_syn_{k}"] = np.float64(receptor.tau_ms)
    dt = DT_MS * b2.ms
    group = neuron_group(code, network.n, given, dt_ms=DT_MS)
    source = network.inputs["drive"]
    assert drive.spike_times_ms is not None
    steps = np.round(drive.spike_times_ms / DT_MS).astype(int) - 1
    generator = b2.SpikeGeneratorGroup(source.n, drive.spike_ids, steps * dt, dt=dt)
    objects = [group, generator]
    for pre, synapses in ((group, network.synapses), (generator, source.synapses)):
        for r in np.unique(synapses.receptor):
            rows = np.flatnonzero(synapses.receptor == r)
            made = b2.Synapses(pre, group, "w : 1", on_pre=f"in_spikes_{r + 1}_post += w", dt=dt)
            made.connect(i=synapses.pre[rows], j=synapses.post[rows])
            made.w = synapses.weight[rows].astype(float)
            made.delay = np.round(synapses.delay_ms[rows].astype(float) / DT_MS) * dt
            objects.append(made)
    spikes = b2.SpikeMonitor(group)
    b2.Network(*objects, spikes).run(1000 * b2.ms)
    return circuit.in_order(np.round(np.asarray(spikes.t / dt)) + 1, np.asarray(spikes.i))


def test_small_reference_circuit_fires_the_known_spikes() -> None:
    b2.prefs.codegen.target = "numpy"
    network, drive = circuit.make(300, n_channels=100, in_degree=60, gain=2.0)
    rows = run_circuit(network, drive, shipped("glif3_psc_alpha"))
    assert (circuit.digest(rows), len(rows)) == SMALL


@pytest.mark.slow
@pytest.mark.parametrize(("off_grid", "known"), [(False, ON_GRID), (True, OFF_GRID)])
def test_compiled_reference_circuit_fires_the_spikes_of_nest(
    tmp_path: Path, off_grid: bool, known: tuple[str, int]
) -> None:
    network, drive = circuit.make(off_grid=off_grid)
    b2.set_device("cpp_standalone", directory=str(tmp_path))
    try:
        rows = run_circuit(network, drive, shipped("glif3_psc_alpha"))
    finally:
        b2.device.reinit()
        reset_device()
    assert (circuit.digest(rows), len(rows)) == known


@pytest.fixture(scope="module")
def nest(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """Results of NEST's built-in models for all cases, from one process."""
    pytest.importorskip("nest", reason="nest-simulator is not installed")
    folder = tmp_path_factory.mktemp("nest")
    cases = {case.model: case.for_nest() for case in EXACT + SOLVED}
    (folder / "cases.json").write_text(json.dumps(cases))
    program = Path(__file__).with_name("nest_neurons.py")
    done = subprocess.run(
        [sys.executable, str(program), str(folder / "cases.json"), str(folder / "out.npz")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    with np.load(folder / "out.npz", allow_pickle=False) as stored:
        return dict(stored)


def spike_rows(steps: np.ndarray, ids: np.ndarray) -> list[tuple[int, int]]:
    return sorted(zip(np.asarray(ids).tolist(), np.asarray(steps).tolist(), strict=True))


@pytest.mark.parametrize("case", EXACT, ids=lambda case: case.model)
def test_exact_models_fire_the_spikes_of_nest(case: Case, nest: dict[str, np.ndarray]) -> None:
    code = shipped(case.model)
    ours = case.brian2(code)
    known = spike_rows(nest[f"{case.model}_steps"], nest[f"{case.model}_ids"])
    assert len(known) > 20
    assert spike_rows(ours["steps"], ours["ids"]) == known
    if code.lag_steps == 0:  # otherwise V is recorded before the arrivals of the step
        V = nest[f"{case.model}_V"]
        assert np.abs(ours["V"][: len(V)] - V).max() < 1e-10


@pytest.mark.parametrize("case", SOLVED, ids=lambda case: case.model)
def test_solved_models_fire_the_spikes_of_nest_within_steps(
    case: Case, nest: dict[str, np.ndarray]
) -> None:
    ours = case.brian2(shipped(case.model))
    for neuron in range(N):
        fired = np.sort(ours["steps"][ours["ids"] == neuron])
        known = np.sort(nest[f"{case.model}_steps"][nest[f"{case.model}_ids"] == neuron])
        assert len(fired) == len(known) > 0
        first, shift = COMPARED[case.model]
        assert np.abs(fired - known)[:first].max() <= shift


def test_cython_fires_the_spikes_of_numpy() -> None:
    case = next(each for each in EXACT if each.model == "lif_psc_delta")
    runs = [case.brian2(shipped(case.model), target) for target in ("numpy", "cython")]
    assert spike_rows(runs[0]["steps"], runs[0]["ids"]) == spike_rows(
        runs[1]["steps"], runs[1]["ids"]
    )


@pytest.mark.parametrize("name", MODELS)
def test_equal_time_constants_give_finite_potentials(name: str) -> None:
    b2.prefs.codegen.target = "numpy"
    code = shipped(name)
    own = {v.name for v in code.parameters}
    given = {tau: 10.0 for tau in own if tau.startswith("tau_")}
    if "g" in own:
        given |= dict(C_m=100.0, g=10.0)
    group = neuron_group(code, 1, given, dt_ms=DT_MS)
    port = next(p.name for p in code.ports if not p.continuous)
    setattr(group, f"in_{port}", 1.0)
    b2.Network(group).run(5 * b2.ms)
    assert np.isfinite(np.asarray(group.V_m if "V_m" in group.variables else group.U)).all()


def test_singular_propagators_are_the_limit_of_the_others() -> None:
    code = shipped("lif_psc_alpha")
    from converters.nestml.group import constants

    def of(tau: float) -> dict:
        return constants(code, dict(tau_m=10.0, tau_syn_exc=tau), DT_MS)[0]

    exact, near = of(10.0), of(10.0 * (1 + 1e-9))
    for propagator in code.propagators:
        assert exact[propagator.name] == pytest.approx(near[propagator.name], rel=1e-8)


def test_parameters_are_checked() -> None:
    code = shipped("lif_psc_exp")
    with pytest.raises(InputError, match=r"unknown parameter of lif_psc_exp 'tau_M'.*tau_m"):
        neuron_group(code, 2, {"tau_M": 3.0}, dt_ms=DT_MS)
    with pytest.raises(InputError, match="must be finite"):
        neuron_group(code, 2, {"tau_m": np.nan}, dt_ms=DT_MS)
    with pytest.raises(InputError, match="shape"):
        neuron_group(code, 2, {"V_m": np.zeros(3)}, dt_ms=DT_MS)


def test_unknown_model_is_named() -> None:
    with pytest.raises(InputError, match="Did you mean 'izhikevich'"):
        shipped("izikevich")
