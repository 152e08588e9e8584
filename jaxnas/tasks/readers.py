"""Reading labelled images from disk. Each reader reads one part ("train" or "test") and touches no other.

Letters: M examples, H W C height, width and channels of an image.
"""

import gzip
import math
import zipfile
import zlib
from pathlib import Path

import numpy as np

from jaxnas.tasks.classification import Examples

IDX_STEMS = {"train": "train", "test": "t10k"}
TFDS = "tfds:"


def read(source: str, part: str, tfds_dir: str | None = None) -> Examples:
    """One part of a data set, checked: uint8 ``[M, H, W, C]`` and int32 ``[M]``.

    Args:
        source: path of an .npz file or of a folder of idx files, or ``tfds:NAME``.
        part: "train" or "test".
        tfds_dir: folder of TensorFlow Datasets; None: its default.

    Raises:
        ValueError: nothing there, or not of this form.
    """
    if source.startswith(TFDS):
        images, labels = _tfds(source.removeprefix(TFDS), part, tfds_dir)
    elif Path(source).is_dir():
        images, labels = _idx_folder(Path(source), part)
    elif Path(source).is_file():
        images, labels = _npz(Path(source), part)
    else:
        raise ValueError(
            f"no data at {source!r}: give an .npz file with x_train, y_train, x_test and y_test, a folder of idx files, or tfds:NAME"
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
    if (counts == 0).any():
        missing = np.flatnonzero(counts == 0)
        raise ValueError(
            f"{source}: labels run from 0 to {len(counts) - 1}, but {missing[:5].tolist()} never occur: number the classes 0, 1, 2, ... without gaps"
        )
    return len(counts)


def check_alike(train: Examples, test: Examples, source: str) -> None:
    """Raises ValueError where test images have another shape than training images, or labels not seen in training."""
    if train.images.shape[1:] != test.images.shape[1:]:
        raise ValueError(f"{source}: training images are {train.images.shape[1:]}, test images {test.images.shape[1:]}: they must be alike")
    if test.labels.max() > train.labels.max():
        raise ValueError(f"{source}: test labels go up to {test.labels.max()}, training labels to {train.labels.max()}: they must be alike")


def _checked(images, labels, where: str) -> Examples:
    images, labels = np.asarray(images), np.asarray(labels)
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or 0 in images.shape[1:]:
        raise ValueError(
            f"{where}: images of shape {images.shape}: [examples, height, width] or [examples, height, width, channels] is needed"
        )
    if images.dtype != np.uint8:
        raise ValueError(f"{where}: images of type {images.dtype}: uint8 grey levels 0..255 are needed")
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.shape != images.shape[:1]:
        raise ValueError(f"{where}: {images.shape[0]} images but labels of shape {labels.shape}: one label an image is needed")
    if len(labels) == 0:
        raise ValueError(f"{where}: no examples: at least one is needed")
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"{where}: labels of type {labels.dtype}: integers 0, 1, 2, ... are needed")
    if labels.min() < 0 or labels.max() > 65535:
        raise ValueError(f"{where}: labels run from {labels.min()} to {labels.max()}: integers from 0 to at most 65535 are needed")
    return Examples(images, labels.astype(np.int32))


def _npz(path: Path, part: str):
    try:
        with np.load(path, allow_pickle=False) as arrays:
            names = f"x_{part}", f"y_{part}"
            missing = [n for n in names if n not in arrays.files]
            if missing:
                raise ValueError(
                    f"{path}: found arrays {sorted(arrays.files)}, but not {missing}: x_train, y_train, x_test and y_test are needed"
                )
            return arrays[names[0]], arrays[names[1]]
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, AttributeError) as error:
        raise ValueError(f"{path}: not a readable .npz file ({error}): numpy.savez(path, x_train=..., ...) makes one") from error


def _idx_folder(folder: Path, part: str):
    return tuple(_idx(_find(folder, f"{IDX_STEMS[part]}-{rest}")) for rest in ("images-idx3-ubyte", "labels-idx1-ubyte"))


def _find(folder: Path, name: str) -> Path:
    """The file, with or without .gz, and in either of the spellings that are in use ("-idx3" and ".idx3")."""
    spellings = [n + end for n in (name, name.replace("-idx", ".idx")) for end in ("", ".gz")]
    for spelling in spellings:
        if (folder / spelling).is_file():
            return folder / spelling
    found = sorted(p.name for p in folder.iterdir())[:8]
    raise ValueError(f"{folder}: found {found}, but no {name} (or {name}.gz): a folder of idx files as MNIST has them is needed")


def _idx(path: Path) -> np.ndarray:
    """An idx file: two zero bytes, type 8 (uint8), number of dimensions, big-endian sizes, data."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            raw = file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: cannot be read ({error})") from error
    if len(raw) < 4 or raw[:3] != b"\0\0\x08":
        raise ValueError(f"{path}: begins with {raw[:4].hex() or 'nothing'}: an idx file of unsigned bytes (0000 08 ..) is needed")
    dimensions = raw[3]
    shape = np.frombuffer(raw[4 : 4 + 4 * dimensions], ">u4")
    size = math.prod(shape.tolist())
    if len(shape) != dimensions or len(raw) != 4 + 4 * dimensions + size:
        raise ValueError(f"{path}: {len(raw)} bytes, but its header announces {shape.tolist()}: the file is cut short or damaged")
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def _tfds(name: str, part: str, folder: str | None):
    """A TensorFlow Datasets set through `tfds.data_source`: random access, no TensorFlow."""
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise ValueError(f"{TFDS}{name} needs TensorFlow Datasets: pip install 'jaxnas[tfds]'") from error
    try:
        builder = tfds.builder(name, data_dir=folder, file_format="array_record")
    except tfds.core.DatasetNotFoundError as error:
        raise ValueError(f"{TFDS}{name}: TensorFlow Datasets knows no such set: see tensorflow_datasets.list_builders()") from error
    features = builder.info.features
    if not {"image", "label"} <= set(features or ()):
        raise ValueError(f"{TFDS}{name}: features {sorted(features or ())}: an 'image' and a 'label' are needed")
    if not builder.data_path.exists():
        raise ValueError(
            f"{TFDS}{name} is not prepared in {builder.data_path}: pip install tensorflow tensorflow-datasets, then, once: "
            f"python -c \"import tensorflow_datasets as t; t.builder('{name}', file_format='array_record').download_and_prepare()\""
        )
    if part not in builder.info.splits:
        raise ValueError(f"{TFDS}{name}: splits {sorted(builder.info.splits)}: a '{part}' split is needed")
    rows = builder.as_data_source(split=part)
    images, labels = zip(*((row["image"], row["label"]) for row in (rows[i] for i in range(len(rows)))), strict=True)
    if len({image.shape for image in images}) > 1:
        raise ValueError(f"{TFDS}{name}: images of {len({i.shape for i in images})} different shapes: all must be alike")
    return np.stack(images), np.array(labels)
