"""Multilayer perceptrons: number and widths of hidden layers, activation, dropout."""

from functools import cached_property
from typing import Annotated

import numpy as np
from jaxtyping import Int

from jaxnas.children.mlp.network import ACTIVATIONS, Perceptron, PerceptronChildren
from jaxnas.decisions import ABSENT, Choice, Decisions, Ordinal, from_on
from jaxnas.inputs import Inputs
from jaxnas.ranges import Filters, Layers, Range
from jaxnas.settings import settings

Rate = Annotated[float, Range(0, 1, "[)")]


@settings
class MLP:
    """Hidden layers, each of its own width, one activation and one rate of dropout after each of them. All networks
    train in one program. They read tables, images laid flat, ratings and texts.

    Attributes:
        layers: how many hidden layers there may be.
        widths: how many units a layer may have.
        activations: to choose from: "relu", "tanh", "gelu", "silu", "elu", "sigmoid".
        dropout: rates to choose from.
        embedding: how many numbers stand for a user, an item or a symbol; of a text their mean is read.

    Raises:
        ValueError: an empty list, a value twice, or an unknown activation.
    """

    layers: tuple[Layers, ...] = (1, 2, 3)
    widths: tuple[Filters, ...] = (8, 16, 32, 64)
    activations: tuple[str, ...] = ("relu", "tanh", "gelu")
    dropout: tuple[Rate, ...] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)
    embedding: Annotated[int, Range(1, 4096)] = 16

    def __post_init__(self):
        for name in ("layers", "widths", "activations", "dropout"):
            given = getattr(self, name)
            if not given or len(set(given)) < len(given):
                raise ValueError(f"{name}={given}: give one or more different values")
        unknown = [name for name in self.activations if name not in ACTIVATIONS]
        if unknown:
            raise ValueError(f"activations: there is no {unknown[0]!r}: give some of {', '.join(ACTIVATIONS)}")

    @cached_property
    def _sorted(self) -> tuple[list[int], list[int], list[float]]:
        return sorted(self.layers), sorted(self.widths), sorted(self.dropout)

    @cached_property
    def decisions(self) -> Decisions:
        """Number of layers; the width of each; activation; dropout. All numbers are ordinals."""
        depths, widths, rates = self._sorted
        made = [Ordinal("layers", "layers", len(depths))]
        for i in range(depths[-1]):
            first = next(token for token, depth in enumerate(depths) if depth > i)
            made.append(
                Ordinal(f"layer {i + 1} width", "width", len(widths), from_on(0, first, len(depths)) if first else ())
            )
        made.append(Choice("activation", "activation", len(self.activations)))
        return Decisions((*made, Ordinal("dropout", "dropout", len(rates))))

    def decode(self, tokens) -> Perceptron:
        """tokens ``[T]`` -> the network. Raises ValueError where they are none of this space."""
        depths, widths, rates = self._sorted
        depth, *of_layers, activation, rate = self.decisions.check(tokens).tolist()
        own = tuple(widths[token] for token in of_layers[: depths[depth]])
        return Perceptron(own, self.activations[activation], rates[rate])

    def encode(self, architecture: Perceptron) -> Int[np.ndarray, " T"]:
        """Tokens ``[T]`` of a network. Raises ValueError where it is not in this space."""
        depths, widths, rates = self._sorted
        a, most = architecture, depths[-1]
        try:
            own = [widths.index(width) for width in a.widths]
            ends = self.activations.index(a.activation), rates.index(a.dropout)
            return np.array([depths.index(len(own)), *own, *[ABSENT] * (most - len(own)), *ends], np.int32)
        except ValueError as error:
            raise ValueError(f"{architecture} is not in {self}") from error

    def restore(self, described: dict) -> Perceptron:
        """See `Restores`."""
        return Perceptron(tuple(described["widths"]), described["activation"], described["dropout"])

    def children(self, input_shape: tuple[int, ...], classes: int, dtype: str = "float32") -> PerceptronChildren:
        """The networks for examples of this shape. Raises ValueError for text with an output for every symbol."""
        inputs = Inputs.of(input_shape)
        if inputs.every:
            raise ValueError(
                "an MLP gives one output for an example, not for every symbol of a text: take RecurrentCell for the "
                "task Text"
            )
        depths, widths, rates = self._sorted
        settings = tuple(widths), self.activations, rates[-1] > 0, self.embedding
        return PerceptronChildren(inputs, classes, depths[-1], *settings, dtype)
