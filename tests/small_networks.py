"""A network of four neurons, to be changed field by field."""

from __future__ import annotations

from typing import Any

import numpy as np

from toolkit import Input, Network, Receptor, Synapses, Table

GLIF3 = {
    "C_m_pF": 100.0,
    "g_nS": 5.0,
    "E_L_mV": -70.0,
    "V_th_mV": -50.0,
    "V_reset_mV": -70.0,
    "t_ref_ms": 3.0,
    "asc_decay_1_per_ms": 0.1,
    "asc_decay_2_per_ms": 0.01,
    "asc_amp_1_pA": -5.0,
    "asc_amp_2_pA": -1.0,
}


def neurons(n: int = 4, **changes: Any) -> Table:
    """Neurons of two classes, the last of every four inhibitory."""
    inhibitory = np.arange(n) % 4 == 3
    columns: dict[str, Any] = {name: np.full(n, value) for name, value in GLIF3.items()}
    columns["population"] = columns["cell_class"] = np.where(inhibitory, "i", "excitatory")
    columns["sign"] = np.where(inhibitory, -1, 1).astype(np.int8)
    return Table({**columns, **changes})


def synapses(**changes: Any) -> Synapses:
    arrays = dict(
        pre=[1, 3, 0, 2],
        post=[0, 0, 1, 3],
        weight=[2.0, -3.0, 0.5, 1.0],
        delay_ms=[1.0, 0.5, 1.5, 2.0],
        receptor=[0, 1, 0, 0],
    )
    return Synapses(**{name: np.array(values) for name, values in {**arrays, **changes}.items()})


def network(**changes: Any) -> Network:
    parts: dict[str, Any] = {
        "neurons": neurons(),
        "synapses": synapses(),
        "receptors": {"fast": Receptor(2.8), "slow": Receptor(8.5, "exponential")},
        "inputs": {
            "lgn": Input(
                2,
                Synapses(*map(np.array, ([1, 0], [0, 2], [5.0, 4.0], [1.7, 1.7], [0, 0]))),
                sources=Table({"family": np.array(["sON", "tOFF"]), "x_deg": np.array([0.5, -1])}),
            ),
            "background": Input(4, Synapses.none(), rate_Hz=1000.0),
        },
        "seed": 7,
        "provenance": {"circuit": "test", "parts": [1, 2.5, None]},
    }
    return Network(**{**parts, **changes})
