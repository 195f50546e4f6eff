"""Loaders of data sets: what they return from files as published, and from damaged ones."""

from __future__ import annotations

import gzip
import io
import os
import re
import struct
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit import datasets
from toolkit.datasets import load_cifar10, load_mnist, registry
from toolkit.datasets.arrays import read_npz
from toolkit.errors import DataError, InputError

RNG = np.random.default_rng(11)
N = 10_000  # images of the test splits


def real_data() -> Path:
    """The folder of the user's data; skips where there is none."""
    folder = os.environ.get("STRIATE_DATA")
    if not folder or not (Path(folder) / "vision" / "mnist.npz").exists():
        pytest.skip("STRIATE_DATA names no folder with vision/mnist.npz")
    return Path(folder)


def idx(array: np.ndarray, kind: int = 8) -> bytes:
    return (
        bytes([0, 0, kind, array.ndim])
        + struct.pack(f">{array.ndim}I", *array.shape)
        + array.tobytes()
    )


def zipped(content: bytes) -> bytes:
    return gzip.compress(content, 1, mtime=0)


# ---- the registry ----------------------------------------------------------------------------


def test_the_registry_is_sound() -> None:
    known = datasets.data_sets()
    assert list(known) == ["mnist", "cifar10", "onken2016"]
    files = [file for chosen in known.values() for file in chosen.files]
    assert len({file.path for file in files}) == len(files)
    for file in files:
        assert re.fullmatch(r"[0-9a-f]{64}", file.sha256), file
        assert file.size > 0
        assert file.form in registry.FORMS
        assert not file.path.startswith("/")
        assert ".." not in file.path.split("/")
        assert bool(file.urls) == (file.form == "original")
        assert all(url.startswith("https://") and url.endswith(file.name) for url in file.urls)
    for chosen in known.values():
        assert chosen.licence
        assert chosen.citation
        assert chosen.page.startswith("http")


def test_the_data_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("STRIATE_DATA", str(tmp_path))
    assert datasets.data_folder() == tmp_path
    assert datasets.data_folder("elsewhere") == Path.cwd() / "elsewhere"
    monkeypatch.setenv("STRIATE_DATA", "")
    monkeypatch.setenv("STRIATE_CACHE", str(tmp_path / "cache"))
    assert datasets.data_folder() == tmp_path / "cache" / "data"
    monkeypatch.delenv("STRIATE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert datasets.data_folder().name == "data"
    assert datasets.data_folder().parent.name == "striate"
    assert not (tmp_path / "xdg").exists(), "asking makes nothing"


@pytest.mark.parametrize(
    ("load", "words"),
    [
        (
            lambda folder: datasets.mnist(folder=folder),
            (
                r"not in the data folder {0}, which does not exist \(set STRIATE_DATA .* and 1 more"
                ".* `striate data fetch mnist`; .*put it at {0}/mnist/train-images-idx3-ubyte.gz"
            ),
        ),
        (
            lambda folder: datasets.cifar10("test", form="prepared", folder=folder),
            "prepared form lacks vision/cifar10_jpeg75_subset_10k_2k.npz. Prepared files are not",
        ),
        (
            lambda folder: datasets.onken2016("movie1_retina1", folder=folder),
            "striate data fetch onken2016",
        ),
        (
            lambda folder: datasets.onken2016("movie1_retina2", form="original", folder=folder),
            (
                "lacks onken2016/NeuralData/Spikes/Movie1Exp2.mat.*not fetched.*into {0}/onken2016."
                " Page: https://doi.org/10.5061/dryad.4ch10"
            ),
        ),
        (
            lambda folder: datasets.onken2016_stimulus("movie1", folder=folder),
            "lacks onken2016/Stimuli/Movie1.*put its folders NeuralData and Stimuli into",
        ),
    ],
)
def test_missing_files_are_explained(
    tmp_path: Path, load: Callable[[Path], object], words: str
) -> None:
    folder = tmp_path / "none"
    with pytest.raises(DataError, match=words.replace("{0}", re.escape(str(folder)))):
        load(folder)


@pytest.mark.parametrize(
    ("load", "words"),
    [
        (lambda: datasets.mnist("valid"), "unknown split 'valid'; accepted: train, test"),
        (lambda: datasets.cifar10(form="pickle"), "unknown form of cifar10 'pickle'"),
        (
            lambda: datasets.onken2016("movie3"),
            "unknown recording 'movie3'; accepted: natural_images_retina1, ",
        ),
        (lambda: datasets.onken2016_stimulus("movie3"), "Did you mean 'movie"),
        (
            lambda: datasets.onken2016("shifted_images_1", form="prepared"),
            "unknown form of onken2016 'prepared'; accepted: original",
        ),
    ],
)
def test_unknown_names(load: Callable[[], object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        load()


# ---- MNIST -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    images = np.zeros((N, 28, 28), np.uint8)
    images[:, 3, 5] = RNG.integers(1, 256, N)
    images[0] = np.arange(784).reshape(28, 28) % 251
    return images, RNG.integers(0, 10, N).astype(np.uint8)


@pytest.fixture
def mnist_folder(tmp_path: Path, digits: tuple[np.ndarray, np.ndarray]) -> Path:
    (tmp_path / "mnist").mkdir()
    for name, array in zip(("images-idx3", "labels-idx1"), digits, strict=True):
        (tmp_path / "mnist" / f"t10k-{name}-ubyte.gz").write_bytes(zipped(idx(array)))
    return tmp_path


def test_mnist_in_both_forms(mnist_folder: Path, digits: tuple[np.ndarray, np.ndarray]) -> None:
    original = datasets.mnist("test", folder=mnist_folder)
    (mnist_folder / "vision").mkdir()
    np.savez(mnist_folder / "vision" / "mnist.npz", x_test=digits[0], y_test=digits[1])
    prepared = datasets.mnist("test", form="prepared", folder=mnist_folder)
    for loaded, form in ((original, "original idx"), (prepared, "prepared arrays")):
        np.testing.assert_array_equal(loaded.images, digits[0])
        np.testing.assert_array_equal(loaded.labels, digits[1])
        assert len(loaded) == N
        assert loaded.exact
        assert form in loaded.source
        assert form in repr(loaded)
        assert all(file.is_file() for file in loaded.files)
        with pytest.raises(ValueError, match="read-only"):
            loaded.images[0, 0, 0] = 1
    assert datasets.mnist("test", folder=mnist_folder).source == original.source, "preferred"


SMALL = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (idx(SMALL)[:-1], "39 bytes unpacked, 40 are expected"),
        (idx(SMALL) + b"!", "more than 40 bytes unpacked"),
        (b"", "0 bytes unpacked"),
        (idx(SMALL, kind=9), "starts with 00000903, an idx file with 00000803"),
        (idx(SMALL.reshape(2, 4, 3)), r"its shape is \(2, 4, 3\); \(2, 3, 4\) is expected"),
    ],
)
def test_a_wrong_idx_file(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "some.gz"
    path.write_bytes(zipped(content))
    with pytest.raises(DataError, match=f"some.gz is damaged: .*{words}"):
        load_mnist.read_idx(path, SMALL.shape)


def test_a_wrong_label_is_named(mnist_folder: Path) -> None:
    path = mnist_folder / "mnist" / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(zipped(idx(np.full(N, 11, np.uint8))))
    with pytest.raises(DataError, match=r"labels-idx1-ubyte.gz is damaged: a label is 11"):
        datasets.mnist("test", folder=mnist_folder)


# ---- CIFAR-10 --------------------------------------------------------------------------------


def tar_gz(**members: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", compresslevel=1) as archive:
        for name, content in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return out.getvalue()


def records(images: np.ndarray, labels: np.ndarray) -> bytes:
    planes = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    return np.concatenate([labels[:, None], planes], axis=1).tobytes()


def test_cifar10_original_and_subset(tmp_path: Path) -> None:
    images = np.zeros((N, 32, 32, 3), np.uint8)
    images[:, 1, 2] = RNG.integers(0, 256, (N, 3))
    images[7] = RNG.integers(0, 256, (32, 32, 3))
    labels = RNG.integers(0, 10, N).astype(np.uint8)
    names = {"cifar-10-batches-bin/test_batch.bin": records(images, labels)}
    (tmp_path / "cifar10").mkdir()
    (tmp_path / "cifar10" / "cifar-10-binary.tar.gz").write_bytes(tar_gz(**names))
    original = datasets.cifar10("test", folder=tmp_path)
    np.testing.assert_array_equal(original.images, images)
    np.testing.assert_array_equal(original.labels, labels)
    assert original.exact
    assert original.class_names[3] == "cat"
    with pytest.raises(DataError, match=r"does not hold cifar-10-batches-bin/data_batch_1.bin"):
        datasets.cifar10("train", folder=tmp_path)

    (tmp_path / "vision").mkdir()
    subset = tmp_path / "vision" / "cifar10_jpeg75_subset_10k_2k.npz"
    arrays = {"x_test": images[:2000], "y_test": labels[:2000]}
    np.savez(subset, class_names=np.array(original.class_names), **arrays)
    prepared = datasets.cifar10("test", form="prepared", folder=tmp_path)
    np.testing.assert_array_equal(prepared.images, images[:2000])
    assert not prepared.exact
    assert "lossy" in prepared.source
    np.savez(subset, class_names=np.array(original.class_names[::-1]), **arrays)
    with pytest.raises(DataError, match="other names or another order"):
        datasets.cifar10("test", form="prepared", folder=tmp_path)


IMAGES = RNG.integers(0, 256, (6, 32, 32, 3)).astype(np.uint8)
LABELS = np.arange(6, dtype=np.uint8)


def test_batches_come_in_their_order_and_nothing_is_unpacked(tmp_path: Path) -> None:
    content = tar_gz(
        **{
            "../evil.bin": b"out of the folder",
            "b.bin": records(IMAGES[3:], LABELS[3:]),
            "a.bin": records(IMAGES[:3], LABELS[:3]),
        }
    )
    path = tmp_path / "in" / "some.tar.gz"
    path.parent.mkdir()
    path.write_bytes(content)
    images, labels = load_cifar10.read_binary(path, ("a.bin", "b.bin"), 3)
    np.testing.assert_array_equal(images, IMAGES)
    np.testing.assert_array_equal(labels, LABELS)
    assert list(tmp_path.rglob("*.bin")) == []
    with pytest.raises(DataError, match=r"a.bin in it has 9,219 bytes; 6,146 are expected"):
        load_cifar10.read_binary(path, ("a.bin",), 2)


@pytest.fixture(scope="module")
def small_archive() -> bytes:
    return tar_gz(**{"a.bin": records(IMAGES, LABELS)})


@given(data=st.data())
@settings(max_examples=60)
def test_a_damaged_archive_is_an_error_or_no_change(
    tmp_path_factory: pytest.TempPathFactory, small_archive: bytes, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.tar.gz"
    path.write_bytes(damage(small_archive, data))
    try:
        images, labels = load_cifar10.read_binary(path, ("a.bin",), 6)
    except DataError as error:
        assert "damaged.tar.gz is damaged: " in str(error)
    else:  # in a part of the header that means nothing
        np.testing.assert_array_equal(images, IMAGES)
        np.testing.assert_array_equal(labels, LABELS)


def damage(content: bytes, data: st.DataObject) -> bytes:
    """The content with its end missing or with one byte changed."""
    place = data.draw(st.integers(0, len(content) - 1))
    if data.draw(st.booleans()):
        return content[:place]
    flipped = content[place] ^ data.draw(st.integers(1, 255))
    return content[:place] + bytes([flipped]) + content[place + 1 :]


# ---- npz -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def npz() -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, a=SMALL, b=np.array(["x", "yz"]), c=np.array([1.5]))
    return out.getvalue()


@given(data=st.data())
@settings(max_examples=60)
def test_a_damaged_npz_is_an_error_or_no_change(
    tmp_path_factory: pytest.TempPathFactory, npz: bytes, data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.npz"
    path.write_bytes(damage(npz, data))
    try:
        arrays = read_npz(path, a=("uint8", (2, 3, 4)), b=("U", (2,)))
    except DataError as error:
        assert "damaged.npz is damaged: " in str(error)
    else:
        np.testing.assert_array_equal(arrays["a"], SMALL)
        assert list(arrays["b"]) == ["x", "yz"]


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"d": ("uint8", (2,))}, "it has no array 'd'"),
        ({"a": ("uint8", (2, 3, 5))}, r"'a' is uint8 of shape \(2, 3, 4\); uint8 of 2 x 3 x 5 is"),
        ({"a": ("uint8", (2, None))}, "uint8 of 2 x any is needed"),
        ({"c": ("uint8", (1,))}, "'c' is float64 of shape"),
        ({"a": ("U", (2, 3, 4))}, "U of 2 x 3 x 4 is needed"),
    ],
)
def test_wrong_arrays(tmp_path: Path, npz: bytes, wanted: dict, words: str) -> None:
    (tmp_path / "some.npz").write_bytes(npz)
    with pytest.raises(DataError, match=f"some.npz is damaged: .*{words}"):
        read_npz(tmp_path / "some.npz", **wanted)


def test_an_array_far_too_large_is_not_read(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "bomb.npz", a=np.zeros(50_000_000, np.uint8))
    with pytest.raises(DataError, match="more than the 4,106 bytes it may have"):
        read_npz(tmp_path / "bomb.npz", a=("uint8", (10,)))


class Trap:
    def __reduce__(self) -> tuple:
        return (Path.touch, (Path("trapped"),))


def test_nothing_is_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "trap.npz", a=np.array([Trap()], dtype=object))
    with pytest.raises(DataError, match="Object arrays cannot be loaded"):
        read_npz(tmp_path / "trap.npz", a=("uint8", (1,)))
    assert not (tmp_path / "trapped").exists()


# ---- the real files --------------------------------------------------------------------------


def test_the_real_mnist() -> None:
    digits = datasets.mnist("train", folder=real_data())
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]  # published
    assert np.bincount(digits.labels).tolist() == counts
    assert digits.images.mean() / 255 == pytest.approx(0.1307, abs=5e-5)
    assert digits.images.std() / 255 == pytest.approx(0.3081, abs=5e-5)
    assert datasets.mnist("test", folder=real_data()).labels[:5].tolist() == [7, 2, 1, 0, 4]


def test_the_real_cifar10() -> None:
    subset = datasets.cifar10("train", folder=real_data())
    if subset.exact:
        assert np.bincount(subset.labels).tolist() == [5000] * 10
    else:
        assert np.bincount(subset.labels).tolist() == [1000] * 10
    mean = subset.images.mean(axis=(0, 1, 2)) / 255
    np.testing.assert_allclose(mean, [0.4914, 0.4822, 0.4465], atol=0.01)


@pytest.mark.parametrize("there", [False, True])
def test_the_example(tmp_path: Path, there: bool) -> None:
    script = Path(__file__).parent.parent / "examples" / "datasets.py"
    folder = real_data() if there else tmp_path / "none"
    done = subprocess.run(
        [sys.executable, str(script), "--folder", str(folder)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(script.parent.parent)},
    )
    assert done.returncode == 0, done.stderr
    words = "of 60 windows are usable" if there else "`striate data fetch mnist`"
    assert words in done.stdout
