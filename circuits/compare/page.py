"""The page of a comparison: tables, captions and definitions, filled into `report.html.j2`."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from circuits.compare.findings import (
    CONDITIONS,
    DASH,
    GROUPS,
    MINUS,
    POOR_R2,
    findings,
    hertz,
    interval,
    number,
    spoken,
)
from circuits.compare.looks import FEW_UNITS
from circuits.compare.measures import N_BOOTSTRAP
from circuits.compare.responses import ACTIVE_HZ, modulated_direction
from circuits.compare.study import CONTROLS, RATE_FORM, Study

TEMPLATE = Path(__file__).parent / "report.html.j2"

FILES = {
    "agreement.csv": "R2, log-rate R2, ceilings and slope: a row a condition, form and group",
    "classes.csv": "a row a class: rates, agreement, controls, selectivity, recorded medians",
    "neurons.csv": "a row a neuron: class, cell model, depth, rates of both forms",
    "results.json": "all numbers of this page, the protocol, seed, versions and wall time",
    "figures/": "the figures as PNG",
}


@dataclass(frozen=True)
class Column:
    """A column of a table for readers: where it comes from and how it is written."""

    name: str
    head: str
    words: Callable[[Any], str] = number
    text: bool = False
    poor: bool = False  # mark values below `POOR_R2`


@dataclass(frozen=True)
class Cell:
    """What a cell says, and whether it is marked as low."""

    words: str
    low: bool = False


@dataclass(frozen=True)
class PageTable:
    """A table as the template takes it; `over` are headings over several columns."""

    name: str
    columns: list[Column]
    rows: list[list[Cell]]
    over: list[tuple[str, int]] = field(default_factory=list)
    parts: list[int] = field(default_factory=list)
    note: str = ""


def render(
    study: Study,
    agreement: pd.DataFrame,
    classes: pd.DataFrame,
    images: Mapping[str, bytes],
    provenance: Mapping[str, str],
) -> str:
    """The page as one self-contained piece of HTML.

    Parameters
    ----------
    study : of `run_study`
    agreement, classes : `measures.agreement` and `measures.by_class` of it
    images : PNG files by name; the first one opens the page
    provenance : what made it, in the order to be shown
    """
    template = page_template(TEMPLATE)
    text = captions(study)
    return template.render(
        title="Mouse V1 as spikes and as rates",
        lead=(
            f"{study.network.n:,} neurons of {len(study.network.classes)} Allen cell classes, run "
            "as a spiking network and as a discrete firing-rate network on the same LGN input."
        ),
        figures=[
            {
                "alt": f"{name.replace('_', ' ')}: {text[name].split('. ')[0]}",
                "base64": base64.b64encode(image).decode(),
                "caption": text[name],
            }
            for name, image in images.items()
        ],
        headline=headline_table(agreement),
        findings=findings(study, agreement, classes),
        tables=[agreement_table(agreement), *class_tables(classes)],
        definitions=definitions(study),
        provenance=provenance,
        times=times_table(study),
        files=FILES,
        poor=f"{POOR_R2:g}",
    )


def page_template(path: Path) -> jinja2.Template:
    """A template of a page; the style of all pages, ``style.css.j2``, is there to be included."""
    folders = [path.parent, TEMPLATE.parent]
    environment = jinja2.Environment(
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        loader=jinja2.FileSystemLoader(folders, encoding="utf-8"),
    )
    return environment.get_template(path.name)


def headline_table(agreement: pd.DataFrame) -> PageTable:
    """The rate form's agreement, with the controls' R2 in the last columns."""
    rate = agreement[agreement.form == RATE_FORM].copy()
    controls = [name for name in CONTROLS if name in set(agreement.form)]
    keys = ["condition", "group"]
    for name in controls:
        values = agreement[agreement.form == name].set_index(keys)["R2"].rename(name)
        rate = rate.join(values, on=keys)
    rate["interval"] = [interval(row) for row in rate.to_dict("records")]
    columns = [
        Column("condition", "condition", str, text=True),
        Column("group", "neurons", str, text=True),
        Column("neurons", "n", "{:,}".format),
        Column("R2", "R²", poor=True),
        Column("interval", "95 % interval", str),
        Column("ceiling", "ceiling"),
        Column("log_R2", "log R²", poor=True),
        Column("log_ceiling", "log ceiling"),
        Column("slope", "slope"),
        *(Column(name, f"R², {spoken(name)}") for name in controls),
    ]
    parts = range(0, len(rate), len(GROUPS))
    return PageTable("In numbers", columns, _cells(rate, columns), parts=list(parts))


def agreement_table(agreement: pd.DataFrame) -> PageTable:
    """Every row and number of `measures.agreement`."""
    columns = [
        Column("condition", "condition", str, text=True),
        Column("form", "form", spoken, text=True),
        Column("group", "group", str, text=True),
        Column("neurons", "n", "{:,}".format),
        Column("R2", "R²"),
        Column("R2_low", "from"),
        Column("R2_high", "to"),
        Column("ceiling", "ceiling"),
        Column("log_R2", "log R²"),
        Column("log_ceiling", "log ceiling"),
        Column("slope", "slope"),
        Column("spiking_Hz", "spiking, Hz", hertz),
        Column("rate_Hz", "form, Hz", hertz),
    ]
    table = agreement.copy()
    form = table.form.map({name: k for k, name in enumerate(table.form.unique())})
    order = table.assign(form=form, condition=table.condition.map(CONDITIONS.index))
    table = table.loc[order.sort_values(["condition", "form"], kind="stable").index]
    return PageTable(
        "Agreement across neurons",
        columns,
        _cells(table, columns),
        over=[("", 4), ("R² and its 95 % interval", 3), ("", 4), ("mean rates", 2)],
        parts=list(range(0, len(table), len(GROUPS))),
    )


def class_tables(classes: pd.DataFrame) -> list[PageTable]:
    """Rates, agreement and selectivity of the classes; what is not known is a dash."""
    table = classes.copy()
    for condition in CONDITIONS:
        names = [f"recorded_{condition}_{part}_Hz" for part in ("median", "p25", "p75")]
        known = classes.reindex(columns=names)
        table[f"recorded_{condition}"] = [
            f"{hertz(median)} ({hertz(low)} to {hertz(high)})" if pd.notna(median) else DASH
            for median, low, high in known.itertuples(index=False)
        ]
    table["active_percent"] = 100 * classes["active"]
    first = [
        Column("cell_class", "class", str, text=True),
        Column("neurons", "n", "{:,}".format),
    ]

    def rates(condition: str) -> list[Column]:
        return [
            Column(f"{condition}_spiking_Hz", "spiking", hertz),
            Column(f"{condition}_rate_Hz", "rate form", hertz),
            Column(f"recorded_{condition}", "recorded", str),
        ]

    target = Column("spontaneous_target_Hz", "target", hertz)
    units = Column("recorded_units", "units", lambda n: f"{n:,.0f}" if pd.notna(n) else DASH)
    rate_columns = [*first, *rates("spontaneous"), target, *rates("evoked"), units]
    controls = [name for name in CONTROLS if f"evoked_R2_{name}" in classes]
    agree_columns = [*first]
    for condition in CONDITIONS:
        agree_columns += [
            Column(f"{condition}_R2", "R²", poor=True),
            Column(f"{condition}_log_R2", "log R²"),
            Column(f"{condition}_ceiling", "ceiling"),
            *(Column(f"{condition}_R2_{name}", spoken(name)) for name in controls),
        ]
    agree_columns.append(Column("psth_correlation", "PSTH r"))
    select_columns = [*first, Column("active_percent", "active, %", lambda v: number(v, 0))]
    for index in ("osi", "dsi"):
        select_columns += [
            Column(f"{index}_spiking", "spiking", lambda v: number(v, 2)),
            Column(f"{index}_rate", "rate form", lambda v: number(v, 2)),
            Column(f"recorded_{index}", "recorded", lambda v: number(v, 2)),
        ]
    table = table.reindex(
        columns=list({c.name for c in [*rate_columns, *agree_columns, *select_columns]})
    )
    span = 3 + len(controls)
    return [
        PageTable(
            "Rates of the classes, Hz",
            rate_columns,
            _cells(table, rate_columns),
            over=[("", 2), ("spontaneous", 4), ("evoked, mean over directions", 3), ("", 1)],
            note="Model: class means. Recorded: median (quartiles) of units in awake mice. Target: "
            "the recorded median, pooled over layers for classes of few units.",
        ),
        PageTable(
            "Agreement within the classes",
            agree_columns,
            _cells(table, agree_columns),
            over=[("", 2), ("evoked", span), ("spontaneous", span), ("", 1)],
            note=f"R² of the rate form below {POOR_R2:g} is marked; the columns after the ceiling "
            f"are R² of the controls. {DASH} is undefined: one neuron, or all rates equal.",
        ),
        PageTable(
            "Selectivity of the classes",
            select_columns,
            _cells(table, select_columns),
            over=[("", 3), ("OSI, median", 3), ("DSI, median", 3)],
            note=f"Of active neurons: {ACTIVE_HZ:g} Hz or more at their best direction in "
            "both forms.",
        ),
    ]


def times_table(study: Study) -> PageTable:
    """Wall time of each part of the run."""
    seconds = {**study.seconds, "total": sum(study.seconds.values())}
    table = pd.DataFrame({"part": list(seconds), "seconds": list(seconds.values())})
    columns = [
        Column("part", "part", str, text=True),
        Column("seconds", "seconds", lambda value: number(value, 1)),
    ]
    return PageTable("Wall time", columns, _cells(table, columns), parts=[len(table) - 1])


def _cells(table: pd.DataFrame, columns: list[Column]) -> list[list[Cell]]:
    rows: list[list[Cell]] = [[] for _ in range(len(table))]
    for column in columns:
        for row, value in zip(rows, table[column.name].tolist(), strict=True):
            row.append(Cell(column.words(value), bool(column.poor and value < POOR_R2)))
    return rows


def captions(study: Study) -> dict[str, str]:
    """What each figure shows."""
    protocol = study.protocol
    direction = protocol.directions_deg[modulated_direction(study)]
    units = (
        f"Diamonds: recorded medians with quartiles, hollow where fewer than {FEW_UNITS} units "
        "were recorded; Sst and Htr3a (recorded as VIP) are units of all visual areas, L1 has "
        "units of any type."
    )
    return {
        "overview": (
            "Colour is the kind of cell in all figures. (a) Spikes of the first trial, neurons "
            "ordered by layer and kind and within a class by preferred angle; classes in "
            "proportion, small ones with at least 6 neurons. (b) Spiking against rate form, on a "
            "scale of log10(r + 0.1 Hz); the line is identity. (c) Neurons chosen by class and "
            f"spiking OSI, not by agreement; mean and s.e.m. of {len(study.grey_counts)} trials. "
            f"(d, e) Class means of the model; linear to about 1 Hz, logarithmic above. {units}"
        ),
        "psth": (
            f"Mean rate of each class in {protocol.bin_ms:g} ms bins, drift direction "
            f"{direction:g}°: the one that the rate form follows most at "
            f"{protocol.temporal_frequency_Hz:g} Hz. r is the correlation over all directions."
        ),
        "agreement_by_class": (
            "R² across the neurons (evoked: and directions) of each class, of the rate form and of "
            "the two controls; black lines are the ceilings set by the trials."
        ),
        "selectivity": (
            "(a, b) Class medians of active neurons. Spiking values are from finite counts, which "
            f"raises the indices of weakly tuned cells of low rate. {units} (c, d) Neuron by "
            "neuron; the line is identity. (e) Difference of the preferred orientations."
        ),
        "circuit": (
            "Synapses onto a neuron, mean over each class: (a) from excitatory and inhibitory "
            "neurons and from the LGN; (b) from each class of the column."
        ),
    }


def definitions(study: Study) -> dict[str, str]:
    """What the words of the page mean."""
    protocol = study.protocol
    return {
        "R²": f"1 {MINUS} SSE/SST, where the spiking rates (trial means) are to be explained; not "
        "a squared correlation: offsets and gains count as errors, and it can be negative. "
        "Evoked: over neurons and directions together; spontaneous: over neurons. Its interval is "
        f"the 95 % percentile bootstrap over neurons ({N_BOOTSTRAP} draws).",
        "log R²": "The same for log10(r + 0.1 Hz), where cells of low and high rate count alike.",
        "Ceiling": "The R² that a perfect model without noise can expect, given the trials: from "
        "the differences of the means of random halves of the trials (mean of 20 halvings). The "
        "log ceiling is that of log R².",
        "Slope": "Of the least-squares line of spiking on rate form; below 1 the rate form is too "
        "widely spread.",
        "Controls": "The rate form with other recurrence: "
        + "; ".join(f"{spoken(name)}, {what}" for name, what in CONTROLS.items())
        + ".",
        "Evoked rate": f"Mean from {protocol.skip_ms:g} to {protocol.grating_ms:g} ms after "
        "grating onset; of a class, mean over neurons and directions.",
        "OSI": "|Σ R exp(2iθ)| / Σ R over the drift directions θ.",
        "DSI": "|Σ R exp(iθ)| / Σ R. OSI and DSI are those of the recorded units.",
        "PSTH r": f"Correlation of the class's mean rates in bins of {protocol.bin_ms:g} ms over "
        "all sweeps (grey and grating).",
        "Recorded": "Single units in awake mice (Siegle et al. 2021, Nature 592:86-92); quartiles "
        "over units.",
    }
