"""Where converted networks are simulated."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from converters import cuda_system, to_brian2, to_nest
from toolkit.errors import unknown
from toolkit.network import Network
from toolkit.recording import Recording

BACKENDS = ("brian2", "nest", "cuda")


class Simulation(Protocol):
    """A network that is made ready once and run any number of times."""

    @property
    def network(self) -> Network:
        """What is simulated."""

    def job(self, inputs: Any, *, seed: int) -> Any:
        """A run with some input, to be done later."""

    def run_jobs(
        self,
        jobs: Iterable[Any],
        *,
        workers: int,
        total_s: float,
        label: str,
        show_progress: bool | None,
    ) -> Iterator[Recording]:
        """Recordings of runs, in order; `total_s` is their simulated time."""


def simulation(network: Network, backend: str = "brian2", *, again: bool = False) -> Simulation:
    """Make a network ready: compiled by Brian2 (``"brian2"``, ``"cuda"``), or for NEST.

    All fire the identical spikes (`converters.to_brian2`). With `again` it is one more with the
    same delays: that they are rounded to the time step is not said once more.

    Raises
    ------
    InputError : an unknown backend
    MissingDependency : its program, compiler or GPU is not there
    """
    if backend not in BACKENDS:
        raise unknown("backend", backend, BACKENDS)
    with warnings.catch_warnings():
        if again:
            warnings.filterwarnings("ignore", message=".*delays are not multiples")
        if backend == "nest":
            return to_nest(network)
        if backend == "cuda":
            cuda_system.need_tools()
            cuda_system.need_card()  # now, not after compiling
            return to_brian2(network, device="cuda_standalone")
        return to_brian2(network, device="cpp_standalone")
