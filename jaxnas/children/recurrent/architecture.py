"""Recurrent cells as facts: architecture, envelope of several, genes that place one, cost.

A cell is a binary tree. Each leaf combines a product of x_t with one of h_{t-1}, each inner node the values of the two
nodes below it, by a combination and an activation; the value of one node takes in c_{t-1}, and what another one has
before its activation becomes c_t. The network is in `network`, the arithmetic of a step in `steps`.

References:
    Zoph & Le, Neural Architecture Search with Reinforcement Learning, 2017, section 3.4
    (https://arxiv.org/abs/1611.01578).

Letters: n leaves, 2n - 1 nodes, G products of x_t (as many of h_{t-1}), H hidden units, V symbols.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from jaxnas.children.cost import Cost, does_not_fit
from jaxnas.children.engines import Engine, Padded

COMBINATIONS = ("add", "multiply", "max")
ACTIVATIONS = ("identity", "tanh", "sigmoid", "relu", "sin")
GATES = {"lstm": 4, "gru": 3}
"""The usual cells, and how many products of x_t they have."""


@dataclass(frozen=True)
class Tree:
    """A cell of the space.

    Attributes:
        nodes: (combination, activation) by tree index: the leaves, then the pairs of leaves, and so on to the root,
            whose value is h_t.
        inject: (combination, activation) by which c_{t-1} enters, the paper's "cell inject".
        inject_at: the node whose value it enters, the second "cell index".
        memory_from: the node whose value before its activation is c_t, the first "cell index".
    """

    nodes: tuple[tuple[str, str], ...]
    inject: tuple[str, str]
    inject_at: int
    memory_from: int

    @property
    def gates(self) -> int:
        """G: the number of leaves."""
        return (len(self.nodes) + 1) // 2


@dataclass(frozen=True)
class Standard:
    """An ordinary cell to compare with, "lstm" or "gru", with a bias in each gate."""

    cell: str

    @property
    def gates(self) -> int:
        """G."""
        return GATES[self.cell]


@dataclass(frozen=True)
class LoneEnvelope:
    """One cell alone: its formulas are the program, and its genes are none."""

    cell: Tree | Standard
    engine: Engine = Padded()

    @property
    def gates(self) -> int:
        """G."""
        return self.cell.gates


@dataclass(frozen=True)
class TreeEnvelope:
    """Different trees of one size: the functions among which each node selects, by name.

    The matrix products of such trees are equal, so the selection is all that company costs a child.
    """

    nodes: int
    combinations: tuple[str, ...]
    activations: tuple[str, ...]
    engine: Engine = Padded()

    @property
    def gates(self) -> int:
        """G: the number of leaves."""
        return (self.nodes + 1) // 2


Envelope = LoneEnvelope | TreeEnvelope


class TreeGenes(NamedTuple):
    """The functions of one tree as places in the lists of its envelope, and its two indices, all int32.

    combinations, activations: of the nodes ``[2n - 1]``; inject: combination and activation ``[2]``; inject_at and
    memory_from: ``[]``.
    """

    combinations: np.ndarray
    activations: np.ndarray
    inject: np.ndarray
    inject_at: np.ndarray
    memory_from: np.ndarray


def envelope(architectures: Sequence[Tree | Standard]) -> Envelope:
    """The smallest envelope that holds them all: that of equal cells is the ordinary network.

    Raises:
        ValueError: trees of different sizes, or an ordinary cell among others.
    """
    first = architectures[0]
    if len(set(architectures)) == 1:
        return LoneEnvelope(first)
    if not all(isinstance(cell, Tree) and len(cell.nodes) == len(first.nodes) for cell in architectures):
        raise ValueError(
            "only trees with equally many leaves can train together: give each other cell a search of its own"
        )
    pairs = {pair for cell in architectures for pair in (*cell.nodes, cell.inject)}
    combinations = tuple(name for name in COMBINATIONS if name in {pair[0] for pair in pairs})
    activations = tuple(name for name in ACTIVATIONS if name in {pair[1] for pair in pairs})
    return TreeEnvelope(len(first.nodes), combinations, activations)


def place(architecture: Tree | Standard, inside: Envelope) -> TreeGenes | tuple[()]:
    """The genes that make the network of envelope ``inside`` compute ``architecture``.

    Raises:
        ValueError: the envelope does not hold the architecture.
    """
    if isinstance(inside, LoneEnvelope) and inside.cell == architecture:
        return ()
    fits = (
        isinstance(inside, TreeEnvelope) and isinstance(architecture, Tree) and inside.nodes == len(architecture.nodes)
    )
    pairs = (*architecture.nodes, architecture.inject) if fits else ()
    if not fits or any(c not in inside.combinations or a not in inside.activations for c, a in pairs):
        raise does_not_fit(architecture, inside)
    *nodes, inject = [(inside.combinations.index(c), inside.activations.index(a)) for c, a in pairs]
    combinations, activations = zip(*nodes, strict=True)
    numbers = combinations, activations, inject, architecture.inject_at, architecture.memory_from
    return TreeGenes(*(np.array(some, np.int32) for some in numbers))


def cost(cell: Tree | Standard | Envelope, symbols: int, hidden: int, layers: int, tied: bool) -> Cost:
    """Of a network of such cells: multiply-adds for one symbol, and the bytes of what one symbol's values take."""
    products, table = 2 * layers * cell.gates * hidden * hidden, symbols * hidden
    parameters = layers * cell_parameters(cell, hidden) + (1 if tied else 2) * table + symbols
    values = layers * (2 * cell.gates + 2 * cell.gates - 1) * hidden + hidden + symbols
    return Cost(products + table, parameters, 4 * values)


def cell_parameters(cell: Tree | Standard | Envelope, hidden: int) -> int:
    """Of one layer."""
    biases = cell.gates * hidden if isinstance(cell, Standard) else 0
    return 2 * cell.gates * hidden * hidden + biases


def describe(cell: Tree | Standard, symbols: int, hidden: int, layers: int, tied: bool) -> dict:
    """The network as plain JSON values."""
    network = {"hidden": hidden, "layers": layers, "tied": tied, "symbols": symbols}
    network["cell_parameters"] = cell_parameters(cell, hidden)
    if isinstance(cell, Standard):
        return {"type": "standard", "cell": cell.cell, **network}
    return {
        "type": "recurrent",
        "base": cell.gates,
        "nodes": [list(node) for node in cell.nodes],
        "inject": list(cell.inject),
        "inject_at": cell.inject_at,
        "memory_from": cell.memory_from,
        **network,
    }
