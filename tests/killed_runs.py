"""A program that forks writers, which the tests kill at random moments.

Run as a script: a line ``WORK PATH`` on its standard input starts a process that writes two
networks to PATH in turn, for ever, and answers with its number. Importing takes longer than
writing, so all writers come from one process that has imported everything.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
from small_networks import network, neurons

from toolkit import Network, Synapses


def made(seed: int) -> Network:
    """A network of 400 neurons and 20,000 synapses: some 10 ms to write."""
    rng = np.random.default_rng(seed)
    cells = neurons(400)
    pre = rng.integers(0, 400, 20_000)
    weight = rng.lognormal(size=20_000) * cells["sign"][pre]
    delay, receptor = rng.uniform(1, 3, 20_000), np.zeros(20_000, dtype=int)
    post = rng.integers(0, 400, 20_000)
    synapses = Synapses.sort(pre, post, weight, delay, receptor)
    return network(neurons=cells, synapses=synapses, inputs={}, seed=seed)


def write(work: str, path: Path, turn: int) -> None:
    """One of two networks by ``save``, ``export`` or ``build``."""
    if work == "save":
        made(turn).save(path)
    elif work == "export":
        from converters.sonata import to_sonata

        to_sonata(made(turn), path, overwrite=True)
    else:
        from circuits.cli import main

        try:
            main(["build", "200", "--seed", str(turn + 1), "--out", str(path), "--force"])
        except SystemExit as end:
            if end.code:
                raise


def serve() -> None:
    """Fork a writer for every line, and wait for its end."""
    import circuits.cli
    import circuits.v1  # noqa: F401
    import converters.sonata  # noqa: F401

    for line in sys.stdin:
        work, path = line.split()
        number = os.fork()
        if number == 0:
            with open(os.devnull, "w") as nowhere:
                os.dup2(nowhere.fileno(), 1)
                turn = 0
                while True:
                    turn = 1 - turn
                    write(work, Path(path), turn)
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()
        os.waitpid(number, 0)
        sys.stdout.write("ended\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve()
