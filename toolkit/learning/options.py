"""How a network is trained: numbers that are chosen before it starts."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from toolkit.errors import InputError, unknown
from toolkit.learning.losses import Penalties

SCHEDULES = ("cosine", "constant")
PRECISIONS = ("mixed", "float32")
LESSONS = 4
LOOSE = 16.0  # times their limit that weights may be at first, if it comes down (our choice)


@dataclass(frozen=True)
class TrainingOptions:
    """Of `toolkit.learning.fit`; steps, not times, decide what is learnt.

    Attributes
    ----------
    learning_rate : of Adam. Steps are relative: of log weights, gains and, by way of their mean
        magnitude, of weights that are trained as they are
    batch_size : items in a step, of all processes together
    epochs, max_steps : training ends after so many; cosine schedules need one of them
    max_minutes : or when this much time was used (resumed runs go on counting); which steps are
        made before does not depend on it
    lesson_steps : of each of four lessons before the tasks as they are, in which the pauses between
        stimuli are 0, 1/4, 1/2 and 3/4 of theirs. What was shown 200 ms ago is forgotten by an
        untrained network; a network that can compare pictures learns to remember them (our choice).
        0 for none
    warm_up_steps : in which the learning rate rises evenly from 0
    schedule : ``"cosine"``, down to 0 at the last step, or ``"constant"``
    max_gradient_norm : longer gradients are shortened to it
    evaluate_every : steps between looks at the validation items
    validation_items : only the first so many (whole batches); all by default
    patience : training ends when so many looks in turn saw no better accuracy; never by default
    checkpoint_s : seconds between checkpoints, besides those after each look
    precision : ``"mixed"``: products may round to bfloat16, or TF32, where that is faster;
        ``"float32"``
    noise_steps : between looks at the noise that spikes would make of the rates, after which F is
        that of each neuron's own fluctuation; 0: F stays as it is
    counting_steps : until inputs and pools are read with all the noise of counted spikes
        (`answer`), which grows evenly from the first step on: at once it would hide what there is
        to learn. Validation items always have all of it. Never by default
    limit_steps : in which the largest weights that are allowed (`Weights`) come down evenly on a
        logarithmic scale, from 16 times their limit; those of the steps after are the result. At
        once a trained network would be cut to pieces. By default the limit holds from the start
    held_ms : in every other batch, and for half of the validation items, the stimulus of an item
        stays on until windows of this width end (`Batches.held`); not of items with several, whose
        first one would have to be remembered for as much longer. Never by default
    seed : of items and their order
    penalties : what rates and recurrent noise cost

    Raises
    ------
    InputError : a value out of range, no end

    >>> TrainingOptions(epochs=2).learning_rate_at(0, n_steps=1000)
    0.0005
    """

    learning_rate: float = 0.05
    batch_size: int = 64
    epochs: float | None = None
    max_steps: int | None = None
    max_minutes: float | None = None
    lesson_steps: int = 0
    warm_up_steps: int = 100
    schedule: str = "cosine"
    max_gradient_norm: float = 1.0
    evaluate_every: int = 200
    validation_items: int | None = None
    patience: int | None = None
    checkpoint_s: float = 60.0
    precision: str = "mixed"
    noise_steps: int = 0
    counting_steps: int | None = None
    limit_steps: int | None = None
    held_ms: float | None = None
    seed: int = 0
    penalties: Penalties = field(default_factory=Penalties)

    def __post_init__(self) -> None:
        if self.schedule not in SCHEDULES:
            raise unknown("schedule", self.schedule, SCHEDULES)
        if self.precision not in PRECISIONS:
            raise unknown("precision", self.precision, PRECISIONS)
        for name in ("learning_rate", "epochs", "max_minutes", "max_gradient_norm", "held_ms"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise InputError(f"{name} must be above 0 and finite, got {value}")
        for name in (
            *("batch_size", "max_steps", "evaluate_every", "validation_items", "patience"),
            *("counting_steps", "limit_steps"),
        ):
            value = getattr(self, name)
            if value is not None and (value != int(value) or value < 1):
                raise InputError(f"{name} must be a whole number of 1 or more, got {value}")
        counts = (self.warm_up_steps, self.lesson_steps, self.noise_steps)
        if min(counts) < 0 or not self.checkpoint_s >= 0:
            raise InputError(
                "warm_up_steps, lesson_steps, noise_steps and checkpoint_s must be 0 or more"
            )
        steps_known = self.epochs is not None or self.max_steps is not None
        if not steps_known and (self.schedule == "cosine" or self.max_minutes is None):
            raise InputError(
                "a training needs an end: epochs or max_steps, or max_minutes with the schedule "
                "'constant' (a cosine has to know its last step)"
            )

    def n_steps(self, steps_in_epoch: int) -> float:
        """Number of the last step; infinite if time alone ends the training."""
        ends = [math.inf if self.max_steps is None else self.max_steps]
        if self.epochs is not None:
            ends.append(max(1, round(self.epochs * steps_in_epoch)))
        return min(ends)

    def lesson_at(self, step: int) -> tuple[float, float]:
        """The share of the pauses at a step, and the first step of the next lesson (or infinity).

        >>> TrainingOptions(epochs=1, lesson_steps=50).lesson_at(120)
        (0.5, 150)
        """
        lesson = step // self.lesson_steps if self.lesson_steps else LESSONS
        if lesson >= LESSONS:
            return 1.0, math.inf
        return lesson / LESSONS, (lesson + 1) * self.lesson_steps

    def counting_at(self, step: int) -> float:
        """The share of the standard deviation of counted spikes at a step, 0 to 1.

        >>> TrainingOptions(epochs=1, counting_steps=200).counting_at(49)
        0.25
        """
        return min(1.0, (step + 1) / self.counting_steps) if self.counting_steps else 0.0

    def slack_at(self, step: int) -> float:
        """How many times their limit weights may be after a step.

        >>> TrainingOptions(epochs=1, limit_steps=200).slack_at(99)
        4.0
        """
        left = max(0.0, 1 - (step + 1) / self.limit_steps) if self.limit_steps else 0.0
        return float(LOOSE**left)

    def learning_rate_at(self, step: int, n_steps: float) -> float:
        """Of a step, 0 to n_steps - 1."""
        warm = min(1.0, (step + 1) / self.warm_up_steps) if self.warm_up_steps else 1.0
        if self.schedule == "constant":
            return self.learning_rate * warm
        return self.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * step / n_steps))
