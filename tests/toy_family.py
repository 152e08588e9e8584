"""A family of networks of one's own, written against the contract of `jaxnas.children` alone: one hidden layer."""

from dataclasses import dataclass

import jax
import numpy as np
from flax import nnx

from jaxnas.children import Engine, Network, Work
from jaxnas.children.engines import Padded
from jaxnas.decisions import Choice, Decisions


@dataclass(frozen=True)
class Envelope:
    width: int
    engine: Engine


class Net(Network):
    def __init__(self, envelope, inputs, outputs, genes, key):
        draw = lambda key, *shape: jax.random.normal(key, shape) / shape[0] ** 0.5
        first, second = map(draw, jax.random.split(key), (inputs, 16), (16, outputs))
        self.first, self.second = nnx.Param(first[:, : envelope.width]), nnx.Param(second[: envelope.width])
        self.seen = nnx.Variable(jax.numpy.int32(0))  # of no type that jaxnas knows
        self.norm = nnx.BatchNorm(envelope.width, momentum=0.5, rngs=nnx.Rngs(0))
        self.drop = nnx.Dropout(0.25, rngs=nnx.Rngs(0))

    def __call__(self, x, genes, training, carry, key):
        self.seen[...] = self.seen[...] + training
        hidden = self.drop(jax.nn.relu(self.norm(x.reshape(len(x), -1) @ self.first[...])) * genes)
        return hidden @ self.second[...], carry


@dataclass(frozen=True)
class Children:
    inputs: int
    outputs: int
    engines: tuple[Engine, ...] = (Padded(),)

    def envelope(self, architectures, engine, known=None):
        return Envelope(max(architectures) if known is None else 16, engine)

    def place(self, architecture, envelope):
        if architecture > envelope.width:
            raise ValueError(f"{architecture} units do not fit into {envelope.width}")
        return (np.arange(envelope.width) < architecture).astype(np.float32)

    def build(self, envelope, genes, key):
        return Net(envelope, self.inputs, self.outputs, genes, key)

    def work(self, envelope, architecture=None):
        count = lambda width: (self.inputs + self.outputs) * width
        own = count(architecture or envelope.width)
        return Work(own, count(envelope.width), own, 16 * (self.outputs + envelope.width))

    def describe(self, architecture):
        return {"type": "one hidden layer", "width": architecture}


@dataclass(frozen=True)
class OneHidden:
    decisions: Decisions = Decisions((Choice("width", "width", 3),))

    def decode(self, tokens):
        return (4, 8, 16)[int(tokens[0])]

    def encode(self, architecture):
        return np.array([(4, 8, 16).index(architecture)], np.int32)

    def children(self, input_shape, classes, dtype="float32"):
        return Children(int(np.prod(input_shape)), classes)
