"""`striate retina` as a user runs it: the files it leaves, resumption, what it complains about."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import small_retina
import torch
from retina_experiments import put_prepared
from typer.testing import CliRunner, Result

from circuits.cli import BAD_INPUT, app
from circuits.retina import by_cell, evaluation, figures, load_model, outcome, setup
from toolkit.errors import DataError
from toolkit.retina.fitting import Options, training
from toolkit.unfinished import UNFINISHED, unfinished_folder

QUICK = ("--bin-ms", "30", "--steps", "4", "--look-every", "2", "--threads", "1")


@pytest.fixture(autouse=True, scope="module")
def small() -> None:
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(setup, "_synthetic", small_retina.retina)
        patch.setattr(evaluation, "REFERENCE_OPTIONS", Options(steps=6, look_every=2))
        yield
    torch.set_num_threads(threads)


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["retina", *map(str, arguments)], env={"COLUMNS": "120"})


def train(out: Path, *arguments: str | Path) -> Result:
    return run("train", "--out", out, *QUICK, *arguments)


def fine(result: Result) -> str:
    assert result.exit_code == 0, result.output
    return " ".join(result.stdout.split())


def complaint(result: Result) -> str:
    assert result.exit_code == BAD_INPUT, result.output
    assert "Traceback" not in result.stderr
    return " ".join(result.stderr.split())


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """TeCoS-LVM in both forms, two seeds, two folds."""
    folder = tmp_path_factory.mktemp("retina")
    both = ("--fold", "0,1", "--seeds", "1-2")
    said = fine(train(folder / "spiking", *both))
    assert "Without spikes and left out: cells 2" in said
    assert "3 cells, 4 trials" in said
    fine(train(folder / "plain", "--no-spiking", *both))
    return folder


@pytest.fixture(scope="module")
def one(runs: Path) -> Path:
    return runs / "spiking" / "fold_0" / "seed_1"


def test_what_a_training_leaves(one: Path) -> None:
    names = ["learning_curve.csv", "manifest.json", "results.csv", "weights.npz"]
    assert sorted(file.name for file in one.iterdir()) == names
    assert sorted(file.name for file in one.parent.iterdir()) == ["seed_1", "seed_2"]
    manifest = json.loads((one / "manifest.json").read_text())
    assert manifest["command"] == (
        f"striate retina train --out {one} --bin-ms 30.0 --steps 4 --look-every 2 --threads 1"
    )
    results = pd.read_csv(one / "results.csv")
    assert results["cell"].tolist() == [0, 1, 3]
    trained = load_model(one / "weights.npz")
    found = by_cell(outcome(trained.prepared, trained.model))
    np.testing.assert_allclose(found["cc"], results["cc"], rtol=1e-4)


def test_tables_and_figures_of_an_evaluation(runs: Path, tmp_path: Path) -> None:
    out = tmp_path / "compared"
    said = fine(run("evaluate", runs, "--out", out, "--samples", "5", "--lengths"))
    assert "LN, the reference, is fitted to 2 folds" in said
    assert "synthetic, tecos, spiking: CC" in said
    names = {file.name for file in out.iterdir()}
    assert names == {
        *(
            f"{table}.csv"
            for table in ("models", "seeds", "folds", "cells", "against_ln", "ablation", "lengths")
        ),
        *("models.png", "lengths.png", "ceiling_synthetic.png"),
        *("rasters_synthetic.png", "psths_synthetic.png", "autocorrelograms_synthetic.png"),
        "manifest.json",
    }
    for name in names:
        if name.endswith(".png"):
            assert (out / name).read_bytes()[:4] == b"\x89PNG"
    models, seeds, cells, folds = (
        pd.read_csv(out / f"{name}.csv").fillna({"hidden": ""})
        for name in ("models", "seeds", "cells", "folds")
    )
    assert models[["model", "hidden", "seeds"]].to_numpy().tolist() == [
        ["tecos", "not spiking", 2],
        ["tecos", "spiking", 2],
        ["ln", "", 1],
    ]
    for _, row in models.iterrows():
        own = seeds[(seeds["model"] == row["model"]) & (seeds["hidden"] == row["hidden"])]
        assert row["cc"] == pytest.approx(own["cc"].mean(), rel=1e-3)
        assert row["cc_low"] <= row["cc"] <= row["cc_high"] or row["seeds"] == 1
    assert (seeds["folds"] == "0, 1").all()
    ln = seeds[seeds["model"] == "ln"]["cc"].iloc[0]
    assert seeds["ln_cc"].tolist() == pytest.approx([ln] * len(seeds), rel=1e-3)
    by_length = pd.read_csv(out / "lengths.csv")
    assert by_length["length_s"].unique().tolist() == [1, 2, 5, 9]
    assert by_length.groupby("length_s").size().tolist() == [8] * 4
    assert len(folds) == 2 * len(seeds) and len(cells) == 3 * len(seeds)
    ablation = pd.read_csv(out / "ablation.csv").set_index("measure")
    hidden = models[models["model"] == "tecos"].set_index("hidden")["cc"]
    assert ablation.loc["cc", "spiking"] == pytest.approx(hidden["spiking"], rel=1e-3)
    assert ablation.loc["cc", "not_spiking"] == pytest.approx(hidden["not spiking"], rel=1e-3)
    larger = "spiking" if hidden["spiking"] > hidden["not spiking"] else "not spiking"
    assert ablation.loc["cc", "better"] == larger
    cc = seeds[seeds["model"] == "tecos"].set_index(["hidden", "seed"])["cc"]
    more = (cc["spiking"] - cc["not spiking"]).mean()
    assert ablation.loc["cc", "more"] == pytest.approx(more, abs=2e-4)
    assert figures.overview(models, seeds)[:4] == b"\x89PNG"


def test_an_ln_among_the_runs_is_the_reference(runs: Path, tmp_path: Path) -> None:
    fine(train(tmp_path / "several", "--model", "ln,glm"))
    assert sorted(folder.name for folder in (tmp_path / "several").iterdir()) == ["glm", "ln"]
    ln = tmp_path / "several" / "ln"
    one = runs / "spiking" / "fold_0" / "seed_1"
    said = fine(run("evaluate", one, ln, "--out", tmp_path / "e", "--samples", "3"))
    assert "is fitted" not in said
    assert fine(run("evaluate", one, "--no-reference", "--out", tmp_path / "f")).count("LN nan")


def test_predicted_spikes(one: Path, tmp_path: Path) -> None:
    out = tmp_path / "spikes.npz"
    assert "3 cells in 5 trials of 1 x 9 s" in fine(
        run("predict", one, "--out", out, "--samples", "5")
    )
    with np.load(out) as file:
        found = {name: file[name] for name in file.files}
    assert found["rates_Hz"].shape == (1, 300, 3)
    assert found["cells"].tolist() == [0, 1, 3]
    assert 0 < found["spike_times_ms"].min() and found["spike_times_ms"].max() <= 9000
    # The rate of TeCoS-LVM is the share of the trials in which a cell fires.
    counts = np.zeros((300, 3))
    step = np.rint(found["spike_times_ms"] / 30).astype(int) - 1
    np.add.at(counts, (step, found["spike_ids"]), 1)
    np.testing.assert_allclose(counts / 5 / 0.03, found["rates_Hz"][0], rtol=1e-5)
    again = tmp_path / "again.npz"
    fine(run("predict", one, "--out", again, "--samples", "5"))
    assert again.read_bytes() == out.read_bytes()
    assert "exists" in complaint(run("predict", one, "--out", out))


def test_finished_runs_stay_and_others_are_told_apart(one: Path) -> None:
    before = (one / "weights.npz").stat().st_mtime_ns
    assert "finished before" in fine(train(one, "--resume"))
    assert (one / "weights.npz").stat().st_mtime_ns == before
    said = complaint(train(one, "--resume", "--learning-rate", "0.5"))
    assert "learning_rate is None there and 0.5 here" in said
    assert "model is 'tecos' there and 'ln' here" in complaint(
        train(one, "--resume", "--model", "ln")
    )
    assert "--force to replace it" in complaint(train(one))


def test_minutes_are_planned_once(tmp_path: Path) -> None:
    minutes = ("--bin-ms", "30", "--model", "ln", "--minutes", "0.003", "--threads", "1")
    said = fine(run("train", "--out", tmp_path / "a", *minutes))
    assert "0.003 minutes, planned as" in said
    assert "finished before" in fine(run("train", "--out", tmp_path / "a", *minutes, "--resume"))


def test_numbers_that_are_not_finite_end_a_training(tmp_path: Path) -> None:
    broken = ("--model", "ln", "--learning-rate", "1e30")
    said = complaint(train(tmp_path / "a", *broken))
    assert "step 1: the loss is nan" in said and "as it was before" not in said
    assert "Try a learning rate below 1e+30" in said
    assert not (tmp_path / "a").exists()


def killed(out: Path) -> None:
    """A training in a process of its own, killed after its first checkpoint."""
    script = Path(small_retina.__file__)
    path = os.pathsep.join(map(str, (script.parent, script.parent.parent)))
    process = subprocess.Popen(
        [sys.executable, str(script), str(out)], env={**os.environ, "PYTHONPATH": path}
    )
    file = out.with_name(out.name + UNFINISHED) / "checkpoint.pt"
    before = file.stat().st_mtime_ns if file.exists() else None
    while process.poll() is None:
        if file.exists() and file.stat().st_mtime_ns != before:
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.005)
    assert process.wait() == -signal.SIGKILL
    assert not out.exists()


@pytest.mark.parametrize("times", [1, pytest.param(6, marks=pytest.mark.slow)])
def test_a_killed_training_ends_with_the_same_weights(
    times: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.set_num_threads(1)
    for _ in range(times):
        killed(tmp_path / "killed")
    options = ("--model", "tecos-noisy", "--bin-ms", "30", "--steps", "24", "--look-every", "4")
    again = ("train", "--out", tmp_path / "killed", *options, "--threads", "1")
    assert "--resume goes on with it" in complaint(run(*again))
    assert "--steps" not in complaint(run(*again, "--resume", "--patience", "3"))
    step, calls = training._Training.step, []
    monkeypatch.setattr(training._Training, "step", lambda self: calls.append(1) or step(self))
    fine(run(*again, "--resume"))
    assert 0 < len(calls) < 24  # it went on, and did not begin anew
    small_retina.train_to(tmp_path / "whole")
    left, right = (small_retina.weights_in(tmp_path / name) for name in ("killed", "whole"))
    assert left.keys() == right.keys()
    for name, value in right.items():
        assert np.array_equal(left[name], value), name
    assert sorted(item.name for item in tmp_path.iterdir()) == ["killed", "whole"]


def test_results_of_a_run_that_was_killed_while_it_wrote_them_are_made_again(tmp_path: Path):
    with pytest.raises(KeyboardInterrupt), unfinished_folder(tmp_path / "run") as folder:
        (folder / "checkpoint.pt").write_text("the last step")
        raise KeyboardInterrupt
    part = tmp_path / ".run.8j76dbhy.part"
    part.mkdir()
    (part / "weights.npz").write_text("half of them")
    (tmp_path / ".run-2.8j76dbhy.part").mkdir()  # of another run
    with unfinished_folder(tmp_path / "run", resume=True) as folder:
        assert (folder / "checkpoint.pt").read_text() == "the last step"
    assert [item.name for item in tmp_path.iterdir()] == [".run-2.8j76dbhy.part"]


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with unfinished_folder(tmp_path / "run"):
        said = complaint(train(tmp_path / "run", "--resume"))
    assert "another training is writing to" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--data", "movie1_retina3"], "unknown data 'movie1_retina3'; accepted: synthetic, "),
        (["--model", "tekos"], "Did you mean 'tecos'?"),
        (["--fold", "5"], "fold 5 of 5: folds are counted from 0 to 4"),
        (["--fold", "first"], "--fold takes whole numbers"),
        (["--folds", "1"], "can be 2 to"),
        (["--model", "ln", "--no-spiking"], "--no-spiking and --loss are for tecos, "),
        (["--loss", "mmd"], "unknown loss 'mmd'; accepted: distribution, "),
        (["--loss", "bernoulli"], "needs probabilities"),
        (["--bin-ms", "7"], "steps of 7.0 ms cannot be; synthetic can have 10, 20, 30"),
        (["--bin-ms", "400"], "steps of 400.0 ms cannot be"),
        (["--minutes", "1"], "take the place of --steps"),
        (["--steps", "0"], "steps must be 1 or more"),
        (["--learning-rate", "-1"], "learning_rate and clip must be above 0"),
        (["--seeds", "x"], "--seeds takes whole numbers"),
        (["--data", "movie1_retina1"], "movie1_retina1"),
    ],
)
def test_what_cannot_be_trained(
    words: list[str], expected: str, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setenv("STRIATE_DATA", str(tmp_path / "nothing"))
    assert expected in complaint(train(tmp_path / "run", *words))
    assert list(tmp_path.iterdir()) == []


def test_folders_that_are_no_runs(one: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert "nowhere is no folder" in complaint(run("evaluate", tmp_path / "nowhere", "--out", out))
    assert "holds no run" in complaint(run("evaluate", tmp_path, "--out", out))
    assert "holds no run" in complaint(run("predict", tmp_path, "--out", out))
    said = complaint(run("predict", one, "--data", "movies", "--out", out))
    assert "unknown data 'movies'" in said
    assert not out.exists()


def test_a_recording_of_other_cells(one: Path, tmp_path: Path, monkeypatch) -> None:
    put_prepared(tmp_path)
    monkeypatch.setenv("STRIATE_DATA", str(tmp_path))
    said = complaint(run("predict", one, "--data", "movie1_retina1", "--out", tmp_path / "p.npz"))
    assert "movie1_retina1 is of other cells than synthetic" in said


def changed(file: Path, **arrays: np.ndarray) -> dict[str, np.ndarray]:
    with np.load(file) as kept:
        return {**{name: kept[name] for name in kept.files}, **arrays}


DAMAGES = {
    "cut": "no file of a trained retina model",
    "pickle": "no file of a trained retina model",
    "nan": "bias do not fit",
    "shape": "bias do not fit",
    "missing": "bias do not fit",
    "cells": "the data are others",
    "format": "format 99",
}


@pytest.mark.parametrize("how", DAMAGES)
def test_weights_that_are_damaged(how: str, one: Path, tmp_path: Path) -> None:
    file, path = one / "weights.npz", tmp_path / "weights.npz"
    if how == "cut":
        path.write_bytes(file.read_bytes()[:300])
    else:
        arrays = changed(file)
        about = json.loads(str(arrays["about"]))
        if how == "nan":
            arrays["bias"] = arrays["bias"] * np.float32("nan")
        elif how == "shape":
            arrays["bias"] = arrays["bias"][:1]
        elif how == "missing":
            del arrays["bias"]
        elif how == "pickle":
            arrays["bias"] = np.array([{}], dtype=object)
        elif how == "cells":
            about["cells"] = [0, 1]
        else:
            about["format"] = 99
        np.savez(path, **{**arrays, "about": np.array(json.dumps(about))})
    with pytest.raises(DataError, match=DAMAGES[how]):
        load_model(path)


@pytest.mark.parametrize("name", ["train", "evaluate", "predict"])
def test_every_command_has_an_example(name: str) -> None:
    assert f"Example: striate retina {name} " in fine(run(name, "--help"))
