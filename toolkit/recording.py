"""`Recording`: spikes or rates of a population over time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toolkit.errors import InputError
from toolkit.rng import stream


@dataclass(frozen=True)
class Recording:
    """What a population did: spikes or rates.

    Make one with `Recording.spikes` or `Recording.rates`.

    Attributes
    ----------
    kind : ``"spikes"`` or ``"rates"``
    n : number of neurons or channels
    dt_ms : time step
    duration_ms : length
    spike_times_ms, spike_ids : flat arrays sorted by time (spikes); a spike is stamped at the
        end of its step, so times lie in (0, duration]
    rates_Hz : shape (time, neuron) (rates); row k holds for k dt to (k + 1) dt
    """

    kind: str
    n: int
    dt_ms: float
    duration_ms: float
    spike_times_ms: np.ndarray | None = None
    spike_ids: np.ndarray | None = None
    rates_Hz: np.ndarray | None = None

    @classmethod
    def spikes(
        cls, times_ms: np.ndarray, ids: np.ndarray, *, n: int, dt_ms: float, duration_ms: float
    ) -> Recording:
        """A recording of spikes, given in any order.

        Raises `InputError` for ids outside 0 to n - 1 or times outside (0, duration].
        """
        times, ids = np.asarray(times_ms, dtype=np.float64), np.asarray(ids)
        _check_durations(dt_ms, duration_ms)
        if times.shape != ids.shape or times.ndim != 1:
            raise InputError(
                f"spike times {times.shape} and ids {ids.shape} must be flat and equal"
            )
        if n < 0:
            raise InputError(f"a recording is of 0 or more neurons, got n = {n}")
        if len(ids):
            if ids.dtype.kind not in "iu":
                raise InputError(f"spike ids must be whole numbers, got {ids.dtype}")
            if ids.min() < 0 or ids.max() >= n:
                raise InputError(
                    f"spike ids {ids.min()} to {ids.max()} are not within 0 to {n - 1}"
                )
            if not np.isfinite(times).all() or times.min() <= 0:
                raise InputError("spike times must be finite and above 0 ms (end of the step)")
            if times.max() > duration_ms * (1 + 1e-9):
                raise InputError(
                    f"a spike at {times.max():g} ms is after the end, {duration_ms:g} ms"
                )
        order = np.lexsort((ids, times))
        times, ids = times[order], ids[order].astype(np.int32)
        times.flags.writeable = ids.flags.writeable = False
        return cls("spikes", n, dt_ms, duration_ms, spike_times_ms=times, spike_ids=ids)

    @classmethod
    def rates(cls, rates_Hz: np.ndarray, *, dt_ms: float) -> Recording:
        """A recording of rates, shape (time, neuron), Hz.

        Raises `InputError` for another rank, NaN or negative rates.
        """
        with np.errstate(over="ignore"):  # what does not fit is reported below
            rates = np.array(rates_Hz, dtype=np.float32)
        if rates.ndim != 2:
            raise InputError(f"rates have shape (time, neuron), got {rates.shape}")
        if not np.isfinite(rates).all() or (rates < 0).any():
            raise InputError("rates must be finite and not negative")
        _check_durations(dt_ms, rates.shape[0] * dt_ms)
        rates.flags.writeable = False
        return cls("rates", rates.shape[1], dt_ms, rates.shape[0] * dt_ms, rates_Hz=rates)

    def _need(self, kind: str) -> None:
        if self.kind != kind:
            other = "to_rates(window_ms)" if kind == "rates" else "to_spikes(seed)"
            raise InputError(f"this is a recording of {self.kind}; {other} gives one of {kind}")

    def to_spikes(self, seed: int, name: str = "spikes") -> Recording:
        """Draw inhomogeneous Poisson spikes from rates, in continuous time.

        By thinning: candidates at each channel's peak rate, kept with the ratio of the present rate
        to it. Stream: (seed, name).
        """
        self._need("rates")
        assert self.rates_Hz is not None
        rng = stream(seed, "poisson spikes", name)
        peak = self.rates_Hz.max(axis=0).astype(np.float64)
        candidates = rng.poisson(peak * (self.duration_ms / 1000))
        ids = np.repeat(np.arange(self.n, dtype=np.int32), candidates)
        times = self.duration_ms * (1.0 - rng.random(len(ids)))  # in (0, duration]
        row = np.minimum((times / self.dt_ms).astype(np.int64), len(self.rates_Hz) - 1)
        keep = rng.random(len(ids)) * peak[ids] < self.rates_Hz[row, ids]
        return Recording.spikes(
            times[keep], ids[keep], n=self.n, dt_ms=self.dt_ms, duration_ms=self.duration_ms
        )

    def to_rates(self, window_ms: float) -> Recording:
        """Spikes counted in windows (the last one whole), as rates in Hz.

        Window k holds the spikes stamped in (k window, (k + 1) window].
        """
        self._need("spikes")
        if not window_ms > 0:
            raise InputError(f"a window must be above 0 ms, got {window_ms}")
        n_windows = round(self.duration_ms / window_ms)
        if n_windows < 1 or abs(n_windows * window_ms - self.duration_ms) > 1e-6 * window_ms:
            raise InputError(
                f"{self.duration_ms:g} ms is not a whole number of windows of {window_ms:g} ms"
            )
        return Recording.rates(
            self.counts(np.arange(n_windows + 1) * window_ms) * (1000 / window_ms), dt_ms=window_ms
        )

    def counts(self, edges_ms: np.ndarray) -> np.ndarray:
        """Spike counts in the windows between `edges_ms`, shape (window, neuron), int32.

        A spike stamped exactly at an edge (the end of a step) belongs to the window before it.
        """
        self._need("spikes")
        assert self.spike_times_ms is not None and self.spike_ids is not None
        edges = np.asarray(edges_ms, dtype=float)
        if edges.ndim != 1 or len(edges) < 2 or not (np.diff(edges) > 0).all():
            raise InputError("the edges of windows must be two or more rising times")
        # Times that are sums of steps can lie a rounding error above their edge.
        times = np.maximum(self.spike_times_ms - 1e-6, 0.0)
        window = np.searchsorted(edges, times, side="right") - 1
        inside = (window >= 0) & (window < len(edges) - 1)
        flat = window[inside] * self.n + self.spike_ids[inside]
        counts = np.bincount(flat, minlength=(len(edges) - 1) * self.n).astype(np.int32)
        return counts.reshape(len(edges) - 1, self.n)

    def mean_rates_Hz(self, start_ms: float = 0.0, stop_ms: float | None = None) -> np.ndarray:
        """Mean rate of every neuron between two times, Hz, shape (neuron,)."""
        stop = self.duration_ms if stop_ms is None else stop_ms
        if not 0 <= start_ms < stop <= self.duration_ms * (1 + 1e-9):
            raise InputError(
                f"a window of {start_ms:g} to {stop:g} ms is not within 0 to {self.duration_ms:g}"
            )
        if self.kind == "spikes":
            return self.counts(np.array([start_ms, stop]))[0] * (1000 / (stop - start_ms))
        assert self.rates_Hz is not None
        first, last = int(start_ms / self.dt_ms), len(self.rates_Hz)
        last = min(last, int(np.ceil(stop / self.dt_ms)))
        edges = np.clip(np.arange(first, last + 1) * self.dt_ms, start_ms, stop)
        share = np.diff(edges) / (stop - start_ms)
        return np.einsum("t,tn->n", share, self.rates_Hz[first:last])


def _check_durations(dt_ms: float, duration_ms: float) -> None:
    if not dt_ms > 0:
        raise InputError(f"dt_ms must be above 0, got {dt_ms}")
    if not duration_ms > 0 or not np.isfinite(duration_ms):
        raise InputError(f"a duration must be above 0 ms, got {duration_ms}")
