"""NEST's kernel: loaded quietly, set up, and given back empty.

A process has one kernel, and one network in it. Here a simulation takes an empty kernel, and leaves
an empty one behind.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from converters.nest import processes
from toolkit.errors import InputError, SimulationError, require

_in_use = threading.Lock()
# For NEST's import: no banner, and OpenMP threads that sleep while they wait. Threads that spin
# instead, the default, take twenty times as long on processors with other work (0.4 against 8 s).
_ENVIRONMENT = {"PYNEST_QUIET": "1", "OMP_WAIT_POLICY": "passive"}


def load() -> Any:
    """The module ``nest``, imported without a banner.

    OpenMP reads ``OMP_WAIT_POLICY`` when it is loaded: one that the user has set is kept, and it
    is too late if ``nest`` has been imported before.

    Raises
    ------
    MissingDependency : NEST is not installed
    """
    if "nest" in sys.modules:
        return sys.modules["nest"]
    require("nest", "striate[nest]")
    unset = [name for name in _ENVIRONMENT if name not in os.environ]
    os.environ.update({name: _ENVIRONMENT[name] for name in unset})
    try:
        import nest
    finally:
        for name in unset:
            del os.environ[name]
    return nest


@contextmanager
def taken(dt_ms: float, threads: int) -> Iterator[Any]:
    """The module ``nest`` with an empty kernel of this time step; emptied again on leaving.

    Raises
    ------
    InputError : the kernel holds a network that we did not make
    MissingDependency : there are several MPI processes, and no mpi4py
    SimulationError : a simulation is running in this process, or NEST refused something
    """
    nest = load()
    if not _in_use.acquire(blocking=False):
        raise SimulationError(
            "a simulation is running in NEST, which has one in a process: wait until it has ended, "
            "or use another process"
        )
    try:
        if nest.network_size > 0:
            raise InputError(
                f"NEST holds a network of {nest.network_size} nodes that this simulation would "
                "remove: remove it with nest.ResetKernel(), or use another process"
            )
        processes.check(nest)
        try:
            _reset(nest)
            nest.set(resolution=dt_ms, local_num_threads=threads)
            # Who is connected to whom is not asked; it would be as large as the synapses.
            nest.keep_source_table = False
            yield nest
        except nest.NESTErrors.KernelException as error:
            raise SimulationError(f"NEST: {error}") from error
        finally:
            _reset(nest)
    finally:
        _in_use.release()


def _reset(nest: Any) -> None:
    nest.ResetKernel()
    nest.verbosity = nest.VerbosityLevel.ERROR
