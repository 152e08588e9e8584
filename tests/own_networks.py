"""Networks as a user would write them, for tests: the same small one in four ways, and some that cannot work."""

import jax
import jax.numpy as jnp
from flax import linen, nnx

from jaxnas import elastic


class Plain(nnx.Module):
    """An ordinary NNX module."""

    def __init__(self, inputs, outputs, *, width, scale=1.0, rngs):
        height, breadth, channels = inputs
        self.hidden = nnx.Linear(height * breadth * channels, width, rngs=rngs)
        self.norm = nnx.BatchNorm(width, momentum=0.9, rngs=rngs)
        self.drop = nnx.Dropout(0.25, rngs=rngs)
        self.out = nnx.Linear(width, outputs, rngs=rngs)
        self.scale = scale

    def __call__(self, x):
        x = nnx.relu(self.norm(self.hidden(x.reshape(len(x), -1))))
        return self.out(self.drop(x)) * self.scale


class InLinen(linen.Module):
    """Likewise, of the older library."""

    outputs: int
    width: int
    scale: float = 1.0

    @linen.compact
    def __call__(self, x, train: bool):
        x = linen.Dense(self.width)(x.reshape(len(x), -1))
        x = linen.relu(linen.BatchNorm(use_running_average=not train, momentum=0.9)(x))
        x = linen.Dropout(0.25, deterministic=not train)(x)
        return linen.Dense(self.outputs)(x) * self.scale


def start(key, inputs, outputs, width, scale=1.0):
    """Initial parameters of `apply`."""
    first, second = jax.random.split(key)
    entering = inputs[0] * inputs[1] * inputs[2]
    return {
        "hidden": jax.random.normal(first, (entering, width)) / entering**0.5,
        "out": jax.random.normal(second, (width, outputs)) / width**0.5,
    }


def apply(parameters, x, width, scale=1.0, *, training, key):
    """One hidden layer with dropout, as a function."""
    hidden = jax.nn.relu(x.reshape(len(x), -1) @ parameters["hidden"])
    if training:
        hidden = jnp.where(jax.random.bernoulli(key, 0.75, hidden.shape), hidden / 0.75, 0)
    return hidden @ parameters["out"] * scale


class Elastic(nnx.Module):
    """Of traced width, depth and dropout rate."""

    def __init__(self, inputs, outputs, *, width, depth, dropout, rngs):
        self.first = elastic.Linear(inputs[0] * inputs[1] * inputs[2], width, rngs=rngs)
        block = lambda: elastic.Linear(width, width, rngs=rngs)
        self.blocks = nnx.List([elastic.Skippable(block(), i < depth) for i in range(elastic.most(depth))])
        self.norm = elastic.BatchNorm(width, rngs=rngs)
        self.drop = elastic.Dropout(dropout, rngs=rngs)
        self.last = elastic.Linear(width, outputs, rngs=rngs)

    def __call__(self, x):
        x = nnx.relu(self.first(x.reshape(len(x), -1)))
        for block in self.blocks:
            x = nnx.sigmoid(block(x))
        return self.last(self.drop(self.norm(x)))


class StockDropout(nnx.Module):
    """Compares its rate with 0."""

    def __init__(self, inputs, outputs, *, rate, rngs):
        self.drop, self.out = nnx.Dropout(rate, rngs=rngs), nnx.Linear(inputs[0], outputs, rngs=rngs)

    def __call__(self, x):
        return self.out(self.drop(x.mean((2, 3))))


class StockWidth(nnx.Module):
    """Takes a width as a shape."""

    def __init__(self, inputs, outputs, *, width, rngs):
        self.out = nnx.Linear(inputs[0], outputs * width, rngs=rngs)

    def __call__(self, x):
        return self.out(x.mean((2, 3)))


class WithIf(nnx.Module):
    """Asks a traced width a question."""

    def __init__(self, inputs, outputs, *, width, scale, rngs):
        self.out = nnx.Linear(inputs[0], outputs, use_bias=bool(width > 2), rngs=rngs)

    def __call__(self, x):
        return self.out(x.mean((2, 3)))


class InAList(nnx.Module):
    """Keeps a traced value where nothing carries it."""

    def __init__(self, inputs, outputs, *, scale, rngs):
        self.out, self.scales = nnx.Linear(inputs[0], outputs, rngs=rngs), (scale, 2 * scale)

    def __call__(self, x):
        return self.out(x.mean((2, 3))) * self.scales[0]


class NoLogits(nnx.Module):
    """Gives a number a picture."""

    def __init__(self, inputs, outputs, *, width, rngs):
        self.out = nnx.Linear(inputs[0], 1, rngs=rngs)

    def __call__(self, x):
        return self.out(x.mean((2, 3)))


class NoRngs(nnx.Module):
    """Takes no streams of random numbers."""

    def __init__(self, inputs, outputs, *, width):
        pass
