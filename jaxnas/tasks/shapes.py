"""Arrays of images and labels as people have them: taken, or refused with the line that mends them.

Letters: M examples, H W C height, width and channels of an image, K classes.
"""

import numpy as np
from jaxtyping import Int32, UInt8

MOST_LABEL = 65_535
COLOURS = 4
"""Channels that an image of a camera may have; what has more is a measurement."""


def checked(images, labels, where: str) -> tuple[UInt8[np.ndarray, "M H W C"], Int32[np.ndarray, " M"]]:
    """Images uint8 and labels int32. Raises ValueError for another form; ``where``: what is said of their place."""
    images, labels = np.asarray(images), np.asarray(labels)
    images = images[..., None] if images.ndim == 3 else images
    _check_images(images, where)
    labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels
    _check_labels(images, labels, where)
    return images, labels.astype(np.int32)


def _check_images(images: np.ndarray, where: str) -> None:
    if images.ndim != 4 or 0 in images.shape[1:]:
        raise ValueError(
            f"{where}: images of shape {images.shape}: [examples, height, width] or "
            "[examples, height, width, channels] is needed, with at least one pixel"
        )
    if images.shape[1] <= COLOURS < min(images.shape[2:]):
        raise ValueError(
            f"{where}: images of shape {images.shape}: channels come first, and last is needed: "
            "x = x.transpose(0, 2, 3, 1)"
        )
    if images.dtype != np.uint8:
        raise ValueError(f"{where}: images of type {images.dtype}: uint8 grey levels 0..255 are needed{_mend(images)}")


def _mend(images: np.ndarray) -> str:
    """The line that makes grey levels of numbers, where there is one."""
    if images.dtype == bool:
        return ": x = 255 * x.astype(numpy.uint8)"
    if images.dtype.kind not in "iuf" or not images.size or not np.isfinite(images).all() or images.min() < 0:
        return ""
    whole = images.dtype.kind in "iu" or (images == np.round(images)).all()
    if images.max() <= 255 and (whole or images.max() > 1):
        return ": x = x.round().astype(numpy.uint8)"
    return ": x = (255 * x).round().astype(numpy.uint8)" if images.max() <= 1 else ": scale them to 0..255"


def _check_labels(images: np.ndarray, labels: np.ndarray, where: str) -> None:
    if labels.ndim == 2 and len(labels) == len(images) and ((labels == 0) | (labels == 1)).all():
        raise ValueError(f"{where}: labels of shape {labels.shape}, one-hot: numbers are needed: y = y.argmax(1)")
    if labels.shape != images.shape[:1]:
        raise ValueError(
            f"{where}: {images.shape[0]} images but labels of shape {labels.shape}: one label an image is needed"
        )
    if len(labels) == 0:
        raise ValueError(f"{where}: no examples: at least one is needed")
    if labels.dtype.kind in "USO":
        words = "class_names, y = numpy.unique(y, return_inverse=True)"
        raise ValueError(f"{where}: labels of type {labels.dtype}: integers 0, 1, 2, ... are needed: {words}")
    if not np.issubdtype(labels.dtype, np.integer):
        mend = ": y = y.astype(int)" if labels.dtype.kind in "bf" and (labels == np.round(labels)).all() else ""
        raise ValueError(f"{where}: labels of type {labels.dtype}: integers 0, 1, 2, ... are needed{mend}")
    if labels.min() < 0 or labels.max() > MOST_LABEL:
        raise ValueError(
            f"{where}: labels run from {labels.min()} to {labels.max()}: integers from 0 to at most {MOST_LABEL} are "
            "needed"
        )
