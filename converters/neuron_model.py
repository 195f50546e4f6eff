"""The neurons of a `Network` as a NESTML model: its text, ports and values, and its Brian2 code.

One model for all neurons, with a port for each slot of receptors (`converters.slots`). The code of
the models of `toolkit.neurons` is stored; other numbers of ports, or ports of several kernels, take
NESTML's parser some seconds the first time, and are kept in the cache.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import numpy as np

from converters import nestml
from converters.nestml import shipped
from converters.nestml.brian2_code import Brian2Code, brian2_code
from converters.nestml.read import read
from converters.nestml.reduced import reduced
from converters.slots import Slots
from toolkit.cache import cache_folder
from toolkit.errors import DataError
from toolkit.files import whole_file
from toolkit.network import Network
from toolkit.neurons import glif
from toolkit.neurons.models import MODELS


def name(network: Network, slots: Slots) -> str:
    """The NESTML model's name."""
    level = MODELS[network.model].level
    return glif.name(level, slots.kernels) if level else network.model


def text(network: Network, slots: Slots) -> str:
    """Its NESTML text."""
    level = MODELS[network.model].level
    if level:
        return glif.nestml(level, slots.kernels)
    return shipped.path(network.model).read_text(encoding="utf-8")


def method(network: Network) -> str:
    """The solver of its equations that are not linear."""
    return "rk4" if MODELS[network.model].level else shipped.MODELS[network.model][0]


def ports(network: Network, slots: Slots) -> list[str]:
    """The name of the port of each slot."""
    if MODELS[network.model].level:
        return [f"spikes_{k}" for k in range(1, slots.n + 1)]
    return list(network.receptors)


def values(network: Network, slots: Slots) -> dict[str, np.ndarray]:
    """Parameters and initial states by NESTML's names, shape (neuron,)."""
    model, neurons = MODELS[network.model], network.neurons
    given = {
        glif.nestml_name(p): neurons[p.name].astype(float)
        for p in model.parameters
        if p.name in neurons and p.name != "V_init_mV"
    }
    if "V_init_mV" in neurons:
        start = neurons["V_init_mV"].astype(float)
        given |= {"U": start - neurons["E_L_mV"]} if model.level else {"V_m": start}
    for current in slots.currents:
        k, slow = current.slot + 1, current.name.endswith("_slow")
        has = current.peak > 0
        # A slot that a neuron does not use has any time constant.
        given[f"tau_{'slow' if slow else 'syn'}_{k}"] = np.where(has, current.tau_ms, 2.0)
        if slow:
            given[f"amp_slow_{k}"] = current.peak
    return given


def potential(network: Network) -> tuple[str, np.ndarray]:
    """The state that is the membrane potential less an offset, and the offset in mV, (neuron,)."""
    if MODELS[network.model].level:
        return "U", network.neurons["E_L_mV"].astype(float)
    return "V_m", np.zeros(network.n)


def code(network: Network, slots: Slots) -> Brian2Code:
    """Its Brian2 code, without the ports that the circuit does not use."""
    level = MODELS[network.model].level
    if not level:
        whole = shipped.shipped(network.model)
    elif len(set(slots.kernels)) == 1 and slots.n <= 4:
        whole = shipped.shipped(glif.name(level, slots.kernels[0]))
    else:
        whole = converted(text(network, slots))
    used = ports(network, slots)
    return reduced(whole, [port.name for port in whole.ports if port.name not in used])


def converted(nestml_text: str) -> Brian2Code:
    """The Brian2 code of a linear model, from the cache if it was converted before."""
    sha = hashlib.sha256(nestml_text.encode())
    for source in sorted(Path(nestml.__file__).parent.glob("*.py")):
        sha.update(source.read_bytes())
    path = cache_folder() / "brian2_code" / f"{sha.hexdigest()[:32]}.json"
    if path.is_file():
        try:
            return shipped.from_json(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path} is damaged ({error}): remove it") from error
    made = brian2_code(read(nestml_text))
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        Path(file).write_text(json.dumps(dataclasses.asdict(made)), encoding="utf-8")
    return made
