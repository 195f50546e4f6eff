"""CIFAR-10: small photographs (Krizhevsky 2009)."""

from __future__ import annotations

import gzip
import tarfile
from pathlib import Path

import numpy as np

from toolkit.datasets.arrays import DAMAGE, damaged, frozen, read_npz
from toolkit.datasets.labelled import LabelledImages, checked_split
from toolkit.datasets.registry import choose
from toolkit.errors import DataError

# Confirmed: the authors' page.
CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
PIXELS = 32
RECORD = 1 + 3 * PIXELS * PIXELS  # bytes: the label, then the red, green and blue plane
BATCH = 10_000  # records in a file of the archive
BATCHES = {
    "train": tuple(f"cifar-10-batches-bin/data_batch_{k}.bin" for k in range(1, 6)),
    "test": ("cifar-10-batches-bin/test_batch.bin",),
}
ARCHIVE = "cifar10/cifar-10-binary.tar.gz"
SUBSET = "vision/cifar10_jpeg75_subset_10k_2k.npz"
SUBSET_COUNTS = {"train": 10_000, "test": 2_000}


def cifar10(
    split: str = "train", *, form: str | None = None, folder: str | Path | None = None
) -> LabelledImages:
    """CIFAR-10: 32 x 32 pixels in colour, 10 classes.

    Parameters
    ----------
    split : ``"train"`` (50,000) or ``"test"`` (10,000), as published; there is no validation split
    form : ``"original"``, or ``"prepared"``: a balanced subset of 10,000 and 2,000 images **that
        went through JPEG** (``exact`` is False: say so beside accuracies); None for the first
        that is there
    folder : data folder; None for ``STRIATE_DATA`` or the user's cache

    The original is read from ``cifar10/cifar-10-binary.tar.gz`` as it lies, in some 3 s and, for
    a moment, 0.6 GB; nothing is unpacked to the disk and nothing is unpickled.

    Raises
    ------
    InputError : an unknown split or form
    DataError : the files are not there or damaged

    Source: Krizhevsky 2009, Learning multiple layers of features from tiny images.

    Examples
    --------
    >>> photographs = cifar10("test", form="original")  # doctest: +SKIP
    >>> photographs.images.shape, photographs.exact  # doctest: +SKIP
    ((10000, 32, 32, 3), True)
    """
    checked_split(split)
    form, files = choose("cifar10", {"original": [ARCHIVE], "prepared": [SUBSET]}, form, folder)
    if form == "original":
        images, labels = read_binary(files[0], BATCHES[split], BATCH)
        source = "original archive, binary version"
    else:
        n = SUBSET_COUNTS[split]
        arrays = read_npz(
            files[0],
            class_names=("U", (len(CLASSES),)),
            **{f"x_{split}": ("uint8", (n, PIXELS, PIXELS, 3)), f"y_{split}": ("uint8", (n,))},
        )
        if tuple(arrays["class_names"]) != CLASSES:
            raise damaged(files[0], "its classes have other names or another order")
        images, labels = arrays[f"x_{split}"], arrays[f"y_{split}"]
        source = "prepared subset, lossy JPEG"
    if labels.max() >= len(CLASSES):
        raise damaged(files[0], f"a label is {labels.max()}; they go from 0 to 9")
    return LabelledImages(
        images, labels, CLASSES, "cifar10", split, form == "original", source, tuple(files)
    )


def read_binary(
    path: Path, members: tuple[str, ...], n_records: int
) -> tuple[np.ndarray, np.ndarray]:
    """Images (image, row, column, RGB) and labels of files in a gzipped tar, without unpacking it.

    Raises
    ------
    DataError : damaged (the checksum of the whole is tested), a file is missing, or has another
        number of records
    """
    found: dict[str, bytes] = {}
    try:
        with gzip.open(path) as content:
            with tarfile.open(fileobj=content, mode="r|") as archive:
                for member in archive:
                    if member.name in members and member.isfile():
                        found[member.name] = _records(archive, member, n_records)
            while content.read(1 << 20):  # to the end, where the checksum is
                pass
    except DataError as error:
        raise damaged(path, error) from None
    except PermissionError:
        raise
    except (*DAMAGE, tarfile.TarError) as error:
        raise damaged(path, f"not a readable tar.gz file ({error})") from error
    missing = [name for name in members if name not in found]
    if missing:
        raise damaged(path, f"it does not hold {missing[0]}")
    records = np.frombuffer(b"".join(found[name] for name in members), np.uint8)
    records = records.reshape(-1, RECORD)
    planes = records[:, 1:].reshape(-1, 3, PIXELS, PIXELS)
    images = np.ascontiguousarray(planes.transpose(0, 2, 3, 1))
    return frozen(images), frozen(records[:, 0].copy())


def _records(archive: tarfile.TarFile, member: tarfile.TarInfo, n_records: int) -> bytes:
    if member.size != n_records * RECORD:
        raise DataError(
            f"{member.name} in it has {member.size:,} bytes; {n_records * RECORD:,} are expected"
        )
    file = archive.extractfile(member)
    content = b"" if file is None else file.read()
    if len(content) != member.size:
        raise DataError(f"{member.name} in it ends too early")
    return content
