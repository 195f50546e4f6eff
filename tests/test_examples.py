"""The examples run as a user would run them, on small columns."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(name: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / name), *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_build_v1_column(tmp_path: Path) -> None:
    out = tmp_path / "column.h5"
    printed = run("build_v1_column.py", "--size", "500", "--out", str(out))
    assert "read back identical" in printed
    assert out.stat().st_size > 100_000


def test_spiking_vs_rate(tmp_path: Path) -> None:
    out = tmp_path / "picture.png"
    printed = run(
        "spiking_vs_rate.py", "--size", "300", "--seconds", "1.5", "--device", "runtime",
        "--out", str(out),
    )  # fmt: skip
    assert "mean rates" in printed
    assert out.read_bytes().startswith(b"\x89PNG")


def test_scenarios(tmp_path: Path) -> None:
    out = tmp_path / "graph.png"
    printed = run("scenarios.py", "--size", "500", "--out", str(out))
    assert "e4 connects to e23 with probability" in printed
    assert out.read_bytes().startswith(b"\x89PNG")


def test_whole_v1(tmp_path: Path) -> None:
    printed = run("whole_v1.py", "--size", "3k", "--out", str(tmp_path / "piece"))
    assert "3,000 neurons" in printed
    assert (tmp_path / "piece" / "circuit_config.json").is_file()


def test_brian2_and_nest() -> None:
    pytest.importorskip("nest", reason="NEST is not installed: pip install '.[nest]'")
    printed = run(
        "brian2_and_nest.py", "--size", "300", "--seconds", "0.2", "--device", "runtime"
    )  # fmt: skip
    assert "the identical spikes" in printed


def test_datasets(tmp_path: Path) -> None:
    printed = run("datasets.py", "--folder", str(tmp_path))
    assert "striate data fetch mnist" in printed  # an empty folder: says how to fill it


def test_sonata_round_trip(tmp_path: Path) -> None:
    printed = run("sonata_round_trip.py", "--size", "300", "--out", str(tmp_path / "net"))
    assert "read back identical" in printed
    assert (tmp_path / "net" / "inputs" / "lgn_spikes.h5").is_file()


@pytest.mark.slow
def test_spiking_vs_rate_agrees_at_3k(tmp_path: Path) -> None:
    printed = run("spiking_vs_rate.py", "--seconds", "30", "--out", str(tmp_path / "picture.png"))
    first = next(line for line in printed.splitlines() if line.split()[:1] == ["all"])
    r_squared = float(first.split()[4])
    assert r_squared > 0.95, printed


def test_nestml_neuron(tmp_path: Path) -> None:
    out = tmp_path / "weights.png"
    printed = run("nestml_neuron.py", "--seconds", "1", "--out", str(out))
    assert "of the weights are near an end" in printed
    assert out.read_bytes().startswith(b"\x89PNG")


def test_train_rate_v1(tmp_path: Path) -> None:
    printed = run("train_rate_v1.py", "--epochs", "0.5", "--out", str(tmp_path / "trained"))
    assert "% of 270 test items" in printed
    assert (tmp_path / "trained" / "weights.npz").is_file()
    assert (tmp_path / "trained" / "learning_curves.png").read_bytes().startswith(b"\x89PNG")


def test_rates_to_spikes(tmp_path: Path) -> None:
    printed = run(
        "rates_to_spikes.py", "--epochs", "1", "--items", "4", "--out", str(tmp_path)
    )  # fmt: skip
    assert "as spikes: " in printed and "as spikes without recurrence: " in printed
    assert (tmp_path / "converted.h5").is_file()


def test_retina_models(tmp_path: Path) -> None:
    out = tmp_path / "rasters.png"
    printed = run("retina_models.py", "--models", "ln", "--steps", "5", "--out", str(out))
    assert "a perfect model's CC would be 0.9" in printed and "ln: " in printed
    assert out.read_bytes().startswith(b"\x89PNG")
