"""`write_report`: the files and the page of a comparison."""

from __future__ import annotations

import dataclasses
import json
import platform
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from circuits.compare import figures, measures
from circuits.compare.findings import findings
from circuits.compare.overview import overview
from circuits.compare.page import definitions, render
from circuits.compare.responses import orientation_difference, population_psth_correlation
from circuits.compare.study import CONTROLS, Study
from toolkit import plots
from toolkit.errors import InputError
from toolkit.files import whole_file, write_text
from toolkit.runs import versions


def write_report(study: Study, folder: str | Path, *, command: str = "") -> Path:
    """Write the tables, figures and the page of a study into a folder.

    Everything is made before the first file is written, and each file appears whole or not at all:
    ``agreement.csv``, ``classes.csv``, ``neurons.csv``, ``results.json``, ``figures/*.png``, and
    last ``report.html``, one file that needs nothing beside it and nothing of the network.

    Parameters
    ----------
    study : of `run_study`
    folder : an existing folder; files of the same names are replaced
    command : what the user typed, shown in the page

    Returns
    -------
    path of ``report.html``

    Raises
    ------
    InputError : the folder does not exist, or the network has classes other than the Allen tables

    Time: a few seconds for 3,000 neurons. Example, with a study of `run_study`::

        page = write_report(study, "runs/first", command="striate compare")
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"the folder {folder} does not exist; make it first")
    agreement, classes = measures.agreement(study), measures.by_class(study)
    tables = {
        "agreement.csv": agreement,
        "classes.csv": classes,
        "neurons.csv": measures.by_neuron(study),
    }
    images = _images(study, agreement, classes)
    results = _results(study, agreement, classes, command)
    page = render(study, agreement, classes, images, _provenance(study, results))
    text = json.dumps(results, indent=1, allow_nan=False, ensure_ascii=False) + "\n"

    for name, table in tables.items():
        write_text(folder / name, table.to_csv(index=False, float_format="%.6g"))
    write_text(folder / "results.json", text)
    (folder / "figures").mkdir(exist_ok=True)
    for name, image in images.items():
        with whole_file(folder / "figures" / f"{name}.png") as aside:
            aside.write_bytes(image)
    write_text(folder / "report.html", page)
    return folder / "report.html"


def _images(study: Study, agreement: pd.DataFrame, classes: pd.DataFrame) -> dict[str, bytes]:
    """The figures as PNG files by name, in the order of the page."""
    return {
        "overview": plots.png(overview(study, agreement, classes)),
        "psth": plots.png(figures.class_psths(study, classes)),
        "agreement_by_class": plots.png(figures.class_agreement(study, classes)),
        "selectivity": plots.png(figures.selectivity(study, classes)),
        "circuit": plots.png(figures.circuit(study)),
    }


def _results(
    study: Study, agreement: pd.DataFrame, classes: pd.DataFrame, command: str
) -> dict[str, Any]:
    """All numbers as plain JSON values; what is undefined is null."""
    network, difference = study.network, orientation_difference(study)
    results = {
        "command": command,
        "network": {
            "neurons": network.n,
            "excitatory": int(network.excitatory.sum()),
            "classes": len(network.classes),
            "synapses": len(network.synapses),
            "inputs": {
                name: {"sources": source.n, "synapses": len(source.synapses)}
                for name, source in network.inputs.items()
            },
            "seed": network.seed,
            "digest": network.digest(),
            "provenance": dict(network.provenance),
        },
        "protocol": dataclasses.asdict(study.protocol),
        "seed": study.seed,
        "controls": CONTROLS,
        "agreement": agreement.to_dict("records"),
        "classes": classes.to_dict("records"),
        "population_psth_correlation": population_psth_correlation(study),
        "preferred_orientation_difference_deg": {
            name: {
                "neurons": int((~np.isnan(difference[mask])).sum()),
                "median_absolute": _median(np.abs(difference[mask])),
            }
            for name, mask in measures.groups(study).items()
        },
        "findings": findings(study, agreement, classes),
        "definitions": definitions(study),
        "seconds": study.seconds,
        "versions": {"python": platform.python_version(), **versions()},
    }
    return _plain(results)


def _median(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else float("nan")


def _plain(value: Any) -> Any:
    """The value in plain JSON types; NaN and infinity become None."""
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(each) for each in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def _provenance(study: Study, results: dict[str, Any]) -> dict[str, str]:
    """The rows of the page's table of origins."""
    network, protocol = results["network"], study.protocol
    rows = {"command": results["command"]} if results["command"] else {}
    rows |= {
        "network": f"{network['neurons']:,} neurons, {network['synapses']:,} recurrent synapses, "
        f"seed {network['seed']}",
        "network digest (SHA-256)": network["digest"],
        "random input": f"seed {study.seed}, {len(study.grey_counts)} trials",
        "protocol": ", ".join(
            f"{field.name} {getattr(protocol, field.name):g}"
            for field in dataclasses.fields(protocol)
        ),
        "versions": ", ".join(f"{name} {version}" for name, version in results["versions"].items()),
    }
    for name, value in network["provenance"].items():
        text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
        rows[f"column: {name.replace('_', ' ')}"] = text
    return rows
