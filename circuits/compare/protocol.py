"""The stimulus protocol of the comparison: gratings in eight directions, and grey."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toolkit import stimuli
from toolkit.errors import InputError
from toolkit.lgn import LGN
from toolkit.recording import Recording


@dataclass(frozen=True)
class Protocol:
    """Durations and numbers of the comparison.

    A sweep is grey, then a drifting grating; its first part is left out of the evoked rate. A trial
    is one long grey, then a sweep of every direction; every trial draws new LGN and background
    spikes. The grating is that of the Allen Visual Coding set (2 Hz, 0.04 cycles/degree, contrast
    0.8), the windows those of Billeh et al. 2020.

    Attributes
    ----------
    trials : number of trials, 2 or more (halves of them give the ceiling)
    n_directions : directions, evenly spaced over 360 degrees
    before_ms : grey at the start of a sweep
    grating_ms : grating
    skip_ms : first part of the grating that is not counted
    grey_ms : counted part of the long grey, after `before_ms` to settle
    bin_ms : of the PSTH
    """

    trials: int = 20
    n_directions: int = 8
    before_ms: float = 500.0
    grating_ms: float = 2500.0
    skip_ms: float = 500.0
    grey_ms: float = 8000.0
    bin_ms: float = 10.0
    temporal_frequency_Hz: float = 2.0
    spatial_frequency_cpd: float = 0.04
    contrast: float = 0.8

    def __post_init__(self) -> None:
        for name in ("before_ms", "grating_ms", "grey_ms", "bin_ms"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} must be above 0 ms, got {getattr(self, name)}")
        if self.trials < 2:
            raise InputError(f"at least 2 trials are needed for a ceiling, got {self.trials}")
        if self.n_directions < 2:
            raise InputError(f"at least 2 directions are needed, got {self.n_directions}")
        if not 0 <= self.skip_ms < self.grating_ms:
            raise InputError(f"skip_ms must be 0 or more and below grating_ms, got {self.skip_ms}")

    @property
    def directions_deg(self) -> np.ndarray:
        """Drift directions, degrees."""
        return np.arange(self.n_directions) * 360 / self.n_directions

    @property
    def sweep_ms(self) -> float:
        """Length of a sweep."""
        return self.before_ms + self.grating_ms

    @property
    def evoked_ms(self) -> float:
        """Counted time of a sweep."""
        return self.grating_ms - self.skip_ms

    @property
    def sweeps_start_ms(self) -> float:
        """When the first sweep of a trial starts."""
        return self.before_ms + self.grey_ms

    def windows_ms(self) -> np.ndarray:
        """Start and stop of the counted window of each direction, then of grey: (n + 1, 2)."""
        first = self.sweeps_start_ms + self.before_ms + self.skip_ms
        starts = first + np.arange(self.n_directions) * self.sweep_ms
        grey = [self.before_ms, self.before_ms + self.grey_ms]
        return np.array([*([start, start + self.evoked_ms] for start in starts), grey])

    def sweeps(self, lgn: LGN) -> list[Recording]:
        """LGN rates of the sweep of each direction, each starting from rest."""
        grey = stimuli.grey(duration_ms=self.before_ms)
        return [
            lgn.respond(
                grey.then(
                    stimuli.drifting_grating(
                        orientation_deg=float(direction),
                        duration_ms=self.grating_ms,
                        temporal_frequency_Hz=self.temporal_frequency_Hz,
                        spatial_frequency_cpd=self.spatial_frequency_cpd,
                        contrast=self.contrast,
                    )
                )
            )
            for direction in self.directions_deg
        ]

    def trial(self, sweeps: list[Recording], grey_Hz: np.ndarray) -> Recording:
        """LGN rates of a whole trial: grey, then the sweeps one after the other."""
        dt_ms = sweeps[0].dt_ms
        steps = round(self.sweeps_start_ms / dt_ms)
        grey = np.broadcast_to(grey_Hz.astype(np.float32), (steps, len(grey_Hz)))
        parts = [grey, *(each.rates_Hz for each in sweeps if each.rates_Hz is not None)]
        return Recording.rates(np.concatenate(parts), dt_ms=dt_ms)
