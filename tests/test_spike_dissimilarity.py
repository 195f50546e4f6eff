"""Discrepancy and rhythm of spike trains, and pictures against codes, against plain sums."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import ndimage

from toolkit.errors import InputError
from toolkit.metrics import (
    autocorrelogram,
    autocorrelogram_distance,
    code_similarity,
    psp,
    spike_mmd,
)
from toolkit.retina.tecos import losses

RNG = np.random.default_rng(5)
RECORDED = RNG.integers(0, 3, (6, 20, 3))
PREDICTED = RNG.integers(0, 2, (4, 20, 3))


def test_potentials():
    r = psp(RECORDED, 2.5)
    now = np.zeros_like(RECORDED[:, 0], dtype=float)
    for t in range(RECORDED.shape[1]):
        now = (1 - 1 / 2.5) * now + RECORDED[:, t] / 2.5
        np.testing.assert_allclose(r[:, t], now, atol=1e-12)


@pytest.mark.parametrize("kernel", ["linear", "gaussian"])
@pytest.mark.parametrize("unbiased", [True, False])
def test_discrepancy_is_the_plain_sum(kernel: str, unbiased: bool):
    a, b = psp(RECORDED, 3), psp(PREDICTED, 3)

    def k(x: np.ndarray, y: np.ndarray) -> float:
        return x @ y if kernel == "linear" else np.exp(-np.square(x - y).sum() / (2 * 1.7**2))

    def within(x: np.ndarray) -> float:
        pairs = [(i, j) for i in range(len(x)) for j in range(len(x)) if i != j or not unbiased]
        return np.mean([k(x[i], x[j]) for i, j in pairs])

    right = [
        within(x) + within(y) - 2 * np.mean([[k(u, v) for v in y] for u in x])
        for x, y in zip(a.transpose(2, 0, 1), b.transpose(2, 0, 1), strict=True)
    ]
    found = spike_mmd(RECORDED, PREDICTED, kernel=kernel, tau_bins=3, width=1.7, unbiased=unbiased)
    np.testing.assert_allclose(found, right, atol=1e-10)


def test_discrepancy_is_what_training_lowers():
    ours = spike_mmd(RECORDED, PREDICTED, tau_bins=losses.TAU_STEPS)
    theirs = losses.mmd(
        *(torch.from_numpy(x.transpose(1, 2, 0)[None]).double() for x in (RECORDED, PREDICTED))
    )
    assert ours.mean() == pytest.approx(theirs.item(), rel=1e-9)


def test_discrepancy_of_the_same_distribution_is_nothing_on_average():
    draws = (RNG.random((400, 2, 8, 20, 1)) < 0.3).astype(float)
    same = np.array([spike_mmd(a, b)[0] for a, b in draws])
    error = same.std() / np.sqrt(len(same))
    assert abs(same.mean()) < 3 * error
    other = (RNG.random((400, 8, 20, 1)) < 0.5).astype(float)
    far = np.array([spike_mmd(a, b)[0] for (a, _), b in zip(draws, other, strict=True)])
    assert far.mean() > 10 * error
    assert (np.array([spike_mmd(a, b, unbiased=False)[0] for a, b in draws]) >= 0).all()


def test_only_the_gaussian_kernel_sees_more_than_the_mean():
    """Trials that all fire in one half, or half of them in one and half in the other, or mixed."""
    either = np.zeros((40, 20, 1))
    either[::2, :10], either[1::2, 10:] = 1, 1
    mixed = np.tile([1.0, 0.0], 10)[None, :, None] * np.ones((40, 1, 1))
    mixed[1::2] = 1 - mixed[1::2]
    assert spike_mmd(either, mixed, unbiased=False)[0] < 0.05
    assert spike_mmd(either, mixed, kernel="gaussian", unbiased=False)[0] > 0.3


def test_rhythm():
    regular = np.zeros((5, 60, 2))
    regular[:, ::6, 0] = 1
    regular[:, :, 1] = 0
    found = autocorrelogram(regular, 12)
    assert found[:, 0].nonzero()[0].tolist() == [5, 11]
    assert found[5, 0] == pytest.approx(9 / 10)
    assert np.isnan(found[:, 1]).all()
    irregular = RNG.permuted(regular, axis=1)
    assert autocorrelogram_distance(regular, irregular, 12)[0] > 0.1
    assert autocorrelogram_distance(regular, regular, 12)[0] == 0
    right = np.sqrt(np.mean((found[:, 0] - autocorrelogram(irregular, 12)[:, 0]) ** 2))
    assert autocorrelogram_distance(irregular, regular, 12)[0] == pytest.approx(right)


def plain_ssim(x: np.ndarray, y: np.ndarray, size: float) -> float:
    """Mean over windows of 7 x 7 of SSIM, with the unbiased variances of scikit-image."""
    n = 49

    def mean(v: np.ndarray) -> np.ndarray:
        return ndimage.uniform_filter(v, 7)

    ux, uy = mean(x), mean(y)
    vx, vy, vxy = (
        n / (n - 1) * (mean(p * q) - mean(p) * mean(q)) for p, q in ((x, x), (y, y), (x, y))
    )
    c1, c2 = (0.01 * size) ** 2, (0.03 * size) ** 2
    s = (2 * ux * uy + c1) * (2 * vxy + c2) / ((ux**2 + uy**2 + c1) * (vx + vy + c2))
    return s[3:-3, 3:-3].mean()


def test_pictures_and_codes():
    pictures = ndimage.gaussian_filter(RNG.random((8, 16, 16)), (0, 2, 2))
    codes = RNG.random((8, 5))
    size = np.ptp(pictures)
    alike, away = [], []
    for i in range(8):
        for j in range(i + 1, 8):
            alike.append(plain_ssim(pictures[i], pictures[j], size))
            cosine = codes[i] @ codes[j] / np.linalg.norm(codes[i]) / np.linalg.norm(codes[j])
            away.append(1 - cosine)
    found = code_similarity(pictures, codes)
    assert found == pytest.approx(np.corrcoef(alike, away)[0, 1], abs=1e-9)
    assert np.isnan(code_similarity(pictures, np.ones((8, 2))))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (lambda: psp(RECORDED[0]), "(trial, bin, neuron)"),
        (lambda: psp(RECORDED, 0.5), "tau_bins is 1 or more"),
        (lambda: psp(-RECORDED), "0 or more"),
        (lambda: spike_mmd(RECORDED, PREDICTED[:, :-1]), "the same bins and neurons"),
        (lambda: spike_mmd(RECORDED, PREDICTED[:1]), "2 or more trials"),
        (lambda: spike_mmd(RECORDED, PREDICTED, kernel="cubic"), "unknown kernel 'cubic'"),
        (lambda: spike_mmd(RECORDED, PREDICTED, width=0), "width is above 0"),
        (lambda: autocorrelogram(RECORDED, 20), "1 to bins - 1"),
        (lambda: autocorrelogram(RECORDED, 2.5), "a whole number"),
        (lambda: autocorrelogram_distance(RECORDED, RECORDED[..., :1], 2), "the same neurons"),
        (lambda: code_similarity(np.ones((2, 8, 8)), np.ones((2, 2))), "3 or more pictures"),
        (lambda: code_similarity(np.ones((4, 8, 6)), np.ones((4, 2))), "7 pixels each way"),
        (lambda: code_similarity(np.ones((4, 8, 8)), np.zeros((4, 2))), "are 0"),
        (lambda: code_similarity(np.ones((4, 8, 8)), np.ones((4, 2))), "all of one grey"),
    ],
)
def test_bad_input(bad: Callable, message: str):
    with pytest.raises(InputError) as error:
        bad()
    assert message in str(error.value)
