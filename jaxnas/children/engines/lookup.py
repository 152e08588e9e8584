"""Rows of a table by number, with a gradient that adds no two numbers in an order of the device's choosing.

Letters: V symbols of the vocabulary, H hidden units.
"""

from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

ONE_HOT = 1024
"""The largest vocabulary whose gradient is a product with one-hot rows, V multiply-adds for each number where a scatter
takes one: so many a matrix unit does as fast as the softmax over the same symbols, while a scatter into rows that occur
more than once is slow, or of no certain order, off CPU. Characters are far below, words above."""


def embed(table: Float[Array, "V H"], symbols: Int[Array, "*N"], platform: str) -> Float[Array, "*N H"]:
    """The row of each symbol, from 0 to V - 1; differentiable in the table.

    Args:
        table: a row a symbol.
        symbols: numbers of rows.
        platform: of the device; see `Engine`.
    """
    if platform == "cpu" or table.shape[0] > ONE_HOT:
        return table[symbols]
    return _by_product(table.shape[0], table, symbols)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _by_product(size: int, table, symbols):
    return table[symbols]


def _backward(size: int, symbols, dy):
    """The sum of dy ``[*N, H]`` over the places of each symbol, ``[V, H]``: exact products, sums in float32."""
    rows = jax.nn.one_hot(symbols.reshape(-1), size, axis=0)
    flat = dy.reshape(-1, dy.shape[-1])
    return jnp.dot(rows, flat, precision=jax.lax.Precision.HIGHEST), None


_by_product.defvjp(lambda size, table, symbols: (table[symbols], symbols), _backward)
