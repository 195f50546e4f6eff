"""SONATA folders: exact round trips, whole or not at all, and what other programs see in them."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from odd_networks import assert_same, networks
from small_networks import network, neurons, synapses

from converters.sonata import edges as sonata_edges
from converters.sonata import from_sonata, sonata_tables, to_sonata, write_spikes
from toolkit import Input, Network, Receptor, Recording, Synapses, Table, files
from toolkit.errors import DataError, InputError


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    to_sonata(network(), tmp_path / "net")
    return tmp_path / "net"


# ---- round trips -----------------------------------------------------------------------------


def test_round_trip(saved: Path) -> None:
    assert_same(network(), from_sonata(saved))
    assert_same(network(), from_sonata(saved / "circuit_config.json"))
    assert_same(network(), from_sonata(saved / "simulation_config.json"))


@given(networks())
@settings(max_examples=15)
def test_any_network_survives(tmp_path_factory: Any, made: Network) -> None:
    folder = tmp_path_factory.getbasetemp() / "any"
    to_sonata(made, folder, overwrite=True)
    assert_same(made, from_sonata(folder))


def test_edges_of_several_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks are an affair of memory: the edges and their index do not show them."""
    rng = np.random.default_rng(0)
    made = network(
        neurons=neurons(40),
        synapses=Synapses.sort(
            rng.integers(0, 40, 500), rng.integers(0, 40, 500), np.zeros(500),
            rng.uniform(1, 2, 500), rng.integers(0, 2, 500),
        ),
    )  # fmt: skip
    to_sonata(made, tmp_path / "one")
    monkeypatch.setattr(sonata_edges, "BLOCK", 7)
    monkeypatch.setattr("converters.sonata.hdf5.BLOCK", 7)
    to_sonata(made, tmp_path / "many")
    assert_same(from_sonata(tmp_path / "one"), from_sonata(tmp_path / "many"))
    for name in ("one", "many"):
        with h5py.File(tmp_path / name / "network" / "v1_to_v1_edges.h5") as file:
            edges = file["edges/v1_to_v1"]
            for index, ids in (("source_to_target", "source"), ("target_to_source", "target")):
                owner = np.full(500, -1)
                ranges = edges[f"indices/{index}/range_to_edge_id"][()]
                for node, (low, high) in enumerate(edges[f"indices/{index}/node_id_to_ranges"]):
                    for start, stop in ranges[low:high]:
                        assert (owner[start:stop] == -1).all()
                        owner[start:stop] = node
                np.testing.assert_array_equal(owner, edges[f"{ids}_node_id"])


def test_the_same_network_gives_the_same_bytes(saved: Path, tmp_path: Path) -> None:
    to_sonata(network(), tmp_path / "again")
    for file in saved.rglob("*"):
        if file.is_file():
            again = tmp_path / "again" / file.relative_to(saved)
            assert again.read_bytes() == file.read_bytes(), file


@pytest.mark.parametrize(
    ("changes", "options", "message"),
    [
        ({"provenance": {"when": object()}}, {}, "provenance.*plain JSON"),
        ({"neurons": neurons(when=np.zeros(4, "M8[s]"))}, {}, "'when' is of type datetime64"),
        ({"neurons": neurons(z=np.zeros(4, complex))}, {}, "'z' is of type complex"),
        ({}, {"population": "lgn"}, "an input is called 'lgn'"),
        ({}, {"population": "V 1"}, "'V 1'"),
    ],
)
def test_what_a_folder_cannot_hold_is_said(
    tmp_path: Path, changes: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        to_sonata(network(**changes), tmp_path / "net", **options)
    assert list(tmp_path.iterdir()) == []


def test_types_without_end_become_attributes_of_nodes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("converters.sonata.columns.MAX_TYPES", 2)
    made = network(
        neurons=neurons(C_m_pF=np.arange(100.0, 104.0), name=np.array(["a", "é", "", "d"])),
        receptors={"fast": Receptor(2.8), "slow": Receptor(8.5)},
    )
    to_sonata(made, tmp_path / "net")
    assert_same(made, from_sonata(tmp_path / "net"))
    with h5py.File(tmp_path / "net/network/v1_nodes.h5") as file:
        capacitance = file["nodes/v1/0/dynamics_params/C_m"]
        assert capacitance.attrs["units"] == "pF"
        assert capacitance[()].tolist() == [100, 101, 102, 103]
    # PointNet would give all neurons NEST's default capacitance: it must not know the model.
    types = (tmp_path / "net/network/v1_node_types.csv").read_text()
    assert "striate:glif3" in types and "nest:" not in types


def test_a_constant_current_is_not_left_to_models_that_have_none(tmp_path: Path) -> None:
    made = network(neurons=neurons(I_ext_pA=np.array([0.0, 10.0, 20.0, 0.0])))
    to_sonata(made, tmp_path / "net")
    assert_same(made, from_sonata(tmp_path / "net"))
    types = (tmp_path / "net/network/v1_node_types.csv").read_text()
    assert "striate:glif3" in types and "nest:" not in types


# ---- the place -------------------------------------------------------------------------------


def test_only_a_network_of_ours_is_replaced_and_only_if_asked(saved: Path) -> None:
    with pytest.raises(InputError, match="overwrite=True"):
        to_sonata(network(seed=8), saved)
    assert from_sonata(saved).seed == 7
    to_sonata(network(seed=8), saved, overwrite=True)
    assert from_sonata(saved).seed == 8
    assert [item.name for item in saved.parent.iterdir()] == ["net"]


@pytest.mark.parametrize("exchange", [True, False], ids=["one step", "two steps"])
def test_a_folder_without_leftovers(
    saved: Path, monkeypatch: pytest.MonkeyPatch, exchange: bool
) -> None:
    if not exchange:
        monkeypatch.setattr(files, "_exchange", lambda a, b: False)
    fewer = network(inputs={})
    to_sonata(fewer, saved, overwrite=True)
    assert_same(fewer, from_sonata(saved))
    assert not list(saved.rglob("lgn*"))
    assert [item.name for item in saved.parent.iterdir()] == ["net"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_is_not_ours_stays(tmp_path: Path, saved: Path, overwrite: bool) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    with pytest.raises(InputError, match=r"holds something else \(chapter\.txt\)"):
        to_sonata(network(), tmp_path / "thesis", overwrite=overwrite)
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "years of work"
    (saved / "output").mkdir()
    (saved / "output" / "spikes.h5").write_text("a day of simulation")
    with pytest.raises(InputError, match=r"output/spikes\.h5.*move them" if overwrite else "True"):
        to_sonata(network(seed=8), saved, overwrite=overwrite)
    assert (saved / "output" / "spikes.h5").read_text() == "a day of simulation"
    assert from_sonata(saved).seed == 7


def test_bad_places(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        to_sonata(network(), tmp_path / "no" / "net")
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="is a file"):
        to_sonata(network(), tmp_path / "file", overwrite=True)
    (tmp_path / "empty").mkdir()
    to_sonata(network(), tmp_path / "empty")
    assert_same(network(), from_sonata(tmp_path / "empty"))


def test_an_export_that_fails_midway_leaves_the_old_one(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from converters.sonata import write

    def fail(*_: Any) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(write, "write_edges", fail)
    with pytest.raises(OSError, match="no space"):
        to_sonata(network(seed=8), saved, overwrite=True)
    assert from_sonata(saved).seed == 7
    assert [item.name for item in saved.parent.iterdir()] == ["net"]


# ---- as other programs see it ----------------------------------------------------------------


def as_foreign(folder: Path) -> Path:
    (folder / "striate.json").unlink()
    return folder


@pytest.fixture
def nest_network() -> Network:
    """A network that NEST's models can run."""
    more = {"x_um": np.arange(4.0), "y_um": -np.arange(4.0), "tuning_deg": np.arange(4.0) * 90}
    receptors = {"fast": Receptor(2.8), "slow": Receptor(8.5, "double_alpha", 12.0, 0.3)}
    return network(neurons=neurons(**more, cell=["7", "é\n", "", "9"]), receptors=receptors)


def test_it_is_read_like_any_other_without_our_own_file(
    tmp_path: Path, nest_network: Network
) -> None:
    to_sonata(nest_network, tmp_path / "net")
    read = from_sonata(as_foreign(tmp_path / "net"))
    for part in ("pre", "post", "weight", "delay_ms", "receptor"):
        np.testing.assert_array_equal(
            getattr(read.synapses, part), getattr(nest_network.synapses, part)
        )
        np.testing.assert_array_equal(
            getattr(read.inputs["lgn"].synapses, part),
            getattr(nest_network.inputs["lgn"].synapses, part),
        )
    assert list(read.receptors.values()) == list(nest_network.receptors.values())
    for name, values in nest_network.neurons.items():
        if name != "cell":  # the node type stands for the cell model
            np.testing.assert_array_equal(read.neurons[name], values)
    assert read.inputs["lgn"].sources is not None
    assert read.inputs["lgn"].sources["family"].tolist() == ["sON", "tOFF"]
    assert read.dale


def test_names_and_units_are_those_of_the_format(tmp_path: Path, nest_network: Network) -> None:
    to_sonata(nest_network, tmp_path / "net", population="cortex")
    with h5py.File(tmp_path / "net/network/cortex_nodes.h5") as file:
        assert file.attrs["magic"] == 0x0A7A and file.attrs["version"].tolist() == [0, 1]
        assert file["nodes/cortex/0/x"].attrs["units"] == "um"
        assert file["nodes/cortex/0/tuning_angle"].attrs["units"] == "degrees"
    with h5py.File(tmp_path / "net/network/lgn_to_cortex_edges.h5") as file:
        edges = file["edges/lgn_to_cortex"]
        assert edges["source_node_id"].attrs["node_population"] == "lgn"
        assert edges["target_node_id"].attrs["node_population"] == "cortex"
        assert edges["0/syn_weight"].attrs["units"] == "pA"
        assert edges["0/delay"].attrs["units"] == "ms"
    rows = (tmp_path / "net/network/cortex_node_types.csv").read_text("ascii").splitlines()
    types = list(csv.DictReader(rows, delimiter=" "))
    assert [row["ei"] for row in types] == ["e", "e", "e", "i"]
    assert {row["model_template"] for row in types} == {"nest:glif_psc_double_alpha"}
    cell = tmp_path / "net/components/cell_models" / types[0]["dynamics_params"]
    parameters = json.loads(cell.read_text())
    assert parameters["asc_amps"] == [-5, -1] and parameters["C_m"] == 100
    assert parameters["tau_syn_fast"] == [2.8, 8.5] and parameters["amp_slow"] == [0, 0.3]


def test_exponential_receptors_are_no_model_of_nest(saved: Path) -> None:
    with pytest.raises(DataError, match=r"node type 0, parameters 0\.json: .*striate:glif3"):
        from_sonata(as_foreign(saved))
    tables = sonata_tables(saved)
    assert tables.edges["v1_to_v1"]["syn_weight"].tolist() == [2, -3, 0.5, 1]
    assert tables.nodes["lgn"]["x_deg"].tolist() == [0.5, -1]
    assert tables.node_types["v1"][1]["ei"] == "i"
    assert tables.parameters["0.json"]["tau_syn"] == [2.8, 8.5]


def test_libsonata_reads_it(tmp_path: Path, nest_network: Network) -> None:
    libsonata = pytest.importorskip("libsonata")
    to_sonata(nest_network, tmp_path / "net")
    circuit = libsonata.CircuitConfig.from_file(str(tmp_path / "net/circuit_config.json"))
    assert circuit.node_populations == {"v1", "lgn", "background"}
    assert circuit.edge_populations == {"v1_to_v1", "lgn_to_v1", "background_to_v1"}
    nodes = circuit.node_population("v1")
    everything = nodes.select_all()
    assert nodes.get_attribute("x", everything).tolist() == [0, 1, 2, 3]
    for name in ("v1_to_v1", "lgn_to_v1"):
        ours = nest_network.synapses if name == "v1_to_v1" else nest_network.inputs["lgn"].synapses
        edges = circuit.edge_population(name)
        everything = edges.select_all()
        assert (edges.source, edges.target) == tuple(name.split("_to_"))
        np.testing.assert_array_equal(edges.source_nodes(everything), ours.pre)
        np.testing.assert_array_equal(edges.target_nodes(everything), ours.post)
        np.testing.assert_array_equal(edges.get_attribute("syn_weight", everything), ours.weight)
        for node in range(4):
            afferent = edges.afferent_edges(node).flatten()
            np.testing.assert_array_equal(np.sort(afferent), np.flatnonzero(ours.post == node))
            if node < circuit.node_population(edges.source).size:
                efferent = edges.efferent_edges(node).flatten()
                np.testing.assert_array_equal(np.sort(efferent), np.flatnonzero(ours.pre == node))


def test_spikes(tmp_path: Path) -> None:
    recording = Recording.spikes([0.5, 1.5], [3, 1], n=4, dt_ms=0.5, duration_ms=2)
    write_spikes(recording, tmp_path / "spikes.h5", "lgn")
    with h5py.File(tmp_path / "spikes.h5") as file:
        assert file["spikes/lgn/timestamps"].attrs["units"] == "milliseconds"
        assert file["spikes/lgn/timestamps"][()].tolist() == [0.5, 1.5]
        assert file["spikes/lgn/node_ids"][()].tolist() == [3, 1]
    with pytest.raises(InputError, match="to_spikes"):
        write_spikes(Recording.rates(np.ones((2, 2)), dt_ms=1.0), tmp_path / "s.h5", "lgn")


def test_columns_with_names_of_the_format(tmp_path: Path) -> None:
    """They are kept for us, and do not stand in the way of what other programs look for."""
    words = np.array(["biophysical", "a b"])
    sources = Table({"model_type": words, "population": words, "node_type_id": words, "": words})
    made = network(inputs={"lgn": Input(2, Synapses.none(), None, sources)})
    to_sonata(made, tmp_path / "net")
    assert_same(made, from_sonata(tmp_path / "net"))
    types = sonata_tables(tmp_path / "net").node_types["lgn"]
    assert [types[k]["model_type"] for k in (0, 1)] == ["virtual", "virtual"]


def test_a_source_table_without_text(tmp_path: Path) -> None:
    sources = Table({"on": np.array([True, False]), "x_deg": np.array([np.nan, 1])})
    made = network(inputs={"lgn": Input(2, Synapses.none(), None, sources)}, synapses=synapses())
    to_sonata(made, tmp_path / "net")
    assert_same(made, from_sonata(tmp_path / "net"))


def test_numbers_are_kept_by_their_bits(tmp_path: Path) -> None:
    """-0.0 equals 0.0, but is another number; both may be of one type of nodes."""
    made = network(neurons=neurons(asc_amp_1_pA=np.array([0.0, -0.0, 0.1, -0.1])))
    to_sonata(made, tmp_path / "net")
    assert from_sonata(tmp_path / "net").digest() == made.digest()
