"""Inverses of Cholesky factors, in a form that is fast on CPU.

Letters: C rows, P blocks of S rows.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

CHOLESKY_ROWS = 128
"""The largest Cholesky factorisation that is left to the library."""


def inverse_factor(matrix: Float[Array, "C C"]) -> Float[Array, "C C"]:
    """L^-1, L the Cholesky factor; C is a power of two.

    By blocks: [[A, 0], [B, D]]^-1 = [[A^-1, 0], [-D^-1 B A^-1, D^-1]]. XLA's own triangular solve takes sixty times as
    long on CPU, and its Cholesky of more than about 128 rows wakes the threads of a library, which get in the way of
    the devices'.
    """
    half = len(matrix) // 2
    if half >= CHOLESKY_ROWS:
        upper = inverse_factor(matrix[:half, :half])
        below = matrix[half:, :half] @ upper.T
        return _joined(upper, below, inverse_factor(matrix[half:, half:] - below @ below.T))
    factor, size = jnp.linalg.cholesky(matrix), 1
    inverse = (1 / jnp.diag(factor))[:, None, None]  # [blocks, size, size], all blocks of the diagonal at once
    while size < len(factor):
        pairs = jnp.arange(len(factor) // (2 * size))
        below = factor.reshape(len(pairs), 2, size, len(pairs), 2, size)[pairs, 1, :, pairs, 0]
        inverse, size = _joined(inverse[::2], below, inverse[1::2]), 2 * size
    return inverse[0]


def _joined(upper: Float[Array, "*P S S"], below: Float[Array, "*P S S"], lower: Float[Array, "*P S S"]) -> Array:
    """The inverse of [[A, 0], [B, D]] from A^-1, B and D^-1."""
    left = jnp.concatenate([upper, -lower @ below @ upper], axis=-2)
    return jnp.concatenate([left, jnp.concatenate([jnp.zeros_like(lower), lower], axis=-2)], axis=-1)
