"""Reading labelled images from disk. Each reader reads one part ("train" or "test") and touches no other.

Letters: M examples, H W C height, width and channels of an image.
"""

import gzip
import math
import os
import tokenize
import zipfile
import zlib
from pathlib import Path

import numpy as np

from jaxnas.tasks import tfds
from jaxnas.tasks.classification import Examples

IDX_STEMS = {"train": "train", "test": "t10k"}
NPZ = "numpy.savez_compressed(path, x_train=..., y_train=..., x_test=..., y_test=...) writes one"
DAMAGED = zipfile.BadZipFile, zlib.error, tokenize.TokenError, SyntaxError, EOFError, OSError, ValueError, RuntimeError
"""What zipfile and numpy raise for an archive in which bytes are missing or changed, or that holds pickled objects."""


def read(source: str, part: str, tfds_dir: str | None = None) -> Examples:
    """One part of a data set, checked: uint8 ``[M, H, W, C]`` and int32 ``[M]``.

    Args:
        source: path of an .npz file or of a folder of idx files, or ``tfds:NAME``.
        part: "train" or "test".
        tfds_dir: folder of TensorFlow Datasets; None: its default.

    Raises:
        ValueError: nothing there, or not of this form.
    """
    path = Path(os.path.expanduser(source))
    if source.startswith(tfds.PREFIX):
        images, labels = tfds.read(source.removeprefix(tfds.PREFIX), part, tfds_dir)
    elif path.is_dir():
        images, labels = _idx_folder(path, part)
    elif path.is_file():
        images, labels = _npz(path, part)
    else:
        raise ValueError(
            f"no data at {source!r}: give an .npz file with x_train, y_train, x_test and y_test, "
            "a folder of idx files, or tfds:NAME"
        )
    return _checked(images, labels, f"{source} ({part})")


def classes(train: Examples, source: str) -> int:
    """The number of labels: one more than the greatest in the training data.

    Raises:
        ValueError: fewer than two, or one of them never occurs.
    """
    counts = np.bincount(train.labels)
    if len(counts) < 2:
        raise ValueError(f"{source}: all {len(train)} training labels are 0: classification needs at least 2 classes")
    missing = np.flatnonzero(counts == 0)
    if len(missing):
        raise ValueError(
            f"{source}: training labels go up to {len(counts) - 1}, but {missing[:5].tolist()} never occur: "
            "number the classes 0, 1, 2, ... without gaps"
        )
    return len(counts)


def check_alike(train: Examples, test: Examples, classes: int, source: str) -> None:
    """Raises ValueError where test images have another shape than training images, or labels beyond the classes."""
    shapes = train.images.shape[1:], test.images.shape[1:]
    if shapes[0] != shapes[1]:
        raise ValueError(f"{source}: training images are {shapes[0]}, test images {shapes[1]}: they must be alike")
    if test.labels.max() >= classes:
        raise ValueError(
            f"{source}: test labels go up to {test.labels.max()}, training labels to {classes - 1}: they must be alike"
        )


def _checked(images, labels, where: str) -> Examples:
    images, labels = np.asarray(images), np.asarray(labels)
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or 0 in images.shape[1:]:
        raise ValueError(
            f"{where}: images of shape {images.shape}: [examples, height, width] or "
            "[examples, height, width, channels] is needed, with at least one pixel"
        )
    if images.dtype != np.uint8:
        raise ValueError(f"{where}: images of type {images.dtype}: uint8 grey levels 0..255 are needed")
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.shape != images.shape[:1]:
        raise ValueError(
            f"{where}: {images.shape[0]} images but labels of shape {labels.shape}: one label an image is needed"
        )
    if len(labels) == 0:
        raise ValueError(f"{where}: no examples: at least one is needed")
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"{where}: labels of type {labels.dtype}: integers 0, 1, 2, ... are needed")
    if labels.min() < 0 or labels.max() > 65535:
        raise ValueError(
            f"{where}: labels run from {labels.min()} to {labels.max()}: integers from 0 to at most 65535 are needed"
        )
    return Examples(images, labels.astype(np.int32))


def _npz(path: Path, part: str) -> list[np.ndarray]:
    """x and y of the part; the other members of the archive are not read."""
    wanted = [f"x_{part}", f"y_{part}"]
    try:
        if not zipfile.is_zipfile(path):  # np.load would take it for a pickle and say so
            raise zipfile.BadZipFile("no zip archive, or cut short")
        with np.load(path, allow_pickle=False) as arrays:
            found = sorted(arrays.files)
            if set(wanted) <= set(found):
                return [arrays[name] for name in wanted]
    except DAMAGED as error:
        raise ValueError(f"{path}: not a readable .npz file of plain arrays ({error}): {NPZ}") from error
    raise ValueError(f"{path}: found arrays {found}, but {wanted} are needed: {NPZ}")


def _idx_folder(folder: Path, part: str):
    return tuple(
        _idx(_find(folder, f"{IDX_STEMS[part]}-{rest}")) for rest in ("images-idx3-ubyte", "labels-idx1-ubyte")
    )


def _find(folder: Path, name: str) -> Path:
    """The file, with or without .gz, and in either of the spellings that are in use ("-idx3" and ".idx3")."""
    spellings = [n + end for n in (name, name.replace("-idx", ".idx")) for end in ("", ".gz")]
    for spelling in spellings:
        if (folder / spelling).is_file():
            return folder / spelling
    found = sorted(p.name for p in folder.iterdir())[:8]
    raise ValueError(
        f"{folder}: found {found}, but no {name} (or {name}.gz): a folder of idx files as MNIST has them is needed"
    )


def _idx(path: Path) -> np.ndarray:
    """An idx file: two zero bytes, type 8 (uint8), number of dimensions, big-endian sizes, data."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            raw = file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(
            f"{path}: cannot be read ({error}): the file is cut short or damaged: fetch it again"
        ) from error
    if len(raw) < 4 or raw[:3] != b"\0\0\x08":
        raise ValueError(
            f"{path}: begins with bytes {raw[:4].hex(' ') or '(none)'}: an idx file of unsigned bytes is needed, which "
            "begins with 00 00 08"
        )
    start = 4 + 4 * raw[3]
    shape = [int.from_bytes(raw[i : i + 4], "big") for i in range(4, start, 4)]
    if len(raw) != start + math.prod(shape):
        raise ValueError(
            f"{path}: {len(raw)} bytes, but its header announces the shape {shape}, which takes "
            f"{start + math.prod(shape)}: the file is cut short or damaged: fetch it again"
        )
    return np.frombuffer(raw, np.uint8, offset=start).reshape(shape)
