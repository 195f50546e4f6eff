"""Reading NESTML: what is understood, and what is refused with line and column."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from converters.nestml import brian2_code, read
from converters.nestml.expressions import evaluate, steps
from converters.nestml.group import constants
from converters.nestml.propagators import Propagator
from converters.nestml.shipped import MODELS, convert, path, shipped
from converters.nestml.text import content_hash
from toolkit.errors import DataError, InputError
from toolkit.neurons import adex, glif, hh, izhikevich, lif

SCHEMAS = {**lif.MODELS, **adex.MODELS, **izhikevich.MODELS, **hh.MODELS} | {
    f"glif{level}_psc_{kernel}": glif.parameters(level, kernel)
    for level in glif.LEVELS
    for kernel in glif.KERNELS
}
TEXT = """model m:
    state:
        V_m mV = 0 mV
    equations:
        kernel K = exp(-t / tau)
        V_m' = -V_m / tau + convolve(K, spikes) * 1 mV / 1 ms
    parameters:
        tau ms = 10 ms
    input:
        spikes <- spike
    output:
        spike
    update:
        integrate_odes()
    onCondition(V_m > 1 mV):
        V_m = 0 mV
        emit_spike()
"""
needs_pynestml = pytest.mark.skipif(
    pytest.importorskip("importlib.util").find_spec("pynestml") is None,
    reason="nestml is not installed",
)


@pytest.mark.parametrize("name", MODELS)
def test_stored_code_is_of_the_text_beside_it(name: str) -> None:
    text = path(name).read_text()
    assert shipped(name).sha256 == content_hash(text), "python -m converters.nestml.shipped"
    assert shipped(name).name == name


@needs_pynestml
@pytest.mark.parametrize("name", ["lif_psc_exp", "lif_psc_delta"])
def test_stored_code_is_what_the_converter_writes(name: str) -> None:
    assert dataclasses.asdict(convert(name)) == dataclasses.asdict(shipped(name))


@needs_pynestml
@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_all_stored_code_is_what_the_converter_writes(name: str) -> None:
    assert dataclasses.asdict(convert(name)) == dataclasses.asdict(shipped(name))


@pytest.mark.parametrize("level", glif.LEVELS)
@pytest.mark.parametrize("kernel", glif.KERNELS)
def test_glif_files_are_what_is_written(level: int, kernel: str) -> None:
    assert path(f"glif{level}_psc_{kernel}").read_text() == glif.nestml(level, kernel)


def test_stale_code_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    for suffix in (".nestml", ".brian2.json"):
        file = path("izhikevich").with_suffix(suffix)
        (tmp_path / file.name).write_text(file.read_text() + (" " if suffix == ".nestml" else ""))
    monkeypatch.setattr("converters.nestml.shipped.FOLDER", tmp_path)
    shipped.cache_clear()
    with pytest.raises(DataError, match="write it anew"):
        shipped("izhikevich")


@pytest.mark.parametrize("name", MODELS)
def test_schemas_are_of_the_models(name: str) -> None:
    code = shipped(name)
    described = {glif.nestml_name(p): p for p in SCHEMAS[name]}
    assert set(described) == {v.name for v in code.parameters}
    for variable in code.parameters:
        parameter = described[variable.name]
        assert parameter.unit == variable.unit
        assert evaluate(variable.expression, {}, 0.1) == parameter.default
        parameter.check(np.array([parameter.default]))


@needs_pynestml
def test_kernel_becomes_a_state_that_arrivals_add_to() -> None:
    model = read(TEXT)
    assert [c.states for c in model.convolutions] == [("K__X__spikes",)]
    code = brian2_code(model)
    assert code.method == "exact"
    assert code.lag_steps == 0
    values, states = constants(code, {"tau": 5.0}, 0.1)
    assert states["K__X__spikes"] == 0
    assert np.exp(-0.02) in [values[p.name] for p in code.propagators]


@needs_pynestml
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("V_m = 0 mV\n        emit", "V_n = 0 mV\n        emit", r":16:8: Variable \"V_n\" not"),
        ("onCondition(V_m", "onCondition((V_m", r":1[5-7]:\d+: Error occurred during parsing"),
        ("kernel K = exp(-t / tau)", "kernel K = delta(t)", r":5:19: a delta kernel"),
        ("V_m = 0 mV\n        emit", "V_m = random_normal(0,1) * 1 mV\n        emit",
         r":16:14: the function random_normal\(\) is not supported"),
        ("spikes <- spike", "spikes[3] <- spike", "vector"),
        ("    update:", "    update:\n        while V_m > 1 mV:\n            V_m = 0 mV\n",
         r":14:8: a loop is not supported"),
        ("integrate_odes()", "V_m += spikes * 1 mV * 1 s\n        integrate_odes()",
         r"supports that only after integrate_odes\(\)"),
    ],
)  # fmt: skip
def test_refusals_say_where(old: str, new: str, message: str) -> None:
    assert old in TEXT
    with pytest.raises(InputError, match=message):
        brian2_code(read(TEXT.replace(old, new)))


@needs_pynestml
def test_missing_file_and_unknown_solver() -> None:
    with pytest.raises(InputError, match="no NESTML file"):
        read("nowhere.nestml")
    with pytest.raises(InputError, match="unknown solver 'rk45'"):
        brian2_code(read(TEXT), "rk45")
    with pytest.raises(InputError, match="substeps"):
        brian2_code(read(TEXT), "rk4", 0)


@pytest.mark.parametrize(("time", "n"), [(2.0, 20), (3.75, 38), (0.04, 1), (0.7, 7), (5.0, 50)])
def test_times_are_rounded_up_to_steps(time: float, n: int) -> None:
    assert steps(time, 0.1) == n


def test_propagators_of_a_triangular_pair() -> None:
    # x' = -x/2, y' = -y/5 + 3 x: y(h) = 3 x (exp(-h/2) - exp(-h/5)) / (1/5 - 1/2).
    matrix = ((0, 0, "-1/2"), (1, 0, "3"), (1, 1, "-1/5"))
    entry = Propagator("P", 1, 0, 2, matrix).value({}, 0.1)
    assert entry == pytest.approx(3 * (np.exp(-0.05) - np.exp(-0.02)) / (0.2 - 0.5), rel=1e-13)


def test_evaluation_runs_no_code() -> None:
    with pytest.raises(InputError, match="cannot compute"):
        evaluate("__import__('os').getcwd()", {}, 0.1)
