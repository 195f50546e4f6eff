"""Encoding models of the retina: one interface, exact continuation, known truth."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from toolkit.errors import DataError, InputError
from toolkit.retina.baselines import LN
from toolkit.retina.data import Steps, folds
from toolkit.retina.fitting import Batch, Options, Outputs, cc_by_length, evaluate, fit, predict
from toolkit.retina.fitting.lags import MEMORY_MS, Lags
from toolkit.retina.fitting.layers import CellWeights
from toolkit.retina.fitting.maps import TimeFilters
from toolkit.retina.fitting.model import poisson_loss
from toolkit.retina.models import MODELS, make_model
from toolkit.retina.synthetic import SyntheticRetina, synthetic_retina


@pytest.fixture(scope="module")
def steps() -> Steps:
    retina = synthetic_retina(n_cells=3, n_trials=4, duration_s=6.0, seed=1)
    return Steps(retina.experiment, 30)


def scrambled(model) -> None:
    """Weights away from 0, so that all parts of a model matter."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator)


def looked(model, steps: Steps) -> torch.Tensor:
    features = model.encode(model.prepare(steps.stimulus(0, 0, 40)))
    return features[None].repeat(2, *[1] * features.ndim)


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_pieces_equal_the_whole(name: str, steps: Steps) -> None:
    model = make_model(name, steps)
    scrambled(model)
    features = looked(model, steps)
    noise = model.noise(2, 40, torch.Generator().manual_seed(1))
    whole, end = model(features, model.start(2), noise)
    state, parts = model.start(2), []
    for a, b in ((0, 1), (1, 18), (18, 40)):
        output, state = model(features[:, a:b], state, tuple(v[:, a:b] for v in noise))
        parts.append(output.rate)
    torch.testing.assert_close(torch.cat(parts, 1), whole.rate, rtol=1e-5, atol=1e-6)
    for one, other in zip(state, end, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)
    assert whole.rate.shape == (2, 40, 3)
    assert (whole.rate >= 0).all()


@pytest.mark.parametrize("name", MODELS)
@torch.no_grad()
def test_the_future_does_not_matter_and_the_past_does(name: str, steps: Steps) -> None:
    model = make_model(name, steps)
    scrambled(model)
    features = looked(model, steps)
    noise = model.noise(2, 40, torch.Generator().manual_seed(1))
    changed = features.clone()
    changed[:, 20] += 5
    (one, _), (other, _) = (model(f, model.start(2), noise) for f in (features, changed))
    assert torch.equal(one.rate[:, :20], other.rate[:, :20])
    assert not torch.equal(one.rate[:, 20:], other.rate[:, 20:])


@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_learns(name: str, steps: Steps) -> None:
    model = make_model(name, steps)
    scrambled(model)
    features = looked(model, steps)
    counts = torch.from_numpy(steps.counts[:, :40].astype(np.float32)).repeat(2, 1, 1, 1)
    mask = torch.zeros(2, 40, dtype=torch.bool)
    mask[:, 20:30] = True
    model.loss(features, Batch(counts, mask), torch.Generator().manual_seed(1), 1.0).backward()
    without = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert without == []


@pytest.mark.parametrize("name", MODELS)
def test_a_loss_sees_only_the_mask(name: str, steps: Steps) -> None:
    model = make_model(name, steps)
    features = looked(model, steps).detach()
    counts = torch.from_numpy(steps.counts[:, :40].astype(np.float32)).repeat(2, 1, 1, 1)
    mask = torch.zeros(2, 40, dtype=torch.bool)
    mask[:, 20:30] = True
    other = torch.where(mask[:, :, None, None], counts, counts + 1)
    one, two = (
        model.loss(features, Batch(c, mask), torch.Generator().manual_seed(1), 1.0)
        for c in (counts, other)
    )
    assert one == two


def test_poisson_loss_is_that_of_the_trials() -> None:
    rate, counts = torch.rand(1, 4, 2) + 0.1, torch.randint(0, 3, (1, 4, 2, 5)).float()
    mask = torch.tensor([[True, False, True, True]])
    trials = rate[..., None] - counts * rate[..., None].log()
    torch.testing.assert_close(poisson_loss(rate, Batch(counts, mask)), trials[mask].mean())


def test_predictions(steps: Steps) -> None:
    one, two = (predict(make_model("tecos", steps), steps, samples=3, seed=s) for s in (1, 1))
    assert one.rates.shape == (1, 200, 3)
    assert one.spikes.shape == (1, 200, 3, 3)
    assert set(np.unique(one.spikes)) <= {0, 1}
    assert np.array_equal(one.spikes, two.spikes)
    with pytest.raises(InputError, match="samples must be 1 or more"):
        predict(make_model("ln", steps), steps, samples=0)


def test_frames_of_another_size(steps: Steps) -> None:
    with pytest.raises(DataError, match=r"frames of \(8, 8\) pixels"):
        make_model("ln", steps).prepare(np.zeros((2, 8, 8), np.float32))


def test_unknown_names(steps: Steps) -> None:
    with pytest.raises(InputError, match="tecos"):
        make_model("tecoz", steps)
    with pytest.raises(InputError, match="variant"):
        make_model("tecos", steps, variant="loud")
    with pytest.raises(InputError, match="Bernoulli"):
        make_model("tecos", steps, loss="bernoulli")


def test_a_memory_of_300_ms_does_not_see_how_long_a_sequence_is(steps: Steps) -> None:
    model = make_model("ln", steps)
    scrambled(model)
    windows = folds(steps.experiment, 5)[3].test
    found = cc_by_length(model, steps, windows, [700, 1500, np.inf])
    whole = evaluate(predict(model, steps, samples=1), steps, windows)["cc"]
    np.testing.assert_allclose(found, whole, atol=1e-5)
    with pytest.raises(InputError, match="lengths are 300 ms, a window, or more; got 200"):
        cc_by_length(model, steps, windows, [200])


def test_a_model_that_gets_worse_with_time_is_seen(steps: Steps) -> None:
    class Tired(LN):
        """With noise that grows with the time since the start."""

        def start(self, n):
            return (*super().start(n), torch.zeros(n))

        def forward(self, features, state, noise=()):
            output, own = super().forward(features, state[:1])
            t = state[1][:, None] + torch.arange(features.shape[1])
            noisy = output.rate + (1e-4 * t**2 * torch.sin(t**2) ** 2)[..., None]
            return Outputs(noisy), (*own, state[1] + features.shape[1])

    split = folds(steps.experiment, 5)[0]
    fitted = fit(make_model("ln", steps, split.train), steps, split, Options(steps=40), show=False)
    model = Tired(steps)
    model.load_state_dict(fitted.model.state_dict())
    windows = folds(steps.experiment, 5)[3].test
    short, long = cc_by_length(model, steps, windows, [300, np.inf])
    assert long < short - 0.1


@pytest.fixture(scope="module")
def truth() -> SyntheticRetina:
    return synthetic_retina(n_cells=8, duration_s=60.0, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ln", "glm"])
def test_filters_are_recovered(name: str, truth: SyntheticRetina) -> None:
    """Those in space and time, as one filter of each cell."""
    steps, split = Steps(truth.experiment, 10), folds(truth.experiment, 5)[0]
    model = fit(make_model(name, steps, split.train), steps, split, Options(steps=120)).model
    cells = np.arange(steps.experiment.n_cells)
    right = model.prepare(truth.spatial.astype(np.float32)).numpy()[cells, cells]
    spatial = model.spatial.weight.detach().numpy()[:, 0]
    temporal = model.temporal_filters().numpy()[:, : round(MEMORY_MS / 10)]
    found = [
        np.corrcoef(np.outer(k, x).ravel(), np.outer(q, y).ravel())[0, 1]
        for k, x, q, y in zip(temporal, spatial, truth.temporal, right, strict=True)
    ]
    assert np.mean(found) > 0.9
    assert np.min(found) > 0.85
    if name == "glm":
        after = model.after_spike_filters().numpy()
        pairs = zip(after, truth.after_spike, strict=True)
        assert np.mean([np.corrcoef(a, b)[0, 1] for a, b in pairs]) > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_no_model_is_better_than_the_truth_and_none_tires(name: str) -> None:
    """CC at the ceiling at most, but for noise of the trials, and over 30 s as over 1 s."""
    truth = synthetic_retina(n_cells=6, duration_s=30.0, seed=1)
    steps, split = Steps(truth.experiment, 30), folds(truth.experiment, 5)[0]
    model = fit(make_model(name, steps, split.train), steps, split, Options(steps=60)).model
    short, whole = cc_by_length(model, steps, split.test, [1000, np.inf], samples=16)
    assert whole > short - 0.03
    found = evaluate(predict(model, steps), steps, split.test)["cells"]
    assert found.mean() < truth.ceiling(steps, split.test).mean() + 0.01


def test_cells_share_weights_in_part() -> None:
    weights = CellWeights(torch.tensor([1.0, 2.0]), 3)
    assert weights().tolist() == [[1.0, 2.0]] * 3
    with torch.no_grad():
        weights.own[1] = torch.tensor([0.5, -1.0])
    assert weights().tolist() == [[1.0, 2.0], [1.5, 1.0], [1.0, 2.0]]
    assert weights.penalty().item() == pytest.approx(1.25 / 3)
    weights().sum().backward()
    assert weights.common.grad.tolist() == [3.0, 3.0]


def test_maps_are_filtered_in_time() -> None:
    """Each by its own filter, in pieces as in one go."""
    draws = torch.Generator().manual_seed(1)
    filters = TimeFilters(2, 10.0, draws)
    features = torch.randn(4, 50, 3, 2, 5, generator=draws)
    start = filters.lags.start(4, 3, 2, 5)
    found, after = filters.filtered(features, start)
    kernel = (filters.weight.T @ filters.lags.basis).detach().numpy()
    for sequence, cell, of_map, place in ((0, 0, 0, 0), (3, 2, 1, 4), (1, 1, 0, 3)):
        course = features[sequence, :, cell, of_map, place].numpy()
        right = np.convolve(course, kernel[of_map])[:50]
        mine = found[of_map, :, sequence, cell, place].detach().numpy()
        np.testing.assert_allclose(mine, right, atol=1e-5)
    first, past = filters.filtered(features[:, :20], start)
    second, last = filters.filtered(features[:, 20:], past)
    torch.testing.assert_close(torch.cat([first, second], 1), found)
    torch.testing.assert_close(last, after)


def test_filters_start_like_a_function_of_the_lag() -> None:
    lags = Lags(bin_ms=10)
    kernel = lags.weights_of(lambda ms: torch.exp(-(((ms - 100) / 40) ** 2))) @ lags.basis
    assert kernel.abs().sum().item() == pytest.approx(1, rel=1e-5)
    assert abs(int(kernel.argmax()) - 10) <= 1
