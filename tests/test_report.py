"""The report of a comparison: files whole, numbers those of the measures, page self-contained."""

from __future__ import annotations

import base64
import dataclasses
import html
import io
import json
import re
import sys
import warnings
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.image as mpimg
import numpy as np
import pandas as pd
import pytest

from circuits import v1
from circuits.compare import measures
from circuits.compare.figures import circuit
from circuits.compare.findings import DASH, MINUS, by_group, findings, hertz, number, spoken
from circuits.compare.overview import example_neurons, raster_rows
from circuits.compare.protocol import Protocol
from circuits.compare.report import write_report
from circuits.compare.responses import (
    active_neurons,
    modulated_direction,
    orientation_difference,
    population_psths,
)
from circuits.compare.study import RATE_FORM, Study, class_mean
from toolkit import metrics, plots
from toolkit.errors import InputError
from toolkit.network import Network
from toolkit.recording import Recording


def synthetic_study(
    network: Network, *, trials: int = 6, seed: int = 1, noise: float = 0.15
) -> Study:
    """A study with made-up rates: tuned, log-normal within a class, spikes by Poisson."""
    rng = np.random.default_rng(seed)
    protocol = Protocol(trials=trials)
    neurons, n = network.neurons, network.n
    typical = np.where(neurons["sign"] > 0, 2.0, 8.0)
    rest = typical * rng.lognormal(0, 0.8, n)
    away = np.radians(protocol.directions_deg[:, None] - neurons["tuning_deg"])
    sharp = rng.uniform(0.1, 0.9, n)
    true = 1.8 * rest * (1 + sharp * np.cos(2 * away) + 0.1 * np.cos(away)).clip(0.02)

    def alike(rates: np.ndarray, by: float) -> np.ndarray:
        return rates * rng.lognormal(0, by, n)

    def shuffled(rates: np.ndarray) -> np.ndarray:
        mixed = rates.copy()
        for name in network.classes:
            own = np.flatnonzero(neurons["cell_class"] == name)
            mixed[..., own] = rates[..., rng.permutation(own)]
        return mixed

    bins = round(protocol.sweep_ms / protocol.bin_ms)
    time_s = (np.arange(bins) * protocol.bin_ms - protocol.before_ms) / 1000
    course = np.where(time_s < 0, 0.55, 1 + 0.5 * np.sin(2 * np.pi * 2 * time_s))
    mean = class_mean(true, network)[:, :, None] * course
    size = class_mean(np.eye(n), network).max(axis=1)  # one over the neurons of the class
    per_spike = size[:, None, None] * (1000 / protocol.bin_ms) / trials
    psth_halves = rng.poisson(mean / (2 * per_spike), (2, *mean.shape)) * (2 * per_spike)

    expected = true[0] * course[:, None] * (protocol.bin_ms / 1000)
    row, ids = np.nonzero(rng.random((bins, n)) < expected)
    times = (row + 1 - rng.random(len(row)) * 0.9) * protocol.bin_ms
    return Study(
        network=network,
        protocol=protocol,
        seed=seed,
        evoked_counts=rng.poisson(true * protocol.evoked_ms / 1000, (trials, *true.shape)),
        grey_counts=rng.poisson(rest * protocol.grey_ms / 1000, (trials, n)),
        evoked_Hz={
            RATE_FORM: alike(true, noise),
            "no_recurrence": alike(0.5 * true, 0.9),
            "shuffled": shuffled(true),
        },
        grey_Hz={
            RATE_FORM: alike(rest, noise * 1.5),
            "no_recurrence": alike(0.5 * rest, 0.9),
            "shuffled": shuffled(rest),
        },
        psth_halves_Hz=psth_halves,
        psth_rates_Hz=mean,
        raster=Recording.spikes(times, ids, n=n, dt_ms=0.25, duration_ms=protocol.sweep_ms),
        seconds={"spiking simulation": 61.2, "rate network, gratings": 4.1},
    )


@pytest.fixture(scope="module")
def study() -> Study:
    return synthetic_study(v1.column(400, seed=1))


@pytest.fixture(scope="module")
def folder(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("run")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert write_report(study, out, command="striate compare <400>") == out / "report.html"
    return out


@pytest.fixture(scope="module")
def text(folder: Path) -> str:
    """The words of the page, without images, style and tags."""
    return words((folder / "report.html").read_text(encoding="utf-8"))


def words(page: str) -> str:
    page = re.sub(r"<style>.*?</style>|<img[^>]*>", " ", page, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", page)).split())


def strict_json(path: Path) -> dict[str, Any]:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)


# ---- files ---------------------------------------------------------------------------------


def test_all_files_are_there_and_nothing_else(folder: Path) -> None:
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    figures = {"overview", "psth", "agreement_by_class", "selectivity", "circuit"}
    assert names == {
        "agreement.csv", "classes.csv", "neurons.csv", "results.json", "report.html",
        *(f"figures/{name}.png" for name in figures),
    }  # fmt: skip


def test_figures_are_whole_pictures_and_the_same_in_the_page(folder: Path) -> None:
    page = (folder / "report.html").read_text(encoding="utf-8")
    embedded = [
        base64.b64decode(each) for each in re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    ]
    on_disk = [path.read_bytes() for path in (folder / "figures").iterdir()]
    assert sorted(embedded) == sorted(on_disk)
    assert embedded[0] == (folder / "figures" / "overview.png").read_bytes()
    for image in on_disk:
        pixels = np.asarray(mpimg.imread(io.BytesIO(image), format="png"))
        assert pixels.shape[1] > 1500
        assert 0.005 < (pixels[..., :3].min(axis=2) < 0.9).mean() < 0.6  # drawn on, not filled


@pytest.mark.parametrize("name", ["agreement", "by_class", "by_neuron"])
def test_tables_are_those_of_the_measures(study: Study, folder: Path, name: str) -> None:
    file = {"agreement": "agreement", "by_class": "classes", "by_neuron": "neurons"}[name]
    read = pd.read_csv(folder / f"{file}.csv", dtype={"cell": str})
    made = getattr(measures, name)(study)
    assert list(read.columns) == list(made.columns)
    for column in made:
        if pd.api.types.is_numeric_dtype(made[column]):
            np.testing.assert_allclose(read[column], made[column], rtol=2e-5, atol=1e-9)
        else:
            assert read[column].tolist() == made[column].astype(str).tolist()


def test_results_are_strict_json_and_complete(study: Study, folder: Path) -> None:
    results = strict_json(folder / "results.json")
    agreement = measures.agreement(study)
    assert [row["R2"] for row in results["agreement"]] == agreement["R2"].tolist()
    assert len(results["classes"]) == len(study.network.classes)
    assert results["protocol"] == dataclasses.asdict(study.protocol)
    assert results["network"]["digest"] == study.network.digest()
    assert results["network"]["provenance"]["size"] == "400"
    assert results["seconds"] == study.seconds
    assert results["seed"] == study.seed
    assert results["command"] == "striate compare <400>"
    assert set(results["population_psth_correlation"]) == {"E", "I"}
    assert results["versions"]["numpy"] == np.__version__


def test_the_same_study_gives_the_same_report(study: Study, folder: Path, tmp_path: Path) -> None:
    write_report(study, tmp_path, command="striate compare <400>")
    for path in folder.rglob("*.*"):
        assert path.read_bytes() == (tmp_path / path.relative_to(folder)).read_bytes(), path.name


def test_a_missing_folder_is_refused_and_a_failure_leaves_nothing(
    study: Study, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="does not exist"):
        write_report(study, tmp_path / "none")
    neurons = study.neurons.replace(
        cell_class=np.where(study.neurons["cell_class"] == "e4", "e9", study.neurons["cell_class"])
    )
    other = dataclasses.replace(study, network=study.network.replace(neurons=neurons))
    with pytest.raises(InputError, match="unknown cell class 'e9'"):
        write_report(other, tmp_path)
    assert not any(tmp_path.iterdir())


# ---- the page ------------------------------------------------------------------------------


def test_page_asks_nothing_of_the_network(folder: Path) -> None:
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert len(page) < 5e6
    bare = re.sub(r"base64,[^\"]+", "", page).lower()
    for word in ("http:", "https:", "//", "<script", "<link", "@import", "url(", "<iframe", "href"):
        assert word not in bare, word
    assert re.findall(r'src="(?!data:)', bare) == []


def test_page_is_balanced_and_escaped(folder: Path) -> None:
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "striate compare &lt;400&gt;" in page
    parser = Balance()
    parser.feed(page)
    assert parser.open == []
    assert parser.missing_alt == 0


class Balance(HTMLParser):
    """Notes tags that are not closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.missing_alt = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "img"):
            self.open.append(tag)
        elif tag == "img" and not dict(attrs).get("alt"):
            self.missing_alt += 1

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_page_has_the_numbers_of_the_tables(study: Study, text: str) -> None:
    for row in measures.agreement(study).to_dict("records"):
        line = " ".join(
            [
                str(row["condition"]), spoken(str(row["form"])), str(row["group"]),
                f"{row['neurons']:,}",
                *(number(row[name]) for name in (
                    "R2", "R2_low", "R2_high", "ceiling", "log_R2", "log_ceiling", "slope",
                )),
                hertz(row["spiking_Hz"]), hertz(row["rate_Hz"]),
            ]
        )  # fmt: skip
        assert line in text, line
    for row in measures.by_class(study).to_dict("records"):
        start = f"{row['cell_class']} {row['neurons']} "
        rates = (row["spontaneous_spiking_Hz"], row["spontaneous_rate_Hz"])
        assert start + " ".join(hertz(rate) for rate in rates) in text
        assert start + number(row["evoked_R2"]) in text
        median = row["recorded_evoked_median_Hz"]
        assert f"{hertz(median)} ({hertz(row['recorded_evoked_p25_Hz'])} to" in text


def test_page_says_what_was_simulated(study: Study, text: str) -> None:
    network = study.network
    for words_of in (
        f"400 neurons of {len(network.classes)} classes",
        f"{len(network.synapses):,} recurrent synapses",
        "Each of 6 trials",
        "12 s a neuron and direction",  # 6 trials of 2 s
        "48 s of grey a neuron",  # 6 of 8 s
        "195 s of activity",  # 6 x (8 x 3 + 8.5) s
        "spiking simulation 61.2",
        "total 65.3",
        network.digest(),
        "medians of units in awake mice",
        "untrained column",
    ):
        assert words_of in text, words_of


def test_numbers_for_readers() -> None:
    assert number(-1.5, 2) == MINUS + "1.50"
    assert number(float("nan")) == hertz(float("nan")) == DASH
    assert (number(1.0), number(0.9996), number(0.9994)) == ("1.000", ">0.999", "0.999")
    assert (hertz(9.994), hertz(9.996), hertz(0.996)) == ("9.99", "10.0", "1.00")


# ---- what the text says --------------------------------------------------------------------


def said(study: Study) -> tuple[dict[str, str], pd.DataFrame, pd.DataFrame]:
    agreement, classes = measures.agreement(study), measures.by_class(study)
    paragraphs = findings(study, agreement, classes)
    return {k: " ".join(v) for k, v in paragraphs.items()}, agreement, classes


def test_text_says_when_a_control_does_as_well(study: Study) -> None:
    text, _, _ = said(study)
    assert "No control does as well as the rate form" in text["Controls"]
    forms = {**study.evoked_Hz, "shuffled": study.evoked_Hz[RATE_FORM] * 1.0001}
    text, agreement, _ = said(dataclasses.replace(study, evoked_Hz=forms))
    assert "No control does as well" not in text["Controls"]
    row = by_group(agreement, "evoked", "shuffled")["E"]
    assert f"shuffled, evoked, E ({number(row['R2'])} against" in text["Controls"]
    assert "shuffled, spontaneous" not in text["Controls"]


def test_text_names_the_poor_classes_and_only_those(study: Study) -> None:
    e4 = study.neurons["cell_class"] == "e4"
    rates = study.evoked_Hz[RATE_FORM].copy()
    rates[:, e4] = rates[:, e4].mean()
    forms = {**study.evoked_Hz, RATE_FORM: rates}
    text, _, classes = said(dataclasses.replace(study, evoked_Hz=forms))
    evoked = text["Where they do not"].split("Spontaneous")[0]
    poor = set(classes.cell_class[classes.evoked_R2 < 0.9])
    assert "e4" in poor
    assert set(re.findall(r"\b[ei]\d\w*", evoked)) == poor
    assert f"e4 {number(float(classes.evoked_R2[classes.cell_class == 'e4'].iloc[0]))} (" in evoked


def test_text_compares_with_the_recordings(study: Study) -> None:
    text, _, classes = said(study)
    ratio = classes.evoked_spiking_Hz / classes.recorded_evoked_median_Hz
    far = classes[(ratio > 2) | (ratio < 0.5)]
    evoked = text["Beside the recordings"].split("Evoked")[1]
    assert set(re.findall(r"\b[ei]\d\w*", evoked)) == set(far.cell_class)
    assert f"{17 - len(far)} of 17 classes" in evoked


# ---- what is drawn -------------------------------------------------------------------------


def test_raster_shows_a_share_of_every_class_in_order(study: Study) -> None:
    rows = raster_rows(study, n=100)
    shown = study.neurons["cell_class"][rows]
    assert len(set(rows.tolist())) == len(rows)
    assert list(dict.fromkeys(shown.tolist())) == study.network.classes
    for name in study.network.classes:
        size = int((study.neurons["cell_class"] == name).sum())
        assert (shown == name).sum() == min(size, max(6, round(100 * size / 400)))


def test_examples_are_active_of_several_classes_and_blind_to_the_rate_form(study: Study) -> None:
    chosen = example_neurons(study)
    assert len(set(chosen.tolist())) == 8
    assert study.network.excitatory[chosen].sum() == 4
    assert len(set(study.neurons["cell_class"][chosen].tolist())) >= 6
    assert (study.spiking_evoked_Hz[:, chosen].max(axis=0) >= 1.0).all()
    osi = metrics.osi(study.spiking_evoked_Hz[:, chosen], study.protocol.directions_deg)
    assert np.ptp(osi) > 0.2
    forms = {name: rates[:, ::-1] for name, rates in study.evoked_Hz.items()}
    other = dataclasses.replace(study, evoked_Hz=forms)
    assert (example_neurons(other) == chosen).all()


def test_preferred_orientation_difference_of_turned_tuning(study: Study) -> None:
    turned = np.roll(study.spiking_evoked_Hz, 1, axis=0)  # by one direction, 45 degrees
    other = dataclasses.replace(study, evoked_Hz={**study.evoked_Hz, RATE_FORM: turned})
    difference = orientation_difference(other)
    np.testing.assert_allclose(difference[~np.isnan(difference)], 45)
    assert 300 < (~np.isnan(difference)).sum() <= active_neurons(other).sum()


def test_modulated_direction_finds_the_grating(study: Study) -> None:
    flat = np.ones_like(study.psth_rates_Hz)
    time_s = np.arange(flat.shape[-1]) * study.protocol.bin_ms / 1000
    flat[:, 3] += 0.3 * np.sin(2 * np.pi * study.protocol.temporal_frequency_Hz * time_s)
    flat[:, 5] += 0.9 * np.sin(2 * np.pi * 7.5 * time_s)  # another frequency does not count
    assert modulated_direction(dataclasses.replace(study, psth_rates_Hz=flat)) == 3


def test_population_psths_are_the_means_of_neurons(study: Study) -> None:
    for name, (spikes, _) in population_psths(study).items():
        mask = measures.groups(study)[name]
        sizes = np.array(
            [(mask & (study.neurons["cell_class"] == c)).sum() for c in study.network.classes]
        )
        mean = (study.psth_spikes_Hz * sizes[:, None, None]).sum(axis=0) / mask.sum()
        np.testing.assert_allclose(spikes, mean)


# ---- plots ---------------------------------------------------------------------------------


def test_raster_puts_spikes_on_the_rows_asked_for() -> None:
    spikes = Recording.spikes(
        np.array([10, 20, 30]), np.array([0, 2, 4]), n=5, dt_ms=1.0, duration_ms=50
    )
    axes = plots.new_figure(2, 2).add_subplot()
    plots.raster(axes, spikes, np.array([4, 0]), colours=["red", "blue"], zero_ms=5.0)
    drawn = {str(line.get_color()): np.asarray(line.get_xydata()).tolist() for line in axes.lines}
    assert drawn == {"red": [[25.0, 0.0]], "blue": [[5.0, 1.0]]}
    assert axes.get_ylim() == (1.5, -0.5)  # the first row on top
    with pytest.raises(InputError, match="1 colours for 2 rows"):
        plots.raster(axes, spikes, np.array([4, 0]), colours=["red"])
    with pytest.raises(InputError, match="needs a recording of spikes"):
        plots.raster(axes, Recording.rates(np.ones((2, 1)), dt_ms=1.0), np.array([0]))


def test_rate_scatter_has_equal_axes_labelled_in_hertz() -> None:
    axes = plots.new_figure(2, 2).add_subplot()
    mask = np.array([True, False])
    rates = np.array([[0.0, 30.0], [0.9, 9.9]])
    plots.rate_scatter(axes, rates, rates[::-1], {"E": mask, "I": ~mask}, {"E": "k", "I": "r"})
    drawn = np.asarray(axes.lines[1].get_xydata())
    np.testing.assert_allclose(drawn, [[-1, 0], [0, -1]], atol=1e-12)
    assert axes.get_xlim() == axes.get_ylim()
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0", "1", "10"]


def test_style_and_figures_leave_nothing_behind(study: Study) -> None:
    before = dict(matplotlib.rcParams)
    plots.png(circuit(study))
    assert dict(matplotlib.rcParams) == before
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []


# ---- awkward studies -----------------------------------------------------------------------


def test_classes_of_one_neuron_and_silent_neurons(tmp_path: Path) -> None:
    made = synthetic_study(v1.column(60, seed=2), trials=2)
    cls = made.neurons["cell_class"]
    alone = [name for name in made.network.classes if (cls == name).sum() == 1]
    assert alone
    silent = (cls == "e6") | (cls == alone[0])
    study = dataclasses.replace(
        made,
        evoked_counts=np.where(silent, 0, made.evoked_counts),
        grey_counts=np.where(silent, 0, made.grey_counts),
        evoked_Hz={name: np.where(silent, 0, rates) for name, rates in made.evoked_Hz.items()},
        grey_Hz={name: np.where(silent, 0, rates) for name, rates in made.grey_Hz.items()},
        psth_halves_Hz=np.zeros_like(made.psth_halves_Hz),
        seconds={},
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        page = write_report(study, tmp_path).read_text(encoding="utf-8")
    results = strict_json(tmp_path / "results.json")
    by_class = {row["cell_class"]: row for row in results["classes"]}
    assert by_class["e6"]["evoked_R2"] is None
    assert by_class["e6"]["evoked_spiking_Hz"] == 0
    assert by_class[alone[0]]["spontaneous_R2"] is None
    text = words(page)
    assert "R² is undefined (all rates equal) for" in text
    assert f"{alone[0]} (1 neuron)" in text
    assert "nan" not in text.lower()
