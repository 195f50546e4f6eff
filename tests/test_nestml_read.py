"""Reading NESTML: what is understood, and what is refused with line and column."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from converters.nestml import brian2_code, neuron_group, read
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


UPDATE = "        integrate_odes()\n"
AFTER = UPDATE + "        {}\n"


@needs_pynestml
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("onCondition(V_m", "onCondition((V_m", r":1[5-7]:\d+: Error occurred during parsing"),
        ("V_m = 0 mV\n        emit", "V_n = 0 mV\n        emit", r":16:8: Variable \"V_n\" not"),
        ("V_m = 0 mV\n        emit", "V_m = = 0 mV\n        emit", r":16:14: .*extraneous"),
        (UPDATE, AFTER.format("V_m = V_m + tau"), r":15:14: Operation mV \+/- ms is not defined"),
        (UPDATE, AFTER.format("V_m = tau"), r':15:14: .*Expected: "mV", got: "ms"'),
        (UPDATE, AFTER.format("V_m = 3"), r':15:14: .*Expected: "mV", got: "integer"'),
        ("V_m' = -V_m / tau", "V_m' = -V_m", r":6:15: Operation mV \+/- mV / ms"),
        ("tau ms = 10 ms", "tau ms = 10 mV", r':8:17: .*Expected: "ms", got: "mV"'),
        ("integrate_odes()", "integrate_odes(W_m)", r':14:23: Variable "W_m" not defined'),
        ("integrate_odes()", "integrate_odes(tau)", r":14:8: .* not a state variable: \"tau\""),
        ("V_m > 1 mV", "spikez > 1", r':15:16: Variable "spikez" not defined'),
        # What PyNESTML only warns of, or does not see.
        (UPDATE, AFTER.format("if V_m > tau:\n            V_m = 0 mV"),
         r":15:11: V_m > tau compares mV with ms"),
        ("V_m > 1 mV", "V_m > 1", r":15:16: V_m > 1 compares mV with integer"),
        (UPDATE, AFTER.format("V_m = V_m > 0 mV ? 1 mV : 1"), r":15:14: .* either mV or integer"),
        ("tau ms = 10 ms", "tau ms = 0.01 s", r":8:17: 0.01 s is in s, which NEST would"),
        (UPDATE, AFTER.format("n integer = 2\n        n = 2.7"), r":16:8: n is an integer"),
        (UPDATE, AFTER.format("tau ms = 3 ms"), r":15:8: tau is declared anew"),
        ("    update:", "    onReceive(spikez):\n        V_m = 0 mV\n    update:",
         r":13:4: onReceive\(spikez\): no such port; there are: spikes"),
        ("    update:", "    onReceive(spikes):\n        V_m += 1 mV\n" * 2 + "    update:",
         r":15:4: a second onReceive\(spikes\)"),
        # What the converter does not support.
        ("spikes <- spike", "spikes[3] <- spike", r":10:8: a vector of ports is not supported"),
        ("V_m mV = 0 mV", "V_m mV = 0 mV\n        x[2] real = 0", r":4:8: a vector is not"),
        (UPDATE, AFTER.format("while V_m > 1 mV:\n            V_m = 0 mV"),
         r":15:8: a while loop is not supported"),
        (UPDATE, AFTER.format("n integer = 0\n        for n in 0 ... n step 1:\n"
                              "            V_m = 0 mV"), r":16:8: a loop whose limits"),
        (UPDATE, AFTER.format("n integer = 7 % 2"), r":15:20: a remainder is not supported"),
        (UPDATE, AFTER.format("n integer = 7 | 2"), r":15:20: a bit operator is not supported"),
        (UPDATE, AFTER.format("V_m = t * 1 mV / 1 ms"), r":15:14: the time t outside a kernel"),
        (UPDATE, AFTER.format('print("hello")'), r":15:8: the function print\(\) is not supported"),
        ("tau ms = 10 ms", "tau ms = 10 ms * random_uniform(0, 1)",
         r":8:25: random_uniform\(\) outside the statements"),
        ("emit_spike()", "emit_spike(V_m)", r":\d+: .*spike"),
        ("integrate_odes()", "V_m += spikes * 1 mV * 1 s\n        integrate_odes()",
         r"supports that only after integrate_odes\(\)"),
        ("kernel K = exp(-t / tau)\n        V_m' = -V_m / tau + convolve(K, spikes) * 1 mV / 1 ms",
         "kernel G = delta(t)\n        V_m' = V_m * convolve(G, spikes) / 1 ms",
         r":6:8: a delta kernel with a factor that is not constant"),
    ],
)  # fmt: skip
def test_refusals_say_where(old: str, new: str, message: str) -> None:
    assert old in TEXT
    with pytest.raises(InputError, match=message) as raised:
        brian2_code(read(TEXT.replace(old, new)))
    assert "Traceback" not in str(raised.value) and "object at 0x" not in str(raised.value)


@needs_pynestml
def test_all_errors_are_told_with_the_file(tmp_path) -> None:
    file = tmp_path / "two.nestml"
    file.write_text(TEXT.replace(UPDATE, AFTER.format("V_m = tau\n        V_m = foo")))
    with pytest.raises(InputError) as raised:
        read(file)
    message = str(raised.value)
    assert message.startswith(f"{file}:15:14: Actual type different from expected")
    assert f'(and 1 more: {file}:16:14: Variable "foo" not defined!)' in message


# ---- statements ----------------------------------------------------------------------------


def run(text: str, steps: int, arriving: dict[int, float] | None = None, n: int = 1) -> np.ndarray:
    """V_m after each step, shape (neuron, step); `arriving` weights by step, on ``spikes``."""
    import brian2 as b2

    b2.prefs.codegen.target = "numpy"
    group = neuron_group(brian2_code(read(text)), n, dt_ms=0.1)
    dt = 0.1 * b2.ms
    table = np.zeros(steps + 1)
    for step, weight in (arriving or {}).items():
        table[step] = weight
    group.namespace["arriving"] = b2.TimedArray(table, dt=dt)
    arrivals = group.run_regularly("in_spikes = arriving(t)", when="synapses", dt=dt)
    V = b2.StateMonitor(group, "V_m", record=True, when="end", dt=dt)
    b2.Network(group, arrivals, V).run(steps * dt)
    return np.asarray(V.V_m)


FREE = """model m:
    state:
        V_m mV = 0 mV
        a real = 1
    equations:
        EQUATIONS
    parameters:
        tau ms = 10 ms
    input:
        spikes <- spike
        others <- spike
    output:
        spike
    FUNCTIONS
    update:
        UPDATE
    onCondition(V_m > 1000 mV):
        emit_spike()
"""


def free(update: str, equations: str = "", functions: str = "") -> str:
    """A model with this update block."""
    text = FREE.replace("    FUNCTIONS\n", functions).replace("UPDATE", update)
    heading = "    equations:\n        " if equations else ""
    return text.replace("    equations:\n        EQUATIONS\n", f"{heading}{equations}\n")


@needs_pynestml
def test_loops_are_written_out() -> None:
    text = free("k integer = 0\n        for k in 1 ... 4 step 1:\n            V_m += k * 1 mV\n"
                "        V_m += k * 100 mV")  # fmt: skip
    # As in C++: the end is not included, and what counts has it in the end.
    assert run(text, 2)[0].tolist() == [406, 812]


@needs_pynestml
def test_functions_with_branches() -> None:
    text = free(
        "V_m += f(a) * 1 mV\n        a += 1",
        functions="    function f(x real) real:\n        y real = 10 * x\n        if x > 2:\n"
        "            return -y\n        elif x > 1:\n            y += 5\n        return y\n",
    )
    assert run(text, 3)[0].tolist() == [10, 35, 5]


@needs_pynestml
def test_random_numbers_have_their_distributions_and_are_drawn_once() -> None:
    n = 20_000
    normal = run(free("V_m = random_normal(3, 2) * 1 mV"), 1, n=n)[:, 0]
    assert normal.mean() == pytest.approx(3, abs=0.06) and normal.std() == pytest.approx(
        2, abs=0.05
    )
    # max() uses its argument twice.
    uniform = run(free("V_m = max(random_uniform(1, 4), 3.) * 1 mV"), 1, n=n)[:, 0]
    assert uniform.min() == 3 and uniform.max() < 5
    assert (uniform == 3).mean() == pytest.approx(0.5, abs=0.015)
    poisson = run(free("V_m = random_poisson(4) * 1 mV"), 1, n=n)[:, 0]
    assert poisson.mean() == pytest.approx(4, abs=0.06) and poisson.var() == pytest.approx(
        4, abs=0.2
    )


@needs_pynestml
def test_delta_kernels_add_where_the_equation_is_integrated() -> None:
    text = free(
        "if a > 0:\n            integrate_odes()\n        a = 1 - a",
        equations="kernel G = delta(t)\n        V_m' = -V_m / tau + 2 mV/ms * convolve(G, spikes)",
    )
    arriving = {1: 1.5, 2: 2.5, 3: 9.0, 4: 1.0}
    value, expected = 0.0, []
    for step in range(8):
        expected.append(value := value * np.exp(-0.01) if step % 2 == 0 else value)
        if step % 2 == 0:  # what arrives when it is not integrated is lost, as in NEST
            value += 2 * arriving.get(step, 0)
    assert run(text, 8, arriving)[0] == pytest.approx(expected, rel=1e-12)
    assert max(expected) > 6


@needs_pynestml
def test_blocks_of_higher_priority_act_first() -> None:
    text = free("V_m = V_m").replace(
        "    onCondition",
        "    onReceive(spikes, priority=1):\n        V_m *= 2\n"
        "    onReceive(others, priority=2):\n        V_m = 3 mV\n    onCondition",
    )
    assert list(read(text).receive) == ["others", "spikes"]
    lines = brian2_code(read(text)).code.splitlines()
    assert lines.index("in_others = 0") < lines.index("in_spikes = 0")


@needs_pynestml
def test_names_that_brian2_keeps_are_renamed_for_local_variables_too() -> None:
    text = free("dt ms = 3 ms\n        V_m = dt / 1 ms * 2 mV")
    assert run(text, 1)[0, 0] == 6


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
