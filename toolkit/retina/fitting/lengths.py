"""Whether a model that was trained on short pieces stays right over long ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from toolkit.errors import InputError
from toolkit.retina.data import Steps
from toolkit.retina.fitting.model import EncodingModel
from toolkit.retina.fitting.pieces import pieces, prepared
from toolkit.retina.fitting.prediction import piece_rates
from toolkit.retina.fitting.scoring import score


def cc_by_length(
    model: EncodingModel,
    steps: Steps,
    windows: np.ndarray,
    lengths_ms: Sequence[float],
    *,
    samples: int = 8,
    seed: int = 1,
) -> np.ndarray:
    """CC in windows that end pieces of ever greater length, (length,).

    A model runs over each piece from no memory. At the start of a sequence, where less of it lies
    before a window, the piece goes on after it; no piece is longer than its sequence.

    Parameters
    ----------
    model : fitted
    steps : data; windows : those that are scored, such as ``fold.test``
    lengths_ms : of the pieces, a window's or more; infinity for the whole sequence before it
    samples : trains drawn of each
    seed : of all draws

    Raises
    ------
    InputError : a length below that of a window
    """
    window_ms, observed, found = steps.experiment.window_ms, steps.psth(windows), []
    for length in lengths_ms:
        if not length >= window_ms:
            raise InputError(f"lengths are {window_ms:g} ms, a window, or more; got {length}")
        run_in = min(length, steps.experiment.duration_ms) - window_ms
        cut = pieces(steps, windows, run_in)
        ready, shown = prepared(model, steps, cut.shown)
        rate = piece_rates(model, ready, shown, samples=samples, seed=seed)
        predicted = rate[cut.batch.mask].numpy().reshape(observed.shape)
        found.append(score(observed, predicted, steps.bin_ms))
    return np.array(found)
