"""When stimuli are on and when the network answers."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from toolkit.errors import InputError
from toolkit.stimuli.frames import n_frames


@dataclass(frozen=True)
class Timing:
    """The course of a trial; nothing is shown between the stimuli.

    Attributes
    ----------
    onsets_ms : when each stimulus comes on, rising
    stimulus_ms : how long each of them stays
    held_ms : how much longer the last one stays
    response_ms : (start, stop) of the window in which the answer is read
    duration_ms : of the trial

    Raises
    ------
    InputError : a time that is negative or not finite, stimuli that overlap, a stimulus or a window
        that is not within the trial

    Examples
    --------
    >>> Timing(onsets_ms=(50,), response_ms=(150, 200)).response(5.0).nonzero()[0][[0, -1]]
    array([30, 39])
    """

    onsets_ms: tuple[float, ...]
    stimulus_ms: float = 100.0
    response_ms: tuple[float, float] = (150.0, 200.0)
    duration_ms: float = 600.0
    held_ms: float = 0.0

    def __post_init__(self) -> None:
        start, stop = self.response_ms
        times = (*self.onsets_ms, self.stimulus_ms, start, stop, self.duration_ms, self.held_ms)
        if not self.onsets_ms or not all(math.isfinite(t) and t >= 0 for t in times):
            raise InputError(f"times must be finite and 0 ms or later, at least one onset: {self}")
        ends = self._ends_ms
        later = (*self.onsets_ms[1:], self.duration_ms)
        if not self.stimulus_ms > 0 or any(b < a for a, b in zip(ends, later, strict=True)):
            raise InputError(
                "stimuli must last above 0 ms, come one after the other and end within the trial "
                f"of {self.duration_ms:g} ms; they are on at {self.onsets_ms} ms for "
                f"{self.stimulus_ms:g} ms"
            )
        if not start < stop <= self.duration_ms:
            raise InputError(
                f"the response window of {start:g} to {stop:g} ms is not within the trial of "
                f"{self.duration_ms:g} ms"
            )

    def n_steps(self, dt_ms: float) -> int:
        """Steps of a trial; `InputError` unless it is a whole number."""
        return n_frames(self.duration_ms, dt_ms)

    def shown(self, dt_ms: float) -> np.ndarray:
        """Which stimulus is on: 1 or 0, shape (stimulus, step), float64.

        Raises `InputError` unless onsets and durations are whole numbers of steps.
        """
        on = np.zeros((len(self.onsets_ms), self.n_steps(dt_ms)))
        for row, onset, end in zip(on, self.onsets_ms, self._ends_ms, strict=True):
            row[_step(onset, dt_ms) : _step(end, dt_ms)] = 1
        return on

    @property
    def _ends_ms(self) -> list[float]:
        ends = [onset + self.stimulus_ms for onset in self.onsets_ms]
        return [*ends[:-1], ends[-1] + self.held_ms]

    def held(self, window_ms: float) -> Timing:
        """The same with another width of the window, until whose end the last stimulus stays.

        The trial ends there, too.

        >>> longer = SINGLE.held(200.0)
        >>> longer.response_ms, longer.held_ms, longer.duration_ms
        ((150.0, 350.0), 200.0, 350.0)
        """
        stop = self.response_ms[0] + window_ms
        held = max(0.0, stop - self.onsets_ms[-1] - self.stimulus_ms)
        response = (self.response_ms[0], stop)
        return replace(self, response_ms=response, duration_ms=stop, held_ms=held)

    def with_pauses(self, share: float) -> Timing:
        """The same with shorter pauses between stimuli; what comes after them moves up.

        Parameters
        ----------
        share : of the pauses that is left, 0 to 1

        Raises
        ------
        InputError : another share

        >>> shorter = PAIR.with_pauses(0.25)
        >>> shorter.onsets_ms, shorter.response_ms
        ((50.0, 200.0), (350.0, 400.0))
        """
        if not 0 <= share <= 1:
            raise InputError(f"the share of the pauses must be 0 to 1, got {share}")
        apart = (1 - share) * (np.diff(self.onsets_ms) - self.stimulus_ms)
        earlier = [0.0, *np.cumsum(apart).tolist()]
        onsets = tuple(t - by for t, by in zip(self.onsets_ms, earlier, strict=True))
        start, stop = (time - earlier[-1] for time in self.response_ms)
        return replace(self, onsets_ms=onsets, response_ms=(start, stop))

    def response(self, dt_ms: float) -> np.ndarray:
        """Whether a step is in the response window, shape (step,), bool; errors as of `shown`."""
        window = np.zeros(self.n_steps(dt_ms), dtype=bool)
        window[slice(*(_step(time, dt_ms) for time in self.response_ms))] = True
        return window


# Confirmed in the released code of Chen, Scherr and Maass 2022 (Sci Adv 8:eabq7592): trials of
# 600 ms, 50 ms of grey, a stimulus of 100 ms, an answer read in a chunk of 50 ms. A pair is two
# such stretches of 300 ms, answered 200 to 250 ms into the second.
SINGLE = Timing(onsets_ms=(50.0,), response_ms=(150.0, 200.0))
PAIR = Timing(onsets_ms=(50.0, 350.0), response_ms=(500.0, 550.0))


def _step(time_ms: float, dt_ms: float) -> int:
    return n_frames(time_ms, dt_ms) if time_ms > 0 else 0
