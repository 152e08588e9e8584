"""Reading labelled images from disk. Each reader reads one part ("train" or "test") and touches no other.

Letters: M examples, H W C height, width and channels of an image.
"""

import gzip
import math
import os
import zlib
from pathlib import Path

import numpy as np

from jaxnas import archive
from jaxnas.tasks import tfds
from jaxnas.tasks.classification import Examples
from jaxnas.tasks.shapes import checked

IDX_STEMS = {"train": "train", "test": "t10k"}
IDX_BYTES = b"\0\0\x08"
CLASS_NAMES = "class_names"
NPZ = "numpy.savez_compressed(path, x_train=..., y_train=..., x_test=..., y_test=...) writes one"


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
        images, labels = _npz(path, [f"x_{part}", f"y_{part}"])
    else:
        raise ValueError(
            f"no data at {source!r}: give an .npz file with x_train, y_train, x_test and y_test, "
            "a folder of idx files, or tfds:NAME"
        )
    return Examples(*checked(images, labels, f"{source} ({part})"))


def has_test(source: str, tfds_dir: str | None = None) -> bool:
    """Whether a data set has test examples; none is read. Raises ValueError where there is no such set."""
    path = Path(os.path.expanduser(source))
    if source.startswith(tfds.PREFIX):
        return "test" in tfds.splits(source.removeprefix(tfds.PREFIX), tfds_dir)
    if path.is_dir():
        return any(found.name.startswith(IDX_STEMS["test"]) for found in path.iterdir())
    return any(name.endswith("_test") for name in _names(path))


def class_names(source: str, classes: int, tfds_dir: str | None = None) -> tuple[str, ...]:
    """What the classes are called; empty where the data does not say. Raises ValueError where it says it wrongly."""
    path = Path(os.path.expanduser(source))
    if source.startswith(tfds.PREFIX):
        found = tfds.label_names(source.removeprefix(tfds.PREFIX), tfds_dir)
    elif path.is_dir() or CLASS_NAMES not in _names(path):
        return ()
    else:
        [array] = _npz(path, [CLASS_NAMES])
        if array.ndim != 1 or array.dtype.kind not in "US":
            raise ValueError(f"{source}: {CLASS_NAMES} of type {array.dtype} and shape {array.shape}: a list of text")
        found = tuple(str(name) for name in array.astype(str).tolist())
    if found and (len(found) < classes or len(set(found)) < len(found)):
        raise ValueError(f"{source}: {len(found)} names of classes for {classes} classes: one for each, all different")
    return found[:classes]


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


def _names(path: Path) -> list[str]:
    try:
        return archive.names(path)
    except archive.DAMAGED as error:
        raise ValueError(f"{path}: not a readable .npz file of plain arrays ({error}): {NPZ}") from error


def _npz(path: Path, wanted: list[str]) -> list[np.ndarray]:
    """Some arrays; the other members of the archive are not read."""
    found = _names(path)
    if not set(wanted) <= set(found):
        raise ValueError(f"{path}: found arrays {found}, but {wanted} are needed: {NPZ}")
    try:
        return archive.arrays(path, wanted)
    except archive.DAMAGED as error:
        raise ValueError(f"{path}: not a readable .npz file of plain arrays ({error}): {NPZ}") from error


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
            raw = file.read(4)
            raw += file.read(4 * raw[3]) if len(raw) == 4 else b""
            shape = [int.from_bytes(raw[i : i + 4], "big") for i in range(4, len(raw), 4)]
            if raw[:3] == IDX_BYTES:
                archive.check_memory(math.prod(shape), f"{path}, by its header {shape},")
                raw += file.read(math.prod(shape) + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(
            f"{path}: cannot be read ({error}): the file is cut short or damaged: fetch it again"
        ) from error
    if len(raw) < 4 or raw[:3] != IDX_BYTES:
        raise ValueError(
            f"{path}: begins with bytes {raw[:4].hex(' ') or '(none)'}: an idx file of unsigned bytes is needed, which "
            "begins with 00 00 08"
        )
    start = 4 + 4 * raw[3]
    if len(raw) != start + math.prod(shape):
        raise ValueError(
            f"{path}: {len(raw)} bytes or more, but its header announces the shape {shape}, which takes "
            f"{start + math.prod(shape)}: the file is cut short or damaged: fetch it again"
        )
    return np.frombuffer(raw, np.uint8, offset=start).reshape(shape)
