"""Run analyses one after another into a folder, with a page about all of them."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import importlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from circuits.analysis import ANALYSES
from circuits.analysis.result import NotApplicable, Options, read_record, write
from circuits.compare.page import page_template
from toolkit.errors import InputError, unknown
from toolkit.files import write_text
from toolkit.progress import bar
from toolkit.runs import versions

if TYPE_CHECKING:
    from circuits.training import Prepared

PAGE = "analysis.html"
TEMPLATE = Path(__file__).parent / "analysis.html.j2"


def chosen(names: Sequence[str]) -> list[str]:
    """The names of analyses, checked, in the order of `ANALYSES`; all of them if none is given.

    Raises
    ------
    InputError : an unknown name

    >>> chosen(["rates", "weights"])
    ['weights', 'rates']
    """
    for name in names:
        if name not in ANALYSES:
            raise unknown("analysis", name, ANALYSES)
    return [name for name in ANALYSES if name in names or not names]


def run_analyses(
    trained: Prepared,
    folder: str | Path,
    options: Options,
    names: Sequence[str] = (),
    *,
    force: bool = False,
    command: str = "",
    show_progress: bool | None = None,
) -> dict[str, str]:
    """Analyse a trained network: a folder an analysis, and ``analysis.html`` about all of them.

    What is there already, of the same weights and options, is not done again: a run that was
    stopped goes on with the analysis that it had begun.

    Parameters
    ----------
    trained : of `circuits.training.load_trained` or `prepare`
    folder : made if need be
    options : of the analyses
    names : of `ANALYSES`, all by default. Of all, those that this network gives no ground for are
        left out
    force : replace results of another network
    command : what the user typed, shown in the page
    show_progress : a bar; by default on a terminal

    Returns
    -------
    analyses left out, with the reason

    Raises
    ------
    InputError : an unknown name, results of another network in the folder
    NotApplicable : an analysis that was named has no ground
    """
    folder, todo = Path(folder), chosen(names)
    about = description(trained, options)
    earlier = {name: read_record(folder / name) for name in ANALYSES}
    _check_same_network(folder, earlier, about, force)
    folder.mkdir(parents=True, exist_ok=True)
    left_out: dict[str, str] = {}
    with bar(len(todo), "analyses", enabled=show_progress) as progress:
        for name in todo:
            progress.set_description(name)
            record = earlier[name]
            if force or record is None or not _same(record["about"], about):
                module, start = importlib.import_module(f"circuits.analysis.{name}"), time.time()
                try:
                    result = module.analyse(trained, options)
                except NotApplicable as error:
                    if names:
                        raise
                    left_out[name] = str(error)
                else:
                    write(result, folder / name, {**about, "seconds": round(time.time() - start)})
            progress.update()
    write_text(folder / PAGE, page(trained, folder, left_out, command))
    return left_out


def description(trained: Prepared, options: Options) -> dict[str, Any]:
    """What results belong to, as plain JSON values: network, weights, options, versions."""
    weights = trained.model.weights().detach().cpu().numpy()
    return {
        "setup": dataclasses.asdict(trained.setup),
        "network": trained.network.digest(),
        "weights": hashlib.sha256(weights.tobytes()).hexdigest(),
        "items": options.items,
        "seed": options.seed,
        "runs": [str(run) for run in options.runs],
        "versions": versions(),
    }


def _same(there: Mapping[str, Any], here: Mapping[str, Any]) -> bool:
    return all(there.get(name) == here[name] for name in ("weights", "items", "seed", "runs"))


def _check_same_network(
    folder: Path,
    earlier: Mapping[str, Mapping[str, Any] | None],
    about: Mapping[str, Any],
    force: bool,
) -> None:
    for name, record in earlier.items():
        if record and record["about"].get("weights") != about["weights"] and not force:
            raise InputError(
                f"{folder / name} holds an analysis of another network, or of other weights: use "
                "another --out, or --force to replace it"
            )


def page(
    trained: Prepared, folder: Path, left_out: Mapping[str, str] | None = None, command: str = ""
) -> str:
    """All results in a folder as one self-contained piece of HTML."""
    parts, seconds = [], {}
    for name in ANALYSES:
        record = read_record(folder / name)
        if record is None:
            continue
        image = (folder / name / "figure.png").read_bytes()
        parts.append(
            {
                "title": record["title"],
                "findings": record["findings"],
                "caption": record["caption"],
                "base64": base64.b64encode(image).decode(),
                "files": [f"{name}/{file}" for file in record["tables"]],
            }
        )
        seconds[name] = record["about"].get("seconds", 0)
    setup, network = trained.setup, trained.network
    driven = "the LGN" if setup.lgn else "pixels"
    provenance = {"command": command} if command else {}
    provenance |= {name: str(value) for name, value in dataclasses.asdict(setup).items()}
    provenance |= {
        "network digest (SHA-256)": network.digest(),
        "tasks from": "; ".join(f"{task.name}: {task.source}" for task in trained.data.tasks),
        "wall time, s": ", ".join(f"{name} {each}" for name, each in seconds.items()),
        "versions": ", ".join(f"{name} {version}" for name, version in versions().items()),
    }
    return page_template(TEMPLATE).render(
        title="A trained firing-rate V1",
        lead=f"{network.n:,} neurons, {len(network.synapses):,} recurrent connections, scenario "
        f"{setup.scenario}, driven by {driven}, trained on "
        f"{', '.join(task.name for task in trained.data.tasks)}.",
        parts=parts,
        left_out=left_out or {},
        provenance=provenance,
    )
