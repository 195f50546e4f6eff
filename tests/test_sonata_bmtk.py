"""SONATA with BMTK: its builder's networks read by us, our networks run by its PointNet on NEST."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from small_networks import network, neurons

from circuits import v1
from converters import to_brian2
from converters.sonata import from_sonata, sonata_tables, to_sonata, write_spikes
from toolkit import Network, Receptor, Recording
from toolkit.errors import DataError

pytest.importorskip("bmtk", reason="needs bmtk: pip install 'striate[sonata]'")
needs_nest = pytest.mark.skipif(
    importlib.util.find_spec("nest") is None,
    reason="needs nest-simulator: pip install 'striate[nest]'",
)

NEST_CELL = {
    **dict(C_m=100.0, g=5.0, E_L=-70.0, V_m=-68.0, V_th=-50.0, V_reset=-65.0, t_ref=3.0),
    **dict(asc_init=[0.0, 0.0], asc_decay=[0.1, 0.01], asc_amps=[-5.0, -1.0], asc_r=[1.0, 1.0]),
    **dict(after_spike_currents=True, tau_syn=[5.5, 8.5]),
}
# The form of the Cell Types Database: SI units, and factors that multiply.
ALLEN_CELL = {
    "type": "GLIF",
    "El": 0.0,
    "El_reference": -0.075,
    "C": 8e-11,
    "R_input": 2e8,
    "th_inf": 0.025,
    "spike_cut_length": 60,
    "dt": 5e-5,
    "init_AScurrents": [0.0, 0.0],
    "asc_tau_array": [0.01, 0.1],
    "asc_amp_array": [-5e-12, -2e-11],
    "coeffs": {"C": 1.0, "G": 1.25, "th_inf": 1.1, "asc_amp_array": [2.0, 1.0], "a": 1, "b": 1},
}


def configuration(folder: Path, **sections: Any) -> Path:
    """The files in a folder as BMTK's users write them down."""

    def files(kind: str) -> list[dict[str, str]]:
        return [
            {
                f"{kind}s_file": f"$NETWORK_DIR/{file.name}",
                f"{kind}_types_file": f"$NETWORK_DIR/{file.stem.removesuffix('s')}_types.csv",
            }
            for file in sorted((folder / "network").glob(f"*_{kind}s.h5"))
        ]

    path = folder / "config.json"
    content = {
        "manifest": {"$BASE_DIR": "${configdir}", "$NETWORK_DIR": "$BASE_DIR/network"},
        "components": {
            "point_neuron_models_dir": "$BASE_DIR/cells",
            "synaptic_models_dir": "$BASE_DIR/synapses",
        },
        "networks": {"nodes": files("node"), "edges": files("edge")},
        **sections,
    }
    path.write_text(json.dumps(content))
    return path


def build(folder: Path, **changes: Any) -> Path:
    """A network of two cell models and an input by BMTK's builder, in its usual ways.

    `changes` are of the excitatory neurons' type.
    """
    from bmtk.builder.networks import NetworkBuilder

    for name, content in {
        "cells/nest.json": NEST_CELL,
        "cells/allen.json": ALLEN_CELL,
        "synapses/port1.json": {"receptor_type": 1},
        "synapses/port2.json": {"receptor_type": 2},
        "synapses/port3.json": {"receptor_type": 3},
    }.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(content))
    rng = np.random.default_rng(3)
    v1_net = NetworkBuilder("v1")
    excitatory = dict(
        pop_name="e4", ei="e", model_type="point_neuron", model_template="nest:glif_psc",
        dynamics_params="nest.json",
    )  # fmt: skip
    v1_net.add_nodes(
        N=12, x=np.arange(12.0), tuning_angle=np.linspace(0, 330, 12), **excitatory | changes
    )
    v1_net.add_nodes(
        N=5, x=np.arange(5.0), pop_name="i4", model_type="point_neuron",
        model_template="nest:glif_lif_asc_psc", dynamics_params="allen.json",
    )  # fmt: skip
    static = dict(model_template="static_synapse")
    to_e = v1_net.add_edges(
        source={"pop_name": "e4"}, target={"pop_name": "e4"},
        connection_rule=lambda s, t: int(rng.integers(0, 3)) if s.node_id != t.node_id else 0,
        dynamics_params="port1.json", **static,
    )  # fmt: skip
    to_e.add_properties(
        ["syn_weight", "delay"],
        rule=lambda s, t: (0.25 * rng.integers(20, 60), 0.5 * rng.integers(2, 6)),
        dtypes=[float, float],
    )
    v1_net.add_edges(
        source={"pop_name": "e4"}, target={"pop_name": "i4"},
        connection_rule=lambda s, t: int(rng.integers(0, 4)),
        syn_weight=8.0, delay=1.5, dynamics_params="port3.json", **static,
    )  # fmt: skip
    v1_net.add_edges(
        source={"pop_name": "i4"}, target={}, connection_rule=lambda s, t: int(rng.integers(0, 2)),
        syn_weight=-6.0, delay=2.0, dynamics_params="port2.json", **static,
    )  # fmt: skip
    v1_net.build()
    v1_net.save(output_dir=str(folder / "network"))
    lgn = NetworkBuilder("lgn")
    lgn.add_nodes(N=6, x=np.arange(6.0), pop_name="sON", model_type="virtual")
    lgn.add_edges(
        source=lgn.nodes(), target=v1_net.nodes(), connection_rule=lambda s, t: (s.node_id % 2) * 3,
        syn_weight=20.0, delay=1.0, dynamics_params="port1.json", **static,
    )  # fmt: skip
    lgn.build()
    lgn.save_nodes(output_dir=str(folder / "network"))
    lgn.save_edges(output_dir=str(folder / "network"))
    return configuration(folder)


POINTNET = """
import sys
from bmtk.simulator import pointnet
config = pointnet.Config.from_json(sys.argv[1])
config.build_env()
network = pointnet.PointNetwork.from_config(config)
pointnet.PointSimulator.from_config(config, network).run()
"""


def run_pointnet(config: Path, dt_ms: float, duration_ms: float) -> np.ndarray:
    """Rows of (step, neuron) of the spikes of PointNet, sorted."""
    content = json.loads(config.read_text())
    content["run"] = {"tstop": duration_ms, "dt": dt_ms}
    content["output"] = {
        "output_dir": str(config.parent / "output"),
        "spikes_file": "spikes.h5",
        "overwrite_output_dir": True,
    }
    run = config.with_name("run.json")
    run.write_text(json.dumps(content))
    done = subprocess.run(
        [sys.executable, "-c", POINTNET, str(run)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    with h5py.File(config.parent / "output" / "spikes.h5") as file:
        spikes = file["spikes/v1"]
        return rows(spikes["timestamps"][()], spikes["node_ids"][()], dt_ms)


def rows(times_ms: np.ndarray, ids: np.ndarray, dt_ms: float) -> np.ndarray:
    steps, ids = np.round(times_ms / dt_ms).astype(int), ids.astype(int)
    return np.stack([steps, ids], axis=1)[np.lexsort((ids, steps))]


def drive(n: int, rate_Hz: float, dt_ms: float, duration_ms: float, seed: int) -> Recording:
    """Poisson spikes on the grid, at most one a step."""
    rng = np.random.default_rng(seed)
    step, ids = np.nonzero(rng.random((round(duration_ms / dt_ms), n)) < rate_Hz * dt_ms / 1000)
    keep = step >= 1
    return Recording.spikes(
        step[keep] * dt_ms, ids[keep], n=n, dt_ms=dt_ms, duration_ms=duration_ms
    )


# ---- ours in PointNet ------------------------------------------------------------------------


def agree(made: Network, folder: Path, rate_Hz: dict[str, float], dt_ms: float) -> int:
    """Run in PointNet and in Brian2, spike for spike; the number of spikes."""
    duration_ms = 300.0
    starts = made.neurons.replace(V_init_mV=made.neurons["E_L_mV"])  # PointNet has one a type
    driven = {k: dataclasses.replace(v, rate_Hz=None) for k, v in made.inputs.items()}
    made = made.replace(neurons=starts, inputs=driven)
    to_sonata(made, folder)
    (folder / "inputs").mkdir()
    inputs = {}
    for seed, (name, source) in enumerate(made.inputs.items()):
        inputs[name] = drive(source.n, rate_Hz[name], dt_ms, duration_ms, seed)
        write_spikes(inputs[name], folder / "inputs" / f"{name}_spikes.h5", name)
    ours = to_brian2(made, "runtime", dt_ms=dt_ms).run(inputs, target="numpy")
    assert ours.spike_times_ms is not None and ours.spike_ids is not None
    known = run_pointnet(folder / "simulation_config.json", dt_ms, duration_ms)
    np.testing.assert_array_equal(rows(ours.spike_times_ms, ours.spike_ids, dt_ms), known)
    return len(known)


@needs_nest
@pytest.mark.filterwarnings("ignore:.*delays are not multiples")
def test_pointnet_fires_the_spikes_of_brian2(tmp_path: Path) -> None:
    column = v1.column(300, seed=1)
    count = agree(column, tmp_path / "net", {"lgn": 10.0, "background": 1000.0}, 0.25)
    assert count > 500


@needs_nest
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*delays are not multiples")
def test_pointnet_fires_the_spikes_of_brian2_through_double_alpha_synapses(tmp_path: Path) -> None:
    column = v1.column(300, seed=1)
    receptors = {
        name: Receptor(r.tau_ms, "double_alpha", tau_slow_ms=3 * r.tau_ms, amp_slow=0.2)
        for name, r in column.receptors.items()
    }
    column = column.replace(receptors=receptors)
    count = agree(column, tmp_path / "net", {"lgn": 10.0, "background": 1000.0}, 0.1)
    assert count > 500


# ---- BMTK's read by us -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("built"))


def test_a_network_of_bmtks_builder(built: Path) -> None:
    read = from_sonata(built)
    cells = read.neurons
    assert read.classes == ["e4", "i4"]
    assert cells["sign"].tolist() == [1] * 12 + [-1] * 5  # ei, and the weights where it is missing
    assert cells["x_um"].tolist() == [*range(12), *range(5)]
    assert cells["V_init_mV"][[0, 12]].tolist() == [-68, -75]
    allen = {name: float(values[12]) for name, values in cells.items() if values.dtype.kind == "f"}
    assert allen["C_m_pF"] == pytest.approx(80) and allen["g_nS"] == pytest.approx(6.25)
    assert allen["V_th_mV"] == pytest.approx(-47.5) and allen["t_ref_ms"] == pytest.approx(3)
    assert allen["asc_amp_1_pA"] == pytest.approx(-10) and allen["asc_amp_2_pA"] == pytest.approx(
        -20
    )
    assert allen["asc_decay_1_per_ms"] == pytest.approx(0.1)
    assert [r.tau_ms for r in read.receptors.values()] == [5.5, 8.5, 2.8, 5.8]
    lgn = read.inputs["lgn"]
    assert (
        lgn.n == 6 and lgn.sources is not None and lgn.sources["pop_name"].tolist() == ["sON"] * 6
    )
    assert (lgn.synapses.weight == 60).all() and (lgn.synapses.pre % 2 == 1).all()
    assert len(lgn.synapses) == 3 * 17

    from bmtk.utils.sonata import File

    network_dir = built.parent / "network"
    file = File(str(network_dir / "v1_v1_edges.h5"), str(network_dir / "v1_v1_edge_types.csv"))
    known = []
    for edge in file.edges.populations[0]:
        port = int(edge["dynamics_params"].removeprefix("port").removesuffix(".json"))
        weight = edge["syn_weight"] * (edge["nsyns"] if "nsyns" in edge._group_props else 1)
        known.append((edge.target_node_id, edge.source_node_id, weight, edge["delay"], port - 1))
    ours = read.synapses
    arrays = (ours.post, ours.pre, ours.weight, ours.delay_ms, ours.receptor)
    assert len(ours) > 100
    assert sorted(known) == sorted(zip(*(a.tolist() for a in arrays), strict=True))


@needs_nest
@pytest.mark.slow
def test_a_network_of_bmtks_builder_fires_the_same_spikes(tmp_path: Path) -> None:
    config = build(tmp_path)
    (tmp_path / "inputs").mkdir()
    spikes = drive(6, 200.0, 0.1, 300.0, 1)
    write_spikes(spikes, tmp_path / "inputs" / "lgn.h5", "lgn")
    entry = dict(input_type="spikes", module="h5", node_set="lgn")
    configuration(tmp_path, inputs={"lgn": {**entry, "input_file": "$BASE_DIR/inputs/lgn.h5"}})
    known = run_pointnet(config, 0.1, 300.0)
    ours = to_brian2(from_sonata(config), dt_ms=0.1).run({"lgn": spikes}, target="numpy")
    assert ours.spike_times_ms is not None and ours.spike_ids is not None
    np.testing.assert_array_equal(rows(ours.spike_times_ms, ours.spike_ids, 0.1), known)
    assert len(known) > 100


def test_it_survives_our_own_format(built: Path, tmp_path: Path) -> None:
    read = from_sonata(built)
    to_sonata(read, tmp_path / "again")
    assert from_sonata(tmp_path / "again").digest() == read.digest()
    read.save(tmp_path / "net.h5")
    assert Network.load(tmp_path / "net.h5").digest() == read.digest()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_template": "nest:iaf_psc_alpha"}, "model 'nest:iaf_psc_alpha' is not among ours"),
        ({"model_template": "nrn:IntFire1"}, "model 'nrn:IntFire1' is not among ours"),
        (
            {"model_template": "ctdb:Biophys1.hoc", "model_type": "biophysical"},
            "model 'ctdb:Biophys1.hoc' is not among ours",
        ),
        ({"dynamics_params": "absent.json"}, r"absent\.json cannot be read"),
    ],
)
def test_models_that_are_not_ours(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    config = build(tmp_path, **changes)
    with pytest.raises(DataError, match=message) as caught:
        from_sonata(config)
    if "not among" in message:
        assert f"{tmp_path}/network/v1_nodes.h5: node type 100" in str(caught.value)
        assert "parameters nest.json" in str(caught.value)
        assert "sonata_tables" in str(caught.value)
    tables = sonata_tables(config)
    assert len(tables.nodes["v1"].rows) == 17
    assert tables.node_types["v1"][100]["pop_name"] == "e4"
    assert tables.parameters["allen.json"] == ALLEN_CELL
    assert set(tables.edges["v1_to_v1"]) >= {"source_node_id", "nsyns", "syn_weight"}


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"spike_dependent_threshold": True}, "spike_dependent_threshold is on"),
        ({"asc_r": [0.5, 1.0]}, "asc_r"),
        ({"asc_amps": [1.0, 2.0, 3.0]}, "two at most"),
        ({"C_m": -5.0}, "impossible network.*C_m_pF of neuron 0 is -5"),
        ({"C_m": "100"}, "C_m must be a number, got '100'"),
        ({"tau_syn": [5.5]}, r"receptor_type 2; its target, node \d, has no such port"),
        ({"tau_syn": [5.5, 0.0]}, "tau_ms must be above 0"),
        ({"tau_m": 10.0}, "no parameter tau_m"),
    ],
)
def test_parameters_that_are_not_ours(
    built: Path, parameters: dict[str, Any], message: str
) -> None:
    cell = built.parent / "cells" / "nest.json"
    cell.write_text(json.dumps(NEST_CELL | parameters))
    try:
        with pytest.raises(DataError, match=message):
            from_sonata(built)
    finally:
        cell.write_text(json.dumps(NEST_CELL))


def test_what_bmtk_leaves_out_is_what_nest_takes(built: Path) -> None:
    """Without E_L, V_m and currents: the defaults of NEST, and a GLIF1."""
    cell = built.parent / "cells" / "nest.json"
    cell.write_text(json.dumps({"C_m": 90.0, "V_m": -60.0, "tau_syn": [5.5, 8.5]}))
    try:
        cells = from_sonata(built).neurons
    finally:
        cell.write_text(json.dumps(NEST_CELL))
    assert cells["C_m_pF"][0] == 90 and cells["E_L_mV"][0] == -78.85
    assert cells["V_init_mV"][0] == -60 and cells["t_ref_ms"][0] == 3.75
    assert cells["asc_amp_1_pA"][0] == cells["asc_amp_2_pA"][0] == 0


@needs_nest
@pytest.mark.slow
def test_the_defaults_are_those_of_nest() -> None:
    from converters.sonata.models import DEFAULTS, DOUBLE, SINGLE

    code = (
        "import json, nest\n"
        "kinds = 'glif_psc', 'glif_psc_double_alpha'\n"
        "print(json.dumps({k: nest.GetDefaults(k) for k in kinds}, default=lambda v: "
        "v.tolist() if hasattr(v, 'tolist') else str(v)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    known = json.loads(done.stdout.splitlines()[-1])
    for template in (SINGLE, DOUBLE):
        nest = known[template.removeprefix("nest:")]
        shared = {name: value for name, value in DEFAULTS.items() if name in nest}
        assert {name: nest[name] for name in shared} == shared


def test_dale_is_broken_where_a_weight_says_so(tmp_path: Path) -> None:
    made = network(
        neurons=neurons(sign=np.array([-1, 1, 1, -1])), dale=False,
        receptors={"fast": Receptor(2.8), "slow": Receptor(8.5)},
    )  # fmt: skip
    to_sonata(made, tmp_path / "net")
    (tmp_path / "net" / "striate.json").unlink()
    read = from_sonata(tmp_path / "net")
    assert not read.dale
    assert read.neurons["sign"].tolist() == [-1, 1, 1, -1]
