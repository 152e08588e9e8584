"""Rows of tables, ratings and texts with a class, as a user has them.

Letters: B rows of a batch, M all of them, C columns, U symbols, K classes.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float32, Int32

from jaxnas.export.inputs import Logits
from jaxnas.tasks.cells import Frame, is_infinite, names_of, number_of, places, plain, text_of
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
        """Rows ``[M, C]`` of numbers and texts as the table had them: an array or lists, in the order of the columns;
        or a frame, a dictionary or a list of these, by their names, whatever else is in them.
        """
        if isinstance(x, Frame):
            names = names_of(x, "x")
            self._check_there(names)
            x = plain(x.to_numpy())[:, [names.index(column.name) for column in self.columns]]
        rows = [self._row(row) for row in ([x] if isinstance(x, Mapping) else _listed(x, self._takes))]
        cells = [_numbered(column, [row[i] for row in rows]) for i, column in enumerate(self.columns)]
        return np.array(cells, np.float32).reshape(len(self.columns), len(rows)).T

    def _row(self, row: Any) -> Sequence:
        """Its cells, in the order of the columns."""
        if isinstance(row, Mapping):
            self._check_there(row)
            return [row[column.name] for column in self.columns]
        cells = _listed(row, self._takes)
        if len(cells) != len(self.columns):
            raise ValueError(f"x with the row {row!r:.80}: this network takes {self._takes}")
        return cells

    def _check_there(self, names: Collection[str]) -> None:
        lacking = [column.name for column in self.columns if column.name not in names]
        if lacking:
            raise ValueError(f"x has no {lacking[0]!r}: this network takes {self._takes}")

    @property
    def _takes(self) -> str:
        return f"the columns {', '.join(column.name for column in self.columns)}"

    def ready(self, x: Float[Array, "B C"]) -> Float[Array, "B F"]:
        """Features."""
        return features(self.columns, x)


def _listed(x: Any, takes: str) -> Sequence:
    """Rows, or the cells of one. Raises ValueError for what is neither an array nor a list."""
    if isinstance(x, list | tuple):
        return x
    array = plain(x)
    if not array.ndim:
        raise ValueError(f"x with {x!r:.80}: this network takes {takes}")
    return array.tolist()


def _numbered(column: Column, cells: Sequence) -> list[float]:
    """As `jaxnas.tasks.tabular.TableData` has them. Raises ValueError where a column of numbers has something else."""
    if column.values:
        place = places(column.values)
        return [float(place.get(text_of(cell), np.nan)) for cell in cells]
    numbers = [number_of(cell) for cell in cells]
    for cell, number in zip(cells, numbers, strict=True):
        if number is None or is_infinite(number):
            what = "one of numbers" if number is None else "one of numbers, all of them finite"
            raise ValueError(f"x has {cell!r} in the column {column.name!r}, which is {what}")
    return [number - column.offset for number in numbers]


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
        found = [[number.get(text_of(one), 0) for number, one in zip(numbers, pair, strict=True)] for pair in pairs]
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
        texts = _listed([x] if isinstance(x, str) else x, "a list of texts")
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("x: this network takes a list of texts")
        return numbered([symbols(text, self.unit, self.length) for text in texts], self.vocabulary, self.length)

    def ready(self, x: Array) -> Array:
        """As they are."""
        return jnp.asarray(x)
