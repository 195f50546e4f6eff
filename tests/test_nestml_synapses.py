"""Plastic synapses of NESTML in Brian2: weights as by hand, and as NEST has them."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import brian2 as b2
import numpy as np
import pytest
import synapse_cases as cases

from toolkit.errors import InputError

pytest.importorskip("pynestml", reason="nestml is not installed")

from converters.nestml import read, synapse_code, synapses

PLASTIC = ["stdp", "stdp_triplet", "stdp_nn_symm", "stdp_nn_pre_centered", "stdp_nn_restr_symm"]
N_STEPS = 2000


@pytest.fixture(autouse=True)
def numpy_target() -> None:
    b2.prefs.codegen.target = "numpy"


@pytest.mark.parametrize("name", PLASTIC)
def test_weights_are_those_of_the_definition(name: str) -> None:
    pre, post = cases.spikes(n_steps=N_STEPS)
    assert all(len(np.intersect1d(pre, post + d)) > 3 for d in cases.DELAYS)
    ours = cases.brian2_weights(synapse_code(cases.model(name)), {}, pre, post, N_STEPS)
    expected = cases.by_hand(getattr(cases, name), pre, post)
    assert np.ptp(expected) > 3
    assert ours == pytest.approx(expected, rel=1e-10)


@pytest.mark.filterwarnings("ignore:divide by zero")  # tau_fac is 0, in the branch not taken
def test_depression_of_releases() -> None:
    pre, post = cases.spikes(n_steps=N_STEPS)
    ours = cases.brian2_weights(synapse_code(cases.model("tsodyks")), {}, pre, post, N_STEPS)
    assert ours == pytest.approx(cases.tsodyks(pre), abs=1e-9)


def test_static_weights_by_synapse() -> None:
    pre, post = cases.spikes(n_steps=600)
    given = {"w": np.array([1.0, 2.0, 3.0, 4.5])}
    ours = cases.brian2_weights(synapse_code(cases.model("static")), given, pre, post, 600)
    assert (ours == given["w"][:, None]).all()


def test_noisy_weights_have_their_distribution() -> None:
    pre, post = cases.spikes(n_steps=10_000)
    code = synapse_code(cases.model("noisy"))
    ours = cases.brian2_weights(code, {"w": 7.0, "A_noise": 0.4}, pre, post, 10_000).ravel()
    assert len(np.unique(ours)) == len(ours) > 1000  # each spike and synapse has its own
    assert ours.mean() == pytest.approx(7, abs=5 * 0.4 / len(ours) ** 0.5)
    assert ours.std() == pytest.approx(0.4, rel=0.12)


def test_traces_may_be_convolutions() -> None:
    pre, post = cases.spikes(n_steps=N_STEPS)
    text = cases.model("stdp").read_text()
    for side in ("pre", "post"):
        text = text.replace(f"        {side}_trace real = 0.\n", "")
        text = text.replace(f"        {side}_trace += 1\n", "")
        text = text.replace(
            f"        {side}_trace' = -{side}_trace / tau_tr_{side}\n",
            f"        kernel {side}_kernel = exp(-t / tau_tr_{side})\n"
            f"        inline {side}_trace real = convolve({side}_kernel, {side}_spikes)\n",
        )
    ours = cases.brian2_weights(synapse_code(text), {}, pre, post, N_STEPS)
    assert ours == pytest.approx(cases.by_hand(cases.stdp, pre, post), rel=1e-10)


def test_parameters_are_taken_by_their_names_in_nestml() -> None:
    pre, post = cases.spikes(n_steps=600)
    code = synapse_code(cases.model("stdp"))
    still = cases.brian2_weights(code, {"lambda": 0.0, "w": 3.0}, pre, post, 600)
    assert (still == 3).all()
    with pytest.raises(InputError, match="unknown parameter of stdp_synapse 'Lambda'"):
        cases.brian2_weights(code, {"Lambda": 0.0}, pre, post, 600)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("stdsp", r"stdsp_synapse.nestml:69:8: the continuous port 'dAP_trace' of a synapse"),
        ("neuromodulated_stdp", r":78:8: a third port of spikes, 'mod_spikes'"),
    ],
)
def test_what_cannot_be_done_is_refused_with_its_place(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        synapse_code(cases.model(name))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("pre_trace' = -pre_trace / tau_tr_pre", "pre_trace' = -pre_trace**2 / tau_tr_pre",
         r":\d+:8: the equation of 'pre_trace', which is not linear"),
        ("pre_trace' = -pre_trace / tau", "pre_trace' = (post_trace - pre_trace) / tau",
         r":\d+:8: the equation of 'pre_trace', which depends on other variables"),
        ("        # potentiate synapse\n", "        emit_spike(w)\n",
         r":\d+:4: a spike that no presynaptic one causes"),
        ("onReceive(post_spikes):", "onReceive(post_spikes, priority=1):",
         r":\d+:4: "),
    ],
)  # fmt: skip
def test_other_refusals(old: str, new: str, message: str) -> None:
    text = cases.model("stdp").read_text()
    assert old in text
    with pytest.raises(InputError, match=message):
        synapse_code(text.replace(old, new))


def test_ports_and_neurons_are_told_apart() -> None:
    with pytest.raises(InputError, match=r"stdp_synapse has no port 'pre' .*pre_spikes, post"):
        synapse_code(cases.model("stdp"), pre="pre")
    with pytest.raises(InputError, match=r"a synapse model \(use synapse_code\), as a neuron"):
        read(cases.model("stdp"))
    with pytest.raises(InputError, match="a spike with a value"):
        read(cases.model("static"))


def test_priorities_are_refused() -> None:
    text = cases.model("stdp").read_text()
    text = text.replace("(post_spikes):", "(post_spikes, priority=1):")
    with pytest.raises(InputError, match=r":\d+:4: a priority in a synapse"):
        synapse_code(text.replace("(pre_spikes):", "(pre_spikes, priority=2):"))


@pytest.mark.parametrize("delay", [0.0, 0.05, 0.123, np.nan])
def test_delays_off_the_grid_are_refused(delay: float) -> None:
    target = cases.neuron_group(cases.relay(), 1, dt_ms=0.1)
    source = b2.SpikeGeneratorGroup(1, [], [] * b2.ms)
    code = synapse_code(cases.model("static"))
    with pytest.raises(InputError, match=r"whole steps of 0.1 ms, at least 1, got"):
        synapses(code, source, target, port="spikes", pre=[0], post=[0], delay_ms=delay, dt_ms=0.1)
    with pytest.raises(InputError, match="no port 'spike'; it has: spikes"):
        synapses(code, source, target, port="spike", pre=[0], post=[0], delay_ms=1.0, dt_ms=0.1)


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("nest") is None or shutil.which("cmake") is None,
    reason="needs nest-simulator and cmake: pip install 'striate[nest]', apt-get install cmake",
)
def test_weights_are_those_of_nest(tmp_path: Path) -> None:
    pre, post = cases.spikes()
    texts = {name: cases.model(name).read_text() for name in ["static", "tsodyks", *PLASTIC]}
    models = {}
    for name, text in texts.items():
        # NEST has models of some of the names.
        original = next(line for line in text.splitlines() if line.startswith("model "))
        own = f"our_{name}_synapse"
        models[own] = text.replace(original, f"model {own}:"), "stdp" in name
    case = dict(
        relay=cases.RELAY, models=models, pre=pre.tolist(), post=post.tolist(),
        delays=cases.DELAYS, dt_ms=cases.DT_MS, n_steps=cases.N_STEPS,
        # NESTML 9 writes 0.75 for the default.
        given={"our_stdp_triplet_synapse": {"A2_plus": 7.5e-10}},
    )  # fmt: skip
    (tmp_path / "case.json").write_text(json.dumps(case))
    program = Path(__file__).with_name("nest_synapses.py")
    done = subprocess.run(
        [sys.executable, str(program), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    with np.load(tmp_path / "weights.npz") as stored:
        nest = {name: stored[f"our_{name}_synapse"] for name in texts}
    for name, text in texts.items():
        ours = cases.brian2_weights(synapse_code(text), {}, pre, post)
        assert nest[name].shape == ours.shape
        # The state of tsodyks_synapse is a difference of numbers near 1.
        assert ours == pytest.approx(nest[name], rel=1e-9, abs=1e-9), name
