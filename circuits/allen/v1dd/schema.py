"""What the files of `circuits.allen.v1dd` hold: units, ranges, accepted values and meanings.

`FILES` is in the order of loading: a file's columns may name the keys of files before it.
"""

from __future__ import annotations

from circuits.allen.schema import GLIF3, POPULATION, File, count, name, number

SYNAPTIC_TYPES = ("e23", "e4", "e5it", "e5et", "e5np", "e6", "pv", "sst", "vip")
EXTERNAL = "exc"  # the presynaptic type of LGN and background
ENDS = ("e2e", "e2i", "i2e", "i2i")

CELL_TYPES = File(
    "cell_types",
    (
        name("cell_type", "cell type"),
        name("cell_class", "cell class", "classes"),
        name("synaptic_type", "synaptic type", accepted=SYNAPTIC_TYPES),
        number("depth_top_um", "um", "upper end of the somata, below the pia", 0, 2000),
        number("depth_bottom_um", "um", "lower end of the somata, below the pia", 0, 2000),
        number("n_synapses_shape", "", "standard deviation of the log of n_synapses", 0, 5),
        number("n_synapses_scale", "", "median of the number of synapses", 1, 1e6),
    ),
    key=("cell_type",),
    covers=("cell_class",),
    ascending=(("depth_top_um", "depth_bottom_um"),),
)

POPULATIONS = File(
    "populations",
    (
        name("population", "population"),
        name("cell_type", "cell type", "cell_types"),
        count("n_full", "neurons in the full column (radius 700 um)", 1),
    ),
    key=("population",),
    covers=("cell_type",),
)

POTENTIALS = File(
    "potentials",
    (
        name("potential", "group of post-synaptic potentials"),
        number("shape", "", "standard deviation of the log of the size", 0, 5),
        number("scale_mV", "mV", "median size", 1e-3, 100),
    ),
    key=("potential",),
)

CONNECTIONS = File(
    "connections",
    (
        name("pre", "presynaptic cell type", "cell_types"),
        name("post", "postsynaptic cell type", "cell_types"),
        number("p_peak", "", "connection probability at its peak", 0, 1),
        name("potential", "group of post-synaptic potentials", "potentials"),
    ),
    key=("pre", "post"),
    covers=("pre", "post"),
)

FALLOFF = File(
    "falloff",
    (
        name("ends", "signs of the two ends", accepted=ENDS),
        number("sigma_um", "um", "standard deviation of the fall-off of the probability", 1, 2000),
        number("b_ratio", "", "probability at 90 degrees over that at 0", 0, 2, blank=True),
    ),
    key=("ends",),
    covers=("ends",),
)

KINETICS = File(
    "kinetics",
    (
        name("pre_type", "presynaptic type", accepted=(EXTERNAL, *SYNAPTIC_TYPES)),
        name("post_type", "postsynaptic type", accepted=SYNAPTIC_TYPES),
        number("tau_fast_ms", "ms", "time constant of the fast part", 0.01, 1000),
        number("tau_slow_ms", "ms", "time constant of the slow part", 0.01, 1000),
        number("amp_slow", "", "peak of the slow part over that of the fast one", 0.001, 100),
        number("delay_ms", "ms", "delay", 0.01, 100, blank=True),
    ),
    key=("pre_type", "post_type"),
    covers=("pre_type", "post_type"),
)

CELLS = File(
    "cells",
    (
        name("cell", "specimen id of the cell model"),
        POPULATION,
        *(number(p.name, p.unit, p.meaning, p.low, p.high) for p in GLIF3),
        number("background_weight_pA", "pA", "peak of the fast current, one synapse", 0, 1e4),
    ),
    key=("cell",),
    covers=("population",),
    ascending=(("V_reset_mV", "V_th_mV"),),
)

LGN_TO_V1 = File(
    "lgn_to_v1",
    (
        POPULATION,
        number("tf_mean_Hz", "Hz", "mean of the draw of the preferred frequency", 0.1, 100),
        number("p_on", "", "probability that the sustained subfield is ON", 0, 1),
        number("synapse_ratio_vs_e4", "", "LGN synapses over those of E of layer 4", 0, 100),
        number("yule_simon_rho", "", "parameter of the synapses of a connection", 1.001, 100),
        number("base_psp_mV", "mV", "potential that one synapse evokes", 0, 100),
        number("e4_fraction", "", "LGN synapses over all, E of layer 4", 0, 1),
        number("delay_ms", "ms", "delay", 0.01, 100),
    ),
    key=("population",),
    covers=("population",),
)

LGN_FACTORS = File(
    "lgn_factors",
    (
        name("cell", "specimen id of the cell model", "cells"),
        number("factor", "", "factor on the weights of LGN synapses", 0, 100),
    ),
    key=("cell",),
)

FILES: tuple[File, ...] = (
    CELL_TYPES,
    POPULATIONS,
    POTENTIALS,
    CONNECTIONS,
    FALLOFF,
    KINETICS,
    CELLS,
    LGN_TO_V1,
    LGN_FACTORS,
)
