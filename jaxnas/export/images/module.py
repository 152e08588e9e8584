"""An architecture as the Python source of an ordinary Flax NNX module, written line by line for this one network."""

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field

from jaxnas.export.images import source
from jaxnas.export.seen import Seen

EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
"""Of a cell of NAS-Bench-201, (from, to) node."""
WIDTH = 116
"""Of a line of the written code, at most."""


@dataclass(frozen=True)
class _Code:
    """What differs from network to network.

    layers: lines of ``__init__``; calls: lines of ``__call__`` from the normalised image to the last map; loads: lines
    of ``load``; pieces: of `source` that they use; images: name of the normalised image; last: that of the last map;
    features: its channels; parameters: of all before the dense layer; count: what there is, in words; more: what the
    pieces say of this network alone.
    """

    layers: list[str]
    calls: list[str]
    loads: list[str]
    pieces: set[str]
    images: str
    last: str
    features: int
    parameters: int
    count: str
    more: dict[str, str] = field(default_factory=dict)


def module(
    architecture: dict, classes: int, seen: Seen, epsilon: float = 1e-5, momentum: float = 0.9, dtype: str = "float32"
) -> str:
    """Source of a module with ``Network`` and ``load``, which needs jax, flax, safetensors and nothing of jaxnas.

    Args:
        architecture: its description, as the ledger has it; type "chain", "skip" or "cell201".
        classes: how many labels there are.
        seen: the images that were trained on, which the module expects.
        epsilon: what batch normalisation adds to the variance.
        momentum: how much of the old running statistics it keeps at a step.
        dtype: of maps and of the factors in convolutions; sums, statistics and logits are float32.

    Raises:
        ValueError: a type of architecture for which there is no writer.
    """
    kind = architecture.get("type")
    if kind not in WRITERS:
        raise ValueError(
            f"architecture type {kind!r} cannot be written as a module: only {' and '.join(WRITERS)} can be exported"
        )
    code = WRITERS[kind](architecture)
    height, width, channels = architecture["input"]
    shape = f"[b, {height}, {width}, {channels}]"
    norm = f"momentum={momentum!r}, epsilon={epsilon!r}"
    used = code.pieces | ({"whitened"} if seen.whiten else set())
    pieces = [text for name, text in source.PIECES.items() if name in used]
    text = "\n\n\n".join([source.HEAD, *pieces, source.NETWORK, source.LOAD]) + "\n"
    changes = (
        code.more
        | _expected(seen, architecture["input"], dtype)
        | {
            "@LAYERS@": _indent(code.layers, 8),
            "@CALLS@": _indent(code.calls, 8),
            "@LOADS@": _indent(code.loads, 4),
            "@IMAGES@": code.images,
            "@LAST@": code.last,
            "@SHAPE@": shape,
            "@CHANNELS@": str(channels),
            "@CLASSES@": str(classes),
            "@FEATURES@": str(code.features),
            "@NORM@": norm,
            "@COUNT@": code.count,
            "@PARAMETERS@": f"{code.parameters + (code.features + 1) * classes:,}",
        }
        | _of_type(dtype)
    )
    for mark, value in changes.items():
        text = text.replace(mark, value)
    text = text.replace("@NAMES@", _names(seen.class_names))  # last: a name may be anything
    return re.sub("(?m)^ +\n", "", text)  # a network of pooling layers alone has nothing to make and to load


def _of_type(dtype: str) -> dict[str, str]:
    """Where a network rounds to another type than float32."""
    if dtype == "float32":
        return {"@FACTORS@": "", "@ROUNDED@": "", "@EXACT@": "", "@MEAN@": "(1, 2)"}
    rounded = f".astype(jnp.{dtype})"
    found = {"@FACTORS@": f'form |= {{"dtype": jnp.{dtype}}}', "@ROUNDED@": rounded, "@EXACT@": ".astype(jnp.float32)"}
    return found | {"@MEAN@": "(1, 2), dtype=jnp.float32"}


def _expected(seen: Seen, sizes: Sequence[int], dtype: str) -> dict[str, str]:
    """What the module says of images."""
    sides = ", ".join(map(str, sizes))
    marks = {"@SIZES@": f"({sides})", "@COMMAS@": sides}
    normalised = "whitened(images)" if seen.whiten else "(images - self.mean[...]) / self.std[...]"
    marks["@NORMALISED@"] = normalised if dtype == "float32" else f"({normalised})@ROUNDED@"
    marks |= {"@LOWEST@": seen.lowest, "@GREATEST@": seen.greatest, "@MOST@": seen.most, "@SCALED@": seen.scaled}
    return {mark: str(value) for mark, value in marks.items()} | {"@RANGE@": seen.range, "@DTYPE@": seen.dtype}


def _chain(architecture: dict) -> _Code:
    (height, width, channels), layers, calls = architecture["input"], [], []
    for i, layer in enumerate(architecture["layers"], 1):
        height, width = (-(-side // s) for side, s in zip((height, width), layer["stride"], strict=True))
        layers.append(_layer(i, "Convolution", channels, layer["filters"], layer, (height, width), layer["parameters"]))
        calls.append(f"x = self.layer{i}(x)")
        pool, channels = layer["pool"], layer["filters"]
        if pool > 1:
            beyond = (0, -height % pool), (0, -width % pool)
            padding = f", padding={beyond}" if any(after for _, after in beyond) else ""
            height, width = -(-height // pool), -(-width // pool)
            calls.append(f"x = nnx.max_pool(x, ({pool}, {pool}), ({pool}, {pool}){padding})  # {height} x {width}")
    loads = [_load(i) for i in range(1, len(layers) + 1)]
    return _Code(layers, calls, loads, {"around", "Convolution"}, "x", "x", channels, *_totals(architecture))


def _skip(architecture: dict) -> _Code:
    depths = [architecture["input"][2], *(layer["channels"] for layer in architecture["layers"])]
    layers, calls, loads, pieces = [], [], [], {"around"}
    for i, layer in enumerate(architecture["layers"], 1):
        entering = _joined(layer["inputs"])
        pieces |= {"join"} if len(layer["inputs"]) > 1 else set()
        if layer["type"] == "convolution":
            name = "Convolution" if layer["norm"] else "PlainConvolution"
            channels = sum(depths[j] for j in layer["inputs"])
            layers.append(_layer(i, name, channels, depths[i], layer, layer["map"], layer["parameters"]))
            loads.append(_load(i))
            calls.append(_fitting(f"x{i} = self.layer{i}({entering})"))
        else:
            name = layer["type"]
            sides = f"{tuple(layer['kernel'])}, {tuple(layer['stride'])}"
            size = " x ".join(map(str, (*layer["map"], depths[i])))
            calls.append(_fitting(f"x{i} = {name}({entering}, {sides})", f"  # {size}"))
        pieces.add(name)
    outputs = architecture["outputs"]
    pieces |= {"join"} if len(outputs) > 1 else set()
    last = f"x{outputs[0]}" if len(outputs) == 1 else "x"
    calls += [] if len(outputs) == 1 else [_fitting(f"x = {_joined(outputs)}")]
    features = sum(depths[j] for j in outputs)
    return _Code(layers, calls, loads, pieces, "x0", last, features, *_totals(architecture))


def _totals(architecture: dict) -> tuple[int, str]:
    """Parameters of the layers, and how many there are, in words."""
    layers = architecture["layers"]
    return sum(layer["parameters"] for layer in layers), f"{len(layers)} layers"


def _load(number: int) -> str:
    return f'network.layer{number}.load(weights, "layers.{number}")'


def _cell201(architecture: dict) -> _Code:
    stages, count = architecture["stages"], architecture["cells"]
    (_, _, channels), layers, calls, loads = stages[0]["map"], [], [], ['network.stem.load(weights, "stem")']
    layers.append(
        f"self.stem = Stem({architecture['input'][2]}, {channels}, rngs)  # {stages[0]['before']:,} parameters"
    )
    calls.append("x = self.stem(x)")
    for number, stage in enumerate(stages, 1):
        (*size, filters), before = stage["map"], stage["before"]
        if number > 1:
            size = " x ".join(map(str, stage["map"]))
            layers.append(f"self.block{number} = Block({channels}, {filters}, rngs)  # {size}, {before:,} parameters")
            calls.append(f"x = self.block{number}(x)")
            loads.append(f'network.block{number}.load(weights, "block{number}")')
        own = f"{sum(stage['edges']):,} parameters each"
        layers.append(f"self.stage{number} = nnx.List([Cell({filters}, rngs) for _ in range({count})])  # {own}")
        calls += [f"for cell in self.stage{number}:", "    x = cell(x)"]
        loads.append(f"for number, cell in enumerate(network.stage{number}, 1):")
        loads.append(f'    cell.load(weights, f"stage{number}.cell{{number}}")')
        channels = filters
    layers.append(f"self.norm = norm({channels}, rngs)")
    calls.append("x = nnx.relu(self.norm(x))@ROUNDED@")
    loads.append('load_norm(self.norm, weights, "norm")'.replace("self", "network"))
    parameters = sum(stage["before"] + count * sum(stage["edges"]) for stage in stages) + 2 * channels
    words, more = f"{count * len(stages)} cells of NAS-Bench-201", _cell_code(architecture)
    pieces = {"norm", "Stem", "ReluConvNorm", "Block", "Cell"}
    pieces |= {"average"} if "avg_pool_3x3" in architecture["operations"] else set()
    return _Code(layers, calls, loads, pieces, "x", "x", channels, parameters, words, more)


def _cell_code(architecture: dict) -> dict[str, str]:
    """The lines of the class of this cell."""
    layers, nodes, loads = [], {1: [], 2: [], 3: []}, []
    for (start, end), operation in zip(EDGES, architecture["operations"], strict=True):
        name = f"edge{start}{end}"
        if operation.startswith("nor_conv"):
            layers.append(f"self.{name} = ReluConvNorm(channels, channels, {operation[-1]}, rngs)")
            loads.append(f'self.{name}.load(weights, f"{{name}}.{name}")')
        calls = {"skip_connect": f"node{start}", "avg_pool_3x3": f"average(node{start})", "none": None}
        nodes[end].append(calls.get(operation, f"self.{name}(node{start})"))
    sums = {node: [call for call in calls if call] for node, calls in nodes.items()}
    lines = [f"node{node} = {' + '.join(calls) or 'jnp.zeros_like(node0)'}" for node, calls in sums.items()]
    nothing = ["pass  # it has no weights"]
    return {
        "@ARCH@": architecture["arch"],
        "@EDGES@": _indent(layers or nothing, 8),
        "@NODES@": _indent(lines, 8),
        "@EDGE_LOADS@": _indent(loads or nothing, 8),
    }


def _layer(number: int, name: str, channels: int, filters: int, layer: dict, size: Sequence[int], count: int) -> str:
    """The line that makes one layer with weights, and says what comes of it."""
    sides = f"{tuple(layer['kernel'])}, {tuple(layer['stride'])}"
    comment = f"{size[0]} x {size[1]} x {filters}, {count:,} parameters"
    return f"self.layer{number} = {name}({channels}, {filters}, {sides}, rngs)  # {comment}"


def _joined(inputs: Sequence[int]) -> str:
    names = ", ".join(f"x{j}" for j in sorted(inputs))
    return names if len(inputs) == 1 else f"join({names})"


def _names(names: Sequence[str]) -> str:
    """The tuple of them, as many in a line as fit in; None where there are none."""
    if not names:
        return "None  # the labels are numbers"
    lines = [""]
    for name in names:
        if len(lines[-1]) + len(repr(name)) + 2 > WIDTH and lines[-1]:
            lines.append("")
        lines[-1] += f"{repr(name)}, "
    return "\n".join(["(", *(f"    {line.rstrip()}" for line in lines), ")"])


def _fitting(line: str, comment: str = "") -> str:
    """The line, broken at its commas where it is too long; the comment behind it where there is room."""
    if len(line) + 8 > WIDTH:
        return textwrap.fill(line, WIDTH - 8, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False)
    return line + comment if len(line + comment) + 8 <= WIDTH else line


def _indent(lines: list[str], by: int) -> str:
    return textwrap.indent("\n".join(lines), " " * by).lstrip()


WRITERS = {"chain": _chain, "skip": _skip, "cell201": _cell201}
