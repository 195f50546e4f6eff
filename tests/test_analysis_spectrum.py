"""Cross-validated PCA, power laws and overlaps of components, against spectra that are known."""

from __future__ import annotations

import numpy as np
import pytest

from toolkit.errors import InputError
from toolkit.metrics.components import (
    component_overlap,
    permutation_null,
    rotation_null,
    subspace_overlap,
)
from toolkit.metrics.spectrum import (
    component_variances,
    cross_validated_products,
    estimate_power_law,
    power_law,
    principal_components,
)


def presentations(
    exponent: float, n_stimuli: int, n_neurons: int, noise: float, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two presentations of a Gaussian power-law signal with white noise; and the true variances.

    The variance of the noise is `noise` squared times that of the signal.
    """
    rng = np.random.default_rng(seed)
    true = np.arange(1.0, n_neurons + 1) ** -exponent
    turn, _ = np.linalg.qr(rng.standard_normal((n_neurons, n_neurons)))
    signal = (rng.standard_normal((n_stimuli, n_neurons)) * np.sqrt(true)) @ turn.T
    sd = noise * np.sqrt(true.sum() / n_neurons)
    first, second = (signal + sd * rng.standard_normal(signal.shape) for _ in range(2))
    return first, second, true


@pytest.mark.parametrize(("exponent", "noise"), [(1.0, 0.5), (1.0, 1.0), (1.5, 1.0)])
def test_a_known_exponent_lies_within_the_interval(exponent: float, noise: float) -> None:
    raws, laws = [], []
    for seed in range(8):
        first, second, _ = presentations(exponent, 400, 240, noise, 100 + seed)
        _, raw, law = estimate_power_law(first, second, seed=seed, n_simulated=3)
        assert (law.first, law.last) == (11, 60)
        raws.append(raw.exponent)
        laws.append(law)
    # Of 95 % intervals 5 or fewer out of 8 hold the truth with a probability of 0.6 %.
    assert sum(law.low < exponent < law.high for law in laws) >= 6
    assert np.mean([law.high - law.low for law in laws]) < 0.35
    mean = np.mean([law.exponent for law in laws])
    # Without the correction it is below by 2 to 7 %.
    assert abs(mean - exponent) < 0.04 * exponent
    assert np.mean(raws) < mean


def test_without_cross_validation_noise_makes_the_spectrum_flat() -> None:
    first, second, true = presentations(1.0, 400, 240, 1.0, 4)
    crossed = cross_validated_products(first, second, 60).mean(axis=0)
    plain = component_variances(first, 60)
    assert power_law(plain, last=60).exponent < power_law(crossed, last=60).exponent - 0.2
    assert crossed.sum() == pytest.approx(true[:60].sum(), rel=0.15)
    assert plain.sum() > 1.3 * crossed.sum()


def test_variance_that_does_not_repeat_is_none() -> None:
    rng = np.random.default_rng(5)
    first, second = rng.standard_normal((2, 500, 40))
    products = cross_validated_products(first, second, 20)
    error = products.std(axis=0) / np.sqrt(len(products))
    assert (np.abs(products.mean(axis=0)) < 4 * error).all()


def test_the_fit_is_exact_for_a_power_law_and_ends_where_variance_does() -> None:
    variances = 3.0 * np.arange(1, 401) ** -1.3
    law = power_law(variances)
    assert (law.exponent, law.scale) == pytest.approx((1.3, 3.0))
    assert (law.first, law.last, law.r_squared) == (11, 400, pytest.approx(1.0))
    variances[49] = -1e-9
    assert power_law(variances).last == 49
    with pytest.raises(InputError, match="there are 3"):
        power_law(variances, first=47)


def test_components_are_those_of_the_covariance_whichever_side_is_longer() -> None:
    rng = np.random.default_rng(6)
    x = rng.standard_normal((30, 50)) * np.linspace(4, 0.1, 50)
    for responses in (x, x.T):
        found = principal_components(responses, 4)
        covariance = np.cov(responses.T, bias=True)
        variances = component_variances(responses, 4)
        np.testing.assert_allclose(covariance @ found, found * variances, atol=1e-9)
        np.testing.assert_allclose(found.T @ found, np.eye(4), atol=1e-9)
    with pytest.raises(InputError, match="there are 29"):
        principal_components(x, 30)


@pytest.mark.parametrize("bad", ["equal", "shape", "few"])
def test_presentations_that_say_nothing_are_refused(bad: str) -> None:
    first, second, _ = presentations(1.0, 120, 100, 0.2, 7)
    given = {"equal": (first, first), "shape": (first, second[:50]), "few": (first[:8], second[:8])}
    with pytest.raises(InputError):
        estimate_power_law(*given[bad], n_simulated=1)


def test_overlaps_of_equal_turned_and_exchanged_components() -> None:
    u = np.linalg.qr(np.random.default_rng(8).standard_normal((60, 3)))[0]
    np.testing.assert_allclose(component_overlap(u, -u), 1)
    exchanged = u[:, [1, 0, 2]]
    np.testing.assert_allclose(component_overlap(u, exchanged), [0, 0, 1], atol=1e-12)
    assert subspace_overlap(u, exchanged) == pytest.approx(1)
    with pytest.raises(InputError, match="unit vectors"):
        component_overlap(u, 2 * u)


def test_nulls_have_the_overlaps_of_chance() -> None:
    null = rotation_null(200, 4, n=400, seed=1)
    assert null.shape == (400, 5)
    # |cos| of random directions in N dimensions has the mean sqrt(2 / (pi N)).
    assert null[:, :4].mean() == pytest.approx(np.sqrt(2 / (np.pi * 200)), rel=0.05)
    assert null[:, 4].mean() == pytest.approx(4 / 200, rel=0.05)


def test_permutations_keep_what_the_groups_have_in_common() -> None:
    # Loadings that depend on the group alone are left as they are by permutations within groups.
    groups = np.repeat(["a", "b"], [30, 70])
    u = np.where(groups == "a", 1.0, 0.2)[:, None]
    u /= np.linalg.norm(u)
    within = permutation_null(u, u, n=20, seed=1, groups=groups)
    anywhere = permutation_null(u, u, n=20, seed=1)
    np.testing.assert_allclose(within, 1)
    assert anywhere[:, 0].max() < 0.9
    with pytest.raises(InputError, match="a group for each"):
        permutation_null(u, u, n=1, seed=1, groups=groups[:5])
