"""`write_card`: the report card as HTML, JSON and CSV."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from circuits.compare.findings import hertz, number
from circuits.compare.page import Cell, Column, PageTable, page_template
from circuits.conversion import figures, findings, measures
from circuits.conversion.gratings import ACTIVE_HZ, FREQUENCY_HZ, N_DIRECTIONS
from circuits.conversion.study import CONTROLS, GRATING_TRIALS, GRID_ITEMS, HELD, Study
from toolkit import plots
from toolkit.errors import InputError
from toolkit.files import whole_file, write_text
from toolkit.metrics.corrected import LEAST_SIGNAL
from toolkit.runs import versions
from toolkit.table import Table

PAGE, RECORD = "conversion.html", "conversion.json"
TEMPLATE = Path(__file__).parent / "convert.html.j2"


def check_free(folder: Path, force: bool) -> None:
    """Before the work: the folder is free, or holds a report card, or parts of one.

    Raises
    ------
    InputError : it is a file, or holds other things
    """
    if folder.is_file():
        raise InputError(f"--out {folder} is a file; give a folder")
    known = (folder / RECORD).is_file() or (folder / "parts").is_dir()
    if folder.is_dir() and any(folder.iterdir()) and not (known or force):
        raise InputError(f"--out {folder} holds other files: use another folder")


def write_card(study: Study, folder: str | Path, *, command: str = "") -> list[tuple[str, bool]]:
    """Measure, draw and write; gives the verdicts (`findings.verdicts`).

    ``conversion.html``, ``conversion.json`` (all numbers), ``agreement.csv``, ``accuracy.csv``,
    ``neurons.csv``, ``prediction.csv``, ``time_constants.csv`` (if calibrated) and
    ``figures/``; each file is written whole or not at all.
    """
    folder = Path(folder)
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    trained = study.trained
    rate = study.rate[HELD]
    forms = {name: each[HELD] for name, each in study.forms.items()}
    agreement = measures.agreement(rate, forms, trained.network.excitatory)
    accuracy = measures.accuracies(
        study.shown, study.rate, study.forms, study.spikes_in, study.options.seed
    )
    tasks = [task.name for task in study.shown[HELD].data.tasks]
    neurons = measures.by_neuron(rate, forms[study.converted], trained.cell_class, tasks)
    tables = {"agreement": agreement, "accuracy": accuracy, "neurons": neurons}
    tables["prediction"] = study.check.classes
    if study.tau_r_ms is not None:
        tables["time_constants"] = time_constants(study)
    for name, table in tables.items():
        text = table.to_pandas().to_csv(index=False, float_format="%.6g")
        write_text(folder / f"{name}.csv", text)
    images = {}
    with plots.style():
        for name, figure in (
            ("overview", figures.draw_overview(study, accuracy)),
            ("courses", figures.draw_courses(study)),
            ("selectivity", figures.draw_selectivity(study)),
        ):
            images[name] = plots.png(figure)
            with whole_file(folder / "figures" / f"{name}.png") as aside:
                aside.write_bytes(images[name])
    verdicts = findings.verdicts(study, agreement, accuracy)
    about = provenance(study, command)
    record = {
        "verdicts": [{"text": text, "good": bool(good)} for text, good in verdicts],
        "agreement": _rows(agreement),
        "accuracy": _rows(accuracy),
        "gratings": {
            "osi_correlation": findings.plain(study.gratings.correlation("osi")),
            "dsi_correlation": findings.plain(study.gratings.correlation("dsi")),
            "active_neurons": study.gratings.n_active,
        },
        "one_factor": {f"{factor:g}": value for factor, value in study.factors.items()},
        "options": dataclasses.asdict(study.options),
        "setup": dataclasses.asdict(trained.setup),
        "seconds": {name: round(each, 2) for name, each in study.seconds.items()},
        "versions": versions(),
    }
    text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False)
    write_text(folder / RECORD, text + "\n")
    write_text(folder / PAGE, render(study, agreement, accuracy, images, verdicts, about))
    return verdicts


def time_constants(study: Study) -> Table:
    """A row a class: mean tau_r, ms, as trained and as fitted to the spikes."""
    trained = study.trained
    assert study.tau_r_ms is not None  # of a calibrated study
    before, classes = trained.model.tau_r_ms.cpu().numpy(), trained.cell_class
    names = list(dict.fromkeys(classes.tolist()))
    columns = {
        label: [float(each[classes == name].mean()) for name in names]
        for label, each in (("trained_ms", before), ("fitted_ms", study.tau_r_ms))
    }
    return Table({"cell_class": names, **columns})


def render(
    study: Study,
    agreement: Table,
    accuracy: Table,
    images: Mapping[str, bytes],
    verdicts: list[tuple[str, bool]],
    about: Mapping[str, str],
) -> str:
    """The page as one self-contained piece of HTML."""
    network, setup = study.trained.network, study.trained.setup
    captions = {
        "overview": "(a) Mean rates over the items of each task, a point a neuron and task. (b) "
        "How many neurons are below an R2 across items (noise-corrected if trials allow it; 1 is a "
        "perfect conversion, which few items and trials can exceed by chance; values beyond the "
        "ends are drawn there). Others: right answers by decision window, the stimulus held; the "
        "band is the 95 % interval.",
        "courses": "Mean over all items of a task, 10 ms bins: spikes grey, rate network as a "
        "line; the most numerous classes.",
        "selectivity": "Selectivity for drifting gratings of active neurons, and rates over "
        "neurons and tasks. Indices of finite counts are too large for weakly tuned neurons.",
    }
    driven = "the LGN" if setup.lgn else "pixels"
    return page_template(TEMPLATE).render(
        title="Trained rates as spikes",
        lead=f"{network.n:,} neurons, {len(network.synapses):,} recurrent synapses, scenario "
        f"{setup.scenario}, driven by {driven}; {study.options.items} test items of each task, "
        f"{study.options.trials} trials.",
        verdicts=verdicts,
        figures=[
            {
                "alt": name,
                "base64": base64.b64encode(image).decode(),
                "caption": captions[name],
            }
            for name, image in images.items()
        ],
        findings=findings.sentences(study, agreement, accuracy),
        tables=[_agreement_table(agreement), _accuracy_table(accuracy)],
        definitions=definitions(study),
        provenance=about,
    )


def _agreement_table(agreement: Table) -> PageTable:
    columns = [
        Column("form", "network", str, text=True),
        Column("group", "neurons", str, text=True),
        Column("neurons", "n", "{:,}".format),
        Column("rate_Hz", "rate, Hz", hertz),
        Column("spiking_Hz", "spikes, Hz", hertz),
        Column("R2", "R²"),
        Column("log_R2", "log R²"),
        Column("log_ceiling", "log ceiling"),
        Column("slope", "slope"),
        Column("item_R2_raw_median", "items, raw"),
        Column("item_R2_p25", "items, 25 %"),
        Column("item_R2_median", "items, median"),
        Column("item_R2_p75", "items, 75 %"),
        Column("with_signal", "of n", "{:,}".format),
        Column("item_R2_pooled", "items, pooled"),
        Column("psth_R2", "PSTH R²"),
        Column("histogram_KL", "KL, nats"),
        Column("count_correlation", "count r", lambda value: number(value, 4)),
    ]
    return _table("Agreement", agreement, columns, "form")


def _accuracy_table(accuracy: Table) -> PageTable:
    def percent(value: float) -> str:
        return number(100 * value, 1)

    def points(value: float) -> str:
        return number(value, 1)

    columns = [
        Column("form", "network", str, text=True),
        Column("timing", "timing", str, text=True),
        Column("task", "task", str, text=True),
        Column("window_ms", "window, ms", "{:g}".format),
        Column("items", "items", "{:,}".format),
        Column("trials", "trials", str),
        Column("accuracy", "right, %", percent),
        Column("low", "from", percent),
        Column("high", "to", percent),
        Column("points_lost", "points lost", points),
        Column("lost_low", "from", points),
        Column("lost_high", "to", points),
        Column("lost_by_conversion", "by the conversion", points),
        Column("conversion_low", "from", points),
        Column("conversion_high", "to", points),
    ]
    return _table("Right answers", accuracy, columns, "form")


def _table(name: str, table: Table, columns: list[Column], parts: str) -> PageTable:
    rows = [
        [Cell(column.words(table[column.name][k].item())) for column in columns] for k in table.rows
    ]
    new = [k for k in table.rows if k == 0 or table[parts][k] != table[parts][k - 1]]
    return PageTable(name, columns, rows, parts=new)


def definitions(study: Study) -> dict[str, str]:
    """What the words of the page mean."""
    options = study.options
    return {
        "Rates": "Of the longest decision window, while the stimulus is held.",
        "R², log R², slope": "Across neurons and tasks, rates being means over items and trials: "
        "1 - SSE/SST of spikes explained by the rate network, the same of log10(rate + 0.1 Hz), "
        "and the slope of spikes on rates. The log ceiling is what the trials' noise leaves.",
        "Items": "R² of each neuron across the items of all tasks. Raw: of trial means, whose "
        f"noise counts as error. Noise-corrected: with the variance over the {options.trials} "
        "trials of each item subtracted from SSE and SST (unbiased estimates of both); of neurons "
        f"of which items make {100 * LEAST_SIGNAL:g} % or more of the variance of trial means. "
        "Pooled: sums over all neurons, none left out.",
        "PSTH R²": "Of mean responses in 10 ms bins from the start of a trial, around each "
        "neuron's mean, pooled over neurons and tasks, noise-corrected.",
        "KL": "Of histograms of log10(rate + 0.1 Hz) over neurons and tasks, quarter decades; "
        "spikes against rates.",
        "Count r": "Mean correlation of pairs of neurons between trials of an item.",
        "Own timing": "Stimuli and window as in training.",
        "Stimulus held": "The last stimulus stays on until the longest window ends; all windows "
        "begin where that of training does. The rate network sees the same.",
        "Points lost": "Right answers of the rate network less those of the spikes, percentage "
        "points, same items; 95 % interval of a bootstrap over items. Answers are of single "
        "trials.",
        "By the conversion": "The same against the rate network whose input channels are counts in "
        "each step of the spikes that their cells fire, as those of the spiking networks are: what "
        "spikes of the input alone take from the answers is lost before the conversion.",
        "OSI, DSI": f"Of gratings in {N_DIRECTIONS} directions at {FREQUENCY_HZ:g} Hz, "
        f"{GRATING_TRIALS} trials; of neurons that reach {ACTIVE_HZ:g} Hz in both forms.",
        "Trials": f"Items follow each other with {options.pause_ms:g} ms of grey in front of "
        "each; input and background spikes are drawn anew.",
        **{name: text[0].upper() + text[1:] + "." for name, text in CONTROLS.items()},
        "Grid of one factor": f"Chosen by the accuracy on {GRID_ITEMS} validation items of each "
        "task (Kim, Li and Sejnowski 2019, PNAS 116:22811).",
    }


def provenance(study: Study, command: str) -> dict[str, str]:
    """What made the page."""
    setup = study.trained.setup
    return {
        **({"command": command} if command else {}),
        **{name: str(value) for name, value in dataclasses.asdict(setup).items()},
        **{name: str(value) for name, value in dataclasses.asdict(study.options).items()},
        "network digest (SHA-256)": study.trained.network.digest(),
        "wall time, s": ", ".join(f"{name} {each:.1f}" for name, each in study.seconds.items()),
        "versions": ", ".join(f"{name} {version}" for name, version in versions().items()),
    }


def _rows(table: Table) -> list[dict[str, Any]]:
    plain: Callable[[Any], Any] = findings.plain
    return [{name: plain(table[name][k].item()) for name in table} for k in table.rows]
