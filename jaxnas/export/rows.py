"""Rows of tables, ratings and texts with a class, as a user has them.

Letters: B rows of a batch, M all of them, C columns, U symbols, K classes.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int32

from jaxnas.export.inputs import Logits
from jaxnas.tasks.columns import Column, features, of_json
from jaxnas.tasks.passages import numbered, symbols


@dataclass(frozen=True)
class Target:
    """A number that was told: the outputs are standardised, what is said is in the target's own unit."""

    mean: float
    std: float

    def outputs(self, found: Float[Array, "B 1"]) -> Float[Array, "B 1"]:
        """In the target's unit."""
        return found * self.std + self.mean

    def answer(self, outputs: Float[Array, "B 1"]) -> Float[Array, " B"]:
        """One number a row."""
        return outputs[:, 0]


class Told:
    """Base of those that tell a class or a number."""

    target: Target | None

    def outputs(self, found: Array) -> Array:
        """Logits ``[B, K]``, or numbers ``[B, 1]`` in the target's unit."""
        return (self.target or Logits()).outputs(found)

    def answer(self, outputs: Array) -> Array:
        """The probability of each class ``[B, K]``, or numbers ``[B]``."""
        return (self.target or Logits()).answer(outputs)


@dataclass(frozen=True)
class TableInputs(Told):
    """Rows of a table.

    Attributes:
        columns: what the network has learnt of them.
        target: of a regression; None: classes.
    """

    columns: tuple[Column, ...]
    target: Target | None

    @classmethod
    def of(cls, data: dict) -> "TableInputs":
        """Of what is recorded."""
        target = None if data["class_names"] else Target(data["target_mean"], data["target_std"])
        return cls(of_json(data["columns"]), target)

    def checked(self, x: Any) -> Float32[np.ndarray, "M C"]:
        """Rows ``[M, C]`` of numbers and texts, as arrays or lists, or a list of dictionaries by the columns' names.
        None, NaN and "" are missing.
        """
        names = [column.name for column in self.columns]
        rows = list(x) if isinstance(x, Sequence) else np.asarray(x, object).tolist()
        if rows and isinstance(rows[0], Mapping):
            lacking = [name for name in names if name not in rows[0]]
            if lacking:
                raise ValueError(f"x has no {lacking[0]!r}: this network takes the columns {', '.join(names)}")
            rows = [[row[name] for name in names] for row in rows]
        wrong = [row for row in rows if not isinstance(row, Sequence) or len(row) != len(names)]
        if wrong:
            raise ValueError(f"x with the row {wrong[0]!r:.80}: this network takes the columns {', '.join(names)}")
        cells = [[_cell(c, v) for c, v in zip(self.columns, row, strict=True)] for row in rows]
        return np.array(cells, np.float32).reshape(len(cells), len(names))

    def ready(self, x: Float[Array, "B C"]) -> Float[Array, "B F"]:
        """Features."""
        return features(self.columns, x)


def _cell(column: Column, value: Any) -> float:
    """As `jaxnas.tasks.tabular.TableData` has it. Raises ValueError for a text in a column of numbers."""
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return math.nan
    if column.values:
        return float(column.values.index(str(value))) if str(value) in column.values else math.nan
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"x has {value!r} in the column {column.name!r}, which is one of numbers") from error


@dataclass(frozen=True)
class PairInputs(Told):
    """Users and items by name. The answer: ratings ``[B]``.

    Attributes:
        users: in the order of their numbers, from 1 on.
        items: likewise.
        target: the rating.
    """

    users: tuple[str, ...]
    items: tuple[str, ...]
    target: Target

    @classmethod
    def of(cls, data: dict) -> "PairInputs":
        """Of what is recorded."""
        return cls(tuple(data["users"]), tuple(data["items"]), Target(data["target_mean"], data["target_std"]))

    def checked(self, x: Any) -> Int32[np.ndarray, "M 2"]:
        """Pairs ``[M, 2]`` of a user and an item as the training data names them; who is unknown there is number 0."""
        pairs = np.asarray(x, object)
        if pairs.ndim != 2 or pairs.shape[1] != 2:
            raise ValueError(
                f"x of shape {list(pairs.shape)}: this network takes pairs [M, 2], a user and an item each"
            )
        numbers = [{name: i for i, name in enumerate(names, 1)} for names in (self.users, self.items)]
        found = [[number.get(str(one), 0) for number, one in zip(numbers, pair, strict=True)] for pair in pairs]
        return np.array(found, np.int32).reshape(len(pairs), 2)

    def ready(self, x: Array) -> Array:
        """As they are."""
        return x


@dataclass(frozen=True)
class PassageInputs(Logits):
    """Texts that have a class.

    Attributes:
        vocabulary: of the network.
        unit: "characters" or "words".
        length: U.
    """

    vocabulary: tuple[str, ...]
    unit: str
    length: int

    @classmethod
    def of(cls, data: dict) -> "PassageInputs":
        """Of what is recorded."""
        return cls(tuple(data["vocabulary"]), data["unit"], data["input_shape"][0])

    def checked(self, x: Any) -> Int32[np.ndarray, "M U"]:
        """A list of texts."""
        texts = [x] if isinstance(x, str) else list(x)
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("x: this network takes a list of texts")
        return numbered([symbols(text, self.unit, self.length) for text in texts], self.vocabulary, self.length)

    def ready(self, x: Array) -> Array:
        """As they are."""
        return jnp.asarray(x)
