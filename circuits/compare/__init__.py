"""Spiking against rates: the same column, the same LGN input, how far the two agree."""

from circuits.compare.protocol import Protocol
from circuits.compare.study import Study, run_study

__all__ = ["Protocol", "Study", "run_study"]
