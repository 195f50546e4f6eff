"""Spikes and rates that a trained model predicts for a whole recording, as one file."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from circuits.retina.setup import DATA, experiment
from circuits.retina.weights import WEIGHTS, Trained, load_model
from toolkit.errors import InputError, unknown
from toolkit.files import whole_file
from toolkit.retina.data import Experiment, Steps
from toolkit.retina.fitting import predict


def predict_file(
    run: Path, out: Path, *, data: str | None = None, samples: int = 30, seed: int = 1
) -> str:
    """Predict whole sequences and write an ``.npz`` file; gives a line of text about it.

    ``spike_times_ms``, ``spike_ids`` (places in ``cells``), ``spike_trials`` and
    ``spike_sequences`` have a value a spike, by sequence, trial and time; a spike is stamped at the
    end of its step, as in `toolkit.Recording`. ``rates_Hz`` is (sequence, step, cell).

    Parameters
    ----------
    run : folder of a training
    out : file
    data : another recording of the same cells; None for that of the training
    samples : trials; seed : of their draws

    Raises
    ------
    InputError : no run, an unknown recording or one of other cells
    """
    file = run / WEIGHTS
    if not file.is_file():
        raise InputError(f"{run} holds no run of `striate retina train` (no {WEIGHTS})")
    trained = load_model(file)
    steps = _steps(trained, data)
    found = predict(trained.model, steps, samples=samples, seed=seed)
    step_s = steps.bin_ms / 1000
    sequence, trial, step, cell = np.nonzero(found.spikes.transpose(0, 3, 1, 2))
    arrays = {
        "spike_times_ms": (step + 1) * float(steps.bin_ms),
        "spike_ids": cell.astype(np.int32),
        "spike_trials": trial.astype(np.int32),
        "spike_sequences": sequence.astype(np.int32),
        "rates_Hz": found.rates / np.float32(step_s),
        "cells": trained.prepared.cells,
        "bin_ms": np.float64(steps.bin_ms),
        "duration_ms": np.float64(found.rates.shape[1] * steps.bin_ms),
        "n_trials": np.int64(samples),
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    with whole_file(out) as aside:
        aside.write_bytes(buffer.getvalue())
    n_sequences, n_steps, n_cells = found.rates.shape
    return (
        f"{out}: {len(step):,} spikes of {n_cells} cells in {samples} trials of {n_sequences} x "
        f"{n_steps * step_s:g} s, {found.rates.mean() / step_s:.3g} Hz on average"
    )


def _steps(trained: Trained, data: str | None) -> Steps:
    """Of the training's recording, or of another one of the same cells."""
    ready = trained.prepared
    if data is None or data == ready.setup.data:
        return ready.steps
    if data not in DATA:
        raise unknown("data", data, DATA)
    there = experiment(data)
    if not _same_cells(there, experiment(ready.setup.data)):
        raise InputError(
            f"{data} is of other cells than {ready.setup.data}, which this model was trained on"
        )
    return Steps(there.only(ready.cells), ready.setup.bin_ms)


def _same_cells(a: Experiment, b: Experiment) -> bool:
    """Whether the receptive fields are the same; their files round differently."""
    if a.fields is None or b.fields is None or a.n_cells != b.n_cells:
        return False
    return np.allclose(a.fields.centre, b.fields.centre, atol=0.01)
