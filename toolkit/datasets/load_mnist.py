"""MNIST: handwritten digits (LeCun, Bottou, Bengio and Haffner 1998)."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from toolkit.datasets.arrays import damaged, frozen, read_gzip, read_npz
from toolkit.datasets.labelled import LabelledImages, checked_split
from toolkit.datasets.registry import choose

COUNTS = {"train": 60_000, "test": 10_000}  # confirmed: the authors' page
PIXELS = 28
CLASSES = tuple("0123456789")
UBYTE = 0x08  # type code of unsigned bytes in the idx format


def mnist(
    split: str = "train", *, form: str | None = None, folder: str | Path | None = None
) -> LabelledImages:
    """MNIST: 28 x 28 pixels, bright digits on black (0), 10 classes, in the published order.

    Parameters
    ----------
    split : ``"train"`` (60,000) or ``"test"`` (10,000), as published; there is no validation split
    form : ``"original"`` (``mnist/*-ubyte.gz``) or ``"prepared"`` (``vision/mnist.npz``, the same
        pixels); None for the first that is there
    folder : data folder; None for ``STRIATE_DATA`` or the user's cache

    Raises
    ------
    InputError : an unknown split or form
    DataError : the files are not there or damaged

    Source: LeCun et al. 1998, Proc IEEE 86:2278.

    Examples
    --------
    >>> digits = mnist("test")  # doctest: +SKIP
    >>> digits.images.shape, digits.labels[:4]  # doctest: +SKIP
    ((10000, 28, 28), array([7, 2, 1, 0], dtype=uint8))
    """
    prefix = {"train": "train", "test": "t10k"}[checked_split(split)]
    wanted = {
        "original": [
            f"mnist/{prefix}-images-idx3-ubyte.gz",
            f"mnist/{prefix}-labels-idx1-ubyte.gz",
        ],
        "prepared": ["vision/mnist.npz"],
    }
    form, files = choose("mnist", wanted, form, folder)
    n = COUNTS[split]
    if form == "original":
        images = read_idx(files[0], (n, PIXELS, PIXELS))
        labels = read_idx(files[1], (n,))
    else:
        arrays = read_npz(
            files[0],
            **{f"x_{split}": ("uint8", (n, PIXELS, PIXELS)), f"y_{split}": ("uint8", (n,))},
        )
        images, labels = arrays[f"x_{split}"], arrays[f"y_{split}"]
    if labels.max() >= len(CLASSES):
        raise damaged(files[-1], f"a label is {labels.max()}; they go from 0 to 9")
    words = {"original": "original idx files", "prepared": "prepared arrays, bit-exact"}
    return LabelledImages(images, labels, CLASSES, "mnist", split, True, words[form], tuple(files))


def read_idx(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """Unsigned bytes of a gzipped idx file, which must have the given shape.

    The format: two zero bytes, a type code (8: unsigned byte), the number of dimensions, each
    dimension as a big-endian 32-bit integer, the values in C order.

    Raises
    ------
    DataError : not idx of unsigned bytes, another shape, damaged, too short or too long
    """
    header = 4 + 4 * len(shape)
    n = int(np.prod(shape))
    content = read_gzip(path, header + n)
    magic = bytes([0, 0, UBYTE, len(shape)])
    if content[:4] != magic:
        raise damaged(path, f"it starts with {content[:4].hex()}, an idx file with {magic.hex()}")
    found = struct.unpack(f">{len(shape)}I", content[4:header])
    if found != shape:
        raise damaged(path, f"it says that its shape is {found}; {shape} is expected")
    return frozen(np.frombuffer(content, np.uint8, n, header).reshape(shape))
