"""Log-normality, mean weights of class pairs and rates of a small network, by hand or by scipy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from circuits.analysis import Options, learning_curves
from circuits.analysis.learning_curves import convergence_table, read_run, time_to_share
from circuits.analysis.rates import class_table, mean_rates_Hz
from circuits.analysis.trials import start_weights
from circuits.analysis.weights import Entries, analyse, mean_table, pair_matrix, shape_table
from circuits.training import Prepared, Setup, prepare
from toolkit.errors import DataError, InputError
from toolkit.metrics.normality import lognormality, normality


@pytest.fixture(scope="module")
def small() -> Prepared:
    """300 neurons whose weights were doubled, but for those from the LGN."""
    ready = prepare(Setup(size=300, tasks=("images",), images="digits"))
    with torch.no_grad():
        ready.model.recurrent.trained += np.log(2.0)
    return ready


def test_normal_values_pass_and_others_do_not() -> None:
    rng = np.random.default_rng(1)
    normal, uniform = rng.normal(3, 2, 2000), rng.uniform(size=2000)
    found = normality(normal)
    assert found.p > 0.05 and found.ks_distance < 0.03
    assert (found.mean, found.sd) == pytest.approx((normal.mean(), normal.std(ddof=1)))
    flat = normality(uniform)
    assert flat.p == pytest.approx(1 / 5001)
    assert flat.excess_kurtosis == pytest.approx(-1.2, abs=0.1)
    assert normality(np.exp(normal)).skewness > 2
    assert lognormality(np.exp(normal)).ks_distance == pytest.approx(found.ks_distance)


def test_p_is_uniform_for_normal_values_of_any_number() -> None:
    rng = np.random.default_rng(2)
    for n in (8, 40, 1000):
        p = np.array([normality(rng.normal(size=n)).p for _ in range(400)])
        assert (p < 0.05).mean() == pytest.approx(0.05, abs=0.035)
        assert (p < 0.5).mean() == pytest.approx(0.5, abs=0.1)


def test_the_distance_is_that_of_scipy() -> None:
    from scipy import stats

    values = np.random.default_rng(3).exponential(size=50)
    expected = stats.kstest(values, stats.norm(values.mean(), values.std(ddof=1)).cdf).statistic
    assert normality(values).ks_distance == pytest.approx(expected)


@pytest.mark.parametrize("values", [[1.0, 2.0, 3.0], [2.0] * 10])
def test_few_or_equal_values_have_no_shape(values: list[float]) -> None:
    found = normality(values)
    assert np.isnan([found.ks_distance, found.p, found.skewness]).all()
    assert found.n == len(values)


def test_logarithms_need_values_above_0() -> None:
    with pytest.raises(InputError, match="above 0"):
        lognormality([1.0, 0.0])


def test_weights_before_are_those_of_the_circuit(small: Prepared) -> None:
    entries, network = Entries(small), small.network
    before = entries.weight["before"]
    np.testing.assert_allclose(before, start_weights(small).numpy())
    # Peak currents, class pair by class pair, are those of the network's own synapses.
    weight_pA = before / entries.charge_pC
    cell_class = network.neurons["cell_class"]
    synapses = network.synapses
    for pre, post in (("e4", "e23"), ("i5Pvalb", "e5")):
        own = (cell_class[synapses.pre] == pre) & (cell_class[synapses.post] == post)
        place = [entries.classes.index(name) for name in (pre, post)]
        mask = entries.of(*place)
        assert mask.sum() == own.sum() > 0
        np.testing.assert_allclose(
            weight_pA[mask].sum(), synapses.weight[own].sum(), rtol=1e-4, atol=1e-5
        )


def test_means_and_shapes_after_doubling(small: Prepared) -> None:
    entries = Entries(small)
    means, shapes = mean_table(entries), shape_table(entries)
    recurrent = means["pre"] != "lgn"
    for unit in ("pA_per_Hz", "pA"):
        before, after = means[f"before_{unit}"], means[f"after_{unit}"]
        np.testing.assert_allclose(after[recurrent], 2 * before[recurrent], rtol=1e-5)
        np.testing.assert_allclose(after[~recurrent], before[~recurrent], rtol=1e-5)
        np.testing.assert_allclose(means[f"difference_{unit}"], after - before)
    assert means["synapses"].sum() == len(small.model.connections)
    inhibitory = np.char.startswith(means["pre"].astype(str), "i")
    assert (means["after_pA_per_Hz"][inhibitory] <= 0).all()
    row = {"pre": "all", "post": "all", "sign": "excitatory"}
    first, second = (shapes.where(stage=stage, **row) for stage in ("before", "after"))
    for column in ("sd_log", "ks_distance", "skewness_log"):
        np.testing.assert_allclose(first[column], second[column], rtol=1e-3)
    ratio = second["geometric_mean_pA_per_Hz"] / first["geometric_mean_pA_per_Hz"]
    assert ratio[0] == pytest.approx(2, rel=1e-4)
    matrix = pair_matrix(means, "after_pA", small.network.classes)
    k = means.where(pre="e4", post="e23")["after_pA"][0]
    at = small.network.classes.index
    assert matrix[at("e23"), at("e4")] == k
    assert matrix.shape == (17, 17) and np.isnan(matrix).any()


def test_absent_synapses_are_left_out_of_shapes_alone(small: Prepared) -> None:
    entries = Entries(small)
    assert 0 < entries.absent.mean() < 0.6
    shapes = shape_table(entries).where(stage="after", pre="all", post="all")
    assert shapes["synapses"].sum() + shapes["left_out"][0] == (entries.pre < 17).sum()
    smallest = np.abs(entries.weight["before"][entries.absent]).max()
    assert smallest < 1e-3 * np.median(np.abs(entries.weight["before"]))


def test_findings_speak_of_both_stages(small: Prepared) -> None:
    result = analyse(small, Options(items=10))
    assert set(result.tables) == {"lognormality", "class_pair_means"}
    assert any("before" in each and "after" in each for each in result.findings)


def test_rates_are_means_over_the_trials_of_test_items(small: Prepared) -> None:
    found = mean_rates_Hz(small, 40)
    batch = next(small.data.epoch("test", batch_size=40))
    end = int(torch.nonzero(batch.response[0]).max()) + 1
    with torch.no_grad():
        rates = small.model(batch.inputs[:, :end])
    np.testing.assert_allclose(found[0], rates.double().mean((0, 1)).numpy(), rtol=1e-4, atol=1e-5)
    table = class_table(small.network, {"after": found[0]})
    own = small.network.neurons["cell_class"] == "e4"
    row = table.where(cell_class="e4")
    assert row["after_median_Hz"][0] == pytest.approx(np.median(found[0][own]))
    assert row["recorded_median_Hz"][0] > 0


SETUP = {"size": "3k", "lgn": False, "scenario": "default", "output_layer": "L5", "seed": 1}


def curves(folder, accuracies: list[float]):
    folder.mkdir()
    lines = ["step,epoch,seconds,split,task,items,accuracy,loss"]
    for k, accuracy in enumerate(accuracies):
        row = f"{100 * k},{k / 10},{60 * k},validation,{{}},50,{accuracy},1.0"
        lines += [row.format(task) for task in ("images", "all")]
    (folder / "learning_curves.csv").write_text("\n".join(lines) + "\n")
    return folder


def test_time_to_90_percent_of_the_gain(tmp_path) -> None:
    runs = [
        read_run(curves(tmp_path / "quick", [0.1, 0.6, 0.6])),
        read_run(curves(tmp_path / "slow", [0.1, 0.2, 0.6])),
    ]
    table = convergence_table(runs).where(task="all")
    assert table["step_to_90"].tolist() == pytest.approx([90, 187.5])
    assert table["seconds_to_90"].tolist() == pytest.approx([54, 112.5])
    assert table["label"].tolist() == ["quick", "slow"]
    assert np.isnan(time_to_share(np.array([0.0, 1.0]), np.array([0.5, 0.4])))


@pytest.mark.parametrize("second", [[0.5, 0.4], [0.1, 0.6]])
def test_runs_that_never_rise_are_said_and_left_out_of_means(tmp_path, second, monkeypatch) -> None:
    """Of two sizes: no run rises, or that of the second size alone."""
    runs = [curves(tmp_path / "flat", [0.5, 0.4]), curves(tmp_path / "other", second)]
    monkeypatch.setattr(learning_curves, "_setup_in", lambda folder: {**SETUP, "size": folder.name})
    found = learning_curves.analyse(None, Options(runs=tuple(runs))).findings
    assert found[0] == (
        "flat, no LGN, seed 1: best validation accuracy 50.0 %; no later look was better than the "
        "first."
    )
    means = [text for text in found if text.startswith("Mean time")]
    rose = ["Mean time to 90 % of the gain: 90 steps (size other, 1 runs)."]
    assert means == (rose if second[1] > second[0] else [])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: None, "has no learning_curves.csv"),
        (lambda text: text.replace("accuracy", "x", 1), "lacks the columns accuracy"),
        (lambda text: text.replace("0.6", "high"), "'accuracy'"),
        (lambda text: "", "cannot be read"),
    ],
)
def test_damaged_curves_are_refused(tmp_path, change, message: str) -> None:
    file = curves(tmp_path / "run", [0.1, 0.6]) / "learning_curves.csv"
    text = change(file.read_text())
    file.unlink() if text is None else file.write_text(text)
    with pytest.raises(DataError, match=message):
        read_run(file.parent)
