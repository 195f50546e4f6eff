"""``striate simulate`` as a user runs it: the same spikes from every simulator."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from small_networks import network as small_network
from typer.testing import CliRunner, Result

from circuits import v1
from circuits.cli import BAD_INPUT, app
from circuits.cli.input_spikes import read_input_spikes
from circuits.cli.simulate import DEFAULTS, _lgn_filters
from converters import cuda_system, to_brian2, to_sonata
from converters.sonata import write_spikes
from toolkit import Network, Receptor, stimuli
from toolkit.errors import DataError

needs_nest = pytest.mark.skipif(
    importlib.util.find_spec("nest") is None,
    reason="needs nest-simulator: pip install 'striate[nest]'",
)
SECONDS = 0.2


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["simulate", *map(str, arguments)], env={"COLUMNS": "120"})


def complaint(result: Result) -> str:
    assert result.exit_code == BAD_INPUT, result.output
    assert "Traceback" not in result.stderr
    return " ".join(result.stderr.split())


@pytest.fixture(scope="module")
def column() -> Network:
    return v1.column(300, seed=4)


@pytest.fixture(scope="module")
def file(column: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("simulate") / "column.h5"
    column.save(path)
    return path


@pytest.fixture(scope="module")
def by_brian2(file: Path) -> Path:
    """A run on a grating with the interpreted Brian2."""
    out = file.with_name("brian2")
    done = run(
        file, "--stimulus", "grating", "--orientation-deg", "90", "--seconds", SECONDS,
        "--seed", "3", "--device", "runtime", "--csv", "--out", out,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    return out


def spikes_in(folder: Path) -> np.ndarray:
    with h5py.File(folder / "spikes.h5") as stored:
        group = stored["spikes/v1"]
        return np.stack([group["timestamps"][()], group["node_ids"][()]])


def test_what_a_run_leaves(by_brian2: Path, file: Path, column: Network) -> None:
    movie = stimuli.drifting_grating(orientation_deg=90, duration_ms=1000 * SECONDS)
    expected = to_brian2(column).run(v1.lgn(column).respond(movie), seed=3)
    spikes = spikes_in(by_brian2)
    assert np.array_equal(spikes, np.stack([expected.spike_times_ms, expected.spike_ids]))
    assert spikes.shape[1] > 50
    table = pd.read_csv(by_brian2 / "spikes.csv")
    assert np.allclose(table["time_ms"], spikes[0], atol=1e-6, rtol=0)
    assert np.array_equal(table["neuron"], spikes[1])
    rates = pd.read_csv(by_brian2 / "rates.csv")
    assert rates["cell_class"].tolist() == column.classes
    assert (rates["rate_Hz"] * rates["neurons"]).sum() * SECONDS == pytest.approx(
        spikes.shape[1], abs=1e-3
    )
    assert (by_brian2 / "raster.png").read_bytes().startswith(b"\x89PNG")
    manifest = json.loads((by_brian2 / "manifest.json").read_text())
    assert manifest["command"] == (
        f"striate simulate {file} --out {by_brian2} --device runtime --stimulus grating "
        f"--seconds {SECONDS} --orientation-deg 90.0 --seed 3 --csv"
    )
    assert manifest["seeds"] == {"seed": 3}
    assert set(DEFAULTS) <= set(manifest["parameters"])


@needs_nest
@pytest.mark.parametrize("form", ["file", "sonata"])
def test_nest_fires_the_spikes_of_brian2(
    form: str, file: Path, column: Network, by_brian2: Path, tmp_path: Path
) -> None:
    source = file
    if form == "sonata":
        source = tmp_path / "sonata"
        to_sonata(column, source)
    done = run(
        source, "--backend", "nest", "--threads", "2", "--stimulus", "grating",
        "--orientation-deg", "90", "--seconds", SECONDS, "--seed", "3", "--out", tmp_path / "nest",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert np.array_equal(spikes_in(tmp_path / "nest"), spikes_in(by_brian2))
    assert not (tmp_path / "nest" / "spikes.csv").exists()


@pytest.mark.parametrize(
    ("stimulus", "louder"),
    [(["none"], ["poisson", "--rate-hz", "60"]), (["grey"], ["poisson", "--rate-hz", "200"])],
)
def test_stimuli_differ(stimulus: list[str], louder: list[str], file: Path, tmp_path: Path) -> None:
    counts = []
    for name, words in (("a", stimulus), ("b", louder)):
        done = run(
            file, "--device", "runtime", "--seconds", SECONDS, "--out", tmp_path / name,
            "--stimulus", *words,
        )  # fmt: skip
        assert done.exit_code == 0, done.output
        counts.append(spikes_in(tmp_path / name).shape[1])
    assert counts[0] < counts[1]


def test_a_network_that_has_no_lgn(tmp_path: Path) -> None:
    receptors = {"fast": Receptor(2.8), "slow": Receptor(8.5)}
    plain = small_network(receptors=receptors, inputs={})
    plain.save(tmp_path / "plain.h5")
    done = run(tmp_path / "plain.h5", "--device", "runtime", "--out", tmp_path / "out")
    assert "needs an input 'lgn'" in complaint(done)
    assert "--stimulus poisson" in complaint(done)
    assert not (tmp_path / "out").exists()
    done = run(
        tmp_path / "plain.h5", "--device", "runtime", "--stimulus", "none", "--seconds", 0.01,
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "brian2: 0 spikes in 0.01 s" in done.stdout
    again = run(tmp_path / "plain.h5", "--stimulus", "none", "--out", tmp_path / "out")
    assert "holds another run" in complaint(again)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--backend", "nets"],
            "unknown backend 'nets'; accepted: brian2, nest, cuda. Did you mean",
        ),
        (["--stimulus", "gray"], "unknown stimulus 'gray'; accepted: grey, grating"),
        (["--seconds", "0"], "--seconds must be above 0, got 0"),
        (["--seconds", "nan"], "--seconds must be above 0, got nan"),
        (["--stimulus", "poisson", "--rate-hz", "-1"], "--rate-hz must be 0 or more"),
        (["--threads", "2", "--device", "runtime"], "threads must be 1, or more with device="),
        (["--stimulus", "none", "--input-spikes", "x.csv"], "takes the place of --stimulus"),
        (["--input-spikes", "none.csv"], "there is no file none.csv"),
        (["--device", "cpp"], "unknown device 'cpp'"),
        (["--backend", "nest", "--dt-ms", "0"], "dt_ms must be above 0"),
        (["--backend", "nest", "--model", "glif"], "unknown NEST model 'glif'"),
    ],
)
def test_bad_options(words: list[str], said: str, file: Path, tmp_path: Path) -> None:
    assert said in complaint(run(file, "--out", tmp_path / "out", *words))
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert "none.h5" in complaint(run(tmp_path / "none.h5", "--out", tmp_path / "out"))
    (tmp_path / "empty").mkdir()
    assert "empty" in complaint(run(tmp_path / "empty", "--out", tmp_path / "out"))


# ---- recorded spikes as the input --------------------------------------------------------------


def test_recorded_spikes_drive_as_rates_do(
    file: Path, column: Network, by_brian2: Path, tmp_path: Path
) -> None:
    """CSV and HDF5, of the Poisson spikes that `by_brian2` drew; later ones are left out."""
    movie = stimuli.drifting_grating(orientation_deg=90, duration_ms=1000 * SECONDS)
    drawn = v1.lgn(column).respond(movie).to_spikes(3, "lgn")
    write_spikes(drawn, tmp_path / "lgn.h5", "any_name")
    frame = pd.DataFrame({"time_ms": drawn.spike_times_ms, "source": drawn.spike_ids})
    frame.loc[len(frame)] = [1000 * SECONDS + 0.5, 7]
    frame.astype({"source": int}).to_csv(tmp_path / "lgn.csv", index=False)
    for name in ("lgn.h5", "lgn.csv"):
        done = run(
            file, "--device", "runtime", "--input-spikes", tmp_path / name,
            "--seconds", SECONDS, "--seed", "3", "--out", tmp_path / f"out_{name}",
        )  # fmt: skip
        assert done.exit_code == 0, done.output
        n = len(drawn.spike_ids)
        assert f"{name}: {n:,} spikes of input 'lgn'" in " ".join(done.stdout.split())
        assert ("1 spikes after 0.2 s are left out" in done.stdout) == (name == "lgn.csv")
        assert np.array_equal(spikes_in(tmp_path / f"out_{name}"), spikes_in(by_brian2))
    manifest = json.loads((tmp_path / "out_lgn.csv" / "manifest.json").read_text())
    assert f"--input-spikes {tmp_path / 'lgn.csv'}" in manifest["command"]


SOURCES = {"lgn": 4, "touch": 2}


def test_several_inputs(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text(
        "time_ms, source, input\n1.5, 3, lgn\n\n0.25, 1, touch\n2, 0, lgn\n"
    )
    found, late = read_input_spikes(tmp_path / "in.csv", SOURCES, 1.75)
    assert late == 1
    assert {name: r.spike_times_ms.tolist() for name, r in found.items()} == {
        "lgn": [1.5],
        "touch": [0.25],
    }
    assert [found[name].spike_ids.tolist() for name in SOURCES] == [[3], [1]]
    assert [(r.n, r.duration_ms) for r in found.values()] == [(4, 1.75), (2, 1.75)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"the first row names the columns, time_ms,source .*got nothing"),
        ("source,time_ms\n", r"the first row names the columns.*got source,time_ms"),
        ("time_ms,source\n1,0\n", "column 'input' must say which"),
        ("time_ms,source,input\n1,0,lgm\n", "row 2: unknown external input 'lgm'.*mean 'lgn'"),
        ("time_ms,source,input\n1,0,lgn\nx,0,lgn\n", "row 3: a time in ms.*'x,0,lgn'"),
        ("time_ms,source,input\n1,0.5,lgn\n", "row 2: a time in ms .*'1,0.5,lgn'"),
        ("time_ms,source,input\n1,0\n", "row 2: .* and an input; got '1,0'"),
        (f"time_ms,source,input\n1,{10**30},lgn\n", "row 2: a time in ms"),
        ("time_ms,source,input\n1,0,lgn\n1,4,lgn\n", "row 3: input 'lgn' has the sources 0 to 3"),
        ("time_ms,source,input\n1,-1,touch\n", "row 2: input 'touch' has the sources 0 to 1"),
        ("time_ms,source,input\n0,1,touch\n", "row 2: a time must be above 0 ms; got time 0"),
        ("time_ms,source,input\nnan,1,touch\n", "row 2: a time must be above 0 ms; got time nan"),
        ("\udcff", "is no CSV file"),
    ],
)
def test_bad_csv(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text(text, encoding="utf-8", errors="surrogateescape")
    with pytest.raises(DataError, match=said):
        read_input_spikes(tmp_path / "in.csv", SOURCES, 10.0)


def test_bad_hdf5(tmp_path: Path) -> None:
    path = tmp_path / "in.h5"
    path.write_bytes(b"no HDF5")
    with pytest.raises(DataError, match=r"in\.h5 cannot be read"):
        read_input_spikes(path, SOURCES, 10.0)
    with h5py.File(path, "w") as file:
        file["spikes/lgm/timestamps"], file["spikes/lgm/node_ids"] = [1.0, 2.0], [0, 9]
    with pytest.raises(DataError, match="of /spikes/lgm: unknown external input 'lgm'"):
        read_input_spikes(path, SOURCES, 10.0)
    with pytest.raises(DataError, match="row 1: input 'lgn' has the sources 0 to 3; got time 2 ms"):
        read_input_spikes(path, {"lgn": 4}, 10.0)
    with h5py.File(path, "a") as file:
        del file["spikes/lgm/node_ids"]
        file["spikes/lgm/node_ids"] = [0]
    with pytest.raises(DataError, match=r"node_ids has shape \(1,\), \(2,\) is needed"):
        read_input_spikes(path, {"lgn": 4}, 10.0)


@pytest.mark.parametrize(
    ("name", "sources", "said"),
    [
        ("in.csv", {}, "no external input that spikes could drive"),
        ("in.txt", SOURCES, r"are read from \.csv and \.h5 files"),
    ],
)
def test_nothing_to_read(name: str, sources: dict[str, int], said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("time_ms,source\n1,0\n")
    with pytest.raises(DataError, match=said):
        read_input_spikes(tmp_path / name, sources, 10.0)


# ---- on a GPU ----------------------------------------------------------------------------------


def test_no_gpu_is_said_before_compiling(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda_system, "need_tools", lambda: None)
    monkeypatch.setattr(cuda_system, "card", lambda: None)
    done = run(file, "--backend", "cuda", "--out", tmp_path / "out")
    assert "nvidia-smi shows no GPU: running needs an NVIDIA card" in complaint(done)
    assert not (tmp_path / "out").exists()


def test_cuda_runs_on_the_gpu(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def to_brian2_(network: Network, device: str, **options: object) -> object:
        asked.append((device, options))
        return to_brian2(network, "runtime", dt_ms=0.25)

    monkeypatch.setattr(cuda_system, "need_tools", lambda: None)
    monkeypatch.setattr(cuda_system, "need_card", lambda: None)
    monkeypatch.setattr("converters.to_brian2", to_brian2_)
    done = run(file, "--backend", "cuda", "--seconds", 0.01, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert asked == [("cuda_standalone", {"dt_ms": 0.25, "threads": 1})]
    assert "cuda: " in done.stdout
    assert "LGN: filters of Billeh et al. 2020\n" in done.stdout


def test_whose_filters_the_lgn_has(column: Network) -> None:
    second = column.replace(provenance={"data": "Allen Institute, biorealistic-v1-model (2026)"})
    assert _lgn_filters(column) == "filters of Billeh et al. 2020"
    assert "second generation has none of its own" in _lgn_filters(second)
