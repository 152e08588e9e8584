"""Networks with skip connections as anyone would write them with Flax: what the tiles are held against."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from plain import around

from jaxnas.children.skip.architecture import Skip, SkipLayer, map_shapes

NORM = {"momentum": 0.9, "epsilon": 1e-5, "use_fast_variance": False}
conv = lambda inputs, kernel, filters, stride=(1, 1), norm=True: SkipLayer(
    "convolution", inputs, kernel, stride, filters, norm
)
NETWORKS = {
    "dense skips, loose ends": Skip(
        (conv((0,), (3, 3), 4), conv((0, 1), (3, 1), 6), conv((0, 1, 2), (1, 3), 6), conv((1,), (5, 1), 6))
    ),
    "strides": Skip(
        (conv((0,), (3, 3), 4, (1, 2)), conv((1,), (5, 3), 6, (3, 2)), conv((0, 1, 2), (3, 5), 6, (2, 3)))
    ),
    "stride beyond the kernel": Skip((conv((0,), (1, 1), 4, (3, 2)), conv((0, 1), (3, 1), 6, (2, 3)))),
    "poolings": Skip(
        (
            conv((0,), (3, 3), 6),
            SkipLayer("max_pool", (1,), (3, 3), (2, 2)),
            SkipLayer("average_pool", (1,), (5, 3), (1, 2)),
            conv((1, 2, 3), (3, 3), 4),
            SkipLayer("max_pool", (3,), (1, 5)),
        )
    ),
    "image pooled": Skip(
        (SkipLayer("average_pool", (0,), (3, 3), (2, 1)), SkipLayer("max_pool", (0,), (3, 5), (3, 3)))
    ),
    "no norm": Skip(
        (conv((0,), (3, 3), 6, norm=False), conv((0, 1), (3, 3), 4, (2, 2)), conv((1, 2), (1, 3), 6, norm=False))
    ),
}  # fmt: skip


def concatenate(maps):
    """In depth, zeros below and to the right up to the greatest size."""
    size = [max(m.shape[axis] for m in maps) for axis in (1, 2)]
    grown = [jnp.pad(m, ((0, 0), (0, size[0] - m.shape[1]), (0, size[1] - m.shape[2]), (0, 0))) for m in maps]
    return jnp.concatenate(grown, -1)


def pool(x, layer: SkipLayer):
    padding = [around(side) for side in layer.kernel]
    if layer.kind == "max_pool":
        return nnx.max_pool(x, layer.kernel, layer.stride, padding)
    return nnx.avg_pool(x, layer.kernel, layer.stride, padding, count_include_pad=False)


class PlainSkip(nnx.Module):
    """All weights are zero: `load` others."""

    def __init__(self, architecture: Skip, input_shape, classes: int):
        rngs, zeros, self.architecture = nnx.Rngs(0), nnx.initializers.zeros_init(), architecture
        at = map_shapes(architecture, input_shape)
        self.convs, self.norms = nnx.Dict({}), nnx.Dict({})
        for i, (layer, place) in enumerate(zip(architecture.layers, at[1:], strict=True)):
            if layer.kind == "convolution":
                padding = tuple(around(side) for side in layer.kernel)
                own = {"strides": layer.stride, "padding": padding, "use_bias": not layer.norm, "kernel_init": zeros}
                self.convs[f"c{i}"] = nnx.Conv(place.channels_in, layer.filters, layer.kernel, **own, rngs=rngs)
                if layer.norm:
                    self.norms[f"c{i}"] = nnx.BatchNorm(layer.filters, **NORM, rngs=rngs)
        features = sum(at[i].channels for i in architecture.outputs)
        self.dense = nnx.Linear(features, classes, kernel_init=zeros, rngs=rngs)

    def __call__(self, x, training=False):
        maps = [x]
        for i, layer in enumerate(self.architecture.layers):
            read = concatenate([maps[j] for j in layer.inputs])
            if layer.kind == "convolution":
                y = self.convs[f"c{i}"](read)
                y = self.norms[f"c{i}"](y, use_running_average=not training) if layer.norm else y
                maps.append(jax.nn.relu(y))
            else:
                maps.append(pool(read, layer))
        return self.dense(concatenate([maps[i] for i in self.architecture.outputs]).mean((1, 2)))


def numbers(net: PlainSkip) -> dict[str, np.ndarray]:
    """Parameters and statistics by name."""
    found = {"dense": net.dense.kernel[...], "dense_bias": net.dense.bias[...]}
    for name, one in net.convs.items():
        found[f"kernel {name}"] = one.kernel[...]
        if name in net.norms:
            norm = net.norms[name]
            found |= {f"scale {name}": norm.scale[...], f"bias {name}": norm.bias[...]}
            found |= {f"mean {name}": norm.mean[...], f"variance {name}": norm.var[...]}
        else:
            found[f"bias {name}"] = one.bias[...]
    return {name: np.asarray(value) for name, value in found.items()}


def load(net: PlainSkip, values: dict[str, np.ndarray]) -> PlainSkip:
    """The same network with other parameters."""
    net.dense.kernel[...], net.dense.bias[...] = jnp.asarray(values["dense"]), jnp.asarray(values["dense_bias"])
    for name, one in net.convs.items():
        assert one.kernel.shape == values[f"kernel {name}"].shape
        one.kernel[...] = jnp.asarray(values[f"kernel {name}"])
        target = net.norms.get(name, one)
        target.bias[...] = jnp.asarray(values[f"bias {name}"])
        if name in net.norms:
            target.scale[...] = jnp.asarray(values[f"scale {name}"])
    return net


def live_numbers(net, architecture: Skip, genes, input_shape) -> dict[str, np.ndarray]:
    """The live part of a padded network's parameters and statistics (or of a tree of the same form, as gradients)."""
    at = map_shapes(architecture, input_shape)
    dense = np.asarray(net.dense[...])
    found = {"dense": np.concatenate([dense[i - 1, : at[i].channels] for i in architecture.outputs])}
    found["dense_bias"] = np.asarray(net.dense_bias[...])
    blocks = np.asarray(net.blocks[...])
    for i, layer in enumerate(architecture.layers):
        if layer.kind != "convolution":
            continue
        kernel, begin = np.zeros((*layer.kernel, at[i + 1].channels_in, layer.filters), np.float32), {}
        for j in layer.inputs:
            begin[j] = sum(at[k].channels for k in layer.inputs if k < j)
        mine = (genes.blocks.layer == i) & (genes.blocks.live[:, 1] > 0)
        for n in np.flatnonzero(mine):
            j, offset = int(genes.blocks.source[n]), genes.blocks.offset[n]
            row, column = (int(offset[k]) + around(layer.kernel[k])[0] for k in (0, 1))
            channels = at[j].channels
            kernel[row, column, begin[j] : begin[j] + channels] = blocks[n, :channels, : layer.filters]
        found[f"kernel c{i}"] = kernel
        names = ("scale", "bias", "mean", "variance") if layer.norm else ("bias",)
        found |= {f"{name} c{i}": np.asarray(getattr(net, name)[...])[i, : layer.filters] for name in names}
    return found


def padding_is_zero(net, live: dict[str, np.ndarray]) -> bool:
    """Whether everything outside the live part of the parameters is zero."""
    parameters = jax.tree.leaves(nnx.state(net, nnx.Param))
    count = lambda arrays: sum(np.count_nonzero(np.asarray(a)) for a in arrays)
    return count(parameters) == count(v for n, v in live.items() if n.split()[0] not in ("mean", "variance"))
