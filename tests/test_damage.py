"""Damaged network files and SONATA folders: our error with the file's name, or the same network.

More than 600 files, each damaged at random by its seed; the quick share runs always.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import damaged_files as damage
import numpy as np
import pytest
from small_networks import network, neurons

from converters.sonata import folder as layout
from converters.sonata import from_sonata, sonata_tables, to_sonata
from toolkit import Network, Receptor, network_file
from toolkit.errors import DataError

Rng = np.random.Generator

SYNAPSES = [
    f"{where}/{part}" for where in ("synapses", "inputs/lgn") for part in network_file.PARTS
]
NETWORK_ITEMS = [
    *SYNAPSES, *SYNAPSES, "synapses", "neurons", "inputs", "neurons/g_nS", "neurons/C_m_pF",
    "neurons/sign", "neurons/V_th_mV",
]  # fmt: skip
NETWORK_ATTRIBUTES = [
    *(("/", name) for name in ("format", "version", "model", "seed", "dale", "receptors")),
    ("inputs/lgn", "n"),
]
NODES = [f"nodes/v1/node_{name}" for name in ("type_id", "group_id", "group_index")]
EDGES = [f"edges/v1_to_v1/{name}" for name in ("source_node_id", "target_node_id", "edge_type_id")]
OWN = ["edges/v1_to_v1/0/syn_weight", "edges/v1_to_v1/0/delay"]
GROUPS = [f"edges/v1_to_v1/edge_group_{name}" for name in ("id", "index")]


def made() -> Network:
    """A network that NEST's models can run, so that it can be read as foreign, too."""
    more = {"x_um": np.arange(4.0), "V_init_mV": -60 - np.arange(4.0)}
    receptors = {"fast": Receptor(2.8), "slow": Receptor(8.5)}
    return network(neurons=neurons(**more), receptors=receptors)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network file, a folder of ours and the same without our description."""
    folder = tmp_path_factory.mktemp("whole")
    made().save(folder / "net.h5")
    to_sonata(made(), folder / "ours")
    shutil.copytree(folder / "ours", folder / "foreign")
    (folder / "foreign" / layout.STRIATE).unlink()
    return folder


def draw(seed: int) -> Rng:
    return np.random.default_rng([7, seed])


def files(folder: Path, pattern: str) -> list[Path]:
    return sorted(file for file in folder.rglob(pattern) if file.is_file())


def pick(rng: Rng, listed: list[Path]) -> Path:
    return listed[int(rng.integers(len(listed)))]


def share(quick: int, all_of_them: int) -> pytest.MarkDecorator:
    """Seeds of the quick share, and of all."""
    return pytest.mark.parametrize(
        "seeds",
        [
            pytest.param(range(quick), id=f"{quick} files"),
            pytest.param(
                range(quick, all_of_them),
                id=f"{all_of_them - quick} more",
                marks=pytest.mark.slow,
            ),
        ],
    )


def outcome(read: Callable[[Path], Network], place: Path, known: str, item: str = "") -> str:
    """``"error"`` that names a file or ``"same"`` network, as it must be, or what it is instead.

    The error must name the `item` as well.
    """
    try:
        found = read(place)
    except DataError as error:
        named = str(place) in str(error) and item in str(error)
        return "error" if named else f"file or item {item!r} is not named in: {error}"
    except Exception as error:  # noqa: BLE001  that is what must not be
        return f"{type(error).__name__} {error}"
    return "same" if found.digest() == known else "another network, without a word"


def check(
    seeds: range,
    source: Path,
    place: Path,
    harm: Callable[[Path, Rng], str],
    read: Callable[[Path], Network],
    known: str,
    item_of: Callable[[str], str] = lambda what: "",
) -> None:
    """Damage a copy for every seed; fail with all that ended otherwise than it must.

    `item_of` tells the item that the error must name from what `harm` says it did.
    """
    ends = {}
    for seed in seeds:
        if source.is_dir():
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree(source, place)
        else:
            shutil.copyfile(source, place)
        done = harm(place, draw(seed))
        ends[f"seed {seed}, {done}"] = outcome(read, place, known, item_of(done))
    assert {what: end for what, end in ends.items() if end not in ("error", "same")} == {}
    n_errors = list(ends.values()).count("error")
    assert n_errors > 0.6 * len(seeds), "the damage is too mild to test anything"


# ---- network files ---------------------------------------------------------------------------


@share(40, 150)
def test_bytes_of_a_network_file(whole: Path, tmp_path: Path, seeds: range) -> None:
    check(
        seeds, whole / "net.h5", tmp_path / "n.h5", damage.bytes_of, Network.load, made().digest()
    )


@share(40, 200)
def test_items_of_a_network_file(whole: Path, tmp_path: Path, seeds: range) -> None:
    """Sealed again: the checksum is right, what is in it is not."""

    def harm(file: Path, rng: Rng) -> str:
        if rng.random() < 0.3:
            what = damage.attribute_of(file, NETWORK_ATTRIBUTES, rng)
        else:
            what = damage.item_of(file, NETWORK_ITEMS, rng)
        network_file.seal(file)
        return what

    def item_of(what: str) -> str:
        """Name of the dataset, group or attribute, as in `damaged_files`."""
        words = what.split(": ", 1)[1].removeprefix("attribute ").split()
        return words[0].rsplit("/", 1)[-1]

    whole_file, place, known = whole / "net.h5", tmp_path / "n.h5", made().digest()
    check(seeds, whole_file, place, harm, Network.load, known, item_of)


# ---- folders of ours -------------------------------------------------------------------------


@share(30, 150)
def test_bytes_of_a_folder(whole: Path, tmp_path: Path, seeds: range) -> None:
    def harm(folder: Path, rng: Rng) -> str:
        return damage.bytes_of(pick(rng, files(folder, "*")), rng)

    check(seeds, whole / "ours", tmp_path / "net", harm, from_sonata, made().digest())


@share(6, 80)
def test_items_of_a_folder(whole: Path, tmp_path: Path, seeds: range) -> None:
    """Sealed again."""

    def harm(folder: Path, rng: Rng) -> str:
        options = {
            "v1_nodes.h5": [*NODES, "nodes/v1/node_id", "nodes/v1/0/dynamics_params/V_m", "nodes"],
            "v1_to_v1_edges.h5": [*EDGES, *EDGES, *OWN, *OWN, "edges/v1_to_v1/0", "edges"],
        }
        name = str(rng.choice(list(options)))
        what = damage.item_of(folder / "network" / name, options[name], rng)
        layout.seal(folder)
        return what

    check(seeds, whole / "ours", tmp_path / "net", harm, from_sonata, made().digest())


@share(6, 80)
def test_the_description_of_a_folder(whole: Path, tmp_path: Path, seeds: range) -> None:
    """Values that are missing or of another kind, sealed again."""

    def harm(folder: Path, rng: Rng) -> str:
        what = damage.json_of(folder / layout.STRIATE, rng, spared={"rate_Hz", "sources"})
        layout.seal(folder)
        return what

    def read(folder: Path) -> Network:
        found = from_sonata(folder)
        return found.replace(seed=7, provenance={})

    check(seeds, whole / "ours", tmp_path / "net", harm, read, made().digest())


# ---- folders of others -----------------------------------------------------------------------


def foreign_digest(whole: Path) -> str:
    return from_sonata(whole / "foreign").digest()


@share(8, 80)
def test_items_of_a_foreign_folder(whole: Path, tmp_path: Path, seeds: range) -> None:
    def harm(folder: Path, rng: Rng) -> str:
        options = {
            "v1_nodes.h5": [*NODES, "nodes/v1/0", "nodes"],
            "v1_to_v1_edges.h5": [*EDGES, *OWN[:1], *GROUPS, "edges/v1_to_v1/0", "edges"],
        }
        if rng.random() < 0.15:
            ends = [(name, "node_population") for name in EDGES[:2]]
            return damage.attribute_of(folder / "network" / "v1_to_v1_edges.h5", ends, rng)
        name = str(rng.choice(list(options)))
        return damage.item_of(folder / "network" / name, options[name], rng)

    known = foreign_digest(whole)
    check(seeds, whole / "foreign", tmp_path / "net", harm, from_sonata, known)


@share(10, 60)
def test_tables_of_a_foreign_folder(whole: Path, tmp_path: Path, seeds: range) -> None:
    def harm(folder: Path, rng: Rng) -> str:
        names = ["v1_node_types.csv", "v1_to_v1_edge_types.csv"]
        return damage.table_of(folder / "network" / str(rng.choice(names)), rng)

    known = foreign_digest(whole)
    check(seeds, whole / "foreign", tmp_path / "net", harm, from_sonata, known)


@share(10, 80)
def test_json_of_a_foreign_folder(whole: Path, tmp_path: Path, seeds: range) -> None:
    """Without what has a default of the format or of NEST; see `converters.sonata.foreign`."""

    def harm(folder: Path, rng: Rng) -> str:
        cells, synapses = folder / "components/cell_models", folder / "components/synaptic_models"
        listed = [folder / layout.CIRCUIT, *files(cells, "*"), *files(synapses, "*")]
        return damage.json_of(pick(rng, listed), rng, optional={*DEFAULTS, "edges"})

    known = foreign_digest(whole)
    check(seeds, whole / "foreign", tmp_path / "net", harm, from_sonata, known)


DEFAULTS = {
    "C_m", "g", "E_L", "V_th", "V_reset", "V_m", "t_ref", "tau_syn", "asc_decay", "asc_amps",
    "after_spike_currents",
}  # fmt: skip


@share(6, 100)
def test_bytes_of_a_foreign_folder(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seeds: range
) -> None:
    """Nothing says what the bytes of others should be: an error, or a network that is one."""
    monkeypatch.setattr("converters.sonata.hdf5.ANSWER_S", 3.0)  # damage can make it run for ever
    n_errors, wrong = 0, []
    for seed in seeds:
        shutil.rmtree(tmp_path / "net", ignore_errors=True)
        shutil.copytree(whole / "foreign", tmp_path / "net")
        rng = draw(seed)
        listed = files(tmp_path / "net" / "network", "v1*.h5")
        file = pick(rng, listed)
        what = "; ".join(damage.bytes_of(file, rng) for _ in range(4))
        for read in (from_sonata, sonata_tables):
            try:
                read(tmp_path / "net")
            except DataError as error:
                n_errors += 1
                if str(tmp_path / "net") not in str(error):
                    wrong.append(f"seed {seed}, {what}: no file is named in: {error}")
    assert wrong == []
    assert n_errors > len(seeds)


def test_a_crash_of_the_hdf5_library_is_an_error(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The child process ends by itself, or is silent."""
    from converters.sonata import hdf5

    script = tmp_path / "crash.py"
    monkeypatch.setattr(hdf5, "_SCRIPT", script)
    monkeypatch.setattr(hdf5, "ANSWER_S", 0.5)
    answers: dict[str, Any] = {
        "import os; input(); os.abort()": "the HDF5 library crashed",
        "import time; time.sleep(60)": "did not end in 0.5 s",
        "import sys; sys.stdout.write('x' * 100); sys.stdout.flush(); input()": "crashed",
    }
    for code, message in answers.items():
        script.write_text(code)
        with pytest.raises(DataError, match=rf"nodes\.h5.*{message}"):
            from_sonata(whole / "foreign")


def test_links_to_other_files_are_not_followed(whole: Path, tmp_path: Path) -> None:
    import h5py

    shutil.copytree(whole / "foreign", tmp_path / "net")
    file = tmp_path / "net" / "network" / "v1_nodes.h5"
    file.rename(tmp_path / "secret.h5")
    with h5py.File(file, "w") as made_again:
        made_again["nodes"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "/nodes")
    with pytest.raises(DataError, match=r"v1_nodes\.h5: the group /nodes is missing"):
        from_sonata(tmp_path / "net")


def test_a_claim_larger_than_the_file(whole: Path, tmp_path: Path) -> None:
    import h5py

    shutil.copytree(whole / "foreign", tmp_path / "net")
    file = tmp_path / "net" / "network" / "v1_nodes.h5"
    with h5py.File(file, "r+") as opened:
        del opened["nodes/v1/node_type_id"]
        opened["nodes/v1"].create_dataset("node_type_id", shape=(2**26,), dtype="u8", chunks=True)
    with pytest.raises(DataError, match=r"node_type_id of shape \(67108864,\) is more than a file"):
        from_sonata(tmp_path / "net")


def test_a_number_changed_in_the_description(whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole / "ours", tmp_path / "net")
    file = tmp_path / "net" / layout.STRIATE
    text = file.read_text()
    file.write_text(text.replace("\n ", "\n"))  # spaces are no part of it
    assert from_sonata(tmp_path / "net").digest() == made().digest()
    file.write_text(text.replace("2.8", "3.8"))
    with pytest.raises(DataError, match=r"striate\.json is damaged or was changed"):
        from_sonata(tmp_path / "net")
    layout.seal(tmp_path / "net")
    assert from_sonata(tmp_path / "net").receptors["fast"] == Receptor(3.8)
