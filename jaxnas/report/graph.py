"""An architecture's JSON values as boxes and the edges between them: what every drawing draws."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Box:
    """A layer; number 0 is the image, the last is the classifier.

    Attributes:
        kind: "image", "convolution", "max_pool", "average_pool" or "classifier".
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
    if kind not in ("chain", "skip"):
        raise ValueError(f"architecture type {kind!r} has no drawing: only 'chain' and 'skip' have one")
    layers = architecture["layers"]
    found = [Box("image", "image", (), tuple(architecture["input"]), None, ())]
    found += [_chained(i, layer) if kind == "chain" else _joined(layer) for i, layer in enumerate(layers, 1)]
    last = architecture.get("outputs", [len(layers)])
    return [*found, Box("classifier", "average over the map, dense", (), None, None, tuple(sorted(last)))]


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
