"""``striate train`` as a user runs it, and the files that it leaves."""

from __future__ import annotations

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

from circuits.cli import BAD_INPUT, app
from circuits.training import (
    Prepared,
    Setup,
    TrainingOptions,
    accuracies,
    load_trained,
    prepare,
    save_weights,
    shipped,
)
from circuits.training.run import steps_within
from circuits.training.setup import circuit, layer_of
from circuits.training.targets import background_variance_mV2, recorded_rates_Hz
from toolkit.errors import DataError, InputError
from toolkit.unfinished import UNFINISHED

QUICK = (
    *("--images", "digits", "--batch", "8", "--evaluate-every", "3", "--validation-items", "8"),
    *("--test-items", "64", "--schedule", "constant"),
)


def run(*arguments: str | Path) -> Result:
    words = ["train", *map(str, arguments), *QUICK]
    return CliRunner().invoke(app, words, env={"COLUMNS": "120"})


def complaint(result: Result) -> str:
    assert result.exit_code == BAD_INPUT, result.output
    assert "Traceback" not in result.stderr
    return " ".join(result.stderr.split())


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("train") / "run"
    result = run("--out", out, "--steps", "3")
    assert result.exit_code == 0, result.output
    assert "3 steps in" in result.stdout and "of 64 test items" in result.stdout
    return out


@pytest.fixture(scope="module")
def loaded(finished: Path) -> Prepared:
    return load_trained(finished / "weights.npz")


def test_what_a_run_leaves(finished: Path):
    assert sorted(file.name for file in finished.iterdir()) == [
        "checkpoint.pt", "learning_curves.csv", "learning_curves.png", "manifest.json",
        "results.csv", "weights.npz",
    ]  # fmt: skip
    assert [item.name for item in finished.parent.iterdir()] == ["run"]
    manifest = json.loads((finished / "manifest.json").read_text())
    assert manifest["command"] == f"striate train --out {finished} " + " ".join(
        ["--images digits --steps 3 --batch 8 --schedule constant --evaluate-every 3",
         "--validation-items 8 --test-items 64"]
    )  # fmt: skip
    assert manifest["seeds"]["seed"] == 1
    with open(finished / "results.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["task"] for row in rows] == ["image classification", "all"]
    for row in rows:
        assert float(row["low"]) <= float(row["accuracy"]) <= float(row["high"])
        assert (row["items"], row["steps"], row["scenario"]) == ("64", "3", "default")
    assert (finished / "weights.npz").stat().st_size < 150_000


def test_weights_give_the_same_accuracies(finished: Path, loaded: Prepared):
    with open(finished / "results.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    found = accuracies(loaded, batch_size=8, max_items=64)
    assert found["accuracy"].tolist() == [pytest.approx(float(r["accuracy"])) for r in rows]
    assert loaded.trained["test"]["all"] == pytest.approx(float(rows[-1]["accuracy"]))
    assert loaded.trained["options"]["max_steps"] == 3


def test_it_goes_on_after_its_end(finished: Path, tmp_path: Path):
    result = run("--out", finished, "--steps", "3")
    assert "--force to replace it" in complaint(result)
    whole = tmp_path / "whole"
    assert run("--out", whole, "--steps", "6").exit_code == 0
    assert run("--out", finished, "--steps", "6", "--resume").exit_code == 0
    with np.load(finished / "weights.npz") as a, np.load(whole / "weights.npz") as b:
        for name in ("recurrent", "from_inputs"):
            assert np.array_equal(a[name], b[name])
    assert not finished.with_name("run" + UNFINISHED).exists()


def test_a_stopped_one_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    out = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr("circuits.training.folders.accuracies", stop)
        assert run("--out", out, "--steps", "3").exit_code != 0
    assert [item.name for item in tmp_path.iterdir()] == ["run" + UNFINISHED]
    message = complaint(run("--out", out, "--steps", "3"))
    assert "holds a training that was stopped: --resume" in message
    result = run("--out", out, "--steps", "3", "--resume")
    assert result.exit_code == 0, result.output
    assert [item.name for item in tmp_path.iterdir()] == ["run"]


def test_several_seeds_and_planned_steps(tmp_path: Path):
    result = run(
        "--out", tmp_path / "both", "--seeds", "1-2", "--minutes", "0.01", "--schedule", "cosine"
    )
    # QUICK's schedule comes last and is what counts: constant, ended by the clock.
    assert result.exit_code == 0, result.output
    assert sorted(item.name for item in (tmp_path / "both").iterdir()) == ["seed_1", "seed_2"]
    assert result.stdout.count("ended by minutes") == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--scenario", "no dale"], "unknown scenario 'no dale'"),
        (["--tasks", "image"], "unknown task 'image'; accepted: orientation, images, change"),
        (["--output-layer", "L7"], "unknown output layer 'L7'"),
        (["--output-layer", "L1"], "output_layer L1 (excitatory cells): 10 pools of 1 neurons"),
        (["--size", "3K"], "unknown size '3K'"),
        (["--device", "tpu"], "--device takes auto, cpu or cuda"),
        (["--learning-rate", "0"], "learning_rate must be above 0"),
        (["--seeds", "3-1"], "--seeds takes whole numbers"),
    ],
)
def test_bad_input(tmp_path: Path, words: list[str], message: str):
    assert message in complaint(run("--out", tmp_path / "run", *words))


def test_steps_are_planned_by_the_clock(loaded: Prepared):
    before = loaded.model.recurrent.trained.detach().clone()
    options = TrainingOptions(max_steps=1, batch_size=8, validation_items=8, evaluate_every=100)
    n = steps_within(loaded, options, 1.0)
    assert 20 < n < 20_000
    assert torch.equal(loaded.model.recurrent.trained, before)


# ---- weight files ----------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["cut", "text", "format", "size", "digest", "field"])
def test_bad_weight_files(finished: Path, tmp_path: Path, damage: str):
    path = tmp_path / "weights.npz"
    content = (finished / "weights.npz").read_bytes()
    with np.load(finished / "weights.npz") as file:
        arrays = dict(file)
    about = json.loads(str(arrays["about"]))
    if damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "text":
        path.write_text("weights")
    else:
        if damage == "format":
            about["format"] = 9
        elif damage == "size":
            arrays["recurrent"] = arrays["recurrent"][:-1]
        elif damage == "digest":
            about["network"] = "0" * 64
        else:
            about["setup"]["colour"] = "red"
        np.savez_compressed(path, **{**arrays, "about": np.array(json.dumps(about))})
    messages = {
        "cut": "damaged", "text": "no file of trained weights", "format": "has format 9",
        "size": "do not fit the network", "digest": "another circuit",
        "field": "unknown field of a setup 'colour'",
    }  # fmt: skip
    with pytest.raises(DataError, match=messages[damage]):
        load_trained(path)


def test_changes_of_logarithms_keep_their_digits(tmp_path: Path):
    ready = prepare(Setup(size=300, lgn=False, tasks=("images",), images="digits"))
    weights, start = ready.model.recurrent.trained, ready.start["recurrent.trained"]
    change = torch.linspace(-1, 1, len(weights))
    with torch.no_grad():
        weights.copy_(start + change)
    save_weights(tmp_path / "w.npz", ready)
    again = load_trained(tmp_path / "w.npz").model.recurrent.trained
    assert torch.equal(again, weights)
    assert float((again.detach() - start - change).abs().max()) < 3e-4


def test_weights_that_are_not_logarithms(tmp_path: Path):
    ready = prepare(Setup(size=300, lgn=False, tasks=("images",), images="digits",
                          scenario="no_dale"))  # fmt: skip
    with torch.no_grad():
        ready.model.recurrent.trained.add_(0.01)
    exact = ready.model.recurrent.trained.detach().clone()
    save_weights(tmp_path / "w.npz", ready)
    again = load_trained(tmp_path / "w.npz")
    assert torch.equal(again.model.recurrent.trained, ready.model.recurrent.trained)
    torch.testing.assert_close(again.model.recurrent.trained, exact, rtol=1e-3, atol=1e-7)


# ---- setups ----------------------------------------------------------------------------------


def test_pools_of_any_layer(loaded: Prepared):
    layer = layer_of(loaded.network)
    for name in ("L2/3", "L4", "L6"):
        made = prepare(dataclasses.replace(loaded.setup, output_layer=name, lgn=False))
        pools = made.model.pools.numpy().ravel()
        assert set(layer[pools]) == {name}
        assert made.network.excitatory[pools].all()
    inhibitory = prepare(
        dataclasses.replace(loaded.setup, output_layer="L4", output_cells="all", pool_size=7)
    )
    assert inhibitory.model.pools.shape == (10, 7)
    assert not inhibitory.network.excitatory[inhibitory.model.pools.numpy().ravel()].all()


def test_small_columns_get_the_drive_of_the_3k_one(loaded: Prepared):
    large = prepare(Setup(size=3000, tasks=("orientation",))).network
    drive = [net.inputs["lgn"].synapses.weight.sum() / net.n for net in (loaded.network, large)]
    assert drive[0] == pytest.approx(drive[1], rel=0.2)


def test_a_bad_setup():
    with pytest.raises(InputError, match="each once"):
        Setup(tasks=("images", "images"))
    with pytest.raises(InputError, match="pool_size must be 1 or more"):
        Setup(pool_size=0)


def test_targets(loaded: Prepared):
    rates = recorded_rates_Hz()
    assert set(rates) == set(loaded.network.classes)
    median, spread = rates["e23"]
    assert (median, spread) == pytest.approx(
        (0.67167, np.log(1.52416 / 0.25625) / 1.34898), rel=1e-4
    )
    median, spread = rates["i4Htr3a"]  # of 3 units: the quartiles of its type
    assert (median, spread) == pytest.approx(
        (6.76042, np.log(12.00833 / 2.16042) / 1.34898), rel=1e-4
    )
    variance = background_variance_mV2(loaded.network)
    assert variance.shape == (300,) and (variance > 0).all()


def test_for_spikes_it_goes_on_from_trained_weights(finished: Path):
    out = finished.parent.parent / "for_spikes"
    result = run(
        "--out", out, "--steps", "2", "--start", finished, "--for-spikes", "--noise", "0.1"
    )
    assert result.exit_code == 0, result.output
    manifest = json.loads((out / "manifest.json").read_text())
    for words in (f"--start {finished}", "--cells-per-channel 21", "--max-psp 4.0", "--noise 0.1"):
        assert words in manifest["command"]
    assert "for-spikes" not in manifest["command"]
    ready = load_trained(out / "weights.npz")
    assert (ready.setup.cells_per_channel, ready.setup.max_psp_mV) == (21, 4.0)
    options = ready.trained["options"]
    assert options["limit_steps"] == 500
    assert (options["noise_steps"], options["counting_steps"]) == (50, 400)
    assert options["penalties"]["noise"] == 0.1 and options["penalties"]["input_noise"]
    assert ready.model.cells_per_channel == 21
    assert (ready.setup.output_layer, ready.setup.pool_size) == ("all", 150)
    members = ready.model.pools.numpy()
    excitatory = int(ready.network.excitatory.sum())
    assert members.shape == (10, excitatory // 10)  # 150 are more than there are
    assert len(set(ready.layer[members.ravel()].tolist())) > 1


def test_weights_of_another_circuit_are_no_start(finished: Path, tmp_path: Path):
    result = run("--out", tmp_path / "run", "--steps", "2", "--seed", "2", "--start", finished)
    assert "weights of another circuit" in complaint(result)
    assert "does not exist" in complaint(
        run("--out", tmp_path / "run", "--steps", "2", "--start", tmp_path / "nothing.npz")
    )


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_shipped_weights_are_small_and_of_todays_circuit(seed: int):
    path = shipped(seed)
    assert path.stat().st_size < 1_000_000
    with np.load(path) as file:
        about = json.loads(str(file["about"]))
        assert all(np.isfinite(file[name]).all() for name in ("recurrent", "from_inputs"))
        assert file["recurrent"].dtype == np.float16
    setup = Setup.of(about["setup"])
    assert (setup.size, setup.seed, setup.scenario, setup.lgn) == ("3k", seed, "default", True)
    assert circuit(setup).digest() == about["network"]
    assert about["trained"]["test"]["fine orientation"] > 0.99
    with pytest.raises(InputError, match="seeds 1, 2, 3 come with Striate, not of 4"):
        shipped(4)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_shipped_weights_for_spikes(seed: int):
    path = shipped(seed, for_spikes=True)
    assert path.stat().st_size < 1_000_000
    with np.load(path) as file:
        about = json.loads(str(file["about"]))
        assert all(np.isfinite(file[name]).all() for name in ("recurrent", "from_inputs"))
    setup = Setup.of(about["setup"])
    assert (setup.size, setup.seed, setup.output_layer) == ("3k", seed, "all")
    assert (setup.pool_size, setup.cells_per_channel) == (150, 21)
    assert circuit(setup).digest() == about["network"]
    assert about["trained"]["test"]["fine orientation"] > 0.95
    with pytest.raises(InputError, match="for spikes of seeds 1, 2, 3 come with Striate, not of 4"):
        shipped(4, for_spikes=True)
