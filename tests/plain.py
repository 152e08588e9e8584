"""Chains to test with, and as anyone would write them with Flax: what the padded network is held against."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from jaxnas.children.chain.architecture import Chain, ConvLayer
from jaxnas.spaces import ChainCNN

SIDES = ((1, 1), (3, 3), (5, 5), (1, 5), (5, 1), (2, 4), (4, 2))
CHAINS = {
    "flat kernels": Chain((ConvLayer((1, 5), 4), ConvLayer((3, 3), 6, pool=2), ConvLayer((5, 1), 4))),
    "shallow": Chain((ConvLayer((1, 1), 6), ConvLayer((1, 1), 4, pool=2))),
    "even kernels": Chain((ConvLayer((2, 4), 4), ConvLayer((4, 2), 6, pool=2), ConvLayer((2, 4), 6))),
    "equal layers": Chain((ConvLayer((1, 1), 6), ConvLayer((3, 3), 6, pool=2), *[ConvLayer((3, 3), 6)] * 2)),
    "strides": Chain(
        (ConvLayer((3, 3), 4, (2, 1)), ConvLayer((5, 5), 6, (1, 2), pool=2), ConvLayer((3, 3), 4, (3, 2)))
    ),
    "kernels beyond the map": Chain((ConvLayer((5, 5), 6), ConvLayer((3, 3), 4, (3, 3), pool=2), ConvLayer((5, 5), 6))),
}
SPACE = ChainCNN(
    layers=4, depths=(2, 3, 4), kernel_heights=(1, 2, 3, 4, 5), kernel_widths=(1, 2, 3, 4, 5), filters=(4, 6),
    stride_heights=(1, 2, 3), stride_widths=(1, 2, 3), pool_after=(2,),
)  # fmt: skip
jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
"""For programs that run a few times only: these compile a quarter faster."""
ZEROS = nnx.initializers.zeros_init()


def around(side):
    return (side - 1) // 2, side // 2


class PlainChain(nnx.Module):
    """All weights are zero: `load` others."""

    def __init__(self, chain: Chain, channels: int, classes: int):
        rngs, self.chain = nnx.Rngs(0), chain
        self.convs, self.norms = nnx.List([]), nnx.List([])
        for layer in chain.layers:
            padding = tuple(around(side) for side in layer.kernel)
            conv = {"strides": layer.stride, "padding": padding, "use_bias": False, "kernel_init": ZEROS}
            self.convs.append(nnx.Conv(channels, layer.filters, layer.kernel, **conv, rngs=rngs))
            norm = {"momentum": 0.9, "epsilon": 1e-5, "use_fast_variance": False}
            self.norms.append(nnx.BatchNorm(layer.filters, **norm, rngs=rngs))
            channels = layer.filters
        self.dense = nnx.Linear(channels, classes, kernel_init=ZEROS, rngs=rngs)

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
    places = [(stage, r) for stage in net.parts for r in range(stage.kernel.shape[0])]
    for i, (layer, (stage, r)) in enumerate(zip(chain.layers, places, strict=False)):
        starts = [around(stage.kernel.shape[1 + a])[0] - around(layer.kernel[a])[0] for a in (0, 1)]
        rows, columns = (slice(starts[a], starts[a] + layer.kernel[a]) for a in (0, 1))
        found[f"kernel {i}"] = stage.kernel[...][r, rows, columns, :channels, : layer.filters]
        for name in ("scale", "bias", "mean", "variance"):
            found[f"{name} {i}"] = getattr(stage, name)[...][r, : layer.filters]
        channels = layer.filters
    return {name: np.asarray(value) for name, value in found.items()}


def padding_is_zero(net, chain: Chain) -> bool:
    """Whether everything outside the live part of the parameters is zero."""
    live = live_numbers(net, chain, net.parts[0].kernel.shape[3])
    parameters = jax.tree.leaves(nnx.state(net, nnx.Param))
    count = lambda arrays: sum(np.count_nonzero(np.asarray(a)) for a in arrays)
    return count(parameters) == count(v for n, v in live.items() if n.split()[0] not in ("mean", "variance"))


def products(jaxpr) -> int:
    """Multiply-adds of all convolutions and matrix products in a program."""
    total = 0
    for eqn in jaxpr.eqns:
        turns = eqn.params["length"] if eqn.primitive.name == "scan" else 1
        out = eqn.outvars[0].aval
        if eqn.primitive.name == "conv_general_dilated":
            total += out.size * int(np.prod(eqn.invars[1].aval.shape[:3]))
        if eqn.primitive.name == "dot_general":
            total += out.size * eqn.invars[0].aval.shape[-1]
        for inner in jax.tree.leaves(eqn.params, is_leaf=lambda p: hasattr(p, "eqns") or hasattr(p, "jaxpr")):
            inner = getattr(inner, "jaxpr", inner)
            total += turns * products(inner) if hasattr(inner, "eqns") else 0
    return total
