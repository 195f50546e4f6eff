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
from circuits.cli.simulate import DEFAULTS
from converters import to_brian2, to_sonata
from toolkit import Network, Receptor, stimuli

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
        (["--backend", "nets"], "unknown backend 'nets'; accepted: brian2, nest. Did you mean"),
        (["--stimulus", "gray"], "unknown stimulus 'gray'; accepted: grey, grating"),
        (["--seconds", "0"], "--seconds must be above 0, got 0"),
        (["--seconds", "nan"], "--seconds must be above 0, got nan"),
        (["--stimulus", "poisson", "--rate-hz", "-1"], "--rate-hz must be 0 or more"),
        (["--threads", "2"], "--threads is of --backend nest"),
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
