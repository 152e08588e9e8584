"""What happens to images before a network sees them, beside the normalisation of channels.

Letters: B batch, H W C height, width and channels of an image.
"""

import math
from typing import Annotated

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

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

    def __post_init__(self):
        if self.pad and self.upsample:
            raise ValueError(f"pad={self.pad}, upsample={self.upsample}: give 0 for one, both make room for the crop")

    def __call__(self, x: Float[Array, "B H W C"], key: jax.Array) -> Float[Array, "B H W C"]:
        if self.flip:
            mirrored = jax.random.bernoulli(key_for(key, "flip"), shape=(x.shape[0], 1, 1, 1))
            x = jnp.where(mirrored, x[:, :, ::-1], x)
        if self.pad or self.upsample:
            x = self._crop(x, key_for(key, "crop"))
        return self._cut_out(x, key_for(key, "cutout")) if self.cutout else x

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
