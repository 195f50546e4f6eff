"""Images with labels: what the loaders of MNIST and CIFAR-10 return."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from toolkit.errors import unknown

SPLITS = ("train", "test")


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """One split of a data set of images with a class each; the arrays are read-only.

    images : uint8 (image, row, column) or, in colour, (image, row, column, RGB); row 0 is the
        top; 0 is black, 255 full intensity
    labels : uint8 (image,), the number of the class
    class_names : by number
    name, split : of the data set; ``"train"`` or ``"test"``
    exact : the pixels are those published, and all of them are there
    source : in words, what was read
    files : what was read
    """

    images: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    name: str
    split: str
    exact: bool
    source: str
    files: tuple[Path, ...]

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        size = " x ".join(map(str, self.images.shape))
        return f"LabelledImages({self.name} {self.split}: {size}; {self.source})"


def checked_split(split: str) -> str:
    """`split` if it is ``"train"`` or ``"test"``.

    Raises
    ------
    InputError : it is neither
    """
    if split not in SPLITS:
        raise unknown("split", split, SPLITS)
    return split
