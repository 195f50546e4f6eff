"""Pieces of sequences around windows, which models are trained on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from toolkit.retina.data import Steps
from toolkit.retina.fitting.model import Batch, EncodingModel


class Pieces(NamedTuple):
    """Pieces of sequences, one a window.

    shown : (piece, step), numbers of frames
    batch : what is known in them
    """

    shown: torch.Tensor
    batch: Batch


def pieces(steps: Steps, windows: np.ndarray, run_in_ms: float) -> Pieces:
    """Each window with a run-in before it (less at the start of a sequence, more after it)."""
    n_steps = steps.window.shape[1]
    before = round(run_in_ms / steps.bin_ms)
    length = min(before + steps.n_bins, n_steps)
    start = np.clip(steps.first[windows] - before, 0, n_steps - length)
    at = start[:, None] + np.arange(length)
    sequence = steps.experiment.sequence[windows][:, None]
    counts = torch.from_numpy(steps.counts[sequence, at].astype(np.float32))
    mask = torch.from_numpy(steps.window[sequence, at] == np.asarray(windows)[:, None])
    return Pieces(torch.from_numpy(steps.shown[sequence, at].astype(np.int64)), Batch(counts, mask))


def prepared(model: EncodingModel, steps: Steps, *shown: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Frames that pieces show, each prepared once, and the pieces' numbers among them."""
    frames, inverse = torch.unique(torch.cat([s.flatten() for s in shown]), return_inverse=True)
    parts = torch.split(inverse, [s.numel() for s in shown])
    ready = model.prepare(steps.contrast[frames.numpy()])
    return (ready, *(p.reshape(s.shape) for p, s in zip(parts, shown, strict=True)))
