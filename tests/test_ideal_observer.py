"""The bound on answers that the LGN's spikes set."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from circuits import v1
from circuits.conversion.observer import orientation_bound
from toolkit import tasks
from toolkit.rng import stream
from toolkit.tasks.inputs import LGNInput


@pytest.fixture(scope="module")
def lgn():
    return v1.lgn(v1.column(300, seed=1, lgn_layout="image"))


def bound(lgn, **how) -> list[float]:
    task = how.pop("task", tasks.fine_orientation())
    given = {"cells_per_channel": 1, "items": 100, "windows_ms": (50.0,), **how}
    return orientation_bound(task, lgn, **given).tolist()


def test_more_cells_time_or_difference_help(lgn):
    assert bound(lgn)[0] < bound(lgn, cells_per_channel=4)[0] < 1
    held = tasks.fine_orientation(timing=tasks.fine_orientation().timing.held(200.0))
    short, long = bound(lgn, task=held, windows_ms=(50.0, 200.0))
    assert short < long
    fine = tasks.fine_orientation(range_deg=0.2)
    assert 0.5 < bound(lgn, task=fine)[0] < short


def test_it_is_what_the_likelihood_ratio_of_poisson_spikes_reaches(lgn):
    """Counts are drawn and decided on by their likelihood; the bound assumes small differences."""
    task, rng = tasks.fine_orientation(range_deg=0.3), stream(0, "observer")
    what = task.draw("test").what[:40]
    inputs, dt_s = LGNInput(task, lgn, 5.0, "cpu"), 0.005
    mirrored = np.stack([len(task.orientations_deg) - 1 - what[:, 0], what[:, 1]], axis=1)
    own, other = (inputs.rates(each).double().numpy()[:40] for each in (what, mirrored))
    weight = np.log(np.maximum(own, 1e-9) / np.maximum(other, 1e-9))
    threshold = ((own - other) * dt_s).sum(axis=(0, 2))
    decided = [(rng.poisson(own * dt_s) * weight).sum(axis=(0, 2)) >= threshold for _ in range(200)]
    expected = orientation_bound(task, lgn, (50.0,), cells_per_channel=1, items=40)[0]
    error = norm.ppf(0.999) * np.sqrt(0.25 / (200 * len(what)))
    assert np.mean(decided) == pytest.approx(expected, abs=error + 0.01)
