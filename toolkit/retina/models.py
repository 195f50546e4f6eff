"""All models of the retina by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from toolkit.errors import unknown
from toolkit.retina.baselines import CNN, CRNN, GLM, LN, Bottleneck, TemporalCRNN
from toolkit.retina.data import Steps
from toolkit.retina.fitting import EncodingModel
from toolkit.retina.tecos import TeCoS

MODELS: dict[str, Callable[..., EncodingModel]] = {
    "tecos": TeCoS,
    "tecos-noisy": partial(TeCoS, variant="noisy"),
    "tecos-rate": partial(TeCoS, variant="rate"),
    "ln": LN,
    "glm": GLM,
    "cnn": CNN,
    "ib-disjoint": Bottleneck,
    "ib-gp": partial(Bottleneck, gp=True),
    "crnn": CRNN,
    "crnn-time": TemporalCRNN,
}


def make_model(
    name: str, steps: Steps, windows: np.ndarray | None = None, **options: Any
) -> EncodingModel:
    """A model of `MODELS` for an experiment, at its initial weights.

    Parameters
    ----------
    name : of `MODELS`
    steps : data it is for
    windows : those it may start at the mean rates of: the training windows
    options : of the model; `seed` for all

    Raises
    ------
    InputError : another name, or an experiment without receptive fields
    """
    if name not in MODELS:
        raise unknown("model", name, MODELS)
    model = MODELS[name](steps, windows, **options)
    model.settings = {"name": name, **options}
    return model
