"""Networks of all kinds for round trips through files, and what makes two of them the same."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st
from small_networks import neurons

from toolkit import Input, Network, Receptor, Synapses, Table

PARTS = ("pre", "post", "weight", "delay_ms", "receptor")


def assert_same(a: Network, b: Network) -> None:
    """Equal in every field and type, and in the order of everything that has one."""

    def tables(x: Table | None, y: Table | None) -> None:
        assert (x is None) == (y is None)
        if x is None or y is None:
            return
        assert list(x) == list(y)
        for name in x:
            assert x[name].dtype.kind == y[name].dtype.kind
            assert x[name].dtype.kind == "U" or x[name].dtype == y[name].dtype
            np.testing.assert_array_equal(x[name], y[name])

    def same_synapses(x: Synapses, y: Synapses) -> None:
        for part in PARTS:
            np.testing.assert_array_equal(getattr(x, part), getattr(y, part))
            assert getattr(x, part).dtype == getattr(y, part).dtype

    tables(a.neurons, b.neurons)
    same_synapses(a.synapses, b.synapses)
    assert list(a.receptors.items()) == list(b.receptors.items())
    assert list(a.inputs) == list(b.inputs)
    for name in a.inputs:
        x, y = a.inputs[name], b.inputs[name]
        assert (x.n, x.rate_Hz) == (y.n, y.rate_Hz)
        same_synapses(x.synapses, y.synapses)
        tables(x.sources, y.sources)
    assert (a.model, a.seed, a.dale) == (b.model, b.seed, b.dale)
    assert dict(a.provenance) == dict(b.provenance)
    assert a.digest() == b.digest()


words = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=5)
identifiers = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,7}", fullmatch=True)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
receptors = st.one_of(
    st.builds(Receptor, st.floats(0.1, 100), st.sampled_from(["alpha", "exponential"])),
    st.builds(
        Receptor,
        st.floats(0.1, 100),
        st.just("double_alpha"),
        st.floats(0.1, 100),
        st.floats(0.01, 2),
    ),
)
dtypes = st.sampled_from(["<f8", "<f4", "<f2", ">f8", "<i8", "|i1", "<u2", "|b1", "text"])


@st.composite
def columns(draw: st.DrawFn, n: int) -> dict[str, np.ndarray]:
    """Columns of any names and types; few values, so that some are shared."""
    found = {}
    for name in draw(st.lists(words, max_size=3, unique=True)):
        kind = draw(dtypes)
        if kind == "text":
            found[f"_{name}"] = np.array(draw(st.lists(words, min_size=n, max_size=n)), dtype=str)
        else:
            number = st.sampled_from([0, 1, 7] + ([-0.0, 0.1, np.nan] if "f" in kind else []))
            values = draw(st.lists(number, min_size=n, max_size=n))
            found[f"_{name}"] = np.array(values, dtype=np.dtype(kind))
    return found


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """Small networks: none or several synapses of a pair, odd names, tables, rates, signs."""
    n, n_sources = draw(st.integers(0, 6)), draw(st.integers(0, 4))
    listed = draw(st.dictionaries(words, receptors, max_size=3))
    dale = draw(st.booleans())

    def connect(n_pre: int, signs: np.ndarray) -> Synapses:
        count = draw(st.integers(0, 12)) if n_pre and n and listed else 0
        rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
        pre = rng.integers(0, max(n_pre, 1), count)
        weight = rng.normal(size=count)
        return Synapses.sort(
            pre,
            rng.integers(0, max(n, 1), count),
            np.abs(weight) * signs[pre] if dale and count else weight,
            rng.uniform(0.1, 5, count),
            rng.integers(0, max(len(listed), 1), count),
        )

    more: dict[str, Any] = draw(columns(n))
    if draw(st.booleans()):
        more["V_init_mV"] = np.linspace(-70, -60, n)
    classes = draw(st.lists(words, min_size=n, max_size=n))
    cells = neurons(n, cell_class=np.array(classes, dtype=str), **more)
    inputs = {
        name: Input(
            n_sources,
            connect(n_sources, np.ones(n_sources)),
            draw(st.none() | st.floats(0, 1e5)),
            draw(st.none() | columns(n_sources).filter(bool).map(Table)),
        )
        for name in draw(st.lists(identifiers, max_size=2, unique_by=str.lower))
        if name != "v1"
    }
    return Network(
        cells,
        connect(n, cells["sign"]),
        listed,
        inputs,
        seed=draw(st.integers(0, 2**63 - 1)),
        provenance=draw(st.dictionaries(st.text(), json_values, max_size=3)),
        dale=dale,
    )
