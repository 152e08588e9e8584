"""Reading a TensorFlow Datasets set without TensorFlow: its files give random access where they are array_record.

References:
    https://www.tensorflow.org/datasets/data_source
"""

import json
import shlex
from collections.abc import Callable, Iterator

import numpy as np

PREFIX = "tfds:"
CATALOG = "https://www.tensorflow.org/datasets/catalog"
PACKAGES = "tensorflow-datasets array-record pillow"
BATCH = 1000
"""Records fetched in one call, which reads them side by side."""


def read(name: str, part: str, folder: str | None) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 ``[M, H, W, C]`` and labels ``[M]`` of one split, in the order in which they are stored.

    Args:
        name: as in `tfds.builder`: "cifar10", "mnist_corrupted/spatter", "cifar10:3.0.2".
        part: "train" or "test"; no other split is read.
        folder: where TensorFlow Datasets keeps its sets; None: its own default.

    Raises:
        ValueError: no such set, not prepared, of another form or damaged, or a package is missing.
    """
    builder = _open(name, folder)
    _check_images(builder, f"tfds:{name}")
    return _take(_stack, builder, name, part, folder)


def splits(name: str, folder: str | None) -> frozenset[str]:
    """The names of a set's splits; none is read. Raises ValueError as `read` does."""
    return frozenset(_open(name, folder).info.splits)


def label_names(name: str, folder: str | None) -> tuple[str, ...]:
    """What the classes of an image set are called; empty where it does not say. Raises ValueError as `read` does."""
    label = dict(_open(name, folder).info.features or {}).get("label")
    named = label is not None and getattr(label, "names", None)  # a feature of another kind has none
    return tuple(named or ())


def read_text(name: str, part: str, folder: str | None) -> bytes:
    """The feature "text" of one split: its rows in the order in which they are stored, with a newline between two.

    Arguments and errors are those of `read`, but any split can be read.
    """
    builder = _open(name, folder)
    _check_text(builder, f"tfds:{name}")
    return _take(_join, builder, name, part, folder)


def _take(gather: Callable, builder, name: str, part: str, folder: str | None):
    """``gather(rows, where)`` of one split, and what to do where its files cannot be read."""
    if part not in builder.info.splits:
        raise ValueError(
            f"tfds:{name}: splits {sorted(builder.info.splits)}: a {part!r} split is needed: choose another set"
        )
    try:
        return gather(builder.as_data_source(split=part), f"tfds:{name}")
    except ImportError as error:
        raise ValueError(f"tfds:{name} cannot be read ({_line(error)}): pip install {PACKAGES}") from error
    except NotImplementedError as error:
        raise ValueError(
            f"tfds:{name}: {builder.data_path} holds {builder.info.file_format.value} files, which only TensorFlow "
            f"reads: delete that folder or choose another tfds_dir; {_prepare(name, folder)}"
        ) from error
    except (RuntimeError, OSError) as error:  # of array_record and pillow: files missing, cut short or changed
        raise ValueError(
            f"tfds:{name}: {builder.data_path} is damaged ({_line(error)}): delete that folder; "
            f"{_prepare(name, folder)}"
        ) from error


def _open(name: str, folder: str | None):
    """The set's builder, from its code where TensorFlow Datasets has it, else from the files on disk."""
    try:
        import tensorflow_datasets
    except ImportError as error:
        raise ValueError(f"tfds:{name} needs TensorFlow Datasets: pip install {PACKAGES}") from error
    try:
        builder = tensorflow_datasets.builder(name, data_dir=folder)
    except tensorflow_datasets.core.DatasetNotFoundError as error:
        raise ValueError(
            f"tfds:{name}: TensorFlow Datasets knows no such set, and none is prepared in "
            f"{folder or 'its default folder'}: take a NAME from {CATALOG}; {_prepare('NAME', folder)}"
        ) from error
    except Exception as error:  # a wrong version raises AssertionError, a damaged file protobuf's ParseError, ...
        raise ValueError(
            f"tfds:{name} cannot be opened ({_line(error)}): give a name from {CATALOG}, or delete the folder of a set "
            "whose files are damaged and prepare it again"
        ) from error
    if not builder.data_path.exists():
        others = sorted(path.name for path in builder.data_path.parent.glob("*.*.*"))
        hint = f", but there are versions {others}: name one, as in NAME:{others[-1]}" if others else ""
        raise ValueError(
            f"tfds:{name} is not prepared: there is no {builder.data_path}{hint}; {_prepare(name, folder)}"
        )
    return builder


def _prepare(name: str, folder: str | None) -> str:
    """What to type. Without file_format TensorFlow Datasets would write tfrecord, which only TensorFlow reads."""
    where = "" if folder is None else f"data_dir={json.dumps(folder)}, "
    code = (
        "import tensorflow_datasets as tfds; "
        f'tfds.builder({json.dumps(name)}, {where}file_format="array_record").download_and_prepare()'
    )
    return f"to prepare it once: pip install tensorflow {PACKAGES} && python -c {shlex.quote(code)}"


def _check_images(builder, where: str) -> None:
    features = dict(builder.info.features or {})
    if not {"image", "label"} <= set(features):
        raise ValueError(
            f"{where}: features {sorted(features)}: an 'image' and a 'label' are needed: choose another set"
        )
    image, label = features["image"], features["label"]
    if image.np_dtype != np.uint8 or label.shape != ():
        raise ValueError(
            f"{where}: {image} and {label}: uint8 images with one label each are needed: choose another set"
        )


def _check_text(builder, where: str) -> None:
    features = dict(builder.info.features or {})
    if "text" not in features:
        raise ValueError(f"{where}: features {sorted(features)}: a 'text' is needed: choose another set")
    text = features["text"]
    if text.np_dtype != np.object_ or text.shape != ():
        raise ValueError(f"{where}: {text}: one plain text a row is needed: choose another set")


def _every(rows) -> Iterator[dict]:
    """The rows of a data source, fetched many at a time."""
    for start in range(0, len(rows), BATCH):
        yield from rows.__getitems__(range(start, min(start + BATCH, len(rows))))


def _join(rows, where: str) -> bytes:
    del where
    return b"\n".join(row["text"] for row in _every(rows))


def _stack(rows, where: str) -> tuple[np.ndarray, np.ndarray]:
    """All rows of a data source, each decoded straight into its place."""
    first = rows[0]["image"]
    images, labels = np.empty((len(rows), *first.shape), first.dtype), np.empty(len(rows), np.int64)
    for i, row in enumerate(_every(rows)):
        if row["image"].shape != first.shape:
            raise ValueError(
                f"{where}: an image of shape {first.shape} and one of {row['image'].shape}: all must be alike: "
                "choose another set"
            )
        images[i], labels[i] = row["image"], row["label"]
    return images, labels


def _line(error: Exception) -> str:
    """The first line of a message: those of TensorFlow Datasets go on for pages."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
