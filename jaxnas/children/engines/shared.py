"""What the first layers of all children make of the images of a batch together: once, not once for each.

Letters: B batch, H W height and width of the image, C channels, KH KW kernel height and width, T taps: KH * KW * C.
"""

import math
from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from jaxnas.children.engines import convolution
from jaxnas.children.engines.convolution import around

MOST_BYTES = 2**27
"""More than so many are not shared: of large images with large kernels the taps would take the children's memory."""


class Shared(NamedTuple):
    """The images of a batch, and what lies under each tap of a kernel at each of its places."""

    images: Float[Array, "B H W C"]
    taps: Float[Array, "T B H2 W2"]


def share(x: Float[Array, "B H W C"], kernel: tuple[int, int], stride: tuple[int, int]) -> Array | Shared:
    """For first layers whose kernels are no larger than this one, which they fill from its middle. x itself where the
    taps would take more than `MOST_BYTES`.
    """
    (h, w), (sh, sw) = x.shape[1:3], stride
    if x.dtype.itemsize * x.size * math.prod(kernel) // (sh * sw) > MOST_BYTES:
        return x
    padded = jnp.pad(x, ((0, 0), *around(kernel), (0, 0)))
    taps = [padded[:, i : i + h : sh, j : j + w : sw] for i in range(kernel[0]) for j in range(kernel[1])]
    return Shared(x, jnp.stack(taps).transpose(0, 4, 1, 2, 3).reshape(-1, *taps[0].shape[:3]))


def correlate(
    x: Shared, w: Float[Array, "KH KW C F"], stride: tuple[int, int], platform: str
) -> Float[Array, "B H2 W2 F"]:
    """The convolution of the images with a kernel of all their taps, float32. Under `jax.vmap` of w alone it is one
    product with all children's kernels. On CPU, where children run in turn, the forms without shared taps are faster.
    """
    if platform == "cpu":
        return convolution.correlate(x.images, w, stride, around(w.shape[:2]), platform)
    w = w.reshape(-1, w.shape[3])
    return lax.dot_general(x.taps, w, (((0,), (0,)), ((), ())), preferred_element_type=jnp.float32)


def weight_gradient(
    taps: Float[Array, "T B H W"], dy: Float[Array, "B H W F"], shape: tuple[int, int, int, int]
) -> Float[Array, "KH KW C F"]:
    """Its gradient with respect to a w of this shape, float32: also of taps and filters beyond a child's own."""
    taps, dy = taps.reshape(taps.shape[0], -1), dy.reshape(-1, dy.shape[-1])
    return lax.dot(taps, dy, preferred_element_type=jnp.float32).reshape(shape)
