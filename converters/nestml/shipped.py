"""The models of `toolkit.neurons` with their Brian2 code stored beside them.

Parsing takes seconds, so what the converter writes is kept in ``NAME.brian2.json`` with the hash of
the NESTML text; `python -m converters.nestml.shipped` writes them anew.
"""

from __future__ import annotations

import dataclasses
import json
from functools import cache
from pathlib import Path
from typing import Any

import toolkit.neurons
from converters.nestml.brian2_code import Brian2Code, brian2_code
from converters.nestml.model import Port, Variable
from converters.nestml.propagators import Propagator
from converters.nestml.read import read
from converters.nestml.text import content_hash
from toolkit.errors import DataError, unknown
from toolkit.files import whole_file
from toolkit.neurons import glif

FOLDER = Path(toolkit.neurons.__file__).parent
# Solver and substeps of each shipped model; the linear ones need none. Substeps are our choice.
MODELS: dict[str, tuple[str, int]] = {
    **{f"glif{level}_psc_{kernel}": ("rk4", 1) for level in glif.LEVELS for kernel in glif.KERNELS},
    "lif_psc_exp": ("rk4", 1),
    "lif_psc_alpha": ("rk4", 1),
    "lif_psc_delta": ("rk4", 1),
    "lif_cond_exp": ("rk4", 1),
    "adex_cond_exp": ("rk4", 5),
    "izhikevich": ("euler", 1),
    "hh_psc_alpha": ("rk4", 2),
}


def path(name: str) -> Path:
    """The NESTML file of a shipped model.

    Raises
    ------
    InputError : there is no such model
    """
    if name not in MODELS:
        raise unknown("NESTML model", name, MODELS)
    return FOLDER / f"{name}.nestml"


@cache
def shipped(name: str) -> Brian2Code:
    """The Brian2 code of a shipped model, without a parser.

    Raises
    ------
    InputError : there is no such model
    DataError : the NESTML file was changed since its code was written

    >>> shipped("glif3_psc_alpha").ports[0].name
    'spikes_1'
    """
    text = path(name).read_text(encoding="utf-8")
    stored = json.loads(path(name).with_suffix(".brian2.json").read_text(encoding="utf-8"))
    code = from_json(stored)
    if code.sha256 != content_hash(text):
        raise DataError(
            f"{path(name)} was changed after its Brian2 code was written; write it anew with: "
            "python -m converters.nestml.shipped"
        )
    return code


def convert(name: str) -> Brian2Code:
    """The Brian2 code of a shipped model, from its NESTML text."""
    method, substeps = MODELS[name]
    return brian2_code(read(path(name)), method, substeps)


def from_json(stored: dict[str, Any]) -> Brian2Code:
    """The inverse of ``dataclasses.asdict``, by way of JSON."""
    kinds = {"states": Variable, "parameters": Variable, "constants": Variable, "ports": Port}
    values = dict(stored)
    for key, kind in kinds.items():
        values[key] = tuple(kind(**each) for each in stored[key])
    values["propagators"] = tuple(
        Propagator(**{**each, "matrix": tuple((i, j, text) for i, j, text in each["matrix"])})
        for each in stored["propagators"]
    )
    return Brian2Code(**values)


def write() -> None:
    """Write the GLIF files and the code of every model."""
    for level in glif.LEVELS:
        for kernel in glif.KERNELS:
            with whole_file(path(f"glif{level}_psc_{kernel}")) as file:
                Path(file).write_text(glif.nestml(level, kernel), encoding="utf-8")
    for name in MODELS:
        text = json.dumps(dataclasses.asdict(convert(name)), indent=1)
        with whole_file(path(name).with_suffix(".brian2.json")) as file:
            Path(file).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    write()
