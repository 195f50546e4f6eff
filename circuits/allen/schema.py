"""What the files of `circuits.allen` hold: each column's unit, range, accepted values, meaning.

`FILES` is in the order of loading: a file's columns may name the keys of files before it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toolkit.neurons import glif3

RECEPTORS = ("e2e", "i2e", "e2i", "i2i")
LGN_FAMILIES = ("sON", "sOFF", "tON", "tOFF", "sONsOFF", "sONtOFF")


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes
    ----------
    name, unit, meaning : unit "" for names, counts and ratios
    kind : float, int, str or bool ("yes" or "no" in the file)
    low, high : allowed range of a number, inclusive and finite
    accepted : the only texts allowed, if any
    key_of : a file whose key this must be
    blank : whether a cell may be empty (NaN, or "" for a name)
    """

    name: str
    kind: type
    unit: str
    meaning: str
    low: float = -np.inf
    high: float = np.inf
    accepted: tuple[str, ...] = ()
    key_of: str = ""
    blank: bool = False

    def describe(self) -> str:
        """What a cell of this column may hold, in words.

        >>> Column("g_nS", float, "nS", "leak conductance", 0.001, 1e4).describe()
        'a number from 0.001 to 10000 nS (leak conductance)'
        """
        if self.accepted:
            text = f"one of {', '.join(self.accepted)}"
        elif self.kind is str:
            text = "a name"
        elif self.kind is bool:
            text = "yes or no"
        else:
            text = "a whole number" if self.kind is int else "a number"
            text += f" from {self.low:g} to {self.high:g}" + (f" {self.unit}" if self.unit else "")
        return f"{text}{', or nothing' if self.blank else ''} ({self.meaning})"


@dataclass(frozen=True)
class File:
    """One CSV file.

    Attributes
    ----------
    name : file name without ``.csv``
    columns : in the order of the file
    key : columns that together tell the rows apart
    covers : columns of which every combination of known names must appear
    ascending : groups of columns whose values may not fall from left to right
    together : groups of columns that are all filled or all blank
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    covers: tuple[str, ...] = ()
    ascending: tuple[tuple[str, ...], ...] = ()
    together: tuple[tuple[str, ...], ...] = ()


def name(name: str, meaning: str, key_of: str = "", accepted: tuple[str, ...] = ()) -> Column:
    """A column of names."""
    return Column(name, str, "", meaning, key_of=key_of, accepted=accepted)


def count(name: str, meaning: str, low: float = 0, high: float = 1e8) -> Column:
    """A column of whole numbers."""
    return Column(name, int, "", meaning, low, high)


def number(
    name: str, unit: str, meaning: str, low: float, high: float, blank: bool = False
) -> Column:
    """A column of numbers."""
    return Column(name, float, unit, meaning, low, high, blank=blank)


PRE = name("pre", "presynaptic class", "classes")
POST = name("post", "postsynaptic class", "classes")
POPULATION = name("population", "population", "populations")
MARKERS = ("E", "Pvalb", "Sst", "Htr3a")
QUARTILES = ("p25", "median", "p75")

CLASSES = File(
    "classes",
    (
        name("cell_class", "cell class"),
        name("layer", "cortical layer", accepted=("1", "2/3", "4", "5", "6")),
        Column("sign", int, "", "+1 excitatory, -1 inhibitory", accepted=("1", "-1")),
        name("marker", "type: E, or the marker of the interneurons", accepted=MARKERS),
        count("n_full", "neurons in the full column (radius 845 um)", 1),
        count("n_core", "neurons in its core (radius 400 um)", 1),
        count("n_3k", "neurons in the network of 3,000"),
        count("n_6k", "neurons in the network of 6,000"),
    ),
    key=("cell_class",),
    ascending=(("n_core", "n_full"), ("n_3k", "n_6k")),
)

POPULATIONS = File(
    "populations",
    (
        name("population", "population"),
        name("cell_class", "cell class", "classes"),
        count("n_full", "neurons in the full column", 1),
        count("n_core", "neurons in the core", 1),
        number("depth_top_um", "um", "upper end of the somata, below the pia", 0, 2000),
        number("depth_bottom_um", "um", "lower end of the somata, below the pia", 0, 2000),
    ),
    key=("population",),
    covers=("cell_class",),
    ascending=(("n_core", "n_full"), ("depth_top_um", "depth_bottom_um")),
)

CONNECTIONS = File(
    "connections",
    (
        PRE,
        POST,
        number("p_within_75um", "", "mean connection probability within 75 um", 0, 1),
        number("sigma_um", "um", "fall-off exp(-(d/sigma)^2) of the probability", 1, 2000),
        number("b_ratio", "", "probability at 90 degrees over that at 0", 0, 2, blank=True),
        number("delay_ms", "ms", "delay", 0.01, 100),
    ),
    key=("pre", "post"),
    covers=("pre", "post"),
)

GLIF3 = tuple(p for p in glif3.PARAMETERS if p.default is None)
CELLS = File(
    "cells",
    (
        name("cell", "specimen id of the cell model"),
        POPULATION,
        count("n_cells", "neurons of the full column that use it"),
        *(number(p.name, p.unit, p.meaning, p.low, p.high, blank=True) for p in GLIF3),
        number("lgn_weight_pA", "pA", "peak current of one LGN synapse", 0, 1e4),
    ),
    key=("cell",),
    covers=("population",),
    ascending=(("V_reset_mV", "V_th_mV"),),
    together=(tuple(p.name for p in GLIF3),),
)

WEIGHTS = File(
    "weights",
    (
        name("cell", "postsynaptic cell model", "cells"),
        PRE,
        number("weight_pA", "pA", "peak current of one synapse, signed", -1e4, 1e4),
    ),
    key=("cell", "pre"),
    covers=("cell", "pre"),
)

RULES = File(
    "rules",
    (
        name("receptor", "receptor: from excitatory or inhibitory to ...", accepted=RECEPTORS),
        number("tau_syn_ms", "ms", "time constant of the alpha-shaped current", 0.01, 1000),
        number("direction_width_deg", "deg", "width of the direction factor", 1, 1e4),
        Column("position_rule", bool, "", "whether receptive field positions matter"),
    ),
    key=("receptor",),
    covers=("receptor",),
)

_FILTER = (
    ("weight_1", "Hz", "weight of the first bump of the kernel", -1e3, 1e3),
    ("weight_2", "Hz", "weight of the second bump", -1e3, 1e3),
    ("kpeak_1_ms", "ms", "peak of the first bump, before its delay", 0.1, 1e3),
    ("kpeak_2_ms", "ms", "peak of the second bump, before its delay", 0.1, 1e3),
    ("delay_1_ms", "ms", "delay of the first bump", 0, 1e3),
    ("delay_2_ms", "ms", "delay of the second bump", 0, 1e3),
    ("extra_delay_ms", "ms", "delay of the whole kernel", 0, 1e3),
)
_ON = (
    number("on_amplitude", "", "factor on the ON subfield of a composite", -100, 100, True),
    *(number(f"on_{n}", u, f"ON subfield: {m}", lo, hi, True) for n, u, m, lo, hi in _FILTER),
    number("separation_deg", "deg", "distance of a composite's subfields", 0, 90, True),
)
LGN_TYPES = File(
    "lgn_types",
    (
        name("lgn_type", "LGN cell type"),
        name("family", "sustained or transient, ON or OFF, or a composite", accepted=LGN_FAMILIES),
        number("tf_Hz", "Hz", "preferred temporal frequency", 0.1, 100, blank=True),
        count("n_per_tile", "cells in each of the 15 x 10 tiles of the visual field"),
        number("size_min_deg", "deg", "smallest size (3 sigma) of the receptive field", 0.01, 180),
        number("size_mode_deg", "deg", "most frequent size", 0.01, 180),
        number("size_max_deg", "deg", "largest size", 0.01, 180),
        number("spontaneous_Hz", "Hz", "rate without a stimulus, of each subfield", 0, 200),
        number("amplitude", "", "factor on the filter: sign, and size in composites", -100, 100),
        *(number(*column) for column in _FILTER),
        *_ON,
    ),
    key=("lgn_type",),
    ascending=(("size_min_deg", "size_mode_deg", "size_max_deg"),),
    together=(tuple(column.name for column in _ON),),
)

LGN_TO_V1 = File(
    "lgn_to_v1",
    (
        POPULATION,
        number("p_lgn", "", "probability that a neuron gets LGN input", 0, 1),
        number("tf_mean_Hz", "Hz", "mean of the draw of the preferred frequency", 0.1, 100),
        number("p_on", "", "probability that the sustained subfield is ON", 0, 1),
        number("distance_min_deg", "deg", "smallest distance of the subfields", 0, 180),
        number("distance_max_deg", "deg", "largest distance of the subfields", 0, 180),
        number("width_min_deg", "deg", "smallest width of a subfield", 0, 180),
        number("width_max_deg", "deg", "largest width of a subfield", 0, 180),
        number("aspect_min", "", "smallest length over width", 0.1, 100),
        number("aspect_max", "", "largest length over width", 0.1, 100),
        count("n_synapses", "synapses of one source", 0, 1e4),
        number("delay_ms", "ms", "delay", 0.01, 100),
        number("mean_n_sources", "", "sources of a neuron, mean over all", 0, 1e4),
        number("mean_n_sources_connected", "", "the same, of neurons with any", 0, 1e4),
        number("mean_total_weight_pA", "pA", "peaks of all LGN synapses, mean", 0, 1e6),
    ),
    key=("population",),
    covers=("population",),
    ascending=(
        ("distance_min_deg", "distance_max_deg"),
        ("width_min_deg", "width_max_deg"),
        ("aspect_min", "aspect_max"),
        ("mean_n_sources", "mean_n_sources_connected"),
    ),
)

BACKGROUND = File(
    "background",
    (
        POPULATION,
        count("n_sources", "Poisson sources of a neuron", 0, 1e5),
        number("rate_Hz", "Hz", "rate of a source", 0, 1e5),
        number("weight_pA", "pA", "peak current of one synapse", 0, 1e4),
        count("n_synapses_min", "fewest synapses of a source (biophysical network)", 0, 1e4),
        count("n_synapses_max", "most synapses of a source (biophysical network)", 0, 1e4),
        number("delay_ms", "ms", "delay", 0.01, 100),
    ),
    key=("population",),
    covers=("population",),
    ascending=(("n_synapses_min", "n_synapses_max"),),
)

_MEASURES = {
    "spontaneous": ("Hz", "spontaneous rate", 1e3),
    "evoked": ("Hz", "rate to gratings, mean over directions", 1e3),
    "preferred": ("Hz", "rate to gratings of the preferred direction", 1e3),
    "osi": ("", "orientation selectivity index", 1),
    "dsi": ("", "direction selectivity index", 1),
}
_QUARTILE_NAMES = tuple(
    tuple(f"{measure}_{q}" + (f"_{unit}" if unit else "") for q in QUARTILES)
    for measure, (unit, _, _) in _MEASURES.items()
)
_RECORDED = (
    count("n_units", "recorded units", 1),
    count("n_units_osi", "units with OSI and DSI"),
    *(
        number(name, unit, f"{meaning}, {quartile}", 0, high)
        for names, (unit, meaning, high) in zip(_QUARTILE_NAMES, _MEASURES.values(), strict=True)
        for name, quartile in zip(names, QUARTILES, strict=True)
    ),
)
_RECORDED_ORDER = (*_QUARTILE_NAMES, ("n_units_osi", "n_units"))
NEUROPIXELS = File(
    "neuropixels",
    (name("cell_class", "cell class", "classes"), *_RECORDED),
    key=("cell_class",),
    covers=("cell_class",),
    ascending=_RECORDED_ORDER,
)
NEUROPIXELS_TYPES = File(
    "neuropixels_types",
    (name("marker", "type", accepted=MARKERS), *_RECORDED),
    key=("marker",),
    covers=("marker",),
    ascending=_RECORDED_ORDER,
)

CLASS_PAIRS = File(
    "class_pairs",
    (
        PRE,
        POST,
        count("n_edges_full", "connected pairs in the full column", 0, 1e9),
        count("n_edges_core", "connected pairs within the core", 0, 1e9),
        number("mean_weight_full_pA", "pA", "mean weight of a connection, full column", -1e4, 1e4),
        *(
            number(f"rule_factor_{size}", "", f"mean tuning factor on the weight, {words}", 0, 10)
            for size, words in (
                ("full", "full column"),
                ("core", "core"),
                ("3k", "compact 3k"),
                ("6k", "compact 6k"),
            )
        ),
        *(
            number(f"in_degree_{size}_{how}", "", f"in-degree, {how} {size} sample", 0, 1e5)
            for size in ("3k", "6k")
            for how in ("compact", "random")
        ),
    ),
    key=("pre", "post"),
    covers=("pre", "post"),
    ascending=(("n_edges_core", "n_edges_full"),),
)

FILES = (
    CLASSES,
    POPULATIONS,
    CONNECTIONS,
    CELLS,
    WEIGHTS,
    RULES,
    LGN_TYPES,
    LGN_TO_V1,
    BACKGROUND,
    NEUROPIXELS,
    NEUROPIXELS_TYPES,
    CLASS_PAIRS,
)
