"""Dropout whose rate may be traced."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jaxnas.elastic.size import Extent


class Dropout(nnx.Dropout):
    """`nnx.Dropout` whose rate may be an array, where the stock layer compares it with 0 and so needs a Python number.

    Args:
        rate: probability that a number becomes 0, from 0 to below 1; all others are divided by ``1 - rate``.
        rngs: its stream "dropout" is drawn from.
        **stock: whatever else `nnx.Dropout` takes.

    Raises:
        ValueError: a rate out of range (of one that is traced nobody knows: at 1 all becomes 0).
    """

    def __init__(self, rate: float | Float[Array, ""], *, rngs: nnx.Rngs | nnx.RngStream | None = None, **stock: Any):
        if isinstance(rate, int | float) and not 0 <= rate < 1:
            raise ValueError(f"Dropout(rate={rate}): give the probability that a number becomes 0, from 0 to below 1")
        super().__init__(rate if isinstance(rate, int | float) else Extent(jnp.asarray(rate)), rngs=rngs, **stock)

    def __call__(
        self,
        inputs: Array,
        *,
        deterministic: bool | None = None,
        rngs: nnx.Rngs | nnx.RngStream | jax.Array | None = None,
    ) -> Array:
        """Of the shape of its inputs; see `nnx.Dropout`."""
        if not isinstance(self.rate, Extent):
            return super().__call__(inputs, deterministic=deterministic, rngs=rngs)
        deterministic = self.deterministic if deterministic is None else deterministic
        if deterministic is None:
            raise ValueError("Dropout is not told whether it trains: call train() or eval(), or give deterministic=...")
        if deterministic:
            return inputs
        keep = 1 - self.rate[...]
        shape = [1 if axis in self._shared(inputs.ndim) else side for axis, side in enumerate(inputs.shape)]
        stays = jax.random.bernoulli(self._key(rngs), keep, shape)
        divisor = jnp.maximum(keep, jnp.finfo(keep.dtype).tiny).astype(inputs.dtype)  # or the gradient at 1 is NaN
        return jnp.where(stays, inputs / divisor, 0)

    def _shared(self, axes: int) -> set[int]:
        """The axes along which one draw serves all."""
        return {axis % axes for axis in self.broadcast_dims}

    def _key(self, rngs: nnx.Rngs | nnx.RngStream | jax.Array | None) -> Array:
        """The next key; it is to be used once."""
        source = self.rngs if rngs is None else rngs
        if source is None:
            raise ValueError("Dropout has no source of random numbers: give rngs=... to the layer, or to its call")
        if isinstance(source, nnx.Rngs):
            source = source[self.rng_collection]
        return source() if isinstance(source, nnx.RngStream) else source
