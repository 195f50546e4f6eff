"""Named random streams: one integer seed in, any number of independent streams out.

Two kinds. `stream` gives an ordinary numpy generator for draws made once, while something is
built. `poisson_counts` is a counter-based draw for input that runs as long as a simulation does:
the count of source i in step k is a pure function of (key, i, k), so it needs no memory, does not
depend on chunks, threads or order, and a compiled simulator can evaluate the very same function.
"""

from __future__ import annotations

import hashlib

import numpy as np

from toolkit.errors import InputError

_ODD_SOURCE = 0x9E3779B97F4A7C15  # golden-ratio increment of SplitMix64 (Steele et al. 2014)
_ODD_STEP = 0xD1342543DE82EF95  # a second odd multiplier, so that sources and steps do not mix
_M1, _M2 = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB  # SplitMix64 finaliser


def _check_seed(seed: int) -> int:
    whole = isinstance(seed, int | np.integer) and not isinstance(seed, bool)
    if not whole or not 0 <= seed < 2**63:
        raise InputError(f"seed must be an integer from 0 to 2^63 - 1, got {seed!r}")
    return int(seed)


def stream(seed: int, *names: str | int) -> np.random.Generator:
    """A numpy generator for the stream called `names`, derived from `seed`.

    Streams of different names are independent; the same seed and names always give the same
    stream, whatever else has been drawn before.

    >>> stream(1, "positions").random() == stream(1, "positions").random()
    True
    """
    digest = hashlib.sha256("/".join(map(str, names)).encode()).digest()
    words = np.frombuffer(digest, dtype=np.uint32)
    return np.random.Generator(
        np.random.PCG64(np.random.SeedSequence([_check_seed(seed), *map(int, words)]))
    )


def stream_key(seed: int, *names: str | int) -> int:
    """The 62-bit key of a counter-based stream (two 31-bit words: it fits Brian2's integers)."""
    text = "/".join(map(str, (_check_seed(seed), *names)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") & (2**62 - 1)


def poisson_thresholds(mean: float) -> np.ndarray:
    """The 53-bit integers t with P(count > m) = 1 - t[m] / 2^53, for m = 0, 1, ...

    A uniform 53-bit integer u gives the Poisson count as the number of thresholds <= u. The list
    ends where the tail is below 2^-53.

    Parameters
    ----------
    mean : expected count in a step, 0 to 16

    Raises
    ------
    InputError : a mean outside that range (a step that long needs a smaller dt)
    """
    if not 0 <= mean <= 16:
        raise InputError(
            f"a Poisson source of {mean:g} expected spikes a step; 0 to 16 are possible: "
            "lower the rate or the time step"
        )
    term, total, thresholds = np.exp(-mean), 0.0, []
    for m in range(200):
        total += term
        level = round(min(total, 1.0) * 2**53)
        if level >= 2**53:
            break
        thresholds.append(level)
        term *= mean / (m + 1)
    return np.array(thresholds, dtype=np.uint64)


def _mix(z: np.ndarray) -> np.ndarray:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(_M1)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(_M2)
    return z ^ (z >> np.uint64(31))


def poisson_counts(key: int, sources: np.ndarray, steps: np.ndarray, mean: float) -> np.ndarray:
    """Spike counts of independent Poisson sources, shape (step, source), uint8.

    The uniform number of source i in step k is the top 53 bits of
    ``mix(mix(key + (i + 1) a) + k b)`` with the finaliser of SplitMix64 (Steele, Lea and Flood
    2014) and odd constants a, b; the count is its place among `poisson_thresholds`.

    Parameters
    ----------
    key : from `stream_key`
    sources : source numbers, shape (source,)
    steps : step numbers, shape (step,)
    mean : expected count a step (rate in Hz x dt in ms / 1000)

    Examples
    --------
    >>> counts = poisson_counts(stream_key(1, "demo"), np.arange(100), np.arange(4000), 0.25)
    >>> bool(abs(counts.mean() - 0.25) < 0.005)
    True
    """
    with np.errstate(over="ignore"):
        i = np.asarray(sources, dtype=np.uint64) + np.uint64(1)
        k = np.asarray(steps, dtype=np.int64).astype(np.uint64)
        row = _mix(np.uint64(key) + i * np.uint64(_ODD_SOURCE))
        bits = _mix(row[None, :] + (k * np.uint64(_ODD_STEP))[:, None]) >> np.uint64(11)
    counts = np.zeros(bits.shape, dtype=np.uint8)
    for threshold in poisson_thresholds(mean):
        counts += bits >= threshold
    return counts


def poisson_counts_cpp(name: str, mean: float, *, cuda: bool = False) -> str:
    """C++ of `poisson_counts` for one source and step: ``int name(int key_hi, int key_lo, int i,
    int64 k)``, with the key as two 31-bit words. Bit for bit the same counts.

    With `cuda` the functions can be called from GPU and from host code: whole numbers only, so
    that the counts are the same on both.
    """
    where = "__host__ __device__ static" if cuda else "static"
    compare = " + ".join(f"(u >= {int(t)}ULL)" for t in poisson_thresholds(mean)) or "0"
    return f"""
{where} inline uint64_t {name}_mix(uint64_t z) {{
    z = (z ^ (z >> 30)) * {_M1}ULL;
    z = (z ^ (z >> 27)) * {_M2}ULL;
    return z ^ (z >> 31);
}}
{where} inline int {name}(int key_hi, int key_lo, int i, int64_t k) {{
    const uint64_t key = ((uint64_t)key_hi << 31) + (uint64_t)key_lo;
    const uint64_t row = {name}_mix(key + (uint64_t)(i + 1) * {_ODD_SOURCE}ULL);
    const uint64_t u = {name}_mix(row + (uint64_t)k * {_ODD_STEP}ULL) >> 11;
    return {compare};
}}
"""
