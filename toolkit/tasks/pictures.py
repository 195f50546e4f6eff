"""Sets of grey pictures: where they come from and how they are divided."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toolkit import datasets
from toolkit.errors import DataError, InputError, require, unknown
from toolkit.rng import stream

SPLITS = ("train", "validation", "test")
RGB_TO_GREY = (0.2989, 0.587, 0.114)  # ITU-R BT.601, as in the released code (TensorFlow)
EMBEDDED_HELD_OUT = 0.15  # of the embedded pictures, for validation and again for test; our choice
PATCH_PX = 32  # of the embedded photographs: that of CIFAR-10
PATCH_SD = 8.0  # grey values (of 255): flatter patches, mostly sky, look alike; our choice


@dataclass(frozen=True, eq=False)
class Pictures:
    """Grey pictures with labels, divided; the arrays are read-only.

    grey : uint8 (picture, row, column), row 0 at the top, 0 is black
    labels : int64 (picture,)
    rows : of `grey` by split; no picture is in two of them
    name, source : which data set, and in words what was read
    exact : the pixels are those published, and all of them are there
    """

    grey: np.ndarray
    labels: np.ndarray
    rows: dict[str, np.ndarray]
    name: str
    source: str
    exact: bool


def load(name: str, *, n_validation: int | None = None, seed: int = 0) -> Pictures:
    """Pictures of a data set, divided into train, validation and test.

    The test pictures are the data set's own; validation pictures are taken from the training ones,
    as many of each class as its share. Of the embedded sets 15 % are for test and 15 % for
    validation.

    Parameters
    ----------
    name : ``"mnist"``, ``"cifar10"`` (of the data folder, `toolkit.datasets`); ``"digits"``
        (8 x 8 pixels) or ``"photographs"`` (patches of two), which come with scikit-learn
    n_validation : by default a tenth of the training pictures
    seed : of the division

    Raises
    ------
    InputError : an unknown name, more validation pictures than there are training ones
    DataError : the files are not there or damaged
    MissingDependency : scikit-learn is not installed

    >>> digits = load("digits")
    >>> digits.grey.shape, [len(digits.rows[split]) for split in SPLITS]
    ((1797, 8, 8), [1257, 270, 270])
    """
    if name in EMBEDDED:
        require("sklearn", "striate")
        grey, labels, source = EMBEDDED[name]()
        test = _share(labels, round(EMBEDDED_HELD_OUT * len(labels)), stream(seed, name, "test"))
        exact, others = True, np.setdiff1d(np.arange(len(labels)), test)
        if n_validation is None:
            n_validation = len(test)
    elif name in LOADERS:
        train, own_test = (LOADERS[name](split) for split in ("train", "test"))
        grey = np.concatenate([_grey(train.images), _grey(own_test.images)])
        labels = np.concatenate([train.labels, own_test.labels]).astype(np.int64)
        test, others = np.arange(len(train), len(labels)), np.arange(len(train))
        source, exact = train.source, train.exact
        if n_validation is None:
            n_validation = len(train) // 10
    else:
        raise unknown("set of pictures", name, (*LOADERS, *EMBEDDED))
    if not 0 < n_validation < len(others):
        raise InputError(
            f"1 to {len(others) - 1} of the {len(others)} training pictures of {name} can be put "
            f"aside for validation, not {n_validation}"
        )
    validation = others[_share(labels[others], n_validation, stream(seed, name, "validation"))]
    rows = {"train": np.setdiff1d(others, validation), "validation": validation, "test": test}
    for array in (grey, labels, *rows.values()):
        array.flags.writeable = False
    return Pictures(grey, labels, rows, name, source, exact)


def first_there(*names: str) -> str:
    """The first of some sets that the data folder holds any file of, else the last one."""
    root = datasets.data_folder()
    for name in names[:-1]:
        known = datasets.data_set(name)
        if any(known.find(file.path, root) for file in known.files):
            return name
    return names[-1]


def _share(labels: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """n rows, of each class in proportion to its number, rising."""
    order = np.lexsort((rng.random(len(labels)), labels))  # class by class, shuffled within
    at = ((np.arange(n) + rng.random()) * (len(labels) / n)).astype(np.int64)  # evenly along it
    return np.sort(order[at])


def _grey(images: np.ndarray) -> np.ndarray:
    if images.ndim == 3:
        return images
    weights = np.array(RGB_TO_GREY, dtype=np.float32)
    return np.concatenate([np.rint(part @ weights) for part in np.array_split(images, 20)]).astype(
        np.uint8
    )


def _digits() -> tuple[np.ndarray, np.ndarray, str]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    grey = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    return grey, digits.target.astype(np.int64), "digits of 8 x 8 pixels in scikit-learn"


def _photographs() -> tuple[np.ndarray, np.ndarray, str]:
    from sklearn.datasets import load_sample_image

    patches, labels = [], []
    for label, name in enumerate(("china.jpg", "flower.jpg")):
        try:
            whole = _grey(load_sample_image(name)[None])[0]
        except OSError as error:
            raise DataError(f"scikit-learn's photograph {name} cannot be read: {error}") from error
        n_up, n_across = (side // PATCH_PX for side in whole.shape)
        cut = whole[: n_up * PATCH_PX, : n_across * PATCH_PX]
        cut = cut.reshape(n_up, PATCH_PX, n_across, PATCH_PX).swapaxes(1, 2)
        kept = cut.reshape(-1, PATCH_PX, PATCH_PX)
        kept = kept[kept.std(axis=(1, 2)) >= PATCH_SD]
        patches.append(kept)
        labels.append(np.full(len(kept), label, dtype=np.int64))
    return np.concatenate(patches), np.concatenate(labels), "patches of photographs in scikit-learn"


LOADERS = {"mnist": datasets.mnist, "cifar10": datasets.cifar10}
EMBEDDED = {"digits": _digits, "photographs": _photographs}
