"""`uniform_neurons`: a circuit of two kinds of neuron, one excitatory and one inhibitory."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np

from toolkit.errors import InputError, unknown
from toolkit.network import Network, Synapses
from toolkit.provenance import transformed
from toolkit.table import Table

# How parameters are averaged; after-spike currents by their charge.
_GEOMETRIC = ("C_m_pF", "g_nS", "asc_decay_1_per_ms", "asc_decay_2_per_ms")
_ARITHMETIC = ("E_L_mV", "V_th_mV", "V_reset_mV", "t_ref_ms")


def uniform_neurons(
    network: Network, *, cells: tuple[str, str] | None = None, rescale: bool = True
) -> Network:
    """One set of neuron and synapse parameters for all E, one for all I.

    In the source: one tau_s and tau_r for E and for I; which values is not said. Here every GLIF3
    parameter is the mean over the neurons of its sign: the geometric mean of C_m, g and the decay
    rates, which makes C_m/g and 1/decay geometric means too; the arithmetic mean of the potentials
    and t_ref; and the amplitude of an after-spike current that gives it the mean charge. (With the
    plain mean of the amplitudes the fast one would change its sign in E, from -330 to
    +1,960 pA ms a spike, because large amplitudes come with fast decay.) The initial potential
    stays at the same part of the way from rest to threshold. Every synapse gets the receptor that
    most synapses of its sign onto neurons of that sign have, at the same charge; in Billeh et al.
    2020 that is the one it has.

    Populations, classes, positions, preferred angles, ``I_ext_pA`` and who connects to whom stay.

    Parameters
    ----------
    network : the circuit
    cells : an E and an I cell model of the network (column ``cell``) whose parameters all take,
        instead of the mean; the code released with Chen et al. 2022 (Sci Adv 8:eabq7592) takes a
        Cux2 and a Pvalb cell of L2/3
    rescale : scale the weights of all synapses of a neuron, background included, by its new
        rheobase g (V_th - E_L) over its old one, so that the same presynaptic rates move it over
        the same part of the way to threshold. Recurrent weights were made from measured potentials
        and background weights calibrated by cell model, so the currents belong to the cell. With
        False, as in that code, e23 of the 3k column falls silent at rest and its Pvalb cells fire
        two to three times as fast

    Raises
    ------
    InputError : a cell model that the network does not have or of the wrong sign; a neuron whose
        threshold is not above rest

    Examples
    --------
    >>> from circuits import v1
    >>> uniform = uniform_neurons(v1.column(300, seed=1))
    >>> len(set(uniform.neurons["C_m_pF"].tolist()))
    2
    """
    neurons = network.neurons
    if cells is not None and len(cells) != 2:
        raise InputError(f"cells is a pair of names, of an E and an I cell model; got {cells!r}")
    if not (neurons["V_th_mV"] > neurons["E_L_mV"]).all():
        raise InputError("uniform_neurons needs V_th_mV above E_L_mV in every neuron")
    columns = {name: neurons[name].astype(float) for name in _numbers(neurons)}
    labels = np.full(network.n, "mean of E", dtype="U64")
    for sign, kind in ((1, "E"), (-1, "I")):
        mine = neurons["sign"] == sign
        if not mine.any():
            continue
        model = mine
        labels[mine] = f"mean of {kind}"
        if cells is not None:
            name = cells[0 if sign > 0 else 1]
            labels[mine] = name
            model = mine & (neurons["cell"] == name)
            if not model.any():
                raise unknown(f"{kind} cell model", name, np.unique(neurons["cell"][mine]))
        for parameter, value in _typical(neurons.take(model)).items():
            columns[parameter][mine] = value
    if "V_init_mV" in neurons:
        depth = (neurons["V_init_mV"] - neurons["E_L_mV"]) / (
            neurons["V_th_mV"] - neurons["E_L_mV"]
        )
        columns["V_init_mV"] = columns["E_L_mV"] + depth * (columns["V_th_mV"] - columns["E_L_mV"])
    if "cell" in neurons:
        columns["cell"] = labels
    table = neurons.replace(**columns)
    factor = np.ones(network.n)
    if rescale:
        factor = _rheobase_pA(table) / _rheobase_pA(neurons)
    common = _common_receptors(network)
    charge = np.array([receptor.charge_per_peak for receptor in network.receptors.values()])

    def uniform(synapses: Synapses) -> Synapses:
        receptor = np.zeros_like(synapses.receptor)
        for (sign, end), rows in _kinds(synapses, network.excitatory):
            receptor[rows] = common[sign, end]
        weight = synapses.weight * factor.astype(np.float32)[synapses.post]
        if (receptor != synapses.receptor).any():
            weight = weight * charge[synapses.receptor] / charge[receptor]
        return dataclasses.replace(synapses, weight=weight, receptor=receptor)

    facts = {"cells": "mean" if cells is None else list(cells), "rescale": rescale}
    return transformed(
        network,
        "uniform_neurons",
        facts,
        neurons=table,
        synapses=uniform(network.synapses),
        inputs={
            name: dataclasses.replace(source, synapses=uniform(source.synapses))
            for name, source in network.inputs.items()
        },
    )


def _numbers(neurons: Table) -> list[str]:
    names = (*_GEOMETRIC, *_ARITHMETIC, "asc_amp_1_pA", "asc_amp_2_pA", "V_init_mV")
    return [name for name in names if name in neurons]


def _typical(neurons: Table) -> dict[str, float]:
    """The parameters that stand for those of some neurons; see `uniform_neurons`."""
    typical = {name: float(np.exp(np.log(neurons[name]).mean())) for name in _GEOMETRIC}
    typical |= {name: float(neurons[name].mean()) for name in _ARITHMETIC}
    for k in (1, 2):
        decay = f"asc_decay_{k}_per_ms"
        typical[f"asc_amp_{k}_pA"] = typical[decay] * float(
            (neurons[f"asc_amp_{k}_pA"] / neurons[decay]).mean()
        )
    return typical


def _rheobase_pA(neurons: Table) -> np.ndarray:
    return neurons["g_nS"] * (neurons["V_th_mV"] - neurons["E_L_mV"])


def _kinds(
    synapses: Synapses, excitatory: np.ndarray
) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
    """Masks of the synapses by their sign and their target's: 0 for inhibition and I, 1 for E."""
    positive, to_e = synapses.weight >= 0, excitatory[synapses.post]
    for sign in (0, 1):
        for end in (0, 1):
            yield (sign, end), (positive == sign) & (to_e == end)


def _common_receptors(network: Network) -> np.ndarray:
    """The receptor that most synapses of each of the `_kinds` have, shape (2, 2)."""
    counts = np.zeros((2, 2, max(len(network.receptors), 1)), dtype=np.int64)
    for synapses in (network.synapses, *(source.synapses for source in network.inputs.values())):
        for kind, rows in _kinds(synapses, network.excitatory):
            counts[kind] += np.bincount(synapses.receptor[rows], minlength=counts.shape[2])
    return counts.argmax(axis=2)
