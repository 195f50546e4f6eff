"""Reading arrays from files that may be damaged: what is wrong, in which file."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from toolkit.errors import DataError

# What zipfile, gzip, tarfile and numpy raise where bytes are not what they should be.
DAMAGE = (
    *(OSError, EOFError, ValueError, TypeError, LookupError, NotImplementedError, RuntimeError),
    *(zlib.error, zipfile.BadZipFile, MemoryError, OverflowError, SyntaxError),
)
# Of a header of an .npy file and the padding behind it; the longest here have 128 bytes.
MAX_HEADER = 4096


def damaged(path: Path, why: object) -> DataError:
    """The error of a file that cannot be right.

    >>> str(damaged(Path("digits.gz"), "it ends too early"))
    'digits.gz is damaged: it ends too early. Delete it and fetch it again'
    """
    return DataError(f"{path} is damaged: {why}. Delete it and fetch it again")


def frozen(array: np.ndarray) -> np.ndarray:
    """The array, read-only from now on."""
    array.flags.writeable = False
    return array


def read_npz(path: Path, **wanted: tuple[str, Sequence[int | None]]) -> dict[str, np.ndarray]:
    """Named arrays of an ``.npz`` file; the others are not read, and nothing is unpickled.

    Parameters
    ----------
    path : of the file
    wanted : dtype (``"uint8"``; ``"U"`` for text) and shape of each array; None for any length

    Raises
    ------
    DataError : not an npz file, damaged (checksums are tested), without such an array, or one of
        another dtype or shape
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return {name: _member(archive, name, *how) for name, how in wanted.items()}
    except DataError as error:
        raise damaged(path, error) from None
    except PermissionError:
        raise
    except DAMAGE as error:
        raise damaged(path, f"not a readable npz file ({error})") from error


def _member(
    archive: zipfile.ZipFile, name: str, dtype: str, shape: Sequence[int | None]
) -> np.ndarray:
    if f"{name}.npy" not in archive.namelist():
        raise DataError(f"it has no array {name!r}")
    if dtype != "U" and None not in shape:
        limit = np.dtype(dtype).itemsize * int(np.prod([n or 0 for n in shape])) + MAX_HEADER
        if archive.getinfo(f"{name}.npy").file_size > limit:
            raise DataError(f"its array {name!r} has more than the {limit:,} bytes it may have")
    with io.BytesIO(archive.read(f"{name}.npy")) as content:  # read whole: tests the checksum
        array = np.lib.format.read_array(content, allow_pickle=False)
    fits = array.ndim == len(shape) and all(
        n in (None, m) for n, m in zip(shape, array.shape, strict=True)
    )
    kind = array.dtype.kind if dtype == "U" else array.dtype.name
    if kind != dtype or not fits:
        expected = " x ".join("any" if n is None else str(n) for n in shape) or "scalar"
        raise DataError(
            f"its array {name!r} is {array.dtype.name} of shape {array.shape}; "
            f"{dtype} of {expected} is needed"
        )
    return frozen(array)


def read_gzip(path: Path, size: int) -> bytes:
    """The content of a gzip file, which must be of `size` bytes.

    Raises
    ------
    DataError : damaged (the checksum is tested), or of another size
    """
    try:
        with gzip.open(path) as file:
            content = file.read(size + 1)
    except PermissionError:
        raise
    except DAMAGE as error:
        raise damaged(path, f"not a readable gzip file ({error})") from error
    if len(content) != size:
        n = f"more than {size:,}" if len(content) > size else f"{len(content):,}"
        raise damaged(path, f"{n} bytes unpacked, {size:,} are expected")
    return content
