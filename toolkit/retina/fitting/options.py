"""How a model is fitted."""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.errors import InputError


@dataclass(frozen=True)
class Options:
    """How a model is fitted.

    steps : of the optimiser, at most; every one sees all training windows
    learning_rate : of Adam, falling to 0 along a cosine; None: the model's own
    run_in_ms : of the movie before each window; with a window of 300 ms, pieces of 1 s. Shorter for
        models that see no further back
    look_every : steps between looks at the validation windows
    patience : looks without a better correlation before the end
    samples : drawn for a look
    clip : largest norm of the gradient
    checkpoint_s : seconds between checkpoints
    """

    steps: int = 300
    learning_rate: float | None = None
    run_in_ms: float = 700.0
    look_every: int = 20
    patience: int = 8
    samples: int = 8
    clip: float = 1.0
    seed: int = 1
    checkpoint_s: float = 30.0

    def __post_init__(self) -> None:
        for name, least in (("steps", 1), ("look_every", 1), ("patience", 1), ("samples", 1)):
            if getattr(self, name) < least:
                raise InputError(f"{name} must be {least} or more, got {getattr(self, name)}")
        if (
            not (self.learning_rate is None or self.learning_rate > 0)
            or not self.run_in_ms >= 0
            or not self.clip > 0
        ):
            raise InputError("learning_rate and clip must be above 0, run_in_ms 0 or more")
