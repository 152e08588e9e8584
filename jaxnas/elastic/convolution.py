"""Convolutions, and maps as rows.

Letters: B batch, H W height and width of the map, C channels (their greatest number).
"""

from collections.abc import Sequence
from typing import Any

from flax import nnx
from jaxtyping import Array, Shaped

from jaxnas.elastic.derivative import convolve
from jaxnas.elastic.masks import refuse, trimmed, weights
from jaxnas.elastic.size import Size, features, kept


class Conv(nnx.Conv):
    """`nnx.Conv` between numbers of channels that may be traced; its kernel's sides and strides are Python ints.

    On CPU it learns far faster than `nnx.Conv`, see `jaxnas.elastic.convolve`, which the stock layer takes too.

    Args:
        in_features: channels of what is read; what lies beyond a Size is not.
        out_features: channels of what comes out; what lies beyond a Size is 0.
        kernel_size: a side for each axis of the map.
        strides: one for all axes, or one for each.
        padding: as in nnx.
        use_bias: whether a bias is added.
        kernel_scale: variance of the initial kernel times the true number of its inputs (taps times channels): 1 is
            `lecun_normal`, as in nnx.
        rngs: its stream "params" is drawn from.
        **stock: whatever else `nnx.Conv` takes.

    Raises:
        ValueError: a number of channels below 1, a scale that is not positive, or, with a Size, ``kernel_init``,
            ``mask`` or ``feature_group_count``.
    """

    def __init__(
        self,
        in_features: int | Size,
        out_features: int | Size,
        kernel_size: int | Sequence[int],
        strides: int | Sequence[int] = 1,
        padding: Any = "SAME",
        *,
        use_bias: bool = True,
        kernel_scale: float = 1.0,
        rngs: nnx.Rngs,
        **stock: Any,
    ):
        sides = features(in_features, "in_features"), features(out_features, "out_features")
        inputs, outputs = kept(in_features), kept(out_features)
        fixed = ("mask", "feature_group_count")
        refuse(
            "Conv", stock, fixed, "does not go with a traced number of channels: give whole numbers", inputs, outputs
        )
        stock = weights("Conv", inputs, outputs, kernel_scale, stock)
        stock.setdefault("conv_general_dilated", convolve)
        super().__init__(*sides, kernel_size, strides, padding=padding, use_bias=use_bias, rngs=rngs, **stock)
        self.inputs, self.outputs = inputs, outputs

    def __call__(self, inputs: Array, out_sharding: Any = None) -> Array:
        """``[B, H, W, I] -> [B, H', W', O]``, or maps of another number of axes, as the kernel has them."""
        return trimmed(super().__call__(trimmed(inputs, self.inputs), out_sharding), self.outputs)


def flatten(x: Shaped[Array, "B H W C"]) -> Shaped[Array, "B C*H*W"]:
    """Maps as rows, channel after channel.

    Channels come slowest, so that what is live of a padded map leads in its row: ``Linear(channels * (h * w), ...)``
    then cuts the row where the channels end. With channels fastest, as ``x.reshape(len(x), -1)`` has them, live and
    padded numbers would alternate.
    """
    return x.transpose(0, 3, 1, 2).reshape(x.shape[0], -1)
