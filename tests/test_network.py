"""`Network`: its self-checks and its digest."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_networks import network, neurons, synapses

from toolkit import Input, Receptor, Synapses, Table
from toolkit.errors import InputError
from toolkit.receptor import charge_pA_ms

# ---- receptors and charges -------------------------------------------------------------------


@pytest.mark.parametrize("kernel", ["alpha", "exponential"])
def test_charge_is_the_integral_of_the_current(kernel: str) -> None:
    tau = 5.5
    t = np.linspace(0, 40 * tau, 400_001)
    current = t / tau * np.exp(1 - t / tau) if kernel == "alpha" else np.exp(-t / tau)
    charge = charge_pA_ms(3.0, Receptor(tau, kernel))
    assert charge == pytest.approx(3.0 * current.sum() * t[1], rel=2e-4)


@pytest.mark.parametrize(
    ("tau_ms", "kernel", "message"),
    [
        (5.0, "Alpha", "Did you mean 'alpha'"),
        (0.0, "alpha", "tau_ms"),
        (-1.0, "alpha", "tau_ms"),
        (np.nan, "alpha", "tau_ms"),
        (1e5, "alpha", "10,000"),
    ],
)
def test_receptors_out_of_range(tau_ms: float, kernel: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Receptor(tau_ms, kernel)


# ---- synapses --------------------------------------------------------------------------------


def test_synapse_arrays_are_small_and_frozen() -> None:
    made = synapses()
    assert sum(getattr(made, field.name).itemsize for field in dataclasses.fields(made)) == 17
    with pytest.raises(ValueError, match="read-only"):
        made.weight[0] = 1


def test_arrays_given_are_copied() -> None:
    pre = np.array([0, 1], dtype=np.int32)
    made = Synapses(pre, np.array([0, 0]), np.ones(2), np.ones(2), np.zeros(2))
    pre[0] = 1
    assert made.pre[0] == 0
    assert pre.flags.writeable


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pre": [1, 3, 0]}, "different lengths"),
        ({"pre": [[1, 3, 0, 2]]}, "one dimension"),
        ({"pre": [1, 3.5, 0, 2]}, "pre 3.5 of synapse 1"),
        ({"pre": [1, 2**32, 0, 2]}, "pre 4294967296 of synapse 1"),
        ({"pre": [1, np.nan, 0, 2]}, "pre nan of synapse 1"),
        ({"receptor": [0, 256, 0, 0]}, "receptor 256 of synapse 1"),
        ({"receptor": [0, -1, 0, 0]}, "receptor -1 of synapse 1"),
        ({"weight": [1.0, 2.0, np.nan, 1.0]}, "synapse 2 has weight nan"),
        ({"weight": [1.0, 1e300, 1.0, 1.0]}, "synapse 1 has weight inf"),
        ({"delay_ms": [1.0, 1.0, 1.0, np.inf]}, "synapse 3 has delay_ms inf"),
        ({"delay_ms": [1.0, 0.0, 1.0, 1.0]}, "synapse 1 has a delay of 0"),
        ({"delay_ms": [1.0, 1.0, -2.0, 1.0]}, "synapse 2 has a delay of -2"),
        ({"post": [0, 1, 0, 3]}, "sorted by"),
        ({"pre": [3, 1, 0, 2]}, "sorted by"),
    ],
)
def test_bad_synapses(changes: dict[str, list], message: str) -> None:
    with pytest.raises(InputError, match=message):
        synapses(**changes)


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.floats(0.5, 2)), max_size=30))
def test_sort_keeps_every_synapse_and_the_order_within_a_pair(rows: list) -> None:
    pre, post, weight = (
        (np.array(column) for column in zip(*rows, strict=True)) if rows else [np.zeros(0)] * 3
    )
    made = Synapses.sort(pre, post, weight, weight, np.zeros(len(rows)))
    expected = sorted(rows, key=lambda row: (row[1], row[0]))
    got = list(zip(made.pre.tolist(), made.post.tolist(), made.weight.tolist(), strict=True))
    assert got == [(p, q, float(np.float32(w))) for p, q, w in expected]


# ---- networks --------------------------------------------------------------------------------


def test_a_network_counts() -> None:
    made = network()
    assert made.n == 4
    assert made.classes == ["excitatory", "i"]
    assert made.excitatory.tolist() == [True, True, True, False]
    summary = made.summary()
    assert summary.index.tolist() == ["excitatory", "i"]
    assert summary["sign"].tolist() == [1, -1]
    assert summary["neurons"].tolist() == [3, 1]
    assert summary["in_degree_E"].tolist() == pytest.approx([2 / 3, 1.0])
    assert summary["in_degree_I"].tolist() == pytest.approx([1 / 3, 0.0])
    assert summary["in_degree_lgn"].tolist() == pytest.approx([2 / 3, 0.0])
    assert summary["in_degree_background"].tolist() == [0.0, 0.0]


def test_a_network_is_frozen() -> None:
    made = network()
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.seed = 3  # type: ignore[misc]
    with pytest.raises(TypeError):
        made.inputs["more"] = made.inputs["lgn"]  # type: ignore[index]
    with pytest.raises(ValueError, match="read-only"):
        made.neurons["C_m_pF"][0] = 1


def test_replace_checks_again() -> None:
    assert network().replace(seed=9).seed == 9
    with pytest.raises(InputError, match="there are 3"):
        network().replace(neurons=neurons(3))


def without(column: str) -> Table:
    return Table({name: values for name, values in neurons().items() if name != column})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "glif6"}, "unknown neuron model 'glif6'.*Did you mean 'glif"),
        ({"neurons": without("cell_class")}, "column 'cell_class'"),
        ({"neurons": without("g_nS")}, r"g_nS \(leak conductance, nS\)"),
        ({"neurons": neurons(C_m_pF=[100.0, 0.0, 1.0, 1.0])}, "C_m_pF of neuron 1 is 0 pF"),
        ({"neurons": neurons(g_nS=[5.0, 5.0, np.nan, 5.0])}, "g_nS of neuron 2 is nan"),
        ({"neurons": neurons(g_nS=["a", "b", "c", "d"])}, "must be numbers"),
        ({"neurons": neurons(sign=[1, 1, 0, -1])}, "must be \\+1"),
        ({"synapses": synapses(pre=[1, 4, 0, 2])}, "synapse 1 has pre 4; there are 4"),
        ({"synapses": synapses(post=[-1, 0, 1, 3])}, "synapse 0 has post -1; there are 4"),
        ({"synapses": synapses(receptor=[0, 1, 0, 2])}, "synapse 3 has receptor 2; there are 2"),
        (
            {"inputs": {"lgn": Input(1, synapses(pre=[0, 1, 0, 0]))}},
            "input 'lgn': synapse 1 has pre 1; there are 1",
        ),
    ],
)
def test_bad_networks(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        network(**changes)


def test_dales_law() -> None:
    against = synapses(weight=[2.0, 3.0, 0.5, 1.0])
    with pytest.raises(InputError, match=r"synapse 1 from neuron 3 \(sign -1\) has weight 3 pA"):
        network(synapses=against)
    assert not network(synapses=against, dale=False).dale
    network(synapses=synapses(weight=[2.0, 0.0, 0.5, 1.0]))  # a silent synapse breaks no law


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": -1}, "n = -1"),
        ({"n": 2, "rate_Hz": -1.0}, "rate"),
        ({"n": 2, "rate_Hz": np.nan}, "rate"),
        ({"n": 2, "sources": Table({"x_deg": [1.0]})}, "2 sources, but a table of 1 rows"),
    ],
)
def test_bad_inputs(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Input(synapses=Synapses.none(), **arguments)


# ---- digest ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"neurons": neurons(t_ref_ms=[3.0, 3.0, 3.0, 3.1])},
        {"neurons": neurons(population=["a", "b", "c", "d"])},
        {"neurons": neurons(x_um=[1.0, 2.0, 3.0, 4.0])},
        {"synapses": synapses(weight=[2.0, -3.0, 0.5, np.nextafter(1, 2, dtype=np.float32)])},
        {"synapses": synapses(delay_ms=[1.0, 0.5, 1.5, 2.1])},
        {"receptors": {"fast": Receptor(2.8), "slow": Receptor(8.4, "exponential")}},
        {"receptors": {"fast": Receptor(2.8), "slow": Receptor(8.5)}},
        {"inputs": {}},
        {"inputs": {**network().inputs, "background": Input(4, Synapses.none(), 900.0)}},
        {
            "inputs": {
                **network().inputs,
                "lgn": dataclasses.replace(network().inputs["lgn"], sources=None),
            }
        },
    ],
)
def test_the_digest_tells_circuits_apart(change: dict[str, Any]) -> None:
    assert network(**change).digest() != network().digest()


def test_the_digest_is_of_the_circuit_alone() -> None:
    wide = np.array(["excitatory", "excitatory", "excitatory", "i"], dtype="U40")
    same = network(neurons=neurons(cell_class=wide), provenance={"made": "elsewhere"})
    assert same.digest() == network().digest()


@pytest.mark.parametrize("name", ["my lgn", "a.b", "1st", ""])
def test_input_names_are_identifiers(name: str) -> None:
    with pytest.raises(InputError, match="letters, digits"):
        network(inputs={name: Input(4, Synapses.none(), rate_Hz=1.0)})
