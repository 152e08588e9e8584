"""One picture file as an array: turned as its camera held it, its colours converted, resized.

Letters: H W C height, width and channels.
"""

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

BACKGROUND = "white"
"""What is seen through pixels that are not opaque."""
SIXTEEN_BITS = 65_535


@cache
def endings() -> frozenset[str]:
    """Of the names of files that Pillow opens, in lower case."""
    return frozenset(ending for ending, kind in Image.registered_extensions().items() if kind in Image.OPEN)


def read(
    path: Path, size: Sequence[int] | None, colour: str | None
) -> UInt8[np.ndarray, "H W"] | UInt8[np.ndarray, "H W 3"]:
    """A picture, its first frame where it has several.

    Args:
        path: of the file.
        size: height and width to which it is stretched, averaged where it shrinks; None: its own.
        colour: "grey" (luma of ITU-R 601), "rgb", or None: grey where all pixels are, else rgb.

    Raises:
        ValueError: it cannot be read, its pixels are floats or more than 16 bits deep; the file is named.
    """
    try:
        with Image.open(path) as image:
            image = _eight_bits(ImageOps.exif_transpose(image))
    except Exception as error:  # of a damaged file Pillow raises OSError, SyntaxError, struct.error, ...
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(
            f"{os.fspath(path)!r} cannot be read as a picture ({reason}): mend or remove the file"
        ) from error
    image = image.convert("L") if colour == "grey" or (colour is None and _is_grey(image)) else image.convert("RGB")
    if size is not None and image.size != (size[1], size[0]):
        image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(image)


def _eight_bits(image: Image.Image) -> Image.Image:
    """Of mode L or RGB, opaque."""
    if image.mode[0] in "IF":  # Pillow's own conversion would cut off what exceeds 255
        pixels = np.asarray(image)
        if image.mode == "F" or pixels.min() < 0 or pixels.max() > SIXTEEN_BITS:
            raise ValueError("its pixels are floats or of more than 16 bits, which an .npz with x_train, ... can hold")
        return Image.fromarray(np.round(pixels * (255 / SIXTEEN_BITS)).astype(np.uint8))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, BACKGROUND), image).convert("RGB")
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def _is_grey(image: Image.Image) -> bool:
    if image.mode == "L":
        return True
    pixels = np.asarray(image)
    return bool((pixels == pixels[..., :1]).all())
