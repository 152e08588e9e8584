"""Arrays of images as people have them: taken, or refused with the line that mends them.

Letters: M examples, H W C height, width and channels of an image.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float32, UInt8

COLOURS = 4
"""Channels that an image of a camera may have; what has more is a measurement."""
CHUNK = 1000
"""Images looked at together, so that what is computed of them stays small."""
GREATEST = 255


def checked(images, where: str) -> UInt8[np.ndarray, "M H W C"] | Float32[np.ndarray, "M H W C"]:
    """Whole numbers 0..255, and true and false as 1 and 0, as uint8; all other finite numbers as float32, as they are.

    Raises:
        ValueError: another form; ``where``: what is said of their place.
    """
    images = np.asarray(images)
    images = images[..., None] if images.ndim == 3 else images
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
    if images.dtype.kind not in "biuf":
        raise ValueError(f"{where}: images of type {images.dtype}: whole numbers or floats are needed")
    if images.dtype.kind == "f":
        return _floats(images, where)
    grey = images.dtype.kind == "b" or all(part.min() >= 0 and part.max() <= GREATEST for part in chunks(images))
    return images.astype(np.uint8 if grey else np.float32, copy=False)


def chunks(images: np.ndarray) -> Iterator[np.ndarray]:
    """All of them, in parts; no empty one."""
    for start in range(0, len(images), CHUNK):
        yield images[start : start + CHUNK]


def _floats(images: np.ndarray, where: str) -> Float32[np.ndarray, "M H W C"]:
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused
        found = images.astype(np.float32, copy=False)
    for number, part in enumerate(chunks(found)):
        wrong = ~np.isfinite(part).all((1, 2, 3))
        if wrong.any():
            first = CHUNK * number + int(wrong.argmax())
            raise ValueError(
                f"{where}: image {first} has a value that is no finite number of float32 (NaN or infinite): leave it "
                "out, or mend it, as with x = numpy.nan_to_num(x)"
            )
    return found
