"""What a parameter is: name, unit, meaning, source and allowed range."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from toolkit.errors import InputError


@dataclass(frozen=True)
class Parameter:
    """One parameter of a neuron model; `low` and `high` bound the allowed values (inclusive)."""

    name: str
    unit: str
    meaning: str
    low: float = -np.inf
    high: float = np.inf
    default: float | None = None

    def check(self, values: np.ndarray) -> None:
        """Raise `InputError` naming the first neuron whose value is not finite or out of range."""
        values = np.asarray(values)
        if values.dtype.kind not in "iuf":
            raise InputError(f"parameter {self.name} must be numbers, got {values.dtype}")
        bad = ~np.isfinite(values) | (values < self.low) | (values > self.high)
        if bad.any():
            i = int(np.flatnonzero(bad)[0])
            raise InputError(
                f"parameter {self.name} of neuron {i} is {values[i]:g} {self.unit}; "
                f"allowed: {self.low:g} to {self.high:g} {self.unit} ({self.meaning})"
            )


def check_all(parameters: Iterable[Parameter], columns: Mapping[str, np.ndarray]) -> None:
    """Check every parameter of a model; one without a default must be there."""
    for parameter in parameters:
        if parameter.name in columns:
            parameter.check(columns[parameter.name])
        elif parameter.default is None:
            raise InputError(
                f"the neurons lack the parameter {parameter.name} "
                f"({parameter.meaning}, {parameter.unit})"
            )
