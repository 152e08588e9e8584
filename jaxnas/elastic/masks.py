"""What cuts padded arrays to their sizes, and draws them."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
from flax import nnx
from flax.typing import Initializer
from jaxtyping import Array

from jaxnas.elastic.size import Size

ZEROS, ONES = nnx.initializers.zeros_init(), nnx.initializers.ones_init()


def trimmed(x: Array, size: Size | None, axis: int = -1) -> Array:
    """``x``, and 0 beyond the size along an axis (None: nothing is cut); what lies there gets no gradient.

    It selects and does not multiply: not even an infinite number that lies beyond comes through.

    Raises:
        ValueError: the axis is not as long as the greatest size.
    """
    if size is None:
        return x
    if x.shape[axis] != size.most:
        raise ValueError(f"{x.shape[axis]} features where {size.name}, of at most {size.most}, are expected")
    shape = [1] * x.ndim
    shape[axis] = size.most
    return jnp.where(size.live.reshape(shape), x, 0)


def within(init: Initializer, sizes: Mapping[int, Size | None], fan: Size | None = None) -> Initializer:
    """Draws a padded array: 0 beyond the sizes, so that neither norms nor decay of weights see the padding.

    Args:
        init: of the array's full shape.
        sizes: by axis.
        fan: what the deviation is to follow as ``1 / sqrt(fan)``, where ``init`` takes its greatest value for it.
    """
    if fan is None and not any(size is not None for size in sizes.values()):
        return init

    def padded(key, shape, dtype):
        drawn = init(key, shape, dtype)
        if fan is not None:
            drawn = drawn * jnp.sqrt(fan.most / jnp.maximum(fan.value, 1)).astype(drawn.dtype)
        for axis, size in sizes.items():
            drawn = trimmed(drawn, size, axis)
        return drawn

    return padded


def refuse(layer: str, stock: Mapping[str, Any], names: tuple[str, ...], why: str, *sizes: Size | None) -> None:
    """Raises ValueError where arguments of the stock layer cannot go with a Size."""
    given = [name for name in names if name in stock]
    if given and any(size is not None for size in sizes):
        raise ValueError(f"{layer}({given[0]}=...) {why}")


def weights(
    layer: str, inputs: Size | None, outputs: Size | None, scale: float, stock: dict[str, Any]
) -> dict[str, Any]:
    """The arguments of a stock layer with ``kernel`` ``[..., I, O]`` and ``bias`` ``[O]``, its initialisers made ours.

    Args:
        layer: its name, for errors.
        inputs: features in.
        outputs: features out.
        scale: variance of the kernel times the number of its inputs.
        stock: what the user gave for the stock layer.

    Raises:
        ValueError: a scale that is not positive, or an initialiser of the kernel that cannot know the size.
    """
    if scale <= 0:
        raise ValueError(f"{layer}(kernel_scale={scale}): it is a variance, give a number above 0")
    why = "cannot know a traced width: give kernel_scale, 1 for lecun_normal and 2 for he_normal"
    refuse(layer, stock, ("kernel_init",), why, inputs, outputs)
    draw = nnx.initializers.variance_scaling(scale, "fan_in", "truncated_normal")
    bias = within(stock.get("bias_init", ZEROS), {-1: outputs})
    return {"kernel_init": within(draw, {-2: inputs, -1: outputs}, inputs), **stock, "bias_init": bias}
