"""What is learnt of a table's columns before a network sees them: numbers are standardised, categories become ones and
zeros, and of what is missing it is said that it is.

Letters: B batch, M rows, C columns, F features.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

VARIED = 1000
"""Times its deviation: greater numbers lose digits that count when they are rounded to float32."""


@dataclass(frozen=True)
class Column:
    """A column of a table, and how it becomes features.

    Attributes:
        name: its heading.
        values: of a category: what it may be; (): a number.
        mean: of a number, over the training data; a cell that is missing has it.
        std: of a number; 1 where all are equal.
        gaps: whether cells of a number are missing in the training data: then a further feature says where.
        offset: of a number that varies little for its size, such as a time stamp: what is subtracted before it is
            rounded to float32, and so from the mean; else 0.
    """

    name: str
    values: tuple[str, ...] = ()
    mean: float = 0.0
    std: float = 1.0
    gaps: bool = False
    offset: float = 0.0

    @property
    def features(self) -> int:
        """Of how many numbers it becomes."""
        return len(self.values) or 1 + self.gaps


def learnt(columns: Sequence[Column], rows: Float[np.ndarray, "M C"]) -> tuple[Column, ...]:
    """The columns with what the training data says of numbers."""
    return tuple(c if c.values else _of_numbers(c, rows[:, i]) for i, c in enumerate(columns))


def _of_numbers(column: Column, cells: Float[np.ndarray, " M"]) -> Column:
    known = np.float64(cells[~np.isnan(cells)])
    if not len(known):
        raise ValueError(f"column {column.name!r} has no number in the training data: leave it out (--task.drop)")
    std = float(known.std())
    mean, gaps = float(known.mean()), len(known) < len(cells)
    return replace(column, mean=mean, std=std if std > 0 else 1.0, gaps=gaps)


def offset(cells: Float[np.ndarray, " M"]) -> float:
    """See `Column.offset`; of the numbers ``cells``, float64."""
    known = cells[~np.isnan(cells)]
    little = len(known) > 0 and np.ptp(known) > 0 and np.abs(known).max() > VARIED * known.std()
    return float(np.median(known)) if little else 0.0


def features(columns: Sequence[Column], rows: Float[Array | np.ndarray, "B C"]) -> Float[Array, "B F"]:
    """Rows as a network reads them. In rows a category is the number of its value, and what is missing or unknown is
    NaN; of a category it becomes zeros.
    """
    parts = []
    for i, column in enumerate(columns):
        cell = rows[:, i]
        missing = jnp.isnan(cell)
        if column.values:
            number = jnp.where(missing, -1, cell).astype(jnp.int32)
            parts.append(jax.nn.one_hot(number, len(column.values), dtype=jnp.float32))
            continue
        parts.append(jnp.where(missing, 0, (cell - column.mean) / column.std)[:, None])
        if column.gaps:
            parts.append(missing.astype(jnp.float32)[:, None])
    return jnp.concatenate(parts, 1)


def as_json(columns: Sequence[Column]) -> list[dict[str, Any]]:
    """As JSON values."""
    return [asdict(column) | {"values": list(column.values)} for column in columns]


def of_json(values: Sequence[Mapping[str, Any]]) -> tuple[Column, ...]:
    """From them."""
    return tuple(Column(**dict(one) | {"values": tuple(one["values"])}) for one in values)
