"""Networks with skip connections as facts: architecture, sizes of maps, cost, description.

How they compute is in `network`. Layers are numbered from 1, 0 is the image. Letters: KH KW kernel height and width.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

from jaxnas.children.cost import Cost

Sides = tuple[int, int]
Kind = Literal["convolution", "max_pool", "average_pool"]


@dataclass(frozen=True)
class SkipLayer:
    """One layer; sides and strides are (height, width).

    Attributes:
        kind: a convolution is followed by batch normalisation (or a bias) and ReLU, a pooling by nothing.
        inputs: the layers it reads, ascending; 0 is the image. They are concatenated in depth; where they differ in
            size, zeros are added below and to the right up to the greatest height and width. A pooling reads one.
        kernel: of the convolution, or the pooling window. A map of size s becomes one of ceil(s / stride).
        stride: of either.
        filters: of a convolution, 0 for a pooling, which keeps the channels it reads.
        norm: whether batch normalisation follows a convolution; without it a bias does.
    """

    kind: Kind
    inputs: tuple[int, ...]
    kernel: Sides
    stride: Sides = (1, 1)
    filters: int = 0
    norm: bool = True


@dataclass(frozen=True)
class Skip:
    """An architecture.

    Attributes:
        layers: from the image upwards.
        learning_rate: the child's own at the start of its training; None: that of the training's settings.
    """

    layers: tuple[SkipLayer, ...]
    learning_rate: float | None = None

    def __post_init__(self):
        if not self.layers:
            raise ValueError("a network needs at least 1 layer")
        for number, layer in enumerate(self.layers, 1):
            if not layer.inputs or list(layer.inputs) != sorted({*layer.inputs} & {*range(number)}):
                raise ValueError(
                    f"layer {number} reads {layer.inputs}: give one or more earlier layers, ascending (0 is the image)"
                )
            if layer.kind not in get_args(Kind):
                raise ValueError(f"layer {number} is a {layer.kind!r}: give one of {', '.join(get_args(Kind))}")
            if (layer.filters > 0) != (layer.kind == "convolution"):
                raise ValueError(f"layer {number} is a {layer.kind} with {layer.filters} filters")
            if layer.kind != "convolution" and len(layer.inputs) > 1:
                raise ValueError(f"layer {number} is a {layer.kind} of {layer.inputs}: a pooling reads one map")

    @cached_property
    def outputs(self) -> tuple[int, ...]:
        """The layers that nobody reads: concatenated, they go into the classifier."""
        read = {j for layer in self.layers for j in layer.inputs}
        return tuple(i for i in range(1, len(self.layers) + 1) if i not in read)


@dataclass(frozen=True)
class MapShape:
    """What a layer meets on images of one shape: the size and channels of what it reads, and of its own map."""

    size_in: Sides
    channels_in: int
    size: Sides
    channels: int


def map_shapes(architecture: Skip, input_shape: tuple[int, int, int]) -> list[MapShape]:
    """Of the image (which reads itself) and of every layer."""
    image = MapShape(input_shape[:2], input_shape[2], input_shape[:2], input_shape[2])
    found = [image]
    for layer in architecture.layers:
        size, channels = concatenated(found, layer.inputs)
        after = tuple(-(-side // stride) for side, stride in zip(size, layer.stride, strict=True))
        found.append(MapShape(size, channels, after, layer.filters or channels))
    return found


def concatenated(found: list[MapShape], numbers: tuple[int, ...]) -> tuple[Sides, int]:
    """Size and channels of some maps, concatenated in depth."""
    size = tuple(max(found[j].size[axis] for j in numbers) for axis in (0, 1))
    return size, sum(found[j].channels for j in numbers)


def layer_costs(architecture: Skip, input_shape: tuple[int, int, int]) -> list[Cost]:
    """Exact cost of each layer; a convolution counts every tap at every output position, a pooling no multiply-adds."""
    costs = []
    for layer, at in zip(architecture.layers, map_shapes(architecture, input_shape)[1:], strict=True):
        cells = at.size[0] * at.size[1]
        weights = layer.kernel[0] * layer.kernel[1] * at.channels_in * layer.filters
        parameters = weights + layer.filters * (2 if layer.norm else 1)
        costs.append(Cost(weights * cells, parameters, 4 * cells * at.channels))
    return costs


def cost(architecture: Skip, input_shape: tuple[int, int, int], classes: int) -> Cost:
    """Exact cost of the unpadded network, its dense layer included."""
    _, features = concatenated(map_shapes(architecture, input_shape), architecture.outputs)
    dense = Cost(features * classes, (features + 1) * classes, 4 * classes)
    return sum(layer_costs(architecture, input_shape), dense)


def describe(architecture: Skip, input_shape: tuple[int, int, int]) -> dict:
    """The network as plain JSON values, with each layer's map (height, width), channels and parameters."""
    rows = zip(
        architecture.layers,
        map_shapes(architecture, input_shape)[1:],
        layer_costs(architecture, input_shape),
        strict=True,
    )
    found = {
        "type": "skip",
        "input": list(input_shape),
        "layers": [
            {
                "type": layer.kind,
                "inputs": list(layer.inputs),
                "kernel": list(layer.kernel),
                "stride": list(layer.stride),
                "channels": at.channels,
                "norm": layer.norm and layer.filters > 0,
                "map": list(at.size),
                "parameters": price.parameters,
            }
            for layer, at, price in rows
        ],
        "outputs": list(architecture.outputs),
    }
    rate = architecture.learning_rate
    return found if rate is None else found | {"learning_rate": rate}
