"""The parts of a written module that are the same in every network; what differs stands between two "@"."""

HEAD = '''"""A convolutional network of @COUNT@ and @PARAMETERS@ parameters, found by jaxnas, which it does not need.

    from network import load

    network = load()          # reads weights.safetensors, which lies beside this file
    logits = network(images)  # float32 @SHAPE@, values @RANGE@ -> [b, @CLASSES@]
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from safetensors.flax import load_file

WEIGHTS = Path(__file__).with_name("weights.safetensors")
SHAPE = @SIZES@  # height, width and channels of an image
LOWEST, GREATEST = @LOWEST@, @GREATEST@  # below the first lies no such @DTYPE@ image; the second was learnt from
CLASS_NAMES = @NAMES@


def check(images):
    """Raises ValueError unless these are images as this network has learnt from. What JAX traces has no values yet:
    there the shape alone is looked at.
    """
    shape, expected = tuple(np.shape(images)), f"expected [b, @COMMAS@], values @RANGE@"
    if len(shape) != 4 or shape[1:] != SHAPE:
        turned = len(shape) == 4 and shape[2:] + shape[1:2] == SHAPE
        hint = "images.transpose(0, 2, 3, 1) puts the channels last" if turned else ""
        hint = "images[None] makes a batch of one image" if shape == SHAPE else hint
        flat = len(shape) == 3 and shape[1:] + (1,) == SHAPE
        hint = "images[..., None] adds the axis of the one channel" if flat else hint
        raise ValueError(f"images of shape {list(shape)}: {expected}" + (f"; {hint}" if hint else ""))
    if isinstance(images, jax.core.Tracer) or not shape[0]:
        return
    images = np.asarray(images)
    if images.dtype.kind not in "uif" and images.dtype != jnp.bfloat16:
        raise ValueError(f"images of type {images.dtype}: {expected}, as integers or floats")
    least, greatest = float(images.min()), float(images.max())
    if not (least >= LOWEST and greatest <= @MOST@):  # NaN neither
        raise ValueError(f"images with values {least:.4g} to {greatest:.4g}: {expected}; scale them as those were")
    if images.dtype.kind not in "ui" and 0 < greatest <= 1 and GREATEST > @SCALED@:
        remedy = f"multiply them by {GREATEST}, or give integers if they are that dark"
        raise ValueError(f"images with values {least:.4g} to {greatest:.4g}: {expected}; {remedy}")'''

PIECES = {
    "whitened": '''def whitened(images):
    """Each image with mean 0 and standard deviation 1 over its pixels and channels, as in training."""
    images = jnp.asarray(images, jnp.float32)
    mean, std = images.mean((1, 2, 3), keepdims=True), images.std((1, 2, 3), keepdims=True)
    return (images - mean) / jnp.maximum(std, 1 / np.sqrt(np.float32(np.prod(SHAPE))))''',
    "around": '''def around(kernel):
    """Zero padding that puts the middle of a kernel on cells 0, s, 2s, ... of the map, s being the stride."""
    return [((side - 1) // 2, side // 2) for side in kernel]''',
    "join": '''def join(*maps):
    """Maps joined in depth; the smaller ones get zeros at the bottom and at the right."""
    height, width = max(m.shape[1] for m in maps), max(m.shape[2] for m in maps)
    pad = lambda m: jnp.pad(m, ((0, 0), (0, height - m.shape[1]), (0, width - m.shape[2]), (0, 0)))
    return jnp.concatenate([pad(m) for m in maps], axis=-1)''',
    "max_pool": '''def max_pool(x, kernel, stride):
    """The greatest cell under the kernel; cells outside the map do not count."""
    return nnx.max_pool(x, kernel, stride, around(kernel))''',
    "average_pool": '''def average_pool(x, kernel, stride):
    """The mean of the cells under the kernel; cells outside the map do not count."""
    return nnx.avg_pool(x@EXACT@, kernel, stride, around(kernel), count_include_pad=False)@ROUNDED@''',
    "Convolution": '''class Convolution(nnx.Module):
    """Convolution, batch normalisation, ReLU."""

    def __init__(self, channels, filters, kernel, stride, rngs):
        form = {"padding": around(kernel), "use_bias": False}
        @FACTORS@
        self.conv = nnx.Conv(channels, filters, kernel, stride, **form, rngs=rngs)
        self.norm = nnx.BatchNorm(filters, @NORM@, use_fast_variance=False, rngs=rngs)

    def __call__(self, x):
        return nnx.relu(self.norm(self.conv(x)))@ROUNDED@

    def load(self, weights, name):
        self.conv.kernel.set_value(weights[f"{name}.kernel"])
        self.norm.scale.set_value(weights[f"{name}.scale"])
        self.norm.bias.set_value(weights[f"{name}.bias"])
        self.norm.mean.set_value(weights[f"{name}.mean"])
        self.norm.var.set_value(weights[f"{name}.variance"])''',
    "PlainConvolution": '''class PlainConvolution(nnx.Module):
    """Convolution, bias, ReLU."""

    def __init__(self, channels, filters, kernel, stride, rngs):
        form = {"padding": around(kernel), "use_bias": False}
        @FACTORS@
        self.conv = nnx.Conv(channels, filters, kernel, stride, **form, rngs=rngs)
        self.bias = nnx.Param(jnp.zeros(filters))

    def __call__(self, x):
        return nnx.relu(self.conv(x) + self.bias[...])@ROUNDED@

    def load(self, weights, name):
        self.conv.kernel.set_value(weights[f"{name}.kernel"])
        self.bias.set_value(weights[f"{name}.bias"])''',
    "norm": '''def convolution(channels, filters, side, stride, rngs):
    """Without bias; the middle of the kernel on cells 0, s, 2s, ... of the map, s being the stride."""
    form = {"padding": side // 2, "use_bias": False}
    @FACTORS@
    return nnx.Conv(channels, filters, (side, side), stride, **form, rngs=rngs)


def norm(filters, rngs):
    return nnx.BatchNorm(filters, @NORM@, use_fast_variance=False, rngs=rngs)


def load_norm(layer, weights, name):
    layer.scale.set_value(weights[f"{name}.scale"])
    layer.bias.set_value(weights[f"{name}.bias"])
    layer.mean.set_value(weights[f"{name}.mean"])
    layer.var.set_value(weights[f"{name}.variance"])''',
    "average": '''def average(x):
    """The mean of the 3 x 3 cells around each; cells outside the map do not count."""
    return nnx.avg_pool(x@EXACT@, (3, 3), (1, 1), "SAME", count_include_pad=False)@ROUNDED@''',
    "Stem": '''class Stem(nnx.Module):
    """Convolution, batch normalisation."""

    def __init__(self, channels, filters, rngs):
        self.conv, self.norm = convolution(channels, filters, 3, 1, rngs), norm(filters, rngs)

    def __call__(self, x):
        return self.norm(self.conv(x))@ROUNDED@

    def load(self, weights, name):
        self.conv.kernel.set_value(weights[f"{name}.kernel"])
        load_norm(self.norm, weights, name)''',
    "ReluConvNorm": '''class ReluConvNorm(nnx.Module):
    """ReLU, convolution, batch normalisation."""

    def __init__(self, channels, filters, side, rngs, stride=1):
        self.conv, self.norm = convolution(channels, filters, side, stride, rngs), norm(filters, rngs)

    def __call__(self, x):
        return self.norm(self.conv(nnx.relu(x)))@ROUNDED@

    def load(self, weights, name):
        self.conv.kernel.set_value(weights[f"{name}.kernel"])
        load_norm(self.norm, weights, name)''',
    "Block": '''class Block(nnx.Module):
    """A residual block that halves the sides of the map."""

    def __init__(self, channels, filters, rngs):
        self.first = ReluConvNorm(channels, filters, 3, rngs, stride=2)
        self.second = ReluConvNorm(filters, filters, 3, rngs)
        self.shortcut = convolution(channels, filters, 1, 1, rngs)

    def __call__(self, x):
        return self.second(self.first(x)) + self.shortcut(nnx.avg_pool(x@EXACT@, (2, 2), (2, 2)))

    def load(self, weights, name):
        self.first.load(weights, f"{name}.first")
        self.second.load(weights, f"{name}.second")
        self.shortcut.kernel.set_value(weights[f"{name}.shortcut.kernel"])''',
    "Cell": '''class Cell(nnx.Module):
    """@ARCH@"""

    def __init__(self, channels, rngs):
        @EDGES@

    def __call__(self, node0):
        @NODES@
        return node3

    def load(self, weights, name):
        @EDGE_LOADS@''',
}
"""By the name under which a network uses them, in the order in which they are written."""

NETWORK = '''class Network(nnx.Module):
    """Images, @SHAPE@, values @RANGE@ -> logits [b, @CLASSES@]."""

    def __init__(self, rngs):
        self.mean, self.std = nnx.Variable(jnp.zeros(@CHANNELS@)), nnx.Variable(jnp.ones(@CHANNELS@))
        @LAYERS@
        self.classifier = nnx.Linear(@FEATURES@, @CLASSES@, rngs=rngs)

    def __call__(self, images):
        check(images)
        @IMAGES@ = @NORMALISED@
        @CALLS@
        return self.classifier(@LAST@.mean(@MEAN@))'''

LOAD = '''def load(path=WEIGHTS):
    """The trained network, in evaluation mode; its `train()` lets batch normalisation learn again."""
    weights = load_file(path)
    network = nnx.eval_shape(lambda: Network(nnx.Rngs(0)))  # no initial weights need to be drawn
    network.mean.set_value(weights["images.mean"])
    network.std.set_value(weights["images.std"])
    @LOADS@
    network.classifier.kernel.set_value(weights["classifier.kernel"])
    network.classifier.bias.set_value(weights["classifier.bias"])
    network.eval()
    return network'''
