"""The file of a `Network`: exact, whole, and damage in it named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given
from odd_networks import assert_same, networks
from small_networks import network, neurons

from toolkit import Input, Network, Synapses, network_file
from toolkit.errors import DataError, InputError

# ---- round trips -----------------------------------------------------------------------------


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    network().save(tmp_path / "net.h5")
    return tmp_path / "net.h5"


def test_round_trip(saved: Path) -> None:
    assert_same(network(), Network.load(saved))


def test_the_same_network_gives_the_same_bytes(saved: Path) -> None:
    if h5py.version.version_tuple < (3, 16):
        pytest.skip("older h5py stores the time in groups that keep their order")
    again = saved.with_name("again.h5")
    network().save(again)
    assert again.read_bytes() == saved.read_bytes()


def has_plain_names(made: Network) -> bool:
    """HDF5 has no names with a slash (they are refused, see below)."""
    tables = [made.neurons, *(source.sources or {} for source in made.inputs.values())]
    return not any("/" in name for table in tables for name in table)


@given(networks().filter(has_plain_names))
def test_any_network_survives_its_file(tmp_path_factory: Any, made: Network) -> None:
    file = tmp_path_factory.getbasetemp() / "any.h5"
    made.save(file)
    assert_same(made, Network.load(file))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"provenance": {"when": object()}}, "provenance.*plain JSON"),
        ({"inputs": {"a/b": Input(1, Synapses.none())}}, "'a/b'"),
        ({"neurons": neurons(**{"a/b": [1, 2, 3, 4]})}, "'a/b'"),
    ],
)
def test_what_a_file_cannot_hold_is_said(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        network(**changes).save(tmp_path / "net.h5")
    assert list(tmp_path.iterdir()) == []


def test_a_save_that_fails_midway_leaves_the_old_file(
    saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = saved.read_bytes()
    original = network_file._write_synapses

    def fail(group: h5py.Group, synapses: Synapses) -> None:
        if "background" in group.name:
            raise OSError("no space left on device")
        original(group, synapses)

    monkeypatch.setattr(network_file, "_write_synapses", fail)
    with pytest.raises(OSError, match="no space"):
        network(seed=8).save(saved)
    assert saved.read_bytes() == before
    assert [file.name for file in saved.parent.iterdir()] == ["net.h5"]


# ---- damaged files ---------------------------------------------------------------------------


def write(file: h5py.File, name: str, values: Any) -> None:
    del file[name]
    file[name] = values


def drop(name: str) -> Callable[[h5py.File], None]:
    return lambda file: file.__delitem__(name)


def drop_attribute(name: str, where: str = "/") -> Callable[[h5py.File], None]:
    return lambda file: file[where].attrs.__delitem__(name)


def attribute(name: str, value: Any, where: str = "/") -> Callable[[h5py.File], None]:
    return lambda file: file[where].attrs.__setitem__(name, value)


def dataset(name: str, values: Any) -> Callable[[h5py.File], None]:
    return lambda file: write(file, name, values)


def grow(name: str) -> Callable[[h5py.File], None]:
    """Claim 256 MB in a file of 20 kB; nothing of it is stored."""

    def damage(file: h5py.File) -> None:
        del file[name]
        file.create_dataset(name, shape=(2**26,), dtype=np.float32)

    return damage


DAMAGE: dict[str, tuple[Callable[[h5py.File], None], str]] = {
    "no neurons": (drop("neurons"), "neurons is missing"),
    "no synapses": (drop("synapses"), "synapses is missing"),
    "no inputs": (drop("inputs"), "inputs is missing"),
    "no weights": (drop("synapses/weight"), "weight is missing"),
    "no input weights": (drop("inputs/lgn/pre"), "pre is missing"),
    "no parameter": (drop("neurons/g_nS"), "g_nS"),
    "no class": (drop("neurons/cell_class"), "cell_class"),
    "no format": (drop_attribute("format"), "'format'"),
    "no version": (drop_attribute("version"), "'version'"),
    "no model": (drop_attribute("model"), "'model'"),
    "no seed": (drop_attribute("seed"), "'seed'"),
    "no receptors": (drop_attribute("receptors"), "'receptors'"),
    "no number of sources": (drop_attribute("n", "inputs/lgn"), "'n'"),
    "later version": (attribute("version", 2), "version 2; this Striate reads 1"),
    "version in words": (attribute("version", "one"), "'version'"),
    "other format": (attribute("format", "SONATA"), "'format'"),
    "unknown model": (attribute("model", "hh"), "unknown neuron model 'hh'"),
    "receptors no JSON": (attribute("receptors", "{"), "'receptors'"),
    "receptors a list": (attribute("receptors", "[1, 2]"), "'receptors'"),
    "receptors without kernel": (attribute("receptors", '{"fast": [2.8]}'), "'receptors'"),
    "receptor of time null": (
        attribute("receptors", json.dumps({"fast": [None, "alpha"], "slow": [1, "alpha"]})),
        "'receptors'",
    ),
    "receptor of time 0": (
        attribute("receptors", json.dumps({"fast": [0, "alpha"], "slow": [1, "alpha"]})),
        "tau_ms",
    ),
    "fewer receptors": (attribute("receptors", '{"fast": [2.8, "alpha"]}'), "receptor 1"),
    "provenance no JSON": (attribute("provenance", b"\xff"), "'provenance'"),
    "provenance a number": (attribute("provenance", "3"), "'provenance'"),
    "number of sources a text": (attribute("n", "many", "inputs/lgn"), "must be a whole number"),
    "negative number of sources": (attribute("n", -2, "inputs/lgn"), "n = -2"),
    "infinite number of sources": (attribute("n", np.inf, "inputs/lgn"), "'n'"),
    "NaN rate": (attribute("rate_Hz", np.nan, "inputs/background"), "rate"),
    "weights as text": (dataset("synapses/weight", np.array([b"a"] * 4)), "weight has the wrong"),
    "indices as floats": (dataset("synapses/pre", np.ones(4)), "pre has the wrong type"),
    "index outside": (dataset("synapses/pre", np.array([1, 3, 0, 9])), "pre 9"),
    "index beyond 32 bits": (dataset("synapses/pre", np.array([1, 2**40, 0, 2])), "109951162777"),
    "negative index": (dataset("synapses/post", np.array([-5, 0, 1, 3])), "post -5"),
    "unsorted": (dataset("synapses/post", np.array([3, 0, 1, 0])), "sorted"),
    "shorter array": (dataset("synapses/weight", np.ones(3, np.float32)), "weight has 3 rows"),
    "matrix": (dataset("synapses/weight", np.ones((2, 2), np.float32)), "one dimension"),
    "scalar": (dataset("synapses/weight", np.float32(1)), "one dimension"),
    "NaN weight": (dataset("synapses/weight", np.full(4, np.nan, np.float32)), "weight nan"),
    "against Dale": (dataset("synapses/weight", np.float32([2, 3, 0.5, 1])), "Dale"),
    "fewer neurons in a column": (dataset("neurons/g_nS", np.ones(3)), "g_nS"),
    "parameter as text": (dataset("neurons/g_nS", np.array([b"a"] * 4)), "must be numbers"),
    "text that is no UTF-8": (
        dataset("neurons/cell_class", np.array([b"\xff"] * 4)), "neurons/cell_class"
    ),
    "column a group": (lambda file: file.move("inputs/lgn/sources", "neurons/more"), "s/more"),
    "inputs an array": (dataset("inputs", np.ones(3)), "/inputs"),
    "neurons an array": (dataset("neurons", np.ones(3)), "/neurons"),
    "larger than the file": (grow("synapses/weight"), "more than the file holds"),
    "empty column": (dataset("neurons/g_nS", h5py.Empty("f8")), "neurons/g_nS"),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGE)
def test_damage_is_named_with_its_file(saved: Path, case: str) -> None:
    damage, message = DAMAGE[case]
    with h5py.File(saved, "r+") as file:
        damage(file)
    network_file.seal(saved)
    with pytest.raises(DataError) as caught:
        Network.load(saved)
    assert str(saved) in str(caught.value)
    assert message in str(caught.value)


def test_a_file_changed_and_not_sealed(saved: Path) -> None:
    with h5py.File(saved, "r+") as file:
        file["synapses/weight"][0] = 2.5
    with pytest.raises(DataError, match=r"net\.h5 is damaged or was changed.*checksum"):
        Network.load(saved)
    network_file.seal(saved)
    assert Network.load(saved).synapses.weight[0] == 2.5


def test_a_changed_file_is_hdf5_to_anyone(saved: Path) -> None:
    assert h5py.is_hdf5(saved)
    with h5py.File(saved) as file:
        assert file["inputs/lgn/sources/family"].asstr()[:].tolist() == ["sON", "tOFF"]


@pytest.mark.parametrize("content", [b"", b"not HDF5", b"\x89HDF\r\n\x1a\n" + bytes(200)])
def test_what_is_no_network_file(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "net.h5"
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"net\.h5 is not the file of a Striate network"):
        Network.load(file)


def test_another_hdf5_file(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "net.h5", "w") as file:
        file["synapses"] = [1]
    with pytest.raises(DataError, match="not the file of a Striate network"):
        Network.load(tmp_path / "net.h5")


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path / "none.h5", tmp_path):
        with pytest.raises(DataError, match=r"there is no network file.*striate build"):
            Network.load(path)


def test_a_file_cut_anywhere_is_an_error(saved: Path) -> None:
    content = saved.read_bytes()
    for length in np.linspace(0, len(content) - 1, 60).astype(int):
        saved.write_bytes(content[:length])
        with pytest.raises(DataError, match=r"net\.h5"):
            Network.load(saved)


def test_any_flipped_byte_is_an_error(saved: Path) -> None:
    content = saved.read_bytes()
    rng = np.random.default_rng(0)
    for place in [*range(100), *rng.integers(100, len(content), 200)]:
        broken = bytearray(content)
        broken[place] ^= int(rng.integers(1, 256))
        saved.write_bytes(bytes(broken))
        with pytest.raises(DataError, match=r"net\.h5 is"):
            Network.load(saved)
