"""Architectures as text, from the JSON values of the ledger."""

from jaxnas.report.cells import draw_cell, draw_standard, short, short_standard
from jaxnas.report.graph import Box, boxes
from jaxnas.report.lanes import draw_lanes
from jaxnas.report.values import draw_values, short_values

BAR = 24
SHORT = {"convolution": "", "max_pool": "max", "average_pool": "avg"}


def draw(architecture: dict) -> str:
    """The network from the image downwards, a line a layer: kernel, map, parameters; of a chain also a bar for the
    filters, of a network with skips or cells lanes for what is read further down; of a recurrent cell its formulas;
    of a table's row its text alone; of values, and of any other type, what they are by name. Settings of its training
    that a child has decided stand below.
    """
    if _type(architecture) not in DRAWINGS:
        return draw_values(architecture)
    own = {"training": architecture["training"]} if "training" in architecture else {}
    return "\n\n".join([DRAWINGS[_type(architecture)](architecture), *([draw_values(own)] if own else [])])


def pretty(architecture: dict) -> str:
    """One line: "5x3:24 3x3:16/2 ..." is kernel height x width : filters, pooling after a slash; "s2x1" are strides.

    Of networks with skips: "max3x3" and "avg3x3" are pooling layers, "<0,2" says which layers are read (0 is the image)
    where that is not just the one before, "-" that there is no batch normalisation, ">3,5" what the classifier reads,
    "@0.05" the child's own learning rate. Cells of NAS-Bench-201 have the benchmark's string, a table's rows its text.

    Of recurrent cells, as "+tanh *relu | *sig c+relu>0 1>c": each node by tree index, its combination (+ add,
    * multiply, ^ max) and its activation ("id" is identity, "sig" sigmoid), bars between the levels of the tree; the
    memory c enters node 0 by + and relu, and node 1 before its activation is the new memory. "LSTM, 2 of 64" has 2
    layers of 64. Of a multilayer perceptron "64-32 relu, dropout 0.1": the widths of its hidden layers. Any other type
    has its values by name.
    """
    if _type(architecture) not in SHORTS:
        return short_values(architecture)
    own = architecture.get("training") or {}
    return " ".join([SHORTS[_type(architecture)](architecture), *([short_values(own)] if own else [])])


def _type(architecture: dict) -> str | None:
    """What it calls itself; None: nothing, or something that is no name."""
    kind = architecture.get("type")
    return kind if isinstance(kind, str) else None


def _chain(architecture: dict) -> str:
    image, *layers, last = boxes(architecture)
    widest = max(box.size[2] for box in layers)
    lines = [f"     {image.words:<30}{_size(image):>14}"]
    for number, box in enumerate(layers, 1):
        bar, words = "█" * max(1, round(BAR * box.size[2] / widest)), ", ".join((box.words, *box.details))
        lines += ["       │", f"{number:>3}  {words:<30}{_size(box):>14}{box.parameters:>11,}  {bar}"]
    lines += ["       │", f"     {last.words:<30}"]
    return "\n".join(lines)


def _skip(architecture: dict) -> str:
    rate = f"\n\nlearning rate {architecture['learning_rate']}" if "learning_rate" in architecture else ""
    return draw_lanes(boxes(architecture)) + rate


def _cell201(architecture: dict) -> str:
    return f"{draw_lanes(boxes(architecture))}\n\n{architecture['arch']}"


def _values(architecture: dict) -> str:
    return draw_values(architecture["values"])


def _short_values(architecture: dict) -> str:
    return short_values(architecture["values"])


def _short_mlp(architecture: dict) -> str:
    dropout = f", dropout {architecture['dropout']:g}" if architecture["dropout"] else ""
    return f"{'-'.join(map(str, architecture['widths']))} {architecture['activation']}{dropout}"


def _arch(architecture: dict) -> str:
    return architecture["arch"]


def _short_chain(architecture: dict) -> str:
    return " ".join(_short(layer) for layer in architecture["layers"])


def _short_skips(architecture: dict) -> str:
    layers = architecture["layers"]
    words = [_short_skip(number, layer) for number, layer in enumerate(layers, 1)]
    rate = [f"@{architecture['learning_rate']}"] if "learning_rate" in architecture else []
    return " ".join(words + _reads(">", architecture["outputs"], len(layers) + 1) + rate)


def _short(layer: dict) -> str:
    pool = f"/{layer['pool']}" if layer["pool"] > 1 else ""
    return f"{layer['kernel'][0]}x{layer['kernel'][1]}:{layer['filters']}{_stride(layer)}{pool}"


def _short_skip(number: int, layer: dict) -> str:
    sides = f"{SHORT[layer['type']]}{layer['kernel'][0]}x{layer['kernel'][1]}"
    conv = layer["type"] == "convolution"
    filters = f":{layer['channels']}" if conv else ""
    plain = "-" if conv and not layer["norm"] else ""
    return "".join([sides, filters, _stride(layer), plain, *_reads("<", layer["inputs"], number)])


def _reads(mark: str, inputs: list[int], number: int) -> list[str]:
    """What layer ``number`` reads, in a list of one, or nothing where that is just the layer before."""
    return [] if list(inputs) == [number - 1] else [mark + ",".join(map(str, sorted(inputs)))]


def _stride(layer: dict) -> str:
    return "" if layer["stride"] == [1, 1] else f"s{layer['stride'][0]}x{layer['stride'][1]}"


def _size(box: Box) -> str:
    return " x ".join(map(str, box.size))


DRAWINGS = {
    "chain": _chain,
    "skip": _skip,
    "cell201": _cell201,
    "table": _arch,
    "recurrent": draw_cell,
    "standard": draw_standard,
    "values": _values,
}
SHORTS = {
    "chain": _short_chain,
    "skip": _short_skips,
    "cell201": _arch,
    "table": _arch,
    "recurrent": short,
    "standard": short_standard,
    "values": _short_values,
    "mlp": _short_mlp,
}
