"""Tables with a row for each architecture: exact where the space is small, hashed where it is not.

References:
    Appleby, MurmurHash3, the finaliser ``fmix32`` (https://github.com/aappleby/smhasher).

Letters: T decisions.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

from jaxnas.decisions import Decisions


def rows(decisions: Decisions, most: int) -> int:
    """How many rows the table of a space needs, but not more than ``most``."""
    return min(most, math.prod(decisions.sizes.tolist()))


def row(decisions: Decisions, most: int, tokens: Int[Array | np.ndarray, " T"]) -> Int[Array, ""]:
    """The row of an architecture, the same for all raw tokens that mean it (absent ones are -1).

    Where the product of the sizes is ``most`` or less, a row is of one architecture alone (mixed radix, absent ones as
    0: whether a decision exists, the earlier ones tell). Otherwise the row is a hash of 32 bits, modulo ``most``.
    """
    sizes = decisions.sizes
    if math.prod(sizes.tolist()) <= most:
        radix = np.concatenate([np.cumprod(sizes[:0:-1], dtype=np.int64)[::-1], [1]]).astype(np.int32)
        return (jnp.maximum(tokens, 0) * radix).sum()
    numbers = np.concatenate([[0], np.cumsum(sizes + 1)[:-1]]) + 1  # one for every token of every decision
    return (_mixed(_mixed((tokens + numbers).astype(jnp.uint32)).sum(dtype=jnp.uint32)) % most).astype(jnp.int32)


def _mixed(bits: jax.Array) -> jax.Array:
    """fmix32: each bit of a uint32 depends on all of them."""
    bits = (bits ^ (bits >> 16)) * jnp.uint32(0x85EBCA6B)
    bits = (bits ^ (bits >> 13)) * jnp.uint32(0xC2B2AE35)
    return bits ^ (bits >> 16)
