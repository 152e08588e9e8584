"""What a network reads, as the space and the data agree on it."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import jax

Kind = Literal["image", "text", "table", "passage", "pair"]
USUAL: dict[int, Kind] = {3: "image", 1: "text"}
"""What a plain shape means, by its length."""


@jax.tree_util.register_static  # or NNX, where a network keeps it, would take it for a leaf
class Inputs(tuple):
    """The shape of one example, a tuple of ints, that knows what its numbers are.

    Args:
        shape: of one example.
        kind: "image": numbers (height, width, channels); "table": numbers (features,); "text": symbols (U,), with an
            output for each of them; "passage": symbols (U,), with one output for all; "pair": numbers of things, such
            as a user and an item. A plain shape of three is an image, one of a single number a text.
        values: how many symbols there are; of a "pair" how many things of each sort.
    """

    kind: Kind
    values: tuple[int, ...]

    def __new__(cls, shape: Sequence[int], kind: Kind | None = None, values: Sequence[int] = ()) -> "Inputs":
        if kind is None and len(tuple(shape)) not in USUAL:
            raise ValueError(f"examples of shape {tuple(shape)}: say what they are, Inputs(shape, kind)")
        made = super().__new__(cls, shape)
        made.kind, made.values = kind or USUAL[len(made)], tuple(values)
        return made

    @classmethod
    def of(cls, shape: Sequence[int]) -> "Inputs":
        """A shape, which may be one of these already."""
        return shape if isinstance(shape, Inputs) else cls(shape)

    @classmethod
    def of_facts(cls, facts: Mapping[str, Any]) -> "Inputs":
        """As recorded: "input_shape", and `facts` of those that are no plain shapes."""
        return cls(facts["input_shape"], facts.get("inputs"), facts.get("input_values", ()))

    def facts(self) -> dict[str, Any]:
        """As JSON values."""
        return {"input_shape": list(self), "inputs": self.kind, "input_values": list(self.values)}

    @property
    def whole_numbers(self) -> bool:
        """Whether the numbers are int32: symbols or things; else they are float32."""
        return self.kind in ("text", "passage", "pair")

    @property
    def every(self) -> bool:
        """Whether there is an output for every number of an example."""
        return self.kind == "text"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, tuple) or not tuple.__eq__(self, other):
            return False
        return not isinstance(other, Inputs) or (self.kind, self.values) == (other.kind, other.values)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return tuple.__hash__(self)

    def __getnewargs__(self) -> tuple:
        return tuple(self), self.kind, self.values
