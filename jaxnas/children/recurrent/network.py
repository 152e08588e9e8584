"""Language models of recurrent cells: an embedding, layers of one cell, a softmax. Written for ONE child inside its
envelope.

References:
    Zoph & Le, Neural Architecture Search with Reinforcement Learning, 2017, sections 3.4 and 4.2
    (https://arxiv.org/abs/1611.01578). Inan et al., Tying Word Vectors and Word Classifiers, 2017
    (https://arxiv.org/abs/1611.01462). Gal & Ghahramani, A Theoretically Grounded Application of Dropout in Recurrent
    Neural Networks, 2016 (https://arxiv.org/abs/1512.05287).

Letters: B streams, U steps of a chunk, G products, H hidden units, L layers, V symbols.
"""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import lax
from jaxtyping import Array, Float, Int

from jaxnas.children import Network, Work
from jaxnas.children.cost import HELD, more
from jaxnas.children.engines import Branching, Engine, Padded, Ragged
from jaxnas.children.engines.lookup import embed
from jaxnas.children.layers import Training, known
from jaxnas.children.recurrent import architecture as recurrent
from jaxnas.children.recurrent.architecture import Envelope, LoneEnvelope, Standard, Tree, TreeGenes
from jaxnas.children.recurrent.steps import step_of
from jaxnas.numerics import factors
from jaxnas.ranges import Share
from jaxnas.rng import key_for
from jaxnas.settings import settings

KEPT = 0.4
"""Share of the four copies of all values of a chunk, with which the planner reckons, that training really holds."""
SPEEDS = {Padded: 0.4, Branching: 1.0}
"""Products of small matrices, and what happens between them, in multiply-adds of a chain of convolutions
(`docs/performance.md`)."""


@settings
class Dropout:
    """Shares of numbers that are set to 0 in training; the others grow to make up for it. Each child draws its own at
    each step.

    Attributes:
        between: of what enters a layer or the softmax.
        recurrent: of h_{t-1} before its products.
        symbols: of the vocabulary: a symbol's whole embedding.
        variational: the same units at every step of a chunk (Gal & Ghahramani); False: others at each step (Zaremba et
            al., 2014, https://arxiv.org/abs/1409.2329). What is recurrent is always variational.
    """

    between: Share = 0.0
    recurrent: Share = 0.0
    symbols: Share = 0.0
    variational: bool = True


@dataclass(frozen=True)
class RecurrentChildren:
    """The language models of one space on one task: what they have in common, and all that a trainer asks of them.

    Attributes:
        input_shape: (U,): steps of a chunk, through which gradients run.
        classes: V, size of the vocabulary.
        full: the envelope of the whole space.
        hidden: H, of each layer and of the embedding.
        layers: L.
        tied: the matrix of the softmax is that of the embedding.
        initial: weights are uniform within this, both ways; None: within sqrt(3 / H), of an embedding
            that is not tied sqrt(3).
        dropout: in training.
        dtype: of the factors in matrix products, of what a layer hands on and of what is kept for the gradient:
            "float32" or "bfloat16". Sums, the state (h, c), logits and parameters are float32.
    """

    input_shape: tuple[int, ...]
    classes: int
    full: Envelope
    hidden: int
    layers: int = 2
    tied: bool = False
    initial: float | None = None
    dropout: Dropout = field(default_factory=Dropout)
    dtype: str = "float32"
    norm: ClassVar[None] = None

    @property
    def engines(self) -> tuple[Engine, ...]:
        """Padded; or with a branch for each combination and activation."""
        return Padded(), Branching((), ())

    def envelope(
        self, architectures: Sequence[Tree | Standard], engine: Engine, known: Collection[Envelope] | None = None
    ) -> Envelope:
        """The smallest that holds them all; in a search that of the whole space: one program serves it.

        Raises:
            ValueError: an engine that cannot run cells, trees of different sizes.
        """
        if isinstance(engine, Ragged):
            raise ValueError("engine 'ragged' has a kernel for convolutions alone: take 'branching' or 'padded'")
        return replace(recurrent.envelope(architectures) if known is None else self.full, engine=engine)

    def work(self, envelope: Envelope, architecture: Tree | Standard | None = None) -> Work:
        """Of a network of such cells, for one symbol: all in an envelope do the same work. Held are the values of a
        chunk.
        """
        cost = recurrent.cost(architecture or envelope, self.classes, self.hidden, self.layers, self.tied)
        held = int(HELD * KEPT * cost.activation_bytes * self.input_shape[0])
        speed = SPEEDS[type(envelope.engine)]
        return Work(cost.multiply_adds, cost.multiply_adds, cost.parameters, held, 0, speed)

    def nothing(self, batch: int) -> tuple[Float[Array, "L B H"], Float[Array, "L B H"]]:
        """(h, c) before the first symbol."""
        zeros = jnp.zeros((self.layers, batch, self.hidden))
        return zeros, zeros

    def widened(self, factor: float) -> "RecurrentChildren":
        """The networks with so many times the hidden units, and other initial weights."""
        return replace(self, hidden=more(self.hidden, factor))

    def widen(self, architecture: Tree | Standard, factor: float) -> Tree | Standard:
        """The cell itself, which has no width of its own."""
        return architecture

    def place(self, architecture: Tree | Standard, inside: Envelope) -> TreeGenes | tuple[()]:
        """The arrays that place one cell in an envelope. Raises ValueError where it does not fit."""
        return recurrent.place(architecture, inside)

    def build(self, inside: Envelope, genes, key: jax.Array) -> "RecurrentNet":
        """The network of one cell with its initial weights; ``key`` is consumed."""
        return RecurrentNet(inside, self, key)

    def describe(self, architecture: Tree | Standard) -> dict:
        """The network as JSON values, for the ledger and for drawings."""
        return recurrent.describe(architecture, self.classes, self.hidden, self.layers, self.tied)

    def weights(self, network: "RecurrentNet", architecture: Tree | Standard) -> dict[str, np.ndarray]:
        """Parameters by name, float32, for export.

        Args:
            network: of this cell, in any envelope that holds it; its arrays are concrete.
            architecture: the cell.

        Returns:
            "embedding" ``[V, H]``; for each layer, counted from 1, "layers.1.input" and "layers.1.recurrent"
            ``[H, G * H]``, product i in columns i * H to (i + 1) * H - 1, and of an ordinary cell "layers.1.bias"
            ``[G * H]``; "output.kernel" ``[H, V]`` unless tied, "output.bias" ``[V]``.
        """
        found = {"embedding": network.embedding[...], "output.bias": network.output_bias[...]}
        found |= {} if self.tied else {"output.kernel": network.output[...]}
        for number in range(self.layers):
            found[f"layers.{number + 1}.input"] = network.input[...][number]
            found[f"layers.{number + 1}.recurrent"] = network.recurrent[...][number]
            if isinstance(architecture, Standard):
                found[f"layers.{number + 1}.bias"] = network.bias[...][number]
        return {name: np.asarray(value) for name, value in found.items()}


class RecurrentNet(Network):
    """The language model of ONE cell inside an envelope. ``key`` is consumed."""

    traced_training = True

    def __init__(self, inside: Envelope, spec: RecurrentChildren, key: jax.Array):
        self.inside, self.spec = inside, spec

        def uniform(name: str, fan_in: int, *shape: int) -> nnx.Param:
            spread = math.sqrt(3 / fan_in) if spec.initial is None else spec.initial
            return nnx.Param(jax.random.uniform(key_for(key, name), shape, minval=-spread, maxval=spread))

        products = spec.layers, spec.hidden, inside.gates * spec.hidden
        self.embedding = uniform("embedding", spec.hidden if spec.tied else 1, spec.classes, spec.hidden)
        self.input = uniform("input", spec.hidden, *products)
        self.recurrent = uniform("recurrent", spec.hidden, *products)
        self.bias = nnx.data(None)  # a tree has none
        if isinstance(inside, LoneEnvelope) and isinstance(inside.cell, Standard):
            bias = jnp.zeros((spec.layers, inside.gates * spec.hidden))
            forget = slice(spec.hidden, 2 * spec.hidden)  # open at first (Jozefowicz et al., 2015)
            self.bias = nnx.Param(bias.at[:, forget].set(1.0) if inside.cell.cell == "lstm" else bias)
        if not spec.tied:
            self.output = uniform("output", spec.hidden, spec.hidden, spec.classes)
        self.output_bias = nnx.Param(jnp.zeros(spec.classes))

    def carry(self, batch: int) -> tuple[Float[Array, "L B H"], Float[Array, "L B H"]]:
        """(h, c) before the first symbol."""
        return self.spec.nothing(batch)

    def __call__(
        self,
        x: Int[Array, "B U"],
        genes,
        training: Training,
        carry: tuple[Float[Array, "L B H"], Float[Array, "L B H"]],
        key: Array,
    ) -> tuple[Float[Array, "B U V"], tuple[Float[Array, "L B H"], Float[Array, "L B H"]]]:
        """Logits of the symbol after each, and (h, c) after the last.

        Args:
            x: symbols.
            genes: of the cell.
            training: whether anything is dropped.
            carry: (h, c) after the symbol before the first.
            key: of what is dropped in training.
        """
        kept, dtype = DropoutMasks(self.spec.dropout, key, training), factors(self.spec.dtype)
        step, remembered = step_of(self.inside, genes, dtype), []
        values = embed(kept.symbols(self.embedding[...]), x.T, self.inside.engine.platform).astype(dtype)
        for number in range(self.spec.layers):
            values, last = self._layer(number, step, values, [m[number] for m in carry], kept)
            remembered.append(last)
        values = kept.units("output", values)
        table = self.embedding[...].T if self.spec.tied else self.output[...]
        logits = self._product(values, table) + self.output_bias[...]
        return logits.swapaxes(0, 1), jax.tree.map(lambda *layers: jnp.stack(layers), *remembered)

    def _layer(self, number: int, step, values: Float[Array, "U B H"], memory, kept: "DropoutMasks"):
        """What a layer gives at every step ``[U, B, H]``, of the type of values, and (h, c) after the last."""
        shape = (*values.shape[1:-1], self.inside.gates, self.spec.hidden)
        entering = self._product(kept.units(f"input {number}", values), self.input[...][number])
        entering = entering if self.bias is None else entering + self.bias[...][number]
        entering = entering.astype(values.dtype).reshape(len(values), *shape)
        own, factor = self.recurrent[...][number], kept.recurrent(number, values.shape[1:])

        def one(state, x):
            h, c = state
            state = step(x, self._product(h * factor, own).reshape(shape), h, c)
            return state, state[0].astype(values.dtype)

        last, given = lax.scan(one, tuple(memory), entering)
        return given, last

    def _product(self, a: Array, b: Array) -> Array:
        dtype = factors(self.spec.dtype)
        return jnp.dot(a.astype(dtype), b.astype(dtype), preferred_element_type=jnp.float32)


@dataclass(frozen=True)
class DropoutMasks:
    """What dropout leaves of things, drawn from one key."""

    settings: Dropout
    key: jax.Array
    training: Training

    def units(self, name: str, values: Float[Array, "U B H"]) -> Float[Array, "U B H"]:
        steps = 1 if self.settings.variational else len(values)
        factor = self._factor(self.settings.between, name, (steps, *values.shape[1:]))
        return values * jnp.asarray(factor, values.dtype)  # the factor is kept for the gradient, too

    def recurrent(self, layer: int, shape: tuple[int, ...]) -> Array | float:
        return self._factor(self.settings.recurrent, f"recurrent {layer}", shape)

    def symbols(self, table: Float[Array, "V H"]) -> Float[Array, "V H"]:
        return table * self._factor(self.settings.symbols, "symbols", (len(table), 1))

    def _factor(self, share: float, name: str, shape: tuple[int, ...]) -> Array | float:
        """1 / (1 - share) where something is kept, else 0; 1 everywhere where nothing is dropped."""
        training = known(self.training)
        if share == 0 or training is False:
            return 1.0
        kept = jax.random.bernoulli(key_for(self.key, name), 1 - share, shape) / (1 - share)
        return kept if training else jnp.where(self.training, kept, 1.0)
