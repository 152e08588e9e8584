"""Labelled images as a task takes them: a source is opened, its training part read, its test part made alike.

Letters: M examples, H W C height, width and channels of an image, K classes.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from jaxnas.tasks import pictures, shapes, tfds
from jaxnas.tasks.classification import Examples
from jaxnas.tasks.labels import Labels, read_off
from jaxnas.tasks.sources import CLASS_NAMES, IdxFolder, Npz, Prepared


@runtime_checkable
class Source(Protocol):
    """Where labelled images lie.

    Attributes:
        notes: what there is to say of what was read, a line each.
    """

    notes: Sequence[str]

    def part(self, name: str, shape: Sequence[int] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Images and labels of "train" or "test" as they are stored; ``shape``: (H, W, C) of the training images, where
        they are known. Raises ValueError where there is no such part, or nothing that can be read.
        """

    def has_test(self) -> bool:
        """Whether there are test examples; none is read. Raises ValueError where there can be none."""

    def class_names(self) -> tuple[str, ...]:
        """What the classes are called; empty where the data does not say. Raises ValueError where that is wrong."""


@dataclass(frozen=True)
class Training:
    """What is learnt from.

    Attributes:
        examples: all of them.
        labels: what the labels mean.
        names: of the classes, or none.
        notes: what there is to say of how both were taken, a line each.
    """

    examples: Examples
    labels: Labels
    names: tuple[str, ...]
    notes: tuple[str, ...]


def opened(
    source: str, tfds_dir: str | None = None, size: Sequence[int] | None = None, colour: str | None = None
) -> Source:
    """What a path or name stands for; nothing but names is read yet.

    Args:
        source: path of an .npz file, of a folder of idx files or of folders of pictures, or ``tfds:NAME``.
        tfds_dir: folder of TensorFlow Datasets; None: its default.
        size: of pictures.
        colour: likewise.

    Raises:
        ValueError: nothing there, or nothing that size or colour could be given of.
    """
    path = Path(os.path.expanduser(source))
    if path.is_dir() and not _has_idx(path) and pictures.are_there(path):
        return pictures.Pictures(path, size, colour)
    for name, given in {"size": size, "colour": colour}.items():
        if given is not None:
            raise ValueError(
                f"{name}={given}: {source} is no folder of pictures, which alone are converted: leave it at None"
            )
    if source.startswith(tfds.PREFIX):
        return Prepared(source.removeprefix(tfds.PREFIX), tfds_dir)
    if path.is_dir():
        return IdxFolder(path)
    if path.is_file():
        return Npz(path)
    raise ValueError(
        f"no data at {source!r}: give an .npz file with x_train, y_train, x_test and y_test, {pictures.FORMS}, "
        "a folder of idx files, or tfds:NAME"
    )


def training(source: Source, where: str) -> Training:
    """The training part, its labels as classes; ``where``: what is said of its place.

    Raises:
        ValueError: it is not of a form that can be learnt from.
    """
    stored, labels = source.part("train")
    images = shapes.checked(stored, f"{where} (train)")
    known = read_off(labels, len(images), f"{where} (train)")
    examples = Examples(images, known.of(labels, len(images), f"{where} (train)"))
    names = _class_names(source.class_names(), known, where)
    return Training(examples, known, names, tuple(filter(None, (*source.notes, known.note))))


def test(source: Source, train: Training, where: str) -> Examples:
    """The test part, labels taken as those of the training part. Raises ValueError where both are not alike."""
    shape = train.examples.images.shape[1:]
    stored, labels = source.part("test", shape)
    images = shapes.checked(stored, f"{where} (test)")
    if images.shape[1:] != shape:
        remedy = ", as --task.size and --task.colour make them" if isinstance(source, pictures.Pictures) else ""
        raise ValueError(
            f"{where}: training images are {shape}, test images {images.shape[1:]}: they must be alike{remedy}"
        )
    return Examples(images, train.labels.of(labels, len(images), f"{where} (test)"))


def _class_names(given: tuple[str, ...], known: Labels, where: str) -> tuple[str, ...]:
    """Those that the data gives, or else those of the labels. Raises ValueError where they do not fit."""
    if not given:
        return known.names
    if known.names and known.known[0] == 1 and len(given) > known.classes:
        given = given[1:]  # names of labels that begin at 0
    if known.form == "text" and set(given) != set(known.names):
        raise ValueError(f"{where}: {CLASS_NAMES} are not the labels, which are text: leave {CLASS_NAMES} out")
    if len(given) < known.classes or len(set(given)) < len(given):
        raise ValueError(
            f"{where}: {len(given)} names of classes for {known.classes} classes: one for each, all different"
        )
    return known.names if known.form == "text" else given[: known.classes]


def _has_idx(folder: Path) -> bool:
    return any("-idx" in found.name or ".idx" in found.name for found in folder.iterdir())
