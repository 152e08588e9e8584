"""NAS-Bench-201's network as anyone would write it with Flax: what the padded one is held against."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from plain import ZEROS

from jaxnas.children.cell201.architecture import Cell
from jaxnas.children.cell201.network import CellChildren

CELLS = {
    "all of it": Cell(("nor_conv_3x3", "avg_pool_3x3", "nor_conv_1x1", "skip_connect", "none", "nor_conv_3x3")),
    "nothing": Cell(("none",) * 6),
    "a dead end": Cell(("nor_conv_1x1", "none", "none", "avg_pool_3x3", "none", "nor_conv_3x3")),
}
NORM = {"momentum": 0.9, "epsilon": 1e-5, "use_fast_variance": False}


def convolution(channels, filters, side, stride=1):
    form = {"padding": ((side // 2,) * 2,) * 2, "use_bias": False, "kernel_init": ZEROS}
    return nnx.Conv(channels, filters, (side, side), (stride, stride), **form, rngs=nnx.Rngs(0))


def norm(filters):
    return nnx.BatchNorm(filters, **NORM, rngs=nnx.Rngs(0))


class PlainEdge(nnx.Module):
    def __init__(self, operation, channels, filters, stride=1):
        self.operation = operation
        if operation.startswith("nor_conv"):
            self.conv, self.norm = convolution(channels, filters, int(operation[-1]), stride), norm(filters)

    def __call__(self, x, training):
        match self.operation:
            case "none":
                return jnp.zeros_like(x)
            case "skip_connect":
                return x
            case "avg_pool_3x3":
                return nnx.avg_pool(x, (3, 3), (1, 1), ((1, 1), (1, 1)), count_include_pad=False)
        return self.norm(self.conv(jax.nn.relu(x)), use_running_average=not training)


class PlainCellNet(nnx.Module):
    """All weights are zero: `load` others."""

    def __init__(self, cell: Cell, children: CellChildren):
        channels, classes = children.channels, children.classes
        self.stem, self.stem_norm = convolution(children.input_shape[2], channels, 3), norm(channels)
        self.cells, self.blocks = nnx.List([]), nnx.List([])
        for stage in range(3):
            wide = channels * 2**stage
            if stage:
                first, second = PlainEdge("nor_conv_3x3", wide // 2, wide, 2), PlainEdge("nor_conv_3x3", wide, wide)
                self.blocks.append(nnx.List([first, second, convolution(wide // 2, wide, 1)]))
            repeated = [nnx.List([PlainEdge(o, wide, wide) for o in cell.operations]) for _ in range(children.cells)]
            self.cells.append(nnx.List(repeated))
        self.norm = norm(4 * channels)
        self.dense = nnx.Linear(4 * channels, classes, kernel_init=ZEROS, rngs=nnx.Rngs(0))

    def __call__(self, x, training=False):
        x = self.stem_norm(self.stem(x), use_running_average=not training)
        for stage, repeated in enumerate(self.cells):
            if stage:
                first, second, shortcut = self.blocks[stage - 1]
                x = second(first(x, training), training) + shortcut(nnx.avg_pool(x, (2, 2), (2, 2)))
            for edges in repeated:
                one = edges[0](x, training)
                two = edges[1](x, training) + edges[2](one, training)
                x = edges[3](x, training) + edges[4](one, training) + edges[5](two, training)
        x = jax.nn.relu(self.norm(x, use_running_average=not training))
        return self.dense(x.mean((1, 2)))

    def parts(self):
        """Convolution and batch normalisation (None: it has none) by name."""
        yield "stem", self.stem, self.stem_norm
        for i, (first, second, shortcut) in enumerate(self.blocks, 1):
            yield f"reduction{i}.1", first.conv, first.norm
            yield f"reduction{i}.2", second.conv, second.norm
            yield f"reduction{i}.shortcut", shortcut, None
        for stage, repeated in enumerate(self.cells):
            for number, edges in enumerate(repeated):
                for e, edge in enumerate(edges):
                    if hasattr(edge, "conv"):
                        yield f"cell{stage}.{number}.{e}", edge.conv, edge.norm


PLAIN = {"scale": "scale", "bias": "bias", "mean": "mean", "variance": "var"}


def numbers(net: PlainCellNet) -> dict[str, np.ndarray]:
    """Parameters and statistics by name."""
    found = {"dense": net.dense.kernel, "dense_bias": net.dense.bias}
    for name, conv, batch_norm in (*net.parts(), ("last", None, net.norm)):
        found |= {f"kernel {name}": conv.kernel} if conv else {}
        found |= {f"{ours} {name}": getattr(batch_norm, theirs) for ours, theirs in PLAIN.items()} if batch_norm else {}
    return {name: np.asarray(value[...]) for name, value in found.items()}


def load(net: PlainCellNet, values: dict[str, np.ndarray]) -> PlainCellNet:
    """The same network with other parameters."""
    net.dense.kernel[...], net.dense.bias[...] = jnp.asarray(values["dense"]), jnp.asarray(values["dense_bias"])
    for name, conv, batch_norm in (*net.parts(), ("last", None, net.norm)):
        if conv:
            assert conv.kernel.shape == values[f"kernel {name}"].shape
            conv.kernel[...] = jnp.asarray(values[f"kernel {name}"])
        if batch_norm:
            batch_norm.scale[...] = jnp.asarray(values[f"scale {name}"])
            batch_norm.bias[...] = jnp.asarray(values[f"bias {name}"])
    return net


def live_numbers(net, cell: Cell) -> dict[str, np.ndarray]:
    """The live part of a padded network's parameters and statistics (or of a tree of the same form, as gradients)."""
    found = {"dense": net.dense, "dense_bias": net.dense_bias}
    found |= {f"{name} last": getattr(net, name) for name in PLAIN}
    named = {"stem": net.stem}
    for i, block in enumerate(net.reductions, 1):
        named |= {f"reduction{i}.1": block.first, f"reduction{i}.2": block.second}
        found[f"kernel reduction{i}.shortcut"] = block.shortcut
    found |= {f"{name} {part}": getattr(layer, name) for part, layer in named.items() for name in ("kernel", *PLAIN)}
    found = {name: np.asarray(value[...]) for name, value in found.items()}
    for stage, layers in enumerate(net.stages):
        for e, layer in zip(layers.numbers, layers.edges, strict=True):
            if not cell.operations[e].startswith("nor_conv"):
                continue
            cut = (layer.kernel.shape[1] - int(cell.operations[e][-1])) // 2
            for number in range(layer.kernel.shape[0]):
                kernel = np.asarray(layer.kernel[...])[number]
                part = f"cell{stage}.{number}.{e}"
                found[f"kernel {part}"] = kernel[cut : len(kernel) - cut, cut : len(kernel) - cut]
                found |= {f"{name} {part}": np.asarray(getattr(layer, name)[...])[number] for name in PLAIN}
    return found


def padding_is_zero(net, cell: Cell) -> bool:
    """Whether everything outside the live part of the parameters is zero."""
    live = live_numbers(net, cell)
    count = lambda arrays: sum(np.count_nonzero(np.asarray(a)) for a in arrays)
    learnt = (value for name, value in live.items() if name.split()[0] not in ("mean", "variance"))
    return count(jax.tree.leaves(nnx.state(net, nnx.Param))) == count(learnt)
