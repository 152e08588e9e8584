"""A space of values alone: what an objective is called with, or the rows of a table."""

from typing import Any

from jaxnas.spaces.named import ValueSpace


class Choices(ValueSpace):
    """Values by name: ``Choices(booster=Categorical("tree", "linear"), depth=Int(1, 9, when=("booster", "tree")))``.

    Its "architectures" are dictionaries from names to numbers, strings, True, False or None, of the values that exist.

    Raises:
        ValueError: no value, something else than a `Float`, `Int` or `Categorical`, or a condition that cannot hold.
    """

    def __post_init__(self):
        if not self.values.values:
            raise ValueError("Choices(): give one value or more, as rate=Float(1e-4, 1e-1, log=True)")
        _ = self.decisions  # conditions are checked

    def children(self, input_shape: tuple[int, ...], classes: int, dtype: str = "float32") -> Any:
        """Raises ValueError: there is nothing to train."""
        raise ValueError(
            "Choices are values alone, there is nothing to train: use evaluator=Objective(fn) or a Table, or "
            "ModuleSpace(Net, ...) for a network of your own"
        )
