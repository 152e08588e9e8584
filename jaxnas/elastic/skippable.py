"""A layer that may be left out: how depth is traced."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from jaxtyping import Array, Bool

from jaxnas.elastic.size import Extent


class Skippable(nnx.Module):
    """``layer(x)`` where the layer is present, else ``x``.

    A network of at most ``most(depth)`` equal blocks has its depth from it::

        self.blocks = nnx.List([Skippable(Block(width, rngs=rngs), i < depth) for i in range(most(depth))])

    Run by itself, and child after child, a layer that is left out is not computed; under `jax.vmap` it is, and not
    used. Its parameters get gradients of 0, and what it keeps (statistics, streams of random numbers) stays as it is.

    Args:
        layer: a module, or any function, that keeps shape and type.
        present: a bool, or a bool array ``[]`` that may be traced.
    """

    def __init__(self, layer: Callable, present: bool | Bool[Array, ""]):
        self.layer = layer
        self.present = present if isinstance(present, bool) else Extent(jnp.asarray(present))

    def __call__(self, x: Array, *args: Any, **kwargs: Any) -> Array:
        """Further arguments go to the layer.

        Raises:
            ValueError: the layer gives another shape or type than it is given.
        """
        apply = lambda layer, x: _alike(layer(x, *args, **kwargs), x, layer)
        if isinstance(self.present, bool):
            return apply(self.layer, x) if self.present else x
        if not isinstance(self.layer, nnx.Module):
            return lax.cond(self.present[...], lambda x: apply(self.layer, x), lambda x: x, x)
        graph, parameters, rest = nnx.split(self.layer, nnx.Param, ...)

        def run(x, rest):
            layer = nnx.merge(graph, parameters, rest, copy=True)
            y = apply(layer, x)
            return y, nnx.state(layer, nnx.Not(nnx.Param))

        y, rest = lax.cond(self.present[...], run, lambda x, rest: (x, rest), x, rest)
        nnx.update(self.layer, rest)
        return y


def _alike(y: jax.Array, x: jax.Array, layer: Callable) -> jax.Array:
    if (y.shape, y.dtype) != (x.shape, x.dtype):
        raise ValueError(
            f"Skippable({type(layer).__name__}): {y.dtype}{list(y.shape)} came of {x.dtype}{list(x.shape)}, but only "
            "a layer that keeps shape and type can be left out"
        )
    return y
