"""The pooling of NAS-Bench-201's cells and its gradient.

Letters: B batch, H W height and width of the map, C channels.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def average(x: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
    """The mean of the 3x3 cells around each; those outside the map do not count."""
    return (_box(x.astype(jnp.float32)) / _cells(x)).astype(x.dtype)


def average_transposed(dz: Float[Array, "B H W C"]) -> Float[Array, "B H W C"]:
    """The gradient of `average` with respect to its argument."""
    return _box(dz.astype(jnp.float32) / _cells(dz)).astype(dz.dtype)


def _box(x):
    """The sum of the 3x3 cells around each: it is its own transpose. All nine at once: rows first and then columns take
    fewer additions, and on a CPU half as long again, for the map between them.
    """
    (h, w), wide = x.shape[1:3], jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return sum(wide[:, i : i + h, j : j + w] for i in range(3) for j in range(3))


def _cells(x) -> np.ndarray:
    """How many cells of the map lie around each, itself included, ``[H, W, 1]``."""
    rows, columns = (np.minimum(np.arange(n) + 1, n - 1) - np.maximum(np.arange(n) - 1, 0) + 1 for n in x.shape[1:3])
    return np.outer(rows, columns)[:, :, None].astype(np.float32)
