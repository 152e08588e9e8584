"""What happens to images before a network sees them, beside the normalisation of channels.

Letters: B batch, H W C height, width and channels of an image.
"""

import math
from typing import Annotated

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from jaxnas.ranges import Range
from jaxnas.rng import key_for
from jaxnas.settings import settings


@settings
class Augment:
    """Random changes of a training batch, inside the compiled program, the same ones for the whole group of a search;
    and how images are normalised, in training and in scoring.

    Attributes:
        pad: pixels of the mean grey (0 once normalised) added on every side before a random crop of the old size;
            0: no crop.
        upsample: pixels of height to which images are enlarged, bilinearly and the width in proportion, before a random
            crop of the old size; 0: no crop. What is scored is not enlarged.
        flip: mirror half of the images left to right.
        flip_vertical: mirror half of the images top to bottom.
        rotation: degrees; each image is turned around its middle by an angle that is uniform between minus and plus so
            many.
        shift: share of the side; each image is moved, along each axis, by a share that is uniform between minus and
            plus so much. Rotation and shift are one bilinear map (`moved`); what comes from outside is the mean grey.
        cutout: side in pixels of a square of the mean grey around a random pixel, cut off at the image's edge; 0: none.
        whiten: each image gets mean 0 and standard deviation 1 over all its pixels and channels (`whitened`); False:
            each channel does, over the training data.

    References:
        DeVries & Taylor, Improved Regularization of Convolutional Neural Networks with Cutout, 2017
        (https://arxiv.org/abs/1708.04552).
    """

    pad: Annotated[int, Range(0, 256)] = 0
    flip: bool = False
    cutout: Annotated[int, Range(0, 10_000)] = 0
    upsample: Annotated[int, Range(0, 10_000)] = 0
    whiten: bool = False
    flip_vertical: bool = False
    rotation: Annotated[float, Range(0, 180)] = 0.0
    shift: Annotated[float, Range(0, 1)] = 0.0

    def __post_init__(self):
        if self.pad and self.upsample:
            raise ValueError(f"pad={self.pad}, upsample={self.upsample}: give 0 for one, both make room for the crop")

    def __call__(self, x: Float[Array, "B H W C"], key: jax.Array) -> Float[Array, "B H W C"]:
        if self.flip:
            x = jnp.where(_half(key_for(key, "flip"), x), x[:, :, ::-1], x)
        if self.flip_vertical:
            x = jnp.where(_half(key_for(key, "flip_vertical"), x), x[:, ::-1], x)
        if self.rotation or self.shift:
            x = self._move(x, key)
        if self.pad or self.upsample:
            x = self._crop(x, key_for(key, "crop"))
        return self._cut_out(x, key_for(key, "cutout")) if self.cutout else x

    def _move(self, x: Float[Array, "B H W C"], key: jax.Array) -> Float[Array, "B H W C"]:
        turns = jax.random.uniform(key_for(key, "rotation"), x.shape[:1], minval=-1, maxval=1)
        steps = jax.random.uniform(key_for(key, "shift"), (x.shape[0], 2), minval=-1, maxval=1)
        return jax.vmap(moved)(x, self.rotation * turns, self.shift * steps * jnp.array(x.shape[1:3]))

    def _crop(self, x: Float[Array, "B H W C"], key: jax.Array) -> Float[Array, "B H W C"]:
        height, width, channels = x.shape[1:]
        if self.upsample and self.upsample < height:
            raise ValueError(f"upsample={self.upsample}: the images have {height}x{width} pixels: give more")
        if self.upsample:
            size = self.upsample, round(width * self.upsample / height)
            larger = jax.image.resize(x, (x.shape[0], *size, channels), "bilinear")
        else:
            larger = jnp.pad(x, ((0, 0), (self.pad,) * 2, (self.pad,) * 2, (0, 0)))
        room = jnp.array(larger.shape[1:3]) - jnp.array([height, width])
        starts = jax.random.randint(key, (x.shape[0], 2), 0, room + 1)
        crop = lambda image, start: jax.lax.dynamic_slice(image, (start[0], start[1], 0), (height, width, channels))
        return jax.vmap(crop)(larger, starts)

    def _cut_out(self, x: Float[Array, "B H W C"], key: jax.Array) -> Float[Array, "B H W C"]:
        sides = x.shape[1:3]
        if self.cutout > min(sides):
            raise ValueError(f"cutout={self.cutout}: the images have {sides[0]}x{sides[1]} pixels: give less")
        first = jax.random.randint(key, (x.shape[0], 2), 0, jnp.array(sides)) - self.cutout // 2
        offsets = [jnp.arange(side) - first[:, [i]] for i, side in enumerate(sides)]
        rows, columns = ((offset >= 0) & (offset < self.cutout) for offset in offsets)
        return jnp.where((rows[:, :, None] & columns[:, None, :])[..., None], 0, x)


def whitened(x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
    """Images of mean 0 and standard deviation 1, or less than 1 where one is nearly of one grey: of n numbers the
    deviation that divides is at least 1 / sqrt(n), in grey levels.

    This is what TensorFlow called `tf.image.per_image_whitening` when Zoph & Le wrote of whitening (since 1.0
    `per_image_standardization`).
    """
    mean, std = x.mean((1, 2, 3), keepdims=True), x.std((1, 2, 3), keepdims=True)
    return (x - mean) / jnp.maximum(std, 1 / math.sqrt(math.prod(x.shape[1:])))


def moved(image: Float[Array, "H W C"], degrees: Float[Array, ""], pixels: Float[Array, " 2"]) -> Float[Array, "H W C"]:
    """An image turned around its middle, then moved down and to the right, bilinearly; beyond its edges lie zeros.

    This is `scipy.ndimage.rotate` (without reshaping) and `shift` of order 1 with mode "grid-constant".

    Args:
        image: of any size.
        degrees: from the first axis to the second: counterclockwise, rows being drawn from top to bottom.
        pixels: down and to the right.
    """
    sides = image.shape[:2]
    middle = (jnp.array(sides, jnp.float32) - 1) / 2
    cosine, sine = jnp.cos(jnp.deg2rad(degrees)), jnp.sin(jnp.deg2rad(degrees))
    rows, columns = (jnp.arange(side) - middle[i] - pixels[i] for i, side in enumerate(sides))
    rows, columns = rows[:, None], columns[None, :]
    along = cosine * rows + sine * columns + middle[0], cosine * columns - sine * rows + middle[1]
    (top, down), (left, right) = (_between(places, side) for places, side in zip(along, sides, strict=True))
    padded = jnp.pad(image, ((1, 1), (1, 1), (0, 0)))
    at = lambda row, column: padded.at[row, column].get(mode="promise_in_bounds")
    upper = at(top, left) * (1 - right) + at(top, left + 1) * right
    lower = at(top + 1, left) * (1 - right) + at(top + 1, left + 1) * right
    return upper * (1 - down) + lower * down


def _between(places: Float[Array, "H W"], side: int) -> tuple[Int[Array, "H W"], Float[Array, "H W 1"]]:
    """The cell before each place on an axis with a zero at both ends, and the way from there to the next cell."""
    places = jnp.clip(places, -1, side) + 1
    before = jnp.minimum(jnp.floor(places), side)
    return before.astype(jnp.int32), (places - before)[..., None]


def _half(key: jax.Array, x: Float[Array, "B H W C"]) -> Bool[Array, "B 1 1 1"]:
    return jax.random.bernoulli(key, shape=(x.shape[0], 1, 1, 1))
