"""Multilayer perceptrons of every width and depth of a space, in one program.

Letters: B batch, F features, L hidden layers of the envelope, W its width, K outputs.
"""

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jaxtyping import Array, Bool, Float, Int

from jaxnas.children import Network, Work
from jaxnas.children.cost import HELD, does_not_fit
from jaxnas.children.engines import Engine, Padded
from jaxnas.children.engines.lookup import embed
from jaxnas.inputs import Inputs
from jaxnas.rng import key_for

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "relu": nnx.relu, "tanh": jnp.tanh, "gelu": nnx.gelu, "silu": nnx.silu, "elu": nnx.elu, "sigmoid": nnx.sigmoid,
}  # fmt: skip


@dataclass(frozen=True)
class Perceptron:
    """An architecture.

    Attributes:
        widths: units of each hidden layer.
        activation: after each of them, one of `ACTIVATIONS`.
        dropout: share of the units of each that a training step leaves out.
    """

    widths: tuple[int, ...]
    activation: str
    dropout: float


@dataclass(frozen=True)
class PerceptronEnvelope:
    """What the padded networks have in common.

    Attributes:
        engine: how they run.
        widths: of each hidden layer, the greatest.
        activations: to choose from.
        drops: whether there is any dropout.
    """

    engine: Engine
    widths: tuple[int, ...]
    activations: tuple[str, ...]
    drops: bool

    def holds(self, one: Perceptron) -> bool:
        """Whether an architecture can run in it."""
        fits = len(one.widths) <= len(self.widths) and all(w <= most for w, most in zip(one.widths, self.widths))  # noqa: B905
        return fits and one.activation in self.activations and (self.drops or one.dropout == 0)


class PerceptronGenes(NamedTuple):
    """live: which units of each layer there are; present: which layers; activation: the number in the envelope."""

    live: Bool[np.ndarray, "L W"]
    present: Bool[np.ndarray, " L"]
    activation: Int[np.ndarray, ""]
    dropout: Float[np.ndarray, ""]


class PerceptronNetwork(Network):
    """One child. Weights are drawn for the widest network of the space and cut, so that they are the same whatever the
    envelope is; what lies beyond a child is 0, and stays 0, because no gradient reaches it.
    """

    def __init__(self, children: "PerceptronChildren", inside: PerceptronEnvelope, genes: PerceptronGenes, key):
        self.inside, self.units, self.dtype = inside, max(children.widths), children.dtype
        self.inputs = children.input_shape
        sides = [children.features, *inside.widths]
        table = jax.random.normal(key_for(key, "embedding"), children.table) / math.sqrt(max(1, children.embedding))
        self.embedding = nnx.Param(table.at[np.array(children.unknown, np.int32)].set(0.0))
        self.layers = nnx.List([nnx.Param(w) for w in _hidden(sides, self.units, genes, key)])
        self.biases = nnx.List([nnx.Param(jnp.zeros(width)) for width in inside.widths])
        last = genes.live[-1]  # layers that are not there have the width of the last one that is
        drawn = _normal(key_for(key, "last"), (self.units, children.classes), last.sum())[: max(inside.widths)]
        self.last = nnx.Param(jnp.where(last[:, None], drawn, 0))
        self.bias = nnx.Param(jnp.zeros(children.classes))

    def __call__(self, x, genes, training, carry, key):
        x = self._read(x)
        for i, (w, b) in enumerate(zip(self.layers, self.biases, strict=True)):
            layer = lambda x, w=w[...], b=b[...], i=i: self._layer(x, w, b, i, genes, training, key)
            if i == 0:
                x = self._wide(layer(x))
            else:
                x = lax.cond(genes.present[i], lambda x, layer=layer: self._wide(layer(x)), lambda x: x, x)
        return self._product(x, self.last[...]) + self.bias[...], carry

    def _read(self, x) -> Float[Array, "B F"]:
        """Numbers laid flat, a row of the table for each thing of a pair, or the mean of those of a text's symbols."""
        if not self.inputs.whole_numbers:
            return x.reshape(len(x), -1)
        if self.inputs.kind == "pair":
            x = x + np.array([0, self.inputs.values[0]])
        rows = embed(self.embedding[...], x, self.inside.engine.platform)
        if self.inputs.kind == "pair":
            return rows.reshape(len(x), -1)
        there = (x > 0)[..., None]
        return jnp.where(there, rows, 0).sum(1) / jnp.maximum(there.sum(1), 1)

    def _layer(self, x, w, b, i: int, genes: PerceptronGenes, training: bool, key) -> Float[Array, "B N"]:
        width = w.shape[1]
        chosen = [ACTIVATIONS[name] for name in self.inside.activations]
        z = self._product(x[:, : w.shape[0]], w) + b
        y = chosen[0](z) if len(chosen) == 1 else lax.switch(genes.activation, chosen, z)
        if training and self.inside.drops:
            keep = 1 - genes.dropout
            stays = jax.random.bernoulli(key_for(key, "dropout", i), keep, (len(x), self.units))[:, :width]
            y = jnp.where(stays, y / keep, 0)
        return jnp.where(genes.live[i, :width], y, 0)

    def _wide(self, x: Float[Array, "B N"]) -> Float[Array, "B W"]:
        """Filled with 0 to the greatest width, so that a layer can be left out."""
        return jnp.pad(x, ((0, 0), (0, max(self.inside.widths) - x.shape[1])))

    def _product(self, x, w) -> Float[Array, "B N"]:
        if self.dtype != "bfloat16":
            return x @ w
        return jnp.matmul(x.astype(jnp.bfloat16), w.astype(jnp.bfloat16), preferred_element_type=jnp.float32)


def _hidden(sides: Sequence[int], units: int, genes: PerceptronGenes, key) -> list[Float[Array, "I O"]]:
    """Initial weights of the hidden layers."""
    found, before = [], jnp.ones(sides[0], bool)
    for i, (n, width) in enumerate(zip(sides[:-1], sides[1:], strict=True)):
        own = genes.live[i, :width]
        drawn = _normal(key_for(key, "layer", i), (n if i == 0 else units, units), before.sum())[:n, :width]
        found.append(jnp.where(before[:n, None] & own, drawn, 0))
        before = genes.live[i]
    return found


def _normal(key, shape: tuple[int, int], fan_in) -> Float[Array, "I O"]:
    """He's initial weights, of variance 2 / fan in, cut at two deviations.

    References:
        He et al., Delving Deep into Rectifiers, 2015, equation 10 (https://arxiv.org/abs/1502.01852).
    """
    return jax.random.truncated_normal(key, -2, 2, shape) * jnp.sqrt(2 / jnp.maximum(fan_in, 1)) / 0.87962566


@dataclass(frozen=True)
class PerceptronChildren:
    """See `Children`.

    Attributes:
        input_shape: of one example; images are laid flat, symbols and things embedded.
        classes: K.
        layers: L, the greatest number of hidden layers.
        widths: that a layer may have.
        activations: to choose from.
        drops: whether there is any dropout.
        embedding: numbers that stand for a symbol, a user or an item.
        dtype: of the factors, as `Train.dtype` has it.
    """

    input_shape: Inputs
    classes: int
    layers: int
    widths: tuple[int, ...]
    activations: tuple[str, ...]
    drops: bool
    embedding: int = 16
    dtype: str = "float32"
    engines: tuple[Engine, ...] = (Padded(),)
    norm: None = None

    def envelope(self, architectures: Sequence[Perceptron], engine: Engine, known: Collection | None = None):
        """See `Children`. A search has one for its whole space."""
        if known is None and len(architectures) == 1:
            one = architectures[0]
            return PerceptronEnvelope(engine, one.widths, (one.activation,), one.dropout > 0)
        return PerceptronEnvelope(engine, (max(self.widths),) * self.layers, self.activations, self.drops)

    def place(self, architecture: Perceptron, envelope: PerceptronEnvelope) -> PerceptronGenes:
        """See `Children`."""
        if not envelope.holds(architecture):
            raise does_not_fit(architecture, envelope)
        widths = [*architecture.widths, *[architecture.widths[-1]] * (len(envelope.widths) - len(architecture.widths))]
        return PerceptronGenes(
            np.arange(max(envelope.widths)) < np.array(widths)[:, None],
            np.arange(len(envelope.widths)) < len(architecture.widths),
            np.int32(envelope.activations.index(architecture.activation)),
            np.float32(architecture.dropout),
        )

    def build(self, envelope: PerceptronEnvelope, genes: PerceptronGenes, key) -> PerceptronNetwork:
        """See `Children`."""
        return PerceptronNetwork(self, envelope, jax.tree.map(jnp.asarray, genes), key)

    def work(self, envelope: PerceptronEnvelope, architecture: Perceptron | None = None) -> Work:
        """See `Children`."""
        whole, own = self._products(envelope.widths), self._products((architecture or envelope).widths)
        biases = sum((architecture or envelope).widths) + self.classes
        held = 4 * HELD * sum(envelope.widths)
        parameters = own + biases + math.prod(self.table)
        return Work(own, whole, parameters, held, len(envelope.widths) * len(envelope.activations))

    @property
    def table(self) -> tuple[int, int]:
        """Rows of what is embedded, and their length; of numbers there are none."""
        return (sum(self.input_shape.values), self.embedding) if self.input_shape.whole_numbers else (0, 0)

    @property
    def unknown(self) -> tuple[int, ...]:
        """Rows of the table for who and what is in no training row: 0 to begin with, and so for ever."""
        return {"pair": (0, *self.input_shape.values[:1]), "passage": (1,)}.get(self.input_shape.kind, ())

    @property
    def features(self) -> int:
        """F."""
        if not self.input_shape.whole_numbers:
            return math.prod(self.input_shape)
        return self.embedding * (2 if self.input_shape.kind == "pair" else 1)

    def _products(self, widths: Sequence[int]) -> int:
        sides = self.features, *widths, self.classes
        return sum(a * b for a, b in zip(sides[:-1], sides[1:], strict=True))

    def describe(self, architecture: Perceptron) -> dict:
        """See `Children`."""
        a = architecture
        return {"type": "mlp", "widths": list(a.widths), "activation": a.activation, "dropout": a.dropout}

    def weights(self, network: PerceptronNetwork, architecture: Perceptron) -> dict[str, np.ndarray]:
        """See `Exports`: "layer1.kernel" ``[I, O]``, "layer1.bias", ..., "output.kernel", "output.bias"; of
        symbols or things also "embedding".
        """
        found = {"embedding": network.embedding[...]} if self.input_shape.whole_numbers else {}
        n = self.features
        for i, width in enumerate(architecture.widths):
            kernel, bias = network.layers[i][...], network.biases[i][...]
            found |= {f"layer{i + 1}.kernel": kernel[:n, :width], f"layer{i + 1}.bias": bias[:width]}
            n = width
        found |= {"output.kernel": network.last[...][:n], "output.bias": network.bias[...]}
        return {name: np.asarray(value, np.float32) for name, value in found.items()}
