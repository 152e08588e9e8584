"""Normalisation of features whose number may be traced.

Letters: F features (their greatest number).
"""

from typing import Any

from flax import nnx
from jaxtyping import Array

from jaxnas.elastic.masks import ONES, ZEROS, refuse, trimmed, within
from jaxnas.elastic.size import Size, kept
from jaxnas.elastic.size import features as checked


def _affine(stock: dict[str, Any], live: Size | None) -> dict[str, Any]:
    """The arguments of a stock layer, its initialisers of ``scale`` and ``bias`` made ours."""
    init = lambda name, usual: within(stock.get(name, usual), {-1: live})
    return {**stock, "scale_init": init("scale_init", ONES), "bias_init": init("bias_init", ZEROS)}


class BatchNorm(nnx.BatchNorm):
    """`nnx.BatchNorm` of a number of features that may be traced; ``train()`` and ``eval()`` tell it what to use.

    Args:
        features: F, of the last axis; what lies beyond a Size is 0.
        rngs: as in nnx.
        **stock: whatever else `nnx.BatchNorm` takes.

    Raises:
        ValueError: fewer than 1, or ``axis`` with a Size.
    """

    def __init__(self, features: int | Size, *, rngs: nnx.Rngs, **stock: Any):
        number, live = checked(features, "features"), kept(features)
        refuse("BatchNorm", stock, ("axis",), "does not go with a traced width, which is of the last axis", live)
        super().__init__(number, rngs=rngs, **_affine(stock, live))
        self.live = live

    def __call__(self, x: Array, use_running_average: bool | None = None, *, mask: Array | None = None) -> Array:
        """``[..., F] -> [..., F]``; see `nnx.BatchNorm`."""
        return trimmed(super().__call__(trimmed(x, self.live), use_running_average, mask=mask), self.live)


class LayerNorm(nnx.LayerNorm):
    """`nnx.LayerNorm` whose mean and variance are those of live features alone.

    Args:
        features: F, of the last axis; what lies beyond a Size is 0.
        rngs: as in nnx.
        **stock: whatever else `nnx.LayerNorm` takes.

    Raises:
        ValueError: fewer than 1, or ``reduction_axes`` or ``feature_axes`` with a Size.
    """

    def __init__(self, features: int | Size, *, rngs: nnx.Rngs, **stock: Any):
        number, live = checked(features, "features"), kept(features)
        axes = ("reduction_axes", "feature_axes")
        refuse("LayerNorm", stock, axes, "does not go with a traced width, which is of the last axis", live)
        super().__init__(number, rngs=rngs, **_affine(stock, live))
        self.live = live

    def __call__(self, x: Array, *, mask: Array | None = None) -> Array:
        """``[..., F] -> [..., F]``; ``mask`` as in nnx."""
        if self.live is None:
            return super().__call__(x, mask=mask)
        live = self.live.live.reshape((1,) * (x.ndim - 1) + (-1,))
        mask = live if mask is None else mask & live
        return trimmed(super().__call__(trimmed(x, self.live), mask=mask), self.live)
