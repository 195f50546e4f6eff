"""NESTML's own models in Brian2 and, compiled from the same text, in NEST."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType

import brian2 as b2
import numpy as np
import pytest

from converters.nest import shim
from converters.nestml import brian2_code, neuron_group, read
from converters.nestml.parts import parts

ROOT = Path(__file__).resolve().parent.parent
needs_nestml = pytest.mark.skipif(
    importlib.util.find_spec("pynestml") is None,
    reason="needs nestml: pip install 'striate[nest]'",
)
needs_nest = pytest.mark.skipif(
    importlib.util.find_spec("nest") is None or shutil.which("cmake") is None,
    reason="needs nest-simulator (pip install 'striate[nest]') and cmake",
)
BOUNDED = """
model bounded_neuron:
    state:
        V_m mV = -70 mV
        w pA = 0 pA
    equations:
        inline V_bounded mV = min(V_m, V_peak)
        V_m' = (-g_L * (V_bounded - E_L) + g_L * D * exp((V_bounded - V_th) / D) - w) / C_m
        w' = (a * (V_bounded - E_L) - w) / tau_w
    parameters:
        V_peak mV = 0 mV
        E_L mV = -60 mV
        V_th mV = -50 mV
        D mV = 2 mV
        g_L nS = 30 nS
        C_m pF = 281 pF
        a nS = 4 nS
        tau_w ms = 144 ms
    input:
        spikes <- spike
        I_stim pA <- continuous
    output:
        spike
    update:
        integrate_odes(V_m, w)
    onCondition(V_m >= V_peak):
        V_m = E_L
        emit_spike()
"""


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    """``benchmarks/nestml_models.py``."""
    place = ROOT / "benchmarks" / "nestml_models.py"
    spec = importlib.util.spec_from_file_location("nestml_models", place)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["nestml_models"] = module
    spec.loader.exec_module(module)
    return module


@needs_nestml
def test_split_code_computes_what_the_whole_does() -> None:
    code = brian2_code(read(BOUNDED), "rk4", 4)
    split = parts(code)
    assert len(split.code) > 1 and split.carried
    b2.prefs.codegen.target = "numpy"
    group = neuron_group(code, 2, dt_ms=0.1)
    b2.Network(group).run(5 * b2.ms)
    from converters.nestml.group import constants

    values, states = constants(code, {}, 0.1)
    names = {**values, **states, "I_stim": 0.0, "in_spikes": 0.0}
    names |= {"where": np.where, "exp": np.exp, "int": int}
    names = {k: float(v) if np.ndim(v) == 0 and not callable(v) else v for k, v in names.items()}
    for _ in range(50):
        exec(code.code, names)  # noqa: S102
    assert np.asarray(group.V_m) == pytest.approx(np.full(2, names["V_m"]), abs=1e-9)
    assert names["V_m"] > -69


@needs_nest
@needs_nestml
@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["iaf_psc_exp", "aeif_cond_exp", "iaf_cond_beta", "hh_psc_alpha", "izhikevich"]
)
def test_models_of_nestml_agree_with_nest(name: str, benchmark: ModuleType) -> None:
    row = benchmark.of_model(name)
    assert row["converts"] and row["agrees"], row


@needs_nest
@needs_nestml
@pytest.mark.slow
def test_a_current_acts_a_delay_after_it_is_switched_on(benchmark: ModuleType) -> None:
    text = (benchmark.folder() / "iaf_psc_exp_neuron.nestml").read_text()
    code, setting = brian2_code(read(text)), benchmark.SETTINGS["iaf_psc_exp"]
    for run in (benchmark.in_brian2(code, setting), benchmark.in_nest(text, code, setting)):
        above = np.flatnonzero(run.V_mV[:, 0] > -70 + 1e-6)
        # In Brian2 the variable is set at the start of this step; NEST's generator is switched on
        # one delay (a step) before.
        assert above[0] == benchmark.ON


def test_the_wheel_gets_declarations_of_gsl(tmp_path: Path) -> None:
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("needs g++: apt-get install g++")
    import subprocess

    (tmp_path / "gsl").mkdir()
    for header in shim.GSL_HEADERS:
        (tmp_path / "gsl" / header).write_text(shim.GSL)
    # Every function as NESTML's template for neurons calls it.
    (tmp_path / "use.cpp").write_text(
        "".join(f"#include <gsl/{header}>\n" for header in shim.GSL_HEADERS)
        + """
int dynamics(double, const double*, double*, void*) { return GSL_SUCCESS; }
int main() {
  gsl_odeiv_step* s = gsl_odeiv_step_alloc(gsl_odeiv_step_rkf45, 2);
  gsl_odeiv_control* c = gsl_odeiv_control_y_new(1e-6, 1e-6);
  gsl_odeiv_evolve* e = gsl_odeiv_evolve_alloc(2);
  gsl_odeiv_system sys;
  sys.function = dynamics; sys.jacobian = nullptr; sys.dimension = 2; sys.params = nullptr;
  double t = 0, h = 0.1, y[2] = {0, 0};
  gsl_odeiv_control_init(c, 1e-6, 1e-6, 1.0, 0.0);
  int status = gsl_odeiv_evolve_apply(e, c, s, &sys, &t, 0.1, &h, y);
  gsl_odeiv_step_reset(s); gsl_odeiv_evolve_reset(e);
  gsl_odeiv_evolve_free(e); gsl_odeiv_control_free(c); gsl_odeiv_step_free(s);
  return status == GSL_SUCCESS ? 0 : GSL_FAILURE;
}
"""
    )
    command = [compiler, "-std=c++20", "-Wall", "-Werror", "-fsyntax-only", "-I", str(tmp_path)]
    done = subprocess.run(
        [*command, str(tmp_path / "use.cpp")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@needs_nestml
def test_booleans_are_conditions() -> None:
    text = BOUNDED.replace("w pA = 0 pA", "w pA = 0 pA\n        fired boolean = false").replace(
        "onCondition(V_m >= V_peak):",
        "onCondition(not fired and V_m >= V_peak):\n        fired = true",
    )
    b2.prefs.codegen.target = "numpy"
    group = neuron_group(brian2_code(read(text)), 1, {"V_m": -45.0}, dt_ms=0.1)
    spikes = b2.SpikeMonitor(group)
    b2.Network(group, spikes).run(20 * b2.ms)
    assert len(spikes.t) == 1
    assert group.fired[0] == 1
