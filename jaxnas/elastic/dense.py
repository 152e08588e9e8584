"""Products with a matrix, and rows of one.

Letters: I features in, O features out (the greatest number of each), V symbols, F features.
"""

from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Integer

from jaxnas.elastic.masks import refuse, trimmed, weights, within
from jaxnas.elastic.size import Size, features, kept, most


class Linear(nnx.Linear):
    """`nnx.Linear` between numbers of features that may be traced.

    Args:
        in_features: I; what lies beyond a Size is not read.
        out_features: O; what lies beyond a Size is 0.
        use_bias: whether a bias is added.
        kernel_scale: variance of the initial kernel times the true number of inputs: 1 is `lecun_normal`, as in nnx.
        rngs: its stream "params" is drawn from.
        **stock: whatever else `nnx.Linear` takes.

    Raises:
        ValueError: a number of features below 1, a scale that is not positive, or ``kernel_init`` with a Size.
    """

    def __init__(
        self,
        in_features: int | Size,
        out_features: int | Size,
        *,
        use_bias: bool = True,
        kernel_scale: float = 1.0,
        rngs: nnx.Rngs,
        **stock: Any,
    ):
        sides = features(in_features, "in_features"), features(out_features, "out_features")
        inputs, outputs = kept(in_features), kept(out_features)
        stock = weights("Linear", inputs, outputs, kernel_scale, stock)
        super().__init__(*sides, use_bias=use_bias, rngs=rngs, **stock)
        self.inputs, self.outputs = inputs, outputs

    def __call__(self, inputs: Array, out_sharding: Any = None) -> Array:
        """``[..., I] -> [..., O]``."""
        return trimmed(super().__call__(trimmed(inputs, self.inputs), out_sharding), self.outputs)


class Embed(nnx.Embed):
    """`nnx.Embed` of numbers of symbols and features that may be traced.

    Args:
        num_embeddings: V.
        features: F; what lies beyond a Size is 0.
        rngs: its stream "params" is drawn from.
        **stock: whatever else `nnx.Embed` takes.

    Raises:
        ValueError: a number below 1, or ``embedding_init`` with a Size.
    """

    def __init__(self, num_embeddings: int | Size, features: int | Size, *, rngs: nnx.Rngs, **stock: Any):
        sides = _sides(num_embeddings, features)
        symbols, width = kept(num_embeddings), kept(features)
        why = "cannot know a traced width: leave it out, for a variance of 1 / features"
        refuse("Embed", stock, ("embedding_init",), why, symbols, width)
        draw = nnx.initializers.variance_scaling(1.0, "fan_in", "normal", out_axis=0)  # fan in: features
        stock = {"embedding_init": within(draw, {0: symbols, 1: width}, width), **stock}
        super().__init__(*sides, rngs=rngs, **stock)
        self.symbols, self.width = symbols, width

    def __call__(self, inputs: Integer[Array, "*N"], out_sharding: Any = None) -> Array:
        """The row of each symbol, ``[*N] -> [*N, F]``; as in nnx NaN for symbols from the number of them on."""
        if self.symbols is not None:
            inputs = _row(inputs, self.symbols)
        return trimmed(super().__call__(inputs, out_sharding), self.width)

    def attend(self, query: Array, out_sharding: Any = None) -> Array:
        """Products with all rows, ``[..., F] -> [..., V]``; 0 for symbols beyond a Size."""
        return trimmed(super().attend(trimmed(query, self.width), out_sharding), self.symbols)


def _sides(num_embeddings: int | Size, width: int | Size) -> tuple[int, int]:
    return features(num_embeddings, "num_embeddings"), features(width, "features")


def _row(symbols: Integer[Array, "*N"], number: Size) -> Integer[Array, "*N"]:
    """Where `nnx.Embed` of exactly ``number`` rows would look: negative symbols count from the end, and of one row
    there is no other. What is beyond stays beyond."""
    row = jnp.where(symbols < 0, symbols + number.value, symbols)
    outside = (row < 0) | (row >= number.value)
    return jnp.where(number.value == 1, 0, jnp.where(outside, most(number), row))
