"""Transfer functions F(mu, sigma) of actual cell models, tabulated by running them.

Each point is the rate of one GLIF3 neuron, run by the same Brian2 program and at the same time
step as the network will be, under a constant current and a 1 kHz Poisson train through its
excitatory receptor that together give the free membrane the mean mu (above threshold) and
standard deviation sigma.

Tables are found by a hash of all they depend on: in the package, then in the user's cache
(``STRIATE_CACHE``, else ``~/.cache/striate``); what is nowhere is made, which takes some seconds a
cell model.
"""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from converters.brian2_model import neuron_values
from converters.spiking import to_brian2
from toolkit.cache import cache_folder
from toolkit.errors import InputError
from toolkit.files import whole_file
from toolkit.network import Input, Network, Receptor, Synapses
from toolkit.neurons import glif3
from toolkit.table import Table
from toolkit.transfer import TableTransfer, monotone

MU_MV = np.concatenate([np.arange(-24, 8, 0.5), np.arange(8, 20, 2.0), np.arange(20, 81, 5.0)])
SIGMA_MV = np.array(
    [0.3, 0.5, 0.7, 0.9, 1.2, 1.5, 1.9, 2.3, 2.8, 3.3, 3.9, 4.5, 5.2, 6.0, 7.0, 8.0, 9.5, 11.0]
)
SECONDS = 200.0
WARM_UP_S = 1.0
NOISE_HZ = 1000.0
VERSION = 1  # of the method: change it when the same inputs would give another table
UNREADABLE = OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile, zlib.error
SHIPPED = Path(__file__).parent / "data"

_KEYED = tuple(p.name for p in glif3.PARAMETERS if p.name not in ("V_init_mV", "I_ext_pA"))


@dataclass(frozen=True)
class Cell:
    """A cell model: GLIF3 parameters by name, and its excitatory receptor."""

    parameters: Mapping[str, float]
    receptor: Receptor

    def key(self, dt_ms: float) -> str:
        """Hash of everything that its table depends on."""
        # E_L only shifts potentials: threshold and reset count from it.
        values = dict(self.parameters)
        rest = values.pop("E_L_mV")
        values["V_th_mV"] -= rest
        values["V_reset_mV"] -= rest
        text = [f"{name}={values[name]:.9g}" for name in sorted(values)]
        text += [f"tau={self.receptor.tau_ms:.9g}", f"dt={dt_ms:.9g}", f"noise={NOISE_HZ:g}"]
        if self.receptor.kernel != "alpha":
            components = (f"{peak:.9g},{tau:.9g}" for peak, tau in self.receptor.components)
            text += [f"kernel={self.receptor.kernel}", *components]
        text += [f"seconds={SECONDS:g}", f"version={VERSION}"]
        text.append(hashlib.sha256(MU_MV.tobytes() + SIGMA_MV.tobytes()).hexdigest())
        return hashlib.sha256("|".join(text).encode()).hexdigest()[:24]


def cells_of(network: Network) -> tuple[list[Cell], np.ndarray]:
    """The distinct cell models of a network and, for every neuron, which one it is.

    A neuron's excitatory receptor is that of its positive synapses (the last one's, should they
    differ: those of the inputs come after the recurrent ones); without any, the network's first.
    """
    receptors = list(network.receptors.values()) or [Receptor(5.0)]
    kinds = list(dict.fromkeys(receptors))
    kind_of = np.array([kinds.index(receptor) for receptor in receptors])
    kind = np.zeros(network.n, dtype=np.int64)
    for synapses in (
        network.synapses,
        *(source.synapses for source in network.inputs.values()),
    ):
        positive = synapses.weight > 0
        kind[synapses.post[positive]] = kind_of[synapses.receptor[positive]]
    columns = np.column_stack([*(network.neurons[name] for name in _KEYED), kind]).astype(float)
    distinct, model = np.unique(columns, axis=0, return_inverse=True)
    cells = [
        Cell(dict(zip(_KEYED, row[:-1], strict=True)), kinds[int(row[-1])]) for row in distinct
    ]
    return cells, model.reshape(-1)


def transfer_of(
    network: Network, *, dt_ms: float = 0.25, workers: int = 2, show_progress: bool | None = None
) -> TableTransfer:
    """F(mu, sigma) of every neuron of a network, from the tables of its cell models.

    Parameters
    ----------
    network : GLIF3 neurons
    dt_ms : the time step of the spiking simulation that the rates stand for
    workers : simulations at a time, where tables have to be made
    """
    cells, model = cells_of(network)
    tables = find_or_make(cells, dt_ms=dt_ms, workers=workers, show_progress=show_progress)
    return TableTransfer(tables, MU_MV, SIGMA_MV, model)


def find_or_make(
    cells: Sequence[Cell],
    *,
    dt_ms: float,
    workers: int = 2,
    show_progress: bool | None = None,
) -> np.ndarray:
    """Tables of the cells, Hz, (cell, mu, sigma): shipped, cached, or made and then cached."""
    keys = [cell.key(dt_ms) for cell in cells]
    found: dict[str, np.ndarray] = {}
    for file in sorted(SHIPPED.glob("transfer_*.npz")):
        with np.load(file, allow_pickle=False) as stored:
            row = {str(key): k for k, key in enumerate(stored["keys"])}
            hits = [key for key in keys if key in row]
            if hits:
                rates = unpack(stored["rates"])
                found.update({key: rates[row[key]] for key in hits})
    cache = cache_folder()
    for key in set(keys) - set(found):
        file = cache / f"transfer_{key}.npz"
        # A damaged file is made again.
        with suppress(*UNREADABLE), np.load(file, allow_pickle=False) as stored:
            found[key] = unpack(stored["rates"])
    missing = {key: cell for key, cell in zip(keys, cells, strict=True) if key not in found}
    if missing:
        made = tabulate(
            list(missing.values()), dt_ms=dt_ms, workers=workers, show_progress=show_progress
        )
        cache.mkdir(parents=True, exist_ok=True)
        for key, rates in zip(missing, made, strict=True):
            with whole_file(cache / f"transfer_{key}.npz") as aside, open(aside, "wb") as out:
                np.savez_compressed(out, rates=pack(rates))
            found[key] = unpack(pack(rates))
    return np.stack([found[key] for key in keys])


def pack(rates_Hz: np.ndarray) -> np.ndarray:
    """Rates as 16-bit numbers, logarithmic: 0.02 % apart, 0 kept exactly."""
    return np.round(np.log1p(rates_Hz / 0.01) * 5000).astype(np.uint16)


def unpack(packed: np.ndarray) -> np.ndarray:
    """The inverse of `pack`."""
    return 0.01 * np.expm1(packed.astype(np.float64) / 5000)


def tabulate(
    cells: Sequence[Cell],
    *,
    dt_ms: float,
    seconds: float = SECONDS,
    workers: int = 2,
    show_progress: bool | None = None,
) -> np.ndarray:
    """Run every cell over the grid of mean and fluctuation; rates in Hz, (cell, mu, sigma).

    Monotone in mu by isotonic regression. The standard error of a rate r is sqrt(r / seconds) or
    less.

    Raises
    ------
    InputError : no cells
    """
    if not cells:
        raise InputError("there are no cell models to tabulate")
    mu, sigma = (grid.ravel() for grid in np.meshgrid(MU_MV, SIGMA_MV, indexing="ij"))
    tables: dict[int, np.ndarray] = {}
    for kernel in sorted({cell.receptor.kernel for cell in cells}):
        # Cells of one kernel have the same variables: one program runs them all.
        mine = [k for k, cell in enumerate(cells) if cell.receptor.kernel == kernel]
        network = _grid_network(cells[mine[0]], mu, sigma)
        simulation = to_brian2(network, "cpp_standalone", dt_ms=dt_ms)
        jobs = []
        for k in mine:
            network = _grid_network(cells[k], mu, sigma)
            values = neuron_values(network, dt_ms)
            weight = network.inputs["noise"].synapses.weight.astype(float)
            values |= simulation.background_values("noise", weight)
            duration_ms = 1000 * (WARM_UP_S + seconds)
            jobs.append(simulation.job(seed=k, duration_ms=duration_ms, values=values))
        recordings = simulation.run_jobs(
            jobs, workers=workers, label="transfer functions", show_progress=show_progress
        )
        for k, recording in zip(mine, recordings, strict=True):
            rates = recording.mean_rates_Hz(1000 * WARM_UP_S)
            tables[k] = rates.reshape(len(MU_MV), len(SIGMA_MV))
    rates_Hz = np.stack([tables[k] for k in range(len(cells))])
    return monotone(rates_Hz, seconds)


def _grid_network(cell: Cell, mu_mV: np.ndarray, sigma_mV: np.ndarray) -> Network:
    """Unconnected neurons of one model, one a grid point.

    Noise of weight w, charge q per weight and rate r has the mean current w q r and gives the
    membrane the variance w^2 r integral(psp^2); the constant current makes up the rest of the mean.
    """
    n, p = len(mu_mV), cell.parameters
    per_ms = NOISE_HZ / 1000
    square = cell.receptor.psp_square_integral(np.array(p["C_m_pF"]), np.array(p["g_nS"]))
    weight = sigma_mV / np.sqrt(per_ms * square)
    above_rest = mu_mV + p["V_th_mV"] - p["E_L_mV"]
    current = p["g_nS"] * above_rest - weight * cell.receptor.charge_per_peak * per_ms
    neurons = {name: np.full(n, value) for name, value in p.items()}
    neurons["I_ext_pA"] = current
    neurons["V_init_mV"] = np.full(n, p["E_L_mV"])
    neurons["population"] = neurons["cell_class"] = np.full(n, "grid")
    neurons["sign"] = np.ones(n, dtype=np.int8)
    each = np.arange(n)
    noise = Synapses(each, each, weight, np.full(n, 1.0), np.zeros(n))
    return Network(
        Table(neurons),
        Synapses.none(),
        {"noise": cell.receptor},
        {"noise": Input(n, noise, rate_Hz=NOISE_HZ)},
    )
