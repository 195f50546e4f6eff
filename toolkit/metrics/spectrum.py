"""How the variance of responses is spread over their principal components.

Responses are (stimulus, neuron). Two presentations of the same stimuli, whose noise is independent,
tell the variance that stimuli make from that of the noise.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from toolkit.errors import InputError
from toolkit.metrics.checks import alike, finite, of_rank
from toolkit.rng import stream

FIRST, LAST = 11, 500  # components of the fit (Stringer et al. 2019, Nature 571:361-365)


def principal_components(responses: ArrayLike, n: int) -> np.ndarray:
    """The first n principal components as unit vectors over neurons, (neuron, component).

    The largest loading of each is positive.

    Parameters
    ----------
    responses : (stimulus, neuron), Hz
    n : number of components

    Raises
    ------
    InputError : fewer than n components that have any variance, NaN

    Time: O(s^2 N + s^3) for s stimuli and N neurons, or O(s N^2 + N^3) if N is smaller.

    >>> x = np.array([[2.0, 2.0], [-2.0, -2.0], [1.0, -1.0], [-1.0, 1.0]])
    >>> principal_components(x, 1).round(3).ravel().tolist()
    [0.707, 0.707]
    """
    values, vectors = _decomposed(of_rank("responses", finite("responses", responses), 2))
    if not 1 <= n <= len(values):
        raise InputError(
            f"{n} principal components need as many dimensions in which responses vary; there are "
            f"{len(values)}"
        )
    vectors = vectors[:, :n]
    largest = vectors[np.abs(vectors).argmax(axis=0), np.arange(n)]
    return np.asarray(vectors * np.sign(largest))


def component_variances(responses: ArrayLike, n: int) -> np.ndarray:
    """Variances of the first n principal components, Hz^2, without regard to noise; 0 at the end.

    Parameters
    ----------
    responses : (stimulus, neuron), Hz
    n : number of components

    >>> component_variances([[2.0, 0.0], [-2.0, 0.0]], 2).tolist()
    [4.0, 0.0]
    """
    x = of_rank("responses", finite("responses", responses), 2)
    values, _ = _decomposed(x)
    return np.pad(values[:n] / len(x), (0, max(0, n - len(values))))


def _decomposed(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums of squares along the principal components, falling, and these, (neuron, component).

    Of the smaller one of both Gram matrices; only components that have a variance.
    """
    x = x - x.mean(axis=0)
    small = x.shape[0] < x.shape[1]
    values, vectors = np.linalg.eigh(x @ x.T if small else x.T @ x)
    kept = values > 1e-12 * max(values[-1], 1e-300)
    values, vectors = values[kept][::-1], vectors[:, kept][:, ::-1]
    if small:
        vectors = x.T @ (vectors / np.sqrt(values))
    return values, vectors


def cross_validated_products(first: ArrayLike, second: ArrayLike, n: int) -> np.ndarray:
    """Products of both presentations' projections, (stimulus, component).

        p_sk = (u_k . x1_s) (u_k . x2_s),    u_k the principal components of the first one

    Their mean over stimuli is the variance that stimuli make along u_k: the noise of x2 knows
    nothing of u_k or of x1.

    Parameters
    ----------
    first, second : the same stimuli in two presentations, (stimulus, neuron)
    n : number of components

    Raises
    ------
    InputError : unequal shapes, too few dimensions, NaN

    Source: Stringer et al. 2019, Nature 571:361-365 (cross-validated PCA).
    """
    x1, x2 = alike("first", first, "second", second, rank=2)
    components = principal_components(x1, n)
    return np.asarray(((x1 - x1.mean(0)) @ components) * ((x2 - x2.mean(0)) @ components))


@dataclass(frozen=True)
class PowerLaw:
    """lambda_n = scale n^-exponent, fitted from component `first` to `last`.

    `r_squared` is that of the fit in logarithms; `low` and `high` are an interval of the exponent,
    NaN where none was asked for.
    """

    exponent: float
    scale: float
    first: int
    last: int
    r_squared: float
    low: float = np.nan
    high: float = np.nan


def power_law(variances: ArrayLike, *, first: int = FIRST, last: int = LAST) -> PowerLaw:
    """Fit a power law to a spectrum: the slope of log lambda_n on log n.

    Weighted with 1/n, so that equal ratios of n count equally, as in the released code of Stringer
    et al. 2019. The fit ends before the first variance that is not above 0.

    Parameters
    ----------
    variances : of components 1, 2, ...
    first, last : components of the fit

    Raises
    ------
    InputError : fewer than 5 components to fit

    >>> round(power_law(7 * np.arange(1, 301) ** -1.25).exponent, 6)
    1.25
    """
    values = of_rank("variances", finite("variances", variances), 1)
    used = values[first - 1 : last]
    end = len(used) if (used > 0).all() else int((used <= 0).argmax())
    if first < 1 or end < 5:
        raise InputError(
            f"a power law needs 5 variances above 0 from component {first} on, there are {end}: "
            "more stimuli or less noise would do"
        )
    n = np.arange(first, first + end)
    slope, offset, r_squared = _line(np.log(n), np.log(used[:end]), 1 / n)
    return PowerLaw(-slope, float(np.exp(offset)), first, first + end - 1, r_squared)


def _line(x: np.ndarray, y: np.ndarray, weight: np.ndarray) -> tuple[float, float, float]:
    """Slope, offset and R2 of a weighted least-squares line."""
    weight = weight / weight.sum()
    dx, dy = x - weight @ x, y - weight @ y
    slope = (weight @ (dx * dy)) / (weight @ dx**2)
    residual, total = weight @ (dy - slope * dx) ** 2, weight @ dy**2
    r_squared = 1 - residual / total if total > 0 else np.nan
    return float(slope), float(weight @ y - slope * (weight @ x)), float(r_squared)


def estimate_power_law(
    first_responses: ArrayLike,
    second_responses: ArrayLike,
    *,
    first: int = FIRST,
    last: int | None = None,
    seed: int = 0,
    n_bootstrap: int = 1000,
    n_simulated: int = 4,
    level: float = 0.95,
) -> tuple[np.ndarray, PowerLaw, PowerLaw]:
    """Cross-validated spectrum of two presentations, and its power law without and with correction.

    Cross-validated PCA makes a spectrum too flat where noise turns the estimated components, by 5
    to 20 % of the exponent for noise of one to four times the signal's variance. The correction
    is indirect inference: responses with a known exponent are drawn (leading variances, components
    and noise as found, the law up to the last neuron), the same estimate is made of them, and the
    known exponent is moved until the estimate is that of the data. The noise drawn is that of the
    data, differences of the presentations with random signs, mixed with independent noise of each
    neuron by Ledoit and Wolf's share, as the covariance of few samples is too uneven. Where
    variances do not follow the law beyond `last` the correction is only as good as that assumption.
    The interval is a bootstrap over stimuli with the components as they are, widened by the error
    of the simulated mean; without that it held the true exponent in 18 (noise of the signal's
    variance) and 20 (a quarter of it) of 20 simulated data sets.

    Parameters
    ----------
    first_responses, second_responses : the same stimuli with independent noise, (stimulus, neuron)
    first, last : components of the fit; `last` is 500 by default, or a quarter of the number of
        neurons or stimuli if that is less
    seed : of bootstrap and simulated responses
    n_bootstrap : draws of stimuli for the interval, with components as they are
    n_simulated : simulated data sets in each of two rounds
    level : of the interval

    Returns
    -------
    variances : of components 1 to `last`
    raw : the law that was fitted, with its interval
    corrected : the same with its bias taken off

    Raises
    ------
    InputError : too few stimuli, too much noise, equal presentations

    Sources: Stringer et al. 2019, Nature 571:361-365; Gourieroux, Monfort and Renault 1993, Journal
    of Applied Econometrics 8:S85-S118; Ledoit and Wolf 2004, J. Multivariate Analysis 88:365-411.

    Time: 2 n_simulated + 1 times that of `principal_components`.
    """
    x1, x2 = alike("first_responses", first_responses, "second_responses", second_responses, rank=2)
    n_stimuli, n_neurons = x1.shape
    last = min(LAST, n_neurons // 4, n_stimuli // 4) if last is None else last
    products = cross_validated_products(x1, x2, last)
    variances = products.mean(axis=0)
    raw = power_law(variances, first=first, last=last)
    rng = stream(seed, "spectrum")
    draws = rng.multinomial(n_stimuli, np.full(n_stimuli, 1 / n_stimuli), size=n_bootstrap)
    spread = [_exponent(each, raw) for each in draws @ products / n_stimuli]
    tails = np.nanquantile(spread, [(1 - level) / 2, (1 + level) / 2]) - np.nanmean(spread)
    low, high = raw.exponent - tails[::-1]  # basic bootstrap: the error's distribution, mirrored
    simulated = _Simulated(x1, x2, variances, raw, rng)
    exponent = raw.exponent
    for _ in range(2):
        found = [_exponent(simulated.variances(exponent), raw) for _ in range(n_simulated)]
        exponent += raw.exponent - float(np.nanmean(found))
    # The scale is that at which the line passes through the middle of the raw one.
    shift = exponent - raw.exponent
    scale = raw.scale * (raw.first * raw.last) ** (shift / 2)
    # The correction is a mean of few simulated estimates, which vary as the data's own.
    wider = -tails[::-1] * np.sqrt(1 + 1 / n_simulated)
    corrected = replace(
        raw,
        exponent=exponent,
        scale=scale,
        low=float(exponent + wider[0]),
        high=float(exponent + wider[1]),
    )
    return variances, replace(raw, low=float(low), high=float(high)), corrected


def _exponent(variances: np.ndarray, law: PowerLaw) -> float:
    """Over the components of a law; NaN where that is not possible."""
    try:
        return power_law(variances, first=law.first, last=law.last).exponent
    except InputError:
        return np.nan


class _Simulated:
    """Draws pairs of presentations like the given ones, with another exponent."""

    def __init__(
        self,
        x1: np.ndarray,
        x2: np.ndarray,
        variances: np.ndarray,
        law: PowerLaw,
        rng: np.random.Generator,
    ):
        from sklearn.covariance import ledoit_wolf_shrinkage

        self.law, self.leading, self.rng = law, np.maximum(variances[: law.first - 1], 0), rng
        self.components = _decomposed(x1)[1].T
        noise = (x1 - x2) / np.sqrt(2)
        noise -= noise.mean(axis=0)
        self.sd = noise.std(axis=0)
        if not self.sd.any():
            raise InputError("both presentations are equal: they need independent noise")
        self.noise = noise / np.where(self.sd > 0, self.sd, 1.0)
        self.independent = float(ledoit_wolf_shrinkage(self.noise, assume_centered=True))

    def variances(self, exponent: float) -> np.ndarray:
        """The cross-validated spectrum of a pair of presentations with that exponent."""
        law, (n_stimuli, n_neurons) = self.law, self.noise.shape
        middle = np.sqrt(law.first * law.last)
        n = np.arange(1, n_neurons + 1)
        true = law.scale * middle**-law.exponent * (n / middle) ** -exponent
        true[: len(self.leading)] = self.leading
        k = len(self.components)
        # What is beyond the components that there are, goes to all neurons alike.
        signal = (self._normal(n_stimuli, k) * np.sqrt(true[:k])) @ self.components
        signal += np.sqrt(true[k:].sum() / n_neurons) * self._normal(n_stimuli, n_neurons)
        first, second = (signal + self._noise() for _ in range(2))
        return cross_validated_products(first, second, law.last).mean(axis=0)

    def _noise(self) -> np.ndarray:
        n_stimuli, share = len(self.noise), self.independent
        rows = self.noise[self.rng.permutation(n_stimuli)]
        rows *= np.sqrt(1 - share) * self.rng.choice([-1.0, 1.0], size=(n_stimuli, 1))
        return np.asarray(self.sd * (rows + np.sqrt(share) * self._normal(*self.noise.shape)))

    def _normal(self, *shape: int) -> np.ndarray:
        return self.rng.standard_normal(shape)
