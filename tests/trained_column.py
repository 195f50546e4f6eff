"""A column of 300 neurons with two tasks of embedded pictures, for tests of analyses."""

from __future__ import annotations

import functools

import torch

from circuits.training import Prepared, Setup, prepare


@functools.cache
def small_column(lgn: bool = False) -> Prepared:
    """Not trained: only its weights differ from those it started with. Nobody may change it."""
    made = prepare(
        Setup(
            size=300, lgn=lgn, tasks=("images", "change"), images="digits",
            change_images="photographs",
        )
    )  # fmt: skip
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in made.model.parameters():
            parameter += 0.5 * torch.randn(parameter.shape, generator=generator)
    return made
