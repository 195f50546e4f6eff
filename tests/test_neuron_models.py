"""Circuits of every neuron model: as data, in Brian2 and in NEST, to the spike."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from model_networks import DT_MS, drive, network_of
from nest_networks import assert_same

from converters import from_sonata, neuron_model, to_brian2, to_nest, to_rate, to_sonata
from converters.nestml import neuron_group
from converters.nestml.parts import parts
from converters.nestml.reduced import folded, reduced
from converters.nestml.shipped import shipped
from converters.slots import pack_receptors
from toolkit import Network, Receptor, Synapses
from toolkit.errors import InputError
from toolkit.neurons import glif
from toolkit.neurons.models import MODELS

needs_nest = pytest.mark.skipif(
    importlib.util.find_spec("nest") is None,
    reason="needs nest-simulator: pip install 'striate[nest]'",
)
SOLVED = ("lif_cond_exp", "adex_cond_exp", "hh_psc_alpha")  # by NEST with an adaptive solver


@pytest.mark.parametrize("name", MODELS)
def test_ports_and_parameters_are_those_of_the_nestml_file(name: str) -> None:
    model = MODELS[name]
    level = model.level
    code = shipped(f"glif{level}_psc_alpha" if level else name)
    if model.ports:
        assert {p.name: p.sign for p in code.ports if not p.continuous} == dict(model.ports)
    known = {v.name for v in code.parameters}
    own = {glif.nestml_name(p) for p in model.parameters} - {"V_init"}
    assert own <= known
    assert {n for n in known - own if not n.startswith("tau_syn_")} == set()


@pytest.mark.parametrize("name", MODELS)
def test_networks_are_saved_and_exported(name: str, tmp_path: Path) -> None:
    network = network_of(name)
    network.save(tmp_path / "n.h5")
    assert Network.load(tmp_path / "n.h5").digest() == network.digest()
    to_sonata(network, tmp_path / "sonata")
    assert from_sonata(tmp_path / "sonata").digest() == network.digest()


@pytest.mark.parametrize("name", ["glif5", "lif_psc_exp", "lif_psc_delta", "izhikevich"])
def test_runtime_and_compiled_device_fire_the_same_spikes(name: str) -> None:
    network, spikes = network_of(name), drive(duration_ms=100)
    interpreted = to_brian2(network, dt_ms=DT_MS).run(spikes, seed=3, target="numpy")
    compiled = to_brian2(network, "cpp_standalone", dt_ms=DT_MS).run(spikes, seed=3)
    assert_same(interpreted, compiled, at_least=40)


@needs_nest
@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in MODELS if name not in SOLVED])
def test_nest_fires_the_same_spikes(name: str) -> None:
    network, spikes = network_of(name), drive()
    brian2 = to_brian2(network, dt_ms=DT_MS).run(spikes, seed=3, target="numpy")
    assert_same(to_nest(network, "nestml", dt_ms=DT_MS).run(spikes, seed=3), brian2, at_least=100)


@needs_nest
@pytest.mark.slow
@pytest.mark.parametrize("name", SOLVED)
def test_nest_fires_nearly_the_same_spikes_by_another_solver(name: str) -> None:
    """A crossing near the end of a step may fall into the next, and the network spreads that."""
    network, spikes = network_of(name), drive()
    brian2 = to_brian2(network, dt_ms=DT_MS).run(spikes, seed=3, target="numpy")
    nest = to_nest(network, "nestml", dt_ms=DT_MS).run(spikes, seed=3)
    counts = [len(each.spike_ids) for each in (brian2, nest)]
    assert min(counts) > 200
    assert counts[0] == pytest.approx(counts[1], rel=0.02)
    first = [
        np.array([each.spike_times_ms[each.spike_ids == i].min(initial=1e9) for i in range(40)])
        for each in (brian2, nest)
    ]
    assert (np.abs(first[0] - first[1]) < 1.5 * DT_MS).mean() >= 0.95


def test_potentials_start_where_the_circuit_says() -> None:
    for name in ("glif1", "lif_psc_exp"):
        network = network_of(name)
        start = np.linspace(-75, -60, network.n)
        network = network.replace(neurons=network.neurons.replace(V_init_mV=start))
        simulation = to_brian2(network, dt_ms=DT_MS, record_voltage=[0, 39])
        simulation.run(duration_ms=1.0, target="numpy")
        assert simulation.voltage_mV is not None
        assert simulation.voltage_mV[0] == pytest.approx(start[[0, 39]], abs=0.5)


def test_what_does_not_fit_is_refused() -> None:
    network = network_of("lif_cond_exp")
    with pytest.raises(InputError, match="input port of lif_cond_exp 'ampa'"):
        network.replace(receptors={"ampa": Receptor(0.0, "port")})
    with pytest.raises(InputError, match="has the kernel 'alpha'; it needs kernel 'port'"):
        network.replace(receptors={"exc_spikes": Receptor(2.0), "inh_spikes": Receptor(2.0)})
    with pytest.raises(InputError, match="has the kernel 'port'; it needs a kernel of its own"):
        network_of("glif1").replace(receptors={k: Receptor(0.0, "port") for k in ("fast", "slow")})
    with pytest.raises(InputError, match="takes weights above 0"):
        weight = -np.abs(network.synapses.weight)
        s = network.synapses
        network.replace(
            synapses=Synapses(s.pre, s.post, weight, s.delay_ms, np.zeros(len(s))), dale=False
        )
    with pytest.raises(InputError, match="no tau_ms of its own"):
        Receptor(2.0, "port")
    with pytest.raises(InputError, match="rates are those of glif3 neurons"):
        to_rate(network)
    with pytest.raises(InputError, match="what a spike does at a port"):
        _ = Receptor(0.0, "port").charge_per_peak
    with pytest.raises(InputError, match="model='builtin' is for glif3"):
        to_nest(network)


# ---- code --------------------------------------------------------------------------------------


def test_folding_changes_no_value() -> None:
    assert folded("a * b + c - a", {"a"}) == "c"
    assert folded("where(m, a * 2, a)", {"a"}) == "0"
    assert folded("where(m, a, 1.0)", {"a"}) == "where(m, 0, 1.0)"
    assert folded("a - b", {"a"}) == "0 - b"
    assert folded("b / a + 0", {"x"}) == "b / a + 0"


def _fired(code, split: int | None, monkeypatch: pytest.MonkeyPatch) -> tuple[list, np.ndarray]:
    import brian2 as b2

    b2.prefs.codegen.target = "numpy"
    if split is not None:
        monkeypatch.setattr("converters.nestml.parts.MOST_LINES", split)
    n = 5
    group = neuron_group(code, n, {"I_ext": np.linspace(200, 600, n)}, dt_ms=0.25)
    times = np.arange(20) * 2.5 * b2.ms
    source = b2.SpikeGeneratorGroup(1, np.zeros(20, int), times, dt=0.25 * b2.ms)
    synapses = b2.Synapses(source, group, on_pre="in_spikes_1_post += 300", dt=0.25 * b2.ms)
    synapses.connect()
    spikes = b2.SpikeMonitor(group)
    potential = b2.StateMonitor(group, "U", record=True, dt=0.25 * b2.ms)
    b2.Network(group, source, synapses, spikes, potential).run(60 * b2.ms)
    assert len(parts(code).code) == (-(-len(code.code.splitlines()) // (split or 30)))
    return list(zip(np.asarray(spikes.t / b2.ms), spikes.i, strict=True)), np.asarray(potential.U)


def test_unused_ports_and_parts_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = shipped("glif5_psc_double_alpha")
    spikes, potential = _fired(whole, 1000, monkeypatch)
    assert len(spikes) > 10
    small = reduced(whole, ["spikes_2", "spikes_3", "spikes_4"])
    assert len(small.states) == len(whole.states) - 12
    for code, split in ((small, None), (whole, 7)):
        again, U = _fired(code, split, monkeypatch)
        assert again == spikes
        assert np.array_equal(U, potential)


def test_mixed_receptors_share_no_slot_with_exponential_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path))
    network = network_of("glif3")
    slots = pack_receptors(network)
    assert slots.kernels == ("double_alpha", "exponential")
    assert neuron_model.name(network, slots) == "glif3_psc_1_double_alpha_1_exponential"
    first = neuron_model.code(network, slots)
    kept = list((tmp_path / "brian2_code").glob("*.json"))
    assert len(kept) == 1
    monkeypatch.setattr(neuron_model, "read", None)  # it would be parsed again
    assert neuron_model.code(network, slots) == first
