"""Recurrent cells as formulas and in short, from the JSON values of the ledger.

References:
    Zoph & Le, Neural Architecture Search with Reinforcement Learning, 2017, section 3.4
    (https://arxiv.org/abs/1611.01578): the tree, the cell inject and the two cell indices.
"""

from collections.abc import Sequence
from dataclasses import dataclass

FORMULAS = {"add": "{} + {}", "multiply": "{} * {}"}
"""Of combinations; others are written as functions."""
SIGNS = {"add": "+", "multiply": "*", "max": "^"}
CODES = {"identity": "id", "sigmoid": "sig"}
"""What `short` writes; other names as they are."""


@dataclass(frozen=True)
class Node:
    """One node of a tree, its number being its place.

    Attributes:
        number: tree index: the leaves first, then the pairs of leaves, and so on to the root.
        combination: what is done with the two values that it reads.
        activation: what is done with that.
        reads: the two nodes below; None of a leaf, which reads products of x_t and h_{t-1}.
        injected: (combination, activation) by which c_{t-1} enters its value, None of all nodes but one.
        remembered: whether c_t is its value before the activation.
        root: whether its value is h_t.
    """

    number: int
    combination: str
    activation: str
    reads: tuple[int, int] | None
    injected: tuple[str, str] | None
    remembered: bool
    root: bool


def tree(architecture: dict) -> list[Node]:
    """The nodes of a "recurrent" architecture, each after those that it reads."""
    base, pairs, found = architecture["base"], architecture["nodes"], []
    for number, (combination, activation) in enumerate(pairs):
        left = 2 * (number - base)
        reads = None if number < base else (left, left + 1)
        injected = tuple(architecture["inject"]) if number == architecture["inject_at"] else None
        remembered, root = number == architecture["memory_from"], number == len(pairs) - 1
        found.append(Node(number, combination, activation, reads, injected, remembered, root))
    return found


def formulas(architecture: dict) -> str:
    """The cell, a line a node and one for the cell inject, in the order of computation. x is x_t, h and c are h_{t-1}
    and c_{t-1}; h' and c' are h_t and c_t; W0 and U0 are the weights of leaf 0.
    """
    rows = []
    for node in tree(architecture):
        name = f"a{node.number}"
        operands = [f"a{i}" for i in node.reads] if node.reads else [f"W{node.number} x", f"U{node.number} h"]
        inner = combined(node.combination, *operands)
        memory = [f"c' = {inner}"] if node.remembered else []
        output = [f"h' = {name}"] if node.root else []
        rows.append((f"{name} = {activated(node.activation, inner)}", memory + ([] if node.injected else output)))
        if node.injected:
            combination, activation = node.injected
            line = f"{name} <- {activated(activation, combined(combination, name, 'c'))}"
            rows.append((line, ["cell inject", *output]))
    width = max(len(line) for line, _ in rows)
    return "\n".join(f"{line:<{width}}   {', '.join(remarks)}".rstrip() for line, remarks in rows)


def combined(combination: str, left: str, right: str) -> str:
    """The formula of a combination."""
    return FORMULAS.get(combination, f"{combination}({{}}, {{}})").format(left, right)


def activated(activation: str, inner: str) -> str:
    """The formula of an activation."""
    return inner if activation == "identity" else f"{activation}({inner})"


def draw_cell(architecture: dict) -> str:
    """Formulas, and a line on the network."""
    return f"{formulas(architecture)}\n\n{network(architecture)}"


def draw_standard(architecture: dict) -> str:
    """Name of an ordinary cell, and a line on the network."""
    return f"{architecture['cell'].upper()}\n\n{network(architecture)}"


def network(architecture: dict) -> str:
    """Layers, symbols, and whether the matrices of embedding and output are one."""
    layers = f"{architecture['layers']} layer{'s' * (architecture['layers'] != 1)} of {architecture['hidden']}"
    tied = "one matrix for embedding and output" if architecture["tied"] else "embedding and output apart"
    return f"{layers}, {architecture['cell_parameters']:,} parameters each; {architecture['symbols']:,} symbols, {tied}"


def short(architecture: dict) -> str:
    """The cell in one line, see `jaxnas.report.draw.pretty`."""
    written, levels, size = [_code(pair) for pair in architecture["nodes"]], [], architecture["base"]
    while written:
        levels.append(" ".join(written[:size]))
        written, size = written[size:], size // 2
    inject = f"c{_code(architecture['inject'])}>{architecture['inject_at']}"
    return f"{' | '.join(levels)} {inject} {architecture['memory_from']}>c"


def short_standard(architecture: dict) -> str:
    """An ordinary cell in one line."""
    return f"{architecture['cell'].upper()}, {architecture['layers']} of {architecture['hidden']}"


def _code(pair: Sequence[str]) -> str:
    combination, activation = pair
    return SIGNS.get(combination, combination) + CODES.get(activation, activation)
