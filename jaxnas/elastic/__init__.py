"""Flax NNX layers whose widths and depths may be traced, so that networks of all widths and depths share one program.

They are the layers of `flax.nnx` under their own names, with the same variables. A number of features is an int, and
the layer the stock one, or a `Size`: arrays then have its greatest value, and all that lies beyond the value is cut
off at every layer, on the way in and on the way out::

    class Net(nnx.Module):
        def __init__(self, inputs, outputs, *, width, depth, dropout, rngs):
            self.first = elastic.Linear(inputs[0], width, rngs=rngs)
            block = lambda: nnx.Sequential(elastic.Linear(width, width, rngs=rngs), nnx.relu)
            self.blocks = nnx.List([elastic.Skippable(block(), i < depth) for i in range(elastic.most(depth))])
            self.dropout = elastic.Dropout(dropout, rngs=rngs)
            self.last = elastic.Linear(width, outputs, rngs=rngs)

        def __call__(self, x):
            x = nnx.relu(self.first(x))
            for block in self.blocks:
                x = block(x)
            return self.last(self.dropout(x))

The padded network computes what the exact one does, with the leading parts of its weights, and learns as it does; its
padding stays 0. What may be left out holds all that goes with it: an activation outside of `Skippable` would be applied
at every depth. Between layers anything may be done that leaves features apart. What mixes them has to be told which are
live (`live`), and padded maps that are joined in depth do not lead any more: add them instead.
"""

from jaxnas.elastic.convolution import Conv, flatten
from jaxnas.elastic.dense import Embed, Linear
from jaxnas.elastic.derivative import convolve
from jaxnas.elastic.dropout import Dropout
from jaxnas.elastic.exact import cut
from jaxnas.elastic.normalisation import BatchNorm, LayerNorm
from jaxnas.elastic.size import Extent, Size, live, most
from jaxnas.elastic.skippable import Skippable

__all__ = [
    "BatchNorm",
    "Conv",
    "Dropout",
    "Embed",
    "Extent",
    "LayerNorm",
    "Linear",
    "Size",
    "Skippable",
    "convolve",
    "cut",
    "flatten",
    "live",
    "most",
]
