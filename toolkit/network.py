"""`Network`: a circuit as data, in physical units, that knows no simulator."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit.errors import InputError, unknown
from toolkit.neurons import glif3
from toolkit.neurons.models import MODELS, NeuronModel
from toolkit.neurons.schema import check_all
from toolkit.receptor import Receptor
from toolkit.table import Table

if TYPE_CHECKING:
    import pandas as pd

REQUIRED_COLUMNS = ("population", "cell_class", "sign")


def _frozen(name: str, values: Any, dtype: type) -> np.ndarray:
    array = np.asarray(values)
    if array.ndim != 1:
        raise InputError(f"synapse arrays have one dimension, got shape {array.shape}")
    with np.errstate(over="ignore", invalid="ignore"):  # what does not fit is reported below
        frozen: np.ndarray = array.astype(dtype, copy=array.flags.writeable)
    if np.issubdtype(dtype, np.integer) and (frozen != array).any():
        i = int(np.flatnonzero(frozen != array)[0])
        raise InputError(f"{name} {array[i]} of synapse {i} is not a whole number of its range")
    frozen.flags.writeable = False
    return frozen


@dataclass(frozen=True)
class Synapses:
    """Connections as flat arrays of equal length, sorted by (post, pre).

    Attributes
    ----------
    pre, post : int32, source and target index
    weight : float32, peak current in pA (see `Receptor`), negative for inhibition
    delay_ms : float32
    receptor : uint8, position of the receptor in the network's list
    """

    pre: np.ndarray
    post: np.ndarray
    weight: np.ndarray
    delay_ms: np.ndarray
    receptor: np.ndarray

    def __post_init__(self) -> None:
        kinds = dict(
            pre=np.int32, post=np.int32, weight=np.float32, delay_ms=np.float32, receptor=np.uint8
        )
        lengths = set()
        for name, dtype in kinds.items():
            object.__setattr__(self, name, _frozen(name, getattr(self, name), dtype))
            lengths.add(len(getattr(self, name)))
        if len(lengths) > 1:
            raise InputError(f"the synapse arrays have different lengths: {sorted(lengths)}")
        for name in ("weight", "delay_ms"):
            bad = ~np.isfinite(getattr(self, name))
            if bad.any():
                i = int(np.flatnonzero(bad)[0])
                raise InputError(f"synapse {i} has {name} {getattr(self, name)[i]}")
        if len(self) and self.delay_ms.min() <= 0:
            i = int(np.argmin(self.delay_ms))
            raise InputError(
                f"synapse {i} has a delay of {self.delay_ms[i]} ms; it must be above 0"
            )
        step = np.diff(self.post)
        if (step < 0).any() or ((step == 0) & (np.diff(self.pre) < 0)).any():
            raise InputError("synapses must be sorted by (post, pre): use Synapses.sort")

    @classmethod
    def sort(
        cls,
        pre: np.ndarray,
        post: np.ndarray,
        weight: np.ndarray,
        delay_ms: np.ndarray,
        receptor: np.ndarray,
    ) -> Synapses:
        """Synapses from arrays in any order (stable for several synapses of one pair)."""
        order = np.lexsort((pre, post))
        return cls(pre[order], post[order], weight[order], delay_ms[order], receptor[order])

    @classmethod
    def none(cls) -> Synapses:
        """No synapses."""
        empty = np.zeros(0)
        return cls(empty, empty, empty, empty, empty)

    def __len__(self) -> int:
        return len(self.pre)

    def check_within(self, what: str, n_pre: int, n_post: int, n_receptors: int) -> None:
        """Raise `InputError` for an index that points outside."""
        for name, limit in (("pre", n_pre), ("post", n_post), ("receptor", n_receptors)):
            values = getattr(self, name)
            bad = (values < 0) | (values >= limit)
            if bad.any():
                i = int(np.flatnonzero(bad)[0])
                raise InputError(
                    f"{what}: synapse {i} has {name} {values[i]}; "
                    f"there are {limit} (0 to {limit - 1})"
                )


@dataclass(frozen=True)
class Input:
    """A source of spikes outside the network.

    Attributes
    ----------
    n : number of sources (channels)
    synapses : from source to neuron
    rate_Hz : None if a `Recording` drives it at run time; a number for Poisson sources of that
        rate that the toolkit draws itself (background)
    sources : what is known of each source (type, position), n rows, or None
    """

    n: int
    synapses: Synapses
    rate_Hz: float | None = None
    sources: Table | None = None

    def __post_init__(self) -> None:
        if self.n < 0:
            raise InputError(f"an input has 0 or more sources, got n = {self.n}")
        if self.rate_Hz is not None and not 0 <= self.rate_Hz < 1e6:
            raise InputError(f"an input's rate must be in 0 to 1e6 Hz, got {self.rate_Hz}")
        if self.sources is not None and len(self.sources.rows) != self.n:
            raise InputError(f"{self.n} sources, but a table of {len(self.sources.rows)} rows")


def _check_receptors(model: NeuronModel, receptors: Mapping[str, Receptor]) -> None:
    for name, receptor in receptors.items():
        if model.ports and name not in model.ports:
            raise unknown(f"input port of {model.name}", name, model.ports)
        if bool(model.ports) != (receptor.kernel == "port"):
            needed = "kernel 'port'" if model.ports else "a kernel of its own, as 'alpha'"
            raise InputError(
                f"receptor {name!r} of {model.name} neurons has the kernel {receptor.kernel!r}; it "
                f"needs {needed}"
            )


@dataclass(frozen=True)
class Network:
    """Neurons, synapses and inputs in physical units; checks itself when made.

    Attributes
    ----------
    neurons : `Table` with a row a neuron: ``population``, ``cell_class``, ``sign`` (+1 or -1),
        usually ``cell``, ``x_um``, ``y_um``, ``z_um``, ``tuning_deg``, and the parameters of
        the model in their units (`toolkit.neurons.models`)
    synapses : recurrent `Synapses`
    receptors : name to `Receptor`; synapses name them by position
    inputs : name to `Input`
    model : neuron model, ``"glif3"`` or another of `toolkit.neurons.models.MODELS`; receptors of a
        model with ports of its own have the names of those, and the kernel ``"port"``
    seed : the seed it was built with
    provenance : what built it from what (plain JSON values)
    dale : whether the sign of every synapse must be that of its presynaptic neuron

    Raises
    ------
    InputError : an index out of range, a parameter missing or out of range, Dale's law violated

    Memory is 17 bytes a synapse. Examples: `circuits.v1.column` makes one; see also
    ``examples/build_v1_column.py``.
    """

    neurons: Table
    synapses: Synapses
    receptors: Mapping[str, Receptor]
    inputs: Mapping[str, Input] = field(default_factory=dict)
    model: str = glif3.NAME
    seed: int = 0
    provenance: Mapping[str, Any] = field(default_factory=dict)
    dale: bool = True

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise unknown("neuron model", self.model, MODELS)
        for column in REQUIRED_COLUMNS:
            if column not in self.neurons:
                raise InputError(f"the neurons lack the column {column!r}")
        check_all(MODELS[self.model].parameters, self.neurons)
        _check_receptors(MODELS[self.model], self.receptors)
        if not np.isin(self.neurons["sign"], (-1, 1)).all():
            raise InputError("the column 'sign' must be +1 (excitatory) or -1 (inhibitory)")
        self.synapses.check_within("network", self.n, self.n, len(self.receptors))
        for name, source in self.inputs.items():
            if not (name.isidentifier() and name.isascii()):
                raise InputError(
                    f"an input's name must be ASCII letters, digits and underscores, got {name!r}"
                )
            source.synapses.check_within(f"input {name!r}", source.n, self.n, len(self.receptors))
        if self.dale and len(self.synapses):
            wrong = self.synapses.weight * self.neurons["sign"][self.synapses.pre] < 0
            if wrong.any():
                i = int(np.flatnonzero(wrong)[0])
                raise InputError(
                    f"Dale's law: synapse {i} from neuron {self.synapses.pre[i]} "
                    f"(sign {self.neurons['sign'][self.synapses.pre[i]]:+d}) has weight "
                    f"{self.synapses.weight[i]:g} pA; pass dale=False if that is meant"
                )
        self._check_port_signs()
        for name in ("receptors", "inputs", "provenance"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def _check_port_signs(self) -> None:
        sign = np.array([MODELS[self.model].ports.get(name, 0) for name in self.receptors])
        if not sign.any():
            return
        groups = {"the network": self.synapses}
        groups |= {f"input {name!r}": source.synapses for name, source in self.inputs.items()}
        for what, synapses in groups.items():
            wrong = np.flatnonzero(synapses.weight * sign[synapses.receptor] < 0)
            if len(wrong):
                receptor, weight = synapses.receptor[wrong[0]], synapses.weight[wrong[0]]
                raise InputError(
                    f"{what}: synapse {wrong[0]} has weight {weight:g}, but the port "
                    f"{list(self.receptors)[receptor]!r} of {self.model} takes weights "
                    f"{'above' if sign[receptor] > 0 else 'below'} 0"
                )

    @property
    def n(self) -> int:
        """Number of neurons."""
        return len(self.neurons.rows)

    @property
    def classes(self) -> list[str]:
        """Cell classes in order of first appearance."""
        names, first = np.unique(self.neurons["cell_class"], return_index=True)
        return [str(name) for name in names[np.argsort(first)]]

    @property
    def excitatory(self) -> np.ndarray:
        """Boolean mask of the excitatory neurons."""
        return self.neurons["sign"] > 0

    def replace(self, **changes: Any) -> Network:
        """A network with some fields changed (checked again)."""
        import dataclasses

        return dataclasses.replace(self, **changes)

    def summary(self) -> pd.DataFrame:
        """Per class: neurons, mean in-degree from E and from I, and from each input.

        In-degree counts connected pairs (one row of `synapses` each).
        """
        import pandas as pd

        excitatory = self.neurons["sign"][self.synapses.pre] > 0
        columns = {
            "in_degree_E": np.bincount(self.synapses.post[excitatory], minlength=self.n),
            "in_degree_I": np.bincount(self.synapses.post[~excitatory], minlength=self.n),
        }
        for name, source in self.inputs.items():
            columns[f"in_degree_{name}"] = np.bincount(source.synapses.post, minlength=self.n)
        cell_class = pd.Categorical(self.neurons["cell_class"], categories=self.classes)
        frame = pd.DataFrame({"cell_class": cell_class, "sign": self.neurons["sign"], **columns})
        classes = frame.groupby("cell_class", observed=True)
        table = classes.mean()
        table["sign"] = classes["sign"].first()
        table.insert(1, "neurons", classes.size())
        return table

    def digest(self) -> str:
        """SHA-256 of everything that defines the circuit (not of its provenance)."""
        sha = hashlib.sha256(f"{self.model} {self.n} {self.dale}".encode())

        def add(name: str, array: np.ndarray) -> None:
            # Text by its characters: the width of its array is no part of it.
            text = array.dtype.kind == "U"
            content = "\0".join(array.tolist()).encode() if text else array.tobytes()
            sha.update(f"{name} {array.dtype.kind}{'' if text else array.dtype.itemsize}".encode())
            sha.update(content)

        for name in sorted(self.neurons):
            add(name, self.neurons[name])
        for name, receptor in self.receptors.items():
            slow = "".join(f" {float(a)!r} {float(tau)!r}" for a, tau in receptor.components[1:])
            sha.update(f"{name} {float(receptor.tau_ms)!r} {receptor.kernel}{slow}".encode())
        groups = [("synapses", self.synapses)]
        for name, source in self.inputs.items():
            rate = None if source.rate_Hz is None else float(source.rate_Hz)
            groups.append((f"{name} {source.n} {rate!r}", source.synapses))
            known: Mapping[str, np.ndarray] = source.sources or {}
            for column in sorted(known):
                add(f"{name} {column}", known[column])
        for name, synapses in groups:
            sha.update(name.encode())
            for part in ("pre", "post", "weight", "delay_ms", "receptor"):
                add(part, getattr(synapses, part))
        return sha.hexdigest()

    def save(self, path: Any) -> None:
        """Write one HDF5 file, whole or not at all. See `toolkit.network_file`."""
        from toolkit.network_file import save

        save(self, path)

    @staticmethod
    def load(path: Any) -> Network:
        """Read a file of `save`; `DataError` names the file and what is wrong in it."""
        from toolkit.network_file import load

        return load(path)
