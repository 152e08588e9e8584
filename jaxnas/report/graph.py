"""An architecture's JSON values as boxes and the edges between them: what every drawing draws."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Box:
    """A layer; number 0 is the image, the last is the classifier.

    Attributes:
        kind: "image", "convolution", "max_pool", "average_pool", "classifier"; of cells also "node", and "block" for
            what is drawn as one box.
        words: what it does, in short, as "conv 3 x 5"; without its filters, which `size` has.
        details: what else it does, as "stride 2 x 1".
        size: height, width and channels of what leaves it; None of the classifier.
        parameters: trainable numbers; None where there can be none, and of the classifier, whose classes are not in the
            JSON values.
        inputs: numbers of the boxes that it reads, ascending.
    """

    kind: str
    words: str
    details: tuple[str, ...]
    size: tuple[int, int, int] | None
    parameters: int | None
    inputs: tuple[int, ...]


def boxes(architecture: dict) -> list[Box]:
    """All boxes from the image upwards; a box's number is its place in the list.

    Raises:
        ValueError: a type of architecture that has no drawing.
    """
    kind = architecture.get("type")
    if kind not in ("chain", "skip", "cell201"):
        raise ValueError(
            f"architecture type {kind!r} has no picture: only 'chain', 'skip', 'cell201' and 'recurrent' have one; "
            "leave --out away and see its values"
        )
    if kind == "cell201":
        return _cells(architecture)
    layers = architecture["layers"]
    found = [Box("image", "image", (), tuple(architecture["input"]), None, ())]
    found += [_chained(i, layer) if kind == "chain" else _joined(layer) for i, layer in enumerate(layers, 1)]
    return [*found, _classifier(architecture.get("outputs", [len(layers)]))]


def _classifier(inputs: Iterable[int]) -> Box:
    return Box("classifier", "average over the map, dense", (), None, None, tuple(sorted(inputs)))


EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
"""Of a cell of NAS-Bench-201, (from, to) node."""
WORDS = {
    "nor_conv_1x1": ("convolution", "conv 1 x 1"),
    "nor_conv_3x3": ("convolution", "conv 3 x 3"),
    "avg_pool_3x3": ("average_pool", "average pool 3 x 3"),
}


def _cells(architecture: dict) -> list[Box]:
    """The first cell edge by edge, those after it as one box a stage."""
    found, count = [Box("image", "image", (), tuple(architecture["input"]), None, ())], architecture["cells"]
    for number, stage in enumerate(architecture["stages"]):
        size, last = tuple(stage["map"]), (len(found) - 1,)
        before = (
            ("block", "residual block", ("stride 2 x 2",)) if number else ("convolution", "conv 3 x 3", ("no ReLU",))
        )
        found.append(Box(*before, size, stage["before"], last))
        rest = count if number else count - 1
        found += [] if number else _cell(architecture["operations"], stage, len(found))
        if rest:
            words = f"{rest} {'such' if number else 'more such'} cell{'s' if rest > 1 else ''}"
            found.append(Box("block", words, (), size, rest * sum(stage["edges"]), (len(found) - 1,)))
    return [*found, _classifier([len(found) - 1])]


def _cell(operations: list[str], stage: dict, first: int) -> list[Box]:
    """The boxes of one cell, numbered from ``first`` on; what enters it is the box before. An identity has no box."""
    found, nodes, size = [], [first - 1], tuple(stage["map"])
    for node in (1, 2, 3):
        summed = []
        for (start, end), operation, parameters in zip(EDGES, operations, stage["edges"], strict=True):
            if end == node and operation == "skip_connect":
                summed.append(nodes[start])
            elif end == node and operation != "none":
                kind, words = WORDS[operation]
                found.append(Box(kind, words, (), size, parameters or None, (nodes[start],)))
                summed.append(first + len(found) - 1)
        words = f"node {node}" + (", the sum" if len(summed) > 1 else "" if summed else ", zeros")
        found.append(Box("node", words, (), size, None, tuple(sorted(summed))))
        nodes.append(first + len(found) - 1)
    return found


def _chained(number: int, layer: dict) -> Box:
    pool = (f"max pool {layer['pool']}",) if layer["pool"] > 1 else ()
    size = *layer["map"], layer["filters"]
    return Box("convolution", _sides("conv", layer), _stride(layer) + pool, size, layer["parameters"], (number - 1,))


def _joined(layer: dict) -> Box:
    name = {"convolution": "conv", "max_pool": "max pool", "average_pool": "average pool"}[layer["type"]]
    conv = layer["type"] == "convolution"
    details = _stride(layer) + (("no norm",) if conv and not layer["norm"] else ())
    size, inputs = (*layer["map"], layer["channels"]), tuple(sorted(layer["inputs"]))
    return Box(layer["type"], _sides(name, layer), details, size, layer["parameters"] if conv else None, inputs)


def _sides(name: str, layer: dict) -> str:
    return f"{name} {layer['kernel'][0]} x {layer['kernel'][1]}"


def _stride(layer: dict) -> tuple[str, ...]:
    return () if layer["stride"] == [1, 1] else (f"stride {layer['stride'][0]} x {layer['stride'][1]}",)
