"""Chains as anyone would write them with Flax: the independent network that the padded one is held against."""

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxnas.children.chain import Chain


def around(side):
    return (side - 1) // 2, side // 2


class PlainChain(nnx.Module):
    def __init__(self, chain: Chain, channels: int, classes: int):
        rngs, self.chain = nnx.Rngs(0), chain
        self.convs, self.norms = nnx.List([]), nnx.List([])
        for layer in chain.layers:
            padding = tuple(around(side) for side in layer.kernel)
            conv = {"strides": layer.stride, "padding": padding, "use_bias": False}
            self.convs.append(nnx.Conv(channels, layer.filters, layer.kernel, **conv, rngs=rngs))
            norm = {"momentum": 0.9, "epsilon": 1e-5, "use_fast_variance": False}
            self.norms.append(nnx.BatchNorm(layer.filters, **norm, rngs=rngs))
            channels = layer.filters
        self.dense = nnx.Linear(channels, classes, rngs=rngs)

    def __call__(self, x, training=False):
        for layer, conv, norm in zip(self.chain.layers, self.convs, self.norms, strict=True):
            x = jax.nn.relu(norm(conv(x), use_running_average=not training))
            if layer.pool > 1:
                side = (layer.pool, layer.pool)
                x = nnx.max_pool(x, side, side, "SAME")
        return self.dense(x.mean((1, 2)))


def numbers(net: PlainChain) -> dict[str, np.ndarray]:
    """Parameters and statistics by name."""
    found = {"dense": net.dense.kernel[...], "dense_bias": net.dense.bias[...]}
    for i, (conv, norm) in enumerate(zip(net.convs, net.norms, strict=True)):
        found |= {f"kernel {i}": conv.kernel[...], f"scale {i}": norm.scale[...], f"bias {i}": norm.bias[...]}
        found |= {f"mean {i}": norm.mean[...], f"variance {i}": norm.var[...]}
    return {name: np.asarray(value) for name, value in found.items()}


def load(net: PlainChain, values: dict[str, np.ndarray]) -> PlainChain:
    """The same network with other parameters."""
    net.dense.kernel[...], net.dense.bias[...] = jnp.asarray(values["dense"]), jnp.asarray(values["dense_bias"])
    for i, (conv, norm) in enumerate(zip(net.convs, net.norms, strict=True)):
        assert conv.kernel.shape == values[f"kernel {i}"].shape
        conv.kernel[...] = jnp.asarray(values[f"kernel {i}"])
        norm.scale[...], norm.bias[...] = jnp.asarray(values[f"scale {i}"]), jnp.asarray(values[f"bias {i}"])
    return net


def live_numbers(net, chain: Chain, channels: int) -> dict[str, np.ndarray]:
    """The live part of a padded network's parameters and statistics (or of a tree of the same form, as gradients)."""
    features = chain.layers[-1].filters
    found = {"dense": net.dense[...][:features], "dense_bias": net.dense_bias[...]}
    for i, (layer, block) in enumerate(zip(chain.layers, net.blocks, strict=False)):
        starts = [(block.kernel.shape[axis] - 1) // 2 - (layer.kernel[axis] - 1) // 2 for axis in (0, 1)]
        rows, columns = (slice(starts[a], starts[a] + layer.kernel[a]) for a in (0, 1))
        found[f"kernel {i}"] = block.kernel[...][rows, columns, :channels, : layer.filters]
        for name in ("scale", "bias", "mean", "variance"):
            if hasattr(block, name):
                found[f"{name} {i}"] = getattr(block, name)[...][: layer.filters]
        channels = layer.filters
    return {name: np.asarray(value) for name, value in found.items()}


def padding_is_zero(net, chain: Chain) -> bool:
    """Whether everything outside the live part of the parameters is zero."""
    live = live_numbers(net, chain, net.blocks[0].kernel.shape[2])
    parameters = jax.tree.leaves(nnx.state(net, nnx.Param))
    count = lambda arrays: sum(np.count_nonzero(np.asarray(a)) for a in arrays)
    return count(parameters) == count(v for n, v in live.items() if n.split()[0] not in ("mean", "variance"))
