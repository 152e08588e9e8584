"""The space of recurrent cells, and the ordinary cells that are spaces of one.

References:
    Zoph & Le, Neural Architecture Search with Reinforcement Learning, 2017, sections 3.4 and 4.2
    (https://arxiv.org/abs/1611.01578).

Letters: T decisions.
"""

from dataclasses import field
from functools import cached_property
from typing import Annotated

import numpy as np
from jaxtyping import Int

from jaxnas.children.recurrent.architecture import (
    ACTIVATIONS,
    COMBINATIONS,
    GATES,
    LoneEnvelope,
    Standard,
    Tree,
    TreeEnvelope,
)
from jaxnas.children.recurrent.network import Dropout, RecurrentChildren
from jaxnas.decisions import ABSENT, Choice, Decisions
from jaxnas.inputs import Inputs
from jaxnas.ranges import Range
from jaxnas.settings import settings


@settings
class LanguageModel:
    """The network around a cell.

    Attributes:
        hidden: units of each layer and of the embedding.
        layers: of the same cell, with weights of their own.
        tied: embedding and softmax share one matrix.
        initial: weights are uniform within this, both ways; None: within sqrt(3 / hidden), so that products of
            numbers with variance 1 have that too; those of an embedding that is not tied within sqrt(3).
        dropout: in training.
    """

    hidden: Annotated[int, Range(1, 65_536)] = 64
    layers: Annotated[int, Range(1, 100)] = 2
    tied: bool = False
    initial: Annotated[float, Range(0, 1e3, "(]")] | None = None
    dropout: Dropout = field(default_factory=Dropout)

    def children(self, input_shape: tuple[int, ...], classes: int, full, dtype: str) -> RecurrentChildren:
        """On chunks of so many symbols ``(steps,)`` out of so many. Raises ValueError for images."""
        if Inputs.of(input_shape).kind != "text":
            raise ValueError(f"recurrent cells read text, not examples of shape {input_shape}: take the task Text")
        settings = self.hidden, self.layers, self.tied, self.initial, self.dropout
        return RecurrentChildren(input_shape, classes, full, *settings, dtype)


@settings
class RecurrentCell:
    """Binary trees over x_t and h_{t-1}: each node decides a combination and an activation; then come the combination
    and activation by which c_{t-1} enters, the node whose value before its activation becomes c_t, and the node whose
    value c_{t-1} enters. With base 8 and the lists of the paper there are 8^16 * 15^2, about 6e16 cells.

    Attributes:
        base: number of leaves, a power of 2.
        combinations: to choose from, of "add", "multiply", "max".
        activations: to choose from, of "identity", "tanh", "sigmoid", "relu", "sin".
        model: the network around the cell.

    Raises:
        ValueError: another base, or an empty, repeated or unknown name in a list.
    """

    base: Annotated[int, Range(2, 1024)] = 8
    combinations: tuple[str, ...] = ("add", "multiply")
    activations: tuple[str, ...] = ("identity", "tanh", "sigmoid", "relu")
    model: LanguageModel = field(default_factory=LanguageModel)

    def __post_init__(self):
        if self.base & (self.base - 1):
            raise ValueError(f"base={self.base}: give a power of 2, such as 2, 4 or 8")
        for name, known in (("combinations", COMBINATIONS), ("activations", ACTIVATIONS)):
            given = getattr(self, name)
            if not given or len(set(given)) < len(given) or not set(given) <= set(known):
                raise ValueError(f"{name}={given}: give one or more different ones of {', '.join(known)}")

    @cached_property
    def decisions(self) -> Decisions:
        """Combination and activation of each tree index, those of the cell inject, and the two cell indices."""
        nodes = 2 * self.base - 1
        choices = []
        for name in (*(f"tree index {number}" for number in range(nodes)), "cell inject"):
            choices.append(Choice(f"{name} combination", "combination", len(self.combinations)))
            choices.append(Choice(f"{name} activation", "activation", len(self.activations)))
        indices = ("cell index 0 (c_t before the activation of)", "cell index 1 (c_{t-1} into)")
        return Decisions((*choices, *(Choice(name, name, nodes) for name in indices)))

    def decode(self, tokens) -> Tree:
        """The cell of tokens ``[T]``.

        Raises:
            ValueError: tokens that this space does not have.
        """
        *pairs, memory_from, inject_at = self.decisions.check(tokens).tolist()
        if ABSENT in (*pairs, memory_from, inject_at):
            raise ValueError(f"tokens {list(tokens)}: a cell decides everything, so -1 stands nowhere")
        *nodes, inject = [
            (self.combinations[c], self.activations[a]) for c, a in zip(pairs[0::2], pairs[1::2], strict=True)
        ]
        return Tree(tuple(nodes), inject, inject_at, memory_from)

    def encode(self, architecture: Tree | Standard) -> Int[np.ndarray, " T"]:
        """Tokens ``[T]`` of a cell. Raises ValueError where it is not in this space."""
        pairs = (*architecture.nodes, architecture.inject) if isinstance(architecture, Tree) else ()
        if len(pairs) != 2 * self.base or any(
            c not in self.combinations or a not in self.activations for c, a in pairs
        ):
            raise ValueError(f"{architecture} is not in {self}")
        tokens = [n for c, a in pairs for n in (self.combinations.index(c), self.activations.index(a))]
        return np.array([*tokens, architecture.memory_from, architecture.inject_at], np.int32)

    def restore(self, described: dict) -> Tree:
        """See `Restores`."""
        nodes = tuple(map(tuple, described["nodes"]))
        return Tree(nodes, tuple(described["inject"]), described["inject_at"], described["memory_from"])

    def children(self, input_shape: tuple[int, ...], classes: int, dtype: str = "float32") -> RecurrentChildren:
        """The language models of this space on chunks of ``(steps,)`` symbols out of so many; dtype: of factors.

        Raises:
            ValueError: images.
        """
        full = TreeEnvelope(2 * self.base - 1, self.combinations, self.activations)
        return self.model.children(input_shape, classes, full, dtype)


@settings
class StandardCell:
    """One ordinary cell, to train what a search is compared with in the same way: a space without anything to decide.

    Attributes:
        cell: "lstm" or "gru".
        model: the network around the cell.
    """

    cell: str = "lstm"
    model: LanguageModel = field(default_factory=LanguageModel)

    def __post_init__(self):
        if self.cell not in GATES:
            raise ValueError(f"cell={self.cell!r}: give one of {', '.join(GATES)}")

    @cached_property
    def decisions(self) -> Decisions:
        """A single choice of one value."""
        return Decisions((Choice("cell", "cell", 1),))

    def decode(self, tokens) -> Standard:
        """The cell, whatever the tokens ``[1]``. Raises ValueError where there are others."""
        self.decisions.check(tokens)
        return Standard(self.cell)

    def encode(self, architecture: Tree | Standard) -> Int[np.ndarray, " T"]:
        """Tokens ``[1]``. Raises ValueError where it is another cell."""
        if architecture != Standard(self.cell):
            raise ValueError(f"{architecture} is not in {self}")
        return np.zeros(1, np.int32)

    def restore(self, described: dict) -> Standard:
        """See `Restores`."""
        return Standard(described["cell"])

    def children(self, input_shape: tuple[int, ...], classes: int, dtype: str = "float32") -> RecurrentChildren:
        """The language model on chunks of ``(steps,)`` symbols out of so many; dtype: of factors."""
        return self.model.children(input_shape, classes, LoneEnvelope(Standard(self.cell)), dtype)
