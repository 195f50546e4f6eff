"""The MPI processes among which NEST has divided a network: one, unless ``mpirun`` started more.

Each runs the same program. NEST gives node i to process i modulo their number, with the synapses
onto it.
"""

from __future__ import annotations

import importlib
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from toolkit.errors import InputError, StriateError, require

# What Open MPI, MPICH and Slurm tell the processes that they start.
LAUNCHERS = ("OMPI_", "PMIX_", "PRTE_", "PMI_", "MPI_", "HYDRA_", "HYDI_", "SLURM_")


def check(nest: Any) -> None:
    """See that the processes can exchange spikes.

    Raises
    ------
    MissingDependency : there are several, and no mpi4py
    InputError : mpi4py, made for another MPI than NEST, does not see them
    """
    if nest.num_processes > 1:
        require("mpi4py", "striate[mpi]")
        if _world().size != nest.num_processes:
            raise InputError(
                f"NEST runs in {nest.num_processes} MPI processes, of which mpi4py sees "
                f"{_world().size}: it was made for another MPI than NEST; build it for this "
                "one: pip install --force-reinstall --no-binary mpi4py mpi4py"
            )


def outside(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for a child that is none of the processes, though it may import NEST.

    A child that finds what ``mpirun`` left for its parent cannot start MPI.

    >>> outside({"PATH": "/bin", "OMPI_COMM_WORLD_RANK": "0", "PMIX_RANK": "0"})
    {'PATH': '/bin'}
    """
    return {name: value for name, value in environment.items() if not name.startswith(LAUNCHERS)}


def is_here(nodes: np.ndarray, n_processes: int, rank: int) -> np.ndarray:
    """Which nodes are in process `rank`.

    >>> is_here(np.array([3, 4, 5, 6]), 2, 1).tolist()
    [True, False, True, False]
    """
    here: np.ndarray = nodes % n_processes == rank
    return here


def gathered(nest: Any, values: np.ndarray) -> np.ndarray:
    """Rows of all processes, in the order of their ranks, in each process."""
    if nest.num_processes == 1:
        return values
    world = _world()
    parts = [np.empty((n, *values.shape[1:]), values.dtype) for n in world.allgather(len(values))]
    parts[world.rank] = np.ascontiguousarray(values)
    for rank, part in enumerate(parts):  # not all at once: MPI counts by 32-bit numbers
        world.Bcast(part, root=rank)
    return np.concatenate(parts)


@contextmanager
def together(nest: Any) -> Iterator[bool]:
    """Whether this is the first process: the one that writes and prints.

    An error in one of several processes is shown and ends all of them: the others would wait for it
    for ever.
    """
    try:
        yield nest.Rank() == 0
    except BaseException as error:
        if nest.num_processes == 1:
            raise
        if nest.Rank() > 0:
            time.sleep(1)  # an error of all of them is shown by the first
        if isinstance(error, StriateError):
            sys.stderr.write(f"striate: {error}\n")
        else:
            traceback.print_exc()
        sys.stderr.flush()
        _world().Abort(2 if isinstance(error, StriateError) else 1)
        raise


def _world() -> Any:
    # NEST has started MPI by then, and ends it.
    return importlib.import_module("mpi4py.MPI").COMM_WORLD
